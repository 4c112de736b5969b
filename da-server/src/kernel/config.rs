//! What the operator says about the kernel view: `[kernel]`.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::recording::Recorder;

/// `[kernel]`: whether and how sockets are watched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelConfig {
    /// Load the BPF programs at all.
    pub enabled: bool,
    /// Look the endpoints' hosts up, so that a connection without a name is told by its address.
    pub resolve: bool,
    /// Follow the DNS queries that processes send over UDP.
    pub dns: bool,
    /// What becomes of connections to hosts that no endpoint lists.
    pub unlisted: Unlisted,
    /// Connections tracked at once; one beyond it is counted as lost, not tracked.
    pub max_connections: u32,
    /// Size of the ring buffer between the programs and the reader, bytes; a power of two.
    pub ring_bytes: u32,
    /// An answered exchange is over when nothing has happened on its connection for so long.
    pub silence_seconds: u32,
    /// A gap within a response is told with its cause from this length on, milliseconds.
    pub long_gap_ms: u32,
    /// Callers that the collector tells apart by the labels `process` and `workload`; further ones are `other`.
    /// 0 leaves the labels out.
    pub max_processes: u32,
    /// Time system calls on connections to endpoints: the tier that costs most, since it runs at
    /// every system call of the host.
    pub syscalls: bool,
    /// Share of one core that the view may take before that tier is shed.
    pub cpu_budget: f64,
    /// Not in the file: which hooks to use.
    #[serde(skip)]
    pub hooks: Hooks,
    /// Not in the file: where events and settled records are written down.
    #[serde(skip)]
    pub recorder: Option<Recorder>,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            resolve: true,
            dns: true,
            unlisted: Unlisted::Drop,
            max_connections: 16_384,
            ring_bytes: 4 << 20,
            silence_seconds: 30,
            long_gap_ms: 200,
            max_processes: 20,
            syscalls: true,
            cpu_budget: 0.01,
            hooks: Hooks::Newest,
            recorder: None,
        }
    }
}

/// Smallest ring buffer: a few of the largest events.
const MIN_RING_BYTES: u32 = 64 << 10;
/// Largest ring buffer.
const MAX_RING_BYTES: u32 = 1 << 30;
/// Most connections that can be tracked; the kernel sets about 1,460 bytes aside for each.
const MAX_CONNECTIONS: u32 = 1 << 20;

/// Longest silence that may be waited for.
const MAX_SILENCE_SECONDS: u32 = 3_600;
/// Shorter ones are told too often to cost nothing, and longer ones too late to help.
const LONG_GAPS_MS: RangeInclusive<u32> = 10..=60_000;
/// Most processes that can be told apart: each has its series of every endpoint it talks to.
const MAX_PROCESSES: u32 = 1000;
/// Less than the reader takes when nothing happens would shed the tier for no reason.
const CPU_BUDGETS: RangeInclusive<f64> = 0.001..=1.0;

impl KernelConfig {
    /// Checks what the kernel would refuse without saying why, and what would flood the metrics.
    ///
    /// # Errors
    /// The key that can't be used, and what can.
    pub fn validate(&self) -> Result<(), KernelConfigError> {
        if !(1..=MAX_CONNECTIONS).contains(&self.max_connections) {
            return Err(KernelConfigError::MaxConnections(self.max_connections));
        }
        let in_range = (MIN_RING_BYTES..=MAX_RING_BYTES).contains(&self.ring_bytes);
        if !in_range || !self.ring_bytes.is_power_of_two() {
            return Err(KernelConfigError::RingBytes(self.ring_bytes));
        }
        if !(1..=MAX_SILENCE_SECONDS).contains(&self.silence_seconds) {
            return Err(KernelConfigError::SilenceSeconds(self.silence_seconds));
        }
        let is_over = self.long_gap_ms / 1_000 >= self.silence_seconds;
        if !LONG_GAPS_MS.contains(&self.long_gap_ms) || is_over {
            return Err(KernelConfigError::LongGapMs(self.long_gap_ms));
        }
        if self.max_processes > MAX_PROCESSES {
            return Err(KernelConfigError::MaxProcesses(self.max_processes));
        }
        if !CPU_BUDGETS.contains(&self.cpu_budget) {
            return Err(KernelConfigError::CpuBudget(self.cpu_budget));
        }
        Ok(())
    }
}

