//! Who is let through, and who is counted as what.

use super::*;
use crate::metrics::Registry;
use crate::provider::CallKind;

/// A gate whose metrics nobody reads.
pub(crate) fn gate(max_concurrent: usize, breaker: BreakerConfig) -> Gate {
    let series = GateMetrics::register(&Registry::new()).unwrap();
    let series = series.of(CallKind::Llm, "anthropic", "m");
    Gate::new("anthropic".into(), max_concurrent, breaker, &Timeouts::default(), series)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

const FAILED: Outcome = Outcome::Failed(ErrorKind::Server);

#[tokio::test]
async fn a_place_is_given_back_when_the_pass_ends() {
    let gate = gate(1, BreakerConfig::default());
    let first = gate.enter(later()).await.unwrap();
    assert_eq!(gate.enter(soon()).await.unwrap_err().kind, ErrorKind::Saturated);
    assert_eq!((gate.series.in_flight.get(), gate.series.waiting.get()), (1, 0));
    first.end(Outcome::Success);
    assert_eq!(gate.series.in_flight.get(), 0);
    gate.enter(soon()).await.unwrap();
}

#[tokio::test]
async fn those_who_wait_are_let_through_in_their_order() {
    let gate = gate(1, BreakerConfig::default());
    let first = gate.enter(later()).await.unwrap();
    let (second, third) = (gate.enter(later()), gate.enter(later()));
    tokio::pin!(second, third);
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(futures_util::poll!(&mut third).is_pending());
    assert_eq!((gate.series.in_flight.get(), gate.series.waiting.get()), (1, 2));
    first.end(Outcome::Success);
    assert!(futures_util::poll!(&mut third).is_pending(), "it is not the third's turn");
    let second = second.await.unwrap();
    assert_eq!((gate.series.in_flight.get(), gate.series.waiting.get()), (1, 1));
    second.end(Outcome::Success);
    third.await.unwrap();
    assert_eq!(gate.series.waiting.get(), 0);
}

#[tokio::test]
async fn one_who_gives_up_waiting_is_no_longer_counted() {
    let gate = gate(1, BreakerConfig::default());
    let _first = gate.enter(later()).await.unwrap();
    {
        let second = gate.enter(later());
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(gate.series.waiting.get(), 1);
    }
    assert_eq!(gate.series.waiting.get(), 0);
}

#[tokio::test]
async fn those_who_wait_are_refused_when_the_breaker_opens() {
    let breaker = BreakerConfig { failures: 1, ..BreakerConfig::default() };
    let gate = gate(1, breaker);
    let first = gate.enter(later()).await.unwrap();
    let second = gate.enter(later());
    tokio::pin!(second);
    assert!(futures_util::poll!(&mut second).is_pending());
    first.end(FAILED);
    assert_eq!(second.await.unwrap_err().kind, ErrorKind::CircuitOpen);
    assert_eq!(gate.permits.available_permits(), 1, "refused ones hold no place");
    assert_eq!(gate.enter(later()).await.unwrap_err().kind, ErrorKind::CircuitOpen);
}

#[tokio::test]
async fn a_pass_that_ends_without_a_result_frees_the_trial() {
    let breaker = BreakerConfig { failures: 1, cool_down: Duration::ZERO };
    let gate = gate(2, breaker);
    gate.enter(later()).await.unwrap().end(FAILED);
    let trial = gate.enter(later()).await.unwrap();
    assert_eq!(gate.enter(later()).await.unwrap_err().kind, ErrorKind::CircuitOpen);
    trial.end(Outcome::Failed(ErrorKind::Cancelled));
    gate.enter(later()).await.unwrap().end(Outcome::Success);
    assert!(!gate.refuses(Instant::now()));
}
