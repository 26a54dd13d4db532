//! The steps of OpenID Connect as a relying party, each over openidconnect and the guard for outbound requests. What the
//! crate leaves to its user is checked here: `azp`, `at_hash`, `iat`, the RFC 9207 issuer.

use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType,
    CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AdditionalProviderMetadata, AuthType, AuthenticationContextClass,
    AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret, CsrfToken, DiscoveryError,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IdTokenFields, IdTokenVerifier, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, ProviderMetadata, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims, UserInfoError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::model::client::AuthMethod;
use crate::model::identity_provider::{Identity, IdentityProvider};
use crate::model::secret::Secret;
use crate::outbound::{FetchError, Limits, Outbound};

/// Why a sign-in at a provider came to nothing. The texts are for the log and the record, not for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The provider does not answer, or not in a way that could be understood.
    #[error("{0}")]
    Silent(String),
    /// The provider answered, and the answer does not count.
    #[error("{0}")]
    Refused(String),
}

/// What takes a person to a provider.
#[derive(Clone, Copy)]
pub struct Journey<'a> {
    /// Our own address that the person comes back to.
    pub redirect_uri: &'a str,
    /// Given back as it is.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// The PKCE verifier, 43 characters; only its hash goes through the browser.
    pub verifier: &'a str,
    /// How old the sign-in there may be, in seconds, if it is asked for. Who is asked says how old it is.
    pub max_age: Option<i64>,
    /// Whether the person has to prove anew who she is.
    pub again: bool,
}

/// What came back with the person.
#[derive(Clone, Copy)]
pub struct Returned<'a> {
    /// The code.
    pub code: &'a str,
    /// The `iss` parameter (RFC 9207).
    pub iss: Option<&'a str>,
    /// As in [`Journey`].
    pub redirect_uri: &'a str,
    /// As in [`Journey`].
    pub nonce: &'a str,
    /// As in [`Journey`].
    pub verifier: &'a str,
    /// Our secret there.
    pub secret: Option<&'a Secret>,
}

/// What an answer of a provider may cost.
pub(super) const LIMITS: Limits = Limits {
    max_bytes: 256 * 1024,
    timeout: Duration::from_secs(5),
};
/// How far a provider's clock may be from ours, in seconds.
pub(super) const LEEWAY_SECONDS: i64 = 60;
/// How long ago an ID token may have been issued that was fetched just now, in seconds.
const OLDEST_SECONDS: i64 = 600;
/// The longest `sub`, in bytes (OpenID Connect Core §2).
const LONGEST_SUBJECT: usize = 255;

