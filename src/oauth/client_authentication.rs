//! Client authentication, one module for every endpoint (RFC 6749 §2.3, RFC 7523 §2.2, OpenID Connect Core §9).
//!
//! Clients and resource servers authenticate alike. Before somebody is known, an error tells what was sent and what is
//! public; which keys we hold, or that a client is disabled, stands in the log.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use data_encoding::BASE64;
use url::form_urlencoded;

use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::audit::reason::Reason;
use crate::error::{Challenge, Code, OAuthError};
use crate::keys::{AssertionClaims, AssertionProblem, ClientKeys, unverified_claims, verify_assertion};
use crate::live::jwks_cache::NoKeys;
use crate::live::{LiveClient, LiveServer, valid_secrets};
use crate::model::client::AuthMethod;
use crate::model::registered::StoredSecret;
use crate::model::secret::{Secret, SecretHash};
use crate::model::signing::Algorithm;
use crate::session::client_address;
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, secrets, tokens};
use crate::web::parameters::{Parameters, shown};
use crate::web::refusals;

/// RFC 7523 §2.2
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion may live, in seconds (SMART App Launch, client-confidential-asymmetric).
pub const LONGEST_ASSERTION_SECONDS: i64 = 300;
/// How far a client's clock may be ahead of ours, in seconds.
pub const CLOCK_SKEW_SECONDS: i64 = 10;
const NO_AUTHENTICATION: &str = "no client authentication: send the Authorization header, client_id with client_secret, or client_assertion";
const NOT_BEARER: &str = "a client does not authenticate with 'Authorization: Bearer': put a signed JWT into the parameter client_assertion, beside client_assertion_type (RFC 7523 §2.2), and a secret into 'Authorization: Basic'";
/// The longest `jti` that is looked at, in bytes.
pub const LONGEST_JTI: usize = 255;

/// Who authenticated.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A client.
    Client(Arc<LiveClient>),
    /// A resource server, for introspection.
    ResourceServer(Arc<LiveServer>),
}

impl Caller {
    /// The `client_id`.
    pub fn id(&self) -> &str {
        match self {
            Self::Client(live) => &live.client.id,
            Self::ResourceServer(live) => &live.server.id,
        }
    }

    fn enabled(&self) -> bool {
        match self {
            Self::Client(live) => live.is_served(),
            Self::ResourceServer(live) => live.is_served(),
        }
    }

    fn secrets(&self) -> &[StoredSecret] {
        match self {
            Self::Client(live) => &live.client.secrets,
            Self::ResourceServer(live) => &live.server.secrets,
        }
    }

    /// A client authenticates as it registered; a resource server by what it has.
    fn allows(&self, method: AuthMethod) -> bool {
        match self {
            Self::Client(live) => live.client.settings.allows(method),
            Self::ResourceServer(live) => match method {
                AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
                    !live.server.secrets.is_empty()
                }
                AuthMethod::PrivateKeyJwt => live.keys.is_some() || live.server.settings.jwks_uri.is_some(),
                AuthMethod::None => false,
            },
        }
    }

    fn inline_keys(&self) -> Option<&ClientKeys> {
        match self {
            Self::Client(live) => live.keys.as_ref(),
            Self::ResourceServer(live) => live.keys.as_ref(),
        }
    }

    fn jwks_uri(&self) -> Option<&str> {
        match self {
            Self::Client(live) => live.client.settings.jwks_uri.as_deref(),
            Self::ResourceServer(live) => live.server.settings.jwks_uri.as_deref(),
        }
    }

    fn algorithms(&self) -> &[Algorithm] {
        match self {
            Self::Client(live) if !live.client.settings.signing_algs.is_empty() => {
                &live.client.settings.signing_algs
            }
            _ => &Algorithm::ACCEPTED,
        }
    }
}

/// The `jti` of an assertion, to be burned in the endpoint's own write.
#[derive(Debug, Clone)]
struct Burn {
    hash: String,
    purge_at: i64,
}

