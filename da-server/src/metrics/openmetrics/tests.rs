use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts};
use rand::RngExt;

use super::*;

fn written(family: &impl Collector) -> String {
    encode(&family.collect()).expect("encodes")
}

#[test]
fn a_counters_family_has_no_total_and_its_samples_do() {
    let calls = IntCounterVec::new(Opts::new("calls_total", "Calls."), &["kind"]).expect("made");
    calls.with_label_values(&["llm"]).inc_by(3);
    assert_eq!(
        written(&calls),
        "# TYPE calls counter\n# HELP calls Calls.\ncalls_total{kind=\"llm\"} 3\n"
    );
}

#[test]
fn the_unit_in_a_name_is_told() {
    let units = |name: &str| {
        let gauge = Gauge::new(name, "x").expect("made");
        let text = written(&gauge);
        text.lines().find_map(|line| Some(line.strip_prefix("# UNIT ")?.to_owned()))
    };
    assert_eq!(units("wait_seconds").as_deref(), Some("wait_seconds seconds"));
    assert_eq!(units("resident_bytes").as_deref(), Some("resident_bytes bytes"));
    assert_eq!(units("seconds_left"), None);
    assert_eq!(units("open_fds"), None);
    let cost = IntCounter::new("sent_bytes_total", "x").expect("made");
    assert!(written(&cost).contains("# UNIT sent_bytes bytes\n"));
}

#[test]
fn a_histogram_has_all_its_buckets_and_the_one_without_an_edge() {
    let opts = HistogramOpts::new("x_seconds", "X.").buckets(vec![0.000_01, 0.25, 1.0, 10.0]);
    let family = Histogram::with_opts(opts).expect("made");
    [0.25, 0.5, 20.0].into_iter().for_each(|sample| family.observe(sample));
    assert_eq!(
        written(&family),
        "# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n# HELP x_seconds X.\n\
         x_seconds_bucket{le=\"1e-05\"} 0\n\
         x_seconds_bucket{le=\"0.25\"} 1\n\
         x_seconds_bucket{le=\"1.0\"} 2\n\
         x_seconds_bucket{le=\"10.0\"} 2\n\
         x_seconds_bucket{le=\"+Inf\"} 3\n\
         x_seconds_sum 20.75\n\
         x_seconds_count 3\n"
    );
}

#[test]
fn where_samples_may_be_negative_there_is_neither_sum_nor_count() {
    let opts = HistogramOpts::new("margin_seconds", "x").buckets(vec![-1.0, 0.0, 1.0]);
    let family = Histogram::with_opts(opts).expect("made");
    family.observe(-0.5);
    let text = written(&family);
    assert!(text.contains("le=\"-1.0\"} 0\n") && text.contains("le=\"0.0\"} 1\n"), "{text}");
    assert!(text.ends_with("le=\"+Inf\"} 1\n") && !text.contains("_count"), "{text}");
}

#[test]
fn numbers_that_are_none_have_their_names() {
    let gauge = Gauge::new("x", "h").expect("made");
    for (value, name) in
        [(f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN"), (0.5, "0.5")]
    {
        gauge.set(value);
        assert_eq!(written(&gauge), format!("# TYPE x gauge\n# HELP x h\nx {name}\n"));
    }
}

/// As Go's `strconv.FormatFloat(edge, 'g', -1, 64)` writes them, and `.0` behind integers.
#[test]
fn edges_are_written_as_go_writes_them() {
    for (edge, text) in [
        (0.0, "0.0"),
        (0.001, "0.001"),
        (0.000_1, "0.0001"),
        (0.000_025, "2.5e-05"),
        (-0.05, "-0.05"),
        (100.0, "100.0"),
        (123_456.0, "123456.0"),
        (1e6, "1e+06"),
        (2.5e-10, "2.5e-10"),
        (1e100, "1e+100"),
        (f64::INFINITY, "+Inf"),
    ] {
        assert_eq!(edge_label(edge), text);
    }
}

/// The value of the label in a line, read by the rules of the format; `None` if they are broken.
fn label_value(line: &str) -> Option<String> {
    let mut rest = line.strip_prefix("x{l=\"")?.chars();
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => break,
            '\n' => return None,
            '\\' => value.push(match rest.next()? {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    (rest.as_str() == "} 1").then_some(value)
}

#[test]
fn whatever_is_in_a_label_comes_back_out() {
    let mut random = rand::rng();
    for _ in 0..2_000 {
        let length = random.random_range(0..12);
        let value: String = (0..length)
            .map(|_| {
                ['\\', '"', '\n', 'n', '{', '}', ',', ' ', '#', 'é', '語']
                    [random.random_range(0..11)]
            })
            .collect();
        let family = IntGaugeVec::new(Opts::new("x", format!("h{value}")), &["l"]).expect("made");
        family.with_label_values(&[&value]).set(1);
        let text = written(&family);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(label_value(lines[lines.len() - 1]), Some(value.clone()), "{text}");
        assert_eq!(lines.len(), 3, "help is one line: {text}");
    }
}
