//! Recognizes a secret without keeping it.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Hashes secrets with a key of this process.
#[derive(Clone)]
pub(super) struct SecretHasher {
    key: [u8; 32],
}

/// The hash of a secret. Hashes are compared in constant time.
#[derive(Clone)]
pub(super) struct SecretHash([u8; 32]);

impl SecretHasher {
    pub(super) fn new() -> Self {
        Self { key: rand::random() }
    }

    /// The hash of these parts, in this order.
    pub(super) fn of(&self, parts: &[&[u8]]) -> SecretHash {
        let mut hash = Sha256::new().chain_update(self.key);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        SecretHash(hash.finalize().into())
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
