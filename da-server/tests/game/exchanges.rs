//! What the stand-in's log has of an answer, on the clock by which players note what they see. All of
//! it is within what the server measures: a request is noted once it has come, a piece of the answer
//! before it goes out.

use da_standin::Event;

use crate::server::Server;

/// An answer of a model or of a voice.
pub struct Exchange {
    pub asked_ns: u64,
    /// Its text or audio: when, and bytes. Not empty.
    pub content: Vec<(u64, usize)>,
    /// The last of it, content or not.
    pub last_ns: u64,
}

impl Exchange {
    /// The latest of the provider with this name.
    pub fn latest(server: &Server, name: &str) -> Self {
        let log = server.standin.log();
        let of_it = || log.iter().filter(|entry| entry.name.as_deref() == Some(name));
        let asked = of_it().rev().find_map(|entry| match entry.event {
            Event::Request { exchange, .. } => Some((entry.t_ns, exchange)),
            _ => None,
        });
        let (asked_ns, latest) = asked.expect("a request");
        let (mut content, mut last_ns) = (Vec::new(), 0);
        for entry in of_it() {
            match entry.event {
                Event::Chunk { exchange, bytes, token, .. } if exchange == latest => {
                    if token {
                        content.push((entry.t_ns, bytes as usize));
                    }
                    last_ns = entry.t_ns;
                }
                _ => {}
            }
        }
        Self { asked_ns, content, last_ns }
    }

    pub fn first_ns(&self) -> u64 {
        self.content[0].0
    }
}