/// The signatures that count: never `none`, never one with a shared secret.
pub(super) const ALGORITHMS: [CoreJwsSigningAlgorithm; 5] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What a provider says of itself beyond what the crate reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Extensions {
    /// RFC 9207 §3
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// RFC 8414 §2
    #[serde(default)]
    pub code_challenge_methods_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Extensions {}

/// Claims that OpenID Connect does not define: groups, roles, ….
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OtherClaims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for OtherClaims {}

pub(super) type Metadata = ProviderMetadata<
    Extensions,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What the token endpoint answered.
pub(super) type Tokens = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type TokenError = StandardErrorResponse<CoreErrorResponseType>;

type RelyingParty = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    TokenError,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Sends what the crate put together through the guard.
async fn send(outbound: Outbound, request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|_| FetchError::Url {
        url: parts.uri.to_string(),
        reason: "it is not a URL",
    })?;
    let reply = outbound
        .send(parts.method, &url, parts.headers, body, LIMITS)
        .await?;
    let mut response = HttpResponse::new(reply.body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}

/// Fetches discovery and keys.
pub(super) async fn discover(outbound: &Outbound, issuer: &str) -> Result<Metadata, String> {
    let url = IssuerUrl::new(issuer.to_owned())
        .map_err(|cause| format!("issuer {issuer:?} is not a URL: {cause}"))?;
    let http = |request| send(outbound.clone(), request);
    let metadata = Metadata::discover_async(url, &http)
        .await
        .map_err(|error| match error {
            DiscoveryError::Request(cause) => cause.to_string(),
            DiscoveryError::Parse(cause) => {
                format!("the answer is not what OpenID Connect wants at {}", cause.path())
            }
            DiscoveryError::Response(status, _, what) => format!("status {status}: {what}"),
            other => other.to_string(),
        })?;
    // The browser goes there: any other scheme would be a way to run something in it.
    if metadata.authorization_endpoint().url().scheme() != "https" {
        return Err("authorization_endpoint must begin with https://".to_owned());
    }
    Ok(metadata)
}

fn relying_party(
    metadata: &Metadata,
    provider: &IdentityProvider,
    secret: Option<ClientSecret>,
) -> RelyingParty {
    let client_id = ClientId::new(provider.settings.client_id.clone());
    let auth_type = match provider.settings.auth_method {
        AuthMethod::ClientSecretPost => AuthType::RequestBody,
        _ => AuthType::BasicAuth,
    };
    RelyingParty::from_provider_metadata(metadata.clone(), client_id, secret).set_auth_type(auth_type)
}

fn redirect_url(text: &str) -> Result<RedirectUrl, UpstreamError> {
    RedirectUrl::new(text.to_owned())
        .map_err(|cause| UpstreamError::Refused(format!("redirect URI {text:?}: {cause}")))
}

/// OpenID Connect Core §3.1.2.1 with PKCE (RFC 7636).
pub(super) fn authorization_url(
    metadata: &Metadata,
    provider: &IdentityProvider,
    journey: Journey<'_>,
) -> Result<String, UpstreamError> {
    let client =
        relying_party(metadata, provider, None).set_redirect_uri(redirect_url(journey.redirect_uri)?);
    let verifier = PkceCodeVerifier::new(journey.verifier.to_owned());
    let (state, nonce) = (
        CsrfToken::new(journey.state.to_owned()),
        Nonce::new(journey.nonce.to_owned()),
    );
    let mut request = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || state,
            move || nonce,
        )
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    // The crate asks for openid by itself.
    for scope in provider.settings.scopes.iter().filter(|scope| *scope != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    for acr in &provider.settings.trusted_acr {
        request = request.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
    }
    if let Some(max_age) = journey.max_age {
        request = request.set_max_age(Duration::from_secs(u64::try_from(max_age).unwrap_or_default()));
    }
    // Some providers know this and not max_age.
    if journey.again {
        request = request.add_prompt(CoreAuthPrompt::Login);
    }
    Ok(request.url().0.to_string())
}

/// RFC 9207 §2.4
pub(super) fn check_issuer(
    metadata: &Metadata,
    issuer: &str,
    iss: Option<&str>,
) -> Result<(), UpstreamError> {
    let promised = metadata
        .additional_metadata()
        .authorization_response_iss_parameter_supported;
    match iss {
        Some(iss) if iss != issuer => Err(UpstreamError::Refused(
            "parameter iss is not the issuer that the person was sent to".to_owned(),
        )),
        None if promised => Err(UpstreamError::Refused(
            "parameter iss is missing, and the provider sends it".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Exchanges the code (OpenID Connect Core §3.1.3).
pub(super) async fn exchange(
    outbound: &Outbound,
    metadata: &Metadata,
    provider: &IdentityProvider,
    returned: Returned<'_>,
) -> Result<Tokens, UpstreamError> {
    let secret = returned
        .secret
        .map(|secret| ClientSecret::new(secret.reveal().to_owned()));
    let client =
        relying_party(metadata, provider, secret).set_redirect_uri(redirect_url(returned.redirect_uri)?);
    let request = client
        .exchange_code(AuthorizationCode::new(returned.code.to_owned()))
        .map_err(|cause| UpstreamError::Silent(format!("discovery names no token endpoint: {cause}")))?
        .set_pkce_verifier(PkceCodeVerifier::new(returned.verifier.to_owned()));
    let http = |request| send(outbound.clone(), request);
    request.request_async(&http).await.map_err(|error| match error {
        RequestTokenError::Request(cause) => UpstreamError::Silent(format!("token endpoint: {cause}")),
        RequestTokenError::ServerResponse(answer) => {
            UpstreamError::Refused(format!("token endpoint: {answer}"))
        }
        // Its text may quote tokens.
        RequestTokenError::Parse(cause, _) => UpstreamError::Refused(format!(
            "token endpoint: the answer, or the ID token in it, is not what OpenID Connect wants at {}{}",
            cause.path(),
            missing_member(&cause.inner().to_string()),
        )),
        RequestTokenError::Other(what) => UpstreamError::Refused(format!("token endpoint: {what}")),
    })
}

/// Of a parser's complaint only the name of what is missing: the rest may quote what was sent.
fn missing_member(complaint: &str) -> String {
    complaint
        .split_once("missing field `")
        .and_then(|(_, rest)| rest.split_once('`'))
        .map_or_else(String::new, |(name, _)| format!(" ({name} is missing)"))
}

/// Why an ID token does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unverified {
    /// Its key is not among those that we know.
    #[error("ID token: no published key fits its kid and alg")]
    UnknownKey,
    /// Anything else.
    #[error("ID token: {0}")]
    Otherwise(String),
}

fn unverified(what: impl Into<String>) -> Unverified {
    Unverified::Otherwise(what.into())
}

/// Verifies the ID token (OpenID Connect Core §3.1.3.7): signature, `iss`, `aud`, `azp`, `exp`, `iat`, `nonce`, `at_hash`.
pub(super) fn verify(
    metadata: &Metadata,
    provider: &IdentityProvider,
    tokens: &Tokens,
    nonce: &str,
    now: i64,
) -> Result<Identity, Unverified> {
    let id_token = tokens
        .id_token()
        .ok_or_else(|| unverified("the token endpoint sent none"))?;
    let client_id = ClientId::new(provider.settings.client_id.clone());
    let moment =
        jiff::Timestamp::from_second(now - LEEWAY_SECONDS).map_err(|cause| unverified(cause.to_string()))?;
    let moment = moment
        .to_string()
        .parse()
        .map_err(|_| unverified("our clock cannot be expressed"))?;
    // Public even if we have a secret: then no signature with a shared secret is accepted.
    let verifier = IdTokenVerifier::new_public_client(
        client_id.clone(),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || moment)
    .set_issue_time_verifier_fn(move |issued| {
        let age = now - issued.timestamp();
        if (-LEEWAY_SECONDS..=OLDEST_SECONDS).contains(&age) {
            Ok(())
        } else {
            Err(format!("iat is {age} s ago"))
        }
    });
    let claims = id_token
        .claims(&verifier, &Nonce::new(nonce.to_owned()))
        .map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
                Unverified::UnknownKey
            }
            ClaimsVerificationError::SignatureVerification(cause) => unverified(cause.to_string()),
            other => unverified(other.to_string()),
        })?;
    if claims
        .authorized_party()
        .is_some_and(|context| *context != client_id)
    {
        return Err(unverified("azp is another client"));
    }
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = id_token
            .signing_alg()
            .map_err(|cause| unverified(cause.to_string()))?;
        let key = id_token
            .signing_key(&verifier)
            .map_err(|cause| unverified(cause.to_string()))?;
        let found = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
            .map_err(|cause| unverified(cause.to_string()))?;
        if found != *expected {
            return Err(unverified("at_hash does not belong to the access token"));
        }
    }
    let subject = claims.subject().to_string();
    if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
        return Err(unverified("sub must have 1 to 255 bytes"));
    }
    Ok(Identity {
        subject,
        acr: claims.auth_context_ref().map(|acr| acr.to_string()),
        amr: claims
            .auth_method_refs()
            .into_iter()
            .flatten()
            .map(|method| method.to_string())
            .collect(),
        auth_time: claims.auth_time().map(|at| at.timestamp()),
        claims: object(claims),
    })
}

