//! Puts a fault into a response.

use bytes::Bytes;

use crate::fault::Fault;
use crate::protocol::Protocol;
use crate::response::{Body, Chunk, Response};
use crate::wire::{Exchange, Failure};

/// A response and how far it gets.
pub(crate) struct Delivery {
    pub(crate) response: Response,
    /// Where the response breaks off; none lets it end well.
    pub(crate) cut: Option<Cut>,
    /// What was done to it, for the log.
    pub(crate) fault: Option<Fault>,
}

/// Where a response breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing is written, the connection stays.
    Hang,
    /// RST in place of the response.
    ResetBeforeHead,
    /// RST after the head and so many chunks. A body that isn't streamed counts as one token: it
    /// is cut in the middle unless this is 0.
    ResetAfter(usize),
}

/// Only a response that would have succeeded can be spoilt.
pub(crate) fn inject(
    fault: Option<Fault>,
    protocol: Protocol,
    exchange: &mut Exchange,
    response: Response,
) -> Delivery {
    let whole = |response| Delivery { response, cut: None, fault };
    let Some(fault) = fault.filter(|_| response.status == 200) else {
        return untouched(response);
    };
    match (fault, &response.body) {
        (Fault::RateLimited { retry_after, retry_after_ms }, _) => {
            let headers = [("retry-after", retry_after), ("retry-after-ms", retry_after_ms)];
            let headers =
                headers.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
            whole(protocol.failure(exchange, Failure::RateLimited).with_headers(headers))
        }
        (Fault::Overloaded, _) => whole(protocol.failure(exchange, Failure::Overloaded)),
        (Fault::ServerError, _) => whole(protocol.failure(exchange, Failure::ServerError)),
        (Fault::NonAudio200, _) => match protocol.non_audio(exchange) {
            Some(spoilt) => whole(spoilt),
            None => untouched(response),
        },
        (Fault::ErrorEventAfter200 { after_chunks }, Body::Stream(chunks)) => {
            let Some(event) = protocol.error_event() else {
                return untouched(response);
            };
            let mut chunks = chunks[..after_tokens(chunks, after_chunks)].to_vec();
            chunks.push(event);
            whole(response.with_chunks(chunks))
        }
        (Fault::SplitUtf8, Body::Stream(chunks)) if protocol.has_events() => {
            let chunks = chunks.iter().flat_map(split_in_character).collect();
            whole(response.with_chunks(chunks))
        }
        (Fault::Hang, _) => cut(response, fault, Cut::Hang),
        (Fault::ResetBeforeFirstToken { after_head: false }, _) => {
            cut(response, fault, Cut::ResetBeforeHead)
        }
        (Fault::ResetBeforeFirstToken { after_head: true }, body) => {
            let chunks = sent_before(body, 0);
            cut(response, fault, Cut::ResetAfter(chunks))
        }
        (Fault::ResetAfterFirstToken { after_chunks }, body) => {
            let chunks = sent_before(body, after_chunks.max(1));
            cut(response, fault, Cut::ResetAfter(chunks))
        }
        (Fault::ErrorEventAfter200 { .. } | Fault::SplitUtf8 | Fault::BadHandshake, _) => {
            untouched(response)
        }
    }
}

fn untouched(response: Response) -> Delivery {
    Delivery { response, cut: None, fault: None }
}

fn cut(response: Response, fault: Fault, cut: Cut) -> Delivery {
    Delivery { response, cut: Some(cut), fault: Some(fault) }
}

fn sent_before(body: &Body, tokens: usize) -> usize {
    match body {
        Body::Whole(_) => tokens.min(1),
        Body::Stream(chunks) => after_tokens(chunks, tokens),
    }
}

/// How many chunks there are up to the token of that number and, for 0, before the first.
fn after_tokens(chunks: &[Chunk], tokens: usize) -> usize {
    let places: Vec<usize> = (0..chunks.len()).filter(|index| chunks[*index].token).collect();
    match tokens.min(places.len()).checked_sub(1) {
        Some(last) => places[last] + 1,
        None => places.first().copied().unwrap_or(chunks.len()),
    }
}

/// The chunk as two when it has a character of more than one byte, else as it is.
fn split_in_character(chunk: &Chunk) -> Vec<Chunk> {
    match chunk.bytes.iter().position(|byte| !byte.is_ascii()) {
        Some(start) => [chunk.bytes.slice(..=start), chunk.bytes.slice(start + 1..)]
            .map(|bytes: Bytes| Chunk { bytes, token: chunk.token })
            .to_vec(),
        None => vec![chunk.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_among_other_chunks() {
        let (other, token) = (Chunk::other("o"), Chunk::token("t"));
        let chunks = [&other, &other, &token, &token, &other].map(Clone::clone);
        let counts: Vec<usize> = (0..5).map(|tokens| after_tokens(&chunks, tokens)).collect();
        assert_eq!(counts, [2, 3, 4, 4, 4]);
        assert_eq!(after_tokens(&[other], 1), 1);
    }

    #[test]
    fn split_leaves_two_halves_that_are_no_text_alone() {
        let halves = split_in_character(&Chunk::token("né—"));
        assert_eq!(halves.len(), 2);
        assert!(halves.iter().all(|half| std::str::from_utf8(&half.bytes).is_err()));
        assert_eq!([&halves[0].bytes[..], &halves[1].bytes[..]].concat(), "né—".as_bytes());
        assert_eq!(split_in_character(&Chunk::token("plain")).len(), 1);
    }
}
