//! Revoking a grant: what ends tokens at the next introspection, wherever it is decided.

use crate::audit::event::Event;
use crate::model::token::LONGEST_LIFE;
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, grants};

/// How much longer than the longest access token a revocation is told, in seconds.
pub const TOLD_LONGER: i64 = 3600;

/// Revokes a grant with all its tokens. Answers whether it was alive.
pub fn revoke_grant(tx: &mut Tx<'_>, id: &str, now: i64) -> Stored<bool> {
    let alive = grants::revoke(tx.conn(), id, now)?;
    if alive {
        // Not the configured lifetime: it may have been longer when the tokens were issued.
        let purge_at = now + LONGEST_LIFE + TOLD_LONGER;
        tx.changed(Change {
            kind: ChangeKind::GrantRevoked,
            subject: id.to_owned(),
            purge_at,
        });
    }
    Ok(alive)
}

/// Takes back what a person allowed a client, all of it or the one grant `only`, and forgets that it was allowed, so that
/// the client has to ask again. `event` says who does it. Answers whether there was something.
pub fn take_back(
    tx: &mut Tx<'_>,
    (person_id, client_id): (&str, &str),
    only: Option<&str>,
    event: &Event,
    now: i64,
) -> Stored<bool> {
    let mut ended = Vec::new();
    for grant in grants::of_person(tx.conn(), person_id)? {
        let meant = grant.client_id == client_id && only.is_none_or(|id| grant.id == id);
        if meant && revoke_grant(tx, &grant.id, now)? {
            ended.push(grant.id);
        }
    }
    let forgotten = grants::forget_consent(tx.conn(), person_id, client_id)?;
    let something = forgotten || !ended.is_empty();
    if something {
        let event = event.clone().person(person_id).client(client_id);
        tx.audit(event.with("action", "revoked").with("grants", ended.join(" ")));
    }
    Ok(something)
}
