//! A page whose name points at this machine (DNS rebinding) reads nothing here.

use crate::server::Server;

const ROUTES: [&str; 9] = [
    "/",
    "/app.js",
    "/api/config",
    "/ws",
    "/health",
    "/metrics",
    "/calls",
    "/api/calls",
    "/api/calls/live",
];

async fn status(server: &Server, at: std::net::SocketAddr, path: &str, host: &str) -> u16 {
    let request = server.http().get(format!("http://{at}{path}")).header("host", host);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_server_on_loopback_answers_under_names_of_this_machine_alone() {
    let listed = "https://game.example".to_owned();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    let name = name.trim_end();
    let (server, metrics) =
        Server::with_metrics_apart(|config| config.websocket.allowed_origins.push(listed)).await;
    for at in [server.address, metrics] {
        for path in ROUTES.into_iter().chain(["/nowhere"]) {
            let foreign = format!("evil.example:{}", at.port());
            assert_eq!(status(&server, at, path, &foreign).await, 403, "{path}");
            let own = ["localhost", "localhost.", "da.localhost", name, "game.example"]
                .map(|own| format!("{own}:{}", at.port()));
            for own in own.into_iter().chain([at.to_string()]) {
                assert_ne!(status(&server, at, path, &own).await, 403, "{path} of {own}");
            }
        }
    }
    let text = server.request("/metrics").header("host", "evil.example").send().await;
    let text = text.expect("an answer").text().await.expect("text");
    assert!(text.contains("host_refused") && text.contains("localhost"), "{text}");
}

#[tokio::test]
async fn a_server_on_other_addresses_may_have_any_name() {
    let server = Server::with(|config| config.listen.set_ip([0, 0, 0, 0].into())).await;
    let at = ([127, 0, 0, 1], server.address.port()).into();
    assert_eq!(status(&server, at, "/metrics", "game.example").await, 200);
}
