//! TLS on the listener for metrics, and certificates of those who come.

use std::net::SocketAddr;

use da_testkit::certificates::{Identity, client};
use da_testkit::server::{ServerProgram, get};
use rustls::version::{TLS12, TLS13};

use crate::access::{Files, collector, users};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A collector with a listener for metrics of its own, which this guards; and where both are.
fn guarded(files: &Files, web: &str) -> (ServerProgram, SocketAddr, SocketAddr) {
    let web = files.add("web.yml", web);
    let toml = format!("[metrics]\nlisten = '127.0.0.1:0'\nweb_config_file = {web:?}\n");
    let collector = collector(&toml);
    let [main, metrics] = collector.listens(2)[..] else { panic!("two listeners") };
    (collector, main, metrics)
}

/// The status of `/metrics` for a client, or that there was none.
async fn status(client: reqwest::Client, at: SocketAddr) -> Option<u16> {
    let request = client.get(format!("https://localhost:{}/metrics", at.port()));
    let response = request.basic_auth("alice", Some("alice-s3cret")).send().await.ok()?;
    Some(response.status().as_u16())
}

#[tokio::test]
async fn metrics_are_served_over_tls_and_the_other_listener_is_as_it_was() {
    let files = Files::new();
    let [server, other] = ["server", "other"].map(|name| Identity::make(files.folder(), name));
    let web = format!(
        "tls_server_config: {{cert_file: server.pem, key_file: server.key, min_version: TLS13}}\n\
         {}http_server_config:\n  headers: {{Strict-Transport-Security: max-age=60}}\n",
        users(&["alice"])
    );
    let (collector, main, metrics) = guarded(&files, &web);
    assert_eq!(status(client(&server, None, BOTH), metrics).await, Some(200));
    assert_eq!(status(client(&other, None, BOTH), metrics).await, None, "nobody vouches for it");
    assert_eq!(status(client(&server, None, &[&TLS12]), metrics).await, None, "too old");
    assert_eq!(get(main, "/health", "").0, 200);
    assert_eq!(get(main, "/metrics", "").0, 404);

    let at = format!("https://127.0.0.1:{}/metrics", metrics.port());
    let response = client(&server, None, BOTH).get(at).send().await.expect("an answer");
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["strict-transport-security"], "max-age=60");
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let log = collector.log().join("\n");
    assert!(log.contains("\"tls\":true") && !log.contains("PRIVATE"), "{log}");
}

#[tokio::test]
async fn a_server_tells_when_its_certificate_ends() {
    const FAMILY: &str = "digital_actors_tls_certificate_not_after_timestamp_seconds";
    let files = Files::new();
    let server = Identity::make(files.folder(), "server");
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";
    let (_collector, _, metrics) = guarded(&files, web);
    let at = format!("https://127.0.0.1:{}/metrics", metrics.port());
    let response = client(&server, None, BOTH).get(at).send().await.expect("an answer");
    let text = response.text().await.expect("text");
    let mut series = text.lines().filter_map(|line| line.strip_prefix(FAMILY));
    let value: f64 = series.next().expect("it is there").trim().parse().expect("a number");
    let (year, month, day) = Identity::ENDS;
    let ends = rcgen::date_time_ymd(year, month, day).unix_timestamp();
    assert_eq!((value, series.next()), (ends as f64, None));

    let without = collector("").get("/metrics").1;
    assert!(!without.contains(FAMILY), "there is no certificate");
}

#[tokio::test]
async fn clients_can_be_asked_for_certificates() {
    let files = Files::new();
    let [server, known, stranger] =
        ["server", "known", "stranger"].map(|name| Identity::make(files.folder(), name));
    for (asking, without) in
        [("RequireAndVerifyClientCert", None), ("VerifyClientCertIfGiven", Some(200))]
    {
        let web = format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n\
             \x20 client_ca_file: known-ca.pem\n  client_auth_type: {asking}\n"
        );
        let (_collector, _, metrics) = guarded(&files, &web);
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let client = |showing| client(&server, showing, versions);
            assert_eq!(status(client(Some(&known)), metrics).await, Some(200), "{asking}");
            assert_eq!(status(client(Some(&stranger)), metrics).await, None, "{asking}");
            assert_eq!(status(client(None), metrics).await, without, "{asking}");
        }
    }
}

#[test]
fn files_that_dont_go_together_end_it() {
    let files = Files::new();
    for name in ["server", "other"] {
        Identity::make(files.folder(), name);
    }
    for (tls, said) in [
        ("cert_file: server.pem, key_file: other.key", "don't go together"),
        ("cert_file: server.key, key_file: server.key", "has no CERTIFICATE block"),
        ("cert_file: server.pem, key_file: server.pem", "has no PRIVATE KEY block"),
        ("cert_file: nowhere.pem, key_file: server.key", "can't read cert_file"),
        (
            "cert_file: server.pem, key_file: server.key, client_ca_file: server.pem",
            "client_auth_type asks for no certificate",
        ),
        (
            "cert_file: server.pem, key_file: server.key, client_auth_type: VerifyClientCertIfGiven",
            "there is no client_ca_file",
        ),
    ] {
        let web = files.add("web.yml", &format!("tls_server_config: {{{tls}}}\n"));
        let toml = format!("[metrics]\nlisten = '127.0.0.1:0'\nweb_config_file = {web:?}\n");
        let (mut command, _folder) = da_testkit::server::command(&["collect"], &toml);
        let output = command.env("DA_KERNEL__ENABLED", "false").output().expect("ran");
        assert_eq!(output.status.code(), Some(1), "{tls}");
        let log = String::from_utf8(output.stderr).expect("text");
        assert!(log.contains(said), "{said}: {log}");
    }
}
