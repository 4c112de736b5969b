//! Answers without measure, as no provider sends them and a broken one may: what reading them costs, and
//! that nobody else waits meanwhile, is measured with these. Whole responses made beforehand, over plain
//! HTTP, written as fast as they are taken.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::{Buf, BytesMut};
use serde_json::json;

use crate::http::{parse_head, take_body};
use crate::protocol::Protocol;
use crate::response::frame_chunk;

/// What a piece of an answer says.
const WORDS: &str = "Aye, the ballast is down.";

const MIB: usize = 1024 * 1024;

/// What is read out of an answer, and so who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Events of Anthropic Messages.
    Anthropic,
    /// Events of OpenAI chat completions.
    OpenAi,
    /// Events of Google's protocol.
    Google,
    /// Audio, as it is: a voice of ElevenLabs.
    Audio,
}

/// What an answer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Nothing but line feeds, 3 MB of them in one chunk.
    Newlines,
    /// Comments of no words, 16 MB of them in one chunk.
    Comments,
    /// An ordinary answer of 1 MB in chunks of one byte.
    OneByteChunks,
    /// 15 MB of ordinary text, or of audio.
    Long,
    /// What a character answers: the control.
    Ordinary,
}

impl Decoder {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Anthropic, Self::OpenAi, Self::Google, Self::Audio];

    /// What it is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Google => "google",
            Self::Audio => "audio",
        }
    }

    /// What its answers are, as HTTP has it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Anthropic | Self::OpenAi | Self::Google => "text/event-stream",
            Self::Audio => "audio/mpeg",
        }
    }

    /// A piece of an answer that says these words; audio says none.
    #[must_use]
    pub fn piece(self, words: &str) -> Vec<u8> {
        let data = match self {
            Self::Anthropic => json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": words}}),
            Self::OpenAi => json!({"id": "c", "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {"content": words}, "finish_reason": null}]}),
            Self::Google => json!({"candidates": [{"index": 0,
                "content": {"role": "model", "parts": [{"text": words}]}}]}),
            // Never silent, in any format.
            Self::Audio => return vec![0xaa; 1024],
        };
        format!("data: {data}\n\n").into_bytes()
    }

    /// What a complete answer ends with.
    #[must_use]
    pub fn end(self) -> &'static [u8] {
        match self {
            Self::Anthropic => {
                b"data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
                  data: {\"type\":\"message_stop\"}\n\n"
            }
            Self::OpenAi => {
                b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                  data: [DONE]\n\n"
            }
            Self::Google => b"data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
            Self::Audio => b"",
        }
    }

    /// Who reads the answer to a request for this path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Some(match Protocol::of_path(path)? {
            Protocol::Anthropic => Self::Anthropic,
            Protocol::OpenAi => Self::OpenAi,
            Protocol::Google => Self::Google,
            Protocol::OpenAiSpeech | Protocol::ElevenLabs => Self::Audio,
        })
    }
}

impl Flood {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Newlines, Self::Comments, Self::OneByteChunks, Self::Long, Self::Ordinary];

    /// What it is, in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newlines => "3 MB of newlines",
            Self::Comments => "16 MB of empty comments",
            Self::OneByteChunks => "a million one-byte chunks",
            Self::Long => "an answer of 15 MB",
            Self::Ordinary => "an ordinary answer",
        }
    }

    /// The body: one `part`th of it.
    #[must_use]
    pub fn body(self, decoder: Decoder, part: usize) -> Vec<u8> {
        let answer = |bytes: usize| {
            let piece = decoder.piece(WORDS);
            let mut answer = piece.repeat(bytes.div_ceil(piece.len()));
            answer.extend_from_slice(decoder.end());
            answer
        };
        match self {
            Self::Newlines => vec![b'\n'; 3 * MIB / part],
            // The client takes no more than 16 MiB of an answer.
            Self::Comments => b":\n".repeat((8 * MIB - 1) / part),
            Self::OneByteChunks => answer(MIB / part),
            Self::Long => answer(15 * MIB / part),
            Self::Ordinary => answer(4096),
        }
    }

    fn chunk_bytes(self, decoder: Decoder) -> usize {
        match self {
            Self::Newlines | Self::Comments => usize::MAX,
            Self::OneByteChunks => 1,
            Self::Long => 16 * 1024,
            Self::Ordinary => decoder.piece(WORDS).len(),
        }
    }

    fn response(self, decoder: Decoder, part: usize) -> Vec<u8> {
        let media_type = decoder.media_type();
        let mut response = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for chunk in self.body(decoder, part).chunks(self.chunk_bytes(decoder)) {
            response.extend(frame_chunk(chunk, false));
        }
        response.extend_from_slice(b"0\r\n\r\n");
        response
    }
}

