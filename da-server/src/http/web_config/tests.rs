use super::*;

/// Of "sesame".
const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

fn refused(text: &str) -> String {
    let (line, reason) = WebConfig::parse(text).expect_err(text);
    format!("{}: {reason}", line.expect("a line"))
}

#[test]
fn what_exporters_understand_is_understood() {
    let text = format!(
        "# as in its documentation\ntls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n\
         \x20 client_auth_type: \"RequireAndVerifyClientCert\"\n  client_ca_file: ca.crt\n\
         \x20 min_version: \"TLS13\"\nbasic_auth_users:\n  alice: {HASH}\n  bob: '{HASH}'\n\
         http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    );
    let config = WebConfig::parse(&text).expect("parses");
    let tls = config.tls_server_config.as_ref().expect("TLS");
    assert_eq!(tls.cert_file, Path::new("server.crt"));
    assert_eq!(tls.client_auth_type, ClientAuth::RequireAndVerifyClientCert);
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert!(config.basic_auth_users.keys().eq(["alice", "bob"]));
    assert_eq!(config.headers().expect("headers")["x-frame-options"], "deny");
}

#[test]
fn what_is_not_said_is_as_exporters_have_it() {
    let text = "tls_server_config: {cert_file: a, key_file: b}\n";
    let tls = WebConfig::parse(text).expect("parses").tls_server_config.expect("TLS");
    assert_eq!(
        (tls.client_auth_type, tls.min_version),
        (ClientAuth::NoClientCert, TlsVersion::Tls12)
    );
    for nothing in ["", "# nothing\n", "basic_auth_users: {}\n"] {
        let config = WebConfig::parse(nothing).expect("parses");
        assert!(config.tls_server_config.is_none() && config.basic_auth_users.is_empty());
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_may_stand_there() {
    for (text, said) in [
        (
            "users:\n  a: b\n",
            "1: unknown key \"users\": here may stand tls_server_config, basic_auth_users",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  cipher_suites: []\n  key_file: b\n",
            "3: unknown key \"cipher_suites\"",
        ),
        ("tls_server_config:\n  cert_file: a\n", "the key \"key_file\" is missing"),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}",
            "\"RequestClientCert\" is none of NoClientCert, VerifyClientCertIfGiven",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}",
            "is none of TLS12, TLS13",
        ),
        ("http_server_config:\n  headers:\n    Set-Cookie: a\n", "3: \"Set-Cookie\" is none of"),
        ("http_server_config:\n  http2: false\n", "2: unknown key \"http2\""),
        ("http_server_config: [\n", "YAML"),
    ] {
        let found = refused(text);
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[test]
fn a_password_that_stands_where_its_hash_should_is_not_repeated() {
    for text in [
        "basic_auth_users:\n  alice: hunter2\n",
        "basic_auth_users: hunter2\n",
        "basic_auth_users:\n  alice: [hunter2]\n",
        "basic_auth_users:\n  alice: {hunter2: x}\n",
        "basic_auth_users:\n  - hunter2\n",
        "basic_auth_users:\n  alice: \"hunter2\n",
        "basic_auth_users:\n  alice: $2b$20$hunter2\n",
        "basic_auth_users:\n  alice: !!int hunter2\n",
        "basic_auth_users:\n  alice: *hunter2\n",
    ] {
        let (_, said) = WebConfig::parse(text).expect_err(text);
        assert!(!said.contains("hunter2"), "{text}: {said}");
    }
    assert!(refused("basic_auth_users:\n  alice: hunter2\n").starts_with("2: not a bcrypt hash"));
    let dear = HASH.replacen("$04$", "$31$", 1);
    let said = refused(&format!("basic_auth_users:\n  alice: {dear}\n"));
    assert!(said.contains("cost of 31"), "{said}");
}
