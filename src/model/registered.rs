//! Something that is registered: what clients, resource servers and whatever else is registered have in common.

use crate::model::secret::SecretHash;

/// Something that is registered, with settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered<S> {
    /// What it is called in requests and in the record.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Everything else that is registered.
    pub settings: S,
    /// Whether it is served.
    pub enabled: bool,
    /// Raised when it is disabled: what was issued under an older one is inactive.
    pub generation: i64,
    /// When it was registered, in seconds since the epoch.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// Its secrets here.
    pub secrets: Vec<StoredSecret>,
    /// Our own secret there, sealed under the master key.
    pub sealed: Option<String>,
}

/// One of the secrets of a client or resource server. Two may be valid at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its identifier, for people who talk about it.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// When it was made, in seconds since the epoch.
    pub created_at: i64,
    /// When it ends, if it does.
    pub expires_at: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
}
