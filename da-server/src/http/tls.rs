//! TLS on the listener for metrics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::web_config::{ClientAuth, TlsServerConfig, TlsVersion};
use crate::secret_file::read_secret;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(60);

/// What the listener's connections are encrypted with.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    files: TlsServerConfig,
    in_force: RustlsConfig,
}

impl Tls {
    /// As configured.
    ///
    /// # Errors
    /// A file can't be read, holds something else, or goes without another.
    pub(super) fn new(files: TlsServerConfig) -> anyhow::Result<Self> {
        let in_force = RustlsConfig::from_config(server_config(&files)?);
        Ok(Self { files, in_force })
    }

    /// For the listener.
    pub(super) fn in_force(&self) -> RustlsConfig {
        self.in_force.clone()
    }

    /// Puts certificates in force for new connections when the files were replaced, for as long as it
    /// runs: certificates end within months or days, and no server is to be restarted for that.
    pub(super) async fn keep_fresh(self) {
        self.look_every(LOOK).await;
    }

    async fn look_every(self, pause: Duration) {
        let mut known = self.files.stamps();
        loop {
            tokio::time::sleep(pause).await;
            let stamps = self.files.stamps();
            if stamps == known {
                continue;
            }
            known = stamps;
            match server_config(&self.files) {
                Ok(config) => {
                    self.in_force.reload_from_config(config);
                    tracing::info!("the certificates were read again");
                }
                Err(error) => tracing::error!("the certificates stay as they were: {error:#}"),
            }
        }
    }
}

impl TlsServerConfig {
    /// What changes when a file is replaced.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let stamp = |file: &PathBuf| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let files = [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file);
        files.map(stamp).collect()
    }
}

fn server_config(config: &TlsServerConfig) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::Tls12 => &[&TLS12, &TLS13],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .context("tls_server_config")?;
    let builder = match client_verifier(config, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let certificates = certificates(&config.cert_file, "cert_file")?;
    let mut tls = builder
        .with_single_cert(certificates, key(&config.key_file)?)
        .context("cert_file and key_file don't go together")?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

fn client_verifier(
    config: &TlsServerConfig,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> anyhow::Result<Option<Arc<dyn ClientCertVerifier>>> {
    let authorities = match (config.client_auth_type, &config.client_ca_file) {
        (ClientAuth::NoClientCert, None) => return Ok(None),
        (ClientAuth::NoClientCert, Some(_)) => {
            bail!("client_ca_file is there, but client_auth_type asks for no certificate")
        }
        (_, None) => {
            bail!("client_auth_type asks for certificates, but there is no client_ca_file")
        }
        (_, Some(file)) => certificates(file, "client_ca_file")?,
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).context("client_ca_file")?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let builder = match config.client_auth_type {
        ClientAuth::VerifyClientCertIfGiven => builder.allow_unauthenticated(),
        _ => builder,
    };
    Ok(Some(builder.build().context("client_ca_file")?))
}

fn certificates(file: &Path, key: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = file.display();
    let pem = std::fs::read(file).with_context(|| format!("can't read {key} {shown}"))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.with_context(|| format!("{key} {shown}"))?;
    ensure!(!found.is_empty(), "{key} {shown} has no CERTIFICATE block in it");
    Ok(found)
}

fn key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let shown = file.display();
    let pem =
        read_secret(file, "key_file").with_context(|| format!("can't read key_file {shown}"))?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| anyhow::anyhow!("key_file {} has no PRIVATE KEY block in it", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use super::*;
    use crate::http::web_config::ClientAuth;

    fn replace(files: &TlsServerConfig) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        write(&files.key_file, made.signing_key.serialize_pem()).expect("written");
        write(&files.cert_file, made.cert.pem()).expect("written");
    }

    #[tokio::test]
    async fn a_certificate_that_was_replaced_is_put_in_force_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let files = TlsServerConfig {
            cert_file: folder.path().join("server.pem"),
            key_file: folder.path().join("server.key"),
            client_auth_type: ClientAuth::NoClientCert,
            client_ca_file: None,
            min_version: TlsVersion::Tls12,
        };
        replace(&files);
        let tls = Tls::new(files.clone()).expect("usable");
        let first = tls.in_force().get_inner();
        let pause = Duration::from_millis(10);
        let looking = tokio::spawn(tls.clone().look_every(pause));

        tokio::time::sleep(10 * pause).await;
        write(&files.cert_file, "no certificate").expect("written");
        tokio::time::sleep(10 * pause).await;
        assert!(Arc::ptr_eq(&first, &tls.in_force().get_inner()), "nothing better has come");

        replace(&files);
        let changed = async {
            while Arc::ptr_eq(&first, &tls.in_force().get_inner()) {
                tokio::time::sleep(pause).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed).await.expect("put in force");
        looking.abort();
    }
}
