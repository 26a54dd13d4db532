//! Signing in with username and password. Unknown, wrong, locked, disabled and dormant look and
//! take the same.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;

use super::{banner, passkey};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::audit::reason::{Reason, Why};
use crate::error::Broken;
use crate::model::network;
use crate::model::person::Person;
use crate::model::secret::Secret;
use crate::model::session::Session;
use crate::secrets::password::Verified;
use crate::secrets::password_rules;
use crate::session::lockout::{self, Attempt};
use crate::session::{self, Authentication, Due, Origin, client_address};
use crate::store::{Tx, people};
use crate::web::browser::{self, CookieKind, Notice, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::passkeys::PasskeyForm;
use crate::web::pages::{self, FormAction, FormError, LoginPage, Provider};
use crate::web::redirect_target::{self, RedirectTarget};

/// The longest username that is looked at, in bytes.
const LONGEST_USERNAME: usize = 255;

/// `GET /login`
pub async fn get(mut step: Step) -> Answered {
    if banner::is_due(&step) {
        return Ok(step.on_to(banner::PATH));
    }
    let redirect_target = redirect_target::of(&step.app, &step.pending)?;
    let errors: &[FormError] = match step.pending.notice.take() {
        None => &[],
        Some(Notice::UsernameMissing) => &[FormError::USERNAME_MISSING],
        Some(Notice::PasswordMissing) => &[FormError::PASSWORD_MISSING],
        Some(Notice::TooMany) => &[FormError::TOO_MANY_ATTEMPTS],
        Some(Notice::PageStale) => &[FormError::PAGE_STALE],
        Some(Notice::CodesExhausted) => &[FormError::CODES_EXHAUSTED],
        Some(Notice::SecondFactorLate) => &[FormError::SECOND_FACTOR_LATE],
        Some(Notice::PasskeyStale) => &[FormError::PASSKEY_STALE],
        Some(Notice::PasskeyNotAccepted) => &[FormError::PASSKEY_NOT_ACCEPTED],
        Some(Notice::ProviderSilent) => &[FormError::PROVIDER_SILENT],
        Some(Notice::ProviderDenied) => &[FormError::PROVIDER_DENIED],
        Some(Notice::ProviderCannotConfirm) => &[FormError::PROVIDER_CANNOT_CONFIRM],
        Some(Notice::ProviderNotAccepted) => &[FormError::PROVIDER_NOT_ACCEPTED],
        Some(_) => &[FormError::NOT_ACCEPTED],
    };
    let hint = step
        .pending
        .parameters()
        .and_then(|sent| sent.one("login_hint").ok().flatten())
        .unwrap_or_default()
        .to_owned();
    let username = step.pending.username.take().unwrap_or(hint);
    let (app, sealed) = (&step.app, step.sealed());
    let passkey = passkey::begin(app, &step.browser)?;
    let known = app.live.identity_providers();
    let providers: Vec<Provider<'_>> = known
        .iter()
        .map(|provider| {
            // Nobody waits for it here: whoever chooses it a moment later finds it ready.
            app.identity_providers.warm(provider, app.now());
            Provider {
                id: &provider.id,
                name: &provider.name,
                silent: app.identity_providers.is_silent(provider, app.now()),
            }
        })
        .collect();
    let page = LoginPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
        pending: &sealed,
        application: redirect_target.as_ref().map(RedirectTarget::application),
        username: &username,
        notice: None,
        passkey: passkey.as_ref().map(|begun| PasskeyForm {
            options: &begun.options,
            state: &begun.state,
        }),
        errors,
        providers: &providers,
    };
    let form_action = match RedirectTarget::form_action(redirect_target.as_ref()) {
        // Our own form sends the browser to the provider.
        FormAction::SelfOnly if !providers.is_empty() => FormAction::ThenRedirect("https:"),
        other => other,
    };
    Ok(pages::respond(&page, StatusCode::OK, form_action))
}