/// A caller that proved who it is. What remains to be written, [`Authenticated::settle`] writes.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who.
    pub caller: Caller,
    /// How.
    pub method: AuthMethod,
    /// From where.
    pub address: IpAddr,
    burn: Option<Burn>,
    /// The secret that was used, and when, unless that was noted within the last minute.
    used_secret: Option<(String, i64)>,
}

impl Authenticated {
    /// Burns the assertion's `jti` and notes the use of a secret, in the endpoint's one write, refusals included.
    /// Answers false when the `jti` was used before: then nothing else may be done.
    pub fn settle(&self, tx: &mut Tx<'_>) -> Stored<bool> {
        if let Some((id, at)) = &self.used_secret {
            secrets::used(tx.conn(), id, *at)?;
            let kind = match self.caller {
                Caller::Client(_) => ChangeKind::Client,
                Caller::ResourceServer(_) => ChangeKind::ResourceServer,
            };
            tx.changed(Change {
                kind,
                subject: self.caller.id().to_owned(),
                purge_at: at + 3600,
            });
        }
        match &self.burn {
            Some(burn) => tokens::burn_jti(tx.conn(), &burn.hash, burn.purge_at),
            None => Ok(true),
        }
    }

    /// The same caller, after a write that has settled.
    pub fn settled(&self) -> Self {
        Self {
            burn: None,
            used_secret: None,
            ..self.clone()
        }
    }

    /// Whether [`Authenticated::settle`] has nothing to write.
    pub fn is_settled(&self) -> bool {
        self.burn.is_none() && self.used_secret.is_none()
    }
}

/// Under what the database knows that an assertion was used.
pub fn jti_hash(client_id: &str, jti: &str) -> SecretHash {
    SecretHash::of(&format!("{client_id}\0{jti}"))
}

/// What is said when a `jti` was used before (RFC 7523 §3).
pub fn replayed_assertion() -> OAuthError {
    OAuthError::new(
        Code::InvalidClient,
        "the jti of client_assertion was used before: make a new assertion for each request",
    )
}

/// What was sent to authenticate with.
enum Presented {
    Basic {
        id: String,
        secrets: Vec<Secret>,
    },
    Post {
        id: String,
        secret: Secret,
    },
    Assertion {
        assertion: String,
        client_id: Option<String>,
    },
    Public {
        id: String,
    },
}

/// Authenticates the caller of an endpoint.
///
/// # Errors
/// `invalid_client`, or `invalid_request` for a request that authenticates twice or not at all.
pub async fn authenticate(
    app: &App,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let address = client_address::of(app, request);
    let presented = presented(request, parameters)?;
    let id = match &presented {
        Presented::Basic { id, .. } | Presented::Post { id, .. } | Presented::Public { id } => {
            Some(id.clone())
        }
        Presented::Assertion { assertion, .. } => unverified_claims(assertion).ok().map(|claims| claims.iss),
    };
    // Others may share the address: whoever failed too often is refused what fails again, never what is right.
    let limited = is_limited(app, address, id.as_deref());
    match verify(app, presented, limited).await {
        Ok((caller, method, burn, used_secret)) => {
            // Anybody may say the name of a public client.
            if method != AuthMethod::None {
                refusals::note_known(request);
            }
            Ok(Authenticated {
                caller,
                method,
                address,
                burn,
                used_secret,
            })
        }
        Err(refusal) if limited && refusal.code == Code::InvalidClient => {
            app.failure_counts
                .count(address, Failed::Client(counted_as(app, id.as_deref())), app.now());
            Err(throttled())
        }
        Err(refusal) => Err(note_failure(app, address, id.as_deref(), refusal).await),
    }
}

