//! A server whose responses pause in the middle, for one cause each, or go on and on.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use da_server::kernel::GapCause;

use crate::calls::line::Losses;

/// How long it says nothing, where the cause is its own, or must show although it says nothing.
pub const PAUSE: Duration = Duration::from_millis(600);
/// Between the head and the rest: a client reads the head alone, on a busy machine too. That is no long gap.
pub const HEAD: Duration = Duration::from_millis(250);
/// Between the pieces of a response that does not pause.
const BETWEEN_PIECES: Duration = Duration::from_millis(20);
/// More than a receive window takes of which the network allows so little.
const LARGE_BYTES: usize = 1 << 20;
/// Pieces of a response that does not pause, over a network that loses packets.
const LOSSY_PIECES: usize = 600;
const BETWEEN_LOSSY_PIECES: Duration = Duration::from_millis(10);
/// Longer than any packet that carries no piece.
const PIECE: [u8; 400] = [b'x'; 400];

/// Answers every connection to `listener`, one request each. What is to be lost on its way, `losses` is told.
pub fn serve(listener: &TcpListener, losses: &Arc<Losses>) {
    for socket in listener.incoming().map_while(Result::ok) {
        let losses = Arc::clone(losses);
        // A client that goes away early fails the test by what it did not see.
        std::thread::spawn(move || answer(socket, &losses));
    }
}

fn answer(mut socket: TcpStream, losses: &Losses) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    socket.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    std::thread::sleep(HEAD);
    let cause = GapCause::ALL.into_iter().find(|cause| request.contains(cause.as_str()));
    match cause {
        Some(GapCause::Provider | GapCause::Client) => {
            socket.write_all(&PIECE)?;
            std::thread::sleep(PAUSE);
            socket.write_all(&PIECE)
        }
        Some(GapCause::Window) => socket.write_all(&vec![b'x'; LARGE_BYTES]),
        Some(GapCause::Network) => {
            let to = socket.peer_addr()?;
            for piece in 0..8 {
                if piece == 3 {
                    losses.lose_next_to(to.port(), PIECE.len());
                }
                socket.write_all(&PIECE)?;
                std::thread::sleep(BETWEEN_PIECES);
            }
            Ok(())
        }
        None => {
            for _ in 0..LOSSY_PIECES {
                socket.write_all(&PIECE)?;
                std::thread::sleep(BETWEEN_LOSSY_PIECES);
            }
            Ok(())
        }
    }
}
