//! Secrets as types that cannot be logged or stored plain.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The shortest secret that somebody may choose for a client, in characters.
pub const SHORTEST_CHOSEN_SECRET: usize = 32;
/// How many guesses a secret that somebody chose withstands at least, as a power of ten, as far as zxcvbn counts (to 19.26).
/// Nobody is kept out by the failed guesses of others, so that the secret itself has to last.
pub const CHOSEN_SECRET_LOG10: f64 = 19.0;

/// A secret in the clear: a client secret, a code, a token, a password. Debug and Display never show it.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who has to send or hash it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the database keeps of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The 32 bytes of a key that stands in a text, in base64 or hexadecimal; none: something else stands there.
pub fn key_bytes(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim();
    let bytes = Zeroizing::new(
        HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .or_else(|_| BASE64.decode(text.as_bytes()))
            .or_else(|_| BASE64URL_NOPAD.decode(text.as_bytes()))
            .ok()?,
    );
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

/// SHA-256 of a secret with at least 256 random bits, as base64url. (People's passwords go through argon2id instead: see [`crate::secrets::password`].)
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl SecretHash {
    /// Hashes a secret.
    pub fn of(secret: &str) -> Self {
        Self(BASE64URL_NOPAD.encode(digest(&SHA256, secret.as_bytes()).as_ref()))
    }

    /// A hash read from the database.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text that the database keeps.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}
