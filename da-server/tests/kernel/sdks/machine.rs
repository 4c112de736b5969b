//! A machine, as far as a client can tell: a name leads from it to where the test wants.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use crate::calls::line::Network;

/// It knows one name.
pub struct Machine {
    /// Where that leads.
    pub address: IpAddr,
    hosts_file: PathBuf,
}

impl Machine {
    /// The `number`th of a network, with a file in `folder`.
    pub fn new(number: u8, name: &str, folder: &Path) -> Self {
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 1, number));
        let hosts_file = folder.join(format!("{number}.hosts"));
        fs::write(&hosts_file, format!("{address} {name}\n")).expect("written");
        Self { address, hosts_file }
    }

    /// Does `work` there, in a thread of its own: what that starts is there as well.
    pub fn run<T: Send + 'static>(
        &self,
        network: &Network,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let hosts_file = self.hosts_file.clone();
        network.thread(move || {
            // SAFETY: the call takes no memory; the view of the files that it makes is this thread's.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "files of its own");
            // Or the whole host would have these names.
            run(Command::new("mount").args(["--make-rprivate", "/"]));
            run(Command::new("mount").arg("--bind").arg(hosts_file).arg("/etc/hosts"));
            work()
        })
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}
