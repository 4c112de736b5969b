//! Server-sent events, read as WHATWG HTML §9.2 defines them, with two differences: an event that
//! the end of the body leaves without its blank line is handed over too, marked as such, because
//! several servers leave that line out; and lines and events have a limit.
//!
//! Each byte is looked at once, whatever the chunks are, and others get their turn meanwhile.

use std::pin::Pin;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};

use super::pace::Pace;

/// So much of a chunk is read in one go.
const PART_BYTES: usize = 16 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event that has data. Bytes that are no UTF-8 are replaced in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Of its `event:` line; empty without one.
    pub name: String,
    /// Its `data:` lines, joined by line feeds.
    pub data: String,
    /// Its blank line came. Otherwise the body ended before that, perhaps in the middle of it.
    pub whole: bool,
}

/// Why there are no more events.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EventError<E> {
    /// What the body failed with.
    #[error(transparent)]
    Body(E),
    /// A line, or the data of one event, is longer than allowed.
    #[error("a line or an event is too long")]
    TooLong,
}

/// The events in `body`; nothing follows an error. Lines and data are at most `limit` bytes long.
pub(crate) fn events<E: Send>(
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    limit: usize,
) -> impl Stream<Item = Result<Event, EventError<E>>> + Send {
    let parser = Parser::new(limit);
    let reading =
        Reading { body: Box::pin(body), parser, chunk: Bytes::new(), pace: Pace::default() };
    stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await? {
            Ok(event) if event.whole => Some((Ok(event), Some(reading))),
            last => Some((last, None)),
        }
    })
}

struct Reading<S> {
    body: Pin<Box<S>>,
    parser: Parser,
    /// What is not read yet.
    chunk: Bytes,
    pace: Pace,
}

impl<S: Stream<Item = Result<Bytes, E>>, E> Reading<S> {
    async fn next(&mut self) -> Option<Result<Event, EventError<E>>> {
        loop {
            if self.chunk.is_empty() {
                match self.body.next().await {
                    Some(Ok(chunk)) => self.chunk = chunk,
                    Some(Err(error)) => return Some(Err(EventError::Body(error))),
                    None => return self.parser.finish().map(Ok),
                }
            }
            let part = &self.chunk[..self.chunk.len().min(PART_BYTES)];
            let mut rest = part;
            let event = self.parser.take(&mut rest);
            let used = part.len() - rest.len();
            self.chunk.advance(used);
            self.pace.spend(used).await;
            match event {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(TooLong) => return Some(Err(EventError::TooLong)),
            }
        }
    }
}

struct TooLong;

/// From bytes to events; pure.
struct Parser {
    limit: usize,
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// No line has ended yet, so that this one may begin with a byte-order mark.
    at_start: bool,
    name: Vec<u8>,
    data: Option<Vec<u8>>,
}

impl Parser {
    fn new(limit: usize) -> Self {
        let (line, name) = (Vec::new(), Vec::new());
        Self { limit, line, after_return: false, at_start: true, name, data: None }
    }

    /// Reads until an event is whole or `input` is used up.
    fn take(&mut self, input: &mut &[u8]) -> Result<Option<Event>, TooLong> {
        while let Some(&first) = input.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                *input = &input[1..];
                continue;
            }
            let end = input.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &input[..end.unwrap_or(input.len())];
            if self.line.len() + part.len() > self.limit {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else {
                *input = &[];
                break;
            };
            self.after_return = input[end] == b'\r';
            *input = &input[end + 1..];
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The event that the end of the body leaves, if any.
    fn finish(&mut self) -> Option<Event> {
        // Too long for an event is the end of it either way.
        if !self.line.is_empty() && self.end_line().is_err() {
            return None;
        }
        self.event(false)
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let mut line = std::mem::take(&mut self.line);
        let event = self.read_line(&line);
        // Its room is kept for the next one.
        line.clear();
        self.line = line;
        event
    }

    fn read_line(&mut self, mut line: &[u8]) -> Result<Option<Event>, TooLong> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.event(true));
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => self.add_data(value)?,
            b"event" => self.name = value.to_vec(),
            // Comments have no name; ids and times to reconnect after mean nothing here.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), TooLong> {
        let data = match &mut self.data {
            None => self.data.insert(Vec::new()),
            Some(data) => {
                data.push(b'\n');
                data
            }
        };
        if data.len() + value.len() > self.limit {
            return Err(TooLong);
        }
        data.extend_from_slice(value);
        Ok(())
    }

    fn event(&mut self, whole: bool) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = self.data.take()?;
        Some(Event { name: text(name), data: text(data), whole })
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
pub(crate) mod tests;
