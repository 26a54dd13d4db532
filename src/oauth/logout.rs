//! Signing out: by an application's request (OpenID Connect RP-Initiated Logout 1.0) or on a page of ours.
//!
//! A request that names the very session at hand by its ID token ends it at once; otherwise the person is asked. Who is
//! not signed in is signed out already, and comes to the same end. A browser is sent on to a registered address only.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use url::form_urlencoded;

use super::id_token::{Hint, read_hint};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::error::{Broken, PageError};
use crate::live::LiveClient;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::secrets::master_key::Purpose;
use crate::session::{self, Limits, client_address};
use crate::store::sessions;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::page::{Answered, CrossSite, Visit};
use crate::web::pages::{self, Account, FormAction, LogoutPage, SignedOutPage};
use crate::web::parameters::{Parameters, shown};

/// The largest request that is looked at, in bytes of its query or form.
const LARGEST_REQUEST: usize = 8 * 1024;

/// A logout request whose parameters hold. `logout_hint` and `ui_locales` say nothing to us.
#[derive(Debug, Clone)]
struct LogoutRequest {
    /// `id_token_hint`
    hint: Option<Hint>,
    /// The application that asks, where it says so.
    client: Option<Arc<LiveClient>>,
    /// `post_logout_redirect_uri`, registered, with `state`.
    back: Option<String>,
}

/// `GET /oauth2/logout`
pub async fn get(sent: CrossSite) -> Answered {
    let CrossSite { app, request } = &sent;
    let parameters = received(app, request).map_err(PageError::with_sign_out)?;
    let logout = check(app, &parameters).map_err(PageError::with_sign_out)?;
    Ok(match at_hand(app, request).await? {
        Some((session, _)) if names(&logout, &session) => {
            let told = end(app, request, logout.client.as_deref()).await;
            finish(app, logout.back.as_deref(), told)
        }
        Some((_, Some(person))) => ask(app, request, &logout, &parameters, &person),
        _ => finish(app, logout.back.as_deref(), true),
    })
}

/// `POST /oauth2/logout`: an application's request (§2), or the answer to our question, which our CSRF token tells apart.
/// A form of another site arrives without our Lax cookies, so the request is sealed and sent to our own GET.
pub async fn post(sent: CrossSite, body: web::Payload) -> Answered {
    let outcome = received_by_post(&sent.app, &sent.request, body).await;
    Ok(outcome.map_err(PageError::with_sign_out)?)
}

