//! When the secrets and keys of clients and resource servers end, and how old they are.

use super::{LiveClient, valid_secrets};
use crate::keys::ClientKeys;
use crate::model::registered::StoredSecret;

/// How long before its end a secret or key is told of, in seconds.
pub const SOON: i64 = 14 * 86_400;

/// When a client can no longer prove who it is, unless somebody does something.
pub fn end_of(live: &LiveClient) -> Option<i64> {
    let secrets = live
        .client
        .settings
        .auth_method
        .uses_secret()
        .then(|| secrets_end(&live.client.secrets))
        .flatten();
    secrets
        .into_iter()
        .chain(live.keys.as_ref().and_then(ClientKeys::first_end))
        .min()
}

/// When the last of some secrets ends; none: one of them never does, or there is none.
pub fn secrets_end(secrets: &[StoredSecret]) -> Option<i64> {
    // One without an end outlives all others.
    secrets
        .iter()
        .map(|secret| secret.expires_at.unwrap_or(i64::MAX))
        .max()
        .filter(|ends| *ends < i64::MAX)
}

/// When the newest valid secret was made.
pub fn made_at(secrets: &[StoredSecret], now: i64) -> Option<i64> {
    valid_secrets(secrets, now).map(|secret| secret.created_at).max()
}
