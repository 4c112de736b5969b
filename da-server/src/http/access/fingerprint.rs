//! What a secret is recognised by, without being kept.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Makes fingerprints that mean nothing outside of this process.
#[derive(Clone)]
pub(super) struct Fingerprints {
    key: [u8; 32],
}

/// Of a secret. Comparing two takes the same time whatever is in them, and how long they were.
#[derive(Clone)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprints {
    pub(super) fn new() -> Self {
        Self { key: rand::random() }
    }

    /// The fingerprint of these, in this order.
    pub(super) fn of(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new().chain_update(self.key);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Fingerprint(hash.finalize().into())
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
