//! One-time links: made for one person, good for setting one password or for confirming one address. Only the hash of a
//! link is kept.

use std::net::IpAddr;

use super::{Decided, Registry, mistake, people};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::config::LoginConfig;
use crate::error::Broken;
use crate::model::link::{Link, LinkKind};
use crate::model::person::Person;
use crate::model::secret::Secret;
use crate::secrets::master_key::Derivation;
use crate::session::lockout::{is_locked_until_admin, login_subject, may_sign_in};
use crate::session::notices::{AccountChange, can_confirm};
use crate::store::logins::{self, Failures};
use crate::store::{Conn, StoreBroken, Stored, Tx, links, people as stored};

/// How long a row outlives its link, in seconds: so long the record can say what a link was.
const ROW_OUTLIVES_LINK: i64 = 7 * 86_400;
/// How many links of a kind a person may ask for …
const MOST_LINKS: i64 = 3;
/// … within so many seconds.
const WINDOW: i64 = 3600;

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
        LinkKind::Forgotten | LinkKind::Address => login.reset_seconds,
    }
}

/// Makes a link for a person. It ends the older ones; but one that is asked for ends its like alone, so that nobody can
/// spoil what an administrator has sent.
pub fn issue(registry: &Registry, tx: &mut Tx<'_>, person: &Person, kind: LinkKind) -> Stored<Issued> {
    let (app, now) = (&registry.app, registry.app.now());
    let secret = Secret::new(app.entropy.secret());
    let ended: &[LinkKind] = match kind {
        LinkKind::Forgotten => &[LinkKind::Forgotten],
        LinkKind::Address => &[LinkKind::Address],
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

/// Why a link that is asked for is not made and mailed now; one that is, is counted.
pub fn held_back(
    registry: &Registry,
    tx: &mut Tx<'_>,
    person: &Person,
    kind: LinkKind,
) -> Stored<Option<&'static str>> {
    if is_young(registry, tx, person, kind)? {
        return Ok(Some("a link was mailed a short while ago"));
    }
    let subject = registry
        .app
        .master
        .derive(Derivation::Username, &[kind.as_str(), &person.id]);
    Ok((!count(tx, &subject, registry.app.now())?).then_some("too many links within an hour"))
}

/// Counts a link of an account. False when it has had its number within the window.
fn count(tx: &mut Tx<'_>, subject: &str, now: i64) -> Stored<bool> {
    let empty = Failures {
        subject: subject.to_owned(),
        window_started_at: now,
        purge_at: now + WINDOW,
        ..Failures::default()
    };
    let mut row = logins::lock(tx.conn(), &empty)?;
    if now - row.window_started_at >= WINDOW {
        row = empty;
    }
    if row.failures >= MOST_LINKS {
        return Ok(false);
    }
    row.failures += 1;
    logins::put(tx.conn(), &row)?;
    Ok(true)
}

/// Whether a person was mailed a link on request that still holds and has not reached half its time. Another one would
/// end it: strangers could ask for so many that the person never has one that works.
fn is_young(registry: &Registry, tx: &mut Tx<'_>, person: &Person, kind: LinkKind) -> Stored<bool> {
    let now = registry.app.now();
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

/// Records, once in a while, that somebody came with a link that cannot be used.
///
/// # Errors
/// What the database says.
pub async fn note_refused(
    app: &App,
    actor: Actor,
    dead: &LinkRefused,
    address: IpAddr,
) -> Result<(), Broken> {
    let subject = format!("link of {}", dead.person_id.as_deref().unwrap_or("nobody"));
    let noted = app
        .failure_counts
        .note(address, Failed::Other(&subject), app.now());
    if noted != Noted::First {
        return Ok(());
    }
    let event = app
        .event(Kind::LinkUsed, actor)
        .outcome(Outcome::MinorFailure)
        .from(address.to_string())
        .with("reason", dead.reason);
    let event = match &dead.person_id {
        Some(id) => event.person(id),
        None => event,
    };
    app.store
        .write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        })
        .await
}

/// A link of one of these kinds that holds now, with its person.
///
/// # Errors
/// What the database says; why it does not hold is part of the answer.
pub fn find(
    registry: &Registry,
    conn: &mut Conn,
    hash: &str,
    kinds: &[LinkKind],
) -> Stored<Result<(Link, Person), LinkRefused>> {
    let app = &registry.app;
    let now = app.now();
    let Some(link) = links::find(conn, hash)?.filter(|link| kinds.contains(&link.kind)) else {
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
    let (link, person) = match find(registry, tx.conn(), link_hash, LinkKind::PASSWORD)? {
        Ok(found) => found,
        Err(dead) => return Ok(Err(dead)),
    };
    if let Err(dead) = use_up(registry, tx, &link)? {
        return Ok(Err(dead));
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

/// Makes a link for somebody who wants to confirm the account's address. None: there is nothing to confirm, or links were
/// made a short while ago. The address is the one of now: whoever changes it meanwhile waits, and ends the link.
pub fn for_address(registry: &Registry, tx: &mut Tx<'_>, person_id: &str) -> Stored<Option<Issued>> {
    let person = stored::lock(tx.conn(), person_id)?;
    let may = |person: &Person| {
        can_confirm(&registry.app, person) && may_sign_in(&registry.app, person, registry.app.now())
    };
    let Some(person) = person.filter(may) else {
        return Ok(None);
    };
    if held_back(registry, tx, &person, LinkKind::Address)?.is_some() {
        return Ok(None);
    }
    issue(registry, tx, &person, LinkKind::Address).map(Some)
}

/// Uses a link up that the person `person_id` was mailed: the account's address is hers.
///
/// # Errors
/// What the database says; why the link does not count is part of the answer.
pub fn confirm_address(
    registry: &Registry,
    tx: &mut Tx<'_>,
    link_hash: &str,
    person_id: &str,
) -> Stored<Result<(), LinkRefused>> {
    // Locked first, as whoever gives the account another address does, which ends the link.
    stored::lock(tx.conn(), person_id)?;
    let (link, person) = match own(registry, tx.conn(), link_hash, person_id)? {
        Ok(found) => found,
        Err(dead) => return Ok(Err(dead)),
    };
    if let Err(dead) = use_up(registry, tx, &link)? {
        return Ok(Err(dead));
    }
    people::confirm_address(registry, tx, &person)?;
    tx.audit(
        registry
            .event(Kind::LinkUsed, link.kind.as_str())
            .person(&person.id),
    );
    Ok(Ok(()))
}

/// A link for confirming the address that holds now and is the person's own, with her.
///
/// # Errors
/// What the database says; why the link does not count, also that it is another person's, is part of the answer.
pub fn own(
    registry: &Registry,
    conn: &mut Conn,
    link_hash: &str,
    person_id: &str,
) -> Stored<Result<(Link, Person), LinkRefused>> {
    let found = find(registry, conn, link_hash, &[LinkKind::Address])?;
    Ok(found.and_then(|(link, person)| {
        if person.id == person_id {
            Ok((link, person))
        } else {
            Err(LinkRefused {
                reason: "link of another person",
                person_id: Some(person.id),
            })
        }
    }))
}

/// Uses a link up that holds: the database decides between several who come with the same one.
fn use_up(registry: &Registry, tx: &mut Tx<'_>, link: &Link) -> Stored<Result<(), LinkRefused>> {
    let is_first = links::use_up(tx.conn(), &link.hash, registry.app.now())?;
    Ok(is_first.then_some(()).ok_or_else(|| LinkRefused {
        reason: "link was used before",
        person_id: Some(link.person_id.clone()),
    }))
}