/// A server that answers requests of one protocol with a flood, and those of others as usual. It
/// listens until the process ends.
#[derive(Debug)]
pub struct FloodServer {
    address: SocketAddr,
    flooded: Arc<Mutex<(Decoder, Arc<Vec<u8>>)>>,
}

impl FloodServer {
    /// Starts it, with an ordinary answer; its threads are its own.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let usual = (Decoder::Audio, Arc::new(Flood::Ordinary.response(Decoder::Audio, 1)));
        let flooded = Arc::new(Mutex::new(usual));
        let server = Self { address, flooded: flooded.clone() };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let flooded = flooded.clone();
                // A client that leaves early is its own affair.
                thread::spawn(move || converse(socket, &flooded));
            }
        });
        Ok(server)
    }

    /// Where it is, for `http://`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers those who read like this with one `part`th of this flood from now on.
    pub fn set(&self, decoder: Decoder, flood: Flood, part: usize) {
        let response = Arc::new(flood.response(decoder, part));
        *self.flooded.lock().unwrap_or_else(PoisonError::into_inner) = (decoder, response);
    }
}

fn converse(mut socket: TcpStream, flooded: &Mutex<(Decoder, Arc<Vec<u8>>)>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    while let Some(path) = read_request(&mut socket, &mut buffer)? {
        let asked = Decoder::of_path(&path).ok_or(io::ErrorKind::NotFound)?;
        let (decoder, response) = flooded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if asked == decoder {
            socket.write_all(&response)?;
        } else {
            socket.write_all(&Flood::Ordinary.response(asked, 1))?;
        }
    }
    Ok(())
}

/// The path of the next request, once all of that is there; `None` if the client has left.
fn read_request(socket: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<String>> {
    let mut chunk = [0; 16 * 1024];
    let mut read = |buffer: &mut BytesMut| {
        let length = socket.read(&mut chunk)?;
        buffer.extend_from_slice(&chunk[..length]);
        Ok::<_, io::Error>(length > 0)
    };
    let (request, framing, head_bytes) = loop {
        match parse_head(buffer).map_err(io::Error::other)? {
            Some(head) => break head,
            None if read(buffer)? => {}
            None => return Ok(None),
        }
    };
    buffer.advance(head_bytes);
    while take_body(buffer, framing, &mut Vec::new()).map_err(io::Error::other)?.is_none() {
        if !read(buffer)? {
            return Ok(None);
        }
    }
    Ok(Some(request.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_as_large_as_they_say_and_end() {
        for decoder in Decoder::ALL {
            for (flood, bytes) in Flood::ALL.into_iter().zip([3, 16, 1, 15, 0]) {
                let (body, response) = (flood.body(decoder, 1), flood.response(decoder, 1));
                assert_eq!(body.len().div_ceil(MIB / 2) / 2, bytes, "{decoder:?} {flood:?}");
                assert!(bytes == 0 || flood.body(decoder, 5).len() < body.len() / 4);
                assert!(response.ends_with(b"\r\n0\r\n\r\n"));
                let framed = response.len() as f64 / body.len() as f64;
                assert_eq!(framed > 5.0, flood == Flood::OneByteChunks, "{framed}");
            }
        }
    }

    #[test]
    fn one_protocol_is_flooded_and_the_others_are_served() {
        let server = FloodServer::start().expect("a server");
        let ask = |path: &str| {
            let mut socket = TcpStream::connect(server.address()).expect("connected");
            let request = format!("POST {path} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}");
            socket.write_all(request.as_bytes()).expect("written");
            socket.shutdown(std::net::Shutdown::Write).expect("shut down");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).expect("read");
            answer
        };
        let voice = "/v1/text-to-speech/v/stream";
        let model = "/v1/chat/completions";
        for (path, decoder, other) in
            [(voice, Decoder::Audio, model), (model, Decoder::OpenAi, voice)]
        {
            server.set(decoder, Flood::Newlines, 3);
            assert!(ask(path) == Flood::Newlines.response(decoder, 3), "{decoder:?}");
            let usual = Flood::Ordinary.response(Decoder::of_path(other).expect("one"), 1);
            assert!(ask(other) == usual, "{decoder:?}");
        }
    }
}