async fn received_by_post(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageError> {
    let fields = Parameters::from_body(request, body)
        .await
        .map_err(|error| PageError::malformed(error.description))?;
    if !matches!(fields.one("csrf"), Ok(None)) {
        return confirmed(app, request, fields).await;
    }
    let sealed = seal(app, &limited(fields)?, None);
    Ok(browser::see_other(
        &browser::page_url("/oauth2/logout", &sealed),
        &[],
    ))
}

/// `POST /account/sign-out`: on a page of ours; posts `csrf` alone.
pub async fn sign_out(visit: Visit, _: PostedForm) -> Answered {
    let told = end(&visit.app, &visit.request, None).await;
    Ok(finish_post(&visit.app, None, told))
}

fn limited(parameters: Parameters) -> Result<Parameters, PageError> {
    if parameters.size() > LARGEST_REQUEST {
        return Err(PageError::malformed(format!(
            "The request is longer than {LARGEST_REQUEST} bytes."
        )));
    }
    Ok(parameters)
}

/// The request in the query, or sealed by our own POST.
fn received(app: &App, request: &HttpRequest) -> Result<Parameters, PageError> {
    let query = Parameters::parse(request.query_string().as_bytes())
        .map_err(|error| PageError::malformed(error.description))?;
    match query.one("pending").ok().flatten() {
        Some(sealed) => open(app, sealed, None),
        None => limited(query),
    }
}

/// Seals a request to a browser, to be carried to our question and back; none: to nobody, from the form of another site to
/// our own GET. It may be as old as it likes, as an ID token may: it is checked anew whenever it comes.
fn seal(app: &App, parameters: &Parameters, browser: Option<&str>) -> String {
    let plain = serde_json::to_vec(parameters).unwrap_or_default();
    app.master.seal(
        Purpose::PendingAuthorization,
        &bound_to(browser),
        &plain,
        app.entropy,
    )
}

fn open(app: &App, sealed: &str, browser: Option<&str>) -> Result<Parameters, PageError> {
    let opened = app
        .master
        .open(Purpose::PendingAuthorization, &bound_to(browser), sealed);
    let plain = opened.map_err(|cause| {
        PageError::new(browser::OTHER_BROWSER)
            .details("Parameter: pending.")
            .because(cause)
    })?;
    serde_json::from_slice(&plain)
        .map_err(|cause| PageError::malformed("Parameter pending cannot be read.").because(cause))
}

/// What it is sealed to: never what a sign-in is sealed to, so that neither passes for the other.
fn bound_to(browser: Option<&str>) -> String {
    format!("logout {}", browser.unwrap_or_default())
}

/// Checks everything that a request says by itself (RP-Initiated Logout §2 and §3).
fn check(app: &App, parameters: &Parameters) -> Result<LogoutRequest, PageError> {
    if let Some(name) = parameters.repeated() {
        return Err(PageError::malformed(format!(
            "Parameter {} must not be repeated.",
            shown(name)
        )));
    }
    let one = |name: &str| {
        parameters
            .one(name)
            .map_err(|error| PageError::malformed(error.description))
    };
    let hint = one("id_token_hint")?
        .map(|hint| {
            read_hint(app, hint).ok_or_else(|| {
                PageError::malformed("Parameter id_token_hint is not an ID token that this service issued.")
            })
        })
        .transpose()?;
    let named = one("client_id")?;
    if let (Some(named), Some(hint)) = (named, &hint)
        && named != hint.client_id
    {
        return Err(PageError::malformed(
            "Parameter client_id is not the application that the ID token in id_token_hint was issued to.",
        )
        .because(format!(
            "client_id {}, id_token_hint for {}",
            shown(named),
            hint.client_id
        )));
    }
    let asks = named.or(hint.as_ref().map(|hint| hint.client_id.as_str()));
    let client = asks
        .and_then(|id| app.live.client(id))
        .filter(|live| live.is_served());
    if let (Some(named), None) = (named, &client) {
        return Err(PageError::malformed(
            "Parameter client_id names no application that is registered here.",
        )
        .because(format!("client_id {}", shown(named))));
    }
    let back = one("post_logout_redirect_uri")?
        .map(|uri| registered(client.as_deref(), uri).map(|()| with_state(uri, one("state").ok().flatten())))
        .transpose()?;
    Ok(LogoutRequest { hint, client, back })
}

/// §3: compared exactly.
fn registered(client: Option<&LiveClient>, uri: &str) -> Result<(), PageError> {
    let Some(live) = client else {
        return Err(PageError::malformed(
            "Parameter post_logout_redirect_uri needs id_token_hint or client_id, which say whose it is.",
        ));
    };
    let known = &live.client.settings.post_logout_redirect_uris;
    if known.iter().any(|known| known == uri) {
        return Ok(());
    }
    Err(
        PageError::malformed("Parameter post_logout_redirect_uri is not registered for this application.")
            .because(format!(
                "client {}: received {}, registered {known:?}",
                live.client.id,
                shown(uri)
            )),
    )
}

fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else { return uri.to_owned() };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("state", state)
        .finish();
    format!("{uri}{}{query}", if uri.contains('?') { '&' } else { '?' })
}

/// The session of the browser, with its person if it holds.
async fn at_hand(app: &App, request: &HttpRequest) -> Result<Option<(Session, Option<Person>)>, PageError> {
    let Some(hash) = browser::session_hash(app, request) else {
        return Ok(None);
    };
    let (limits, now) = (Limits::of(app), app.now());
    let found = app.store.read(move |conn| {
        let Some(session) = sessions::find(conn, &hash)? else {
            return Ok(None);
        };
        let person = session::load(conn, &hash, limits, now)?.map(|loaded| loaded.person);
        Ok(Some((session, person)))
    });
    Ok(found.await?)
}

