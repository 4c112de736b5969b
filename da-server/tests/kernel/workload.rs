//! Which workload a process belongs to, by the control group that it is in: also of connections that are older than
//! the view.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use da_server::kernel::{Observation, Unlisted, What};
use da_testkit::server::ServerProgram;

use crate::lab::{Lab, cant_load, config, endpoint_at};
use crate::plain;
use crate::turns::beside;
use da_testkit::programs::{are_there, skip};

const NAME: &str = "workload.kernel.test";
/// Connects, asks as soon as it is told to, and ends when nobody talks to it any more.
const PROGRAM: &str = r#"
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.stdin.readline()
connection.sendall(sys.argv[2].encode())
connection.recv(4096)
sys.stdin.readline()
"#;
/// However busy the reader is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The id of a container that no other run of these tests has.
fn container_id() -> String {
    format!("{:012x}{:052x}", std::process::id(), 1)
}

/// A control group of the test's own.
pub struct Group(PathBuf);

impl Group {
    /// One of that name.
    ///
    /// # Errors
    /// There can be none, and why.
    pub fn new(name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(at))
        });
        let Some(root) = root else { return Err("no cgroup2 is mounted".to_owned()) };
        let folder = root.join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    /// A program that is in it from its beginning on.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(r#"echo $$ > "$0/cgroup.procs" && exec "$@""#);
        command.arg(&self.0).arg(program);
        command
    }

    /// Begins the program in it, and waits until it has connected.
    fn begin(&self, to: SocketAddr) -> Child {
        let mut child = self
            .command("python3")
            .args(["-c", PROGRAM])
            .args([to.port().to_string(), String::from_utf8(plain::request(NAME)).expect("text")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut said = [0; 10];
        let output = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut said).expect("it connects");
        assert_eq!(&said, b"connected\n");
        child
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever is in it has ended.
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Has it ask, and end once that was seen: of a process that is gone by then nothing is known. Of an older connection
/// it is known already, and nothing is said before its exchange is over.
fn ask(lab: &mut Lab, mut child: Child, is_older: bool) {
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"\n").expect("it listens");
    let deadline = Instant::now() + PATIENCE;
    let asked = |one: &Observation| one.pid == child.id() && matches!(one.what, What::EndedUp(_));
    while !is_older && !lab.seen().iter().any(asked) {
        assert!(Instant::now() < deadline, "its request was not seen");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_process_belongs_to_the_workload_of_its_control_group() {
    if !are_there(&["python3"]) {
        return;
    }
    let unit = format!("da-test-{}.service", std::process::id());
    let groups = [Group::new(&unit), Group::new(&format!("docker-{}.scope", container_id()))];
    let [unit_group, container_group] = match groups {
        [Ok(unit), Ok(container)] => [unit, container],
        [Err(why), _] | [_, Err(why)] => return skip(&why),
    };
    let at = plain::serve("127.0.0.1:0");
    let endpoints = [endpoint_at("workload", NAME, at)];
    let older = || [unit_group.begin(at), container_group.begin(at)];
    let Some((mut lab, older)) = Lab::after(older, &config(), &endpoints, Unlisted::Drop) else {
        return;
    };
    let newer = [unit_group.begin(at), container_group.begin(at)];
    let of_process: Vec<_> = older.iter().chain(&newer).map(Child::id).collect();
    of_process.iter().for_each(|pid| lab.follow(*pid));
    older.into_iter().for_each(|child| ask(&mut lab, child, true));
    newer.into_iter().for_each(|child| ask(&mut lab, child, false));
    lab.wait_closed(of_process.len());
    let container = format!("docker {}", &container_id()[..12]);
    let all = lab.close();
    for (index, pid) in of_process.into_iter().enumerate() {
        let expected = if index % 2 == 0 { &unit } else { &container };
        let mut exchanges = all
            .iter()
            .filter(|one| {
                one.pid == pid && matches!(one.what, What::Exchange(_) | What::Closed { .. })
            })
            .peekable();
        assert!(exchanges.peek().is_some(), "nothing seen of process {index}");
        for one in exchanges {
            assert_eq!(
                one.workload.as_deref(),
                Some(expected.as_str()),
                "process {index}: {one:?}"
            );
        }
    }
}

#[test]
fn a_collectors_series_have_the_workload_as_a_label() {
    if !are_there(&["python3"]) {
        return;
    }
    let _turn = beside([NAME]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let unit = format!("da-label-{}.service", std::process::id());
    let group = match Group::new(&unit) {
        Ok(group) => group,
        Err(why) => return skip(&why),
    };
    let toml = format!("[[endpoint]]\nname = 'labelled'\nkind = 'llm'\nhosts = ['{NAME}']\n");
    let collector = ServerProgram::start(&["collect"], &toml, |_| {});
    let mut child = group.begin(plain::serve("127.0.0.1:0"));
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"\n").expect("it listens");
    let caller = format!("process=\"python3\",provider=\"labelled\",workload=\"{unit}\"");
    let one = |family: &str| {
        collector.exposes(&format!(
            "digital_actors_socket_{family}{{kind=\"llm\",outcome=\"ok\",{caller}}} 1"
        ));
    };
    // Of a process that is gone by the time at which it is looked up nothing is known.
    one("connections_total");
    drop(input);
    assert!(child.wait().expect("it ends").success());
    one("exchanges_total");
}
