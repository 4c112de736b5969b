//! Coalesces small chunks of audio into larger ones: each chunk costs a message to the player, a record of
//! when it came, and a reference to the buffer that it was read into.

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::task::yield_now;

use super::TtsError;
use crate::provider::call::ChunkStream;

/// Chunks of at least this length are passed on unchanged; providers send longer ones.
const MIN_CHUNK_BYTES: usize = 1024;

/// The connection hands over one chunk at a time, from a task of its own. That task may run this many times
/// in a row without result before a small chunk goes on alone. This takes microseconds in all: a wait that a
/// clock could measure would be ours, and no phase of the call has a place for it.
const MAX_POLLS: usize = 32;

/// The same audio. A small chunk is joined with what has arrived as well; the first one is passed on alone.
pub(super) fn coalesce(audio: ChunkStream<Bytes>) -> ChunkStream<Bytes> {
    let coalescing = Coalescing { audio, begun: false, last: None };
    stream::unfold(Some(coalescing), |coalescing| async move {
        let mut coalescing = coalescing?;
        let chunk = coalescing.next().await?;
        let more = chunk.is_ok();
        Some((chunk, more.then_some(coalescing)))
    })
    .boxed()
}

struct Coalescing {
    audio: ChunkStream<Bytes>,
    begun: bool,
    /// What came after the small chunks: an error, or the end.
    last: Option<Option<TtsError>>,
}

impl Coalescing {
    async fn next(&mut self) -> Option<Result<Bytes, TtsError>> {
        if let Some(last) = self.last.take() {
            return last.map(Err);
        }
        let first = match self.audio.next().await? {
            Ok(first) if std::mem::replace(&mut self.begun, true) => first,
            first => return Some(first),
        };
        if first.len() >= MIN_CHUNK_BYTES {
            return Some(Ok(first));
        }
        let mut coalesced = BytesMut::from(&first[..]);
        let mut polls = MAX_POLLS;
        while coalesced.len() < MIN_CHUNK_BYTES {
            // What has not arrived yet is polled again, at the latest for the next chunk.
            match self.audio.next().now_or_never() {
                Some(Some(Ok(more))) => {
                    coalesced.extend_from_slice(&more);
                    polls = MAX_POLLS;
                }
                Some(Some(Err(error))) => {
                    self.last = Some(Some(error));
                    break;
                }
                Some(None) => {
                    self.last = Some(None);
                    break;
                }
                None if polls == 0 => break,
                None => {
                    polls -= 1;
                    yield_now().await;
                }
            }
        }
        Some(Ok(coalesced.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;

    fn chunks(lengths: &[usize]) -> Vec<Result<Bytes, TtsError>> {
        lengths.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect()
    }

    async fn coalesced(audio: Vec<Result<Bytes, TtsError>>) -> Vec<Result<usize, ErrorKind>> {
        let chunks = coalesce(stream::iter(audio).boxed());
        chunks.map(|chunk| chunk.map(|b| b.len()).map_err(|e| e.kind)).collect().await
    }

    #[tokio::test]
    async fn crumbs_become_pieces_and_the_first_goes_on_at_once() {
        assert_eq!(coalesced(chunks(&[])).await, []);
        assert_eq!(coalesced(chunks(&[3])).await, [Ok(3)]);
        assert_eq!(coalesced(chunks(&[1; 2500])).await, [Ok(1), Ok(1024), Ok(1024), Ok(451)]);
        let large = [1024, 5000, 1, 1, 70_000, 1023, 1];
        assert_eq!(coalesced(chunks(&large)).await, [1024, 5000, 70_002, 1024].map(Ok));
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_handed_over_and_nothing_after_it() {
        let mut audio = chunks(&[1, 2, 3]);
        audio.push(Err(TtsError::new(&"elevenlabs".into(), ErrorKind::Interrupted)));
        audio.extend(chunks(&[4]));
        assert_eq!(coalesced(audio).await, [Ok(1), Ok(5), Err(ErrorKind::Interrupted)]);
    }

    #[tokio::test]
    async fn a_crumb_does_not_wait_for_what_does_not_come() {
        let audio = stream::iter(chunks(&[1, 2, 3])).chain(stream::pending());
        let mut chunks = coalesce(audio.boxed());
        for length in [1, 5] {
            assert_eq!(chunks.next().await.map(|chunk| chunk.unwrap().len()), Some(length));
        }
    }
}
