//! A client and a resource server as requests need them: with their keys parsed, and the secrets that hold.

use crate::keys::ClientKeys;
use crate::model::client::Client;
use crate::model::registered::StoredSecret;
use crate::model::resource_server::ResourceServer;

/// A client with its parsed inline keys.
#[derive(Debug)]
pub struct LiveClient {
    /// The registration.
    pub client: Client,
    /// Its inline keys, when it has some.
    pub keys: Option<ClientKeys>,
}

/// A resource server with its parsed inline keys.
#[derive(Debug)]
pub struct LiveServer {
    /// The registration.
    pub server: ResourceServer,
    /// Its inline keys, when it has some.
    pub keys: Option<ClientKeys>,
}

/// Those secrets that are valid at `now`.
pub fn valid_secrets(secrets: &[StoredSecret], now: i64) -> impl Iterator<Item = &StoredSecret> {
    secrets
        .iter()
        .filter(move |secret| secret.expires_at.is_none_or(|expires_at| now < expires_at))
}
