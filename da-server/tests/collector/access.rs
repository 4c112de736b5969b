//! Who may see the metrics: a token, users, or everyone, who is warned of.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use da_testkit::server::{ServerProgram, command, get};
use tempfile::TempDir;

const UNGUARDED: &str = "can be read by anyone who reaches this address";

/// Files that guard the metrics, which nobody else on this host may read.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    pub fn add(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        write(&path, text).expect("written");
        set_permissions(&path, Permissions::from_mode(0o600)).expect("permissions");
        path
    }

    pub fn folder(&self) -> &std::path::Path {
        self.0.path()
    }
}

/// `basic_auth_users` in which the name is also the password's beginning.
pub fn users(names: &[&str]) -> String {
    let user = |name: &&str| {
        let hash = bcrypt::hash(format!("{name}-s3cret"), 4).expect("hashed");
        format!("  {name}: {hash}\n")
    };
    format!("basic_auth_users:\n{}", names.iter().map(user).collect::<String>())
}

pub fn collector(toml: &str) -> ServerProgram {
    ServerProgram::start(&["collect"], toml, |command| {
        command.env("DA_KERNEL__ENABLED", "false");
    })
}

fn basic(pair: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(pair))
}

#[test]
fn a_token_or_a_user_will_do_and_nothing_else() {
    let files = Files::new();
    let token = files.add("token", "t0ken-s3cret\n");
    let web = files.add("web.yml", &users(&["alice", "bob"]));
    let both = format!("[metrics]\nbearer_token_file = {token:?}\nweb_config_file = {web:?}\n");
    let only_users = format!("[metrics]\nweb_config_file = {web:?}\n");
    let right_token = "authorization: Bearer t0ken-s3cret\r\n".to_owned();
    for (toml, has_token) in [(both, true), (only_users, false)] {
        let collector = ServerProgram::start(&["collect"], &toml, |command| {
            command.envs([("DA_KERNEL__ENABLED", "false"), ("LOG_LEVEL", "trace")]);
        });
        let at = collector.listens(1)[0];
        for (headers, admitted) in [
            (String::new(), false),
            (basic("alice:alice-s3cret"), true),
            (basic("alice:alice-s3cret"), true),
            (basic("bob:bob-s3cret"), true),
            (basic("alice:bob-s3cret"), false),
            (basic("alice:"), false),
            (basic("mallory:alice-s3cret"), false),
            (basic("alice"), false),
            ("authorization: Basic alice-s3cret\r\n".to_owned(), false),
            (right_token.clone(), has_token),
            ("authorization: Bearer alice-s3cret\r\n".to_owned(), false),
        ] {
            let (status, body) = get(at, "/metrics", &headers);
            assert_eq!(status, if admitted { 200 } else { 401 }, "{headers}: {body}");
            assert_eq!(body.contains("digital_actors_build_info"), admitted);
        }
        assert_eq!(get(at, "/health", "").0, 200, "a load balancer needs no password");
        let log = collector.log().join("\n");
        for secret in ["s3cret", "$2b$", &STANDARD.encode("alice:alice-s3cret")] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in the log");
        }
        assert!(!log.contains("can be read by"), "{log}");
    }
}

#[test]
fn a_refusal_says_what_to_send() {
    let files = Files::new();
    let web = files.add("web.yml", &users(&["alice"]));
    let collector = collector(&format!("[metrics]\nweb_config_file = {web:?}\n"));
    let at = collector.listens(1)[0];
    let head = da_testkit::server::head(at, "/metrics");
    assert!(head.contains("\r\nwww-authenticate: Basic realm=\"da-server\""), "{head}");
}

#[test]
fn metrics_that_strangers_can_read_are_warned_of_once() {
    let public = "listen = '0.0.0.0:0'\n";
    let open = collector(public);
    open.logged(&["\"WARN\"", UNGUARDED, "metrics.bearer_token_file", "metrics.web_config_file"]);
    open.exposes("digital_actors_ebpf_up 0");
    assert_eq!(open.log().iter().filter(|line| line.contains(UNGUARDED)).count(), 1);

    let files = Files::new();
    let web = files.add("web.yml", &users(&["alice"]));
    for guarded in [
        format!("{public}[metrics]\nweb_config_file = {web:?}\n"),
        format!("{public}[metrics]\nlisten = '127.0.0.1:0'\n"),
        String::new(),
    ] {
        let collector = collector(&guarded);
        let log = collector.log().join("\n");
        assert!(!log.contains(UNGUARDED), "{guarded}: {log}");
    }
}

#[test]
fn a_file_that_everyone_can_read_is_warned_of() {
    let files = Files::new();
    let token = files.add("token", "t0ken");
    set_permissions(&token, Permissions::from_mode(0o644)).expect("permissions");
    let collector = collector(&format!("[metrics]\nbearer_token_file = {token:?}\n"));
    collector.logged(&["\"WARN\"", "metrics.bearer_token_file", "everyone on this host", "chmod"]);
}

#[test]
fn a_web_configuration_with_a_mistake_ends_it_with_the_line_and_without_the_secret() {
    let files = Files::new();
    for (text, said) in [
        ("basic_auth_users:\n  alice: s3cret\n", "web.yml:2: not a bcrypt hash"),
        ("rate_limit:\n  burst: 1\n", "web.yml:1: unknown key \"rate_limit\""),
        ("tls_server_config: {cert_file: a, key_file: b}\n", "needs metrics.listen"),
    ] {
        let web = files.add("web.yml", text);
        let toml = format!("[metrics]\nweb_config_file = {web:?}\n");
        let (mut command, _folder) = command(&["collect"], &toml);
        let output = command.env("DA_KERNEL__ENABLED", "false").output().expect("ran");
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).expect("text");
        let log = log.replace("\\\"", "\"");
        assert!(log.contains(said) && !log.contains("s3cret"), "{said}: {log}");
    }
}
