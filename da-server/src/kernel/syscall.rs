//! `syscall_seconds{kind,provider,syscall}`: how long system calls on attributed connections take.
//!
//! The programs add the calls up by series; here series get their names, and are read at every
//! scrape. No call is an event.

pub(super) mod budget;
pub(super) mod maps;
pub(super) mod tier;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::maps::{Array, MapData};
use da_ebpf_common::histogram::EDGES_NS;
use da_ebpf_common::syscall::{Calls, Durations, MAX_SERIES, Syscall};
use prometheus::Opts;
use prometheus::core::{Collector, Desc, Describer};
use prometheus::proto::MetricFamily;

use super::series::histogram::{Series, family, label_pairs};
use super::series::{SeriesLabels, SocketRegistry};

/// The family; clones share it. Absent as long as no call was counted.
#[derive(Clone)]
pub struct SyscallMetrics {
    desc: Desc,
    /// The programs' `SERIES_CALLS`.
    calls: Arc<Mutex<Array<MapData, Calls>>>,
    named: Arc<Mutex<Named>>,
}

#[derive(Default)]
struct Named {
    places: HashMap<SeriesLabels, u32>,
    /// By place: its labels, and calls that were counted before it was known that they are its; none where no
    /// series has the place.
    series: Vec<Option<(SeriesLabels, Calls)>>,
    /// Places that no series has any more, and no calls.
    free: Vec<u32>,
}

impl SyscallMetrics {
    /// Registers the family, over the programs' `SERIES_CALLS`.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        calls: Array<MapData, Calls>,
    ) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "syscall_seconds",
            "System calls on connections, from enter to exit; a wait that found something counts for \
             the connection that its thread reads next.",
        );
        let labels = registry.label_names(&["syscall"]).into_iter().map(str::to_owned);
        let desc = opts.variable_labels(labels.collect()).describe()?;
        let metrics = Self { desc, calls: Arc::new(Mutex::new(calls)), named: Arc::default() };
        registry.registry.register(Box::new(metrics.clone()))?;
        Ok(metrics)
    }

    /// The place of a series in `SERIES_CALLS`; `None` where all are taken.
    pub fn place(&self, labels: &SeriesLabels) -> Option<u32> {
        let mut named = self.lock();
        if let Some(place) = named.places.get(labels) {
            return Some(*place);
        }
        let place = match named.free.pop() {
            Some(place) => place,
            None => {
                let next = u32::try_from(named.series.len()).ok();
                let next = next.filter(|next| *next < MAX_SERIES)?;
                named.series.push(None);
                next
            }
        };
        named.series[place as usize] = Some((labels.clone(), Calls::NONE));
        named.places.insert(labels.clone(), place);
        Some(place)
    }

    /// Takes out a series to which no connection goes any more. Its place is another one's then.
    pub fn forget(&self, labels: &SeriesLabels) {
        let Some(place) = self.lock().places.remove(labels) else { return };
        let cleared = self.lock_calls().set(place, Calls::NONE, 0);
        let mut named = self.lock();
        named.series[place as usize] = None;
        // Where the kernel refuses, the place is lost.
        if cleared.is_ok() {
            named.free.push(place);
        }
    }

    /// Adds calls that turned out to be of a series.
    pub fn add(&self, place: u32, calls: &Calls) {
        if let Some(Some((_, early))) = self.lock().series.get_mut(place as usize) {
            early.merge(calls);
        }
    }

    /// How many series there are.
    pub fn places(&self) -> usize {
        self.lock().places.len()
    }

    /// The calls of a series, early ones included; `None` where they can't be read.
    fn calls(&self, place: u32) -> Option<Calls> {
        let mut calls = self.lock_calls().get(&place, 0).ok()?;
        if let Some(Some((_, early))) = self.lock().series.get(place as usize) {
            calls.merge(early);
        }
        Some(calls)
    }

    /// Held for one call of the kernel.
    fn lock_calls(&self) -> MutexGuard<'_, Array<MapData, Calls>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never held while the kernel is asked for something: the reader waits for it.
    fn lock(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for SyscallMetrics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series: Vec<_> =
            self.lock().places.iter().map(|(labels, place)| (*place, labels.clone())).collect();
        let mut all = Vec::new();
        for (place, labels) in series {
            let Some(calls) = self.calls(place) else { continue };
            if self.lock().places.get(&labels) != Some(&place) {
                continue; // it was another one's by then
            }
            for (syscall, durations) in Syscall::ALL.iter().zip(&calls.by_syscall) {
                if durations.count() == 0 {
                    continue;
                }
                let mut values: Vec<_> = labels.values().into_iter().map(str::to_owned).collect();
                values.push(syscall.as_str().to_owned());
                let labels = label_pairs(&self.desc.variable_labels, &values);
                let Durations { sum_ns, buckets } = *durations;
                all.push(Series { labels, sum_ns, buckets });
            }
        }
        family(&self.desc, &EDGES_NS, &all)
    }
}
