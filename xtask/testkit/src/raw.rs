//! A server that sends given bytes in given pieces and knows no protocol: what no stand-in would do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As HTTP has it.
    Clean,
    /// The connection is closed where the body should go on.
    Cut,
    /// The connection is reset there.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Silence,
}

/// What every request is answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `content-type`; none is sent if it is empty.
    pub media_type: &'static str,
    /// Each is a chunk of HTTP and a write.
    pub chunks: Vec<Vec<u8>>,
    /// Waited for before each chunk but the first.
    pub pause: Duration,
    /// After the last chunk.
    pub ending: Ending,
}

/// Where it is found, and how many requests it has had.
pub struct Raw {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Raw {
    /// Answers every request like this, for as long as the runtime lives.
    pub async fn serve(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, counted) = (answer.clone(), counted.clone());
                // A client that leaves early is its own affair.
                tokio::spawn(async move { converse(socket, &answer, &counted).await });
            }
        });
        Self { address, requests }
    }

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn converse(
    mut socket: TcpStream,
    answer: &Answer,
    counted: &AtomicUsize,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    while read_request(&mut socket).await? {
        counted.fetch_add(1, Ordering::Relaxed);
        let media_type = match answer.media_type {
            "" => String::new(),
            media_type => format!("content-type: {media_type}\r\n"),
        };
        let head = format!("HTTP/1.1 200 OK\r\n{media_type}transfer-encoding: chunked\r\n\r\n");
        socket.write_all(head.as_bytes()).await?;
        for (index, chunk) in answer.chunks.iter().enumerate() {
            if index > 0 && !answer.pause.is_zero() {
                tokio::time::sleep(answer.pause).await;
            }
            let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            socket.write_all(&framed).await?;
        }
        match answer.ending {
            Ending::Clean => socket.write_all(b"0\r\n\r\n").await?,
            Ending::Cut => return Ok(()),
            Ending::Reset => {
                // The client is to have read what was sent: a reset throws the rest away.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return socket.set_zero_linger();
            }
            Ending::Silence => std::future::pending().await,
        }
    }
    Ok(())
}

/// Whether there was one.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = Vec::new();
    loop {
        let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
            if request.len() >= head + 4 + length {
                return Ok(true);
            }
        }
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(false);
        }
    }
}