/// `POST /login`
pub async fn post(mut step: Step, form: PostedForm) -> Answered {
    let username = form.field("username")?.trim().to_owned();
    let password = Secret::new(form.field("password")?);
    if banner::is_due(&step) {
        return Ok(step.on_to(banner::PATH));
    }
    step.pending.username = Some(username.chars().take(LONGEST_USERNAME).collect());
    let back = |step: Step, notice| Ok(step.back_to("/login", notice));
    if username.is_empty() {
        return back(step, Notice::UsernameMissing);
    }
    if password.reveal().is_empty() {
        return back(step, Notice::PasswordMissing);
    }
    let (app, request) = (Arc::clone(&step.app), &step.request);
    let address = client_address::of(&app, request);
    let known = browser::cookie(&app, request, CookieKind::Known);
    let limit = app.config.login.address_attempts_per_minute;
    // A browser that has signed her in before has a count of its own, whatever others behind the address do.
    let counts = &app.failure_counts;
    let under_way = match of_known_browser(&app, &username, known.as_deref()).await? {
        Some(browser) if counts.call(&browser, app.now()) > limit => return back(step, Notice::TooMany),
        Some(_) => None,
        None => match counts.reserve_in_turn(address, limit, || app.now()).await {
            None => return back(step, Notice::TooMany),
            under_way => under_way,
        },
    };
    if username.len() > LONGEST_USERNAME || password.reveal().len() > password_rules::LONGEST {
        return back(step, Notice::NotAccepted);
    }
    let at = At {
        address,
        origin: Origin::of(&app, request),
        replaced: browser::session_hash(&app, request),
        known,
    };
    let Some(signed_in) = check(&app, &username, password, at).await? else {
        return back(step, Notice::NotAccepted);
    };
    if under_way.is_some() {
        app.failure_counts.release(address, app.now());
    }
    let mut cookies = vec![browser::set_cookie(&app, CookieKind::Session, &signed_in.cookie)];
    cookies.extend(
        signed_in
            .known
            .map(|known| browser::set_cookie(&app, CookieKind::Known, &known)),
    );
    step.pending.signed_in(signed_in.session_hash);
    Ok(if signed_in.second_factor_due {
        step.on_to_with(Due::SecondFactor.path(), &cookies)
    } else {
        step.onward(&cookies)
    })
}

/// What a browser that has signed somebody in before is counted by. Strangers have no name of ours, and cause no reading.
async fn of_known_browser(
    app: &Arc<App>,
    username: &str,
    known: Option<&str>,
) -> Result<Option<String>, Broken> {
    let is_ours = |known: &&str| username.len() <= LONGEST_USERNAME && lockout::names_a_browser(app, known);
    let Some(known) = known.filter(is_ours) else {
        return Ok(None);
    };
    let (job_app, username, known, now) = (Arc::clone(app), username.to_owned(), known.to_owned(), app.now());
    app.store
        .read(move |conn| {
            let person = people::find_by_username(conn, &username)?;
            Attempt::new(&job_app, &username, person.as_ref(), Some(&known)).of_known_browser(conn, now)
        })
        .await
}

/// Where a password was typed.
struct At {
    address: IpAddr,
    origin: Origin,
    /// Hash of the session that the browser had.
    replaced: Option<String>,
    /// Whom the browser says to have signed in before.
    known: Option<String>,
}

struct SignedIn {
    session_hash: String,
    cookie: String,
    second_factor_due: bool,
    /// What the browser keeps to be known by.
    known: Option<String>,
}

/// Compares the password and writes down what came of it, in one transaction that decides about the lock once more.
async fn check(app: &Arc<App>, username: &str, password: Secret, at: At) -> Result<Option<SignedIn>, Broken> {
    let now = app.now();
    let (job_app, typed, known) = (Arc::clone(app), username.to_owned(), at.known.clone());
    let (person, attempt, locked) = app
        .store
        .read(move |conn| {
            let person = people::find_by_username(conn, &typed)?;
            let attempt = Attempt::new(&job_app, &typed, person.as_ref(), known.as_deref());
            let locked = attempt.is_locked(conn, now)?;
            Ok((person, attempt, locked))
        })
        .await?;
    // Hashed in any case: the time must not tell whether the account exists, is locked, disabled or dormant.
    let stored = person.as_ref().and_then(|person| person.password.clone());
    let verified = app
        .hasher
        .verify(network::of(at.address), password, stored)
        .await?;
    let accepted = person
        .as_ref()
        .filter(|person| lockout::may_sign_in(app, person, now) && !locked);
    match (accepted, verified) {
        (Some(person), Verified::Right(rehashed)) => succeed(app, person, rehashed, attempt, at).await,
        _ => fail(app, person.as_ref(), locked, attempt, at.address)
            .await
            .map(|()| None),
    }
}

