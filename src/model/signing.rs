//! Signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1) and our signing keys.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

/// A signature algorithm, by its JOSE name. There is no `none` and nothing symmetric.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    IntoStaticStr,
    EnumString,
)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    #[default]
    ES256,
    /// ECDSA with P-384 and SHA-384.
    ES384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// What our keys sign with.
    pub const SIGNING: [Self; 5] = [Self::ES256, Self::RS256, Self::PS256, Self::ES384, Self::EdDSA];

    /// What a client's assertion may be signed with.
    pub const ACCEPTED: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The JOSE name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The algorithm of that name, if we accept it.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A signing key as the database keeps it. It is published first, signs later, and stays published after it retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// `kid`: the RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// PKCS#8, wrapped under the master key.
    pub private_key: String,
    /// The public JWK.
    pub public_jwk: String,
    /// When it was made and published, in seconds since the epoch.
    pub created_at: i64,
    /// From when it signs.
    pub signs_from: i64,
    /// From when it signs no more, once it has a successor.
    pub retires_at: Option<i64>,
    /// When it leaves the JWKS and its row may go.
    pub purge_at: Option<i64>,
}
