//! What a second factor proves, whichever it is: a one-time code, a passkey or a recovery code. Each works once, tries are
//! limited, and the session gets a new cookie. [`complete`] is the one write that decides.

use std::sync::Arc;

use actix_web::HttpResponse;

use super::freshness;
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::reason::{Reason, Why};
use crate::error::{Broken, PageError};
use crate::model::session::Session;
use crate::session::{self, Authentication, Loaded, Origin, lockout};
use crate::store::{Stored, Tx, logins, people, sessions};
use crate::web::browser::{self, CookieKind, Notice};
use crate::web::guard;
use crate::web::page::{Answered, Step};

/// Whether a second factor is still to be shown.
fn is_awaited(loaded: &Loaded) -> bool {
    loaded.has_second_factor() && !loaded.session.has_second_factor()
}

/// The session whose second factor is awaited, and may still come for what the person signs in for.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn awaited(step: &Step) -> Result<Option<Loaded>, PageError> {
    let (app, pending) = (&step.app, &step.pending);
    let loaded = guard::session_of(app, &step.request).await?;
    Ok(loaded.filter(|loaded| is_awaited(loaded) && !freshness::is_too_late(app, pending, loaded)))
}

/// Where somebody goes of whom no second factor is awaited. Who came too late with it, or has none any more though it
/// was due, begins anew.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn not_awaited(step: Step) -> Answered {
    let loaded = guard::session_of(&step.app, &step.request).await?;
    Ok(match loaded {
        Some(loaded) if is_awaited(&loaded) => step.back_to("/login", Notice::SecondFactorLate),
        Some(loaded) if loaded.session.second_factor_due => step.on_to("/login"),
        _ => step.onward(&[]),
    })
}

/// How a second factor was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// With the session's new cookie and its hash.
    Accepted {
        /// The value of the cookie.
        cookie: String,
        /// The session's new hash.
        hash: String,
    },
    /// Refused: tries are left.
    Refused,
    /// Too many wrong ones: the sign-in starts over.
    Locked,
}

/// Where it goes on after a second factor that was accepted, or was wrong too often.
pub fn go_on(mut step: Step, met: Met) -> HttpResponse {
    match met {
        Met::Accepted { cookie, hash } => {
            step.pending.authenticated = Some(hash);
            step.pending.notice = None;
            let cookie = browser::set_cookie(&step.app, CookieKind::Session, &cookie);
            step.onward(&[cookie])
        }
        Met::Refused | Met::Locked => step.back_to("/login", Notice::CodesExhausted),
    }
}

/// What is shown, which decides what it makes of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A code was shown. It completes the sign-in and makes it no younger: who finds a telephone has not signed in.
    Code,
    /// A passkey was shown that verified its holder. With an account of ours that is a whole sign-in; with one that only a
    /// provider's sign-in leads to, it completes that.
    Passkey,
    /// A second factor was set up. Whoever sits at the browser can do that, so the sign-in gets no younger by it.
    SetUp,
}

/// What a session stands for after another method on top of what it had.
fn on_top(
    app: &App,
    loaded: &Loaded,
    origin: &Origin,
    (proof, methods): (Proof, &[&str]),
) -> (Session, String) {
    let old = &loaded.session;
    let counts = proof != Proof::SetUp || !old.has_second_factor();
    let new = methods
        .iter()
        .copied()
        .filter(|method| counts && !old.used(method));
    let amr: Vec<&str> = old.amr.iter().map(String::as_str).chain(new).collect();
    let how = Authentication {
        identity_provider: old.identity_provider.clone(),
        ..Authentication::by(&amr, true)
    };
    let (next, cookie) = session::begin(app, &loaded.person, origin, how);
    let now = next.auth_time;
    let renews = proof == Proof::Passkey && !loaded.person.is_of_provider_alone();
    let second_factor_at = match proof {
        Proof::Code | Proof::Passkey if renews => None,
        Proof::Code | Proof::Passkey => Some(now),
        Proof::SetUp => old.second_factor_at,
    };
    (
        Session {
            id: old.id.clone(),
            created_at: old.created_at,
            auth_time: if renews { now } else { old.auth_time },
            second_factor_at,
            ..next
        },
        cookie,
    )
}

