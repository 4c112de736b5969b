//! A provider that speaks all protocols, over plain HTTP or whatever a case greets connections with. What
//! names the [`MARK`] is answered as the case says; everything else as it should be.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use da_standin::Decoder;

/// Who says this is answered by the script. The model says it again, so that its voice hears it, too.
pub const MARK: &str = "hostile";

/// A part of an answer.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// So many bytes at a time, each after such a pause.
    Drip(Vec<u8>, usize, Duration),
    /// The same again and again, until nobody takes it.
    Forever(Vec<u8>, Duration),
    Wait(Duration),
    /// Nothing, until the client leaves.
    Hang,
    Close,
    Reset,
}

/// What is answered to whoever reads like this; `None` is the usual answer.
pub type Script = dyn Fn(Decoder) -> Option<Vec<Step>> + Send + Sync;

/// A connection, however it is carried.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// How a connection begins, and whether it is to begin as the case says or as it should.
pub type Greeting = dyn Fn(TcpStream, bool) -> io::Result<Box<dyn Stream>> + Send + Sync;

pub struct Provider {
    address: SocketAddr,
    /// The authority that vouches for it, if it speaks TLS.
    ca_pem: Option<String>,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    greeting: Box<Greeting>,
    misbehaves: AtomicBool,
    open: AtomicUsize,
}

impl Provider {
    pub fn healthy() -> Self {
        Self::scripted(|_| None)
    }

    /// One that answers whoever names the mark like this.
    pub fn scripted(script: impl Fn(Decoder) -> Option<Vec<Step>> + Send + Sync + 'static) -> Self {
        Self::greeting(None, |socket, _| Ok(Box::new(socket)), script)
    }

    /// One that also begins its connections like this, while it [misbehaves](Self::misbehave).
    pub fn greeting(
        ca_pem: Option<String>,
        greeting: impl Fn(TcpStream, bool) -> io::Result<Box<dyn Stream>> + Send + Sync + 'static,
        script: impl Fn(Decoder) -> Option<Vec<Step>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            greeting: Box::new(greeting),
            misbehaves: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        });
        let served = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let served = served.clone();
                served.open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    // A client that leaves early is its own affair.
                    let _ = served.converse(socket);
                    served.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, ca_pem, shared }
    }

    /// Begins connections as the case says, or no longer.
    pub fn misbehave(&self, misbehaves: bool) {
        self.shared.misbehaves.store(misbehaves, Ordering::SeqCst);
    }

    pub fn base_url(&self) -> String {
        match self.ca_pem {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// What its authority says of itself, written into this folder.
    pub fn ca_file(&self, folder: &Path) -> Option<std::path::PathBuf> {
        let file = folder.join("ca.pem");
        std::fs::write(&file, self.ca_pem.as_ref()?).expect("written");
        Some(file)
    }

    /// How many connections to it are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn converse(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let bare = socket.try_clone()?;
        let mut stream = (self.greeting)(socket, self.misbehaves.load(Ordering::SeqCst))?;
        while let Some((decoder, is_marked)) = read_request(&mut stream)? {
            let script = is_marked.then(|| (self.script)(decoder)).flatten();
            let words = if is_marked { MARK } else { "Aye." };
            for step in script.unwrap_or_else(|| vec![Step::Send(usual(decoder, words))]) {
                if !perform(step, &mut stream, &bare)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Whether the connection goes on.
fn perform(step: Step, stream: &mut Box<dyn Stream>, bare: &TcpStream) -> io::Result<bool> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes)?,
        Step::Drip(bytes, at_once, pause) => {
            for part in bytes.chunks(at_once) {
                thread::sleep(pause);
                stream.write_all(part)?;
            }
        }
        Step::Forever(bytes, pause) => loop {
            stream.write_all(&bytes)?;
            thread::sleep(pause);
        },
        Step::Wait(pause) => thread::sleep(pause),
        Step::Hang => while stream.read(&mut [0; 1024])? > 0 {},
        Step::Close => return Ok(false),
        Step::Reset => {
            rustix::net::sockopt::set_socket_linger(bare, Some(Duration::ZERO))?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Who reads the answer to the next request, and whether that names the mark.
fn read_request(stream: &mut dyn Stream) -> io::Result<Option<(Decoder, bool)>> {
    let mut request = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(head) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).into_owned();
            let length = text.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if request.len() >= head + 4 + length {
                let path = text.split([' ', '?']).nth(1).unwrap_or_default();
                let decoder = Decoder::of_path(path).ok_or(io::ErrorKind::NotFound)?;
                let body = String::from_utf8_lossy(&request[head..]);
                return Ok(Some((decoder, body.contains(MARK))));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
}

/// What a healthy provider answers: these words, or a second of sound.
pub fn usual(decoder: Decoder, words: &str) -> Vec<u8> {
    [head(decoder), chunk(&decoder.piece(words)), chunk(decoder.end()), b"0\r\n\r\n".to_vec()]
        .concat()
}

/// The beginning of an answer in chunks.
pub fn head(decoder: Decoder) -> Vec<u8> {
    let media_type = decoder.media_type();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n")
        .into()
}

/// These bytes as a chunk; none if there are none, for that would be the end.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [] => Vec::new(),
        bytes => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
    }
}
