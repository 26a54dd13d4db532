//! Sessions: which ones hold, and how one begins. Its id changes at each change of assurance.

use crate::app::App;
use crate::error::Broken;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::secret::SecretHash;
use crate::store::{Conn, Stored, Tx, people, sessions};

/// The limits of a session, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    idle: i64,
    whole: i64,
}

/// How long the row of a session outlives it, in seconds.
const ROW_OUTLIVES_SESSION: i64 = 24 * 3600;
/// How long a password alone holds while the second factor is awaited, in seconds.
const SECOND_FACTOR_SECONDS: i64 = 600;

impl Limits {
    /// Those of the configuration.
    #[must_use]
    pub fn of(app: &App) -> Self {
        Self { idle: app.config.login.session_idle_seconds, whole: app.config.login.session_seconds }
    }
}

/// A session that holds, with its person: not ended, not too old, not idle for too long, the person enabled and unchanged.
///
/// # Errors
/// What the database says.
pub fn load(conn: &mut Conn, hash: &str, limits: Limits, now: i64) -> Stored<Option<(Session, Person)>> {
    let Some(session) = sessions::find(conn, hash)? else {
        return Ok(None);
    };
    let whole = if session.second_factor_due { SECOND_FACTOR_SECONDS } else { limits.whole };
    if now - session.created_at >= whole || now - session.last_seen_at >= limits.idle {
        return Ok(None);
    }
    let person = people::find(conn, &session.person_id)?;
    let holds = |person: &Person| person.enabled && person.generation == session.person_generation;
    Ok(person.filter(holds).map(|person| (session, person)))
}

/// Notes that a session was used, at most once a minute.
///
/// # Errors
/// What the database says.
pub async fn note_use(app: &App, session: &Session) -> Result<(), Broken> {
    let now = app.now();
    if now - session.last_seen_at < 60 {
        return Ok(());
    }
    let hash = session.hash.clone();
    app.store.write(move |tx| sessions::seen(tx.conn(), &hash, now)).await
}

/// A session that begins now, and the value of its cookie.
#[must_use]
pub fn begin(app: &App, person: &Person, amr: &[&str], second_factor_due: bool) -> (Session, String) {
    let now = app.now();
    let cookie = app.entropy.secret();
    let session = Session {
        hash: SecretHash::of(&cookie).as_str().to_owned(),
        person_id: person.id.clone(),
        person_generation: person.generation,
        created_at: now,
        auth_time: now,
        last_seen_at: now,
        amr: amr.iter().map(|method| (*method).to_owned()).collect(),
        second_factor_due,
    };
    (session, cookie)
}

/// Writes a session down in place of the one the browser had.
///
/// # Errors
/// What the database says.
pub fn record(app: &App, tx: &mut Tx<'_>, session: &Session, replaced: Option<&str>) -> Stored<()> {
    if let Some(hash) = replaced {
        sessions::replace(tx.conn(), hash)?;
    }
    let purge_at = session.created_at + app.config.login.session_seconds + ROW_OUTLIVES_SESSION;
    sessions::add(tx.conn(), session, purge_at)
}
