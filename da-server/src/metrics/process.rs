//! The conventional `process_*` families, read from `/proc/self` at each scrape.
//!
//! The collector that comes with the `prometheus` crate counts whole CPU seconds, which makes a
//! rate over a scrape interval a staircase; this one keeps the kernel's resolution.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::{Counter, Gauge, proto::MetricFamily};

/// Reads this process's own figures. What can't be read is left out, not exported as 0.
pub(super) struct ProcessCollector {
    families: Vec<Family>,
    ticks_per_second: f64,
    page_bytes: f64,
}

struct Family {
    name: &'static str,
    help: &'static str,
    desc: Desc,
    value: fn(&Snapshot) -> Option<f64>,
}

/// What one scrape reads.
struct Snapshot {
    stat: Option<Stat>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    boot_time_seconds: Option<f64>,
    ticks_per_second: f64,
    page_bytes: f64,
}

/// Fields of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    start_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

/// Name, help and how to read it.
type Definition = (&'static str, &'static str, fn(&Snapshot) -> Option<f64>);

const CPU_SECONDS: &str = "process_cpu_seconds_total";

const DEFINITIONS: &[Definition] = &[
    (CPU_SECONDS, "User and system CPU time spent, in seconds.", |s| {
        Some(s.stat.as_ref()?.cpu_ticks / s.ticks_per_second)
    }),
    ("process_resident_memory_bytes", "Resident memory size, in bytes.", |s| {
        Some(s.stat.as_ref()?.resident_pages * s.page_bytes)
    }),
    ("process_virtual_memory_bytes", "Virtual memory size, in bytes.", |s| {
        Some(s.stat.as_ref()?.virtual_bytes)
    }),
    ("process_open_fds", "Open file descriptors.", |s| s.open_fds),
    ("process_max_fds", "Limit of open file descriptors.", |s| s.max_fds),
    ("process_threads", "Threads of the process.", |s| Some(s.stat.as_ref()?.threads)),
    ("process_start_time_seconds", "Start of the process, in seconds since the epoch.", |s| {
        Some(s.boot_time_seconds? + s.stat.as_ref()?.start_ticks / s.ticks_per_second)
    }),
];

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let describe = |&(name, help, value): &Definition| {
            let desc = Desc::new(name.to_owned(), help.to_owned(), vec![], Default::default())?;
            Ok(Family { name, help, desc, value })
        };
        Ok(Self {
            families: DEFINITIONS.iter().map(describe).collect::<prometheus::Result<_>>()?,
            ticks_per_second: system_value(libc::_SC_CLK_TCK),
            page_bytes: system_value(libc::_SC_PAGESIZE),
        })
    }

    fn snapshot(&self) -> Snapshot {
        let read = |path| fs::read_to_string(path).ok();
        Snapshot {
            stat: read("/proc/self/stat").as_deref().and_then(parse_stat),
            // Less the descriptor that reads the directory itself.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64 - 1.0),
            max_fds: read("/proc/self/limits").as_deref().and_then(parse_max_fds),
            boot_time_seconds: read("/proc/stat").as_deref().and_then(parse_boot_time),
            ticks_per_second: self.ticks_per_second,
            page_bytes: self.page_bytes,
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().map(|family| &family.desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.snapshot();
        let readable = self.families.iter().filter_map(|f| Some((f, (f.value)(&snapshot)?)));
        readable.flat_map(|(family, value)| family.collect(value).unwrap_or_default()).collect()
    }
}

impl Family {
    /// A collector must not keep values that belong to one scrape, so each gets a fresh metric.
    fn collect(&self, value: f64) -> prometheus::Result<Vec<MetricFamily>> {
        if self.name == CPU_SECONDS {
            let counter = Counter::new(self.name, self.help)?;
            counter.inc_by(value);
            return Ok(counter.collect());
        }
        let gauge = Gauge::new(self.name, self.help)?;
        gauge.set(value);
        Ok(gauge.collect())
    }
}

fn system_value(name: libc::c_int) -> f64 {
    // SAFETY: sysconf takes a plain number, touches no memory of ours and can't fail for the two
    // names used here.
    unsafe { libc::sysconf(name) as f64 }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The command's name is in brackets and may hold spaces and brackets itself.
    let after_name = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // proc_pid_stat(5) numbers fields from 1; after the name comes number 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// The soft limit; `None` where it is unlimited.
fn parse_max_fds(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    /// What all threads have run for, in seconds, by a clock of the kernel that is no file.
    fn cpu_seconds() -> f64 {
        let ran = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(ran.tv_sec.cast_unsigned(), ran.tv_nsec as u32).as_secs_f64()
    }

    fn value(families: &[MetricFamily], name: &str) -> f64 {
        let family = families.iter().find(|f| f.name() == name).expect(name);
        let metric = &family.get_metric()[0];
        if name == CPU_SECONDS { metric.get_counter().value() } else { metric.get_gauge().value() }
    }

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 9 0 1234 4096 3 0";
        let expected = Stat {
            cpu_ticks: 300.0,
            threads: 9.0,
            start_ticks: 1234.0,
            virtual_bytes: 4096.0,
            resident_pages: 3.0,
        };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn an_unlimited_number_of_files_is_absent() {
        assert_eq!(parse_max_fds("Max open files   1024   4096   files"), Some(1024.0));
        assert_eq!(parse_max_fds("Max open files   unlimited   unlimited   files"), None);
    }

    #[test]
    fn figures_follow_the_process() {
        let collector = ProcessCollector::new().expect("describes");
        let (began, before, had_begun) = (cpu_seconds(), collector.collect(), cpu_seconds());
        assert_eq!(before.len(), DEFINITIONS.len());

        let files: Vec<_> =
            (0..200).map(|_| fs::File::open("/proc/self/stat").expect("open")).collect();
        while cpu_seconds() < had_begun + 0.1 {}
        let (ended, after, had_ended) = (cpu_seconds(), collector.collect(), cpu_seconds());
        let opened = value(&after, "process_open_fds") - value(&before, "process_open_fds");
        // Other tests of this process open and close files at the same time, but not as many.
        assert!(opened > 0.0, "{opened} more files open, {} expected", files.len());
        let cpu = value(&after, CPU_SECONDS) - value(&before, CPU_SECONDS);
        // User and system time are whole ticks, of 10 ms each, at both ends.
        let bounds = (ended - had_begun - 0.02)..=(had_ended - began + 0.02);
        assert!(bounds.contains(&cpu), "{cpu} CPU seconds, {bounds:?} by the clock");

        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let start = value(&after, "process_start_time_seconds");
        assert!(start <= now + 1.0 && start > now - 86_400.0, "started {start}, now {now}");
    }
}
