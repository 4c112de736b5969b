//! The one clock of the log and of the delays: CLOCK_MONOTONIC, in nanoseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds of CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns` and of Rust's `Instant`.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * NS_PER_SECOND + now.tv_nsec as u64
}

/// An alarm that wakes a task at an absolute time.
///
/// Tokio's own timer counts whole milliseconds, which is as much as some of the delays
/// that tests inject; a timerfd is exact to the scheduling of the thread.
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Must be called inside a tokio runtime. Fails when no file descriptor is left.
    pub(crate) fn new() -> io::Result<Alarm> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // SAFETY: `OwnedFd` holds a descriptor that is open and always the same until it is dropped,
        // which only the `AsyncFd` does: it is given the one handle, and nothing here takes it back.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Alarm { timer })
    }

    /// Returns once [`now_ns`] is at or past `deadline_ns`; at once when it already is.
    pub(crate) async fn until(&self, deadline_ns: u64) -> io::Result<()> {
        if now_ns() >= deadline_ns {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: (deadline_ns / NS_PER_SECOND) as i64,
                tv_nsec: (deadline_ns % NS_PER_SECOND) as i64,
            },
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut expirations)?));
            match read {
                Ok(result) => return result.map(drop),
                Err(_would_block) => continue,
            }
        }
    }
}

/// `delay` in whole nanoseconds, saturating.
pub(crate) fn duration_ns(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alarm_never_rings_early_and_can_be_set_again() {
        let alarm = Alarm::new().unwrap();
        for delay_ns in [300_000, 1_700_000, 0] {
            let deadline_ns = now_ns() + delay_ns;
            alarm.until(deadline_ns).await.unwrap();
            assert!(now_ns() >= deadline_ns);
        }
    }

    #[test]
    fn clock_is_the_one_of_instant() {
        let (before, instant, after) = (now_ns(), std::time::Instant::now(), now_ns());
        // `Instant` shows its reading only in differences: two of them must agree with ours.
        std::thread::sleep(Duration::from_millis(5));
        let (later_before, elapsed, later_after) = (now_ns(), instant.elapsed(), now_ns());
        let elapsed_ns = duration_ns(elapsed);
        assert!(elapsed_ns >= later_before - after && elapsed_ns <= later_after - before);
    }
}
