//! The sockets the server accepts on, bound before anything else so that a taken port is the
//! first thing said.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use crate::config::Config;

/// How many connections may wait to be accepted; the standard library has 128 wait, and the next one is
/// ignored until its client tries again a second later. The kernel takes no more than
/// `net.core.somaxconn`, which is 4096 by default.
const BACKLOG: i32 = 4096;

/// Bound and listening. Tests bind them to port 0.
#[derive(Debug)]
pub struct Listeners {
    /// The game, `/health`; and `/metrics`, unless that has its own.
    pub main: TcpListener,
    /// `/metrics` and `/health` alone.
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    /// Binds what `config` names.
    ///
    /// # Errors
    /// Names the address, why it can't be had, and the setting that changes it.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            main: bind(config.listen, "`listen` or PORT")?,
            metrics: config.metrics.listen.map(|a| bind(a, "`metrics.listen`")).transpose()?,
        })
    }
}

fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => "another process has it; ",
            ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; ",
            _ => "",
        };
        anyhow::anyhow!("can't listen on {address}: {error}: {hint}{setting} chooses another")
    })?;
    // Listening once more is how a socket that listens already is given another backlog.
    rustix::net::listen(&listener, BACKLOG)
        .with_context(|| format!("can't listen on {address}"))?;
    // tokio takes over only sockets that don't block.
    listener.set_nonblocking(true).with_context(|| format!("can't listen on {address}"))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_connections_may_wait_to_be_accepted() {
        let listener = bind(([127, 0, 0, 1], 0).into(), "`listen`").expect("bound");
        let address = listener.local_addr().expect("an address");
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a limit");
        let many = most.trim().parse().map_or(400, |most: usize| most.min(400));
        // Nobody accepts: what does not fit is not answered.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let waiting: Result<Vec<_>, _> = (0..many).map(connect).collect();
        assert_eq!(waiting.expect("all wait").len(), many);
    }
}
