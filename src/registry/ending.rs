//! Ends what is going on: sessions and grants of people, as an administrator does it.

use super::{Decided, Registry, mistake, people};
use crate::audit::event::Kind;
use crate::session::{self, revocation};
use crate::store::{Tx, grants, people as stored, sessions};

/// Ends a session with what was allowed in it.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn session(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<()> {
    let Some(session) = sessions::by_id(tx.conn(), id)? else {
        return Ok(mistake(
            "id",
            format!("no session that is open has the id {id:?}"),
        ));
    };
    good!(may_touch(registry, tx, &session.person_id)?);
    let event = registry
        .event(Kind::SessionEnded, "ended")
        .with("reason", "an administrator ended it");
    session::end_with(registry.app(), tx, &session, &event)?;
    Ok(Ok(()))
}

/// Signs a person out everywhere. Answers how many sessions that ended.
pub fn sessions_of(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<usize> {
    let person = good!(people::found(registry, tx, username)?);
    let ended = session::end_all(registry.app(), tx, &person.id, None)?;
    if ended > 0 {
        let event = registry.event(Kind::SessionEnded, "ended").person(&person.id);
        tx.audit(
            event
                .with("reason", "an administrator ended all")
                .with("sessions_ended", ended.to_string()),
        );
    }
    Ok(Ok(ended))
}

/// Revokes what a person allowed a client, with all its tokens, and forgets that it was allowed.
pub fn grant(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<()> {
    let Some(grant) = grants::find(tx.conn(), id)?.filter(|grant| grant.revoked_at.is_none()) else {
        return Ok(mistake("id", format!("no grant that holds has the id {id:?}")));
    };
    good!(may_touch(registry, tx, &grant.person_id)?);
    revocation::revoke_grant(tx, id, registry.app().now())?;
    grants::forget_consent(tx.conn(), &grant.person_id, &grant.client_id)?;
    let event = registry
        .event(Kind::ConsentRevoked, "revoked")
        .person(&grant.person_id)
        .client(&grant.client_id);
    tx.audit(event.with("grants", id));
    Ok(Ok(()))
}

fn may_touch(registry: &Registry, tx: &mut Tx<'_>, person_id: &str) -> Decided<()> {
    match stored::find(tx.conn(), person_id)? {
        Some(person) => people::permitted(registry, tx.conn(), Some(&person), &person),
        None => Ok(mistake("id", "it belongs to nobody")),
    }
}
