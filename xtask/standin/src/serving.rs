//! One connection served, from accept() to close().

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use crate::clock::{Alarm, duration_ns, now_ns};
use crate::connection::Connection;
use crate::exchange::{self, Next};
use crate::fault::Fault;
use crate::http::{ReadError, read_request};
use crate::log::{CloseReason, Event};
use crate::shared::Shared;
use crate::socket::{Notebook, NotedSocket, Transport};
use crate::tls::{HANDSHAKE_FAILURE, version_str};

/// How long a client may take to close its end after ours was closed.
const LINGER_NS: u64 = 1_000_000_000;

/// Serves a connection to its end, or until the stand-in is stopped.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    conn: u64,
    accepted_ns: u64,
) {
    let alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(error) => return eprintln!("da-standin: no timer for a connection: {error}"),
    };
    let stop = shared.stop.clone();
    let notebook = Notebook::default();
    let mut connection = Connection { shared, conn, peer, sni: None, host: None, alarm };
    connection.record(accepted_ns, Event::Accept);
    if let Err(error) = stream.set_nodelay(true) {
        // The client may be gone already; then the first read says so.
        eprintln!("da-standin: chunks of connection {conn} may be held back: {error}");
    }
    let socket = NotedSocket::new(stream, notebook.clone());
    let finished = {
        let mut run = pin!(run(&mut connection, socket, accepted_ns));
        tokio::select! {
            finished = &mut run => Some(finished),
            () = stop.cancelled() => None,
        }
    };
    match finished {
        None => connection.record_close(CloseReason::Stopped, &notebook),
        Some(Finished { reason, transport }) => {
            connection.record_close(reason, &notebook);
            if let Some(transport) = transport {
                tokio::select! {
                    () = part(transport, reason, &connection.alarm) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
}

/// Why a connection is over, and what is still open of it.
struct Finished {
    reason: CloseReason,
    transport: Option<Transport>,
}

async fn run(connection: &mut Connection, socket: NotedSocket, accepted_ns: u64) -> Finished {
    let mut transport = match open(connection, socket, accepted_ns).await {
        Ok(Opened::Transport(transport)) => transport,
        Ok(Opened::Refused(socket)) => {
            return Finished {
                reason: CloseReason::BadHandshake,
                transport: Some(Transport::Plain(socket)),
            };
        }
        Err(error) => {
            return Finished { reason: reason_of(&error), transport: None };
        }
    };
    let mut buffer = BytesMut::new();
    let reason = loop {
        let next = match read_request(&mut transport, &mut buffer).await {
            Ok(request) => exchange::answer(connection, &mut transport, request).await,
            Err(ReadError::Bad(status, message)) => {
                exchange::refuse(connection, &mut transport, status, message).await
            }
            Err(ReadError::Closed) => break CloseReason::Client,
            Err(ReadError::Io(error)) => Err(error),
        };
        match next {
            Ok(Next::Request) => {}
            Ok(Next::Close(reason)) => break reason,
            Err(error) => break reason_of(&error),
        }
    };
    Finished { reason, transport: Some(transport) }
}

enum Opened {
    Transport(Transport),
    /// An alert was sent in place of a ServerHello.
    Refused(NotedSocket),
}

async fn open(
    connection: &mut Connection,
    socket: NotedSocket,
    accepted_ns: u64,
) -> io::Result<Opened> {
    // Different from the seeds of the exchanges, which count upwards too.
    let seed = connection.shared.seed.wrapping_sub(connection.conn);
    let mut random = StdRng::seed_from_u64(seed);
    let accept = connection.shared.plans.default_plan().accept_ms.draw(&mut random);
    connection.alarm.until(accepted_ns + duration_ns(accept)).await?;
    match connection.shared.tls.clone() {
        Some(config) => handshake(connection, socket, config, &mut random).await,
        None => Ok(Opened::Transport(Transport::Plain(socket))),
    }
}

async fn handshake(
    connection: &mut Connection,
    socket: NotedSocket,
    config: Arc<ServerConfig>,
    random: &mut StdRng,
) -> io::Result<Opened> {
    let notebook = socket.notebook();
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let hello_ns = notebook.notes().last_read_ns;
    connection.sni = start.client_hello().server_name().map(str::to_ascii_lowercase);
    connection.record(hello_ns, Event::ClientHello);

    let used = connection.shared.plans.for_connection(connection.name());
    let delay = used.plan.handshake_ms.draw(random);
    connection.alarm.until(hello_ns + duration_ns(delay)).await?;
    if let Some(fault) = used.fault(random, |fault| *fault == Fault::BadHandshake) {
        let injected = Event::Fault { exchange: None, kind: fault.as_str() };
        connection.record(now_ns(), injected);
        start.io.write_all(&HANDSHAKE_FAILURE).await?;
        return Ok(Opened::Refused(start.io));
    }

    notebook.notes().start_writing();
    let stream = start.into_stream(config).await?;
    let notes = *notebook.notes();
    let (_, session) = stream.get_ref();
    let version = session.protocol_version();
    let (done_ns, tickets_ns) = match version {
        Some(ProtocolVersion::TLSv1_3) => {
            let tickets_ns = notes.last_write_ns;
            (notes.last_read_ns, (tickets_ns > notes.last_read_ns).then_some(tickets_ns))
        }
        _ => (notes.last_read_ns.max(notes.last_write_ns), None),
    };
    let done = Event::HandshakeDone {
        tls_version: version_str(version),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        hello_retry: session.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest),
        answered_ns: notes.first_write_ns.unwrap_or(notes.last_write_ns),
        tickets_ns,
    };
    connection.record(done_ns, done);
    Ok(Opened::Transport(Transport::Tls(Box::new(stream))))
}

/// Ends a connection as its reason asks for.
async fn part(mut transport: Transport, reason: CloseReason, alarm: &Alarm) {
    match reason {
        CloseReason::Reset => {
            if let Err(error) = transport.reset_on_close() {
                eprintln!(
                    "da-standin: a connection ends with FIN where RST was asked for: {error}"
                );
            }
        }
        CloseReason::Client => drop(transport.shutdown().await),
        CloseReason::ConnectionClose | CloseReason::BadHandshake => {
            if transport.shutdown().await.is_err() {
                return;
            }
            // Closing while the client still sends would make the kernel answer with RST, which
            // may overtake what the client has not read yet.
            let drain = async {
                let mut rest = BytesMut::new();
                while transport.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {
                    rest.clear();
                }
            };
            tokio::select! {
                () = drain => {}
                _ = alarm.until(now_ns() + LINGER_NS) => {}
            }
        }
        CloseReason::TlsError | CloseReason::IoError | CloseReason::Stopped => {}
    }
}

fn reason_of(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CloseReason::Client,
        io::ErrorKind::InvalidData => CloseReason::TlsError,
        _ => CloseReason::IoError,
    }
}
