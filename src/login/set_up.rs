//! Setting up a second factor: because a role requires one, because an application asks for it, or because the person
//! wants one. Whoever has one already shows it first; whoever has none signed in lately.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::proof::{self, Met, Proof};
use super::{recovery_codes, totp};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::audit::reason::Reason;
use crate::error::{Broken, PageError};
use crate::model::session::Session;
use crate::secrets::master_key::Purpose;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Due, Loaded, Origin};
use crate::store::{people, sessions};
use crate::web::browser::{self, CookieKind, Notice, PostedForm};
use crate::web::guard;
use crate::web::page::{Answered, Step};
use crate::web::pages::set_up::{QrCode, SetUpAppPage, SetUpPage};
use crate::web::pages::{self, FormAction, FormError};

/// Where the person chooses what to set up.
pub const PATH: &str = "/login/set-up";
/// Where an authenticator app is set up.
pub const APP_PATH: &str = "/login/set-up/app";
/// Where a passkey is set up.
pub const PASSKEY_PATH: &str = "/login/set-up/passkey";
/// How long ago somebody may have signed in to change second factors, in seconds. Short, for a passkey signs in alone: who
/// finds a browser open must not get the account.
pub const FRESH: i64 = 300;
/// How long ago somebody may have signed in to set up the first one, in seconds.
const FRESH_ENOUGH_FOR_THE_FIRST: i64 = 900;

/// The session in which something may be set up: signed in lately, with the second factor if there is one, and with a
/// password that is the person's own.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn allowed(step: &Step) -> Result<Option<Loaded>, PageError> {
    let app = &step.app;
    let loaded = guard::session_of(app, &step.request).await?;
    Ok(loaded.filter(|loaded| {
        let proved = loaded.session.has_second_factor() || !loaded.has_second_factor();
        let fresh = if loaded.has_second_factor() {
            FRESH
        } else {
            FRESH_ENOUGH_FOR_THE_FIRST
        };
        !loaded.session.second_factor_due
            && loaded.due(app) != Some(Due::NewPassword)
            && proved
            && loaded.session.factors_are_together()
            && app.now() - loaded.session.auth_time <= fresh
    }))
}

/// Where whoever may not set anything up goes: to sign in again.
pub fn sign_in_first(step: &Step) -> HttpResponse {
    step.on_to("/login")
}

