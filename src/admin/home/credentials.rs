//! When the secrets and keys of clients and resource servers end, and how old they are.

use serde_json::Value;

use crate::directory::valid_secrets;
use crate::model::client::{Client, StoredSecret};

/// How long before its end a secret or key is told of, in seconds.
pub const SOON: i64 = 14 * 86_400;

/// When a client can no longer prove who it is, unless somebody does something.
#[must_use]
pub fn end_of(client: &Client) -> Option<i64> {
    let secrets = client.settings.auth_method.uses_secret().then(|| secrets_end(&client.secrets)).flatten();
    secrets.into_iter().chain(keys_end(client.settings.jwks.as_deref())).min()
}

/// When the last of some secrets ends; none: one of them never does, or there is none.
#[must_use]
pub fn secrets_end(secrets: &[StoredSecret]) -> Option<i64> {
    // One without an end outlives all others.
    secrets.iter().map(|secret| secret.expires_at.unwrap_or(i64::MAX)).max().filter(|ends| *ends < i64::MAX)
}

/// When the first of some registered keys ends.
fn keys_end(jwks: Option<&str>) -> Option<i64> {
    let document: Value = serde_json::from_str(jwks?).ok()?;
    let keys = document.get("keys")?.as_array()?;
    keys.iter().filter_map(|key| key.get("exp")?.as_i64()).min()
}

/// When the newest valid secret was made.
#[must_use]
pub fn made_at(secrets: &[StoredSecret], now: i64) -> Option<i64> {
    valid_secrets(secrets, now).map(|secret| secret.created_at).max()
}