fn object(claims: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Asks the UserInfo endpoint for what the ID token lacks (OpenID Connect Core §5.3). The ID token has precedence.
pub(super) async fn complete(
    outbound: &Outbound,
    metadata: &Metadata,
    provider: &IdentityProvider,
    tokens: &Tokens,
    mut identity: Identity,
) -> Result<Identity, UpstreamError> {
    let lacks = provider
        .settings
        .wanted_claims()
        .iter()
        .any(|name| !identity.claims.contains_key(*name));
    if !lacks || metadata.userinfo_endpoint().is_none() {
        return Ok(identity);
    }
    let subject = openidconnect::SubjectIdentifier::new(identity.subject.clone());
    let client = relying_party(metadata, provider, None);
    let request = client
        .user_info(tokens.access_token().clone(), Some(subject))
        .map_err(|cause| UpstreamError::Silent(format!("userinfo endpoint: {cause}")))?;
    let http = |request| send(outbound.clone(), request);
    let claims: UserInfoClaims<OtherClaims, CoreGenderClaim> =
        request.request_async(&http).await.map_err(|error| match error {
            UserInfoError::Request(cause) => UpstreamError::Silent(format!("userinfo endpoint: {cause}")),
            UserInfoError::ClaimsVerification(cause) => {
                UpstreamError::Refused(format!("userinfo endpoint: {cause}"))
            }
            UserInfoError::Response(status, ..) => {
                UpstreamError::Refused(format!("userinfo endpoint: status {status}"))
            }
            _ => UpstreamError::Refused(
                "userinfo endpoint: the answer is not what OpenID Connect wants".to_owned(),
            ),
        })?;
    // Whether an address was verified is said beside the address, or not at all.
    let has_email = identity.claims.contains_key("email");
    for (name, value) in object(&claims) {
        if !(has_email && name == "email_verified") {
            identity.claims.entry(name).or_insert(value);
        }
    }
    Ok(identity)
}
