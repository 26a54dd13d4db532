//! Setting up a passkey, while signing in or later.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use url::form_urlencoded;

use super::proof::{self, Met, Proof};
use super::set_up::{self, PASSKEY_PATH, allowed, sign_in_first};
use super::{passkey, recovery_codes};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind};
use crate::audit::reason::Reason;
use crate::error::PageError;
use crate::model::person::Person;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Loaded, Origin};
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::{Stored, Tx};
use crate::web::browser::{self, Destination, Notice, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::passkeys::{AddPasskeyPage, PasskeyForm, PasskeyRefusedPage};
use crate::web::pages::{self, FormAction, FormError};
use crate::web::parameters::Parameters;
use crate::web::refusals;
use crate::webauthn::{Added, PasskeyRefused, RelyingParty};

/// How many passkeys an account may have.
const MOST: usize = 10;
/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// A name as it was typed, if it is one.
pub(crate) fn name_of(typed: &str) -> Option<String> {
    let name = typed.trim();
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

/// The event of a change to a passkey.
pub(crate) fn changed(app: &App, person: &Person, action: &str, name: &str) -> Event {
    let event = app.event(Kind::SecondFactorChanged, Actor::Person(person.id.clone()));
    event.with("action", action).with("passkey", name)
}

fn relying_party(app: &App) -> Result<&RelyingParty, PageError> {
    app.passkeys
        .as_ref()
        .ok_or_else(|| PageError::new("Passkeys need a server with a host name; this one has an address."))
}

/// A page that says why something cannot be done with a passkey.
pub(crate) fn refused(app: &App, heading: &str, text: &str) -> HttpResponse {
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

/// `GET /login/set-up/passkey`
pub async fn get(mut step: Step) -> Answered {
    let Some(Loaded { person, .. }) = allowed(&step).await? else {
        return Ok(sign_in_first(&step));
    };
    let errors: &[FormError] = match step.pending.notice.take() {
        None => &[],
        Some(Notice::PasskeyStale) => &[FormError::PASSKEY_STALE],
        Some(Notice::PasskeyName) => &[FormError::PASSKEY_NAME],
        Some(_) => &[FormError::PASSKEY_NOT_ADDED],
    };
    let (app, id) = (&step.app, person.id.clone());
    let known = app.store.read(move |conn| passkeys::of_person(conn, &id)).await?;
    if known.len() >= MOST {
        return Ok(too_many(app));
    }
    let begun = relying_party(app)?.begin_adding(&person, &known, &step.browser)?;
    let typed = Parameters::parse(step.request.query_string().as_bytes()).ok();
    let sealed = step.sealed();
    let back = match &step.pending.destination {
        Destination::Page(path) => path.clone(),
        _ => browser::page_url("/login/set-up", &sealed),
    };
    let page = AddPasskeyPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
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
pub async fn post(step: Step, form: PostedForm) -> Answered {
    let Some(loaded) = allowed(&step).await? else {
        return Ok(sign_in_first(&step));
    };
    let typed = form.field("name")?;
    let back = |mut step: Step, notice| {
        step.pending.notice = Some(notice);
        let page = browser::page_url(PASSKEY_PATH, &step.sealed());
        let name = form_urlencoded::Serializer::new(String::new())
            .append_pair("name", typed)
            .finish();
        Ok(refusals::refusing(browser::see_other(
            &format!("{page}&{name}"),
            &[],
        )))
    };
    let Some(name) = name_of(typed) else {
        return back(step, Notice::PasskeyName);
    };
    let answer = form.field("credential")?;
    if answer.is_empty() {
        return back(step, Notice::PasskeyStale);
    }
    let (app, state) = (&step.app, form.field("ceremony")?);
    let added = match relying_party(app)?.finish_adding(&loaded.person.id, &form.browser, state, answer) {
        Ok(added) => added,
        Err(PasskeyRefused::Stale) => return back(step, Notice::PasskeyStale),
        Err(_) => return back(step, Notice::PasskeyNotAccepted),
    };
    let (job_app, person, session_id) = (Arc::clone(app), loaded.person.clone(), loaded.session.id.clone());
    let (origin, methods) = (Origin::of(app, &step.request), passkey::missing(&loaded.session));
    let met = proof::complete(app, &loaded, &origin, (Proof::SetUp, &methods), move |tx| {
        let refused = write(&job_app, tx, &person, &name, &added)?;
        if refused.is_none() {
            recovery_codes::after_set_up(&job_app, tx, &person, &session_id)?;
        }
        Ok(refused.map(|text| (Reason::Passkey, text)))
    });
    match met.await? {
        Met::Accepted { cookie, hash } => {
            notices::second_factor_changed(app, &loaded.person, SecondFactor::PasskeyAdded);
            Ok(set_up::go_on(step, &loaded.session, (&cookie, hash)))
        }
        Met::Refused => back(step, Notice::PasskeyNotAccepted),
        Met::Locked => Ok(proof::go_on(step, Met::Locked)),
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
