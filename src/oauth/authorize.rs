//! The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): parse, load facts, decide, act.
//!
//! The order of the checks is the security argument. Client and redirect URI come first; only after them may an error
//! go back by redirect (RFC 6749 §4.1.2.1).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::id_token::read_hint;
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::error::{Code, OAuthError, PageError};
use crate::issuance::{CERTIFY, ClientContext, GrantRequest, certify_ends};
use crate::live::LiveClient;
use crate::model::client::{Consent, GrantType};
use crate::model::grant::{ClaimsRequest, RememberedConsent};
use crate::model::person::Person;
use crate::model::scope::{Scope, ScopeSet};
use crate::model::session::{ACR_AAL2, Session};
use crate::policy::grant::Granted;
use crate::session::{self, Due, client_address};
use crate::store::grants;
use crate::web::browser::{self, CookieKind, Destination, Pending};
use crate::web::parameters::{Parameters, shown};
use crate::web::redirect_target::{self, RedirectTarget, redirect_error};

/// The largest request that is looked at, in bytes of its query or form.
const LARGEST_REQUEST: usize = 8 * 1024;

/// How long a sign-in that was made for a request counts as made just now, in seconds: time to read the consent page.
const JUST_NOW_SECONDS: i64 = 300;

/// An authorization request whose parameters hold by themselves.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// `scope`
    pub scope: Option<ScopeSet>,
    /// `resource`, `aud`, `audience`
    pub targets: Vec<String>,
    /// `purpose_of_use`
    pub purposes: Vec<String>,
    /// `nonce`
    pub nonce: Option<String>,
    /// `code_challenge`, S256
    pub code_challenge: Option<String>,
    /// `prompt`
    pub prompt: Vec<String>,
    /// `max_age`, in seconds
    pub max_age: Option<i64>,
    /// `claims`, by name
    pub claims: ClaimsRequest,
    /// The subject that the client expects (`id_token_hint`, or `sub` in `claims`).
    pub expected_subject: Option<String>,
    /// An assurance level that the client cannot do without (`acr` marked essential in `claims`).
    pub essential_acr: Vec<String>,
    /// Assurance levels that the client would rather have (`acr_values`, or `acr` in `claims`).
    pub preferred_acr: Vec<String>,
}

impl AuthorizationRequest {
    fn prompts(&self, value: &str) -> bool {
        self.prompt.iter().any(|prompt| prompt == value)
    }

    /// What has to come first so that the session reaches a level that the client asks for, where it can.
    fn step_up(&self, session: &Session, has_second_factor: bool) -> Option<Due> {
        let asked = if self.essential_acr.is_empty() {
            &self.preferred_acr
        } else {
            &self.essential_acr
        };
        let reached = asked.is_empty() || asked.contains(&session.acr);
        let reachable = asked.iter().any(|acr| acr == ACR_AAL2);
        (!reached && reachable).then_some(if has_second_factor {
            Due::SecondFactor
        } else {
            Due::Enrolment
        })
    }
}

/// Who is at the browser, as the database knows it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The session, if there is one and it holds.
    pub session: Option<Session>,
    /// The person of the session.
    pub person: Option<Person>,
    /// What comes before anything else in the session.
    pub due: Option<Due>,
    /// Whether the account has a second factor.
    pub has_second_factor: bool,
    /// What the person allowed this client before.
    pub remembered: Option<RememberedConsent>,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Decision {
    /// The person has to sign in (again).
    LogIn,
    /// Something comes first: the second factor, a new password, setting up a second factor.
    Due(Due),
    /// The person has to be asked.
    AskConsent(Granted),
    /// A code may be issued.
    Issue(Granted),
}

/// `GET /oauth2/authorize`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    let query = request.query_string().as_bytes();
    let pending = match sealed_or_new(&app, &request, query) {
        Ok(pending) => pending,
        Err(error) => return browser::error_page(&app, &error),
    };
    answer(&app, &request, pending).await
}

/// `POST /oauth2/authorize` (OpenID Connect Core §3.1.2.1). A form of another site arrives without our Lax cookies, so
/// the request is sealed and sent to our own GET.
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let parsed = Parameters::from_body(&request, body)
        .await
        .map_err(|error| PageError::malformed(error.description));
    match parsed.and_then(|parameters| new_pending(&app, parameters)) {
        Ok(pending) => browser::see_other(
            &browser::page_url("/oauth2/authorize", &pending.seal(&app, None)),
            &[],
        ),
        Err(error) => browser::error_page(&app, &error),
    }
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
                _ => Pending::open(app, sealed, None),
            }
        }
    }
}

