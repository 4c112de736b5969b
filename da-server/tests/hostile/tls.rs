//! TLS that is wrong in each way, at the provider of the model and of the voice.

mod identity;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::sync::Arc;

use crate::case::{Case, play};
use crate::provider::{MARK, Provider, Step, Stream, chunk, head};
use crate::server::Settings;
use identity::{Authority, Flaw};

/// What is wrong with a connection.
#[derive(Clone, Copy)]
enum Wrong {
    /// The certificate.
    Certificate(Flaw),
    /// These bytes answer the ClientHello, and then the connection is closed.
    Answer(&'static [u8]),
    /// Nothing answers the ClientHello.
    Silence,
    /// The connection is reset on the ClientHello.
    Reset,
    /// So many bytes of the server's first flight come, and then the end of the connection.
    Cut(usize),
    /// After the handshake and the head of an answer these bytes come, and then the end of the connection.
    Record(&'static [u8]),
}

/// A fatal alert, handshake_failure: RFC 8446 §6.
const HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

fn handshake(done: &'static str, wrong: Wrong, expected: &'static str) {
    let authority = Authority::new();
    let good = authority.server(None);
    let bad = match wrong {
        Wrong::Certificate(flaw) => authority.server(Some(flaw)),
        _ => good.clone(),
    };
    let greeting = move |socket: TcpStream, misbehaves: bool| match wrong {
        _ if !misbehaves => tls(socket, &good),
        Wrong::Certificate(_) => tls(socket, &bad),
        Wrong::Answer(bytes) => answer_hello(socket, bytes),
        Wrong::Silence => {
            (&socket).read_to_end(&mut Vec::new())?;
            Err(io::ErrorKind::UnexpectedEof.into())
        }
        Wrong::Reset => {
            rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Wrong::Cut(bytes) => cut(socket, &good, bytes),
        Wrong::Record(record) => broken_record(socket, &good, record),
    };
    let provider = Provider::greeting(Some(authority.pem()), greeting, |_| None::<Vec<Step>>);
    play(&Case { done, expected }, Settings::with(provider), async |server| {
        server.provider.misbehave(true);
        let came = server.turn(MARK).await;
        server.provider.misbehave(false);
        came
    });
}

fn tls(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Box<dyn Stream>> {
    let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, socket)))
}

fn answer_hello(mut socket: TcpStream, bytes: &[u8]) -> io::Result<Box<dyn Stream>> {
    let _ = socket.read(&mut [0; 4096])?;
    socket.write_all(bytes)?;
    // What was sent is to be read before the end.
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.read_to_end(&mut Vec::new())?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn cut(
    mut socket: TcpStream,
    config: &Arc<ServerConfig>,
    most: usize,
) -> io::Result<Box<dyn Stream>> {
    let mut connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    while !connection.wants_write() {
        connection.read_tls(&mut socket)?;
        connection.process_new_packets().map_err(io::Error::other)?;
    }
    let mut flight = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut flight)?;
    }
    flight.truncate(most);
    socket.write_all(&flight)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.read_to_end(&mut Vec::new())?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn broken_record(
    socket: TcpStream,
    config: &Arc<ServerConfig>,
    record: &[u8],
) -> io::Result<Box<dyn Stream>> {
    let mut bare = socket.try_clone()?;
    let mut stream = tls(socket, config)?;
    let _ = stream.read(&mut [0; 16 * 1024])?;
    let decoder = da_standin::Decoder::Anthropic;
    stream.write_all(&[head(decoder), chunk(&decoder.piece("Aye,"))].concat())?;
    stream.flush()?;
    bare.write_all(record)?;
    bare.shutdown(std::net::Shutdown::Write)?;
    bare.read_to_end(&mut Vec::new())?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

cases! { handshake;
    expired: "the certificate expired yesterday",
        Wrong::Certificate(Flaw::Expired), "error llm_unavailable";
    not_yet_valid: "the certificate is valid from tomorrow on",
        Wrong::Certificate(Flaw::NotYetValid), "error llm_unavailable";
    another_name: "the certificate is for another name",
        Wrong::Certificate(Flaw::AnotherName), "error llm_unavailable";
    unknown_authority: "nobody known vouches for the certificate",
        Wrong::Certificate(Flaw::UnknownAuthority), "error llm_unavailable";
    self_signed: "the certificate vouches for itself",
        Wrong::Certificate(Flaw::SelfSigned), "error llm_unavailable";
    for_clients: "the certificate is for clients, not for servers",
        Wrong::Certificate(Flaw::ForClients), "error llm_unavailable";
    hangs: "nothing answers the ClientHello", Wrong::Silence, "error llm_unavailable";
    resets: "the connection is reset on the ClientHello", Wrong::Reset, "error llm_unavailable";
    closes: "the connection is closed on the ClientHello",
        Wrong::Answer(b""), "error llm_unavailable";
    refuses: "a fatal alert answers the ClientHello",
        Wrong::Answer(HANDSHAKE_FAILURE), "error llm_unavailable";
    in_the_clear: "plain HTTP answers the ClientHello",
        Wrong::Answer(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        "error llm_unavailable";
    record_too_long: "a record of 64 KB is announced in the handshake",
        Wrong::Answer(&[22, 3, 3, 255, 255, 2, 0, 0, 1]), "error llm_unavailable";
    old_version: "the ServerHello is of TLS 1.0",
        Wrong::Answer(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), "error llm_unavailable";
    cut_in_a_header: "the connection ends in a record's header of the handshake",
        Wrong::Cut(3), "error llm_unavailable";
    cut_in_the_flight: "the connection ends in the middle of the server's flight",
        Wrong::Cut(150), "error llm_unavailable";
    truncated_record: "a record of the answer is cut",
        Wrong::Record(&[23, 3, 3, 1, 0, 1, 2, 3]), "error llm_interrupted";
    forged_record: "a record of the answer is not by the key",
        Wrong::Record(&[23, 3, 3, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                        0, 0, 0, 0]),
        "error llm_interrupted";
    no_close_notify: "the connection ends without a word of TLS in the middle of the answer",
        Wrong::Record(b""), "error llm_interrupted";
    clear_text_within: "plain text comes in the middle of the answer",
        Wrong::Record(b"data: {}\n\n"), "error llm_interrupted";
}
