//! The page of the first administrator, behind the link that the server prints. Looking at it uses nothing up; the
//! address with the secret answers with a redirect to a page that carries it sealed.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::form::{FieldMistake, Typed};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::error::PageError;
use crate::model::secret::SecretHash;
use crate::registry::people::PersonForm;
use crate::registry::{Refused, Registry, first_administrator};
use crate::secrets::master_key::Purpose;
use crate::session::client_address;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::page::{Answered, Visit, part};
use crate::web::pages::{self, FormAction, Shell};
use crate::web::parameters::Parameters;

const PATH: &str = "/first";
const FIELDS: [&str; 3] = ["name", "username", "email"];

#[derive(Template)]
#[template(path = "../admin/first_administrator.html")]
struct FirstPage<'a> {
    shell: Shell<'a>,
    csrf: &'a str,
    state: &'a str,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

/// What the page carries, sealed to the browser.
#[derive(Serialize, Deserialize)]
struct Carried {
    secret: String,
}

fn context(browser: &str) -> String {
    format!("first administrator {browser}")
}

/// `GET /first/{secret}`
pub async fn open(visit: Visit) -> Answered {
    let app = &visit.app;
    let (browser, fresh) = browser::browser_cookie(app, &visit.request);
    let plain = serde_json::to_vec(&Carried {
        secret: part(&visit.request, "secret").to_owned(),
    })
    .unwrap_or_default();
    let state = app.master.seal(
        Purpose::PendingAuthorization,
        &context(&browser),
        &plain,
        app.entropy,
    );
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("state", &state)
        .finish();
    Ok(browser::see_other(&format!("{PATH}?{query}"), &fresh))
}

fn opened(app: &App, state: &str, browser: &str) -> Result<SecretHash, PageError> {
    let dead = || {
        PageError::new(
            "Open the link that the server printed again, in this browser, with cookies switched on.",
        )
        .details("Parameter: state.")
    };
    let plain = app
        .master
        .open(Purpose::PendingAuthorization, &context(browser), state)
        .map_err(|_| dead())?;
    let carried: Carried = serde_json::from_slice(&plain).map_err(|_| dead())?;
    Ok(SecretHash::of(&carried.secret))
}

/// One text for all links that cannot be used; that somebody tried is recorded.
async fn refuse(app: &App, request: &HttpRequest) -> Result<PageError, PageError> {
    let address = client_address::of(app, request);
    if app.failure_counts.note(
        address,
        Failed::Other("link of the first administrator"),
        app.now(),
    ) == Noted::First
    {
        let event = app
            .event(Kind::LinkUsed, Actor::Stranger)
            .outcome(Outcome::MinorFailure);
        let event = event
            .from(address.to_string())
            .with("reason", "no link for a first administrator, or not any more");
        let written = app.store.write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        written.await?;
    }
    Ok(PageError::new(
        "This link cannot be used: it was used before, has expired, or somebody administers this server already. \
         The server prints a new one when it starts and nobody administers it.",
    ))
}

/// `GET /first`
pub async fn get(visit: Visit) -> Answered {
    let (app, request) = (&visit.app, &visit.request);
    let query = Parameters::parse(request.query_string().as_bytes())
        .map_err(|error| PageError::malformed(error.description))?;
    let state = query.one("state").ok().flatten().unwrap_or_default();
    let browser = browser::cookie(app, request, CookieKind::Browser).unwrap_or_default();
    let hash = opened(app, state, &browser)?;
    let registry = Registry::new(Arc::clone(app), Actor::Stranger);
    if !app
        .store
        .read(move |conn| first_administrator::holds(&registry, conn, hash.as_str()))
        .await?
    {
        return Err(refuse(app, request).await?.into());
    }
    Ok(show(
        app,
        StatusCode::OK,
        &browser,
        state,
        (Typed::default(), Vec::new()),
    ))
}

fn show(
    app: &App,
    status: StatusCode,
    browser: &str,
    state: &str,
    (typed, wrong): (Typed, Vec<FieldMistake>),
) -> HttpResponse {
    let csrf = browser::csrf_token(app, browser);
    let page = FirstPage {
        shell: browser::shell(app),
        csrf: &csrf,
        state,
        typed,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /first`
pub async fn post(visit: Visit, form: PostedForm) -> Answered {
    let (app, request) = (&visit.app, &visit.request);
    let state = form.field("state")?;
    let hash = opened(app, state, &form.browser)?;
    let typed = Typed::of(&form, &FIELDS);
    let person = PersonForm {
        username: Some(typed.get("username").to_owned()),
        name: Some(typed.get("name").to_owned()),
        email: typed.some("email"),
        ..PersonForm::default()
    };
    let address = client_address::of(app, request).to_string();
    let registry = Registry::new(Arc::clone(app), Actor::Stranger).seen_at(address);
    let done = registry
        .run(move |registry, tx| first_administrator::claim(registry, tx, hash.as_str(), &person))
        .await;
    match done {
        Ok(Some(issued)) => {
            let url = issued.url.reveal();
            Ok(browser::see_other(
                url.strip_prefix(app.issuer()).unwrap_or(url),
                &[],
            ))
        }
        Ok(None) => Err(refuse(app, request).await?.into()),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            Ok(show(
                app,
                StatusCode::UNPROCESSABLE_ENTITY,
                &form.browser,
                state,
                (typed, wrong),
            ))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