async fn answer(app: &Arc<App>, request: &HttpRequest, pending: Pending) -> HttpResponse {
    let Some(parameters) = pending.parameters() else {
        return browser::error_page(
            app,
            &PageError::new("This sign-in was not for an application.").details("Parameter: pending."),
        );
    };
    if let Err(broken) = app.live.require_fresh() {
        return browser::error_page(app, &broken.into());
    }
    let redirect_target = match redirect_target::find(app, parameters) {
        Ok(redirect_target) => redirect_target,
        Err(error) => return browser::error_page(app, &error),
    };
    let parsed = match parse(app, &redirect_target.client, parameters) {
        Ok(parsed) => parsed,
        Err(error) => return redirect_error(app, &redirect_target, &error),
    };
    let facts = match load_facts(app, request, &redirect_target.client.client.id).await {
        Ok(facts) => facts,
        Err(error) => return browser::error_page(app, &error),
    };
    match decide(app, &redirect_target, &parsed, &facts, &pending) {
        Err(error) => {
            record_refusal(app, request, &redirect_target, &facts, &error).await;
            redirect_error(app, &redirect_target, &error)
        }
        Ok(Decision::Issue(granted)) => {
            let issue = super::consent::Issue {
                redirect_target: &redirect_target,
                request: &parsed,
                facts: &facts,
                granted,
                offered: None,
            };
            super::consent::issue(app, client_address::of(app, request), issue).await
        }
        Ok(Decision::LogIn) => browser::on_to(app, request, "/login", &pending),
        Ok(Decision::Due(due)) => browser::on_to(app, request, due.path(), &pending),
        Ok(Decision::AskConsent(_)) => browser::on_to(app, request, "/consent", &pending),
    }
}

/// Everything else that a request says, checked by itself, in order.
///
/// # Errors
/// What goes back to the client.
pub fn parse(
    app: &App,
    live: &LiveClient,
    parameters: &Parameters,
) -> Result<AuthorizationRequest, OAuthError> {
    let invalid = |text: &str| OAuthError::invalid_request(text);
    if let Some(name) = parameters.repeated() {
        return Err(invalid(&format!(
            "parameter {} must not be repeated",
            shown(name)
        )));
    }
    // OpenID Connect Core §6
    if parameters.one("request")?.is_some() {
        return Err(OAuthError::new(
            Code::RequestNotSupported,
            "request objects are not supported: send the parameters themselves",
        ));
    }
    if parameters.one("request_uri")?.is_some() {
        return Err(OAuthError::new(
            Code::RequestUriNotSupported,
            "request_uri is not supported: send the parameters themselves",
        ));
    }
    // RFC 6749 §3.1.1
    match parameters.required("response_type")? {
        "code" => {}
        other => {
            return Err(OAuthError::new(
                Code::UnsupportedResponseType,
                format!("response_type must be code; found {}", shown(other)),
            ));
        }
    }
    match parameters.one("response_mode")? {
        None | Some("query" | "form_post") => {}
        Some(other) => {
            return Err(invalid(&format!(
                "response_mode must be query or form_post; found {}",
                shown(other)
            )));
        }
    }
    if !live.client.may_use(GrantType::AuthorizationCode) {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for authorization_code",
        ));
    }
    let code_challenge = parse_pkce(live, parameters)?;
    let scope = super::client_credentials::requested_scope(parameters)?;
    let prompt = parse_prompt(parameters)?;
    let max_age = parameters
        .one("max_age")?
        .map(|text| {
            text.parse::<i64>()
                .ok()
                .filter(|seconds| *seconds >= 0)
                .ok_or_else(|| {
                    invalid(&format!(
                        "max_age must be a number of seconds; found {}",
                        shown(text)
                    ))
                })
        })
        .transpose()?;
    let acr_values = parameters.one("acr_values")?.unwrap_or_default();
    let acr_values = acr_values.split_ascii_whitespace().map(str::to_owned).collect();
    let mut request = AuthorizationRequest {
        scope,
        targets: parameters.targets()?,
        purposes: parameters.purposes()?,
        nonce: parameters.one("nonce")?.map(str::to_owned),
        code_challenge,
        prompt,
        max_age,
        claims: ClaimsRequest::default(),
        expected_subject: None,
        essential_acr: Vec::new(),
        preferred_acr: acr_values,
    };
    parse_claims(parameters, &mut request)?;
    // A claim asked for by name asks for the scope that releases it, so that client and person have their say.
    if let Some(scope) = &request.scope {
        let named = request.claims.id_token.iter().chain(&request.claims.userinfo);
        let releasing: ScopeSet = named
            .filter_map(|name| app.policy.scope_of_claim(name))
            .map(|scope| Scope::Named(scope.to_owned()))
            .collect();
        request.scope = Some(scope.join(&releasing));
    }
    if let Some(hint) = parameters.one("id_token_hint")? {
        let hint = read_hint(app, hint)
            .filter(|hint| hint.client_id == live.client.id)
            .ok_or_else(|| {
                invalid("id_token_hint is not an ID token that this server issued to this client")
            })?;
        request.expected_subject = Some(hint.sub);
    }
    Ok(request)
}

