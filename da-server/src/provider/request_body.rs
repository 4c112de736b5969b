//! The body of a request, which records when a connection takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::attempt_timings::AttemptRecorder;

/// All of the body in one frame, whose length is known beforehand, as if it were plain bytes.
struct RequestBody {
    recorder: AttemptRecorder,
    bytes: Option<Bytes>,
}

/// The request's body, which records when it is taken.
pub(crate) fn request_body(recorder: &AttemptRecorder, bytes: Bytes) -> reqwest::Body {
    reqwest::Body::wrap(RequestBody { recorder: recorder.clone(), bytes: Some(bytes) })
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
            self.recorder.body_taken();
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
