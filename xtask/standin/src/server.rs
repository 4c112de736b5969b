//! The listener and the handle on a running stand-in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::now_ns;
use crate::log::{Log, LogEntry};
use crate::options::Options;
use crate::plan::Plan;
use crate::plans::Plans;
use crate::serving;
use crate::shared::Shared;
use crate::tls::Identity;

/// A running stand-in. Dropping it stops it without waiting for its tasks.
pub struct Standin {
    shared: Arc<Shared>,
    addr: SocketAddr,
    ca_pem: String,
    accepting: watch::Sender<bool>,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl Standin {
    /// Listens and serves on the current tokio runtime, and is as punctual as that is: where a
    /// fraction of a millisecond matters, give it a runtime of its own. Fails when the address is taken, a file
    /// can't be written, or a name or plan is impossible.
    pub async fn start(options: Options) -> Result<Standin> {
        options.plan.check().context("the default plan")?;
        for (name, plan) in &options.plans {
            plan.check().with_context(|| format!("the plan for {name}"))?;
        }
        let mut names = options.names.clone();
        names.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
        names.push(options.listen.ip().to_string());
        names.sort();
        names.dedup();
        let identity = Identity::generate(names)?;
        if let Some(path) = &options.ca_file {
            std::fs::write(path, &identity.ca_pem)
                .with_context(|| format!("cannot write the CA certificate {}", path.display()))?;
        }
        let shared = Arc::new(Shared {
            tls: identity.server_config(&options)?,
            log: Log::new(options.log_capacity, options.log_file.as_deref())?,
            plans: Plans::new(options.plan, options.plans),
            seed: options.seed,
            audio: Arc::default(),
            exchanges: AtomicU64::new(0),
            in_flight: watch::Sender::new(0),
            stop: CancellationToken::new(),
        });
        let listener = listen(options.listen, options.backlog)
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let standin = Standin {
            addr: listener.local_addr()?,
            ca_pem: identity.ca_pem,
            accepting: watch::Sender::new(true),
            tasks: TaskTracker::new(),
            _stop: shared.stop.clone().drop_guard(),
            shared,
        };
        let accept = accept(
            listener,
            standin.shared.clone(),
            standin.accepting.subscribe(),
            standin.tasks.clone(),
        );
        standin.tasks.spawn(accept);
        Ok(standin)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate that clients must trust, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Replaces the default plan, from the next connection and the next request on.
    pub fn set_plan(&self, plan: Plan) {
        self.shared.plans.set(plan);
    }

    /// Gives a name (of the ClientHello, else of `Host`) a plan in place of the default one.
    pub fn set_plan_for(&self, name: &str, plan: Plan) {
        self.shared.plans.set_for(name, plan);
    }

    /// Takes no more connections: they wait in the kernel until the backlog is full, and then
    /// their SYNs are dropped.
    pub fn pause_accept(&self) {
        self.accepting.send_replace(false);
    }

    /// Takes connections again.
    pub fn resume_accept(&self) {
        self.accepting.send_replace(true);
    }

    /// What happened so far, by time: the newest [`Options::log_capacity`] entries.
    ///
    /// An entry is added right after the system call it is about, so that a client on another
    /// thread can be ahead of it: wait for [`Standin::idle`] before reading the log.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.log.snapshot()
    }

    /// How many entries no longer fit into [`Standin::log`]. The log file has them.
    pub fn log_dropped(&self) -> u64 {
        self.shared.log.dropped()
    }

    /// Returns once no request is being answered and the log holds all that were. A request that
    /// hangs ends with its connection.
    pub async fn idle(&self) {
        let mut in_flight = self.shared.in_flight.subscribe();
        // An error would mean that `shared`, which holds the sender, is gone.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }

    /// Stops listening, cuts off what is being answered and waits until the log is complete.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut accepting: watch::Receiver<bool>,
    tasks: TaskTracker,
) {
    let mut connections = 0;
    loop {
        let on = *accepting.borrow_and_update();
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            changed = accepting.changed() => match changed {
                Ok(()) => continue,
                Err(_the_handle_is_gone) => break,
            },
            accepted = listener.accept(), if on => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let accepted_ns = now_ns();
                connections += 1;
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let serve = serving::serve(shared.clone(), stream, peer, connections, accepted_ns);
                tasks.spawn(serve);
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will come free.
                eprintln!("da-standin: accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
