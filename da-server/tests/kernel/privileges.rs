//! The server's privileges, seen from outside: /proc/PID/status and its own exposition.

use std::ffi::CString;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use da_standin::{Options, Standin};
use da_testkit::built::{self, copy_for_everyone};
use da_testkit::server::ServerProgram;

use crate::client::{Client, Tls, config};
use crate::lab::cant_load;
use crate::plain;
use crate::turns::beside;
use da_testkit::programs::skip;

const NAME: &str = "privileges.kernel.test";

/// The server wants the providers' keys; nothing here calls a provider.
const KEYS: [&str; 2] = ["ANTHROPIC_API_KEY", "ELEVENLABS_API_KEY"];

/// A game that watches an endpoint with these hosts or addresses.
fn server(tells: &str, prepare: impl FnOnce(&mut Command)) -> ServerProgram {
    server_of(&built::program("da-server").expect("built"), tells, prepare)
}

fn server_of(program: &Path, tells: &str, prepare: impl FnOnce(&mut Command)) -> ServerProgram {
    let toml = format!("[[endpoint]]\nname = \"privileges\"\nkind = \"llm\"\n{tells}\n");
    ServerProgram::start_of(program, &["serve"], &toml, |command| {
        command.envs(KEYS.map(|name| (name, "none")));
        prepare(command);
    })
}

fn by_name() -> String {
    format!("hosts = [\"{NAME}\"]")
}

