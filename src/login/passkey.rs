//! Signing in with a passkey: alone, without a username, or as the second factor. An answer works once, the counter of
//! the authenticator must go forward, and what is refused looks the same whatever the reason.

use std::net::IpAddr;
use std::sync::Arc;

use super::banner;
use super::proof::{self, Met, Proof};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::audit::reason::{Reason, Why};
use crate::error::{Broken, PageError};
use crate::model::person::Person;
use crate::model::session::Session;
use crate::session::lockout::{self, Limit};
use crate::session::{self, Authentication, Due, Origin, client_address};
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::{Conn, Stored, Tx, logins, people};
use crate::web::browser::{self, CookieKind, Notice, PostedForm};
use crate::web::page::{Answered, Step};
use crate::webauthn::{Assertion, Begun, Ceremony, PasskeyRefused, Used};

/// What a passkey stands for (RFC 8176): the key that was shown to be there, and its user who was verified.
pub const METHODS: [&str; 2] = ["pop", "mfa"];

/// The ceremony of a login page; none where passkeys are not possible.
///
/// # Errors
/// A defect.
pub fn begin(app: &App, browser: &str) -> Result<Option<Begun>, Broken> {
    let begin =
        |passkeys: &crate::webauthn::RelyingParty| passkeys.begin_using(Ceremony::SigningIn, &[], browser);
    app.passkeys.as_ref().map(begin).transpose()
}

/// The ceremony of the second factor of a person; none without passkeys.
pub async fn begin_second_factor(app: &App, person: &Person, browser: &str) -> Result<Option<Begun>, Broken> {
    let id = person.id.clone();
    let own = app.store.read(move |conn| passkeys::of_person(conn, &id)).await?;
    match &app.passkeys {
        Some(relying_party) if !own.is_empty() => relying_party
            .begin_using(Ceremony::SecondFactor(&person.id), &own, browser)
            .map(Some),
        _ => Ok(None),
    }
}

/// `POST /login/passkey`
pub async fn post(mut step: Step, form: PostedForm) -> Answered {
    if banner::is_due(&step) {
        return Ok(step.on_to(banner::PATH));
    }
    let (app, request) = (&step.app, &step.request);
    let address = client_address::of(app, request);
    let credential = form.field("credential")?;
    if credential.is_empty() {
        return Ok(step.back_to("/login", Notice::PasskeyStale));
    }
    if !app
        .failure_counts
        .reserve(address, app.config.login.address_attempts_per_minute, app.now())
    {
        return Ok(step.back_to("/login", Notice::TooMany));
    }
    let shown = match show(app, &form, credential, None).await? {
        Shown::Stale => return Ok(step.back_to("/login", Notice::PasskeyStale)),
        shown => shown,
    };
    let signed_in = match shown {
        Shown::Known(person, passkey, outcome) => {
            let at = At {
                origin: Origin::of(app, request),
                address,
                replaced: browser::session_hash(app, request),
                known: browser::cookie(app, request, CookieKind::Known),
            };
            record(app, *person, (passkey, outcome), at).await?
        }
        _ => {
            note_unknown(app, address).await?;
            None
        }
    };
    let Some(signed_in) = signed_in else {
        return Ok(step.back_to("/login", Notice::PasskeyNotAccepted));
    };
    app.failure_counts.release(address, app.now());
    let mut cookies = vec![browser::set_cookie(app, CookieKind::Session, &signed_in.cookie)];
    cookies.extend(
        signed_in
            .known
            .map(|known| browser::set_cookie(app, CookieKind::Known, &known)),
    );
    step.pending.signed_in(signed_in.session_hash);
    Ok(step.onward(&cookies))
}

/// What a browser showed.
enum Shown {
    /// The page was too old.
    Stale,
    /// A passkey that nobody has here.
    Unknown,
    /// A passkey of a person, with what its answer is worth.
    Known(Box<Person>, StoredPasskey, Result<Used, PasskeyRefused>),
}