/// `GET /login/set-up`
pub async fn get(mut step: Step) -> Answered {
    let Some(loaded) = allowed(&step).await? else {
        return Ok(sign_in_first(&step));
    };
    if step.app.passkeys.is_none() {
        return Ok(step.on_to(APP_PATH));
    }
    let errors: &[FormError] = if step.pending.notice.take().is_some() {
        &[FormError::CHOICE_MISSING]
    } else {
        &[]
    };
    let app = &step.app;
    let page = SetUpPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
        pending: &step.sealed(),
        required: app
            .policy
            .requires_second_factor(&loaded.person.settings.all_roles()),
        errors,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /login/set-up`
pub async fn post(step: Step, form: PostedForm) -> Answered {
    Ok(match form.field("choice")? {
        "app" => step.on_to(APP_PATH),
        "passkey" => step.on_to(PASSKEY_PATH),
        _ => step.back_to(PATH, Notice::ChoiceMissing),
    })
}

/// The secret that is being set up in a session, made when the page is first shown, so that showing it again changes
/// nothing.
async fn secret_of(app: &App, loaded: &Loaded) -> Result<Zeroizing<Vec<u8>>, Broken> {
    let id = loaded.session.id.clone();
    let kept = app
        .store
        .read(move |conn| sessions::totp_set_up(conn, &id))
        .await?;
    let open = |wrapped: &str| app.master.open(Purpose::TotpSecret, &loaded.person.id, wrapped);
    if let Some(Ok(secret)) = kept.as_deref().map(open) {
        return Ok(secret);
    }
    let wrapped = totp::new_wrapped(app, &loaded.person);
    let (id, new) = (loaded.session.id.clone(), wrapped.clone());
    app.store
        .write(move |tx| sessions::keep_totp_set_up(tx.conn(), &id, Some(&new)))
        .await?;
    open(&wrapped).map_err(Broken::defect)
}

/// `GET /login/set-up/app`
pub async fn app_get(mut step: Step) -> Answered {
    let Some(loaded) = allowed(&step).await? else {
        return Ok(sign_in_first(&step));
    };
    let errors: &[FormError] = match step.pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::CODE_MISSING],
        Some(_) => &[FormError::NEW_CODE_NOT_ACCEPTED],
    };
    let app = &step.app;
    let secret = secret_of(app, &loaded).await?;
    let shell = browser::shell(app);
    let uri = Zeroizing::new(totp::key_uri(
        secret.to_vec(),
        shell.service_name,
        &loaded.person.username,
    )?);
    let text = Zeroizing::new(BASE32_NOPAD.encode(&secret));
    let page = SetUpAppPage {
        shell,
        csrf: &browser::csrf_token(app, &step.browser),
        pending: &step.sealed(),
        qr: QrCode::of(&uri).map_err(Broken::defect)?,
        secret: &in_groups(&text),
        replaces: loaded.person.totp_secret.is_some(),
        errors,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// In groups of four, which are easier to type.
fn in_groups(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(4)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `POST /login/set-up/app`
pub async fn app_post(step: Step, form: PostedForm) -> Answered {
    let Some(loaded) = allowed(&step).await? else {
        return Ok(sign_in_first(&step));
    };
    let typed = totp::typed(form.field("totp")?);
    if typed.is_empty() {
        return Ok(step.back_to(APP_PATH, Notice::CodeMissing));
    }
    let app = &step.app;
    let secret = secret_of(app, &loaded).await?;
    let shown = totp::step_of(&secret, &typed, app.now())?;
    let wrapped = app
        .master
        .seal(Purpose::TotpSecret, &loaded.person.id, &secret, app.entropy);
    let (job_app, person, session_id) = (Arc::clone(app), loaded.person.clone(), loaded.session.id.clone());
    let action = if person.totp_secret.is_some() {
        "authenticator_app_replaced"
    } else {
        "authenticator_app_added"
    };
    let origin = Origin::of(app, &step.request);
    let met = proof::complete(app, &loaded, &origin, (Proof::SetUp, &["otp"]), move |tx| {
        let Some(shown) = shown else {
            return Ok(Some((
                Reason::WrongCode,
                "wrong one-time code while setting up an app",
            )));
        };
        if !people::put_totp(tx.conn(), &person.id, person.generation, Some(&wrapped), shown)? {
            return Ok(Some((Reason::Other, "the account was changed meanwhile")));
        }
        sessions::keep_totp_set_up(tx.conn(), &session_id, None)?;
        let event = job_app.event(Kind::SecondFactorChanged, Actor::Person(person.id.clone()));
        tx.audit(event.with("action", action));
        recovery_codes::after_set_up(&job_app, tx, &person, &session_id)?;
        Ok(None)
    });
    match met.await? {
        Met::Accepted { cookie, hash } => {
            let what = if loaded.person.totp_secret.is_some() {
                SecondFactor::AppReplaced
            } else {
                SecondFactor::AppAdded
            };
            notices::second_factor_changed(app, &loaded.person, what);
            Ok(go_on(step, &loaded.session, (&cookie, hash)))
        }
        Met::Refused => Ok(step.back_to(APP_PATH, Notice::CodeNotAccepted)),
        Met::Locked => Ok(proof::go_on(step, Met::Locked)),
    }
}

/// Where it goes on after something was set up: to the recovery codes, if there are some to show. A sign-in that was made
/// for the request stays made for it, another does not become so.
pub fn go_on(mut step: Step, old: &Session, (cookie, hash): (&str, String)) -> HttpResponse {
    if step.pending.authenticated.as_deref() == Some(old.hash.as_str()) {
        step.pending.authenticated = Some(hash);
    }
    step.pending.notice = None;
    let cookie = browser::set_cookie(&step.app, CookieKind::Session, cookie);
    step.on_to_with(recovery_codes::CODES_PATH, &[cookie])
}
