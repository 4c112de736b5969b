//! Makes pieces that are worth the way to the player out of audio that comes in crumbs: each piece
//! costs a message, a sample of when it came, and a hold on the buffer that it was read into.

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::task::yield_now;

use super::TtsError;
use crate::provider::call::Pieces;

/// What is at least as long goes on as it is; providers send longer pieces.
const WORTH_BYTES: usize = 1024;

/// The connection hands over one chunk at a time, from a task of its own: so often in a row that task is
/// let run without result before a crumb goes on alone. Microseconds in all: a wait that a clock could
/// tell would be ours, and no phase of the call has a place for it.
const LOOKS: usize = 32;

/// The same audio. A crumb takes with it what has arrived as well; the first piece goes on by itself.
pub(super) fn gather(audio: Pieces<Bytes>) -> Pieces<Bytes> {
    let gathering = Gathering { audio, begun: false, last: None };
    stream::unfold(Some(gathering), |gathering| async move {
        let mut gathering = gathering?;
        let piece = gathering.next().await?;
        let more = piece.is_ok();
        Some((piece, more.then_some(gathering)))
    })
    .boxed()
}

struct Gathering {
    audio: Pieces<Bytes>,
    begun: bool,
    /// What came after the crumbs: an error, or the end.
    last: Option<Option<TtsError>>,
}

impl Gathering {
    async fn next(&mut self) -> Option<Result<Bytes, TtsError>> {
        if let Some(last) = self.last.take() {
            return last.map(Err);
        }
        let first = match self.audio.next().await? {
            Ok(first) if std::mem::replace(&mut self.begun, true) => first,
            first => return Some(first),
        };
        if first.len() >= WORTH_BYTES {
            return Some(Ok(first));
        }
        let mut gathered = BytesMut::from(&first[..]);
        let mut looks = LOOKS;
        while gathered.len() < WORTH_BYTES {
            // What is not there yet is asked for again, at the latest with the next piece.
            match self.audio.next().now_or_never() {
                Some(Some(Ok(more))) => {
                    gathered.extend_from_slice(&more);
                    looks = LOOKS;
                }
                Some(Some(Err(error))) => {
                    self.last = Some(Some(error));
                    break;
                }
                Some(None) => {
                    self.last = Some(None);
                    break;
                }
                None if looks == 0 => break,
                None => {
                    looks -= 1;
                    yield_now().await;
                }
            }
        }
        Some(Ok(gathered.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;

    fn pieces(lengths: &[usize]) -> Vec<Result<Bytes, TtsError>> {
        lengths.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect()
    }

    async fn gathered(audio: Vec<Result<Bytes, TtsError>>) -> Vec<Result<usize, ErrorKind>> {
        let pieces = gather(stream::iter(audio).boxed());
        pieces.map(|piece| piece.map(|b| b.len()).map_err(|e| e.kind)).collect().await
    }

    #[tokio::test]
    async fn crumbs_become_pieces_and_the_first_goes_on_at_once() {
        assert_eq!(gathered(pieces(&[])).await, []);
        assert_eq!(gathered(pieces(&[3])).await, [Ok(3)]);
        assert_eq!(gathered(pieces(&[1; 2500])).await, [Ok(1), Ok(1024), Ok(1024), Ok(451)]);
        let large = [1024, 5000, 1, 1, 70_000, 1023, 1];
        assert_eq!(gathered(pieces(&large)).await, [1024, 5000, 70_002, 1024].map(Ok));
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_handed_over_and_nothing_after_it() {
        let mut audio = pieces(&[1, 2, 3]);
        audio.push(Err(TtsError::new(&"elevenlabs".into(), ErrorKind::Interrupted)));
        audio.extend(pieces(&[4]));
        assert_eq!(gathered(audio).await, [Ok(1), Ok(5), Err(ErrorKind::Interrupted)]);
    }

    #[tokio::test]
    async fn a_crumb_does_not_wait_for_what_does_not_come() {
        let audio = stream::iter(pieces(&[1, 2, 3])).chain(stream::pending());
        let mut pieces = gather(audio.boxed());
        for length in [1, 5] {
            assert_eq!(pieces.next().await.map(|piece| piece.unwrap().len()), Some(length));
        }
    }
}