/// Finds the passkey that an answer names and checks the answer; `of`: only those of this person are known.
async fn show(
    app: &App,
    form: &PostedForm,
    credential: &str,
    of: Option<&Person>,
) -> Result<Shown, PageError> {
    let (Some(relying_party), Ok(assertion)) = (&app.passkeys, Assertion::parse(credential)) else {
        return Ok(Shown::Unknown);
    };
    let id = assertion.credential_id();
    let found = app.store.read(move |conn| match passkeys::find(conn, &id)? {
        Some(passkey) => Ok(people::find(conn, &passkey.person_id)?.map(|person| (person, passkey))),
        None => Ok(None),
    });
    let found = found
        .await?
        .filter(|(person, _)| of.is_none_or(|of| of.id == person.id));
    let Some((person, passkey)) = found else {
        return Ok(Shown::Unknown);
    };
    let ceremony = of.map_or(Ceremony::SigningIn, |of| Ceremony::SecondFactor(&of.id));
    let state = form.field("ceremony")?;
    match relying_party.finish_using(ceremony, &form.browser, state, (&assertion, &passkey)) {
        Err(PasskeyRefused::Stale) => Ok(Shown::Stale),
        outcome => Ok(Shown::Known(Box::new(person), passkey, outcome)),
    }
}

/// Uses an answer up, in the write that accepts it; or says why it does not count.
fn use_up(app: &App, tx: &mut Tx<'_>, passkey: &StoredPasskey, used: &Used) -> Stored<Option<Why>> {
    if !used.once.burn(tx.conn())? {
        return Ok(Some((Reason::Passkey, "passkey: this answer was used before")));
    }
    let changed = !passkeys::used(tx.conn(), passkey, &used.credential, app.now())?;
    Ok(changed.then_some((
        Reason::Passkey,
        "passkey: it was removed, or used elsewhere at the same time",
    )))
}

/// Where a passkey was shown.
struct At {
    origin: Origin,
    address: IpAddr,
    /// Hash of the session that the browser had.
    replaced: Option<String>,
    /// Whom the browser says to have signed in before.
    known: Option<String>,
}

struct SignedIn {
    session_hash: String,
    cookie: String,
    /// What the browser keeps to be known by.
    known: Option<String>,
}

/// Why a person may not sign in now, whatever she shows.
fn why_not(app: &App, conn: &mut Conn, person: &Person, known: Option<&str>) -> Stored<Option<Why>> {
    let now = app.now();
    let current = people::find(conn, &person.id)?.filter(|current| current.generation == person.generation);
    if !current
        .as_ref()
        .is_some_and(|current| lockout::may_sign_in(app, current, now))
    {
        let dormant = current.is_some_and(|current| current.enabled);
        let reason = if dormant {
            Reason::Dormant
        } else {
            Reason::Disabled
        };
        return Ok(Some((reason, "account disabled or dormant")));
    }
    if person.is_of_provider_alone() {
        return Ok(Some((
            Reason::Passkey,
            "the account is an identity provider's: a passkey counts on top of its sign-in alone",
        )));
    }
    // By passwords that others guess, which is no reason to doubt a passkey (NIST SP 800-63B-4 §3.2.2).
    let by_password = lockout::covers_account(app)
        && lockout::Attempt::new(app, &person.username, Some(person), known).is_locked(conn, now)?;
    let locked = by_password || lockout::is_locked(conn, &lockout::totp_subject(app, &person.id), now)?;
    Ok(locked.then_some((Reason::Locked, "account locked")))
}

/// One write decides, and makes the session or records the failure.
async fn record(
    app: &Arc<App>,
    person: Person,
    (passkey, outcome): (StoredPasskey, Result<Used, PasskeyRefused>),
    at: At,
) -> Result<Option<SignedIn>, Broken> {
    let (session, cookie) = session::begin(app, &person, &at.origin, Authentication::by(&METHODS, true));
    let known = lockout::known_after(app, &person, at.known.as_deref());
    let signed_in = SignedIn {
        session_hash: session.hash.clone(),
        cookie,
        known,
    };
    // What only the write can refuse is recorded singly: it costs a passkey that holds.
    let first = outcome.is_ok()
        || app
            .failure_counts
            .note(at.address, Failed::Account(&person.id), app.now())
            == Noted::First;
    let event = app
        .event(Kind::LoginSucceeded, Actor::Person(person.id.clone()))
        .from(at.origin.address);
    let event = event.with("passkey", &passkey.name);
    // As with a password: nobody gets here without (NIST SP 800-53 AC-8).
    let event = if app.config.server.banner.is_some() {
        event.with("notice", "acknowledged")
    } else {
        event
    };
    let job_app = Arc::clone(app);
    let accepted = app.store.write(move |tx| {
        // The person first, then what failed, as everywhere: what is tried at the same time is decided before or after.
        people::lock(tx.conn(), &person.id)?;
        lockout::hold(tx, &lockout::totp_subject(&job_app, &person.id), job_app.now())?;
        let barred = why_not(&job_app, tx.conn(), &person, at.known.as_deref())?;
        let refused = match (barred, &outcome) {
            (Some(barred), _) => Some(barred),
            (None, Ok(used)) => use_up(&job_app, tx, &passkey, used)?,
            (None, Err(refusal)) => Some((Reason::Passkey, refusal.why())),
        };
        let Some((reason, text)) = refused else {
            // Another request may have used the browser's session up.
            let recorded = session::record_anew(&job_app, tx, &session, at.replaced.as_deref())?;
            if recorded {
                logins::forget(tx.conn(), &lockout::totp_subject(&job_app, &person.id))?;
                tx.audit(event.clone().with("amr", METHODS.join(" ")));
            }
            return Ok(recorded);
        };
        let copied = matches!(outcome, Err(PasskeyRefused::Copied));
        let failure = Event {
            actor: Actor::Stranger,
            ..event.clone()
        }
        .because(reason, text);
        if first || copied {
            let outcome = if copied {
                Outcome::SeriousFailure
            } else {
                Outcome::MinorFailure
            };
            tx.audit(Event {
                kind: Kind::LoginFailed,
                outcome,
                ..failure.clone()
            });
        }
        // Nobody guesses a signature, and what names a passkey is no secret: only a copy counts.
        if copied && barred.is_none() && count(&job_app, tx, &person)? {
            tx.audit(Event {
                kind: Kind::LoginLocked,
                outcome: Outcome::SeriousFailure,
                ..failure
            });
        }
        Ok(false)
    });
    Ok(accepted.await?.then_some(signed_in))
}