/// Why `[kernel]` can't be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum KernelConfigError {
    /// Too few or too many.
    #[error("kernel.max_connections = {0}: use 1 to {MAX_CONNECTIONS}")]
    MaxConnections(u32),
    /// Not a size that a ring buffer can have.
    #[error(
        "kernel.ring_bytes = {0}: use a power of two from {MIN_RING_BYTES} to {MAX_RING_BYTES}"
    )]
    RingBytes(u32),
    /// Not a silence, or one nobody waits for.
    #[error("kernel.silence_seconds = {0}: use 1 to {MAX_SILENCE_SECONDS}")]
    SilenceSeconds(u32),
    /// Too short or too long.
    #[error(
        "kernel.long_gap_ms = {0}: use {min} to {max}, and less than kernel.silence_seconds",
        min = LONG_GAPS_MS.start(),
        max = LONG_GAPS_MS.end()
    )]
    LongGapMs(u32),
    /// More than anybody could look at.
    #[error("kernel.max_processes = {0}: use 0 to {MAX_PROCESSES}")]
    MaxProcesses(u32),
    /// Not a share of a core.
    #[error(
        "kernel.cpu_budget = {0}: use {min} to {max}",
        min = CPU_BUDGETS.start(),
        max = CPU_BUDGETS.end()
    )]
    CpuBudget(f64),
}

impl KernelConfigError {
    /// The key of the value that can't be used.
    pub fn key(&self) -> &'static str {
        match self {
            Self::MaxConnections(_) => "kernel.max_connections",
            Self::RingBytes(_) => "kernel.ring_bytes",
            Self::SilenceSeconds(_) => "kernel.silence_seconds",
            Self::LongGapMs(_) => "kernel.long_gap_ms",
            Self::MaxProcesses(_) => "kernel.max_processes",
            Self::CpuBudget(_) => "kernel.cpu_budget",
        }
    }
}

/// Which of the kernel's tracepoints the programs attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hooks {
    /// The best there are.
    #[default]
    Newest,
    /// Those that kernels before 6.3 have, also on later ones: for tests.
    Older,
}

/// Policy for connections whose name (or address) no endpoint lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// Stop tracking them as soon as their name is known; export nothing.
    Drop,
    /// Export them together under the endpoint `other`.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cant_be_used_are_named() {
        assert_eq!(KernelConfig::default().validate(), Ok(()));
        for ring_bytes in [0, 2048, 4096, 100_000, u32::MAX] {
            let config = KernelConfig { ring_bytes, ..KernelConfig::default() };
            assert_eq!(config.validate(), Err(KernelConfigError::RingBytes(ring_bytes)));
        }
        for max_connections in [0, u32::MAX] {
            let config = KernelConfig { max_connections, ..KernelConfig::default() };
            let refusal = Err(KernelConfigError::MaxConnections(max_connections));
            assert_eq!(config.validate(), refusal);
        }
        let config = KernelConfig { max_processes: 1001, ..KernelConfig::default() };
        assert_eq!(config.validate(), Err(KernelConfigError::MaxProcesses(1001)));
        for long_gap_ms in [0, 9, 30_000, 60_001] {
            let config = KernelConfig { long_gap_ms, ..KernelConfig::default() };
            assert_eq!(config.validate(), Err(KernelConfigError::LongGapMs(long_gap_ms)));
        }
        for cpu_budget in [0.0, -0.1, 1.5] {
            let config = KernelConfig { cpu_budget, ..KernelConfig::default() };
            assert_eq!(config.validate(), Err(KernelConfigError::CpuBudget(cpu_budget)));
        }
        let config = KernelConfig { cpu_budget: f64::NAN, ..KernelConfig::default() };
        assert!(config.validate().is_err());
    }
}