/// Whether the ID token of a request is of this very session, so that nobody has to be asked.
fn names(logout: &LogoutRequest, session: &Session) -> bool {
    logout
        .hint
        .as_ref()
        .is_some_and(|hint| hint.sid.as_ref() == Some(&session.id) && hint.sub == session.person_id)
}

fn ask(
    app: &App,
    request: &HttpRequest,
    logout: &LogoutRequest,
    parameters: &Parameters,
    person: &Person,
) -> HttpResponse {
    let (browser, fresh) = browser::browser_cookie(app, request);
    let page = LogoutPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &browser),
        pending: &seal(app, parameters, Some(&browser)),
        account: Account {
            name: &person.name,
            username: &person.username,
        },
    };
    let form_action = logout
        .back
        .as_deref()
        .map_or(FormAction::SelfOnly, FormAction::ThenRedirect);
    let mut answer = pages::respond(&page, StatusCode::OK, form_action);
    for cookie in &fresh {
        if let Err(cause) = answer.add_cookie(cookie) {
            return browser::error_page(app, &Broken::defect(cause).into());
        }
    }
    answer
}

/// The person has said yes. Whatever has become of the request since the page was shown: she is signed out.
async fn confirmed(
    app: &Arc<App>,
    request: &HttpRequest,
    fields: Parameters,
) -> Result<HttpResponse, PageError> {
    let form = PostedForm::accept(app, request, fields)?;
    let carried = form
        .field("pending")
        .and_then(|sealed| open(app, sealed, Some(&form.browser)));
    let logout = carried.and_then(|parameters| check(app, &parameters)).ok();
    let client = logout.as_ref().and_then(|logout| logout.client.as_deref());
    let told = end(app, request, client).await;
    Ok(finish_post(
        app,
        logout.and_then(|logout| logout.back).as_deref(),
        told,
    ))
}

/// Ends the session of the browser. Answers false when the database did not take it: then the browser alone forgets.
async fn end(app: &Arc<App>, request: &HttpRequest, client: Option<&LiveClient>) -> bool {
    let Some(hash) = browser::session_hash(app, request) else {
        return true;
    };
    let address = client_address::of(app, request).to_string();
    let (job_app, client) = (Arc::clone(app), client.map(|live| live.client.id.clone()));
    let written = app.store.write(move |tx| {
        if let Some(session) = sessions::find(tx.conn(), &hash)? {
            let event = job_app.event(Kind::SessionEnded, Actor::Person(session.person_id.clone()));
            let event = event.from(address.clone()).with("reason", "signed out");
            let event = client.iter().fold(event, |event, id| event.client(id));
            session::end_with(&job_app, tx, &session, &event)?;
        }
        Ok(())
    });
    match written.await {
        Ok(()) => true,
        Err(cause) => {
            tracing::error!(%cause, "somebody signed out, and the session could not be ended in the database");
            false
        }
    }
}

/// The end of a POST: on to the application, or to our own page by a GET, which nobody can send twice by reloading.
fn finish_post(app: &App, back: Option<&str>, told: bool) -> HttpResponse {
    if told && back.is_none() {
        return browser::see_other(
            "/oauth2/logout",
            &[browser::clear_cookie(app, CookieKind::Session)],
        );
    }
    finish(app, back, told)
}

/// On to the application, or the page that says so; the browser forgets the session. What could not be ended everywhere is
/// told on our page.
fn finish(app: &App, back: Option<&str>, told: bool) -> HttpResponse {
    let cookie = browser::clear_cookie(app, CookieKind::Session);
    if let Some(back) = back.filter(|_| told) {
        return browser::see_other(back, &[cookie]);
    }
    let page = SignedOutPage {
        shell: browser::shell(app),
        here_only: !told,
    };
    let mut answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
    if let Err(cause) = answer.add_cookie(&cookie) {
        return browser::error_page(app, &Broken::defect(cause).into());
    }
    answer
}
