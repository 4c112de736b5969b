//! Keeps what reads a body from holding its thread while there is always more to read.

/// How much is read before others get their turn: well below a millisecond of work.
const BYTES_PER_YIELD: usize = 16 * 1024;
/// What a chunk costs whatever its length, in bytes: a body of one-byte chunks is slow as well.
const CHUNK_OVERHEAD_BYTES: usize = 256;

/// How much was read since others had their turn.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    spent: usize,
}

impl Pace {
    /// Notes that so much was read, and lets others run when it is time.
    pub(crate) async fn spend(&mut self, bytes: usize) {
        self.spent += bytes + CHUNK_OVERHEAD_BYTES;
        if self.spent >= BYTES_PER_YIELD {
            self.spent = 0;
            tokio::task::yield_now().await;
        }
    }
}
