//! A password that somebody changes who is signed in: because she wants to, or because it has expired. The session goes
//! on with a new cookie; the others end, and so does what applications were allowed.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::form::{
    Ask, CHANGE_PATH, Carried, EXPIRED_PATH, PasswordMistake, ask, cookies, judge, page_url, typed,
};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::audit::reason::Reason;
use crate::error::PageError;
use crate::model::network;
use crate::model::person::{Person, SET_BY_ANOTHER};
use crate::model::secret::{Secret, SecretHash};
use crate::model::session::Session;
use crate::registry::{Registry, people};
use crate::secrets::password::Verified;
use crate::secrets::password_rules::LONGEST;
use crate::session::lockout::Attempt;
use crate::session::{self, Due, client_address, notices};
use crate::store::sessions;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::guard::{self, SignedIn};
use crate::web::page::{Answered, Own, Step};
use crate::web::pages::links::NoticePage;
use crate::web::pages::{self, FormAction};
use crate::web::redirect_target::{self, RedirectTarget};

/// How fresh the sign-in must be, in seconds.
pub const FRESH: i64 = 900;

/// `GET /account/password`
pub async fn get(own: Own) -> Answered {
    let (app, request, signed_in) = (&own.app, &own.request, &own.signed_in);
    let carried = Carried::of_query(app, request, &signed_in.browser)?.unwrap_or_else(|| Carried::new(app));
    if carried.done {
        let mut paragraphs = vec![
            "You are still signed in here, and signed out everywhere else.",
            "Applications that stayed connected will ask you to sign in again.",
        ];
        if signed_in.person.has_second_factor(signed_in.has_passkey) {
            paragraphs.push(notices::CHECK_THE_REST);
        }
        return Ok(tell(app, signed_in, "Your password was changed", &paragraphs));
    }
    if signed_in.person.password.is_none() {
        let text = "You do not sign in with a password here. If you sign in through your agency, change the password that \
                    you use there.";
        return Ok(tell(app, signed_in, "Your account has no password", &[text]));
    }
    Ok(ask(
        app,
        &Ask {
            heading: "Change your password",
            action: CHANGE_PATH,
            person: &signed_in.person,
            has_passkey: signed_in.has_passkey,
            browser: &signed_in.browser,
            carried: &carried,
            pending: None,
            form_action: FormAction::SelfOnly,
        },
    ))
}

