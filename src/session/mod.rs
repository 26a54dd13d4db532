//! Sessions: which ones hold, what still has to be done in them, how one begins and how it ends. The cookie changes at
//! each change of assurance, the id stays.

pub mod client_address;
pub mod lockout;
pub mod notices;
pub mod revocation;

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;

use crate::app::App;
use crate::audit::event::{Actor, Event, Kind};
use crate::error::Broken;
use crate::model::logout_notice::LogoutNotice;
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::model::session::{ACR_AAL1, ACR_AAL2, Session};
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Conn, Stored, Tx, grants, logout_notices, passkeys, people, registered, sessions};

/// The limits of a session, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    idle: i64,
    whole: i64,
}

/// How far ahead a session may have begun, in seconds: the clocks of servers that share a database differ a little.
const AHEAD_SECONDS: i64 = 60;
/// How long the row of a session outlives it, in seconds.
const ROW_OUTLIVES_SESSION: i64 = 24 * 3600;
/// How long the first factor alone holds while the second is awaited, in seconds.
const SECOND_FACTOR_SECONDS: i64 = 600;
/// How many sessions that have reached their limit are ended in one write.
const EXPIRED_AT_ONCE: i64 = 50;
/// How long a client's notice that a session has ended is kept, in seconds: longer than it is tried, for a server may stand
/// still in between.
const NOTICE_SECONDS: i64 = 7 * 24 * 3600;
/// How long other servers may learn of a new notice, in seconds. They look for those that are due by themselves, too.
const NOTICE_TOLD_SECONDS: i64 = 60;
/// How much of a browser's name is kept, in characters.
const USER_AGENT_LENGTH: usize = 200;

impl Limits {
    /// Those of the configuration.
    pub fn of(app: &App) -> Self {
        Self {
            idle: app.config.login.session_idle_seconds,
            whole: app.config.login.session_seconds,
        }
    }

    /// Whether a session is neither too old nor idle for too long.
    pub fn hold(self, session: &Session, now: i64) -> bool {
        let whole = if session.second_factor_due {
            SECOND_FACTOR_SECONDS
        } else {
            self.whole
        };
        // One that begins in the future was made by a clock that was ahead.
        let begun = session.created_at.max(session.auth_time) <= now + AHEAD_SECONDS;
        begun && now - session.created_at < whole && now - session.last_seen_at < self.idle
    }

    /// After which times a session began and was last used that holds.
    pub fn since(self, now: i64) -> (i64, i64) {
        (now - self.whole, now - self.idle)
    }
}

/// A session that holds, with what decides about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub person: Person,
    /// Whether the person has a passkey.
    pub has_passkey: bool,
}

/// What comes before anything else in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The second factor, of an account that has one.
    SecondFactor,
    /// A new password, because the old one has expired.
    NewPassword,
    /// A second factor has to be set up: a role requires one and the account has none.
    Enrolment,
}

impl Due {
    /// Why the client cannot be answered yet.
    pub fn why(self) -> &'static str {
        match self {
            Self::SecondFactor => "the second factor is still to come",
            Self::NewPassword => "the password has expired",
            Self::Enrolment => "the account has to set up a second factor first",
        }
    }

    /// The page where it is done.
    pub fn path(self) -> &'static str {
        match self {
            Self::SecondFactor => "/login/second-factor",
            Self::NewPassword => "/login/new-password",
            Self::Enrolment => "/login/set-up",
        }
    }
}

impl Loaded {
    /// Whether the account has a second factor.
    pub fn has_second_factor(&self) -> bool {
        self.person.has_second_factor(self.has_passkey)
    }

    /// What comes before anything else.
    pub fn due(&self, app: &App) -> Option<Due> {
        let proved = self.session.has_second_factor();
        let required = app
            .policy
            .requires_second_factor(&self.person.settings.all_roles());
        let expired = self.session.used("pwd")
            && app
                .password_rules
                .has_expired(self.person.password_changed_at, app.now());
        // The second factor of an account that has one comes before anything that changes the account.
        if self.session.second_factor_due || (self.has_second_factor() && !proved && (required || expired)) {
            return Some(Due::SecondFactor);
        }
        if expired {
            return Some(Due::NewPassword);
        }
        (required && !proved).then_some(Due::Enrolment)
    }
}

