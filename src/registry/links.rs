//! One-time links: made for one person, good for setting one password. Only the hash of a link is kept.

use super::{Decided, Registry, mistake, people};
use crate::audit::event::Kind;
use crate::config::LoginConfig;
use crate::model::link::{Link, LinkKind};
use crate::model::person::Person;
use crate::model::secret::Secret;
use crate::session::lockout::{is_locked_until_admin, login_subject, may_sign_in};
use crate::session::notices::AccountChange;
use crate::store::{Conn, StoreBroken, Stored, Tx, links, logins, people as stored};

/// How long a row outlives its link, in seconds: so long the record can say what a link was.
const ROW_OUTLIVES_LINK: i64 = 7 * 86_400;

/// A link that was made: to be shown, or sent, once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The whole URL.
    pub url: Secret,
    /// What it is for.
    pub kind: LinkKind,
    /// When it ends, in seconds since the epoch.
    pub expires_at: i64,
    /// For whom.
    pub person: Person,
}

/// How long a link holds, in seconds.
pub fn seconds(kind: LinkKind, login: &LoginConfig) -> i64 {
    match kind {
        LinkKind::Invitation => login.invitation_seconds,
        LinkKind::NewPassword => login.administrator_reset_seconds,
        LinkKind::Forgotten => login.reset_seconds,
    }
}

/// Makes a link for a person. It ends the older ones; but one that anybody may ask for ends its like alone, so that
/// nobody can spoil what an administrator has sent.
pub fn issue(registry: &Registry, tx: &mut Tx<'_>, person: &Person, kind: LinkKind) -> Stored<Issued> {
    let (app, now) = (&registry.app, registry.app.now());
    let secret = Secret::new(app.entropy.secret());
    let ended: &[LinkKind] = match kind {
        LinkKind::Forgotten => &[LinkKind::Forgotten],
        _ => LinkKind::ALL,
    };
    links::end(tx.conn(), &person.id, ended, now)?;
    let link = Link {
        hash: secret.hash().as_str().to_owned(),
        kind,
        person_id: person.id.clone(),
        person_generation: person.generation,
        created_at: now,
        expires_at: now + seconds(kind, &app.config.login),
        used_at: None,
    };
    links::add(tx.conn(), &link, link.expires_at + ROW_OUTLIVES_LINK)?;
    tx.audit(
        registry
            .event(Kind::LinkIssued, kind.as_str())
            .person(&person.id)
            .with("expires_at", link.expires_at.to_string()),
    );
    // Who has no password yet waits for the link.
    if person.password.is_some() {
        registry.tell_owner(person, AccountChange::Link);
    }
    let url = Secret::new(app.url(&format!("{}{}", kind.path(), secret.reveal())));
    Ok(Issued {
        url,
        kind,
        expires_at: link.expires_at,
        person: person.clone(),
    })
}

/// Whether a person was mailed a link on request that still holds and has not reached half its time. Another one would
/// end it: strangers could ask for so many that the person never has one that works.
pub fn is_young(registry: &Registry, tx: &mut Tx<'_>, person: &Person) -> Stored<bool> {
    let (kind, now) = (LinkKind::Forgotten, registry.app.now());
    let youngest = links::youngest(tx.conn(), &person.id, kind, now)?;
    let half = seconds(kind, &registry.app.config.login) / 2;
    Ok(youngest
        .is_some_and(|link| link.person_generation == person.generation && now - link.created_at < half))
}

/// Adds a person, and makes an invitation for her.
pub fn add_and_invite(registry: &Registry, tx: &mut Tx<'_>, form: &people::PersonForm) -> Decided<Issued> {
    let person = good!(people::add(registry, tx, form, None)?);
    Ok(Ok(issue(registry, tx, &person, LinkKind::Invitation)?))
}

