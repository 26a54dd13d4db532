//! Lockout (NIST SP 800-63B-4 §3.2.2): failures are counted by keyed hash of what was typed, known account or not, so
//! that nobody learns from it which accounts exist. The database counts; every server sees the same.
//!
//! A browser that has signed the person in before is known by a cookie. Its failures are counted by themselves, and the
//! failures of all other browsers do not lock it: a stranger cannot keep a person out. Once it has failed too often
//! itself it is as any other.

use std::sync::atomic::Ordering;

use crate::app::App;
use crate::config::{Lockout, LockoutCovers};
use crate::model::names::username_key;
use crate::model::person::Person;
use crate::secrets::master_key::{Derivation, MasterKey};
use crate::store::logins::{self, Failures};
use crate::store::{Conn, Stored, Tx, people};

/// Far enough to mean: until an administrator unlocks.
const UNTIL_ADMIN: i64 = i64::MAX / 2;

/// How many people are read at once.
const PEOPLE_AT_ONCE: i64 = 500;
const DAY_SECONDS: i64 = 86_400;
/// How long a mark, and each half of a browser's name, is: 128 bits.
const MARK: usize = 22;
/// How many people one browser is known to have signed in: those who share a computer.
const KNOWN_PEOPLE: usize = 8;

/// Under which key failures of a username are counted.
pub fn login_subject(app: &App, username: &str) -> String {
    login_subject_under(&app.master, username)
}

fn login_subject_under(master: &MasterKey, username: &str) -> String {
    master.derive(Derivation::Username, &["login", &username_key(username)])
}

/// Under which key wrong one-time codes of a person are counted.
pub fn totp_subject(app: &App, person_id: &str) -> String {
    totp_subject_under(&app.master, person_id)
}

fn totp_subject_under(master: &MasterKey, person_id: &str) -> String {
    master.derive(Derivation::Username, &["totp", person_id])
}

/// Whether a person cannot go on, because of wrong passwords from browsers that are not known, or of wrong codes.
pub fn is_person_locked(app: &App, conn: &mut Conn, person: &Person) -> Stored<bool> {
    let now = app.now();
    Ok(is_locked(conn, &login_subject(app, &person.username), now)?
        || is_locked(conn, &totp_subject(app, &person.id), now)?)
}

/// Whether a subject is locked.
pub fn is_locked(conn: &mut Conn, subject: &str, now: i64) -> Stored<bool> {
    Ok(logins::find(conn, subject)?.is_some_and(|row| now < row.locked_until))
}

/// By how many characters of their keyed hash names are told apart that nobody has: 64 to the power of it.
const INVENTED: usize = 1;

fn no_failures(subject: &str, now: i64) -> Failures {
    Failures {
        subject: subject.to_owned(),
        window_started_at: now,
        purge_at: now,
        ..Failures::default()
    }
}

/// [`is_locked`], and nobody else decides about the subject until the transaction ends: of many tries at once each sees what
/// the ones before it came to.
pub fn hold(tx: &mut Tx<'_>, subject: &str, now: i64) -> Stored<bool> {
    let row = logins::lock(tx.conn(), &no_failures(subject, now))?;
    Ok(now < row.locked_until)
}

/// Whether wrong passwords lock the whole account, whatever is shown, or the password alone.
pub fn covers_account(app: &App) -> bool {
    app.config.login.lockout_covers == LockoutCovers::Account
}

/// Whether an account, and not its password alone, is locked until an administrator unlocks it.
pub fn is_locked_until_admin(app: &App, conn: &mut Conn, person: &Person) -> Stored<bool> {
    let until_admin = |row: Failures| row.locked_until >= UNTIL_ADMIN;
    Ok(covers_account(app)
        && logins::find(conn, &login_subject(app, &person.username))?.is_some_and(until_admin))
}

/// How many failures lock a subject, and whether it belongs to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Failures within the window.
    pub threshold: u32,
    /// A name that nobody has is not locked or remembered for longer than a day: nobody could unlock it.
    pub known: bool,
}

