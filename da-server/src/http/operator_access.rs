//! Access to metrics and calls: authentication, TLS and response headers.

use anyhow::{Context, ensure};
use axum::http::HeaderMap;

use super::access::Access;
use super::certificate_metrics::CertificateMetrics;
use super::tls::Tls;
use super::web_config::{ClientAuth, WebConfig};
use crate::Listeners;
use crate::config::MetricsConfig;
use crate::metrics::Registry;

/// The access as configured.
#[derive(Debug)]
pub(super) struct OperatorAccess {
    /// Authentication; `None` if none is needed.
    pub(super) access: Option<Access>,
    /// TLS of the listener for metrics.
    pub(super) tls: Option<Tls>,
    /// Added to responses of that listener, or of the only one.
    pub(super) headers: HeaderMap,
}

impl OperatorAccess {
    /// Reads the files that the configuration names. Warns if metrics and calls can be read from other hosts
    /// without authentication: they tell how busy the host is and which providers it uses.
    ///
    /// # Errors
    /// A file can't be read or used.
    pub(super) fn configured(
        config: &MetricsConfig,
        listeners: &Listeners,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let certificates = CertificateMetrics::register(registry)?;
        let file = config.web_config_file.as_deref();
        let web = file.map(WebConfig::read).transpose()?.unwrap_or_default();
        let named = || format!("metrics.web_config_file {}", file.unwrap_or("".as_ref()).display());
        let headers = web.headers()?;
        let tls = web.tls_server_config;
        ensure!(
            tls.is_none() || listeners.metrics.is_some(),
            "{}: tls_server_config needs metrics.listen, a listener of its own: the main one speaks \
             plain HTTP, for a proxy in front of it",
            named()
        );
        let asks_certificates = tls
            .as_ref()
            .is_some_and(|tls| tls.client_auth_type == ClientAuth::RequireAndVerifyClientCert);
        let tls = tls.map(|tls| Tls::new(tls, certificates)).transpose().with_context(named)?;
        let access = Access::new(config.bearer_token_file.as_deref(), web.basic_auth_users)?;
        if access.is_none() && !asks_certificates {
            warn_if_public(listeners)?;
        }
        Ok(Self { access, tls, headers })
    }
}

fn warn_if_public(listeners: &Listeners) -> anyhow::Result<()> {
    let listener = listeners.metrics.as_ref().unwrap_or(&listeners.main);
    let address = listener.local_addr().context("listener")?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "/metrics (and a game's /calls) can be read by anyone who reaches this address: set \
             metrics.bearer_token_file, or users or client certificates in metrics.web_config_file, \
             or metrics.listen to a private address"
        );
    }
    Ok(())
}
