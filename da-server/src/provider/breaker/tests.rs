//! The breaker against a clock of the test's own.

use super::*;

const COOL_DOWN: Duration = Duration::from_secs(10);

/// A breaker that opens at the third failure.
fn breaker() -> (Breaker, Instant) {
    let config = BreakerConfig { failures: 3, cool_down: COOL_DOWN };
    (Breaker::new(config), Instant::now())
}

/// Attempts one after another, all at `now`.
fn attempts(breaker: &mut Breaker, now: Instant, verdicts: &[Verdict]) {
    for verdict in verdicts {
        let admission = breaker.admit(now).expect("let through");
        breaker.conclude(admission, *verdict, now);
    }
}

fn opened() -> (Breaker, Instant) {
    let (mut breaker, now) = breaker();
    attempts(&mut breaker, now, &[Verdict::Failing; 3]);
    assert_eq!(breaker.state(), BreakerState::Open);
    (breaker, now)
}

#[test]
fn it_opens_at_so_many_failures_in_a_row_and_not_before() {
    use Verdict::{Failing, Healthy, Nothing};
    let (mut breaker, now) = breaker();
    attempts(&mut breaker, now, &[Failing, Failing, Healthy, Failing, Nothing, Failing]);
    assert_eq!(breaker.state(), BreakerState::Closed);
    attempts(&mut breaker, now, &[Failing]);
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
    assert_eq!(breaker.admit(later), Some(Admission::Trial));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.admit(later + COOL_DOWN), None, "there is one already");
}

#[test]
fn a_trial_that_works_closes_it_and_forgets_the_failures() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[Verdict::Healthy]);
    assert_eq!(breaker.state(), BreakerState::Closed);
    attempts(&mut breaker, later, &[Verdict::Failing; 2]);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_trial_that_fails_opens_it_for_another_cool_down() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[Verdict::Failing]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.refuses(later + COOL_DOWN / 2));
    assert!(!breaker.refuses(later + COOL_DOWN));
}

#[test]
fn a_trial_that_shows_nothing_leaves_the_next_one_to_try() {
    let (mut breaker, now) = opened();
    let later = now + COOL_DOWN;
    attempts(&mut breaker, later, &[Verdict::Nothing]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.admit(later), Some(Admission::Trial));
}

#[test]
fn attempts_of_before_have_no_say() {
    let (mut breaker, now) = breaker();
    let old: Vec<_> = (0..5).map(|_| breaker.admit(now).expect("let through")).collect();
    for admission in old {
        breaker.conclude(admission, Verdict::Failing, now);
    }
    assert!(!breaker.refuses(now + COOL_DOWN), "the last two did not prolong it");
    let (mut breaker, now) = opened();
    breaker.conclude(Admission::Regular, Verdict::Healthy, now);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn without_a_number_of_failures_it_never_opens() {
    let config = BreakerConfig { failures: 0, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(config);
    attempts(&mut breaker, Instant::now(), &[Verdict::Failing; 1000]);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn only_what_the_provider_did_speaks_against_it() {
    let patience = Duration::from_secs(20);
    let verdict = |kind, took| Verdict::of(Outcome::Failed(kind), took, Duration::ZERO, patience);
    for kind in ErrorKind::ALL {
        let expected = match kind.as_str() {
            "connect" | "tls" | "overloaded" | "server" | "protocol" | "interrupted"
            | "not_audio" | "empty_answer" => Verdict::Failing,
            "rate_limited" | "authentication" | "quota" | "invalid_request" | "refusal" => {
                Verdict::Healthy
            }
            _ => Verdict::Nothing,
        };
        assert_eq!(verdict(kind, Duration::ZERO), expected, "{kind:?}");
    }
    assert_eq!(verdict(ErrorKind::Timeout, patience), Verdict::Failing);
    let success = Verdict::of(Outcome::Success, Duration::ZERO, Duration::ZERO, patience);
    assert_eq!(success, Verdict::Healthy);
}

#[test]
fn what_fails_while_the_process_stands_still_is_not_the_providers_fault() {
    let patience = Duration::from_secs(20);
    let stood = Duration::from_secs(30);
    let verdict = |kind, took| Verdict::of(Outcome::Failed(kind), took, stood, patience);
    for kind in [ErrorKind::Connect, ErrorKind::Tls, ErrorKind::Interrupted] {
        assert_eq!(verdict(kind, stood), Verdict::Nothing, "{kind:?}");
    }
    assert_eq!(verdict(ErrorKind::Timeout, stood + patience / 2), Verdict::Nothing);
    assert_eq!(verdict(ErrorKind::Timeout, stood + patience), Verdict::Failing, "it had its time");
    for kind in [ErrorKind::Server, ErrorKind::Overloaded, ErrorKind::NotAudio] {
        assert_eq!(verdict(kind, stood), Verdict::Failing, "{kind:?} is its own word");
    }
}
