//! A TCP socket that notes when its reads and writes happen, under TLS or bare.
//!
//! The notes are taken around the system calls themselves, beneath the encryption, so that they
//! name what the kernel and the peer saw.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::clock::now_ns;

/// When a socket was used, in nanoseconds of [`now_ns`], and how much went through it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notes {
    /// The first read since [`Notes::start_reading`] returned.
    pub(crate) first_read_ns: Option<u64>,
    /// The latest read returned.
    pub(crate) last_read_ns: u64,
    /// Just before the first write since [`Notes::start_writing`].
    pub(crate) first_write_ns: Option<u64>,
    /// The latest write returned.
    pub(crate) last_write_ns: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl Notes {
    pub(crate) fn start_reading(&mut self) {
        self.first_read_ns = None;
    }

    pub(crate) fn start_writing(&mut self) {
        self.first_write_ns = None;
    }

    fn read(&mut self, bytes: usize) {
        let now = now_ns();
        self.first_read_ns.get_or_insert(now);
        self.last_read_ns = now;
        self.read_bytes += bytes as u64;
    }

    fn wrote(&mut self, before_ns: u64, bytes: usize) {
        self.first_write_ns.get_or_insert(before_ns);
        self.last_write_ns = now_ns();
        self.written_bytes += bytes as u64;
    }
}

/// The notes of one socket, readable while the socket is inside a TLS stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook(Arc<Mutex<Notes>>);

impl Notebook {
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket with a notebook.
pub(crate) struct NotedSocket {
    stream: TcpStream,
    notebook: Notebook,
}

impl NotedSocket {
    pub(crate) fn new(stream: TcpStream, notebook: Notebook) -> NotedSocket {
        NotedSocket { stream, notebook }
    }

    pub(crate) fn notebook(&self) -> Notebook {
        self.notebook.clone()
    }
}

impl AsyncRead for NotedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            this.notebook.notes().read(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for NotedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let before_ns = now_ns();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.notebook.notes().wrote(before_ns, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let before_ns = now_ns();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        this.notebook.notes().wrote(before_ns, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// What HTTP is spoken over.
pub(crate) enum Transport {
    Plain(NotedSocket),
    Tls(Box<TlsStream<NotedSocket>>),
}

impl Transport {
    fn socket(&self) -> &NotedSocket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.socket().notebook.notes()
    }

    /// Appends what has come to `buffer`; 0 is the end of the stream.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read_buf(buffer).await,
            Transport::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Hands all of `bytes` to the kernel, as one write unless the socket's buffer is full or they
    /// need more than one TLS record (16 KiB). Returns the time just before the first write.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.notes().start_writing();
        match self {
            Transport::Plain(socket) => socket.write_all(bytes).await?,
            Transport::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
        }
        Ok(self.notes().first_write_ns.unwrap_or_else(now_ns))
    }

    /// Says goodbye: close_notify under TLS, then FIN.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.shutdown().await,
            Transport::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Makes the close that follows send RST and drop what the kernel has not sent yet.
    pub(crate) fn reset_on_close(&mut self) -> io::Result<()> {
        self.socket().stream.set_zero_linger()
    }
}
