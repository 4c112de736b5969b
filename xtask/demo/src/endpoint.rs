//! One endpoint, as the app and the kernel saw it.

use std::collections::BTreeSet;

use da_testkit::exposition::{Exposition, Histogram};

/// Families of calls, as the app counts them.
pub struct Family {
    /// The kernel's `kind` of the endpoints.
    kind: &'static str,
    /// Whole attempts, by `provider`.
    attempt: &'static str,
    /// From an attempt's start to the first content that the app got.
    first: &'static str,
    /// What that content is.
    first_content: &'static str,
}

/// Calls to language models, and to voices.
pub const FAMILIES: [Family; 2] = [
    Family {
        kind: "llm",
        attempt: "digital_actors_llm_attempt_seconds",
        first: "digital_actors_llm_time_to_first_token_seconds",
        first_content: "first token",
    },
    Family {
        kind: "tts",
        attempt: "digital_actors_tts_attempt_seconds",
        first: "digital_actors_tts_time_to_first_byte_seconds",
        first_content: "first audio",
    },
];

/// One endpoint as both saw it. Times are p50 and p95 in seconds.
pub struct Endpoint {
    name: String,
    family: &'static Family,
    app_calls: f64,
    app_failed: f64,
    app_first: Times,
    app_whole: Times,
    kernel_calls: Option<f64>,
    connect: Times,
    tls_handshake: Times,
    first_byte: Times,
    response: Times,
}

type Times = Option<(f64, f64)>;

impl Family {
    /// Whether any call succeeded.
    pub fn succeeded(&self, scrape: &Exposition) -> bool {
        let count = format!("{}_count", self.attempt);
        scrape.sum(&count, &[("outcome", "success")]).is_some_and(|calls| calls > 0.0)
    }
}

/// The endpoints of a family that the app called or the kernel saw.
pub fn endpoints(scrape: &Exposition, family: &'static Family) -> impl Iterator<Item = Endpoint> {
    let seen_by_app = scrape.values_of(&format!("{}_count", family.attempt), &[], "provider");
    let seen_by_kernel = scrape.values_of(
        "digital_actors_socket_exchanges_total",
        &[("kind", family.kind)],
        "provider",
    );
    let names: BTreeSet<_> = seen_by_app.into_iter().chain(seen_by_kernel).collect();
    names.into_iter().map(move |name| Endpoint::new(scrape, family, name))
}

impl Endpoint {
    fn new(scrape: &Exposition, family: &'static Family, name: String) -> Self {
        let attempts = format!("{}_count", family.attempt);
        let provider = [("provider", name.as_str())];
        let succeeded = [("provider", name.as_str()), ("outcome", "success")];
        // A player who speaks while the character does cancels a call: nothing failed.
        let cancelled = [("provider", name.as_str()), ("outcome", "cancelled")];
        let app_calls = scrape.total(&attempts, &provider);
        let socket = |what: &str| {
            let name = format!("digital_actors_socket_{what}_seconds");
            times(&scrape.histogram(&name, &provider))
        };
        Self {
            family,
            app_calls,
            app_failed: app_calls
                - scrape.total(&attempts, &succeeded)
                - scrape.total(&attempts, &cancelled),
            app_first: times(&scrape.histogram(family.first, &provider)),
            app_whole: times(&scrape.histogram(family.attempt, &succeeded)),
            kernel_calls: scrape.sum("digital_actors_socket_exchanges_total", &provider),
            connect: socket("connect"),
            tls_handshake: socket("tls_handshake"),
            first_byte: socket("first_byte"),
            response: socket("response"),
            name,
        }
    }

    /// The essence in one line.
    pub fn line(&self) -> String {
        format!(
            "{}: app {} calls, {} {}; kernel {} calls, first byte {}",
            self.name,
            self.app_calls,
            self.family.first_content,
            shown(self.app_first),
            self.shown_kernel_calls(),
            shown(self.first_byte),
        )
    }

    /// A table of both views.
    pub fn lines(&self) -> [String; 7] {
        let calls = match self.app_failed {
            0.0 => self.app_calls.to_string(),
            failed => format!("{} ({failed} failed)", self.app_calls),
        };
        let first = format!("{}, first byte", self.family.first_content);
        [
            row(&self.name, "app p50 / p95", "kernel p50 / p95"),
            row("  calls", &calls, &self.shown_kernel_calls()),
            row("  connect", "", &shown(self.connect)),
            row("  TLS handshake", "", &shown(self.tls_handshake)),
            row(&format!("  {first}"), &shown(self.app_first), &shown(self.first_byte)),
            row("  first to last byte", "", &shown(self.response)),
            row("  whole call", &shown(self.app_whole), ""),
        ]
    }

    fn shown_kernel_calls(&self) -> String {
        self.kernel_calls.map_or("-".to_owned(), |calls| calls.to_string())
    }
}

fn row(what: &str, app: &str, kernel: &str) -> String {
    format!("{what:<26}{app:>22}{kernel:>22}")
}

fn times(histogram: &Histogram) -> Times {
    Some((histogram.quantile(0.5)?, histogram.quantile(0.95)?))
}

/// Two times in the unit that suits the larger.
fn shown(times: Times) -> String {
    let Some((p50, p95)) = times else { return "-".to_owned() };
    let (scale, unit) = match p95 {
        p95 if p95 >= 1.0 => (1.0, "s"),
        p95 if p95 >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };
    let number = |seconds: f64| match seconds * scale {
        large if large >= 100.0 => format!("{large:.0}"),
        medium if medium >= 10.0 => format!("{medium:.1}"),
        small => format!("{small:.2}"),
    };
    format!("{} / {} {unit}", number(p50), number(p95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_of_the_larger() {
        for (times, text) in [
            (Some((0.000_04, 0.000_09)), "40.0 / 90.0 µs"),
            (Some((0.004_2, 0.31)), "4.20 / 310 ms"),
            (Some((0.8, 1.234)), "0.80 / 1.23 s"),
            (None, "-"),
        ] {
            assert_eq!(shown(times), text);
        }
    }
}
