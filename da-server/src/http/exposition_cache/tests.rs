use std::sync::Condvar;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tower_service::Service;

use super::*;

/// Counts how often it was asked, and from its registration on answers when it may.
#[derive(Clone)]
struct Slow(Arc<SlowState>);

#[derive(Default)]
struct SlowState {
    asked: AtomicU64,
    must_wait: std::sync::Mutex<bool>,
    changed: Condvar,
}

impl Slow {
    /// One that is read with `source`.
    fn register(metrics: &Metrics, source: Source) -> Self {
        let slow = Self(Arc::default());
        metrics.registry_of(source).register(Box::new(slow.clone())).expect("registers");
        slow.0.asked.store(0, Ordering::Relaxed);
        *slow.0.must_wait.lock().expect("no panic") = true;
        slow
    }

    fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn may_answer(&self) {
        *self.0.must_wait.lock().expect("no panic") = false;
        self.0.changed.notify_all();
    }
}

impl Collector for Slow {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let waiting = self.0.must_wait.lock().expect("no panic");
        let _answered = self.0.changed.wait_while(waiting, |must| *must).expect("no panic");
        let gauge = IntGauge::new("slowly_read", "x").expect("made");
        gauge.collect()
    }
}

fn negotiation(format: Format, timeout: Duration) -> ScrapeNegotiation {
    ScrapeNegotiation { timeout, ..ScrapeNegotiation::plain(format) }
}

async fn text(scrapes: &ExpositionCache, within: Duration) -> String {
    let bytes = scrapes.expose(negotiation(Format::Text, within)).await.expect("an exposition");
    String::from_utf8(bytes.into()).expect("text")
}

/// Waits until so many scrapes were refused.
async fn refused(metrics: &Metrics, count: u64) {
    let counted = || {
        let families = metrics.scrapes().gather();
        let family = families.iter().find(|family| family.name().ends_with("refused_total"));
        family.expect("the family").get_metric()[0].get_counter().value() as u64
    };
    while counted() < count {
        tokio::task::yield_now().await;
    }
}

const PATIENT: Duration = Duration::from_secs(20);
/// Time enough for everything that is not late.
const IMPATIENT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn all_who_wait_get_the_same_one_and_who_comes_later_another() {
    let metrics = Metrics::new().expect("metrics");
    let slow = Slow::register(&metrics, Source::Memory);
    let scrapes = ExpositionCache::of(metrics);
    let answering = slow.clone();
    let (texts, ()) = tokio::join!(join_all((0..100).map(|_| text(&scrapes, PATIENT))), async {
        answering.may_answer()
    });
    assert!(texts.iter().all(|text| text.contains("slowly_read")));
    let asked = slow.asked();
    assert!((1..=2).contains(&asked), "{asked} times for 100 at once");
    text(&scrapes, PATIENT).await;
    assert_eq!(slow.asked(), asked + 1, "nobody gets an old one");
}

#[tokio::test]
async fn without_what_is_late_the_rest_is_there_in_time_and_says_so() {
    let metrics = Metrics::new().expect("metrics");
    let slow = Slow::register(&metrics, Source::Syscalls);
    let scrapes = ExpositionCache::of(metrics);
    let skipped = |text: &str, source: &str| {
        let series = format!("digital_actors_scrape_skipped_total{{source=\"{source}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok());
        value.expect("the family")
    };

    // One waits for it, and that keeps nobody else from the rest.
    let patient = tokio::spawn({
        let scrapes = scrapes.clone();
        async move { text(&scrapes, PATIENT).await }
    });
    for round in 1..=2 {
        let begun = Instant::now();
        let text = text(&scrapes, IMPATIENT).await;
        let took = begun.elapsed();
        assert!(took >= IMPATIENT && took < PATIENT / 2, "{took:?}");
        assert!(text.contains("build_info") && text.contains("process_cpu"), "{text}");
        assert!(!text.contains("slowly_read"), "{text}");
        assert_eq!(skipped(&text, "syscalls"), round, "in the very one that lacks it");
        assert_eq!(skipped(&text, "memory") + skipped(&text, "process"), 0);
    }
    assert_eq!(slow.asked(), 1, "no second thread waits for it");

    slow.may_answer();
    assert!(patient.await.expect("no panic").contains("digital_actors_slowly_read 0"));
    assert!(text(&scrapes, PATIENT).await.contains("digital_actors_slowly_read 0"));
}

#[tokio::test]
async fn beyond_the_bound_scrapes_are_refused_and_counted() {
    let metrics = Metrics::new().expect("metrics");
    let slow = Slow::register(&metrics, Source::Memory);
    let scrapes = ExpositionCache::of(metrics.clone());
    let asking = (0..MAX_SCRAPES + 5).map(|_| scrapes.expose(negotiation(Format::Text, PATIENT)));
    let (answers, ()) = tokio::join!(join_all(asking), async {
        refused(&metrics, 5).await;
        slow.may_answer();
    });
    let refused = answers.iter().filter(|answer| matches!(answer, Err(ScrapeError::TooMany)));
    assert_eq!(refused.count(), 5);
    let text = text(&scrapes, PATIENT).await;
    assert!(text.contains("digital_actors_scrapes_refused_total 5\n"), "{text}");
}

#[tokio::test]
async fn who_is_refused_is_told_when_to_come_back() {
    let metrics = Metrics::new().expect("metrics");
    let slow = Slow::register(&metrics, Source::Memory);
    let router = crate::http::admin::metrics(metrics.clone(), None);
    let ask = || {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        router.clone().call(request)
    };
    let asking = (0..=MAX_SCRAPES).map(|_| ask());
    let (answers, ()) = tokio::join!(join_all(asking), async {
        refused(&metrics, 1).await;
        slow.may_answer();
    });
    let refused: Vec<_> =
        answers.iter().flatten().filter(|answer| answer.status() == 503).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].headers()["retry-after"], "1");
}

#[tokio::test]
async fn every_format_is_whole_and_compressed_on_request() {
    let scrapes = ExpositionCache::of(Metrics::new().expect("metrics"));
    for format in Format::ALL {
        let plain = negotiation(format, PATIENT);
        let zipped = ScrapeNegotiation { gzip: true, ..plain };
        let bytes = scrapes.expose(plain).await.expect("an exposition");
        assert!(bytes.ends_with(format.end()));
        let small = scrapes.expose(zipped).await.expect("an exposition");
        assert!(small.len() < bytes.len() * 4 / 5, "{} of {}", small.len(), bytes.len());
        let mut again = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&small[..]);
        std::io::Read::read_to_end(&mut reader, &mut again).expect("gzip");
        assert!(again.ends_with(format.end()));
        // Numbers have moved on between the two; the families are the same.
        assert!(again.len().abs_diff(bytes.len()) < bytes.len() / 10);
    }
}
