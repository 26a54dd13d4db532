//! The passkeys of one's own account: adding one, while signing in or later, renaming and removing. A change leaves the
//! sessions that the person has elsewhere alone.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use url::form_urlencoded;

use super::proof::{self, Met, Step};
use super::set_up::{self, FRESH, PASSKEY_PATH, allowed, sign_in_first};
use super::{passkey, recovery_codes};
use crate::account;
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind};
use crate::error::{Broken, PageError};
use crate::model::person::Person;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Loaded, Origin};
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::{Stored, Tx, people, recovery_codes as stored_codes};
use crate::web::browser::{self, Destination, Notice, Pending, PostedForm};
use crate::web::guard::{self, PageRefused, SignedIn};
use crate::web::pages::passkeys::{AddPasskeyPage, PasskeyForm, PasskeyRefusedPage};
use crate::web::pages::{self, FormAction, FormError};
use crate::web::parameters::Parameters;
use crate::webauthn::{Added, PasskeyRefused, RelyingParty};

/// Where people see their passkeys.
const ACCOUNT_PATH: &str = "/account";
/// Where somebody who is signed in begins to add a passkey.
const ADD_PATH: &str = "/account/passkeys/add";
/// How many passkeys an account may have.
const MOST: usize = 10;
/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// A name as it was typed, if it is one.
fn name_of(typed: &str) -> Option<String> {
    let name = typed.trim();
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

fn changed(app: &App, person: &Person, action: &str, name: &str) -> Event {
    let event = app.event(Kind::SecondFactorChanged, Actor::Person(person.id.clone()));
    event.with("action", action).with("passkey", name)
}

fn context(app: &App) -> Result<&RelyingParty, PageError> {
    app.passkeys
        .as_ref()
        .ok_or_else(|| PageError::new("Passkeys need a server with a host name; this one has an address."))
}

fn refused(app: &App, heading: &str, text: &str) -> HttpResponse {
    let page = PasskeyRefusedPage {
        shell: browser::shell(app),
        heading,
        text,
    };
    pages::respond(&page, StatusCode::CONFLICT, FormAction::SelfOnly)
}

fn too_many(app: &App) -> HttpResponse {
    refused(
        app,
        "You cannot add another passkey",
        "Your account has 10 passkeys, which is the most it can have. Remove one first.",
    )
}

/// `GET /account/passkeys/add`: on to the page where passkeys are set up, and then back to the account.
pub async fn add(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    match guard::signed_in(&app, &request, ADD_PATH, Some(FRESH)).await {
        Ok(_) => {
            let pending = Pending::new(Destination::Page(ACCOUNT_PATH.to_owned()), app.now());
            browser::on_to(&app, &request, PASSKEY_PATH, &pending)
        }
        Err(stop) => stop.answer(&app),
    }
}

/// `GET /login/set-up/passkey`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request)
        .await
        .unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    let Some(Loaded { person, .. }) = allowed(app, request).await? else {
        return Ok(sign_in_first(app, &pending, &browser_cookie));
    };
    let errors: &[FormError] = match pending.notice.take() {
        None => &[],
        Some(Notice::PasskeyStale) => &[FormError::PASSKEY_STALE],
        Some(Notice::PasskeyName) => &[FormError::PASSKEY_NAME],
        Some(_) => &[FormError::PASSKEY_NOT_ADDED],
    };
    let id = person.id.clone();
    let known = app.store.read(move |conn| passkeys::of_person(conn, &id)).await?;
    if known.len() >= MOST {
        return Ok(too_many(app));
    }
    let begun = context(app)?.begin_adding(&person, &known, &browser_cookie)?;
    let typed = Parameters::parse(request.query_string().as_bytes()).ok();
    let sealed = pending.seal(app, Some(&browser_cookie));
    let back = match &pending.destination {
        Destination::Page(path) => path.clone(),
        _ => browser::page_url("/login/set-up", &sealed),
    };
    let page = AddPasskeyPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &browser_cookie),
        pending: &sealed,
        passkey: PasskeyForm {
            options: &begun.options,
            state: &begun.state,
        },
        name: typed
            .as_ref()
            .and_then(|typed| typed.one("name").ok().flatten())
            .unwrap_or_default(),
        back: &back,
        errors,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /login/set-up/passkey`
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    let outcome = match PostedForm::read(&app, &request, body).await {
        Ok(form) => finish(&app, &request, form).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn finish(app: &Arc<App>, request: &HttpRequest, form: PostedForm) -> Result<HttpResponse, PageError> {
    let pending = form.pending(app)?;
    let Some(loaded) = allowed(app, request).await? else {
        return Ok(sign_in_first(app, &pending, &form.browser));
    };
    let typed = form.field("name")?;
    let back = |pending: Pending, notice| {
        let page = browser::page_url(
            PASSKEY_PATH,
            &pending.saying(notice).seal(app, Some(&form.browser)),
        );
        let name = form_urlencoded::Serializer::new(String::new())
            .append_pair("name", typed)
            .finish();
        Ok(browser::see_other(&format!("{page}&{name}"), &[]))
    };
    let Some(name) = name_of(typed) else {
        return back(pending, Notice::PasskeyName);
    };
    let answer = form.field("credential")?;
    if answer.is_empty() {
        return back(pending, Notice::PasskeyStale);
    }
    let state = form.field("ceremony")?;
    let added = match context(app)?.finish_adding(&loaded.person.id, &form.browser, state, answer) {
        Ok(added) => added,
        Err(PasskeyRefused::Stale) => return back(pending, Notice::PasskeyStale),
        Err(_) => return back(pending, Notice::PasskeyNotAccepted),
    };
    let (job_app, person, session_id) = (Arc::clone(app), loaded.person.clone(), loaded.session.id.clone());
    let (origin, methods) = (Origin::of(app, request), passkey::missing(&loaded.session));
    let met = proof::complete(app, &loaded, &origin, (Step::SetUp, &methods), move |tx| {
        let refused = write(&job_app, tx, &person, &name, &added)?;
        if refused.is_none() {
            recovery_codes::after_set_up(&job_app, tx, &person, &session_id)?;
        }
        Ok(refused)
    });
    match met.await? {
        Met::Accepted { cookie, hash } => {
            notices::second_factor_changed(app, &loaded.person, SecondFactor::PasskeyAdded);
            Ok(set_up::go_on(
                app,
                pending,
                &form.browser,
                &loaded.session,
                (&cookie, hash),
            ))
        }
        Met::Refused => back(pending, Notice::PasskeyNotAccepted),
        Met::Locked => Ok(proof::go_on(app, pending, &form.browser, Met::Locked)),
    }
}

/// Adds a passkey, unless the answer was used, the account is full, or the passkey is known.
fn write(
    app: &App,
    tx: &mut Tx<'_>,
    person: &Person,
    name: &str,
    added: &Added,
) -> Stored<Option<&'static str>> {
    if !added.once.burn(tx.conn())? {
        return Ok(Some("passkey: this answer was used before"));
    }
    let own = passkeys::of_person(tx.conn(), &person.id)?;
    if own.len() >= MOST {
        return Ok(Some("passkey: the account has as many as it may"));
    }
    let passkey = StoredPasskey {
        id: added.id.clone(),
        person_id: person.id.clone(),
        name: name.to_owned(),
        credential: added.credential.clone(),
        created_at: app.now(),
        last_used_at: None,
    };
    if !passkeys::add(tx.conn(), &passkey)? {
        return Ok(Some("passkey: it is registered already"));
    }
    tx.audit(changed(app, person, "passkey_added", name));
    Ok(None)
}

/// `POST /account/passkeys/rename`: `id` and `name`.
pub async fn rename(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    renamed(&app, &request, body)
        .await
        .unwrap_or_else(|stop| stop.answer(&app))
}

async fn renamed(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let form = PostedForm::read(app, request, body).await?;
    let SignedIn { person, .. } = guard::signed_in(app, request, ACCOUNT_PATH, Some(FRESH)).await?;
    let Some(name) = name_of(form.field("name")?) else {
        return Ok(refused(
            app,
            "Enter another name",
            "The name of a passkey has 1 to 60 characters.",
        ));
    };
    let (job_app, id) = (Arc::clone(app), form.field("id")?.to_owned());
    let written = app.store.write(move |tx| {
        let hers = passkeys::rename(tx.conn(), &person.id, &id, &name)?;
        if hers {
            tx.audit(changed(&job_app, &person, "passkey_renamed", &name));
        }
        Ok(hers)
    });
    Ok(if written.await? {
        account::back(app, &form.browser, Notice::PasskeyRenamed)
    } else {
        browser::see_other(ACCOUNT_PATH, &[])
    })
}

/// What came of removing a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removed {
    Done,
    /// It was not there, or no longer.
    Gone,
    /// It is the last second factor of somebody whose role needs one.
    Needed,
}

/// `POST /account/passkeys/remove`: `id`.
pub async fn remove(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    removed(&app, &request, body)
        .await
        .unwrap_or_else(|stop| stop.answer(&app))
}

async fn removed(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let form = PostedForm::read(app, request, body).await?;
    let SignedIn { person, .. } = guard::signed_in(app, request, ACCOUNT_PATH, Some(FRESH)).await?;
    let (job_app, id, told) = (Arc::clone(app), form.field("id")?.to_owned(), person.clone());
    let written: Result<Removed, Broken> = app
        .store
        .write(move |tx| {
            // Locked: two requests at once must not take the last two away.
            let Some(person) = people::lock(tx.conn(), &person.id)? else {
                return Ok(Removed::Gone);
            };
            let own = passkeys::of_person(tx.conn(), &person.id)?;
            let Some(passkey) = own.iter().find(|passkey| passkey.id == id) else {
                return Ok(Removed::Gone);
            };
            let last = own.len() == 1 && person.totp_secret.is_none();
            if last && job_app.policy.requires_second_factor(&person.settings.roles) {
                return Ok(Removed::Needed);
            }
            passkeys::remove(tx.conn(), &person.id, &id)?;
            if last {
                stored_codes::remove_all(tx.conn(), &person.id)?;
                people::want_new_password(tx.conn(), &person.id)?;
            }
            tx.audit(changed(&job_app, &person, "passkey_removed", &passkey.name));
            Ok(Removed::Done)
        })
        .await;
    let written = written?;
    if written == Removed::Needed {
        let text = "It is your only second factor, and your role needs one. Add another passkey or an authenticator app \
                    first.";
        return Ok(refused(app, "You cannot remove this passkey yet", text));
    }
    if written == Removed::Done {
        notices::second_factor_changed(app, &told, SecondFactor::PasskeyRemoved);
    }
    Ok(account::back(app, &form.browser, Notice::PasskeyRemoved))
}
