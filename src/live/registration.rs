//! A client and a resource server as requests need them: with their keys parsed, and the secrets that hold.

use std::sync::Arc;

use crate::keys::ClientKeys;
use crate::model::agency::Agency;
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
    /// The agency that it belongs to.
    pub agency: Option<Arc<Agency>>,
}

impl LiveClient {
    /// Whether it is served: it is enabled, and so is its agency.
    pub fn is_served(&self) -> bool {
        self.client.enabled && is_open(self.client.settings.agency.as_ref(), self.agency.as_ref())
    }
}

/// A resource server with its parsed inline keys.
#[derive(Debug)]
pub struct LiveServer {
    /// The registration.
    pub server: ResourceServer,
    /// Its inline keys, when it has some.
    pub keys: Option<ClientKeys>,
    /// The agency that it belongs to.
    pub agency: Option<Arc<Agency>>,
}

impl LiveServer {
    /// Whether it is served: it is enabled, and so is its agency.
    pub fn is_served(&self) -> bool {
        self.server.enabled && is_open(self.server.settings.agency.as_ref(), self.agency.as_ref())
    }
}

/// Whether nothing is named, or what is named is there and enabled.
fn is_open(named: Option<&String>, agency: Option<&Arc<Agency>>) -> bool {
    named.is_none() || agency.is_some_and(|agency| agency.enabled)
}

/// Those secrets that are valid at `now`.
pub fn valid_secrets(secrets: &[StoredSecret], now: i64) -> impl Iterator<Item = &StoredSecret> {
    secrets
        .iter()
        .filter(move |secret| secret.expires_at.is_none_or(|expires_at| now < expires_at))
}
