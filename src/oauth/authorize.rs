//! The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): parse, load facts, decide, act.
//!
//! Client and redirect URI come first; only after them may an error go back by redirect (RFC 6749 §4.1.2.1).

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::authorization_decision::{Decision, Facts, decide};
use super::authorization_request::{AuthorizationRequest, parse};
use super::code_issuance::{Issue, issue};
use super::id_token::read_hint;
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::error::{OAuthError, PageError};
use crate::issuance::{ClientContext, Rules};
use crate::live::LiveClient;
use crate::model::person::Person;
use crate::session::{self, Loaded, client_address};
use crate::store::{grants, identity_providers};
use crate::web::browser::{self, CookieKind, Destination, Pending};
use crate::web::page::{Answered, CrossSite};
use crate::web::parameters::Parameters;
use crate::web::redirect_target::{self, RedirectTarget, redirect_error};

/// The largest request that is looked at, in bytes of its query or form.
const LARGEST_REQUEST: usize = 8 * 1024;

/// `GET /oauth2/authorize`
pub async fn get(sent: CrossSite) -> Answered {
    let CrossSite { app, request } = &sent;
    let pending = sealed_or_new(app, request, request.query_string().as_bytes())?;
    Ok(answer(app, request, pending).await?)
}

/// `POST /oauth2/authorize` (OpenID Connect Core §3.1.2.1). A form of another site arrives without our Lax cookies, so
/// the request is sealed and sent to our own GET.
pub async fn post(sent: CrossSite, body: web::Payload) -> Answered {
    let parameters = Parameters::from_body(&sent.request, body)
        .await
        .map_err(|error| PageError::malformed(error.description))?;
    let pending = new_pending(&sent.app, parameters)?;
    Ok(browser::see_other(
        &browser::page_url("/oauth2/authorize", &pending.seal(&sent.app, None)),
        &[],
    ))
}

fn new_pending(app: &App, parameters: Parameters) -> Result<Pending, PageError> {
    if parameters.size() > LARGEST_REQUEST {
        return Err(PageError::malformed(format!(
            "The request is longer than {LARGEST_REQUEST} bytes."
        )));
    }
    Ok(Pending::new(Destination::Application(parameters), app.now()))
}

fn sealed_or_new(app: &App, request: &HttpRequest, query: &[u8]) -> Result<Pending, PageError> {
    let parameters = Parameters::parse(query).map_err(|error| PageError::malformed(error.description))?;
    match parameters.one("pending").ok().flatten() {
        None => new_pending(app, parameters),
        Some(sealed) => {
            // Sealed to this browser by one of our pages, or to nobody by our own POST.
            let browser = browser::cookie(app, request, CookieKind::Browser);
            match browser
                .as_deref()
                .map(|browser| Pending::open(app, sealed, Some(browser)))
            {
                Some(Ok(pending)) => Ok(pending),
                Some(Err(stale)) if stale.onward.is_some() => Err(stale),
                _ => Pending::open(app, sealed, None),
            }
        }
    }
}

async fn answer(app: &Arc<App>, request: &HttpRequest, pending: Pending) -> Result<HttpResponse, PageError> {
    let parameters = pending.parameters().ok_or_else(|| {
        PageError::new("This sign-in was not for an application.").details("Parameter: pending.")
    })?;
    app.live.require_fresh()?;
    let redirect_target = redirect_target::find(app, parameters)?;
    let parsed = match read(app, &redirect_target.client, parameters) {
        Ok(parsed) => parsed,
        Err(error) => {
            let client_id = &redirect_target.client.client.id;
            app.sign_in_refusals
                .note(client_id, &error.description, app.now());
            return Ok(redirect_error(app, &redirect_target, &error));
        }
    };
    let facts = load_facts(app, request, &redirect_target, &pending).await?;
    Ok(match decide(&parsed, &facts, &Rules::of(app), app.now()) {
        Err(error) => {
            record_refusal(app, request, &redirect_target, &facts, &error).await;
            redirect_error(app, &redirect_target, &error)
        }
        Ok(Decision::Issue(granted)) => {
            let claims = facts.context.may_name(&Rules::of(app), &parsed.claims)?;
            let issued = Issue {
                redirect_target: &redirect_target,
                request: &parsed,
                facts: &facts,
                granted,
                claims,
                offered: None,
            };
            issue(app, client_address::of(app, request), issued).await
        }
        Ok(Decision::LogIn) => browser::on_to(app, request, "/login", &pending),
        Ok(Decision::Due(due)) => browser::on_to(app, request, due.path(), &pending.saying_nothing()),
        Ok(Decision::AskConsent(_)) => browser::on_to(app, request, "/consent", &pending.saying_nothing()),
    })
}

