//! tcpdump on the loopback device, and what it wrote.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use etherparse::{SlicedPacket, TransportSlice};
use pcap_parser::PcapCapture;

use crate::stage::{BEGINNING, Stage};
use da_testkit::program::Program;
use rustix::process::Signal;

/// One TCP segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// When the kernel handed it to the device, ns of `CLOCK_REALTIME`.
    pub at_ns: u64,
    /// Or from the server.
    pub from_client: bool,
    /// It opens the connection, or answers to that.
    pub syn: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A running capture.
pub struct Capture {
    tcpdump: Program,
    file: PathBuf,
    server_port: u16,
}

impl Capture {
    /// Begins to capture what goes to and from that port.
    pub fn start(stage: &Stage, server_port: u16) -> Result<Self> {
        let file = stage.scratch.join("accuracy.pcap");
        let mut command = Command::new("tcpdump");
        command
            .args(["--interface", "lo", "--time-stamp-precision", "nano", "-Z", "root"])
            .args(["--buffer-size", "32768", "-w"])
            .arg(&file)
            .arg(format!("tcp port {server_port}"));
        let mut tcpdump = stage.start("accuracy-tcpdump", command)?;
        tcpdump.wait_for(BEGINNING, |said| said.contains("listening on").then_some(()))?;
        Ok(Self { tcpdump, file, server_port })
    }

    /// Ends it; the segments of each connection, in order, by the client's port.
    pub fn finish(self) -> Result<HashMap<u16, Vec<Segment>>> {
        // The kernel hands segments over in blocks, the last one after a second.
        thread::sleep(Duration::from_millis(1_500));
        let said = self.tcpdump.end(Signal::INT)?;
        ensure!(said.contains("\n0 packets dropped by kernel"), "tcpdump lost some: {said}");
        let bytes = fs::read(&self.file)?;
        let capture = PcapCapture::from_file(&bytes).map_err(|why| anyhow!("no capture: {why}"))?;
        ensure!(capture.header.is_nanosecond_precision(), "tcpdump wrote no nanoseconds");
        let mut connections: HashMap<u16, Vec<Segment>> = HashMap::new();
        for block in &capture.blocks {
            let packet = SlicedPacket::from_ethernet(block.data)?;
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else { continue };
            let from_client = tcp.destination_port() == self.server_port;
            let port = if from_client { tcp.source_port() } else { tcp.destination_port() };
            connections.entry(port).or_default().push(Segment {
                at_ns: u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec),
                from_client,
                syn: tcp.syn(),
                payload: tcp.payload().to_vec(),
            });
        }
        Ok(connections)
    }
}
