//! Reading HTTP/1.1 requests (RFC 9112) off a transport.

use std::io;

use bytes::{Buf, BytesMut};

use crate::socket::Transport;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
const MAX_HEADERS: usize = 128;

/// A whole request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The client lets the connection be used again.
    pub(crate) keep_alive: bool,
    /// Head and body as they came.
    pub(crate) bytes: u64,
    pub(crate) first_read_ns: u64,
    pub(crate) last_read_ns: u64,
}

impl Request {
    /// The first header of that name, which must be lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The name in `Host`, without the port.
    pub(crate) fn host(&self) -> Option<String> {
        let host = self.header("host")?;
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        Some(name.to_ascii_lowercase())
    }

    /// The value of a query parameter; the values in use need no decoding.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The client closed the connection where a request may end.
    #[error("closed")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Worth an answer with that status.
    #[error("{1}")]
    Bad(u16, &'static str),
}

/// Reads one request. `buffer` holds what came beyond the one before, and afterwards what came
/// beyond this one.
pub(crate) async fn read_request(
    transport: &mut Transport,
    buffer: &mut BytesMut,
) -> Result<Request, ReadError> {
    transport.notes().start_reading();
    let (mut request, framing, head_bytes) = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(ReadError::Bad(431, "the head is too long"));
        }
        let empty = buffer.is_empty();
        match transport.read(buffer).await? {
            0 if empty => return Err(ReadError::Closed),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => {}
        }
    };
    buffer.advance(head_bytes);
    let asks = request.header("expect") == Some("100-continue");
    if asks && buffer.is_empty() && framing != Framing::Length(0) {
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body_bytes = loop {
        if let Some(body_bytes) = take_body(buffer, framing, &mut request.body)? {
            break body_bytes;
        }
        if transport.read(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    request.bytes = (head_bytes + body_bytes) as u64;
    let notes = transport.notes();
    request.last_read_ns = notes.last_read_ns;
    // None when it came along with the last of the handshake or the request before.
    request.first_read_ns = notes.first_read_ns.unwrap_or(notes.last_read_ns);
    Ok(request)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

pub(crate) type Head = (Request, Framing, usize);

pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_bytes = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ReadError::Bad(400, "not an HTTP/1.1 request")),
    };
    let (path, query) = {
        let target = parsed.path.unwrap_or("/");
        target.split_once('?').unwrap_or((target, ""))
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        request.headers.push((header.name.to_ascii_lowercase(), value));
    }
    let connection = request.header("connection").unwrap_or("").to_ascii_lowercase();
    request.keep_alive = match parsed.version {
        Some(1) => connection != "close",
        _ => connection == "keep-alive",
    };
    let framing = match (request.header("transfer-encoding"), request.header("content-length")) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        (Some(_), _) => {
            return Err(ReadError::Bad(400, "a transfer-encoding other than chunked"));
        }
        (None, None) => Framing::Length(0),
        (None, Some(length)) => match length.parse() {
            Ok(length) if length <= MAX_BODY_BYTES => Framing::Length(length),
            Ok(_) => return Err(ReadError::Bad(413, "the body is too long")),
            Err(_) => return Err(ReadError::Bad(400, "a content-length that is no number")),
        },
    };
    Ok(Some((request, framing, head_bytes)))
}

/// Moves the body out of `buffer` once all of it is there; returns its bytes, framing included.
pub(crate) fn take_body(
    buffer: &mut BytesMut,
    framing: Framing,
    body: &mut Vec<u8>,
) -> Result<Option<usize>, ReadError> {
    let length = match framing {
        Framing::Length(length) if buffer.len() < length => return Ok(None),
        Framing::Length(length) => {
            body.extend_from_slice(&buffer[..length]);
            length
        }
        Framing::Chunked => {
            if buffer.len() > 2 * MAX_BODY_BYTES {
                return Err(ReadError::Bad(413, "the body is too long"));
            }
            match decode_chunks(buffer)? {
                Some((decoded, length)) => {
                    *body = decoded;
                    length
                }
                None => return Ok(None),
            }
        }
    };
    buffer.advance(length);
    Ok(Some(length))
}

/// The content of a chunked body that is there to its end, and its length with the framing.
/// A trailer section is refused: no client of these protocols sends one.
fn decode_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ReadError> {
    const BAD: ReadError = ReadError::Bad(400, "a chunk that can't be read");
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let (start, size) = match httparse::parse_chunk_size(&bytes[at..]).map_err(|_| BAD)? {
            httparse::Status::Complete((line, size)) => (at + line, size),
            httparse::Status::Partial => return Ok(None),
        };
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BODY_BYTES);
        let size = size.ok_or(ReadError::Bad(413, "the body is too long"))?;
        let Some(chunk) = bytes.get(start..start + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err(BAD);
        }
        content.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((content, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, ReadError> {
        parse_head(text.as_bytes())
    }

    #[test]
    fn head_gives_target_headers_and_framing() {
        let text =
            "POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: API.example:8443\r\nContent-Length: 5\r\n\r\n";
        let (request, framing, bytes) = head(text).unwrap().unwrap();
        assert_eq!((request.path.as_str(), request.query_value("y")), ("/a/b", Some("2")));
        assert_eq!(request.host().as_deref(), Some("api.example"));
        assert_eq!((framing, bytes), (Framing::Length(5), text.len()));
        assert!(request.keep_alive);
        assert!(head(&text[..text.len() - 1]).unwrap().is_none());
    }

    #[test]
    fn connection_and_version_decide_reuse() {
        for (version, connection, keep_alive) in [
            ("1.1", "keep-alive", true),
            ("1.1", "Close", false),
            ("1.0", "keep-alive", true),
            ("1.0", "x", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nconnection: {connection}\r\n\r\n");
            assert_eq!(head(&text).unwrap().unwrap().0.keep_alive, keep_alive, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        for (header, status) in [
            ("content-length: many", 400),
            ("content-length: 999999999", 413),
            ("transfer-encoding: gzip", 400),
            ("transfer-encoding: chunked\r\ncontent-length: 3", 400),
        ] {
            match head(&format!("POST / HTTP/1.1\r\n{header}\r\n\r\n")) {
                Err(ReadError::Bad(got, _)) => assert_eq!(got, status, "{header}"),
                other => panic!("{header}: {other:?}"),
            }
        }
        assert!(matches!(head("nonsense\r\n\r\n"), Err(ReadError::Bad(400, _))));
    }

    #[test]
    fn chunked_body_is_decoded_only_when_whole() {
        let text = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nNEXT";
        let whole = text.len() - 4;
        for cut in 0..whole {
            assert!(decode_chunks(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(decode_chunks(text).unwrap(), Some((b"abcde".to_vec(), whole)));
        assert!(decode_chunks(b"3\r\nabcXX").is_err());
    }
}
