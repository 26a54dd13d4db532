//! What an administrator ends: sessions of somebody, and what somebody allowed a client.

use super::{Decided, Registry, people};
use crate::audit::event::Kind;
use crate::model::grant::Grant;
use crate::model::session::Session;
use crate::session::{self, revocation};
use crate::store::{Conn, Tx, grants, people as stored, sessions};

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

/// Signs a person out everywhere. What was to stay connected stays. Answers how many sessions that ended.
pub fn end_all(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<usize> {
    let person = good!(people::found(registry, tx, username)?);
    let ended = session::end_all(registry.app(), tx, &person.id, None)?;
    if ended > 0 {
        let event = registry.event(Kind::SessionEnded, "ended").person(&person.id);
        tx.audit(
            event
                .with("reason", "all ended by an administrator")
                .with("sessions_ended", ended.to_string()),
        );
    }
    Ok(Ok(ended))
}

/// Takes back what somebody allowed a client once, and what is remembered of it, so that the client asks again. Answers
/// it, unless it had ended already.
pub fn revoke_grant(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<Option<Grant>> {
    let Some(grant) = grants::find(tx.conn(), id)?.filter(|grant| grant.revoked_at.is_none()) else {
        return Ok(Ok(None));
    };
    good!(permitted(registry, tx.conn(), &grant.person_id)?);
    let event = registry.event(Kind::ConsentRevoked, "revoked");
    let parties = (grant.person_id.as_str(), grant.client_id.as_str());
    revocation::take_back(tx, parties, Some(id), &event, registry.app.now())?;
    Ok(Ok(Some(grant)))
}