/// Counts a passkey that may have been copied like a wrong code. Answers whether that locked the account.
fn count(app: &App, tx: &mut Tx<'_>, person: &Person) -> Stored<bool> {
    let limit = Limit {
        threshold: app.config.login.totp_attempts,
        known: true,
    };
    lockout::fail(app, tx, &lockout::totp_subject(app, &person.id), limit, app.now())
}

/// Counts a passkey that nobody has against the address.
async fn note_unknown(app: &App, address: IpAddr) -> Result<(), Broken> {
    if app
        .failure_counts
        .note(address, Failed::SignIn("unknown passkey"), app.now())
        == Noted::Counted
    {
        return Ok(());
    }
    let event = app
        .event(Kind::LoginFailed, Actor::Stranger)
        .outcome(Outcome::MinorFailure);
    let event = event
        .from(address.to_string())
        .because(Reason::Passkey, "unknown passkey");
    app.store
        .write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        })
        .await
}

/// `POST /login/second-factor/passkey`
pub async fn post_second_factor(step: Step, form: PostedForm) -> Answered {
    let Some(loaded) = proof::awaited(&step).await? else {
        return proof::not_awaited(step).await;
    };
    let credential = form.field("credential")?;
    if credential.is_empty() {
        return Ok(step.back_to(Due::SecondFactor.path(), Notice::PasskeyStale));
    }
    let app = &step.app;
    let shown = match show(app, &form, credential, Some(&loaded.person)).await? {
        Shown::Stale => return Ok(step.back_to(Due::SecondFactor.path(), Notice::PasskeyStale)),
        shown => shown,
    };
    let origin = Origin::of(app, &step.request);
    let copied = failed_seriously(app, &loaded.person, &origin);
    let (job_app, methods) = (Arc::clone(app), missing(&loaded.session));
    let met = proof::complete(
        app,
        &loaded,
        &origin,
        (Proof::Passkey, &methods),
        move |tx| match &shown {
            Shown::Known(_, passkey, Ok(used)) => use_up(&job_app, tx, passkey, used),
            Shown::Known(_, passkey, Err(refusal)) => {
                if *refusal == PasskeyRefused::Copied {
                    tx.audit(copied.clone().with("passkey", &passkey.name));
                }
                Ok(Some((Reason::Passkey, refusal.why())))
            }
            _ => Ok(Some((Reason::Passkey, "passkey: it is not one of this account"))),
        },
    );
    match met.await? {
        Met::Refused => Ok(step.back_to(Due::SecondFactor.path(), Notice::PasskeyNotAccepted)),
        met => Ok(proof::go_on(step, met)),
    }
}

fn failed_seriously(app: &App, person: &Person, origin: &Origin) -> Event {
    let event = app
        .event(Kind::LoginFailed, Actor::Person(person.id.clone()))
        .outcome(Outcome::SeriousFailure);
    event
        .from(origin.address.clone())
        .because(Reason::Passkey, PasskeyRefused::Copied.why())
}

/// What a passkey adds to the methods of a session.
pub fn missing(session: &Session) -> Vec<&'static str> {
    METHODS
        .into_iter()
        .filter(|method| !session.used(method))
        .collect()
}
