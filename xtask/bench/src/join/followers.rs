//! Those who want to hear of every call as it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{threads, wait_until};

/// How each call begins in a stream of server-sent events.
const CALL: &[u8] = b"event: call\n";

/// So many of them, until this is dropped.
pub struct Followers {
    heard: Vec<Arc<AtomicUsize>>,
    _runtime: Runtime,
}

impl Followers {
    /// They follow from when this returns.
    pub fn start(server: SocketAddr, count: usize) -> Result<Self> {
        let runtime = threads::runtime("bench-followers")?;
        let mut heard = Vec::new();
        for _ in 0..count {
            let stream = runtime.block_on(follow(server))?;
            let calls = Arc::new(AtomicUsize::new(0));
            heard.push(Arc::clone(&calls));
            runtime.spawn(listen(stream, calls));
        }
        Ok(Self { heard, _runtime: runtime })
    }

    /// How many calls each has heard of, as soon as all have of so many.
    pub fn heard_until(&self, calls: usize) -> Result<Vec<usize>> {
        let heard = || self.heard.iter().map(|heard| heard.load(Ordering::Relaxed));
        wait_until(|| Ok(heard().all(|heard| heard >= calls)))?;
        Ok(heard().collect())
    }
}

/// Asks to follow, and hears that it does.
async fn follow(server: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(b"GET /api/calls/live HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    ensure!(status == *b"HTTP/1.1 200", "a follower was turned away");
    Ok(stream)
}

/// Counts calls until the stream ends.
async fn listen(mut stream: TcpStream, calls: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[kept..]).await {
        let end = kept + read;
        let count = buffer[..end].windows(CALL.len()).filter(|bytes| *bytes == CALL).count();
        calls.fetch_add(count, Ordering::Relaxed);
        // One may be cut in two.
        kept = end.min(CALL.len() - 1);
        buffer.copy_within(end - kept..end, 0);
    }
}