/// Authenticates whoever refreshes. A public client may leave its `client_id` out, as SMART App Launch 2.2 writes the
/// request (§2.0.12): the token names the client. A token of a client that has to authenticate says nothing without that.
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_refresh(
    app: &App,
    request: &HttpRequest,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let says_who = request.headers().contains_key(AUTHORIZATION)
        || [
            "client_id",
            "client_secret",
            "client_assertion",
            "client_assertion_type",
        ]
        .into_iter()
        .any(|name| parameters.one(name).is_ok_and(|value| value.is_some()));
    let token = parameters.one("refresh_token")?;
    let Some(token) = token.filter(|_| !says_who) else {
        return authenticate(app, request, parameters).await;
    };
    let hash = SecretHash::of(token).as_str().to_owned();
    let owner = app
        .store
        .read(move |conn| tokens::client_of_refresh(conn, &hash))
        .await?;
    let address = client_address::of(app, request);
    let caller = owner.as_deref().and_then(|id| find(app, id));
    match caller.filter(|caller| caller.enabled() && caller.allows(AuthMethod::None)) {
        Some(caller) => Ok(Authenticated {
            caller,
            method: AuthMethod::None,
            address,
            burn: None,
            used_secret: None,
        }),
        None if is_limited(app, address, None) => Err(throttled()),
        None => {
            let refusal = Refused {
                code: Code::InvalidClient,
                reason: Reason::UnknownClient,
                told: NO_AUTHENTICATION.to_owned(),
                logged: "a refresh token without client authentication: unknown, or of a client that has to authenticate"
                    .to_owned(),
            };
            let error = note_failure(app, address, None, refusal).await;
            Err(error.challenged(Challenge::Basic))
        }
    }
}

fn presented(request: &HttpRequest, parameters: &Parameters) -> Result<Presented, OAuthError> {
    let client_id = parameters.one("client_id")?.map(str::to_owned);
    let secret = parameters.one("client_secret")?;
    let assertion = parameters.one("client_assertion")?;
    let assertion_type = parameters.one("client_assertion_type")?;
    let header = request.headers().get(AUTHORIZATION);
    let ways = usize::from(header.is_some())
        + usize::from(secret.is_some())
        + usize::from(assertion.is_some() || assertion_type.is_some());
    if ways > 1 {
        return Err(OAuthError::invalid_request(
            "the client authenticates in more than one way: use one of the Authorization header, client_secret, client_assertion (RFC 6749 §2.3)",
        ));
    }
    if let Some(header) = header {
        let (id, secrets) = header.to_str().ok().and_then(basic).ok_or_else(|| {
            let bearer = header.as_bytes().get(..7).unwrap_or_default();
            let wanted = if bearer.eq_ignore_ascii_case(b"Bearer ") {
                NOT_BEARER
            } else {
                "the Authorization header must be 'Basic' with base64 of client_id:client_secret (RFC 6749 §2.3.1)"
            };
            OAuthError::new(Code::InvalidClient, wanted).challenged(Challenge::Basic)
        })?;
        if client_id.is_some_and(|named| named != id) {
            return Err(OAuthError::invalid_request(
                "client_id differs from the one in the Authorization header",
            ));
        }
        return Ok(Presented::Basic { id, secrets });
    }
    if assertion.is_some() || assertion_type.is_some() {
        if assertion_type != Some(ASSERTION_TYPE) {
            return Err(OAuthError::new(
                Code::InvalidClient,
                format!("client_assertion_type must be {ASSERTION_TYPE}"),
            ));
        }
        let assertion = parameters.required("client_assertion")?.to_owned();
        return Ok(Presented::Assertion { assertion, client_id });
    }
    match (client_id, secret) {
        (Some(id), Some(secret)) => Ok(Presented::Post {
            id,
            secret: Secret::new(secret),
        }),
        (Some(id), None) => Ok(Presented::Public { id }),
        (None, Some(_)) => Err(OAuthError::new(
            Code::InvalidClient,
            "client_secret without client_id",
        )),
        (None, None) => {
            Err(OAuthError::new(Code::InvalidClient, NO_AUTHENTICATION).challenged(Challenge::Basic))
        }
    }
}

/// Id and secret of HTTP Basic. Both are form-encoded (RFC 6749 §2.3.1), which many clients forget: so the secret as it
/// stands counts too.
fn basic(header: &str) -> Option<(String, Vec<Secret>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim().as_bytes()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form_decoded = |text: &str| {
        // A lone name is parsed as a pair with an empty value.
        form_urlencoded::parse(text.replace('=', "%3D").replace('&', "%26").as_bytes())
            .next()
            .map(|(name, _)| name.into_owned())
    };
    let id = form_decoded(id)?;
    let mut secrets = vec![Secret::new(secret)];
    if secret.contains(['%', '+']) {
        secrets.extend(form_decoded(secret).map(Secret::new));
    }
    Some((id, secrets))
}

