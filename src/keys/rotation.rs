//! Rotation: publish → wait → sign → retire → gone. Shared by the command line and the running server.

use std::sync::Arc;

use super::{KeyError, PUBLISHED_AFTER_RETIREMENT_SECONDS, generate};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind};
use crate::error::Broken;
use crate::model::signing::{Algorithm, StoredKey};
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, keys};

const DAY_SECONDS: i64 = 24 * 3600;
/// How long other processes are told that the keys changed, in seconds.
const TOLD_SECONDS: i64 = DAY_SECONDS;

/// A new key and when it takes over.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The new key.
    pub key: StoredKey,
}

impl Successor {
    /// Makes a key that takes over at `signs_from`. Slow for RSA: not inside a write.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn make(app: &App, algorithm: Algorithm, signs_from: i64) -> Result<Self, KeyError> {
        Ok(Self { key: generate(algorithm, &app.master, app.now(), signs_from)? })
    }

    /// Publishes the key, and retires those of its algorithm from the moment it signs.
    ///
    /// # Errors
    /// What the database says.
    pub fn publish(&self, tx: &mut Tx<'_>, event: Event) -> Stored<()> {
        let at = self.key.signs_from;
        for old in
            keys::all(tx.conn())?.iter().filter(|old| old.algorithm == self.key.algorithm && old.retires_at.is_none())
        {
            keys::retire(tx.conn(), &old.kid, at, at + PUBLISHED_AFTER_RETIREMENT_SECONDS)?;
        }
        keys::add(tx.conn(), &self.key)?;
        tx.changed(changed(self.key.created_at));
        tx.audit(
            event
                .with("action", "rotated")
                .with("kid", self.key.kid.clone())
                .with("alg", self.key.algorithm.as_str())
                .with("signs_from", at.to_string()),
        );
        Ok(())
    }
}

/// Tells other processes that the keys changed.
#[must_use]
pub fn changed(now: i64) -> Change {
    Change { kind: ChangeKind::Keys, subject: "keys".to_owned(), purge_at: now + TOLD_SECONDS }
}

/// Algorithms whose newest key is old enough that its successor should be published.
fn due(stored: &[StoredKey], rotate_seconds: i64, publish_seconds: i64, now: i64) -> Vec<Algorithm> {
    Algorithm::SIGNING
        .into_iter()
        .filter(|algorithm| {
            let newest = stored.iter().filter(|key| key.algorithm == *algorithm).map(|key| key.signs_from).max();
            newest.is_some_and(|signs_from| now + publish_seconds >= signs_from + rotate_seconds)
        })
        .collect()
}

/// Replaces keys that are due, and lets go of those that have left the JWKS.
///
/// # Errors
/// What the database says.
pub async fn keep_up(app: &Arc<App>) -> Result<(), Broken> {
    let stored = app.store.read(keys::all).await?;
    let now = app.now();
    let settings = &app.config.keys;
    let rotate_seconds = settings.rotate_days * DAY_SECONDS;
    for algorithm in due(&stored, rotate_seconds, settings.publish_seconds, now) {
        let (maker, signs_from) = (Arc::clone(app), now + settings.publish_seconds);
        let made = tokio::task::spawn_blocking(move || Successor::make(&maker, algorithm, signs_from)).await;
        let successor = made.map_err(Broken::defect)?.map_err(Broken::defect)?;
        let (event, publish_seconds) = (app.event(Kind::KeyChanged, Actor::Server), settings.publish_seconds);
        app.store
            .write(move |tx| {
                // Another server may have been first.
                let still_due = due(&keys::all(tx.conn())?, rotate_seconds, publish_seconds, now).contains(&algorithm);
                if still_due { successor.publish(tx, event.clone()) } else { Ok(()) }
            })
            .await?;
    }
    if stored.iter().any(|key| key.purge_at.is_some_and(|purge_at| purge_at <= now)) {
        let event = app.event(Kind::KeyChanged, Actor::Server);
        app.store
            .write(move |tx| {
                if keys::delete_gone(tx.conn(), now)? > 0 {
                    tx.changed(changed(now));
                    tx.audit(event.clone().with("action", "removed"));
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}
