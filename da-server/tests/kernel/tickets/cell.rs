//! The cells of the matrix: what answers, with how many tickets, when, and how it is asked.

use std::fmt;

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Make {
    /// Python's `ssl`: OpenSSL.
    OpenSsl,
    /// Here, by rustls, which puts all tickets into one record.
    Rustls,
    /// Go's `net/http`, whose ticket comes with its Finished.
    Go,
    /// Node's `https`: OpenSSL.
    Node,
    /// nginx: OpenSSL.
    Nginx,
}

/// A server: what it is, and how many tickets it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    pub make: Make,
    pub tickets: usize,
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{:?}, {}", self.make, self.tickets))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// rustls, which reads 4 KiB and more at once.
    Rustls,
    /// OpenSSL: see `programs/client.py`.
    OpenSsl,
}

/// After how long an answer begins, ms.
pub const DELAYS_MS: [u64; 6] = [0, 1, 5, 20, 120, 300];
/// How long it is, and how long a request's body is.
const SIZES: [usize; 2] = [20, 100_000];

/// One fresh connection with one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub server: Server,
    pub asker: Asker,
    pub delay_ms: u64,
    pub answer_bytes: usize,
    pub request_bytes: usize,
    /// The request leaves in the same write as the client's Finished.
    pub one_write: bool,
}

/// Every cell `times` times, in an order that is chosen by `seed`.
pub fn all(servers: &[Server], times: usize, seed: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for server in servers {
        for delay_ms in DELAYS_MS {
            for answer_bytes in SIZES {
                for request_bytes in SIZES {
                    for one_write in [false, true] {
                        for asker in [Asker::Rustls, Asker::OpenSsl] {
                            let server = *server;
                            let cell = Cell {
                                server,
                                asker,
                                delay_ms,
                                answer_bytes,
                                request_bytes,
                                one_write,
                            };
                            cells.extend(std::iter::repeat_n(cell, times));
                        }
                    }
                }
            }
        }
    }
    shuffle(&mut cells, seed);
    cells
}

/// Fisher and Yates' shuffle, by the numbers of splitmix64.
fn shuffle(cells: &mut [Cell], mut seed: u64) {
    for last in (1..cells.len()).rev() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        cells.swap(last, ((mixed ^ (mixed >> 31)) % (last as u64 + 1)) as usize);
    }
}
