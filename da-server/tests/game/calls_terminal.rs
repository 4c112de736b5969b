//! `da-server calls`, the program itself, beside a server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use da_server::calls::{Call, CallKind};
use da_standin::{Options, Standin};

use crate::sample_calls::{foreign, remarkable, usual};
use crate::server::{PATIENCE, Server};

/// The program, to be asked for the calls of a server.
fn program(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
    command.env_clear().args(["calls", url]);
    command
}

fn of(server: &Server) -> Command {
    program(&format!("http://{}", server.address))
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("joined");
    let Output { status, stdout, stderr } = ran.expect("ran");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

async fn lines(mut command: Command, arguments: &[&str]) -> Vec<String> {
    command.args(arguments);
    let (code, shown, said) = output(command).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments:?}");
    shown.lines().map(str::to_owned).collect()
}

/// The numbers of the calls in these lines.
fn ids(lines: &[String]) -> Vec<u64> {
    let id = |line: &String| line.split_once('#')?.1.split(' ').next()?.parse().ok();
    lines.iter().filter_map(id).collect()
}

#[tokio::test]
async fn the_latest_or_the_slowest_are_shown_one_a_line() {
    let server = Server::start().await;
    remarkable().into_iter().for_each(|call| server.calls.add(call));
    let all = lines(of(&server), &[]).await;
    assert_eq!(ids(&all), [1, 2, 3, 4, 5, 6], "the last one at the end, where the eye is");
    assert!(all[0].starts_with("q queue  d dns"), "{}", all[0]);
    for (line, part) in [
        (1, " success, stream 820 ms, long gaps by network 310 ms, long gaps by window 270 ms"),
        (2, ", 2 attempts"),
        (4, ", application alone"),
        (5, " connect, connect 38.0 ms"),
    ] {
        assert!(all[line].contains(part), "{part}: {}", all[line]);
    }
    assert_eq!(ids(&lines(of(&server), &["--slowest", "--limit", "2"]).await), [1, 2]);
    assert_eq!(ids(&lines(of(&server), &["--kind", "tts"]).await), [3, 5]);
    server.calls.add(foreign(7, "python3"));
    let foreign = lines(of(&server), &["--process", "python3", "--min-ms", "900"]).await;
    assert_eq!(ids(&foreign), [7]);
    assert!(
        foreign[1].contains(" python3 4711 ")
            && foreign[1].ends_with(" ok, wait 640 ms, of \"python3.service\"")
    );
    let failed = ["--outcome", "failed", "--provider", "anthropic"];
    assert_eq!(ids(&lines(of(&server), &failed).await), [6]);

    let json = lines(of(&server), &["--json", "--own"]).await;
    let calls: Vec<Call> =
        json.iter().map(|line| serde_json::from_str(line).expect("a call")).collect();
    assert_eq!(calls, remarkable().iter().map(|call| (**call).clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_token_comes_from_a_file_or_the_environment() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "open-sesame\n").expect("written");
    let path = file.path().to_owned();
    let server = Server::with(|config| config.metrics.bearer_token_file = Some(path)).await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    let path = file.path().to_str().expect("text");
    assert_eq!(ids(&lines(of(&server), &["--token-file", path]).await), [1]);
    let mut command = of(&server);
    command.env("METRICS_TOKEN", "open-sesame");
    assert_eq!(ids(&lines(command, &[]).await), [1]);

    let mut command = of(&server);
    command.env("METRICS_TOKEN", "open-says-me").arg("--follow");
    let (code, shown, said) = output(command).await;
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    assert!(said.contains("401") && said.contains("--token-file"), "{said}");
    assert!(!said.contains("says-me"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    // The port is free at this moment; nobody else here takes ports by number.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let nobody = format!("http://{}", free.local_addr().expect("address"));
    drop(free);
    let server = Server::start().await;
    let game = format!("http://{}", server.address);
    for (url, arguments, part) in [
        (nobody.as_str(), &["--follow"][..], "Connection refused"),
        ("localhost:8888", &[], "not a URL of HTTP"),
        ("http://user:word@127.0.0.1", &[], "no user and password in the URL"),
        (&game, &["--outcome", "fine"], "outcome (success, ok, failed"),
        (&format!("{game}/elsewhere"), &[], "404"),
    ] {
        let mut command = program(url);
        command.args(arguments);
        let (code, _, said) = output(command).await;
        assert_eq!(code, Some(1), "{url}");
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_server_behind_tls_is_asked_over_tls() {
    let standin = Standin::start(Options::default()).await.expect("stand-in");
    let folder = tempfile::tempdir().expect("folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, standin.ca_pem()).expect("written");
    let url = format!("https://localhost:{}", standin.addr().port());
    let (code, _, said) = output(program(&url)).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("certificate"), "{said}");
    let mut trusting = program(&url);
    trusting.arg("--ca-file").arg(ca_file);
    let (code, _, said) = output(trusting).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("answered 404"), "it got through, to one that has no calls: {said}");
}

/// The program while it follows; ends with the test.
struct Follower {
    child: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Follower {
    fn start(mut command: Command) -> Self {
        let mut child = command.arg("--follow").stdout(Stdio::piped()).spawn().expect("started");
        let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
        let output: ChildStdout = child.stdout.take().expect("output");
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Self { child, lines }
    }

    /// The number of the call in the next line that has one.
    async fn next(&mut self) -> u64 {
        let next = async {
            loop {
                let line = self.lines.recv().await.expect("a line");
                if let [id] = ids(&[line])[..] {
                    return id;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a call")
    }

    fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to the child that this test started and has not waited for.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn following_goes_on_after_the_server_was_restarted_and_ends_with_ctrl_c() {
    let server = Server::start().await;
    let address = server.address;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    let mut follower = Follower::start(of(&server));
    assert_eq!(follower.next().await, 1);
    server.calls.add(usual(2, CallKind::Llm, 100.0));
    assert_eq!(follower.next().await, 2);
    server.stop().await.expect("stopped");

    let server = Server::with(|config| config.listen = address).await;
    // It begins to count anew, and this one ends before the follower is back.
    let mut first = (*usual(1, CallKind::Llm, 100.0)).clone();
    first.began_unix_ms += 60_000;
    server.calls.add(first.into());
    assert_eq!(follower.next().await, 1);
    server.calls.add(usual(3, CallKind::Llm, 100.0));
    assert_eq!(follower.next().await, 3);

    follower.signal(libc::SIGINT);
    let ended = tokio::task::spawn_blocking(move || follower.child.wait()).await;
    assert_eq!(ended.expect("joined").expect("ended").code(), Some(0));
}

#[tokio::test]
async fn it_ends_in_order_when_nobody_reads_any_more() {
    let server = Server::start().await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    let mut child = of(&server)
        .arg("--follow")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut first = [0];
    let mut output = child.stdout.take().expect("output");
    let output =
        tokio::task::spawn_blocking(move || output.read_exact(&mut first).map(|()| output));
    drop(output.await.expect("joined").expect("read"));
    let calls = server.calls.clone();
    let adding = tokio::spawn(async move {
        for id in 2.. {
            calls.add(usual(id, CallKind::Llm, 100.0));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
    adding.abort();
    let Output { status, stderr, .. } = ended.expect("joined").expect("ended");
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));
}
