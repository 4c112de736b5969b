//! The body of a request, which notes when a connection takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::span::Span;

/// All of it in one piece, whose length is known beforehand, as if it were plain bytes.
struct RequestBody {
    span: Span,
    bytes: Option<Bytes>,
}

/// The request's body, of whose taking the span is told.
pub(crate) fn request_body(span: &Span, bytes: Bytes) -> reqwest::Body {
    reqwest::Body::wrap(RequestBody { span: span.clone(), bytes: Some(bytes) })
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take();
        if bytes.is_some() {
            self.span.body_taken();
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
