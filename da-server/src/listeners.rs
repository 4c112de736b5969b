//! The sockets the server accepts on, bound before anything else so that a taken port is the
//! first thing said.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use crate::config::Config;

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
    // tokio takes over only sockets that don't block.
    listener.set_nonblocking(true).with_context(|| format!("can't listen on {address}"))?;
    Ok(listener)
}
