//! A way to a server that can be cut: for what happens to a page whose connection is lost.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Way {
    /// Where it begins.
    pub address: SocketAddr,
    cuts: watch::Sender<u32>,
}

impl Way {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (cuts, cut) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(server).await.expect("connected");
                    tokio::select! {
                        // However it ends, both hear of it.
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts }
    }

    /// Ends every connection that is open; new ones are let through.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}
