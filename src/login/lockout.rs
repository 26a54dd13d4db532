//! Lockout: failures are counted by keyed hash of what was typed, known account or not, so that nobody learns from it
//! which accounts exist. The database counts; every server sees the same.

use crate::app::App;
use crate::config::Lockout;
use crate::master_key::Derivation;
use crate::model::person::username_key;
use crate::store::logins::{self, Failures};
use crate::store::{Conn, Stored, Tx};

/// Far enough to mean: until an administrator unlocks.
const UNTIL_ADMIN: i64 = i64::MAX / 2;

const DAY_SECONDS: i64 = 86_400;

/// Under which key failures of a username are counted.
#[must_use]
pub fn login_subject(app: &App, username: &str) -> String {
    app.master.derive(Derivation::Username, &["login", &username_key(username)])
}

/// Under which key wrong one-time codes of a person are counted.
#[must_use]
pub fn totp_subject(app: &App, person_id: &str) -> String {
    app.master.derive(Derivation::Username, &["totp", person_id])
}

/// Whether a subject is locked.
///
/// # Errors
/// What the database says.
pub fn is_locked(conn: &mut Conn, subject: &str, now: i64) -> Stored<bool> {
    Ok(logins::find(conn, subject)?.is_some_and(|row| now < row.locked_until))
}

/// How many failures lock a subject, and whether it belongs to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Failures within the window.
    pub threshold: u32,
    /// A name that nobody has is not locked for longer than a day: nobody could unlock it.
    pub known: bool,
}

/// Counts a failure. Answers true when it locked the subject.
///
/// # Errors
/// What the database says.
pub fn fail(app: &App, tx: &mut Tx<'_>, subject: &str, limit: Limit, now: i64) -> Stored<bool> {
    let login = &app.config.login;
    let empty = Failures { subject: subject.to_owned(), window_started_at: now, purge_at: now, ..Failures::default() };
    let mut row = logins::lock(tx.conn(), &empty)?;
    if now < row.locked_until {
        return Ok(false);
    }
    if now - row.window_started_at >= login.lockout_window_seconds {
        row = empty;
    }
    row.failures += 1;
    let locks = row.failures >= i64::from(limit.threshold);
    if locks {
        row.failures = 0;
        row.window_started_at = now;
        row.locked_until = match login.lockout {
            Lockout::Seconds(seconds) => now + seconds,
            Lockout::UntilAdmin if limit.known => UNTIL_ADMIN,
            Lockout::UntilAdmin => now + DAY_SECONDS,
        };
    }
    row.purge_at = row.locked_until.max(row.window_started_at + login.lockout_window_seconds);
    logins::put(tx.conn(), &row)?;
    Ok(locks)
}
