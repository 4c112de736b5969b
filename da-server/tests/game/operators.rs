//! What operators and browsers ask the server for.

use da_testkit::promtool;
use serde_json::Value;

use crate::server::Server;

/// The seven families that dashboards have had from the first, by their whole names.
const FIRST_FAMILIES: [&str; 7] = [
    "digital_actors_requests_total",
    "digital_actors_errors_total",
    "digital_actors_response_time_seconds",
    "digital_actors_llm_latency_seconds",
    "digital_actors_tts_latency_seconds",
    "digital_actors_db_query_time_seconds",
    "digital_actors_active_sessions",
];

fn edges(text: &str, family: &str) -> Vec<String> {
    let bucket = format!("digital_actors_{family}_bucket");
    let mut edges = Vec::new();
    for line in text.lines().filter(|line| line.starts_with(&bucket)) {
        let edge = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let edge = edge.expect("edge").to_owned();
        if edges.contains(&edge) {
            break;
        }
        edges.push(edge);
    }
    edges
}

#[tokio::test]
async fn a_server_that_nobody_has_played_on_exports_the_first_families() {
    let server = Server::start().await;
    let response = server.request("/metrics").send().await.expect("answer");
    let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.expect("text");
    for family in FIRST_FAMILIES {
        assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
    }
    for (family, expected) in [
        ("response_time_seconds", "0.1 0.5 1 2 5 10 30 60 +Inf"),
        ("llm_latency_seconds", "0.1 0.5 1 2 5 10 30 60 +Inf"),
        ("tts_latency_seconds", "0.1 0.5 1 2 5 10 +Inf"),
        ("db_query_time_seconds", "0.001 0.005 0.01 0.05 0.1 0.5 1 5 +Inf"),
    ] {
        assert_eq!(edges(&text, family).join(" "), expected, "{family}");
    }
    for series in [
        "requests_total{character=\"engineer\",scene=\"submarine\",status=\"rejected\"} 0",
        "requests_total{character=\"clippy\",scene=\"welcome\",status=\"success\"} 0",
        "errors_total{error_type=\"llm_timeout\"} 0",
        "websocket_closes_total{reason=\"slow_player\"} 0",
        "build_info{commit=",
    ] {
        assert!(text.contains(&format!("\ndigital_actors_{series}")), "{series}");
    }
    assert!(!text.contains("key-that-nobody-may-see"));
}

#[tokio::test]
async fn every_family_is_in_the_documentation() {
    let documentation = include_str!("../../../docs/METRICS.md");
    let server = Server::start().await;
    let text = server.request("/metrics").send().await.expect("answer").text().await;
    let text = text.expect("text");
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut of_the_game = 0;
    for (family, kind) in families.filter_map(|family| family.rsplit_once(' ')) {
        match family.strip_prefix("digital_actors_") {
            Some("build_info") => assert!(documentation.contains("`build_info{")),
            Some(family) => {
                let row = format!("| `{family}` | {kind} ");
                assert!(documentation.contains(&row), "METRICS.md has no row {row}");
                of_the_game += 1;
            }
            None => assert!(documentation.contains(&format!("`{family}`")), "{family}"),
        }
    }
    assert!(of_the_game > 25, "{of_the_game} families");
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    player.hear_turn().await;
    let text = server.request("/metrics").send().await.expect("answer").text().await;
    promtool::finds_nothing_in(&text.expect("text"));
}

#[tokio::test]
async fn metrics_can_ask_for_a_token() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "open-sesame\n").expect("written");
    let path = file.path().to_owned();
    let server = Server::with(|config| config.metrics.bearer_token_file = Some(path)).await;
    let status = async |token: Option<&str>| {
        let request = server.request("/metrics");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.expect("answer").status().as_u16()
    };
    assert_eq!(status(Some("open-sesame")).await, 200);
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("open-sesam")).await, 401);
    let health = server.request("/health").send().await.expect("answer").status();
    assert_eq!(health, 200, "a load balancer needs no token");
}

#[tokio::test]
async fn metrics_can_have_a_listener_of_their_own() {
    let (server, at) = Server::with_metrics_apart(|_| {}).await;
    let http = da_server::provider::http_client(&Default::default()).expect("client");
    let status = async |url: String| http.get(url).send().await.expect("answer").status().as_u16();
    assert_eq!(status(format!("http://{at}/metrics")).await, 200);
    assert_eq!(status(format!("http://{at}/health")).await, 200);
    assert_eq!(status(format!("http://{at}/")).await, 404);
    assert_eq!(status(format!("http://{}/metrics", server.address)).await, 404);
    assert_eq!(status(format!("http://{}/", server.address)).await, 200);
}

#[tokio::test]
async fn health_names_the_parts() {
    let server = Server::start().await;
    let health: Value =
        server.request("/health").send().await.expect("answer").json().await.expect("JSON");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["store"]["status"], "ok");
    assert_eq!(health["voice"]["status"], "ok");
    assert_eq!(health["llm"]["provider"], "anthropic");
    assert_eq!(health["kernel"]["why"], "disabled");
    let broken = Server::with(|config| config.store.path = "/nonexistent/x.sqlite".into()).await;
    let response = broken.request("/health").send().await.expect("answer");
    assert_eq!(response.status(), 200, "players can still play");
    let health: Value = response.json().await.expect("JSON");
    assert_eq!(health["store"]["status"], "missing");
}

#[tokio::test]
async fn the_public_configuration_holds_what_a_page_needs_and_no_secret() {
    let server = Server::start().await;
    let text =
        server.request("/api/config").send().await.expect("answer").text().await.expect("text");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let scenes = config["scenes"].as_array().expect("scenes");
    let submarine = scenes.iter().find(|scene| scene["id"] == "submarine").expect("submarine");
    assert_eq!(submarine["character"]["name"], "Tomas Varga");
    assert_eq!(submarine["variables"][0]["label"], "Oxygen");
    assert_eq!(submarine["controls"][0]["id"], "reserve_air");
    assert_eq!(config["audio_mime"], "audio/mpeg");
    for secret in ["key-that-nobody", "back_story", "instructions", "voice-of-the-file", ".sqlite"]
    {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_page_is_strict_and_cheap_to_load_again() {
    let server = Server::start().await;
    let scripts = ["/app.js", "/clip.js", "/connection.js", "/mp3.js", "/voice.js"];
    for path in scripts.into_iter().chain(["/", "/style.css"]) {
        let response = server.request(path).send().await.expect("answer");
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers().clone();
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let again = server.request(path).header("if-none-match", &headers["etag"]);
        assert_eq!(again.send().await.expect("answer").status(), 304, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let server = Server::start().await;
    let response = server.request("/etc/passwd").send().await.expect("answer");
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "not_found");
    let response = server.request("/ws").send().await.expect("answer");
    assert_eq!(response.status(), 426);
}

#[tokio::test]
async fn an_operators_voice_replaces_the_scenes() {
    let voice = ("listener".to_owned(), "voice-of-the-operator".to_owned());
    let server = Server::with(|config| config.game.voices.extend([voice])).await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    player.hear_turn().await;
    server.standin.idle().await;
    let spoken_as = |voice: &str| {
        server.standin.log().iter().any(|entry| {
            matches!(&entry.event, da_standin::Event::Request { path, .. } if path.contains(voice))
        })
    };
    assert!(spoken_as("voice-of-the-operator") && !spoken_as("voice-of-the-file"));
}
