//! The certificate authority, the certificate and the TLS configuration.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, SupportedProtocolVersion};

use crate::options::{Options, TlsMode};

/// A fatal `handshake_failure` alert: record type 21, version 3.3, two bytes (RFC 5246 §7.2).
pub(crate) const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// An authority made for this run and what it vouches for.
pub(crate) struct Identity {
    /// The authority's certificate.
    pub(crate) ca_pem: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    /// One certificate for all names; an IP address among them becomes an IP entry.
    pub(crate) fn generate(names: Vec<String>) -> Result<Identity> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "da-standin authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut leaf = CertificateParams::new(names).context("a name no certificate can hold")?;
        leaf.distinguished_name.push(DnType::CommonName, "da-standin");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Identity { ca_pem: authority.pem(), certificate, key })
    }

    /// None in plain mode.
    pub(crate) fn server_config(&self, options: &Options) -> Result<Option<Arc<ServerConfig>>> {
        let versions: &[&'static SupportedProtocolVersion] = match options.tls {
            TlsMode::Plain => return Ok(None),
            TlsMode::V12 => &[&TLS12],
            TlsMode::V13 => &[&TLS13],
            TlsMode::Both => &[&TLS13, &TLS12],
        };
        let mut provider = ring::default_provider();
        if options.hello_retry {
            // No client begins with a share of this group, yet all of them have it.
            provider.kx_groups = vec![ring::kx_group::SECP384R1];
        }
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der())),
            )?;
        config.send_tls13_tickets = options.tickets;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }
}

/// As the log writes it.
pub(crate) fn version_str(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "unknown",
    }
}
