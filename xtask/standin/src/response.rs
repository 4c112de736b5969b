//! A response before it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

/// A whole response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    content_type: &'static str,
    headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) body: Body,
}

/// What follows the head.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Written together with the head, with a content-length.
    Whole(Bytes),
    /// Chunked transfer-encoding; every chunk is a write of its own.
    Stream(Vec<Chunk>),
}

/// One chunk of a streamed body.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// Holds a token: text of an answer, or audio.
    pub(crate) token: bool,
}

impl Chunk {
    pub(crate) fn token(bytes: impl Into<Bytes>) -> Chunk {
        Chunk { bytes: bytes.into(), token: true }
    }

    pub(crate) fn other(bytes: impl Into<Bytes>) -> Chunk {
        Chunk { bytes: bytes.into(), token: false }
    }
}

impl Response {
    pub(crate) fn json(status: u16, value: &Value) -> Response {
        Response {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: Body::Whole(value.to_string().into()),
        }
    }

    pub(crate) fn stream(content_type: &'static str, chunks: Vec<Chunk>) -> Response {
        Response { status: 200, content_type, headers: Vec::new(), body: Body::Stream(chunks) }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl ToString) -> Response {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn with_headers(
        mut self,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Response {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// With these headers in place of those of the same names.
    pub(crate) fn replacing_headers(mut self, headers: &BTreeMap<String, String>) -> Response {
        self.headers.retain(|(name, _)| headers.keys().all(|key| !key.eq_ignore_ascii_case(name)));
        let own = headers.iter().map(|(name, value)| (name.clone().into(), value.clone()));
        self.headers.extend(own);
        self
    }

    pub(crate) fn with_chunks(mut self, chunks: Vec<Chunk>) -> Response {
        self.body = Body::Stream(chunks);
        self
    }

    /// The head, to the empty line.
    pub(crate) fn head(&self, keep_alive: bool) -> String {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ndate: {date}\r\ncontent-type: {}\r\n",
            self.status,
            reason(self.status),
            self.content_type,
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::Whole(bytes) => head.push_str(&format!("content-length: {}\r\n", bytes.len())),
            Body::Stream(_) => {
                head.push_str("cache-control: no-cache\r\ntransfer-encoding: chunked\r\n");
            }
        }
        let connection = if keep_alive { "keep-alive" } else { "close" };
        head.push_str(&format!("connection: {connection}\r\n\r\n"));
        head
    }
}

/// `bytes` framed as a chunk (RFC 9112 §7.1), with the end of the body behind it if it is the last.
pub(crate) fn frame_chunk(bytes: &[u8], last: bool) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(if last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
    framed
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        529 => "Site Overloaded",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_frames_both_kinds_of_body() {
        let whole = Response::json(429, &serde_json::json!({"a":1})).with_header("retry-after", 3);
        let head = whole.head(false);
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
        assert!(
            head.contains("\r\nretry-after: 3\r\n") && head.contains("\r\ncontent-length: 7\r\n")
        );
        assert!(head.ends_with("\r\nconnection: close\r\n\r\n"));

        let own = [("Retry-After".to_owned(), "now".to_owned())].into();
        let head = whole.replacing_headers(&own).head(false);
        assert!(head.contains("\r\nRetry-After: now\r\n") && !head.contains("retry-after"));

        let head = Response::stream("audio/mpeg", Vec::new()).head(true);
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n") && !head.contains("content-length")
        );
        assert!(head.ends_with("\r\nconnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn last_chunk_ends_the_body() {
        assert_eq!(frame_chunk(&[b'x'; 17], false), b"11\r\nxxxxxxxxxxxxxxxxx\r\n");
        assert_eq!(frame_chunk(b"y", true), b"1\r\ny\r\n0\r\n\r\n");
    }
}