/// Whether something may still be set up: nothing has changed since the page was sent. Nothing is written otherwise.
fn may_set_up(tx: &mut Tx<'_>, loaded: &Loaded) -> Stored<bool> {
    let (person, session) = (&loaded.person, &loaded.session);
    let Some(current) = people::lock(tx.conn(), &person.id)? else {
        return Ok(false);
    };
    let has_factor = session::has_second_factor(tx.conn(), &current)?;
    Ok(current.enabled
        && current.generation == person.generation
        && (session.has_second_factor() || !has_factor)
        && sessions::lock(tx.conn(), &session.hash)?.is_some())
}

/// One write decides: whether tries are left, whether what was shown still counts, and the session's new cookie.
/// `use_up` uses it up, or says why it does not count.
pub async fn complete(
    app: &Arc<App>,
    loaded: &Loaded,
    origin: &Origin,
    (proof, methods): (Proof, &[&str]),
    mut use_up: impl FnMut(&mut Tx<'_>) -> Stored<Option<Why>> + Send + 'static,
) -> Result<Met, Broken> {
    let (next, cookie) = on_top(app, loaded, origin, (proof, methods));
    let subject = lockout::totp_subject(app, &loaded.person.id);
    let event = |kind| {
        app.event(kind, Actor::Person(loaded.person.id.clone()))
            .from(origin.address.clone())
    };
    let accepted = event(Kind::LoginSucceeded).with("amr", next.amr.join(" "));
    let failed = event(Kind::LoginFailed).outcome(Outcome::MinorFailure);
    let ended = event(Kind::SessionEnded).with("reason", "too many wrong codes");
    let locked = event(Kind::LoginLocked)
        .outcome(Outcome::SeriousFailure)
        .with("reason", "too many wrong codes");
    let (job_app, loaded) = (Arc::clone(app), loaded.clone());
    let written = app.store.write(move |tx| {
        let (now, old) = (job_app.now(), &loaded.session);
        // The person first, then what failed: one order everywhere.
        people::lock(tx.conn(), &loaded.person.id)?;
        if lockout::hold(tx, &subject, now)? {
            session::end_with(&job_app, tx, old, &ended)?;
            tx.audit(
                failed
                    .clone()
                    .because(Reason::Locked, "locked after too many wrong codes"),
            );
            return Ok(Met::Locked);
        }
        if proof == Proof::SetUp && !may_set_up(tx, &loaded)? {
            tx.audit(
                failed
                    .clone()
                    .because(Reason::Other, "the account or the session was changed meanwhile"),
            );
            return Ok(Met::Refused);
        }
        let (reason, text) = match use_up(tx)? {
            // Another request may have used the session up: its cookie is good for one second factor.
            None if session::record(&job_app, tx, &next, Some(old))? => {
                logins::forget(tx.conn(), &subject)?;
                if !old.has_second_factor() {
                    tx.audit(accepted.clone());
                }
                // Sessions from before the first second factor were opened by the password alone.
                if proof == Proof::SetUp && !loaded.has_second_factor() {
                    session::end_all(&job_app, tx, &loaded.person.id, Some(&old.id))?;
                }
                return Ok(Met::Accepted {
                    cookie: cookie.clone(),
                    hash: next.hash.clone(),
                });
            }
            None => (Reason::Other, "the sign-in was completed by another request"),
            Some(why) => why,
        };
        tx.audit(failed.clone().because(reason, text));
        let limit = lockout::Limit {
            threshold: job_app.config.login.totp_attempts,
            known: true,
        };
        if lockout::fail(&job_app, tx, &subject, limit, now)? {
            session::end_with(&job_app, tx, old, &ended)?;
            tx.audit(locked.clone());
            return Ok(Met::Locked);
        }
        Ok(Met::Refused)
    });
    written.await
}