/// Lines of /proc/PID/status of every thread that begin with `prefix`.
fn status_lines(server: &ServerProgram, prefix: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).expect("tasks");
    tasks
        .flat_map(|task| {
            let status = task.expect("a task").path().join("status");
            let text = std::fs::read_to_string(status).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|line| line.starts_with(prefix))
        .collect()
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and can't fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn without_privilege_the_game_plays_and_says_what_is_missing() {
    let _turn = beside([NAME]);
    let (program, _folder) = copy_for_everyone("da-server").expect("a copy");
    let server = server_of(&program, &by_name(), |command| {
        if is_root() {
            command.uid(65_534).gid(65_534);
        }
    });
    let (status, health) = server.get("/health");
    assert_eq!(status, 200);
    assert!(health.contains(r#""why":"missing_capability""#), "the log has the sentence: {health}");
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("\ndigital_actors_ebpf_up 0\n"), "{metrics}");
    let unavailable = "digital_actors_ebpf_unavailable{reason=\"missing_capability\"} 1";
    assert!(metrics.contains(unavailable), "{metrics}");
    assert!(!metrics.contains("digital_actors_ebpf_program_runs_total"), "absent, not 0");
    server.logged(&["missing CAP_BPF and CAP_PERFMON"]);
}

/// Why there is no privilege here that could be dropped, if so.
fn cant_drop() -> Option<String> {
    (!is_root()).then(|| "only root has privileges to drop".to_owned()).or_else(cant_load)
}

#[test]
fn after_start_nothing_is_left_to_take_away_and_events_still_flow() {
    let _turn = beside([NAME]);
    if let Some(why) = cant_drop() {
        return skip(&why);
    }
    let server = server(&by_name(), |_| {});
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let lines = status_lines(&server, set);
        assert!(lines.len() > 2, "{set} of every thread");
        for line in lines {
            assert_eq!(line.split_whitespace().nth(1), Some("0000000000000000"), "{line}");
        }
    }
    assert!(status_lines(&server, "NoNewPrivs:").iter().all(|line| line.ends_with('1')));
    assert!(status_lines(&server, "Threads:").len() > 2);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = Options { names: vec![NAME.to_owned()], ..Options::default() };
    let standin = runtime.block_on(Standin::start(options)).expect("a stand-in");
    let tls = config(standin.ca_pem(), Tls::V13);
    for _ in 0..4 {
        let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
        client.handshake().expect("a handshake");
        client.exchange(NAME, r#"{"first_byte_ms":5}"#, true);
        client.close();
    }
    server.exposes(
        "digital_actors_socket_connect_seconds_count{kind=\"llm\",provider=\"privileges\"} 4",
    );
    server.exposes("digital_actors_ebpf_up 1");
}

#[test]
fn older_connections_are_looked_for_when_no_privilege_is_left() {
    let _turn = beside([NAME]);
    if let Some(why) = cant_drop() {
        return skip(&why);
    }
    let address = plain::serve("127.0.0.1:0");
    let mut older = TcpStream::connect(address).expect("connects");
    let server = server(&format!("{}\naddresses = [\"{address}\"]", by_name()), |_| {});
    server.exposes("digital_actors_ebpf_program_state{program=\"existing\",state=\"finished\"} 1");
    let endpoint = "{kind=\"llm\",provider=\"privileges\"}";
    server.exposes(&format!("digital_actors_socket_open_connections{endpoint} 1"));
    plain::exchange(&mut older, NAME);
    drop(older);
    server.exposes(&format!("digital_actors_socket_first_byte_seconds_count{endpoint} 1"));
    server.exposes(&format!("digital_actors_socket_open_connections{endpoint} 0"));
}

#[test]
fn a_container_of_another_user_has_what_was_added_to_it_and_starts_without() {
    let _turn = beside([NAME]);
    if let Some(why) = cant_drop() {
        return skip(&why);
    }
    let (binary, _folder) = copy_for_everyone("da-server").expect("a copy");
    permit(&binary);

    let collector = contained(&binary, "-all,+bpf,+perfmon", &[]);
    collector.exposes("digital_actors_ebpf_up 1");
    for line in status_lines(&collector, "CapPrm:") {
        assert!(line.ends_with("0000000000000000"), "kept nothing: {line}");
    }
    // Nothing was added; or something was, and the engine was told to forbid what is on files.
    for (added, engine) in [("-all", [].as_slice()), ("-all,+bpf,+perfmon", &["--no-new-privs"])] {
        let collector = contained(&binary, added, engine);
        collector.exposes("digital_actors_ebpf_up 0");
        collector.logged(&["missing CAP_BPF and CAP_PERFMON"]);
    }
}

#[test]
fn a_container_engine_that_forbids_bpf_is_not_taken_for_an_old_kernel() {
    let _turn = beside([NAME]);
    if let Some(why) = cant_drop() {
        return skip(&why);
    }
    let collector = ServerProgram::start(&["collect"], "", |command| {
        // SAFETY: between fork and exec only async-signal-safe calls are allowed: this is one system
        // call, on values of its own.
        unsafe { command.pre_exec(forbid_bpf) };
    });
    collector.exposes("digital_actors_ebpf_unavailable{reason=\"refused\"} 1");
    collector.logged(&["by a seccomp profile"]);
}

/// From now on bpf(2) fails with EPERM, as under the profile of an engine that does not know CAP_BPF.
fn forbid_bpf() -> std::io::Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let forbidden = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    // `nr` is the first field of `struct seccomp_data`.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_bpf as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, forbidden),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the filter that it points to outlive the call, which copies them.
    let failed = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A collector started as Docker starts the process of a user other than root: what was added is in the
/// bounding set and nowhere else. The first setpriv makes it so, of which the second knows nothing.
fn contained(binary: &Path, added: &str, engine: &[&str]) -> ServerProgram {
    const SETPRIV: &str = "/usr/bin/setpriv";
    ServerProgram::start(&["collect"], "", |command| {
        let mut inside = Command::new(SETPRIV);
        inside.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        inside.args(["--bounding-set", added, SETPRIV]).args(engine);
        inside.arg(binary).args(command.get_args()).env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside.current_dir(command.get_current_dir().expect("a folder")).stderr(Stdio::piped());
        *command = inside;
    })
}

/// As `setcap cap_bpf,cap_perfmon=p` does.
fn permit(binary: &Path) {
    // `struct vfs_cap_data` of linux/capability.h, revision 2, without the flag "effective": permitted
    // and inheritable, 0 to 31, then the same from 32 on, where CAP_PERFMON is 38 and CAP_BPF is 39.
    let words = [0x0200_0000_u32, 0, 0, 1 << (38 - 32) | 1 << (39 - 32), 0];
    let value = words.map(u32::to_le_bytes).concat();
    let path = CString::new(binary.as_os_str().as_bytes()).expect("a path");
    let name = c"security.capability".as_ptr();
    // SAFETY: both strings end with 0 and outlive the call, and the kernel reads `value.len()` bytes.
    let failed =
        unsafe { libc::setxattr(path.as_ptr(), name, value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}
