//! Signing keys, rotation, JWKS; JWTs signed and verified; the keys of clients. The only user of jsonwebtoken and rsa.
//!
//! A key's life: published in the JWKS → signs once everybody had time to fetch it → retires when its successor
//! signs → leaves the JWKS when nothing that it signed is alive.

mod client_keys;
mod signer;

use client_keys::signature_only;
pub use client_keys::{
    AssertionClaims, AssertionProblem, ClientKeys, JwksProblem, segments, unverified_claims, verify_assertion,
};
pub use signer::{KeyError, KeyPair};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::DecodingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::Entropy;
use crate::model::signing::{Algorithm, StoredKey};
use crate::secrets::master_key::{MasterKey, Purpose};

/// How long a retired key stays in the JWKS: longer than any token or session log-out hint it may have signed.
pub const PUBLISHED_AFTER_RETIREMENT_SECONDS: i64 = 7 * 24 * 3600;

/// A signing key in memory, parsed once.
struct LiveKey {
    kid: String,
    algorithm: Algorithm,
    signs_from: i64,
    retires_at: Option<i64>,
    pair: KeyPair,
    public: DecodingKey,
}

impl LiveKey {
    fn signs_at(&self, now: i64) -> bool {
        self.signs_from <= now && self.retires_at.is_none_or(|retires_at| now < retires_at)
    }
}

/// What one of our keys signed.
#[derive(Debug)]
pub struct Signed<T> {
    /// The claims.
    pub claims: T,
    /// The key.
    pub kid: String,
    /// When the key stopped, or stops, to sign.
    pub retires_at: Option<i64>,
}

/// All our keys, and the JWKS as it is served.
pub struct Keyring {
    keys: Vec<LiveKey>,
    jwks: String,
    etag: String,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.kid))
            .finish()
    }
}

impl Keyring {
    /// Unwraps and parses the stored keys that are still published.
    ///
    /// # Errors
    /// When a key does not open under this master key, or cannot be parsed.
    pub fn load(stored: &[StoredKey], master: &MasterKey, now: i64) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        let mut jwks = Vec::new();
        for key in stored
            .iter()
            .filter(|key| key.purge_at.is_none_or(|purge_at| now < purge_at))
        {
            let pkcs8 = master
                .open(Purpose::SigningKey, &key.kid, &key.private_key)
                .map_err(KeyError::unusable)?;
            let jwk: jsonwebtoken::jwk::Jwk =
                serde_json::from_str(&key.public_jwk).map_err(KeyError::unusable)?;
            keys.push(LiveKey {
                kid: key.kid.clone(),
                algorithm: key.algorithm,
                signs_from: key.signs_from,
                retires_at: key.retires_at,
                pair: KeyPair::from_pkcs8(key.algorithm, &pkcs8)?,
                public: DecodingKey::from_jwk(&jwk).map_err(KeyError::unusable)?,
            });
            jwks.push(serde_json::from_str::<Value>(&key.public_jwk).map_err(KeyError::unusable)?);
        }
        let jwks = json!({ "keys": jwks }).to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwks.as_bytes());
        let etag = format!(
            "\"{}\"",
            HEXLOWER.encode(digest.as_ref().get(..16).unwrap_or_default())
        );
        Ok(Self { keys, jwks, etag })
    }

    /// The algorithms of all published keys, whether they sign or not.
    pub fn all_algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.keys.iter().map(|key| key.algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }

    /// The JWKS document (RFC 7517 §5), serialised.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Its entity tag.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The algorithms that can sign just now.
    pub fn algorithms(&self, now: i64) -> Vec<Algorithm> {
        let signs = |algorithm: &Algorithm| self.signing(*algorithm, now).is_some();
        self.all_algorithms().into_iter().filter(signs).collect()
    }

    /// The key of an algorithm that signs: the newest that may. Where none may yet, for the clock was ahead when they were
    /// made, the oldest that is published: it is in the JWKS, and a right token must not wait for the clock.
    fn signing(&self, algorithm: Algorithm, now: i64) -> Option<&LiveKey> {
        let of_algorithm = || self.keys.iter().filter(|key| key.algorithm == algorithm);
        of_algorithm()
            .filter(|key| key.signs_at(now))
            .max_by_key(|key| key.signs_from)
            .or_else(|| {
                of_algorithm()
                    .filter(|key| key.signs_from > now)
                    .min_by_key(|key| key.signs_from)
            })
    }

    /// Signs claims as a JWT with the key of the algorithm that signs.
    ///
    /// # Errors
    /// When there is none.
    pub fn sign(
        &self,
        algorithm: Algorithm,
        typ: &str,
        claims: &impl Serialize,
        now: i64,
    ) -> Result<String, KeyError> {
        let key = self
            .signing(algorithm, now)
            .ok_or(KeyError::NoKey(algorithm.as_str()))?;
        let header = json!({ "alg": algorithm.as_str(), "kid": key.kid, "typ": typ }).to_string();
        let mut token = BASE64URL_NOPAD.encode(header.as_bytes());
        token.push('.');
        let claims = serde_json::to_vec(claims).map_err(KeyError::unusable)?;
        BASE64URL_NOPAD.encode_append(&claims, &mut token);
        let signature = key.pair.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }

    /// A JWT that one of our keys signed, whatever its times say. None for anything else.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<Signed<T>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let kid = header.kid?;
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        let validation = signature_only(key.algorithm);
        let claims = jsonwebtoken::decode::<T>(token, &key.public, &validation)
            .ok()?
            .claims;
        Some(Signed {
            claims,
            kid,
            retires_at: key.retires_at,
        })
    }

    /// Whether a key is still published: what it signed counts no longer than that.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }
}

/// Makes a key that is published at once and signs from `signs_from`.
///
/// # Errors
/// When the cryptographic library cannot make one.
pub fn generate(
    algorithm: Algorithm,
    master: &MasterKey,
    now: i64,
    signs_from: i64,
) -> Result<StoredKey, KeyError> {
    let (pkcs8, mut jwk) = signer::generate(algorithm)?;
    let kid = jwk
        .thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)
        .map_err(KeyError::unusable)?;
    jwk.common.key_id = Some(kid.clone());
    jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
    Ok(StoredKey {
        private_key: master.seal(Purpose::SigningKey, &kid, &pkcs8, Entropy),
        public_jwk: serde_json::to_string(&jwk).map_err(KeyError::unusable)?,
        kid,
        algorithm,
        created_at: now,
        signs_from,
        retires_at: None,
        purge_at: None,
    })
}