type Verified = (Caller, AuthMethod, Option<Burn>, Option<(String, i64)>);

/// Why authentication failed: what the caller is told, and what only the log is told.
struct Refused {
    code: Code,
    reason: Reason,
    told: String,
    logged: String,
}

impl Refused {
    fn told(reason: Reason, text: impl Into<String>) -> Self {
        let told = text.into();
        Self {
            code: Code::InvalidClient,
            reason,
            logged: told.clone(),
            told,
        }
    }

    fn secret(reason: Reason, cause: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidClient,
            reason,
            told: "client authentication failed: unknown client, wrong secret, or not the method it is registered for"
                .to_owned(),
            logged: cause.into(),
        }
    }

    /// The caller may be who it says: nobody can tell just now.
    fn keys_unreachable(uri: &str, cause: &str) -> Self {
        Self {
            code: Code::TemporarilyUnavailable,
            reason: Reason::KeysUnreachable,
            told: "the keys at the client's jwks_uri could not be fetched, twice: try again, and look whether that address answers"
                .to_owned(),
            logged: format!("the keys at {uri} cannot be had: {cause}"),
        }
    }

    fn key(reason: Reason, cause: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidClient,
            reason,
            told: "client_assertion does not verify: unknown client, a kid, alg or jku that fits none of its registered keys, or a wrong signature".to_owned(),
            logged: cause.into(),
        }
    }
}

impl From<AssertionProblem> for Refused {
    fn from(problem: AssertionProblem) -> Self {
        match problem {
            AssertionProblem::Refused(text) => Self::told(Reason::BadAssertion, text),
            AssertionProblem::UnknownKey(kid) => {
                Self::key(Reason::UnknownKey, format!("no key has the kid {}", shown(&kid)))
            }
            AssertionProblem::Key(cause) => Self::key(Reason::BadAssertion, cause),
        }
    }
}

fn find(app: &App, id: &str) -> Option<Caller> {
    if let Some(live) = app.live.client(id) {
        return Some(Caller::Client(live));
    }
    app.live.resource_server(id).map(Caller::ResourceServer)
}

/// Verifies what was sent; `limited`: an unknown `kid` fetches nothing.
async fn verify(app: &App, presented: Presented, limited: bool) -> Result<Verified, Refused> {
    match presented {
        Presented::Basic { id, secrets } => verify_secret(app, &id, &secrets, AuthMethod::ClientSecretBasic),
        Presented::Post { id, secret } => verify_secret(app, &id, &[secret], AuthMethod::ClientSecretPost),
        Presented::Public { id } => match find(app, &id) {
            Some(caller) if caller.enabled() && caller.allows(AuthMethod::None) => {
                Ok((caller, AuthMethod::None, None, None))
            }
            _ => Err(Refused {
                code: Code::InvalidClient,
                reason: Reason::UnknownClient,
                told: "only client_id was sent: unknown client, or one that has to authenticate".to_owned(),
                logged: format!("client {} is unknown, disabled or not public", shown(&id)),
            }),
        },
        Presented::Assertion { assertion, client_id } => {
            verify_client_assertion(app, &assertion, client_id.as_deref(), limited).await
        }
    }
}

