//! A player who says one line, and takes what comes of it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::players::player::connect;

/// Longer than the longest answer takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// Connects, says a line, and waits for the end of its turn, well or not.
pub async fn ask_once(server: SocketAddr) -> Result<()> {
    let mut player = connect(server).await?;
    player.say("Ahoy").await;
    player.wait_within(PATIENCE, "turn_end").await;
    Ok(())
}
