//! Signatures over whatever a cache gives back, with a key that the cache does not know: a server, or who
//! sits between, can then lose entries but not make them up.

use ring::hmac;
use std::fmt;

/// A key shared by all who may write to the cache.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// HMAC-SHA256 of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 32]);

/// An entry that nobody with the key has signed as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not one of this key over this entry")]
pub struct WrongSignature;

impl SigningKey {
    /// A key from a secret of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Signs an entry.
    #[must_use]
    pub fn sign(&self, entry: &[u8]) -> Signature {
        let mut signature = [0; 32];
        signature.copy_from_slice(hmac::sign(&self.0, entry).as_ref());
        Signature(signature)
    }

    /// Verifies an entry, in a time that tells nothing about the right signature.
    ///
    /// # Errors
    /// [`WrongSignature`] where the entry, the signature or the key is another.
    pub fn verify(&self, entry: &[u8], signature: &Signature) -> Result<(), WrongSignature> {
        hmac::verify(&self.0, entry, &signature.0).map_err(|_| WrongSignature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_entry_under_the_same_key_passes() {
        let key = SigningKey::new(b"secret");
        let signature = key.sign(b"entry");
        assert_eq!(key.verify(b"entry", &signature), Ok(()));
        assert_eq!(key.verify(b"entry ", &signature), Err(WrongSignature));
        let other = SigningKey::new(b"Secret");
        assert_eq!(other.verify(b"entry", &signature), Err(WrongSignature));
        let mut bent = signature;
        bent.0[31] ^= 1;
        assert_eq!(key.verify(b"entry", &bent), Err(WrongSignature));
        assert!(!format!("{key:?}").contains("secret"));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_plain_hmac_sha256() {
        let signature = SigningKey::new(b"Jefe").sign(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(crate::digest::hex(&signature.0), expected);
    }
}
