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

use super::certificate_metrics::{CertificateMetrics, first_end};
use super::web_config::{ClientAuth, TlsServerConfig, TlsVersion};
use crate::secret_file::read_secret;

/// Between two looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// What the listener's connections are encrypted with.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    files: TlsServerConfig,
    in_force: RustlsConfig,
    metrics: CertificateMetrics,
}

impl Tls {
    /// As configured; `metrics` tell when its certificates end.
    ///
    /// # Errors
    /// A file can't be read, holds something else, or goes without another.
    pub(super) fn new(files: TlsServerConfig, metrics: CertificateMetrics) -> anyhow::Result<Self> {
        let read = Read::of(&files)?;
        metrics.in_force(read.not_after);
        Ok(Self { files, in_force: RustlsConfig::from_config(read.config), metrics })
    }

    /// For the listener.
    pub(super) fn in_force(&self) -> RustlsConfig {
        self.in_force.clone()
    }

    /// Puts certificates in force for new connections when the files were replaced, for as long as it
    /// runs: certificates end within months or days, and no server is to be restarted for that.
    pub(super) async fn watch_files(self) {
        self.poll_files(POLL_INTERVAL).await;
    }

    async fn poll_files(self, pause: Duration) {
        let mut in_force = self.files.stamps();
        let mut logged = None;
        loop {
            tokio::time::sleep(pause).await;
            let stamps = self.files.stamps();
            if stamps == in_force {
                continue;
            }
            match Read::of(&self.files) {
                Ok(read) => {
                    (in_force, logged) = (stamps, None);
                    self.in_force.reload_from_config(read.config);
                    self.metrics.in_force(read.not_after);
                    tracing::info!("the certificates were reloaded");
                }
                // They are tried again at the next look: what is missing of them may be there by then
                // without their having changed, as after a moment in which they could not be read.
                Err(error) => {
                    let why = format!("{error:#}");
                    if logged.as_ref() != Some(&why) {
                        tracing::error!(
                            "the certificates could not be reloaded, so the old ones stay in use: {why}"
                        );
                    }
                    logged = Some(why);
                }
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

/// What the files hold.
struct Read {
    config: Arc<ServerConfig>,
    /// When the first of the certificates ends, in seconds since the epoch.
    not_after: i64,
}

impl Read {
    fn of(files: &TlsServerConfig) -> anyhow::Result<Self> {
        let certificates = certificates(&files.cert_file, "cert_file")?;
        let not_after = first_end(&certificates).context("cert_file")?;
        Ok(Self { config: server_config(files, certificates)?, not_after })
    }
}

fn server_config(
    config: &TlsServerConfig,
    certificates: Vec<CertificateDer<'static>>,
) -> anyhow::Result<Arc<ServerConfig>> {
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

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::http::web_config::ClientAuth;
    use crate::metrics::Registry;

    /// Where a server looks for its certificate, which is not there yet.
    fn files_in(folder: &tempfile::TempDir) -> TlsServerConfig {
        TlsServerConfig {
            cert_file: folder.path().join("server.pem"),
            key_file: folder.path().join("server.key"),
            client_auth_type: ClientAuth::NoClientCert,
            client_ca_file: None,
            min_version: TlsVersion::Tls12,
        }
    }

    /// By one that ends in this year.
    fn replace(files: &TlsServerConfig, year: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        write(&files.key_file, key.serialize_pem()).expect("written");
        write(&files.cert_file, certificate.pem()).expect("written");
    }

    #[tokio::test]
    async fn a_certificate_that_was_replaced_is_put_in_force_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let files = files_in(&folder);
        replace(&files, 2040);
        let registry = Registry::new();
        let metrics = CertificateMetrics::register(&registry).expect("registers");
        let tls = Tls::new(files.clone(), metrics).expect("usable");
        let ends = || registry.gather()[0].get_metric()[0].get_gauge().value();
        let first_ends = ends();
        let first = tls.in_force().get_inner();
        let pause = Duration::from_millis(10);
        let looking = tokio::spawn(tls.clone().poll_files(pause));

        tokio::time::sleep(10 * pause).await;
        write(&files.cert_file, "no certificate").expect("written");
        tokio::time::sleep(10 * pause).await;
        assert!(Arc::ptr_eq(&first, &tls.in_force().get_inner()), "nothing better has come");
        assert_eq!(ends(), first_ends);

        replace(&files, 2041);
        let changed = async {
            while Arc::ptr_eq(&first, &tls.in_force().get_inner()) {
                tokio::time::sleep(pause).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed).await.expect("put in force");
        looking.abort();
        assert!(looking.await.is_err_and(|error| error.is_cancelled()), "it never ends");
        assert_eq!(ends() - first_ends, 366.0 * 86_400.0, "2040 is a leap year");
    }

    /// As a file is that could not be read for a moment, or of which half was there.
    #[tokio::test]
    async fn what_could_not_be_used_is_tried_again_though_it_looks_the_same() {
        let folder = tempfile::tempdir().expect("folder");
        let files = files_in(&folder);
        replace(&files, 2041);
        let read = |file| std::fs::read(file).expect("read");
        let (certificate, key) = (read(&files.cert_file), read(&files.key_file));
        replace(&files, 2040);
        let metrics = CertificateMetrics::register(&Registry::new()).expect("registers");
        let tls = Tls::new(files.clone(), metrics).expect("usable");
        let first = tls.in_force().get_inner();
        let when = SystemTime::now() - Duration::from_secs(100);
        let put = |bytes: &[u8]| {
            // In one step, and with the times and the length of the other.
            let beside = folder.path().join("beside");
            write(&beside, bytes).expect("written");
            let file = std::fs::File::options().write(true).open(&beside).expect("opened");
            file.set_modified(when).expect("set");
            std::fs::rename(&beside, &files.cert_file).expect("renamed");
        };
        let pause = Duration::from_millis(10);
        let looking = tokio::spawn(tls.clone().poll_files(pause));
        tokio::time::sleep(10 * pause).await;
        put(&vec![b'x'; certificate.len()]);
        write(&files.key_file, &key).expect("written");
        tokio::time::sleep(10 * pause).await;
        assert!(Arc::ptr_eq(&first, &tls.in_force().get_inner()), "nothing better has come");
        put(&certificate);
        let changed = async {
            while Arc::ptr_eq(&first, &tls.in_force().get_inner()) {
                tokio::time::sleep(pause).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed).await.expect("put in force");
        looking.abort();
    }
}
