//! A player in the benchmark's scene.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use da_testkit::player::{Player, Received};

use super::server::SCENE;

/// Connects and begins.
pub async fn connect(server: SocketAddr) -> Result<Player> {
    let connected = Player::connect_from(server, None).await;
    let mut player = connected.context("the server does not listen")?;
    player.start(SCENE).await;
    Ok(player)
}

/// Says one line after the other, and returns how long each took to be answered, milliseconds.
pub async fn speak_until(mut player: Player, end: Instant) -> Result<Vec<f64>> {
    let mut took_ms = Vec::new();
    while Instant::now() < end {
        let said = Instant::now();
        player.say("Tell me what you see from up there.").await;
        let turn = player.hear_turn().await;
        ensure!(turn.status == "success", "a turn ended as {}: {:?}", turn.status, turn.errors);
        took_ms.push(said.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took_ms)
}

/// Stays, and answers pings.
pub async fn listen(mut player: Player) -> Result<()> {
    while !matches!(player.receive().await, Received::Closed(_)) {}
    bail!("the server closed the connection")
}
