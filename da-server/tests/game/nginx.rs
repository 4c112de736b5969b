//! The site of `deploy/nginx` in a real nginx, in front of a real server: what players reach through it,
//! and what nobody does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use da_server::config::Config;
use da_server::provider::{HttpConfig, http_client};
use da_standin::Plan;
use da_testkit::player::{Player, Received};
use da_testkit::program::Program;
use da_testkit::programs::are_there;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::StatusCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite;

use crate::server::{PATIENCE, Server};

const SITE: &str = include_str!("../../../deploy/nginx/digital-actors.conf");
/// What the page loads.
const PAGE: [&str; 7] =
    ["/", "/style.css", "/app.js", "/clip.js", "/connection.js", "/mp3.js", "/voice.js"];

const NAME: &str = "game.example";
const ORIGIN: &str = "https://game.example";

/// A server, and nginx in front of it.
struct Site {
    server: Server,
    http: SocketAddr,
    https: SocketAddr,
    client: reqwest::Client,
    /// Leads into nginx's TLS: players here speak none.
    relay: SocketAddr,
    _nginx: Program,
}

impl Site {
    /// In front of a server on its loopback address, which is told nothing of the site.
    async fn start() -> Self {
        Self::before(|config| {
            assert!(config.listen.ip().is_loopback());
            assert!(config.websocket.allowed_origins.is_empty());
        })
        .await
    }

    /// In front of a server with this configuration.
    async fn before(configure: impl FnOnce(&mut Config)) -> Self {
        let server = Server::with(configure).await;
        let upstream = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
        let [http, https] = free_addresses();
        let folder = server.folder.path().to_owned();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let (certificate, key) = (folder.join("site.pem"), folder.join("site.key"));
        std::fs::write(&certificate, cert.pem()).expect("written");
        std::fs::write(&key, signing_key.serialize_pem()).expect("written");

        let site = adapted(&[
            ("listen 80;", &format!("listen {http};")),
            ("listen [::]:80;", ""),
            ("listen 443 ssl;", &format!("listen {https} ssl;")),
            ("listen [::]:443 ssl;", ""),
            ("/etc/letsencrypt/live/game.example/fullchain.pem", path(&certificate)),
            ("/etc/letsencrypt/live/game.example/privkey.pem", path(&key)),
            ("server 127.0.0.1:8888;", &format!("server {upstream};")),
        ]);
        let nginx = nginx(&folder, &site);
        await_listener(https).await;

        let resolve = [(NAME.to_owned(), https)].into();
        let settings =
            HttpConfig { ca_file: Some(certificate.clone()), resolve, ..HttpConfig::default() };
        let client = http_client(&settings).expect("a client");
        let relay = relay(https, &certificate).await;
        Self { server, http, https, client, relay, _nginx: nginx }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("https://{NAME}:{}{path}", self.https.port());
        self.client.get(url).send().await.expect("an answer")
    }

    /// A player whose browser asks for the site by its name, for a page of `origin`.
    async fn player(&self, origin: &str) -> Result<Player, tungstenite::Error> {
        Player::connect_with(self.relay, &[("host", NAME), ("origin", origin)]).await
    }
}

/// The site with these texts replaced, each of which must be in it.
fn adapted(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SITE.to_owned(), |site, (from, to)| {
        assert!(site.contains(from), "{from} is not in the site");
        site.replace(from, to)
    })
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// nginx with this site alone, once it has found nothing to say about it.
fn nginx(folder: &Path, site: &str) -> Program {
    let http = format!("access_log off;\n{site}");
    let command = || da_testkit::nginx::command(folder, &http).expect("written");
    let judged = command().arg("-t").output().expect("nginx is installed");
    let said = String::from_utf8_lossy(&judged.stderr).into_owned();
    assert!(judged.status.success() && !said.contains("[warn]"), "{said}");
    Program::start(command(), &folder.join("nginx.log")).expect("started")
}

/// Two of this host that nobody listens on.
fn free_addresses() -> [SocketAddr; 2] {
    [(), ()]
        .map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .map(|listener| listener.local_addr().expect("its address"))
}

async fn await_listener(address: SocketAddr) {
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.expect("nginx listens");
}