async fn succeed(
    app: &Arc<App>,
    person: &Person,
    rehashed: Option<String>,
    attempt: Attempt,
    at: At,
) -> Result<Option<SignedIn>, Broken> {
    let (session, cookie) = session::begin(app, person, &at.origin, Authentication::by(&["pwd"], false));
    let known = lockout::known_after(app, person, at.known.as_deref());
    let session_hash = session.hash.clone();
    let event = app
        .event(Kind::LoginSucceeded, Actor::Person(person.id.clone()))
        .from(at.origin.address)
        .with("amr", "pwd");
    // Nobody gets here without (NIST SP 800-53 AC-8).
    let event = if app.config.server.banner.is_some() {
        event.with("notice", "acknowledged")
    } else {
        event
    };
    let (job_app, id, generation) = (Arc::clone(app), person.id.clone(), person.generation);
    let written = app.store.write(move |tx| {
        let now = job_app.now();
        let refused = |tx: &mut Tx<'_>, (reason, text): Why| {
            let failed = Event {
                kind: Kind::LoginFailed,
                actor: Actor::Stranger,
                ..event.clone()
            };
            tx.audit(
                failed
                    .outcome(Outcome::MinorFailure)
                    .person(&id)
                    .because(reason, text),
            );
            Ok(None)
        };
        // Changed or locked while the password was hashed: then it does not count.
        let current = people::lock(tx.conn(), &id)?.filter(|current| current.generation == generation);
        let Some(current) = current.filter(|current| lockout::may_sign_in(&job_app, current, now)) else {
            return refused(tx, (Reason::Other, "account changed meanwhile"));
        };
        if attempt.hold(tx, now)? {
            return refused(tx, (Reason::Locked, "account locked"));
        }
        let second_factor_due = session::has_second_factor(tx.conn(), &current)?;
        let session = Session {
            second_factor_due,
            ..session.clone()
        };
        attempt.forget(tx, now)?;
        if let Some(phc) = &rehashed {
            people::rehashed(tx.conn(), &id, generation, phc)?;
        }
        if !session::record_anew(&job_app, tx, &session, at.replaced.as_deref())? {
            return refused(tx, (Reason::Other, "the browser's session was used up meanwhile"));
        }
        tx.audit(
            event
                .clone()
                .with("second_factor", if second_factor_due { "due" } else { "none" }),
        );
        Ok(Some(second_factor_due))
    });
    let signed_in = |second_factor_due| SignedIn {
        session_hash,
        cookie,
        second_factor_due,
        known,
    };
    Ok(written.await?.map(signed_in))
}

/// Counts a failure against the account and the address.
async fn fail(
    app: &Arc<App>,
    person: Option<&Person>,
    locked: bool,
    attempt: Attempt,
    address: IpAddr,
) -> Result<(), Broken> {
    let (reason, text) = match person {
        None => (Reason::UnknownUsername, "unknown username"),
        Some(person) if !person.enabled => (Reason::Disabled, "account disabled"),
        Some(_) if locked => (Reason::Locked, "account locked"),
        Some(person) if lockout::is_dormant(app, person, app.now()) => (Reason::Dormant, "account dormant"),
        Some(_) => (Reason::WrongPassword, "wrong password"),
    };
    // A username that nobody has is recorded as its keyed hash: people type passwords there. It is told apart by that as
    // accounts are, so that both cause the same writes.
    let noted = app.failure_counts.note(
        address,
        person.map_or(Failed::SignIn(attempt.account()), |person| {
            Failed::Account(&person.id)
        }),
        app.now(),
    );
    let described = |event: Event| {
        let event = event
            .outcome(Outcome::MinorFailure)
            .from(address.to_string())
            .because(reason, text);
        match person {
            Some(person) => event.person(&person.id),
            None => event.with("username_hash", attempt.account().to_owned()),
        }
    };
    let failed = (noted == Noted::First).then(|| described(app.event(Kind::LoginFailed, Actor::Stranger)));
    let locks = described(app.event(Kind::LoginLocked, Actor::Stranger)).outcome(Outcome::SeriousFailure);
    let job_app = Arc::clone(app);
    app.store
        .write(move |tx| {
            failed.iter().for_each(|event| tx.audit(event.clone()));
            if attempt.fail(&job_app, tx, job_app.now())? {
                tx.audit(locks.clone());
            }
            Ok(())
        })
        .await
}
