//! How long what had arrived waited to be read, and for whom: `socket_pickup_seconds`,
//! `socket_pickup_cause_seconds_total`.

use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::histogram::Histogram;

use super::series::family::{DetailSeconds, EndpointHistogram};
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// What kept bytes waiting to be read: label value of `socket_pickup_cause_seconds_total{cause}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickupCause {
    /// The thread that read them was ready to run, and waited for a CPU.
    Cpu,
    /// It ran, or waited for something else.
    Process,
    /// Another thread read them than the one that had used the connection last, or the kernel does not count.
    Unknown,
}

impl PickupCause {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Process, Self::Unknown];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Process => "process",
            Self::Unknown => "unknown",
        }
    }
}

/// How long what arrived in an exchange waited in all, and for whom, ns.
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    all_ns: u64,
    /// Of these, what was read by the thread that was likely to.
    followed_ns: u64,
    /// Of these, for how long it waited for a CPU.
    run_delay_ns: u64,
}

impl Waits {
    fn of(exchange: &Exchange, others: Option<&Histogram>) -> Self {
        // Without any, it is an earlier exchange's.
        let first_ns = if exchange.pickups > 0 { exchange.first_pickup_ns } else { 0 };
        Self {
            all_ns: first_ns + others.map_or(0, |others| others.sum_ns),
            followed_ns: exchange.followed_pickup_ns,
            run_delay_ns: exchange.run_delay_ns,
        }
    }

    /// What has come since.
    fn since(self, counted: Self) -> Self {
        Self {
            all_ns: self.all_ns.saturating_sub(counted.all_ns),
            followed_ns: self.followed_ns.saturating_sub(counted.followed_ns),
            run_delay_ns: self.run_delay_ns.saturating_sub(counted.run_delay_ns),
        }
    }

    /// In the order of [`PickupCause::ALL`]; all of them are `all_ns`.
    fn by_cause_ns(self) -> [u64; PickupCause::ALL.len()] {
        let followed_ns = self.followed_ns.min(self.all_ns);
        let run_delay_ns = self.run_delay_ns.min(followed_ns);
        [run_delay_ns, followed_ns - run_delay_ns, self.all_ns - followed_ns]
    }
}

/// An exchange that was counted before it was known to be over.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Its number on the connection.
    pub number: u64,
    /// Bytes of the response by then.
    pub response_bytes: u64,
    /// Waits to be read that were over by then.
    pub pickups: u64,
    /// These without the first, if there were more.
    pub later_pickups: Option<Box<Histogram>>,
    /// For whom they had waited.
    waits: Waits,
}

impl Settled {
    /// What was counted of an exchange, with its later waits.
    pub fn of(exchange: &Exchange, later_pickups: Option<Histogram>) -> Self {
        Self {
            number: exchange.number,
            response_bytes: exchange.response.bytes,
            pickups: exchange.pickups,
            later_pickups: later_pickups.map(Box::new),
            waits: Waits::of(exchange, later_pickups.as_ref()),
        }
    }
}

/// The families of this module.
#[derive(Debug)]
pub struct PickupMetrics {
    pickup_seconds: EndpointHistogram,
    cause_seconds_total: DetailSeconds,
}

impl PickupMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let pickup_seconds = EndpointHistogram::register(
            registry,
            "socket_pickup_seconds",
            "Oldest unread byte at the socket to the read that takes it. Observed when the exchange \
             is reported.",
        )?;
        let cause_seconds_total = DetailSeconds::register(
            registry,
            "socket_pickup_cause_seconds_total",
            "The times in socket_pickup_seconds by what the reading thread did meanwhile: it was \
             ready to run and waited for a CPU (cpu), it ran or waited for something else \
             (process), or that is not known, since another thread read (unknown).",
            "cause",
        )?;
        Ok(Self { pickup_seconds, cause_seconds_total })
    }

    /// The waits during one exchange: the first, and the others as the programs counted them.
    pub fn picked_up(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        exchange: &Exchange,
        others: Option<&Histogram>,
    ) {
        self.count_causes(id, labels, Waits::of(exchange, others));
        self.observe(id, labels, exchange, others);
    }

    fn observe(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        exchange: &Exchange,
        others: Option<&Histogram>,
    ) {
        if exchange.pickups > 0 {
            self.pickup_seconds.observe_ns(id, labels, exchange.first_pickup_ns);
        }
        if let Some(others) = others {
            self.pickup_seconds.merge(id, labels, others);
        }
    }

    /// The same of an exchange that was counted before, while something waited to be read: what has
    /// come since.
    pub fn picked_up_since(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        exchange: &Exchange,
        others: Option<Box<Histogram>>,
        settled: &Settled,
    ) {
        let waits = Waits::of(exchange, others.as_deref()).since(settled.waits);
        self.count_causes(id, labels, waits);
        let others = match (others, &settled.later_pickups) {
            (Some(others), Some(counted)) => Some(others.since(counted)),
            (others, _) => others.map(|others| *others),
        };
        if settled.pickups == 0 {
            self.observe(id, labels, exchange, others.as_ref());
        } else if let Some(others) = others {
            self.pickup_seconds.merge(id, labels, &others);
        }
    }

    fn count_causes(&mut self, id: SeriesId, labels: &SeriesLabels, waits: Waits) {
        for (cause, ns) in PickupCause::ALL.into_iter().zip(waits.by_cause_ns()) {
            self.cause_seconds_total.add_ns(id, labels, cause.as_str(), ns);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.pickup_seconds.forget(id);
        self.cause_seconds_total.forget(id, labels);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn each_nanosecond_of_a_wait_has_one_cause() {
        let mut exchange = Exchange::new_zeroed();
        (exchange.first_pickup_ns, exchange.followed_pickup_ns) = (100, 130);
        (exchange.run_delay_ns, exchange.pickups) = (40, 2);
        let others = Histogram { sum_ns: 50, ..Histogram::EMPTY };
        let waits = Waits::of(&exchange, Some(&others));
        assert_eq!(waits.by_cause_ns(), [40, 90, 20]);
        let stale = Exchange { pickups: 0, followed_pickup_ns: 0, run_delay_ns: 0, ..exchange };
        assert_eq!(Waits::of(&stale, None).by_cause_ns(), [0; 3]);
        let earlier = Waits { all_ns: 100, followed_ns: 100, run_delay_ns: 40 };
        assert_eq!(waits.since(earlier).by_cause_ns(), [0, 30, 20]);
        // A record may be read half written.
        let torn = Waits { all_ns: 10, followed_ns: 20, run_delay_ns: 30 };
        assert_eq!(torn.by_cause_ns(), [10, 0, 0]);
    }
}
