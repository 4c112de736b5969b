//! Passwords that are tried as fast as can be, while a scraper comes for the first time.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::case::{Case, play};
use crate::server::Settings;

/// What takes about as long as a person's patience allows: 30 ms in each.
const COST: u32 = 9;

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// The status of a scrape by somebody at this address.
async fn scrape(server: SocketAddr, from: &str, credentials: &str) -> std::io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from.parse().expect("an address"))?;
    let mut socket = socket.connect(server).await?;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{credentials}\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1).unwrap_or("nothing").to_owned())
}

#[test]
fn a_flood() {
    let case = Case {
        done: "40 clients of one address try passwords without a pause, and a scraper of another comes",
        expected: "200",
    };
    let folder = tempfile::tempdir().expect("folder");
    let mut users = "basic_auth_users:\n".to_owned();
    for user in ["operator", "scraper"] {
        let hash = bcrypt::hash("s3cret", COST).expect("hashed");
        writeln!(users, "  {user}: {hash}").expect("written");
    }
    let file = folder.path().join("web.yml");
    std::fs::write(&file, users).expect("written");
    let settings = Settings { headers: basic("operator", "s3cret"), ..Settings::healthy() }
        .set("DA_METRICS__WEB_CONFIG_FILE", file.display());
    play(&case, settings, async |server| {
        let (address, over) = (server.address, Arc::new(AtomicBool::new(false)));
        let flood = (0..40).map(|_| {
            let over = over.clone();
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let _ = scrape(address, "127.0.0.1:0", &basic("scraper", "guess")).await;
                }
            })
        });
        let flood: Vec<_> = flood.collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let came = scrape(address, "127.0.0.2:0", &basic("scraper", "s3cret")).await;
        over.store(true, Ordering::Relaxed);
        for client in flood {
            client.await.expect("no panic");
        }
        came.expect("an answer")
    });
}
