//! `metrics.web_config_file`: users, TLS and response headers, as Prometheus' exporters have them in
//! their `web.config.yml`.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_saphyr::Error;

use super::access::HashedPassword;
use crate::secret_file::read_secret;

const SETTING: &str = "metrics.web_config_file";

/// The file. Of what exporters know, these keys; any other is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebConfig {
    pub(super) tls_server_config: Option<TlsServerConfig>,
    /// Names, and what bcrypt made of their passwords.
    pub(super) basic_auth_users: BTreeMap<String, HashedPassword>,
    pub(super) http_server_config: HttpServerConfig,
}

/// `tls_server_config`; relative paths begin at the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsServerConfig {
    /// PEM: the server's certificate, and what leads from it to an authority.
    pub(super) cert_file: PathBuf,
    /// PEM.
    pub(super) key_file: PathBuf,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    /// PEM: the authorities that clients' certificates must come from.
    pub(super) client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) min_version: TlsVersion,
}

/// What is asked of clients. Exporters know two more, which ask for certificates that nobody verifies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum TlsVersion {
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// `http_server_config`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpServerConfig {
    headers: BTreeMap<ResponseHeader, String>,
}

/// The headers that may be added to responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum ResponseHeader {
    #[serde(rename = "Content-Security-Policy")]
    ContentSecurityPolicy,
    #[serde(rename = "Strict-Transport-Security")]
    StrictTransportSecurity,
    #[serde(rename = "X-Content-Type-Options")]
    ContentTypeOptions,
    #[serde(rename = "X-Frame-Options")]
    FrameOptions,
    #[serde(rename = "X-XSS-Protection")]
    XssProtection,
}

impl WebConfig {
    /// Reads it.
    ///
    /// # Errors
    /// The file can't be read, or there is a mistake in it: with the line, and without a value, for
    /// that may be a secret.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text =
            read_secret(path, SETTING).with_context(|| format!("can't read {SETTING} {shown}"))?;
        let mut config = Self::parse(&text).map_err(|(line, reason)| {
            let place = line.map(|line| format!(":{line}")).unwrap_or_default();
            anyhow!("{SETTING} {}{place}: {reason}", path.display())
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Some(tls) = &mut config.tls_server_config {
            let files = [&mut tls.cert_file, &mut tls.key_file];
            for file in files.into_iter().chain(&mut tls.client_ca_file) {
                *file = folder.join(&*file);
            }
        }
        config.headers().with_context(|| format!("{SETTING} {}", path.display()))?;
        Ok(config)
    }

    /// The line of the mistake, and what is wrong there.
    fn parse(text: &str) -> Result<Self, (Option<u64>, String)> {
        let options = serde_saphyr::options! { with_snippet: false };
        let parsed = serde_saphyr::from_str_with_options::<Option<Self>>(text, options);
        parsed.map(Option::unwrap_or_default).map_err(|error| {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            (line, reason(error.without_snippet()))
        })
    }

    /// What is added to responses that don't say it themselves.
    ///
    /// # Errors
    /// A value can't be a header's.
    pub(super) fn headers(&self) -> anyhow::Result<HeaderMap> {
        let header = |(name, value): (&ResponseHeader, &String)| {
            let name = name.name();
            let value = HeaderValue::try_from(value)
                .with_context(|| format!("http_server_config.headers: {name}"))?;
            Ok((name, value))
        };
        self.http_server_config.headers.iter().map(header).collect()
    }
}

impl ResponseHeader {
    const fn name(self) -> HeaderName {
        match self {
            Self::ContentSecurityPolicy => header::CONTENT_SECURITY_POLICY,
            Self::StrictTransportSecurity => header::STRICT_TRANSPORT_SECURITY,
            Self::ContentTypeOptions => header::X_CONTENT_TYPE_OPTIONS,
            Self::FrameOptions => header::X_FRAME_OPTIONS,
            Self::XssProtection => header::X_XSS_PROTECTION,
        }
    }
}

/// What is wrong, in words that have no value of the file in them but names of keys and kinds.
fn reason(error: &Error) -> String {
    let listed = |names: &[&str]| names.join(", ");
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {field:?}: here may stand {}", listed(expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("{variant:?} is none of {}", listed(expected))
        }
        Error::SerdeMissingField { field, .. } => format!("the key {field:?} is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("use {expected}")
        }
        Error::DuplicateMappingKey { .. } => "this key is there twice".to_owned(),
        // Of our own types.
        Error::Message { msg, .. } => msg.clone(),
        _ => "this is not the YAML that may stand here".to_owned(),
    }
}

#[cfg(test)]
mod tests;