fn verify_secret(app: &App, id: &str, sent: &[Secret], method: AuthMethod) -> Result<Verified, Refused> {
    let now = app.now();
    let caller = find(app, id);
    let hashes: Vec<SecretHash> = sent.iter().map(Secret::hash).collect();
    // An unknown client costs the same comparison as a wrong secret.
    let decoy = [StoredSecret {
        id: String::new(),
        hash: SecretHash::of(""),
        created_at: 0,
        expires_at: None,
        last_used_at: None,
    }];
    let stored = caller.as_ref().map_or(decoy.as_slice(), Caller::secrets);
    let matching = valid_secrets(stored, now)
        .filter(|secret| hashes.iter().any(|hash| secret.hash.matches(hash)))
        .last()
        .cloned();
    match (caller, matching) {
        (Some(caller), Some(secret)) if !caller.enabled() => Err(Refused::secret(
            Reason::Disabled,
            format!("client {id} is disabled (its secret {} is right)", secret.id),
        )),
        (Some(caller), Some(_)) if !caller.allows(method) => Err(Refused::secret(
            Reason::WrongMethod,
            format!("client {id} is not registered for {}", method.as_str()),
        )),
        (Some(caller), Some(secret)) => {
            let noted = secret.last_used_at.is_some_and(|at| now - at < 60);
            let used = (!noted).then(|| (secret.id.clone(), now));
            Ok((caller, method, None, used))
        }
        (Some(_), None) => Err(Refused::secret(
            Reason::WrongSecret,
            format!("wrong or ended secret for client {id}"),
        )),
        (None, _) => Err(Refused::secret(
            Reason::UnknownClient,
            format!("unknown client {}", shown(id)),
        )),
    }
}

async fn verify_client_assertion(
    app: &App,
    assertion: &str,
    client_id: Option<&str>,
    limited: bool,
) -> Result<Verified, Refused> {
    let now = app.now();
    let claims = unverified_claims(assertion)?;
    check_claims(app, &claims, client_id, now).map_err(|(reason, text)| Refused::told(reason, text))?;
    let Some(caller) = find(app, &claims.iss) else {
        return Err(Refused::key(
            Reason::UnknownClient,
            format!("unknown client {}", shown(&claims.iss)),
        ));
    };
    if !caller.enabled() || !caller.allows(AuthMethod::PrivateKeyJwt) {
        let reason = if caller.enabled() {
            Reason::WrongMethod
        } else {
            Reason::Disabled
        };
        return Err(Refused::key(
            reason,
            format!(
                "client {} is disabled or not registered for private_key_jwt",
                caller.id()
            ),
        ));
    }
    let verified = verify_with_keys(app, &caller, assertion, limited, now).await?;
    let jti = jti_hash(caller.id(), &verified.jti);
    let burn = Burn {
        hash: jti.as_str().to_owned(),
        purge_at: verified.exp + LONGEST_ASSERTION_SECONDS,
    };
    Ok((caller, AuthMethod::PrivateKeyJwt, Some(burn), None))
}

/// Inline keys, or those behind `jwks_uri`, fetched again for a `kid` they lack.
async fn verify_with_keys(
    app: &App,
    caller: &Caller,
    assertion: &str,
    limited: bool,
    now: i64,
) -> Result<AssertionClaims, Refused> {
    let (algorithms, uri) = (caller.algorithms(), caller.jwks_uri());
    if let Some(keys) = caller.inline_keys() {
        return Ok(verify_assertion(keys, algorithms, uri, assertion)?);
    }
    let uri = uri.ok_or_else(|| Refused::key(Reason::UnknownKey, "no keys are registered"))?;
    let unreachable = |cause: NoKeys| match cause {
        NoKeys::Unreachable(cause) => Refused::keys_unreachable(uri, &cause),
        NoKeys::Unusable(cause) => Refused::key(
            Reason::KeysUnreachable,
            format!("the keys at {uri} are of no use: {cause}"),
        ),
    };
    let keys = app.jwks.keys(uri, None, now).await.map_err(unreachable)?;
    match verify_assertion(&keys, algorithms, Some(uri), assertion) {
        Err(AssertionProblem::UnknownKey(kid)) if !limited => {
            let keys = app.jwks.keys(uri, Some(&kid), now).await.map_err(unreachable)?;
            Ok(verify_assertion(&keys, algorithms, Some(uri), assertion)?)
        }
        outcome => Ok(outcome?),
    }
}

