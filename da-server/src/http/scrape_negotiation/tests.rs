use super::*;

const TEXT: Format = Format::Text;
const OPEN: Format = Format::OpenMetrics;
const PROTOBUF: Format = Format::Protobuf;

/// What Prometheus 2.42 sends, without and with native histograms, and Prometheus 3.
const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_2_NATIVE: &str = "application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited,\
    application/openmetrics-text;version=1.0.0;q=0.8,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
    escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

fn terms(headers: &[(&'static str, &str)]) -> ScrapeNegotiation {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().expect("a value"));
    }
    ScrapeNegotiation::of(&map)
}

#[test]
fn the_format_with_the_highest_q_is_given_and_otherwise_text() {
    for (accept, format) in [
        (PROMETHEUS_2, OPEN),
        (PROMETHEUS_2_NATIVE, PROTOBUF),
        (PROMETHEUS_3, OPEN),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPEN),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OPEN),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/vnd.google.protobuf", TEXT),
        ("application/vnd.google.protobuf;proto=other;encoding=delimited", TEXT),
        ("text/plain;q=0.2,application/openmetrics-text;q=0.3", OPEN),
        ("text/plain;q=0.3,application/openmetrics-text;q=0.3", TEXT),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.3", OPEN),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=7", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        (",;,/,\"", TEXT),
    ] {
        assert_eq!(terms(&[("accept", accept)]).format, format, "{accept}");
    }
    let in_two = [("accept", "text/plain;q=0.5"), ("accept", "application/openmetrics-text")];
    assert_eq!(terms(&in_two).format, OPEN);
    assert_eq!(terms(&[]).format, TEXT);
}

#[test]
fn the_answers_type_names_version_and_charset_and_repeats_the_escaping() {
    let answered = |accept| terms(&[("accept", accept)]).content_type();
    assert_eq!(answered("*/*"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(
        answered(PROMETHEUS_2),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(
        answered(PROMETHEUS_2_NATIVE),
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
         encoding=delimited"
    );
    assert_eq!(
        answered(PROMETHEUS_3),
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    );
    assert_eq!(
        answered("text/plain;escaping=something"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
}

#[test]
fn gzip_is_given_to_those_who_take_it() {
    for (codings, taken) in [
        ("gzip", true),
        ("gzip, deflate, br", true),
        ("GZIP;q=0.5", true),
        ("*", true),
        ("gzip;q=0, *", false),
        ("gzip;Q=0, *", false),
        ("br;q=1.0, *;q=0.1", true),
        ("identity", false),
        ("", false),
    ] {
        assert_eq!(terms(&[("accept-encoding", codings)]).gzip, taken, "{codings}");
    }
    assert!(!terms(&[]).gzip);
}

#[test]
fn a_scrape_ends_before_the_scrapers_timeout_and_within_ten_seconds() {
    let timeout =
        |seconds| terms(&[("x-prometheus-scrape-timeout-seconds", seconds)]).timeout.as_secs_f64();
    for (said, expected) in [
        ("10", 9.5),
        ("5.0", 4.5),
        ("0.5", 0.45),
        ("60", 9.5),
        ("1e300", 9.5),
        ("inf", 9.5),
        ("0", 9.5),
        ("-1", 9.5),
        ("NaN", 9.5),
        ("soon", 9.5),
    ] {
        assert!((timeout(said) - expected).abs() < 1e-9, "{said}: {}", timeout(said));
    }
    assert_eq!(terms(&[]).timeout, Duration::from_millis(9_500));
}
