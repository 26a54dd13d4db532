//! What an administrator ends: a session of somebody, and what somebody allowed a client.

use super::{Decided, Registry, people};
use crate::audit::event::Kind;
use crate::model::grant::Grant;
use crate::model::session::Session;
use crate::session::{self, revocation};
use crate::store::{Conn, Stored, Tx, grants, people as stored, sessions};

/// Whether whoever acts may end what is somebody's.
fn permitted(registry: &Registry, conn: &mut Conn, person_id: &str) -> Decided<()> {
    match stored::lock(conn, person_id)? {
        Some(person) => people::permitted(registry, conn, Some(&person), &person),
        None => Ok(Ok(())),
    }
}

/// Ends a session with what was allowed in it. Answers it, unless it had ended already.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn end(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<Option<Session>> {
    let Some(session) = sessions::by_id(tx.conn(), id)? else {
        return Ok(Ok(None));
    };
    good!(permitted(registry, tx.conn(), &session.person_id)?);
    let event = registry
        .event(Kind::SessionEnded, "ended")
        .with("reason", "ended by an administrator");
    let alive = session::end_with(&registry.app, tx, &session, &event)?;
    Ok(Ok(alive.then_some(session)))
}

/// Takes back what somebody allowed a client once, and what is remembered of it, so that the client asks again. Answers
/// it, unless it had ended already.
pub fn revoke_grant(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<Option<Grant>> {
    let Some(grant) = grants::find(tx.conn(), id)? else {
        return Ok(Ok(None));
    };
    good!(permitted(registry, tx.conn(), &grant.person_id)?);
    let alive = revoke(registry, tx, &grant)?;
    Ok(Ok(alive.then_some(grant)))
}

fn revoke(registry: &Registry, tx: &mut Tx<'_>, grant: &Grant) -> Stored<bool> {
    let alive = revocation::revoke_grant(tx, &grant.id, registry.app.now())?;
    let forgotten = grants::forget_consent(tx.conn(), &grant.person_id, &grant.client_id)?;
    if alive || forgotten {
        let event = registry
            .event(Kind::TokenRevoked, "grant_revoked")
            .with("grant", grant.id.clone());
        tx.audit(event.person(&grant.person_id).client(&grant.client_id));
    }
    Ok(alive)
}