/// A session that holds, with its person: not ended, not too old, not idle for too long, the person enabled and unchanged.
pub fn load(conn: &mut Conn, hash: &str, limits: Limits, now: i64) -> Stored<Option<Loaded>> {
    let Some(session) = sessions::find(conn, hash)?.filter(|session| limits.hold(session, now)) else {
        return Ok(None);
    };
    let person = people::find(conn, &session.person_id)?;
    let holds = |person: &Person| person.enabled && person.generation == session.person_generation;
    let Some(person) = person.filter(holds) else {
        return Ok(None);
    };
    // Asked of the database: a session that was begun while the agency was being disabled must not hold.
    if !registered::is_open(conn, person.settings.agency.as_ref())? {
        return Ok(None);
    }
    let has_passkey = passkeys::any(conn, &person.id)?;
    Ok(Some(Loaded {
        session,
        person,
        has_passkey,
    }))
}

/// Whether a person has a second factor.
pub fn has_second_factor(conn: &mut Conn, person: &Person) -> Stored<bool> {
    Ok(person.has_second_factor(passkeys::any(conn, &person.id)?))
}

/// Notes that a session was used, at most once a minute.
pub async fn note_use(app: &App, session: &Session) -> Result<(), Broken> {
    let now = app.now();
    if now - session.last_seen_at < 60 {
        return Ok(());
    }
    let id = session.id.clone();
    app.store
        .write(move |tx| sessions::seen(tx.conn(), &id, now))
        .await
}

/// Where a sign-in comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The network address.
    pub address: String,
    /// What the browser calls itself.
    pub user_agent: String,
}

impl Origin {
    /// That of a request.
    pub fn of(app: &App, request: &HttpRequest) -> Self {
        let named = request
            .headers()
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        Self {
            address: client_address::of(app, request).to_string(),
            user_agent: named
                .chars()
                .filter(|c| !c.is_control())
                .take(USER_AGENT_LENGTH)
                .collect(),
        }
    }
}

/// How somebody proved who she is.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// The methods (RFC 8176), in order.
    pub amr: Vec<String>,
    /// Whether they are two factors.
    pub two_factors: bool,
    /// The account has a second factor that was not shown yet.
    pub second_factor_due: bool,
    /// The agency's identity provider, if it was there.
    pub identity_provider: Option<String>,
}

impl Authentication {
    /// By these methods, one factor or two.
    pub fn by(amr: &[&str], two_factors: bool) -> Self {
        Self {
            amr: amr.iter().map(|method| (*method).to_owned()).collect(),
            two_factors,
            second_factor_due: false,
            identity_provider: None,
        }
    }

    /// The same, with the second factor still to come.
    pub fn with_second_factor_due(mut self, due: bool) -> Self {
        self.second_factor_due = due;
        self
    }
}

/// A session that begins now, and the value of its cookie.
pub fn begin(app: &App, person: &Person, origin: &Origin, how: Authentication) -> (Session, String) {
    let now = app.now();
    let cookie = app.entropy.secret();
    let session = Session {
        id: app.entropy.id("ses"),
        hash: SecretHash::of(&cookie).as_str().to_owned(),
        person_id: person.id.clone(),
        person_generation: person.generation,
        created_at: now,
        auth_time: now,
        last_seen_at: now,
        acr: if how.two_factors { ACR_AAL2 } else { ACR_AAL1 }.to_owned(),
        amr: how.amr,
        second_factor_at: how.two_factors.then_some(now),
        second_factor_due: how.second_factor_due,
        identity_provider: how.identity_provider,
        address: origin.address.clone(),
        user_agent: origin.user_agent.clone(),
    };
    (session, cookie)
}

/// Writes a session down in place of the one that the browser had. The same person's goes on under its id with the new
/// cookie, somebody else's ends. Answers false, and writes nothing, when another request has used the old cookie up.
pub fn record(app: &App, tx: &mut Tx<'_>, session: &Session, replaced: Option<&Session>) -> Stored<bool> {
    let purge_at = session.created_at + app.config.login.session_seconds + ROW_OUTLIVES_SESSION;
    match replaced {
        Some(old) if old.person_id == session.person_id => {
            let going_on = Session {
                id: old.id.clone(),
                ..session.clone()
            };
            if !sessions::renew(tx.conn(), &old.hash, &going_on, purge_at)? {
                return Ok(false);
            }
            // A step of the same sign-in has the session's id already.
            if session.id != old.id {
                sessions::forget_set_up(tx.conn(), &old.id)?;
            }
        }
        other => {
            if let Some(old) = other {
                let event = app.event(Kind::SessionEnded, Actor::Person(session.person_id.clone()));
                let event = event
                    .from(session.address.clone())
                    .with("reason", "somebody else signed in");
                end_with(app, tx, old, &event)?;
            }
            sessions::add(tx.conn(), session, purge_at)?;
        }
    }
    if !session.second_factor_due {
        people::signed_in(tx.conn(), &session.person_id, app.now())?;
    }
    Ok(true)
}

