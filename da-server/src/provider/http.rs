//! The HTTP client that every provider call goes through.
//!
//! HTTP/1.1 is the default on purpose: one call at a time per connection, so that the kernel's
//! view of a socket is the view of one call. With HTTP/2 several calls share a socket and their
//! kernel timings become ambiguous.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::ProviderSetupError;
use super::connecting::{Resolver, TimedConnectorLayer};

/// How connections to providers are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// PEM file of certificate authorities trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Host name → address to connect to instead of asking the DNS. TLS and the `Host` header
    /// keep the name. A port in the URL wins over the port here; port 0 means the scheme's own.
    /// With any entry here, proxies named by the environment are ignored.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// DNS, TCP and TLS together. Key `connect_timeout_seconds`.
    #[serde(rename = "connect_timeout_seconds", with = "super::seconds::limit")]
    pub connect_timeout: Duration,
    /// How long an idle connection is kept for the next call. Key `pool_idle_timeout_seconds`.
    #[serde(rename = "pool_idle_timeout_seconds", with = "super::seconds")]
    pub pool_idle_timeout: Duration,
    /// Offer HTTP/2 as well. Off by default: see the module's note on kernel timing.
    pub http2: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            resolve: BTreeMap::new(),
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(90),
            http2: false,
        }
    }
}

/// Builds the client: rustls with ring, the system's and the configured certificate authorities,
/// TCP_NODELAY, no redirects (they would carry the key elsewhere) and no retries of its own.
///
/// # Errors
/// [`ProviderSetupError`] if the CA file is unreadable or empty, or the settings are refused.
pub fn http_client(config: &HttpConfig) -> Result<reqwest::Client, ProviderSetupError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(config)?)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(config.pool_idle_timeout)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("digital-actors/", env!("CARGO_PKG_VERSION")));
    if !config.http2 {
        builder = builder.http1_only();
    }
    if !config.resolve.is_empty() {
        builder = builder.no_proxy();
    }
    builder
        .dns_resolver(Resolver { known: config.resolve.clone() })
        .connector_layer(TimedConnectorLayer)
        .build()
        .map_err(|error| ProviderSetupError::Client(error.to_string()))
}

/// Checks a URL from the configuration: absolute, `http` or `https`, without user and password.
pub(crate) fn base_url(
    protocol: &'static str,
    text: &str,
) -> Result<reqwest::Url, ProviderSetupError> {
    // Before anything that quotes it: a URL that can't be parsed may hold a password as well.
    if text.contains('@') {
        return Err(ProviderSetupError::UserInfo { protocol });
    }
    let unusable =
        |reason: String| ProviderSetupError::BaseUrl { protocol, url: text.to_owned(), reason };
    let url = reqwest::Url::parse(text).map_err(|error| unusable(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(unusable(format!("its scheme is {other}"))),
    }
}

fn tls_config(config: &HttpConfig) -> Result<ClientConfig, ProviderSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderSetupError::Client(error.to_string()))?
        .with_root_certificates(roots(config)?)
        .with_no_client_auth();
    tls.alpn_protocols = if config.http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(tls)
}

fn roots(config: &HttpConfig) -> Result<RootCertStore, ProviderSetupError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate authority of the system could not be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &config.ca_file {
        let unusable =
            |reason: String| ProviderSetupError::Certificate { path: path.clone(), reason };
        let pem = std::fs::read(path)
            .map_err(|source| ProviderSetupError::File { path: path.clone(), source })?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(unusable("no CERTIFICATE block in it".to_owned()));
        }
    }
    if roots.is_empty() {
        tracing::warn!(
            "no certificate authority is trusted, so no https:// provider can be reached: \
             install the package ca-certificates or set ca_file"
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::provider::seconds::tests::read;

    #[test]
    fn reads_its_section() {
        let config: HttpConfig = read(
            r#"
            connect_timeout_seconds = 1.5
            http2 = true
            [resolve]
            "api.anthropic.com" = "127.0.0.1:8443"
            "#,
        )
        .unwrap();
        assert_eq!(config.connect_timeout, Duration::from_millis(1500));
        assert_eq!(config.resolve["api.anthropic.com"].port(), 8443);
        assert!(config.http2);
        assert_eq!(config.pool_idle_timeout, HttpConfig::default().pool_idle_timeout);
    }

    #[test]
    fn only_http_urls_are_usable() {
        assert!(base_url("openai", "http://localhost:11434/v1").is_ok());
        assert!(base_url("openai", "localhost:11434").is_err());
        assert!(base_url("openai", "api.openai.com/v1").is_err());
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for url in ["https://eve:hunter2@h/v1", "eve:hunter2@h", "https://eve:hunter2@h:99999"] {
            let said = base_url("openai", url).expect_err(url).to_string();
            assert!(said.contains("leave out user and password"), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("eve"), "{said}");
        }
        assert!(base_url("openai", "https://h/%40team/v1").is_ok());
    }

    #[test]
    fn builds_with_defaults() {
        http_client(&HttpConfig::default()).unwrap();
    }

    #[test]
    fn ca_file_without_certificate_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"not a certificate\n").unwrap();
        let config = HttpConfig { ca_file: Some(file.path().to_owned()), ..HttpConfig::default() };
        let error = http_client(&config).unwrap_err();
        assert!(matches!(error, ProviderSetupError::Certificate { .. }), "{error}");
    }

    #[test]
    fn missing_ca_file_is_named() {
        let config =
            HttpConfig { ca_file: Some("/nonexistent/ca.pem".into()), ..HttpConfig::default() };
        let error = http_client(&config).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    }
}
