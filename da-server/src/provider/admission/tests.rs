//! Who is let through, and who is counted as what.

use super::*;
use crate::metrics::Registry;
use crate::provider::CallKind;

/// A admission whose metrics nobody reads.
pub(crate) fn admission(max_concurrent: usize, breaker: BreakerConfig) -> Admission {
    let series = AdmissionMetrics::register(&Registry::new()).unwrap();
    let series = series.of(CallKind::Llm, "anthropic", "m");
    Admission::new("anthropic".into(), max_concurrent, breaker, &Timeouts::default(), series)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

const FAILED: Outcome = Outcome::Failed(ErrorKind::Server);

#[tokio::test]
async fn a_permit_is_given_back_when_the_attempt_ends() {
    let admission = admission(1, BreakerConfig::default());
    let first = admission.acquire(later()).await.unwrap();
    assert_eq!(admission.acquire(soon()).await.unwrap_err().kind, ErrorKind::Saturated);
    assert_eq!((admission.series.in_flight.get(), admission.series.waiting.get()), (1, 0));
    first.end(Outcome::Success);
    assert_eq!(admission.series.in_flight.get(), 0);
    admission.acquire(soon()).await.unwrap();
}

#[tokio::test]
async fn permits_are_given_in_the_order_of_asking() {
    let admission = admission(1, BreakerConfig::default());
    let first = admission.acquire(later()).await.unwrap();
    let (second, third) = (admission.acquire(later()), admission.acquire(later()));
    tokio::pin!(second, third);
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(futures_util::poll!(&mut third).is_pending());
    assert_eq!((admission.series.in_flight.get(), admission.series.waiting.get()), (1, 2));
    first.end(Outcome::Success);
    assert!(futures_util::poll!(&mut third).is_pending(), "it is not the third's turn");
    let second = second.await.unwrap();
    assert_eq!((admission.series.in_flight.get(), admission.series.waiting.get()), (1, 1));
    second.end(Outcome::Success);
    third.await.unwrap();
    assert_eq!(admission.series.waiting.get(), 0);
}

#[tokio::test]
async fn one_who_gives_up_waiting_is_no_longer_counted() {
    let admission = admission(1, BreakerConfig::default());
    let _first = admission.acquire(later()).await.unwrap();
    {
        let second = admission.acquire(later());
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(admission.series.waiting.get(), 1);
    }
    assert_eq!(admission.series.waiting.get(), 0);
}

#[tokio::test]
async fn those_who_wait_are_refused_when_the_breaker_opens() {
    let breaker = BreakerConfig { failures: 1, ..BreakerConfig::default() };
    let admission = admission(1, breaker);
    let first = admission.acquire(later()).await.unwrap();
    let second = admission.acquire(later());
    tokio::pin!(second);
    assert!(futures_util::poll!(&mut second).is_pending());
    first.end(FAILED);
    assert_eq!(second.await.unwrap_err().kind, ErrorKind::CircuitOpen);
    assert_eq!(admission.permits.available_permits(), 1, "refused ones hold no permit");
    assert_eq!(admission.acquire(later()).await.unwrap_err().kind, ErrorKind::CircuitOpen);
}

#[tokio::test]
async fn a_permit_that_ends_without_a_result_frees_the_probe() {
    let breaker = BreakerConfig { failures: 1, cool_down: Duration::ZERO };
    let admission = admission(2, breaker);
    admission.acquire(later()).await.unwrap().end(FAILED);
    let probe = admission.acquire(later()).await.unwrap();
    assert_eq!(admission.acquire(later()).await.unwrap_err().kind, ErrorKind::CircuitOpen);
    probe.end(Outcome::Failed(ErrorKind::Cancelled));
    admission.acquire(later()).await.unwrap().end(Outcome::Success);
    assert!(!admission.refuses(Instant::now()));
}