/// Counts a failure. Answers true when it locked the subject.
pub fn fail(app: &App, tx: &mut Tx<'_>, subject: &str, limit: Limit, now: i64) -> Stored<bool> {
    let login = &app.config.login;
    let mut row = logins::lock(tx.conn(), &no_failures(subject, now))?;
    if now < row.locked_until {
        return Ok(false);
    }
    if now - row.window_started_at >= login.lockout_window_seconds {
        row.failures = 0;
        row.window_started_at = now;
    }
    row.failures += 1;
    row.consecutive += 1;
    let for_good = row.consecutive >= i64::from(login.failures_in_a_row);
    let locks = for_good || row.failures >= i64::from(limit.threshold);
    if locks {
        row.failures = 0;
        row.window_started_at = now;
        row.locked_until = match login.lockout {
            _ if !limit.known => now + DAY_SECONDS,
            Lockout::Seconds(seconds) if !for_good => now + seconds,
            _ => UNTIL_ADMIN,
        };
    }
    // Failures in a row count however long ago they were.
    row.purge_at = if limit.known {
        UNTIL_ADMIN
    } else {
        now + DAY_SECONDS
    };
    logins::put(tx.conn(), &row)?;
    Ok(locks)
}

/// When somebody was here last who is dormant now, in seconds since the epoch; none: nobody ever is.
pub fn dormant_before(app: &App, now: i64) -> Option<i64> {
    let days = app.config.login.dormant_days;
    (days > 0).then(|| now - days * DAY_SECONDS)
}

/// Whether somebody was not here for too long. While it is told that many are about to be disabled, nobody is: so that who
/// signs in on that account stays.
pub fn is_dormant(app: &App, person: &Person, now: i64) -> bool {
    let told = app.dormancy_is_told.load(Ordering::Relaxed);
    !told && dormant_before(app, now).is_some_and(|before| person.idle_since <= before)
}

/// Whether somebody may sign in, by whatever means: neither disabled nor dormant.
pub fn may_sign_in(app: &App, person: &Person, now: i64) -> bool {
    person.enabled
        && app.live.agencies().is_open(person.settings.agency.as_ref())
        && !is_dormant(app, person, now)
}

/// Forgets all failures of a person, with password and code, in whatever browser. Answers whether there were some.
pub fn release(app: &App, tx: &mut Tx<'_>, person: &Person) -> Stored<bool> {
    let by_password = logins::forget_all(tx.conn(), &login_subject(app, &person.username))?;
    let by_code = logins::forget(tx.conn(), &totp_subject(app, &person.id))?;
    Ok(by_password || by_code)
}

/// Carries locks and counts of people over to another master key, from which their keys derive. What was counted for
/// names that nobody has, for browsers that are known no more and for mailed links is forgotten.
pub fn rewrap(app: &App, tx: &mut Tx<'_>, new: &MasterKey) -> Stored<()> {
    let mut carried = Vec::new();
    let mut after = String::new();
    loop {
        let people = people::page(tx.conn(), &after, PEOPLE_AT_ONCE)?;
        for person in &people {
            let (username, id) = (&person.username, &person.id);
            for (old, new) in [
                (login_subject(app, username), login_subject_under(new, username)),
                (totp_subject(app, id), totp_subject_under(new, id)),
            ] {
                carried.extend(logins::find(tx.conn(), &old)?.map(|row| Failures { subject: new, ..row }));
            }
        }
        match people.last() {
            Some(last) => after.clone_from(&last.username),
            None => break,
        }
    }
    logins::clear(tx.conn())?;
    carried.iter().try_for_each(|row| logins::put(tx.conn(), row))
}

/// A sign-in with a password, and where its failure is counted.
#[derive(Debug, Clone)]
pub struct Attempt {
    account: String,
    /// Where failures of strangers count.
    counted: String,
    /// Of a browser that has signed the person in before.
    own: Option<String>,
    limit: Limit,
}

impl Attempt {
    /// Of a username, and whose it is; `known` is what the browser keeps to be known by.
    pub fn new(app: &App, username: &str, person: Option<&Person>, known: Option<&str>) -> Self {
        let account = login_subject(app, username);
        let own = person
            .zip(known)
            .filter(|_| app.config.login.known_browsers)
            .and_then(|(person, known)| {
                let (browser, mut marks) = parts(app, known)?;
                let expected = mark(app, browser, person);
                let place = app
                    .master
                    .derive(Derivation::Username, &["browser", browser, &person.id]);
                marks
                    .any(|mark| mark == expected)
                    .then(|| format!("{account}.{place}"))
            });
        let limit = Limit {
            threshold: app.config.login.lockout_threshold,
            known: person.is_some(),
        };
        // What strangers invent is counted in a bounded number of rows: it costs as much as a name that somebody has, and
        // nobody could sign in with it anyway.
        let counted = match person {
            Some(_) => account.clone(),
            None => format!("nobody.{}", account.get(..INVENTED).unwrap_or_default()),
        };
        Self {
            account,
            counted,
            own,
            limit,
        }
    }

