//! Certificates with one thing wrong with them.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq)]
pub enum Flaw {
    Expired,
    NotYetValid,
    AnotherName,
    UnknownAuthority,
    SelfSigned,
    ForClients,
}

/// Who vouches for the provider.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "hostile suite authority");
        Self(CertifiedIssuer::self_signed(authority, new_key()).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server that shows a certificate for `localhost`, with this flaw.
    pub fn server(&self, flaw: Option<Flaw>) -> Arc<ServerConfig> {
        let name = if flaw == Some(Flaw::AnotherName) { "elsewhere.example" } else { "localhost" };
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let usage = match flaw {
            Some(Flaw::ForClients) => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        };
        leaf.extended_key_usages = vec![usage];
        match flaw {
            Some(Flaw::Expired) => leaf.not_after = date_time_ymd(2020, 1, 1),
            Some(Flaw::NotYetValid) => leaf.not_before = date_time_ymd(2999, 1, 1),
            _ => {}
        }
        let key = new_key();
        let certificate = match flaw {
            Some(Flaw::SelfSigned) => leaf.self_signed(&key),
            Some(Flaw::UnknownAuthority) => leaf.signed_by(&key, &Self::new().0),
            _ => leaf.signed_by(&key, &self.0),
        };
        let certificate: CertificateDer = certificate.expect("a certificate").into();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Arc::new(config.expect("a configuration"))
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
