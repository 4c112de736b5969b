//! Loads the object, fits it to the kernel, attaches it, and takes what user space needs of it.

pub(super) mod attach;
pub(super) mod layout;
pub(super) mod privileges;
pub(super) mod programs;
pub(super) mod refusal;
pub(super) mod status;
pub(super) mod syscalls;

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use da_ebpf_common::connection::Connection;
use da_ebpf_common::meter::Meter;
use da_ebpf_common::silent;
use da_ebpf_common::syscall::Calls;
use tracing::level_filters::LevelFilter;

use self::layout::Layout;
use self::programs::{Links, Programs};
use self::refusal::{incomplete, refused};
use self::status::{Reason, Unavailable};
use self::syscalls::SyscallMapHandles;
use super::config::KernelConfig;
use super::dns::maps::DnsMaps;
use super::endpoints::own_threads::OwnThreads;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/da-ebpf.o"));

/// The programs, attached, and their maps. Dropping it detaches them.
pub struct Loaded {
    /// Owns programs and links.
    pub ebpf: Ebpf,
    /// The programs, and what became of each.
    pub programs: Programs,
    /// Events from the programs.
    pub events: RingBuf<MapData>,
    /// Connections they follow.
    pub connections: HashMap<MapData, u64, Connection>,
    /// How many of these have sent nothing.
    pub silent: Array<MapData, u64>,
    /// What their runs cost, by program.
    pub meters: PerCpuArray<MapData, Meter>,
    /// What they count.
    pub counters: PerCpuArray<MapData, u64>,
    /// DNS queries and answers.
    pub dns: DnsMaps,
    /// What times system calls; `None` where nothing does.
    pub syscalls: Option<Syscalls>,
    /// Their diagnostics; none where the log level is off.
    pub logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

/// Size of the object in this binary, bytes.
///
/// # Errors
/// There is none.
pub fn check_object() -> Result<usize, Unavailable> {
    if OBJECT.is_empty() {
        return Err(Unavailable::new(
            Reason::NotBuilt,
            "this binary carries no BPF object: build it with `cargo xtask build`",
        ));
    }
    Ok(OBJECT.len())
}

/// The syscall tier.
pub struct Syscalls {
    /// Its programs, attached.
    pub links: Links,
    /// What says whose system calls are timed.
    pub maps: SyscallMapHandles,
    /// `SERIES_CALLS`: the calls on each series of connections.
    pub series_calls: Array<MapData, Calls>,
}

/// Loads and attaches all programs.
///
/// # Errors
/// There is no kernel view then, and the value says why and what to do.
pub fn load(config: &KernelConfig) -> Result<Loaded, Unavailable> {
    if !config.enabled {
        return Err(Unavailable::new(Reason::Disabled, "kernel.enabled is false"));
    }
    check_object()?;
    privileges::check()?;
    privileges::check_maps_outlive()?;
    let layout = Layout::of_running_kernel()?;
    let (log_level, numbers) = (log_level(), syscalls::numbers());
    let times_syscalls = u32::from(config.syscalls);
    let most_silent = silent::most(config.max_connections);
    let long_gap_ns = u64::from(config.long_gap_ms) * 1_000_000;
    let mut loader = EbpfLoader::new();
    for (global, value) in &layout.values {
        loader.override_global(global, value, true);
    }
    let mut ebpf = loader
        .override_global(aya_log::LEVEL, &log_level, false)
        .override_global("SYSCALLS", numbers.as_slice(), true)
        .override_global("TIMES_SYSCALLS", &times_syscalls, true)
        .override_global("MOST_SILENT", &most_silent, true)
        .override_global("LONG_GAP_NS", &long_gap_ns, true)
        .override_global("FOLLOWS_DNS", &u32::from(config.dns), true)
        // Storage for tasks, which only the programs use.
        .allow_unsupported_maps()
        .map_max_entries("CONNECTIONS", config.max_connections)
        .map_max_entries("SERIES", config.max_connections)
        .map_max_entries("EVENTS", config.ring_bytes)
        .load(OBJECT)
        .map_err(|error| refused("load the BPF object", &error))?;
    let logger = if log_level > 0 { EbpfLogger::init(&mut ebpf).ok() } else { None };
    let mut programs = Programs::attach(&mut ebpf, &layout, config.hooks, config.syscalls)?;
    let links = programs.take_syscalls();
    let syscalls = links.map(|links| take_syscalls(&mut ebpf, links)).transpose()?;
    Ok(Loaded {
        events: take(&mut ebpf, "EVENTS")?,
        connections: take(&mut ebpf, "CONNECTIONS")?,
        silent: take(&mut ebpf, "SILENT")?,
        meters: take(&mut ebpf, "METERS")?,
        counters: take(&mut ebpf, "COUNTERS")?,
        dns: DnsMaps {
            answers: take(&mut ebpf, "DNS_ANSWERS")?,
            queries: take(&mut ebpf, "DNS_QUERIES")?,
            own: OwnThreads::new(),
            snapshot: None,
        },
        ebpf,
        programs,
        syscalls,
        logger,
    })
}

fn take_syscalls(ebpf: &mut Ebpf, links: Links) -> Result<Syscalls, Unavailable> {
    Ok(Syscalls {
        links,
        maps: SyscallMapHandles {
            epoch: take(ebpf, "SYSCALL_EPOCH")?,
            processes: take(ebpf, "PROCESSES")?,
            early_calls: take(ebpf, "EARLY_CALLS")?,
            series: take(ebpf, "SERIES")?,
        },
        series_calls: take(ebpf, "SERIES_CALLS")?,
    })
}

fn take<T: TryFrom<aya::maps::Map>>(ebpf: &mut Ebpf, name: &str) -> Result<T, Unavailable> {
    let map = ebpf.take_map(name).ok_or_else(|| incomplete("map", name))?;
    T::try_from(map).map_err(|_| incomplete("map", name))
}

/// The level the programs log at: that of the subscriber. Statements above it are cut out of the
/// programs by the verifier, so what is off costs nothing.
fn log_level() -> u8 {
    let level = LevelFilter::current();
    match level.into_level() {
        // aya-log counts from error = 1 to trace = 5.
        Some(tracing::Level::ERROR) => aya_log::Level::Error as u8,
        Some(tracing::Level::WARN) => aya_log::Level::Warn as u8,
        Some(tracing::Level::INFO) => aya_log::Level::Info as u8,
        Some(tracing::Level::DEBUG) => aya_log::Level::Debug as u8,
        Some(tracing::Level::TRACE) => aya_log::Level::Trace as u8,
        None => 0,
    }
}
