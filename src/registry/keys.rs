//! Signing keys: listed, made, replaced, wrapped anew.

use std::path::Path;
use strum::IntoStaticStr;

use super::{Decided, Refused, Registry, mistake};
use crate::audit::checkpoint;
use crate::audit::event::Kind;
use crate::error::Broken;
use crate::keys::{self, PUBLISHED_AFTER_RETIREMENT_SECONDS};
use crate::model::identity_provider::IdentityProviderSettings;
use crate::model::signing::{Algorithm, StoredKey};
use crate::secrets::master_key::{MasterKey, Purpose};
use crate::session::lockout;
use crate::store::changes::ChangeKind;
use crate::store::{
    StoreBroken, Stored, Tx, audit, idempotency, identity_providers, installation, keys as stored, people,
    recovery_codes, registered,
};

const DAY_SECONDS: i64 = 86_400;

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// In the JWKS, but does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// Signs no more; in the JWKS while something that it signed may be alive.
    Retired,
}

impl State {
    /// The state of a key at a time.
    pub fn of(key: &StoredKey, now: i64) -> Self {
        if key.retires_at.is_some_and(|retires_at| retires_at <= now) {
            Self::Retired
        } else if key.signs_from > now {
            Self::Published
        } else {
            Self::Signing
        }
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Keys made before a transaction that may need them: making an RSA key takes long.
#[derive(Debug, Clone, Default)]
pub struct Spare(Vec<StoredKey>);

/// Makes those of the wanted keys that do not exist. They sign at once: nobody can have fetched the JWKS and hold an
/// older key of that algorithm. Must not run where async tasks run.
///
/// # Errors
/// What the store or the cryptographic library says.
pub fn spare(registry: &Registry, wanted: &[Algorithm]) -> Result<Spare, Refused> {
    let existing = registry.app.store.read_blocking(stored::all)?;
    let mut spare: Vec<StoredKey> = Vec::new();
    for algorithm in wanted {
        if lacks(&existing, *algorithm) && lacks(&spare, *algorithm) {
            spare.push(make(registry, *algorithm, registry.app.now())?);
        }
    }
    Ok(Spare(spare))
}

fn make(registry: &Registry, algorithm: Algorithm, signs_from: i64) -> Result<StoredKey, Refused> {
    let app = &registry.app;
    keys::generate(algorithm, &app.master, app.now(), signs_from)
        .map_err(|cause| Refused::Broken(Broken::defect(cause)))
}

fn lacks(keys: &[StoredKey], algorithm: Algorithm) -> bool {
    !keys
        .iter()
        .any(|key| key.algorithm == algorithm && key.retires_at.is_none())
}

/// Takes a key from the spare ones if none signs with this algorithm.
pub(super) fn ensure(
    registry: &Registry,
    tx: &mut Tx<'_>,
    algorithm: Algorithm,
    spare: &Spare,
) -> Stored<()> {
    if !lacks(&stored::all(tx.conn())?, algorithm) {
        return Ok(());
    }
    let key = spare
        .0
        .iter()
        .find(|key| key.algorithm == algorithm)
        .ok_or_else(|| {
            StoreBroken::Defect(format!(
                "no key signs with {}; run `mdi-auth key rotate --alg {}`",
                algorithm.as_str(),
                algorithm.as_str()
            ))
        })?;
    add(registry, tx, key, "made")
}

fn add(registry: &Registry, tx: &mut Tx<'_>, key: &StoredKey, action: &'static str) -> Stored<()> {
    stored::add(tx.conn(), key)?;
    tx.audit(
        registry
            .event(Kind::KeyChanged, action)
            .with("kid", &key.kid)
            .with("alg", key.algorithm.as_str())
            .with("signs_from", key.signs_from.to_string()),
    );
    registry.tell(tx, ChangeKind::Keys, &key.kid);
    Ok(())
}

/// All signing keys, oldest first.
pub fn list(registry: &Registry) -> Result<Vec<StoredKey>, Refused> {
    Ok(registry.app.store.read_blocking(stored::all)?)
}

/// Replaces the key of an algorithm, or of all that have one. The new key signs after `[keys] publish_seconds`, so that
/// everybody has fetched it by then; the old one retires then. At once is for a key that others know: the old one
/// leaves the JWKS as well, and what it signed counts no more. Answers the new keys. Must not run where async tasks run.
///
/// # Errors
/// What the store or the cryptographic library says.
pub fn rotate(
    registry: &Registry,
    only: Option<Algorithm>,
    at_once: bool,
) -> Result<Vec<StoredKey>, Refused> {
    let new = successors(registry, only, at_once)?;
    registry.blocking(move |registry, tx| {
        replace_by(registry, tx, &new, at_once)?;
        Ok(Ok(new.clone()))
    })
}

/// The keys that [`rotate`] puts in place of the old ones, not written yet: making an RSA key takes long. Must not run
/// where async tasks run.
pub fn successors(
    registry: &Registry,
    only: Option<Algorithm>,
    at_once: bool,
) -> Result<Vec<StoredKey>, Refused> {
    let existing = list(registry)?;
    let now = registry.app.now();
    let algorithms: Vec<Algorithm> = match only {
        Some(algorithm) if !Algorithm::SIGNING.contains(&algorithm) => {
            let known = Algorithm::SIGNING.map(Algorithm::as_str).join(", ");
            return mistake(
                "alg",
                format!("{} does not sign here; use one of {known}", algorithm.as_str()),
            )
            .map_err(Refused::Mistakes);
        }
        Some(algorithm) => vec![algorithm],
        None => Algorithm::SIGNING
            .into_iter()
            .filter(|algorithm| !lacks(&existing, *algorithm))
            .collect(),
    };
    let mut new = Vec::new();
    for algorithm in algorithms {
        let waits = !at_once && !lacks(&existing, algorithm);
        let signs_from = if waits {
            now + registry.app.config.keys.publish_seconds
        } else {
            now
        };
        new.push(make(registry, algorithm, signs_from)?);
    }
    Ok(new)
}

/// Puts [`successors`] in place of the old keys.
pub fn replace_by(registry: &Registry, tx: &mut Tx<'_>, new: &[StoredKey], at_once: bool) -> Stored<()> {
    let published = if at_once {
        0
    } else {
        PUBLISHED_AFTER_RETIREMENT_SECONDS
    };
    for key in new {
        replace(registry, tx, key, published)?;
    }
    Ok(())
}

/// Retires the keys of an algorithm in favour of a new one; they stay published for so many seconds longer.
fn replace(registry: &Registry, tx: &mut Tx<'_>, new: &StoredKey, published_seconds: i64) -> Stored<()> {
    let retires_at = new.signs_from;
    let purge_at = retires_at + published_seconds;
    for old in stored::all(tx.conn())? {
        let stays = old.retires_at.is_some_and(|already| already <= retires_at)
            && old.purge_at.is_some_and(|already| already <= purge_at);
        if old.algorithm == new.algorithm && !stays {
            let retires_at = old
                .retires_at
                .map_or(retires_at, |already| already.min(retires_at));
            stored::retire(tx.conn(), &old.kid, retires_at, purge_at)?;
            tx.audit(
                registry
                    .event(Kind::KeyChanged, "retired")
                    .with("kid", &old.kid)
                    .with("alg", old.algorithm.as_str())
                    .with("retires_at", retires_at.to_string()),
            );
        }
    }
    add(registry, tx, new, "rotated")
}

/// When the successor of an algorithm's newest key is published by itself, in seconds since the epoch; none without a key.
pub fn next_rotation(registry: &Registry, existing: &[StoredKey], algorithm: Algorithm) -> Option<i64> {
    let settings = &registry.app.config.keys;
    let newest = existing
        .iter()
        .filter(|key| key.algorithm == algorithm)
        .map(|key| key.signs_from)
        .max()?;
    Some(newest + settings.rotate_days * DAY_SECONDS - settings.publish_seconds)
}

/// Algorithms whose newest key is old enough that its successor should be published.
fn due(registry: &Registry, existing: &[StoredKey], now: i64) -> Vec<Algorithm> {
    let is_due =
        |algorithm: &Algorithm| next_rotation(registry, existing, *algorithm).is_some_and(|next| next <= now);
    Algorithm::SIGNING.into_iter().filter(is_due).collect()
}

/// Replaces keys that are due, and lets go of those that have left the JWKS: what a running server does by itself.
///
/// # Errors
/// What the store or the cryptographic library says.
pub async fn keep_up(registry: &Registry) -> Result<(), Refused> {
    let existing = registry.app.store.read(stored::all).await?;
    let now = registry.app.now();
    for algorithm in due(registry, &existing, now) {
        let (maker, signs_from) = (registry.clone(), now + registry.app.config.keys.publish_seconds);
        let made = tokio::task::spawn_blocking(move || make(&maker, algorithm, signs_from)).await;
        let key = made.map_err(Broken::defect)??;
        registry
            .run(move |registry, tx| {
                // Another server may have been first.
                if due(registry, &stored::all(tx.conn())?, now).contains(&algorithm) {
                    replace(registry, tx, &key, PUBLISHED_AFTER_RETIREMENT_SECONDS)?;
                }
                Ok(Ok(()))
            })
            .await?;
    }
    if existing
        .iter()
        .any(|key| key.purge_at.is_some_and(|purge_at| purge_at <= now))
    {
        registry
            .run(move |registry, tx| {
                if stored::delete_gone(tx.conn(), now)? > 0 {
                    tx.audit(registry.event(Kind::KeyChanged, "removed"));
                    registry.tell(tx, ChangeKind::Keys, "removed");
                }
                Ok(Ok(()))
            })
            .await?;
    }
    Ok(())
}

/// What was wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many signing keys.
    pub keys: usize,
    /// How many TOTP secrets.
    pub totp_secrets: usize,
    /// How many of our secrets at identity providers.
    pub upstream_secrets: usize,
    /// How many recovery codes were removed.
    pub recovery_codes_removed: usize,
    /// The fingerprint of the new master key.
    pub fingerprint: String,
}

/// Wraps signing keys, TOTP secrets and our secrets at identity providers under another master key, which is read from a
/// file, or made there. Servers that run with the old key must be started anew with the new one.
///
/// Recovery codes are removed, for only their hashes under the old key are known: people make new ones. Locks and failure
/// counts of people stay, those of known browsers end with what those browsers are known by.
///
/// # Errors
/// When the file cannot be used, something does not open under the old key, or the store fails.
pub fn rewrap(registry: &Registry, file: &Path) -> Result<Rewrapped, Refused> {
    let app = registry.app();
    let new = match MasterKey::from_file(file, app.entropy) {
        Ok(new) => std::sync::Arc::new(new),
        Err(cause) => return mistake("new_key_file", cause.to_string()).map_err(Refused::Mistakes),
    };
    if new.fingerprint() == app.master.fingerprint() {
        return mistake(
            "new_key_file",
            format!("{} holds the key that is in use", file.display()),
        )
        .map_err(Refused::Mistakes);
    }
    registry.blocking(move |registry, tx| rewrap_in(registry, tx, &new))
}

fn rewrap_in(registry: &Registry, tx: &mut Tx<'_>, new: &MasterKey) -> Decided<Rewrapped> {
    let app = registry.app();
    let again = |purpose: Purpose, context: &str, wrapped: &str| {
        let plain = app
            .master
            .open(purpose, context, wrapped)
            .map_err(|cause| StoreBroken::stored(context, cause))?;
        Ok::<_, StoreBroken>(new.seal(purpose, context, &plain, app.entropy))
    };
    let keys = stored::all(tx.conn())?;
    for key in &keys {
        let wrapped = again(Purpose::SigningKey, &key.kid, &key.private_key)?;
        stored::rewrap(tx.conn(), &key.kid, &wrapped)?;
    }
    for key in audit::checkpoint_keys(tx.conn())? {
        let context = checkpoint::context(&key.public_key);
        let wrapped = again(Purpose::CheckpointKey, &context, &key.private_key)?;
        audit::rewrap_checkpoint_key(tx.conn(), key.id, &wrapped)?;
    }
    let secrets = people::totp_secrets(tx.conn())?;
    for (id, secret) in &secrets {
        let wrapped = again(Purpose::TotpSecret, id, secret)?;
        people::rewrap_totp_secret(tx.conn(), id, &wrapped)?;
    }
    let mut upstream_secrets = 0;
    for provider in registered::all::<IdentityProviderSettings>(tx.conn())? {
        if let Some(secret) = &provider.sealed {
            let wrapped = again(Purpose::UpstreamSecret, &provider.id, secret)?;
            identity_providers::rewrap(tx.conn(), &provider.id, &wrapped)?;
            upstream_secrets += 1;
        }
    }
    lockout::rewrap(app, tx, new)?;
    let recovery_codes_removed = recovery_codes::clear(tx.conn())?;
    // Answers that are kept for a day are not worth a second wrapping: a request that is sent again is done again.
    idempotency::clear(tx.conn())?;
    installation::set_key_fingerprint(tx.conn(), new.fingerprint())?;
    tx.audit(
        registry
            .event(Kind::KeyChanged, "rewrapped")
            .with("before", app.master.fingerprint())
            .with("after", new.fingerprint())
            .with("recovery_codes_removed", recovery_codes_removed.to_string()),
    );
    // Servers that still hold the old key cannot follow this, and say so instead of writing what nobody can open.
    registry.tell(tx, ChangeKind::Keys, "master key");
    Ok(Ok(Rewrapped {
        keys: keys.len(),
        totp_secrets: secrets.len(),
        upstream_secrets,
        recovery_codes_removed,
        fingerprint: new.fingerprint().to_owned(),
    }))
}