/// What is wrong with an assertion in itself (RFC 7523 §3, SMART App Launch client-confidential-asymmetric).
fn check_claims(
    app: &App,
    claims: &AssertionClaims,
    client_id: Option<&str>,
    now: i64,
) -> Result<(), (Reason, String)> {
    let bad = |text: String| (Reason::BadAssertion, text);
    let time = |text: String| (Reason::WrongTime, text);
    if claims.iss != claims.sub {
        return Err(bad(
            "iss and sub of client_assertion must both be the client_id".to_owned()
        ));
    }
    if client_id.is_some_and(|id| id != claims.iss) {
        return Err(bad("client_id differs from iss of client_assertion".to_owned()));
    }
    let token_endpoint = app.url("/oauth2/token");
    if !claims
        .audience()
        .is_some_and(|audience| audience == app.issuer() || audience == token_endpoint)
    {
        return Err((
            Reason::WrongAudience,
            format!(
                "aud of client_assertion must be '{}' or '{token_endpoint}', and nothing beside it; found {}",
                app.issuer(),
                shown(&claims.aud.to_string())
            ),
        ));
    }
    if claims.exp <= now {
        return Err(time(format!(
            "client_assertion has expired: exp is {}, server time is {now}",
            claims.exp
        )));
    }
    for (name, at) in [("iat", claims.iat), ("nbf", claims.nbf)] {
        if at.is_some_and(|at| at > now.saturating_add(CLOCK_SKEW_SECONDS)) {
            return Err(time(format!(
                "{name} of client_assertion is more than {CLOCK_SKEW_SECONDS} s ahead: server time is {now}"
            )));
        }
    }
    if claims.exp > now.saturating_add(LONGEST_ASSERTION_SECONDS + CLOCK_SKEW_SECONDS) {
        return Err(time(format!(
            "client_assertion lives too long: exp may be at most {LONGEST_ASSERTION_SECONDS} s ahead; exp is {}, server time is {now}",
            claims.exp
        )));
    }
    if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
        return Err(bad(format!(
            "jti of client_assertion must have 1 to {LONGEST_JTI} bytes"
        )));
    }
    Ok(())
}

/// Under what a failed caller is throttled: the id as it was sent, known or not, so that nobody learns from it which
/// ids exist. Its hash, for people paste secrets where ids belong.
fn throttle_subject(id: Option<&str>) -> String {
    SecretHash::of(id.unwrap_or_default()).as_str().to_owned()
}

/// Whether an address has failed too often within the minute, in the name of an id.
fn is_limited(app: &App, address: IpAddr, id: Option<&str>) -> bool {
    let failed = app
        .failure_counts
        .attempts(address, &throttle_subject(id), app.now());
    failed >= app.config.login.address_attempts_per_minute
}

fn throttled() -> OAuthError {
    OAuthError::new(
        Code::Throttled,
        "too many failed requests like this one from this address: wait a minute",
    )
}

/// Counts a failure of somebody who may be anybody. Answers what is to be recorded.
#[must_use]
pub fn note_stranger(app: &App, address: IpAddr, subject: &str, event: Event) -> Vec<Event> {
    let noted = app
        .failure_counts
        .note(address, Failed::Client(subject), app.now());
    if noted == Noted::First {
        vec![event]
    } else {
        Vec::new()
    }
}

/// Under what the failures of whoever says an id are counted.
fn counted_as<'a>(app: &App, id: Option<&'a str>) -> &'a str {
    id.filter(|id| find(app, id).is_some())
        .unwrap_or("unknown client")
}

/// Counts and records a failure; beyond the limit nothing is recorded singly any more.
async fn note_failure(app: &App, address: IpAddr, id: Option<&str>, refusal: Refused) -> OAuthError {
    // What keeps us from knowing who it is, is nobody's failed try.
    if refusal.code == Code::InvalidClient {
        app.failure_counts
            .attempt(address, &throttle_subject(id), app.now());
    }
    let known = id.filter(|id| find(app, id).is_some());
    let mut event = app
        .event(Kind::ClientAuthenticationFailed, Actor::Stranger)
        .outcome(Outcome::MinorFailure)
        .from(address.to_string())
        .because(refusal.reason, refusal.logged.clone());
    if let Some(id) = known {
        event = event.client(id);
    }
    let events = note_stranger(app, address, counted_as(app, id), event);
    if !events.is_empty() {
        let written = app.store.write(move |tx| {
            events.iter().for_each(|event| tx.audit(event.clone()));
            Ok(())
        });
        if let Err(broken) = written.await {
            return broken.into();
        }
    }
    OAuthError::new(refusal.code, refusal.told).because(refusal.logged)
}
