//! What lets a player, and nobody else, come back to a session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use crate::store::TokenHash;

/// 256 bits that nobody can guess.
const TOKEN_BYTES: usize = 32;

/// A session's secret. `Debug` is left out on purpose.
pub(super) struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub(super) fn generate() -> Result<Self, rand::rngs::SysError> {
        let mut bytes = [0; TOKEN_BYTES];
        SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// One that a player sent; whether it opens anything is for the store to say.
    pub(super) fn sent(text: String) -> Self {
        Self(text)
    }

    /// What may be stored: it does not lead back to the token.
    pub(super) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// For the player alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_carry_256_bits() {
        let tokens: std::collections::HashSet<String> =
            (0..100).map(|_| Token::generate().expect("random").0).collect();
        assert_eq!(tokens.len(), 100);
        assert!(tokens.iter().all(|token| token.len() == 43));
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        // SHA-256 of "abc", FIPS 180-2, appendix B.1.
        assert_eq!(Token::sent("abc".to_owned()).hash()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
