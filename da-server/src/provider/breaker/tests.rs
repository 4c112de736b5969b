//! The breaker against a clock of the test's own.

use super::*;

const COOL_DOWN: Duration = Duration::from_secs(10);

/// A breaker that opens at the third failure.
fn breaker() -> (Breaker, Instant) {
    let config = BreakerConfig { failures: 3, cool_down: COOL_DOWN };
    (Breaker::new(config), Instant::now())
}

/// Attempts one after another, all at `now`.
fn attempts(breaker: &mut Breaker, now: Instant, outcomes: &[BreakerOutcome]) {
    for outcome in outcomes {
        let permit = breaker.admit(now).expect("let through");
        breaker.record(permit, *outcome, now);
    }
}

fn opened() -> (Breaker, Instant) {
    let (mut breaker, now) = breaker();
    attempts(&mut breaker, now, &[BreakerOutcome::Failure; 3]);
    assert_eq!(breaker.state(), BreakerState::Open);
    (breaker, now)
}

#[test]
fn it_opens_at_so_many_failures_in_a_row_and_not_before() {
    use BreakerOutcome::{Failure, Ignored, Success};
    let (mut breaker, now) = breaker();
    attempts(&mut breaker, now, &[Failure, Failure, Success, Failure, Ignored, Failure]);
    assert_eq!(breaker.state(), BreakerState::Closed);
    attempts(&mut breaker, now, &[Failure]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.admit(now), None);
}

#[test]
fn after_the_cool_down_one_may_try() {
    let (mut breaker, now) = opened();
    let just_before = now + COOL_DOWN - Duration::from_nanos(1);
    assert!(breaker.refuses(just_before) && breaker.admit(just_before).is_none());
    let later = now + COOL_DOWN;
    assert!(!breaker.refuses(later));
    assert_eq!(breaker.admit(later), Some(BreakerPermit::Probe));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.admit(later + COOL_DOWN), None, "there is one already");
}

#[test]
fn a_probe_that_works_closes_it_and_forgets_the_failures() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[BreakerOutcome::Success]);
    assert_eq!(breaker.state(), BreakerState::Closed);
    attempts(&mut breaker, later, &[BreakerOutcome::Failure; 2]);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_probe_that_fails_opens_it_for_another_cool_down() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[BreakerOutcome::Failure]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.refuses(later + COOL_DOWN / 2));
    assert!(!breaker.refuses(later + COOL_DOWN));
}

#[test]
fn a_probe_without_a_result_leaves_the_next_one_to_try() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[BreakerOutcome::Ignored]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.admit(later), Some(BreakerPermit::Probe));
}

#[test]
fn attempts_of_before_are_not_recorded() {
    let (mut breaker, now) = breaker();
    let old: Vec<_> = (0..5).map(|_| breaker.admit(now).expect("let through")).collect();
    for permit in old {
        breaker.record(permit, BreakerOutcome::Failure, now);
    }
    assert!(!breaker.refuses(now + COOL_DOWN), "the last two did not prolong it");
    let (mut breaker, now) = opened();
    breaker.record(BreakerPermit::Regular, BreakerOutcome::Success, now);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn without_a_number_of_failures_it_never_opens() {
    let config = BreakerConfig { failures: 0, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(config);
    attempts(&mut breaker, Instant::now(), &[BreakerOutcome::Failure; 1000]);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn only_what_the_provider_did_speaks_against_it() {
    let min_timeout = Duration::from_secs(20);
    let outcome =
        |kind, took| BreakerOutcome::of(Outcome::Failed(kind), took, Duration::ZERO, min_timeout);
    for kind in ErrorKind::ALL {
        let expected = match kind.as_str() {
            "connect" | "tls" | "overloaded" | "server" | "protocol" | "interrupted"
            | "not_audio" | "empty_answer" => BreakerOutcome::Failure,
            "rate_limited" | "authentication" | "quota" | "invalid_request" | "refusal" => {
                BreakerOutcome::Success
            }
            _ => BreakerOutcome::Ignored,
        };
        assert_eq!(outcome(kind, Duration::ZERO), expected, "{kind:?}");
    }
    assert_eq!(outcome(ErrorKind::Timeout, min_timeout), BreakerOutcome::Failure);
    let success = BreakerOutcome::of(Outcome::Success, Duration::ZERO, Duration::ZERO, min_timeout);
    assert_eq!(success, BreakerOutcome::Success);
}

#[test]
fn what_fails_while_the_process_stands_still_is_not_the_providers_fault() {
    let min_timeout = Duration::from_secs(20);
    let stood = Duration::from_secs(30);
    let outcome = |kind, took| BreakerOutcome::of(Outcome::Failed(kind), took, stood, min_timeout);
    for kind in [ErrorKind::Connect, ErrorKind::Tls, ErrorKind::Interrupted] {
        assert_eq!(outcome(kind, stood), BreakerOutcome::Ignored, "{kind:?}");
    }
    assert_eq!(outcome(ErrorKind::Timeout, stood + min_timeout / 2), BreakerOutcome::Ignored);
    assert_eq!(
        outcome(ErrorKind::Timeout, stood + min_timeout),
        BreakerOutcome::Failure,
        "it had its time"
    );
    for kind in [ErrorKind::Server, ErrorKind::Overloaded, ErrorKind::NotAudio] {
        assert_eq!(outcome(kind, stood), BreakerOutcome::Failure, "{kind:?} is its own word");
    }
}
