//! When the server's own certificate expires: `tls_certificate_not_after_timestamp_seconds`.

use anyhow::Context;
use prometheus::{GaugeVec, Opts};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::metrics::Registry;

/// Tells when the certificates that are in force end.
#[derive(Debug, Clone)]
pub(super) struct CertificateMetrics {
    /// Without labels, so it has one series or none: a server without TLS has no certificate.
    not_after: GaugeVec,
}

impl CertificateMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "When the first certificate in tls_server_config.cert_file expires, in seconds since \
                 the epoch.";
        let opts = Opts::new("tls_certificate_not_after_timestamp_seconds", help);
        let not_after = GaugeVec::new(opts, &[])?;
        registry.register(Box::new(not_after.clone()))?;
        Ok(Self { not_after })
    }

    /// Certificates that end at `not_after` (see [`first_end`]) are in force from now on.
    pub(super) fn in_force(&self, not_after: i64) {
        self.not_after.with_label_values::<&str>(&[]).set(not_after as f64);
    }
}

/// When the first of these certificates ends, in seconds since the epoch: RFC 5280's `notAfter`, after
/// which clients refuse the whole chain.
///
/// # Errors
/// One is no X.509 certificate, or there is none.
pub(super) fn first_end(chain: &[CertificateDer<'_>]) -> anyhow::Result<i64> {
    let end = |der: &CertificateDer<'_>| {
        let (_, certificate) =
            X509Certificate::from_der(der).context("not an X.509 certificate")?;
        Ok(certificate.validity().not_after.timestamp())
    };
    let ends = chain.iter().map(end).collect::<anyhow::Result<Vec<_>>>()?;
    ends.into_iter().min().context("no certificate")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn ending(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 2, 3);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    #[test]
    fn a_chain_ends_with_the_first_of_its_certificates() {
        // Before 2050 it is a UTCTime, from then on a GeneralizedTime.
        for chain in [[2031, 2062], [2062, 2031]] {
            let end = first_end(&chain.map(ending)).expect("certificates");
            assert_eq!(end, date_time_ymd(2031, 2, 3).unix_timestamp());
        }
        assert_eq!(
            first_end(&[ending(2062)]).expect("a certificate"),
            date_time_ymd(2062, 2, 3).unix_timestamp()
        );
        assert!(first_end(&[]).is_err());
        assert!(first_end(&[CertificateDer::from(vec![0x30, 0x00])]).is_err());
    }

    #[test]
    fn without_a_certificate_there_is_no_series() {
        let registry = Registry::new();
        let metrics = CertificateMetrics::register(&registry).expect("registers");
        assert!(registry.gather().is_empty());
        assert_eq!(registry.families()[0].kind, "gauge");
        metrics.in_force(1_000);
        metrics.in_force(2_000);
        let families = registry.gather();
        let [family] = &families[..] else { panic!("{families:?}") };
        assert_eq!(family.get_metric()[0].get_gauge().value(), 2_000.0);
    }
}
