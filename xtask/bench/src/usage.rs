//! What a process has used.

use anyhow::{Context, Result};
use procfs::process::Process;

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time since its start, in the kernel's ticks of 10 ms.
    pub cpu_seconds: f64,
    /// Memory that is its own or shared, and in RAM: `VmRSS`.
    pub resident_bytes: f64,
}

impl Usage {
    /// Of a process, now.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Process::new(pid.cast_signed())?;
        let stat = process.stat()?;
        let ticks = (stat.utime + stat.stime) as f64;
        let resident = process.status()?.vmrss.context("the kernel does not say VmRSS")?;
        Ok(Self {
            cpu_seconds: ticks / procfs::ticks_per_second() as f64,
            resident_bytes: resident as f64 * 1024.0,
        })
    }
}