/// PKCE with S256 only (RFC 7636 §4.3, RFC 9700 §2.1.1).
fn parse_pkce(live: &LiveClient, parameters: &Parameters) -> Result<Option<String>, OAuthError> {
    let invalid = |text: &str| OAuthError::invalid_request(text);
    let method = parameters.one("code_challenge_method")?;
    let Some(challenge) = parameters.one("code_challenge")? else {
        if live.client.settings.require_pkce || live.client.is_public() {
            return Err(invalid(
                "code_challenge is missing: this client must use PKCE with S256 (RFC 7636)",
            ));
        }
        return match method {
            Some(_) => Err(invalid("code_challenge_method without code_challenge")),
            None => Ok(None),
        };
    };
    if method != Some("S256") {
        return Err(invalid(
            "code_challenge_method must be S256; plain is not accepted",
        ));
    }
    let well_formed = challenge.len() == 43
        && challenge
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !well_formed {
        return Err(invalid(
            "code_challenge must be base64url of SHA-256: 43 characters",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

/// OpenID Connect Core §3.1.2.1
fn parse_prompt(parameters: &Parameters) -> Result<Vec<String>, OAuthError> {
    let prompt: Vec<String> = parameters
        .one("prompt")?
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    if let Some(unknown) = prompt
        .iter()
        .find(|value| !["none", "login", "consent"].contains(&value.as_str()))
    {
        return Err(OAuthError::invalid_request(format!(
            "prompt must be none, login or consent; found {}",
            shown(unknown)
        )));
    }
    if prompt.len() > 1 && prompt.iter().any(|value| value == "none") {
        return Err(OAuthError::invalid_request("prompt=none must stand alone"));
    }
    Ok(prompt)
}

/// One claim of the `claims` parameter (OpenID Connect Core §5.5.1).
#[derive(Debug, Default, Deserialize)]
struct ClaimWish {
    #[serde(default)]
    essential: bool,
    value: Option<String>,
    values: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct ClaimsParameter {
    #[serde(default)]
    id_token: BTreeMap<String, Option<serde_json::Value>>,
    #[serde(default)]
    userinfo: BTreeMap<String, Option<serde_json::Value>>,
}

/// OpenID Connect Core §5.5
fn parse_claims(parameters: &Parameters, request: &mut AuthorizationRequest) -> Result<(), OAuthError> {
    let Some(text) = parameters.one("claims")? else {
        return Ok(());
    };
    let claims: ClaimsParameter = serde_json::from_str(text).map_err(|cause| {
        OAuthError::invalid_request(format!(
            "claims is not the JSON of OpenID Connect Core 5.5: {}",
            shown(&cause.to_string())
        ))
    })?;
    let wish = |name: &str| {
        let value = claims.id_token.get(name).cloned().flatten();
        value
            .and_then(|value| serde_json::from_value::<ClaimWish>(value).ok())
            .unwrap_or_default()
    };
    request.expected_subject = wish("sub").value;
    let acr = wish("acr");
    let levels = acr.values.unwrap_or_default().into_iter().chain(acr.value);
    if acr.essential {
        request.essential_acr = levels.collect();
    } else {
        request.preferred_acr.extend(levels);
    }
    request.claims.id_token = claims.id_token.keys().cloned().collect();
    request.claims.userinfo = claims.userinfo.keys().cloned().collect();
    Ok(())
}

/// Who is at the browser.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn load_facts(app: &App, request: &HttpRequest, client_id: &str) -> Result<Facts, PageError> {
    let Some(hash) = browser::session_hash(app, request) else {
        return Ok(Facts::default());
    };
    let (client_id, limits, now) = (client_id.to_owned(), session::Limits::of(app), app.now());
    let loaded = app.store.read(move |conn| {
        let Some(loaded) = session::load(conn, &hash, limits, now)? else {
            return Ok(None);
        };
        let remembered = grants::consent(conn, &loaded.person.id, &client_id)?;
        Ok(Some((loaded, remembered)))
    });
    let Some((loaded, remembered)) = loaded.await? else {
        return Ok(Facts::default());
    };
    session::note_use(app, &loaded.session).await?;
    Ok(Facts {
        due: loaded.due(app),
        has_second_factor: loaded.has_second_factor(),
        session: Some(loaded.session),
        person: Some(loaded.person),
        remembered,
    })
}

/// Decides about a request whose parameters hold, in this order. Pure but for the clock and what is live.
///
/// # Errors
/// What goes back to the client.
pub fn decide(
    app: &App,
    redirect_target: &RedirectTarget,
    request: &AuthorizationRequest,
    facts: &Facts,
    pending: &Pending,
) -> Result<Decision, OAuthError> {
    let silent = request.prompts("none");
    let log_in = |why: &str| {
        if silent {
            Err(OAuthError::new(Code::LoginRequired, why))
        } else {
            Ok(Decision::LogIn)
        }
    };
    let context = ClientContext::of(app, &redirect_target.client);
    let grant_request = GrantRequest {
        scope: request.scope.as_ref(),
        targets: &request.targets,
        purposes: &request.purposes,
    };
    let (Some(session), Some(person)) = (&facts.session, &facts.person) else {
        // What can never be granted is told before anybody types a password.
        check_targets(app, &context, grant_request)?;
        return log_in("nobody is signed in");
    };
    let comes_first = |due: Due| {
        if silent {
            Err(OAuthError::new(Code::LoginRequired, due.why()))
        } else {
            Ok(Decision::Due(due))
        }
    };
    if let Some(due) = facts.due {
        return comes_first(due);
    }
    // Signed in for this very request, and lately: prompt and max_age are satisfied.
    let age = app.now() - session.auth_time;
    let just_now = pending.authenticated.as_deref() == Some(session.hash.as_str()) && age <= JUST_NOW_SECONDS;
    if !just_now && request.prompts("login") {
        return Ok(Decision::LogIn);
    }
    if !just_now
        && request
            .max_age
            .is_some_and(|max_age| max_age == 0 || age > max_age)
    {
        return log_in("the sign-in is older than max_age");
    }
    if request
        .expected_subject
        .as_ref()
        .is_some_and(|subject| *subject != person.id)
    {
        if just_now {
            return Err(OAuthError::new(
                Code::LoginRequired,
                "somebody else signed in than the client asked for",
            ));
        }
        return log_in("somebody else is signed in");
    }
    // RFC 9470 §5: what the account can reach is asked for, what it cannot is told where it is essential.
    if let Some(due) = request.step_up(session, facts.has_second_factor) {
        return comes_first(due);
    }
    if !request.essential_acr.is_empty() && !request.essential_acr.contains(&session.acr) {
        return Err(OAuthError::new(
            Code::UnmetAuthenticationRequirements,
            "the account cannot reach the acr that the client marked essential",
        ));
    }
    let granted = context.grant_person(app, person, session.has_second_factor(), grant_request)?;
    let certifies = granted.scopes.contains(CERTIFY);
    if certifies && app.now() >= certify_ends(app, session.auth_time) {
        return log_in("signing a certificate needs a fresh sign-in");
    }
    let asked = redirect_target.client.client.settings.consent == Consent::Ask;
    let client = &redirect_target.client.client;
    let remembered = facts.remembered.as_ref().is_some_and(|before| {
        (before.person_generation, before.client_generation) == (person.generation, client.generation)
            && (granted.target.is_none() || before.target == granted.target)
            && granted.purposes.iter().all(|code| before.purposes.contains(code))
            && before.scope.covers(&granted.scopes)
    });
    if certifies || request.prompts("consent") || (asked && !remembered) {
        return if silent {
            Err(OAuthError::new(
                Code::ConsentRequired,
                "the person has to be asked",
            ))
        } else {
            Ok(Decision::AskConsent(granted))
        };
    }
    Ok(Decision::Issue(granted))
}

/// Targets and purposes that no person could be granted: told at once.
fn check_targets(
    app: &App,
    context: &ClientContext,
    grant_request: GrantRequest<'_>,
) -> Result<(), OAuthError> {
    let nobody = Person::unknown();
    match context.grant_person(app, &nobody, false, grant_request) {
        Err(error) if error.code == Code::InvalidTarget => Err(error),
        _ => Ok(()),
    }
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
