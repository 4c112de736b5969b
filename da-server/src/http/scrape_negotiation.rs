//! What a scraper asks for in its headers: a format, compression and a timeout.

use std::cmp::Ordering;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use mediatype::names::{_STAR, PLAIN, Q, TEXT};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams};

use crate::metrics::Format;

/// How long Prometheus waits for this scrape.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// The longest time that a scrape may take, also without a header.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// A tenth of a scraper's timeout is left for encoding and the network, and at most this.
const MAX_MARGIN: Duration = Duration::from_millis(500);

const APPLICATION: Name<'static> = Name::new_unchecked("application");
const PROTOBUF: Name<'static> = Name::new_unchecked("vnd.google.protobuf");
const OPENMETRICS: Name<'static> = Name::new_unchecked("openmetrics-text");
const VERSION: Name<'static> = Name::new_unchecked("version");
const PROTO: Name<'static> = Name::new_unchecked("proto");
const ENCODING: Name<'static> = Name::new_unchecked("encoding");
const ESCAPING: Name<'static> = Name::new_unchecked("escaping");

/// What is done to names that are not of letters, digits and underscores. Ours all are, so each of
/// these is kept to; the answer repeats the one that was asked for.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// What a scraper asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScrapeNegotiation {
    pub(super) format: Format,
    pub(super) escaping: Option<&'static str>,
    pub(super) gzip: bool,
    /// How long gathering the families may take.
    pub(super) timeout: Duration,
}

impl ScrapeNegotiation {
    /// Reads the headers; a value that is not understood counts as absent.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (format, escaping) = negotiated(headers);
        let gzip = takes_gzip(headers);
        Self { format, escaping, gzip, timeout: timeout(headers) }
    }

    /// A format without any options.
    #[cfg(test)]
    pub(super) fn plain(format: Format) -> Self {
        Self { format, escaping: None, gzip: false, timeout: MAX_TIMEOUT }
    }

    /// The media type of the answer.
    pub(super) fn content_type(self) -> HeaderValue {
        let plain = self.format.content_type();
        let escaped = self.escaping.and_then(|escaping| {
            HeaderValue::try_from(format!("{plain}; escaping={escaping}")).ok()
        });
        escaped.unwrap_or(HeaderValue::from_static(plain))
    }
}

/// The format with the highest q, of equal ones the first; without any, text.
fn negotiated(headers: &HeaderMap) -> (Format, Option<&'static str>) {
    let asked = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = None;
    for range in asked.flat_map(MediaTypeList::new).flatten() {
        let quality = quality(range.get_param(Q).map(|q| q.as_str()));
        let is_better = best.is_none_or(|(most, _)| quality > most);
        if let Some(format) = format_of(&range).filter(|_| is_better && quality > 0.0) {
            let escaping = param(&range, ESCAPING);
            let known = ESCAPINGS.into_iter().find(|known| escaping.as_deref() == Some(known));
            best = Some((quality, (format, known)));
        }
    }
    best.map_or((Format::Text, None), |(_, chosen)| chosen)
}

fn format_of(range: &MediaType<'_>) -> Option<Format> {
    let version = param(range, VERSION);
    let is = |name: Name<'_>, expected: &str| param(range, name).as_deref() == Some(expected);
    if range.subty == _STAR && (range.ty == _STAR || range.ty == TEXT) {
        return Some(Format::Text);
    }
    if range.ty == TEXT && range.subty == PLAIN {
        return version.is_none_or(|version| version == "0.0.4").then_some(Format::Text);
    }
    if range.ty == APPLICATION && range.subty == OPENMETRICS {
        return version.is_none_or(|version| version == "1.0.0").then_some(Format::OpenMetrics);
    }
    let is_protobuf = range.ty == APPLICATION
        && range.subty == PROTOBUF
        && is(PROTO, "io.prometheus.client.MetricFamily")
        && is(ENCODING, "delimited");
    is_protobuf.then_some(Format::Protobuf)
}

fn param(range: &MediaType<'_>, name: Name<'_>) -> Option<String> {
    range.get_param(name).map(|value| value.unquoted_str().into_owned())
}

/// 1 where nothing is said, 0 where it makes no sense.
fn quality(q: Option<&str>) -> f32 {
    let q = q.map_or(Ok(1.0), str::parse::<f32>).unwrap_or(0.0);
    if (0.0..=1.0).contains(&q) { q } else { 0.0 }
}

/// Whether gzip is taken: named, or not named and anything is.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let asked =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings = asked.flat_map(|value| value.split(',')).map(|coding| {
        let (name, rest) = coding.split_once(';').unwrap_or((coding, ""));
        // RFC 9110 §12.4.2: a weight may be written with either q.
        let weight = rest.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('='));
        (name.trim().to_ascii_lowercase(), quality(weight))
    });
    let (mut named, mut any) = (None, false);
    for (name, quality) in codings {
        match name.as_str() {
            "gzip" => named = Some(quality > 0.0),
            "*" => any = quality > 0.0,
            _ => {}
        }
    }
    named.unwrap_or(any)
}

fn timeout(headers: &HeaderMap) -> Duration {
    let said =
        headers.get(TIMEOUT_HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let said = said.filter(|seconds: &f64| seconds.partial_cmp(&0.0) == Some(Ordering::Greater));
    let timeout = said.map_or(MAX_TIMEOUT, |seconds| {
        Duration::try_from_secs_f64(seconds).map_or(MAX_TIMEOUT, |said| said.min(MAX_TIMEOUT))
    });
    timeout - MAX_MARGIN.min(timeout / 10)
}

#[cfg(test)]
mod tests;