/// Makes an invitation for somebody who has no password yet.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn invite(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Issued> {
    let person = good!(usable(registry, tx, username)?);
    if person.password.is_some() {
        return Ok(mistake(
            "username",
            format!(
                "{username:?} has a password already; `mdi-auth user reset-link {username}` makes a link for a new one"
            ),
        ));
    }
    Ok(Ok(issue(registry, tx, &person, LinkKind::Invitation)?))
}

/// Makes a link with which a person chooses a new password.
pub fn reset_link(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Issued> {
    let person = good!(usable(registry, tx, username)?);
    Ok(Ok(issue(registry, tx, &person, LinkKind::NewPassword)?))
}

fn usable(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Person> {
    let person = good!(people::found(registry, tx, username)?);
    if !may_sign_in(&registry.app, &person, registry.app.now()) {
        return Ok(mistake(
            "username",
            format!("{username:?} is disabled; `mdi-auth user enable {username}` comes first"),
        ));
    }
    Ok(Ok(person))
}

/// Why a link cannot be used. For the record: whoever comes with the link is told one text for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRefused {
    /// The reason.
    pub reason: &'static str,
    /// Whose link it was, if it was one.
    pub person_id: Option<String>,
}

/// A link that holds now, with its person.
///
/// # Errors
/// What the database says; why it does not hold is part of the answer.
pub fn find(registry: &Registry, conn: &mut Conn, hash: &str) -> Stored<Result<(Link, Person), LinkRefused>> {
    let app = &registry.app;
    let now = app.now();
    let Some(link) = links::find(conn, hash)? else {
        return Ok(Err(LinkRefused {
            reason: "unknown link",
            person_id: None,
        }));
    };
    let dead = |reason| {
        Ok(Err(LinkRefused {
            reason,
            person_id: Some(link.person_id.clone()),
        }))
    };
    if link.used_at.is_some() {
        return dead("link was used before");
    }
    if link.expires_at <= now {
        return dead("link has expired or was replaced");
    }
    let person = stored::find(conn, &link.person_id)?;
    let Some(person) = person.filter(|person| may_sign_in(app, person, now)) else {
        return dead("account disabled or dormant");
    };
    if person.generation != link.person_generation {
        return dead("account was changed since the link was made");
    }
    if link.kind == LinkKind::Forgotten && is_locked_until_admin(app, conn, &person)? {
        return dead("account is locked until an administrator unlocks it");
    }
    Ok(Ok((link, person)))
}

/// Uses a link: sets the password, whose hash is `hash`, and forgets failed sign-ins: the person has proved by another
/// way who she is. Answers the person as she is now.
///
/// # Errors
/// As [`find`]; and when the password, which was checked, is refused.
pub fn redeem(
    registry: &Registry,
    tx: &mut Tx<'_>,
    link_hash: &str,
    password: &Secret,
    hash: &str,
) -> Stored<Result<Person, LinkRefused>> {
    let now = registry.app.now();
    let (link, person) = match find(registry, tx.conn(), link_hash)? {
        Ok(found) => found,
        Err(dead) => return Ok(Err(dead)),
    };
    // The database decides between several who come with the same link.
    if !links::use_up(tx.conn(), &link.hash, now)? {
        return Ok(Err(LinkRefused {
            reason: "link was used before",
            person_id: Some(person.id),
        }));
    }
    let person = match people::set_password(registry, tx, &person.username, password, hash)? {
        Ok(person) => person,
        // Something was written: only a failure takes it back.
        Err(mistakes) => {
            return Err(StoreBroken::Defect(format!(
                "a password that was checked is refused: {mistakes:?}"
            )));
        }
    };
    links::end(tx.conn(), &person.id, LinkKind::ALL, now)?;
    logins::forget_all(tx.conn(), &login_subject(&registry.app, &person.username))?;
    tx.audit(
        registry
            .event(Kind::LinkUsed, link.kind.as_str())
            .person(&person.id),
    );
    Ok(Ok(person))
}
