//! What the collector itself takes: its programs in the kernel, and its reader in user space.

mod calls;
mod decode;
mod limit;

use anyhow::Result;

use crate::figure::Figure;
use crate::stage::Stage;

/// What was done.
pub const DONE: &str = "`decode`: one thread turns recorded events into measurements as the reader does, ring buffer \
    aside. `calls`: 1,000 streamed answers a second of 20 chunks each from the stand-in provider over TLS \
    1.3, every tenth on a new connection. `limit`: exchanges over loopback connections at two rates, with both \
    ends in one thread and so without wake-ups; then as many as nginx answers wrk, on the processors \
    that the collector shares. An exchange counts as seen only when it is in \
    `socket_exchanges_total`.";

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = decode::measure(stage)?;
    figures.extend(calls::measure(stage)?);
    figures.extend(limit::measure(stage)?);
    Ok(figures)
}
