//! Authorities and what they vouch for, made for one test, as files and as a client.

use std::fs::{Permissions, read, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// An authority and one certificate of it, for a server on this host or for a client.
#[derive(Clone)]
pub struct Identity {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// Its own.
    pub certificate: PathBuf,
    /// The key to that.
    pub key: PathBuf,
}

impl Identity {
    /// Year, month and day on which every certificate ends, but for those of authorities.
    pub const ENDS: (i32, u8, u8) = (2089, 7, 6);

    /// Makes one; its files are `NAME-ca.pem`, `NAME.pem` and `NAME.key` in `folder`.
    pub fn make(folder: &Path, name: &str) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        let own_key = || KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, own_key()).expect("an authority");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut leaf = CertificateParams::new(names).expect("names");
        leaf.distinguished_name.push(DnType::CommonName, name);
        let (year, month, day) = Self::ENDS;
        leaf.not_after = date_time_ymd(year, month, day);
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = own_key();
        let certificate = leaf.signed_by(&key, &authority).expect("a certificate");
        let file = |end: &str, text: String| {
            let path = folder.join(format!("{name}{end}"));
            write(&path, text).expect("written");
            set_permissions(&path, Permissions::from_mode(0o600)).expect("permissions");
            path
        };
        Self {
            ca: file("-ca.pem", authority.pem()),
            certificate: file(".pem", certificate.pem()),
            key: file(".key", key.serialize_pem()),
        }
    }
}

/// A client that trusts this authority, shows this certificate, if any, and speaks these versions.
pub fn client(
    trusting: &Identity,
    showing: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&trusting.ca)).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match showing {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let key = read(&identity.key).expect("a key");
            let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
            let shown = vec![certificate(&identity.certificate)];
            config.with_client_auth_cert(shown, key).expect("an identity")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .build()
        .expect("a client")
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&read(file).expect("a file")).expect("a certificate")
}
