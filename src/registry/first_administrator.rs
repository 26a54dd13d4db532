//! The first administrator: made with a one-time link that the server prints when nobody administers it. After that,
//! administrators make each other.

use super::links::{self, Issued};
use super::people::{self, PersonForm};
use super::{Decided, Registry, mistake};
use crate::audit::event::Kind;
use crate::model::link::LinkKind;
use crate::model::secret::Secret;
use crate::policy::console::ADMINISTRATOR;
use crate::store::{Conn, Stored, Tx, first_links, people as stored};

/// How long the link holds, in seconds.
pub const SECONDS: i64 = 3600;
/// Where the link leads; its secret follows.
pub const PATH: &str = "/first/";

/// Makes a link if nobody administers this server; an older link ends.
pub fn issue(registry: &Registry, tx: &mut Tx<'_>) -> Decided<Option<Secret>> {
    if stored::somebody_else_has(tx.conn(), ADMINISTRATOR, "")? {
        return Ok(Ok(None));
    }
    let now = registry.app.now();
    let secret = Secret::new(registry.app.entropy.secret());
    first_links::replace(tx.conn(), secret.hash().as_str(), now, now + SECONDS)?;
    tx.audit(
        registry
            .event(Kind::LinkIssued, "first_administrator")
            .with("expires_at", (now + SECONDS).to_string()),
    );
    Ok(Ok(Some(Secret::new(
        registry.app.url(&format!("{PATH}{}", secret.reveal())),
    ))))
}

/// Whether a link holds: it was not used, has not ended, and nobody administers this server.
pub fn holds(registry: &Registry, conn: &mut Conn, hash: &str) -> Stored<bool> {
    Ok(first_links::holds(conn, hash, registry.app.now())?
        && !stored::somebody_else_has(conn, ADMINISTRATOR, "")?)
}

/// Uses a link: adds the administrator, and answers the invitation with which she chooses her password. None when the
/// link does not hold any more.
///
/// # Errors
/// What the database says; mistakes in the form are part of the answer.
pub fn claim(registry: &Registry, tx: &mut Tx<'_>, hash: &str, form: &PersonForm) -> Decided<Option<Issued>> {
    if !holds(registry, tx.conn(), hash)? {
        return Ok(Ok(None));
    }
    if registry.app.policy.role(ADMINISTRATOR).is_none() {
        return Ok(mistake(
            "username",
            "the policy has no role administrator; see [policy] file",
        ));
    }
    let form = PersonForm {
        roles: Some(vec![ADMINISTRATOR.to_owned()]),
        ..form.clone()
    };
    let person = good!(people::add(registry, tx, &form, None)?);
    // Locked by the registry's lock: of several who come at once, one is first.
    if !first_links::use_up(tx.conn(), hash, registry.app.now())? {
        return Err(crate::store::StoreBroken::Defect(
            "a link that held was used within the same transaction".to_owned(),
        ));
    }
    tx.audit(
        registry
            .event(Kind::LinkUsed, "first_administrator")
            .person(&person.id),
    );
    Ok(Ok(Some(links::issue(
        registry,
        tx,
        &person,
        LinkKind::Invitation,
    )?)))
}
