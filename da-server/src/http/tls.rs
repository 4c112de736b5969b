//! TLS on the listener for metrics.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::secret_file::read_secret;
use super::web_config::{ClientAuth, TlsServerConfig, TlsVersion};

/// As configured. The files are read now, and not again.
///
/// # Errors
/// A file can't be read, holds something else, or goes without another.
pub(super) fn tls(config: &TlsServerConfig) -> anyhow::Result<RustlsConfig> {
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
    Ok(RustlsConfig::from_config(Arc::new(tls)))
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
    let pem = read_secret(file, "key_file")?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| anyhow::anyhow!("key_file {} has no PRIVATE KEY block in it", file.display()))
}
