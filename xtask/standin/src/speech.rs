//! What the protocols of voices share.

use crate::audio::{Format, Speech};
use crate::response::{Chunk, Response};
use crate::wire::Exchange;

/// The length of audio in a chunk when the plan gives no number of chunks.
const CHUNK_SECONDS: f64 = 0.2;

/// A text of so many characters, spoken as the plan has it.
pub(crate) fn of(exchange: &Exchange, format: Format, characters: usize) -> Speech {
    let speech = exchange.audio.speech(format, characters);
    speech.after_silence(format, exchange.plan.leading_silence_ms)
}

/// Streamed in as many chunks as the plan has.
pub(crate) fn stream(exchange: &Exchange, content_type: &'static str, speech: &Speech) -> Response {
    Response::stream(content_type, chunks(speech, exchange.plan.chunks))
}

/// Cut without regard to samples or frames, as a network does; never empty chunks.
fn chunks(speech: &Speech, count: Option<usize>) -> Vec<Chunk> {
    let bytes = &speech.bytes;
    let count = count.unwrap_or((speech.seconds / CHUNK_SECONDS).ceil() as usize);
    let count = count.clamp(1, bytes.len());
    (0..count)
        .map(|chunk| bytes.slice(chunk * bytes.len() / count..(chunk + 1) * bytes.len() / count))
        .map(Chunk::token)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_all_the_bytes_in_order() {
        let speech = Speech { bytes: (0..=255).collect::<Vec<u8>>().into(), seconds: 1.0 };
        for (asked, count) in [(None, 5), (Some(3), 3), (Some(1000), 256)] {
            let chunks = chunks(&speech, asked);
            assert_eq!(chunks.len(), count);
            let joined: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
            assert_eq!(joined, speech.bytes);
        }
    }
}