/// Reads a request of a client, with the hint that it may carry.
pub fn read(
    app: &App,
    client: &LiveClient,
    parameters: &Parameters,
) -> Result<AuthorizationRequest, OAuthError> {
    parse(&app.policy, client, parameters, |hint| read_hint(app, hint))
}

/// Who asks, and who is at the browser.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn load_facts(
    app: &App,
    request: &HttpRequest,
    redirect_target: &RedirectTarget,
    pending: &Pending,
) -> Result<Facts, PageError> {
    let (client, native) = (&redirect_target.client, redirect_target.is_native());
    let context = ClientContext::of(&app.live, client);
    let Some(hash) = browser::session_hash(app, request) else {
        return Ok(Facts::of_nobody(context, native));
    };
    let (client_id, limits, now) = (client.client.id.clone(), session::Limits::of(app), app.now());
    let loaded = app.store.read(move |conn| {
        let Some(loaded) = session::load(conn, &hash, limits, now)? else {
            return Ok(None);
        };
        let remembered = grants::consent(conn, &loaded.person.id, &client_id)?;
        let linked = match &loaded.session.identity_provider {
            Some(_) => identity_providers::links_of_person(conn, &loaded.person.id)?,
            None => Vec::new(),
        };
        Ok(Some((loaded, remembered, linked)))
    });
    let Some((loaded, remembered, linked)) = loaded.await? else {
        return Ok(Facts::of_nobody(context, native));
    };
    session::note_use(app, &loaded.session).await?;
    let linked: Vec<String> = linked.into_iter().map(|link| link.provider_id).collect();
    Ok(Facts {
        context,
        native,
        signed_in_for_this: pending.authenticated.as_deref() == Some(loaded.session.hash.as_str()),
        due: loaded.due(app),
        has_second_factor: loaded.has_second_factor(),
        was_asked: match &loaded.session.identity_provider {
            Some(id) if !asks_anew(app, id) => loaded.session.auth_time >= pending.created_at,
            _ => true,
        },
        never_fresh: is_never_fresh(app, &loaded, &linked),
        session: Some(loaded.session),
        person: Some(loaded.person),
        remembered,
    })
}

/// Whether people can sign in with a provider, and it asks them anew.
fn asks_anew(app: &App, provider_id: &str) -> bool {
    let provider = app.live.identity_provider(provider_id);
    provider.is_some_and(|provider| provider.asks_anew())
}

/// Whether nothing of an account that was signed in to by a provider can make a sign-in fresh. `linked`: the providers that
/// lead to it.
fn is_never_fresh(app: &App, loaded: &Loaded, linked: &[String]) -> bool {
    let person = &loaded.person;
    let own = person.password.is_some() || (loaded.has_passkey && !person.is_of_provider_alone());
    loaded.session.identity_provider.is_some() && !own && !linked.iter().any(|id| asks_anew(app, id))
}

/// A refusal is recorded when somebody is signed in; what strangers cause is only logged.
async fn record_refusal(
    app: &Arc<App>,
    request: &HttpRequest,
    redirect_target: &RedirectTarget,
    facts: &Facts,
    error: &OAuthError,
) {
    let Some(person) = &facts.person else { return };
    record(
        app,
        client_address::of(app, request),
        redirect_target,
        person,
        Kind::AuthorizationRefused,
        error,
    )
    .await;
}

/// Records that a person's request ended with an error.
pub async fn record(
    app: &Arc<App>,
    address: IpAddr,
    redirect_target: &RedirectTarget,
    person: &Person,
    kind: Kind,
    error: &OAuthError,
) {
    let event = app
        .event(kind, Actor::Person(person.id.clone()))
        .outcome(Outcome::MinorFailure)
        .client(&redirect_target.client.client.id)
        .from(address.to_string())
        .with("error", error.code.as_str())
        .with("reason", error.description.clone());
    let written = app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    if let Err(broken) = written.await {
        tracing::error!(cause = %broken, "a refusal could not be recorded");
    }
}
