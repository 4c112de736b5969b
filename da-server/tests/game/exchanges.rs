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
        Self::all(server, name).pop().expect("a request")
    }

    /// Those of the provider with this name, in the order in which they were asked.
    pub fn all(server: &Server, name: &str) -> Vec<Self> {
        let mut all: Vec<(u64, Self)> = Vec::new();
        for entry in server.standin.log() {
            if entry.name.as_deref() != Some(name) {
                continue;
            }
            match entry.event {
                Event::Request { exchange, .. } => {
                    let (asked_ns, content) = (entry.t_ns, Vec::new());
                    all.push((exchange, Self { asked_ns, content, last_ns: 0 }));
                }
                Event::Chunk { exchange, bytes, token, .. } => {
                    let (_, of) = all.iter_mut().find(|(id, _)| *id == exchange).expect("asked");
                    if token {
                        of.content.push((entry.t_ns, bytes as usize));
                    }
                    of.last_ns = entry.t_ns;
                }
                _ => {}
            }
        }
        all.into_iter().map(|(_, exchange)| exchange).collect()
    }

    pub fn first_ns(&self) -> u64 {
        self.content[0].0
    }
}