fn tell(app: &App, signed_in: &SignedIn, heading: &str, paragraphs: &[&str]) -> HttpResponse {
    let csrf = browser::csrf_token(app, &signed_in.browser);
    let shell = browser::shell_of(app, &signed_in.person, &csrf);
    let page = NoticePage {
        shell,
        heading,
        paragraphs,
        link: Some(("/account", "Back to my access")),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// `POST /account/password`
pub async fn post(own: Own, form: PostedForm) -> Answered {
    let (app, request, signed_in) = (&own.app, &own.request, &own.signed_in);
    if signed_in.person.password.is_none() {
        return Ok(browser::see_other(CHANGE_PATH, &[]));
    }
    let carried = Carried::open(app, form.field("state")?, &form.browser)?;
    let back = |problem: PasswordMistake| {
        let carried = Carried {
            problem: Some(problem),
            ..carried.clone()
        };
        browser::see_other(
            &page_url(CHANGE_PATH, &[("state", &carried.seal(app, &form.browser))]),
            &[],
        )
    };
    if let Err(problem) = check_current(app, request, &form, &signed_in.person).await? {
        return Ok(back(problem));
    }
    let password = match typed(&form)? {
        Ok(password) => password,
        Err(problem) => return Ok(back(problem)),
    };
    let at = At {
        request,
        session: &signed_in.session,
        person: &signed_in.person,
        has_passkey: signed_in.has_passkey,
    };
    Ok(match set(app, at, password).await? {
        Err(problem) => back(problem),
        Ok(renewed) => {
            let done = Carried {
                done: true,
                ..Carried::new(app)
            }
            .seal(app, &form.browser);
            browser::see_other(&page_url(CHANGE_PATH, &[("state", &done)]), &renewed.cookies)
        }
    })
}

/// The current password, once more: whoever finds a browser open must not get the account. Failures count as failed
/// sign-ins.
async fn check_current(
    app: &Arc<App>,
    request: &HttpRequest,
    form: &PostedForm,
    person: &Person,
) -> Result<Result<(), PasswordMistake>, PageError> {
    let current = Secret::new(form.field("current")?);
    let (address, known) = (
        client_address::of(app, request),
        browser::cookie(app, request, CookieKind::Known),
    );
    if current.reveal().is_empty() {
        return Ok(Err(PasswordMistake::CurrentMissing));
    }
    if !app
        .failure_counts
        .reserve(address, app.config.login.address_attempts_per_minute, app.now())
    {
        return Ok(Err(PasswordMistake::TooMany));
    }
    if current.reveal().len() > LONGEST {
        return Ok(Err(PasswordMistake::CurrentWrong));
    }
    let attempt = Attempt::new(app, &person.username, Some(person), known.as_deref());
    let (counted, now) = (attempt.clone(), app.now());
    let locked = app.store.read(move |conn| counted.is_locked(conn, now)).await?;
    let verified = app
        .hasher
        .verify(network::of(address), current, person.password.clone())
        .await?;
    let (right, now) = (matches!(verified, Verified::Right(_)), app.now());
    let held = attempt.clone();
    // Locked by what was tried at the same time counts as well.
    let locked = locked || (right && app.store.write(move |tx| held.hold(tx, now)).await?);
    if right && !locked {
        app.failure_counts.release(address, now);
        return Ok(Ok(()));
    }
    let first = app.failure_counts.note(address, Failed::Account(&person.id), now) == Noted::First;
    let actor = Actor::Person(person.id.clone());
    let event = |kind, outcome| {
        app.event(kind, actor.clone())
            .outcome(outcome)
            .from(address.to_string())
    };
    let (reason, text) = if locked {
        (Reason::Locked, "account locked")
    } else {
        (Reason::WrongPassword, "wrong current password")
    };
    let failed = first.then(|| event(Kind::LoginFailed, Outcome::MinorFailure).because(reason, text));
    let locks = event(Kind::LoginLocked, Outcome::SeriousFailure).because(reason, text);
    let job_app = Arc::clone(app);
    app.store
        .write(move |tx| {
            failed.iter().for_each(|event| tx.audit(event.clone()));
            if attempt.fail(&job_app, tx, job_app.now())? {
                tx.audit(locks.clone());
            }
            Ok(())
        })
        .await?;
    Ok(Err(PasswordMistake::CurrentWrong))
}

/// Whose password is set, and in which session.
#[derive(Clone, Copy)]
struct At<'a> {
    request: &'a HttpRequest,
    session: &'a Session,
    person: &'a Person,
    has_passkey: bool,
}

/// The session after the change.
struct Renewed {
    hash: String,
    /// Its cookie, and what the browser is known by.
    cookies: Vec<Cookie<'static>>,
}

/// Sets the password. The session goes on under its id, with a new cookie and the new generation.
async fn set(
    app: &Arc<App>,
    at: At<'_>,
    password: Secret,
) -> Result<Result<Renewed, PasswordMistake>, PageError> {
    let address = client_address::of(app, at.request);
    let hashed = match judge(app, at.person, at.has_passkey, &password, address).await? {
        Ok(hashed) => hashed,
        Err(problem) => return Ok(Err(problem)),
    };
    let cookie = app.entropy.secret();
    let hash = SecretHash::of(&cookie).as_str().to_owned();
    let registry =
        Registry::new(Arc::clone(app), Actor::Person(at.person.id.clone())).keeping(&at.session.id);
    let (old, before, new_hash) = (at.session.clone(), at.person.clone(), hash.clone());
    let done = registry.run(move |registry, tx| {
        let app = registry.app();
        // Another request may have used the cookie up, or changed the account; none may do so from here on.
        let current = crate::store::people::lock(tx.conn(), &before.id)?;
        let holds = sessions::lock(tx.conn(), &old.hash)?.is_some();
        let unchanged =
            current.is_some_and(|person| person.enabled && person.generation == before.generation);
        if !holds || !unchanged {
            return Ok(Ok(None));
        }
        let person = match people::set_password(registry, tx, &before.username, &password, &hashed)? {
            Ok(person) => person,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        let mut renewed = Session {
            hash: new_hash.clone(),
            person_generation: person.generation,
            ..old.clone()
        };
        if before.password_changed_at == SET_BY_ANOTHER {
            renewed.forget_second_factor();
        }
        session::record(app, tx, &renewed, Some(&old))?;
        Ok(Ok(Some(person)))
    });
    match done.await {
        Ok(Some(person)) => {
            notices::password_changed(app, &person, at.has_passkey);
            Ok(Ok(Renewed {
                hash,
                cookies: cookies(app, at.request, &person, &cookie),
            }))
        }
        Ok(None) => Err(PageError::new("You were signed out meanwhile. Sign in again.")),
        Err(refused) => Err(refused.into_broken().into()),
    }
}

/// The session in which a new password is due.
async fn expired(step: &Step) -> Result<Option<session::Loaded>, PageError> {
    let loaded = guard::session_of(&step.app, &step.request).await?;
    Ok(loaded.filter(|loaded| loaded.due(&step.app) == Some(Due::NewPassword)))
}

/// `GET /login/new-password`
pub async fn get_expired(step: Step) -> Answered {
    let Some(loaded) = expired(&step).await? else {
        return Ok(step.onward(&[]));
    };
    let app = &step.app;
    let redirect_target = redirect_target::of(app, &step.pending)?;
    let carried = Carried::of_query(app, &step.request, &step.browser)?.unwrap_or_else(|| Carried::new(app));
    Ok(ask(
        app,
        &Ask {
            heading: "Choose a new password",
            action: EXPIRED_PATH,
            person: &loaded.person,
            has_passkey: loaded.has_passkey,
            browser: &step.browser,
            carried: &carried,
            pending: Some(&step.sealed()),
            form_action: RedirectTarget::form_action(redirect_target.as_ref()),
        },
    ))
}

/// `POST /login/new-password`
pub async fn post_expired(mut step: Step, form: PostedForm) -> Answered {
    let carried = Carried::open(&step.app, form.field("state")?, &form.browser)?;
    let Some(loaded) = expired(&step).await? else {
        return Ok(step.onward(&[]));
    };
    let app = &step.app;
    let back = |problem: PasswordMistake, step: &Step| {
        let carried = Carried {
            problem: Some(problem),
            ..carried.clone()
        };
        let carried = carried.seal(&step.app, &step.browser);
        browser::see_other(
            &page_url(EXPIRED_PATH, &[("pending", &step.sealed()), ("state", &carried)]),
            &[],
        )
    };
    if let Err(problem) = check_current(app, &step.request, &form, &loaded.person).await? {
        return Ok(back(problem, &step));
    }
    let password = match typed(&form)? {
        Ok(password) => password,
        Err(problem) => return Ok(back(problem, &step)),
    };
    let at = At {
        request: &step.request,
        session: &loaded.session,
        person: &loaded.person,
        has_passkey: loaded.has_passkey,
    };
    Ok(match set(app, at, password).await? {
        Err(problem) => back(problem, &step),
        Ok(renewed) => {
            // The session that was made for this request has another cookie now.
            if step.pending.authenticated.as_deref() == Some(loaded.session.hash.as_str()) {
                step.pending.authenticated = Some(renewed.hash);
            }
            step.onward(&renewed.cookies)
        }
    })
}
