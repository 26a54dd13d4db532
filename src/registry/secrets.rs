//! Secrets of clients and resource servers: made, replaced with an overlap, ended. The database keeps their hashes;
//! those that ended stay there, so that none of them comes back.

use serde_json::{Value, json};

use super::credentials::SecretStep;
use super::{Decided, Registry, mistake};
use crate::audit::event::{Event, Kind};
use crate::live::valid_secrets;
use crate::model::registered::StoredSecret;
use crate::model::secret::Secret;
use crate::store::{Stored, Tx, secrets};

/// How long the old secret stays valid beside the new one, in seconds, unless somebody says otherwise.
pub const DEFAULT_OVERLAP_SECONDS: i64 = 7 * 86_400;
/// The longest overlap, in seconds.
const LONGEST_OVERLAP_SECONDS: i64 = 90 * 86_400;

/// A secret that was just made.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The new secret, to be shown once.
    pub secret: Secret,
    /// When the old one ends, in seconds since the epoch; none if there was no valid one.
    pub old_ends_at: Option<i64>,
}

/// What people may see of secrets.
pub fn view(secrets: &[StoredSecret]) -> Value {
    let view = |secret: &StoredSecret| {
        json!({
            "id": secret.id,
            "created_at": secret.created_at,
            "expires_at": secret.expires_at,
            "last_used_at": secret.last_used_at,
        })
    };
    secrets.iter().map(view).collect()
}

fn add(registry: &Registry, tx: &mut Tx<'_>, owner: &str, secret: &Secret) -> Stored<()> {
    let stored = StoredSecret {
        id: registry.app.entropy.id("sec"),
        hash: secret.hash(),
        created_at: registry.app.now(),
        expires_at: None,
        last_used_at: None,
    };
    secrets::add(tx.conn(), owner, &stored)
}

fn end_all(registry: &Registry, tx: &mut Tx<'_>, existing: &[StoredSecret]) -> Stored<()> {
    let now = registry.app.now();
    for secret in valid_secrets(existing, now) {
        secrets::expire(tx.conn(), &secret.id, now)?;
    }
    Ok(())
}

/// Takes the step of a draft. Answers a secret that was made.
pub(super) fn take(
    registry: &Registry,
    tx: &mut Tx<'_>,
    owner: &str,
    existing: &[StoredSecret],
    step: &SecretStep,
) -> Stored<Option<Secret>> {
    match step {
        SecretStep::Keep => Ok(None),
        SecretStep::End => end_all(registry, tx, existing).map(|()| None),
        SecretStep::Set(secret) => {
            end_all(registry, tx, existing)?;
            add(registry, tx, owner, secret)?;
            Ok(None)
        }
        SecretStep::Generate => {
            let secret = Secret::new(registry.app.entropy.secret());
            end_all(registry, tx, existing)?;
            add(registry, tx, owner, &secret)?;
            Ok(Some(secret))
        }
    }
}

/// Makes a new secret; the old one ends after `overlap_seconds` (0: at once). At most two are valid at a time. The
/// caller tells other servers and names the owner in the event.
pub(super) fn rotate(
    registry: &Registry,
    tx: &mut Tx<'_>,
    owner: &str,
    existing: &[StoredSecret],
    overlap_seconds: i64,
) -> Decided<(Rotated, Event)> {
    if !(0..=LONGEST_OVERLAP_SECONDS).contains(&overlap_seconds) {
        return Ok(mistake(
            "overlap_seconds",
            format!("{overlap_seconds} must be from 0 to {LONGEST_OVERLAP_SECONDS}"),
        ));
    }
    let now = registry.app.now();
    let valid: Vec<&StoredSecret> = valid_secrets(existing, now).collect();
    if valid.len() >= 2 && overlap_seconds > 0 {
        let ends = valid.iter().filter_map(|secret| secret.expires_at).min();
        let ends = ends
            .and_then(|ends| jiff::Timestamp::from_second(ends).ok())
            .map_or_else(String::new, |ends| format!(" until {ends}"));
        return Ok(mistake(
            "overlap_seconds",
            format!(
                "{owner} has two valid secrets{ends}, and a third is not made: wait, or end both with an overlap of 0"
            ),
        ));
    }
    let ends_at = now + overlap_seconds;
    for secret in &valid {
        secrets::expire(
            tx.conn(),
            &secret.id,
            secret.expires_at.map_or(ends_at, |ends| ends.min(ends_at)),
        )?;
    }
    let secret = Secret::new(registry.app.entropy.secret());
    add(registry, tx, owner, &secret)?;
    let after = secrets::of(tx.conn(), owner)?;
    let event = registry
        .event(Kind::SecretChanged, "secret_added")
        .with("before", view(existing).to_string())
        .with("after", view(&after).to_string());
    Ok(Ok((
        Rotated {
            secret,
            old_ends_at: (!valid.is_empty()).then_some(ends_at),
        },
        event,
    )))
}