/// [`record`] in place of the session of a browser that begins a sign-in, by the hash of its cookie, if it had one.
pub fn record_anew(app: &App, tx: &mut Tx<'_>, session: &Session, cookie_hash: Option<&str>) -> Stored<bool> {
    let replaced = cookie_hash
        .map(|hash| sessions::find(tx.conn(), hash))
        .transpose()?
        .flatten();
    record(app, tx, session, replaced.as_ref())
}

/// Ends a session with what was allowed in it, but for what was to stay connected (`offline_access`), and leaves notices
/// for the clients that want to be told. Answers whether it was alive.
pub fn end(app: &App, tx: &mut Tx<'_>, session: &Session) -> Stored<bool> {
    let now = app.now();
    if !sessions::end(tx.conn(), &session.id, now)? {
        return Ok(false);
    }
    let grants = grants::of_session(tx.conn(), &session.id)?;
    for grant in grants.iter().filter(|grant| grant.alive && !grant.stays) {
        revocation::revoke_grant(tx, &grant.id, now)?;
    }
    // A client whose grant was revoked may still hold a session of its own.
    let clients: BTreeSet<&str> = grants.iter().map(|grant| grant.client_id.as_str()).collect();
    let wants_notice = |id: &&str| {
        let live = app.live.client(id);
        live.is_some_and(|live| live.is_served() && live.client.settings.backchannel_logout_uri.is_some())
    };
    for client_id in clients.into_iter().filter(wants_notice) {
        let notice = LogoutNotice {
            id: app.entropy.id("lgn"),
            client_id: client_id.to_owned(),
            person_id: session.person_id.clone(),
            session_id: session.id.clone(),
            attempts: 0,
        };
        logout_notices::add(tx.conn(), &notice, now, now + NOTICE_SECONDS)?;
        tx.changed(Change {
            kind: ChangeKind::LogoutNotice,
            subject: notice.id,
            purge_at: now + NOTICE_TOLD_SECONDS,
        });
    }
    Ok(true)
}

/// Ends all sessions of a person, or all `except` one, by its id. Answers how many were alive. The event is the
/// caller's.
pub fn end_all(app: &App, tx: &mut Tx<'_>, person_id: &str, except: Option<&str>) -> Stored<usize> {
    let mut ended = 0;
    for session in sessions::of_person(tx.conn(), person_id)? {
        if except != Some(session.id.as_str()) {
            ended += usize::from(end(app, tx, &session)?);
        }
    }
    Ok(ended)
}

/// Ends the sessions that have reached their absolute limit, so that their clients learn of it. Those that are idle for
/// too long stay as they are: a person who does not come here may be busy at a client all the while.
pub async fn end_expired(app: &Arc<App>) -> Result<(), Broken> {
    let row_may_go = app.now() + ROW_OUTLIVES_SESSION;
    loop {
        let expired = app
            .store
            .read(move |conn| sessions::forgotten(conn, row_may_go, EXPIRED_AT_ONCE))
            .await?;
        if expired.is_empty() {
            return Ok(());
        }
        let job_app = Arc::clone(app);
        let event = app
            .event(Kind::SessionEnded, Actor::Server)
            .with("reason", "reached its absolute limit");
        let written = app.store.write(move |tx| {
            for session in &expired {
                end_with(&job_app, tx, session, &event)?;
            }
            Ok(())
        });
        written.await?;
    }
}

/// [`end`], with its event.
pub fn end_with(app: &App, tx: &mut Tx<'_>, session: &Session, event: &Event) -> Stored<bool> {
    let alive = end(app, tx, session)?;
    if alive {
        tx.audit(
            event
                .clone()
                .person(&session.person_id)
                .with("session", session.id.clone()),
        );
    }
    Ok(alive)
}