    /// The key of the account, for the record.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Where it counts: by itself while the browser is known and has not failed too often, else with all others.
    fn subject(&self, conn: &mut Conn, now: i64) -> Stored<&str> {
        match &self.own {
            Some(own) if !is_locked(conn, own, now)? => Ok(own),
            _ => Ok(&self.counted),
        }
    }

    /// What it is counted by, if it comes from a browser that has signed the person in before and has not failed too often.
    pub fn of_known_browser(&self, conn: &mut Conn, now: i64) -> Stored<Option<String>> {
        Ok(match &self.own {
            Some(own) if !is_locked(conn, own, now)? => Some(own.clone()),
            _ => None,
        })
    }

    /// Whether it is refused whatever the password.
    pub fn is_locked(&self, conn: &mut Conn, now: i64) -> Stored<bool> {
        let subject = self.subject(conn, now)?;
        is_locked(conn, subject, now)
    }

    /// [`Attempt::is_locked`], and nobody else decides about it until the transaction ends.
    pub fn hold(&self, tx: &mut Tx<'_>, now: i64) -> Stored<bool> {
        let subject = self.subject(tx.conn(), now)?.to_owned();
        hold(tx, &subject, now)
    }

    /// Counts its failure. Answers true when that locked something.
    pub fn fail(&self, app: &App, tx: &mut Tx<'_>, now: i64) -> Stored<bool> {
        let subject = self.subject(tx.conn(), now)?;
        Ok(fail(app, tx, subject, self.limit, now)? && self.limit.known)
    }

    /// After a success: forgets the browser's own failures, or those of all that are not known. The success of a known
    /// browser says nothing of what strangers did (§3.2.2: from the same address).
    pub fn forget(&self, tx: &mut Tx<'_>, now: i64) -> Stored<()> {
        let subject = self.subject(tx.conn(), now)?.to_owned();
        logins::forget(tx.conn(), &subject)?;
        if let Some(own) = self.own.as_ref().filter(|own| **own != subject) {
            logins::forget(tx.conn(), own)?;
        }
        Ok(())
    }
}

/// The name of a browser, and the marks of those whom it signed in. A name that we did not give is none.
fn parts<'a>(app: &App, known: &'a str) -> Option<(&'a str, impl Iterator<Item = &'a str>)> {
    let (browser, marks) = known.split_once('.')?;
    let nonce = browser.get(..MARK)?;
    (browser == named(app, nonce)).then(|| (browser, marks.split('.')))
}

/// Whether a browser says that it has signed somebody in, by a name that we gave it.
pub fn names_a_browser(app: &App, known: &str) -> bool {
    app.config.login.known_browsers && parts(app, known).is_some()
}

/// A name for a browser: random, and sealed, so that nobody else makes one.
fn named(app: &App, nonce: &str) -> String {
    let seal = app.master.derive(Derivation::KnownBrowser, &["name", nonce]);
    nonce.chars().chain(seal.chars().take(MARK)).collect()
}

/// What a browser keeps of somebody whom it signed in. It ends with a new password or other roles.
fn mark(app: &App, browser: &str, person: &Person) -> String {
    let whole = app.master.derive(
        Derivation::KnownBrowser,
        &[browser, &person.id, &person.generation.to_string()],
    );
    // One cookie has the marks of several people.
    whole.chars().take(MARK).collect()
}

/// What the browser keeps after somebody has signed in, to be known by: a random name and a mark for each person, the
/// last one first. None where browsers are not known.
pub fn known_after(app: &App, person: &Person, known: Option<&str>) -> Option<String> {
    if !app.config.login.known_browsers {
        return None;
    }
    let fresh = named(app, &app.entropy.secret().chars().take(MARK).collect::<String>());
    let (browser, others) = match known.and_then(|known| parts(app, known)) {
        Some((browser, marks)) => (browser, marks.collect()),
        None => (fresh.as_str(), Vec::new()),
    };
    let mine = mark(app, browser, person);
    let others = others
        .into_iter()
        .filter(|other| other.len() == mine.len() && *other != mine);
    let marks: Vec<&str> = std::iter::once(mine.as_str())
        .chain(others)
        .take(KNOWN_PEOPLE)
        .collect();
    Some(format!("{browser}.{}", marks.join(".")))
}