/// Where a connection is carried on to `site`, behind TLS that trusts `certificate`.
async fn relay(site: SocketAddr, certificate: &Path) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut player, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let onwards = TcpStream::connect(site).await.expect("connected");
                let name = ServerName::try_from(NAME).expect("a name");
                let mut onwards = connector.connect(name, onwards).await.expect("TLS");
                // However it ends, the player hears of it.
                let _ = copy_bidirectional(&mut player, &mut onwards).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn players_reach_the_game_and_nobody_what_operators_see() {
    if !are_there(&["nginx"]) {
        return;
    }
    let site = Site::start().await;
    for path in PAGE.into_iter().chain(["/api/config"]) {
        let answer = site.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.headers().contains_key("strict-transport-security"), "{path}");
    }
    for path in ["/metrics", "/calls", "/calls/api.js", "/api/calls", "/health"] {
        let direct = site.server.request(path).send().await.expect("an answer");
        assert_eq!(direct.status(), StatusCode::OK, "{path} is there");
        for tried in [path.to_owned(), format!("/{path}"), format!("{path}?a=b")] {
            assert_eq!(site.get(&tried).await.status(), StatusCode::NOT_FOUND, "{tried}");
        }
    }
    assert_eq!(site.get("/api/calls/live").await.status(), StatusCode::NOT_FOUND);
    let plain = site.client.get(format!("http://{}/?a=b", site.http)).header("host", NAME);
    let answer = plain.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers()["location"], "https://game.example/?a=b");
}

#[tokio::test]
async fn a_player_plays_through_it() {
    if !are_there(&["nginx"]) {
        return;
    }
    let site = Site::start().await;
    site.server.llm_plan(Plan { text: Some("Heard through nginx.".into()), ..Plan::default() });
    let mut player = site.player(ORIGIN).await.expect("connected");
    player.start("quiet").await;
    player.say("Can you hear me?").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.text().as_str(), turn.status.as_str()), ("Heard through nginx.", "success"));
    assert!(turn.audio_ended && !turn.audio.is_empty(), "and the voice");
    player.leave().await;

    for other in ["https://evil.example", "http://localhost", "https://game.example:8443"] {
        let refused = site.player(other).await.err().expect("refused");
        assert!(
            matches!(&refused, tungstenite::Error::Http(answer) if answer.status() == 403),
            "{other}"
        );
    }
}

/// It goes by the name that nginx was asked for.
#[tokio::test]
async fn a_server_on_other_addresses_need_not_be_told_the_name_of_the_site() {
    if !are_there(&["nginx"]) {
        return;
    }
    let site = Site::before(|config| {
        config.listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
        assert!(config.websocket.allowed_origins.is_empty());
    })
    .await;
    site.server.llm_plan(Plan { text: Some("Heard without a list.".into()), ..Plan::default() });
    let mut player = site.player(ORIGIN).await.expect("connected");
    player.start("quiet").await;
    player.say("Can you hear me?").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.text().as_str(), turn.status.as_str()), ("Heard without a list.", "success"));
    player.leave().await;

    let refused = site.player("https://evil.example").await.err().expect("refused");
    assert!(matches!(&refused, tungstenite::Error::Http(answer) if answer.status() == 403));
}

/// They come through nginx from one address, whatever they say themselves.
#[tokio::test]
async fn players_are_counted_by_the_address_that_nginx_names() {
    if !are_there(&["nginx"]) {
        return;
    }
    let site = Site::before(|config| {
        config.websocket.starts_per_minute_per_address = 3;
    })
    .await;
    let come = async |said: &str| {
        let headers = [("host", NAME), ("origin", ORIGIN), ("x-forwarded-for", said)];
        let mut player = Player::connect_with(site.relay, &headers).await.expect("connected");
        player.send(serde_json::json!({"type": "start", "scene": "quiet"})).await;
        match player.receive().await {
            Received::Message(message) => message["code"].as_str().map(str::to_owned),
            other => panic!("{other:?}"),
        }
    };
    let mut answers = Vec::new();
    for number in 0..6 {
        answers.push(come(&format!("192.0.2.{number}")).await);
    }
    let refused = Some("too_many_starts".to_owned());
    assert_eq!(answers[..3], [None, None, None]);
    assert!(answers.contains(&refused), "{answers:?}");
}
