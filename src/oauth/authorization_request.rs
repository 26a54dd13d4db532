//! What an authorization request says (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1, RFC 7636, RFC 8707), checked by
//! itself: everything that needs nothing but the client and the policy.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::id_token::Hint;
use crate::error::{Code, OAuthError};
use crate::live::LiveClient;
use crate::model::client::GrantType;
use crate::model::grant::ClaimsRequest;
use crate::model::scope::ScopeSet;
use crate::model::session::{ACR_AAL2, Session};
use crate::policy::Policy;
use crate::session::Due;
use crate::web::parameters::{Parameters, shown};

/// What `prompt` may name (`prompt_values_supported`, Initiating User Registration via OpenID Connect 1.0 §4). A browser
/// has one account here: to select one is to sign in.
pub const PROMPTS: [&str; 4] = ["none", "login", "consent", "select_account"];

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
    /// Whether `prompt` names a value.
    pub fn prompts(&self, value: &str) -> bool {
        self.prompt.iter().any(|prompt| prompt == value)
    }

    /// Whether the client expects somebody else than this person.
    pub fn expects_another_than(&self, person_id: &str) -> bool {
        self.expected_subject
            .as_ref()
            .is_some_and(|subject| subject != person_id)
    }

    /// What has to come first so that the session reaches a level that the client asks for, where it can.
    pub fn step_up(&self, session: &Session, has_second_factor: bool) -> Option<Due> {
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

/// Everything else that a request says, checked by itself, in order. `read_hint` reads an ID token of ours.
///
/// # Errors
/// What goes back to the client.
pub fn parse(
    policy: &Policy,
    live: &LiveClient,
    parameters: &Parameters,
    read_hint: impl FnOnce(&str) -> Option<Hint>,
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
    let scope = parameters.scope()?;
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
    parse_claims(policy, parameters, &mut request)?;
    if let Some(hint) = parameters.one("id_token_hint")? {
        let hint = read_hint(hint)
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
        if live.client.settings.require_pkce.0 || live.client.is_public() {
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
    if let Some(unknown) = prompt.iter().find(|value| !PROMPTS.contains(&value.as_str())) {
        return Err(OAuthError::invalid_request(format!(
            "prompt must be {}; found {}",
            PROMPTS.join(", "),
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

/// OpenID Connect Core §5.5. A claim asked for by name stands for itself alone: it widens no scope. What no scope of the
/// policy releases is released to nobody.
fn parse_claims(
    policy: &Policy,
    parameters: &Parameters,
    request: &mut AuthorizationRequest,
) -> Result<(), OAuthError> {
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
    let names = |place: &BTreeMap<String, Option<serde_json::Value>>| {
        let known = place.keys().filter(|name| policy.scope_of_claim(name).is_some());
        known.cloned().collect()
    };
    request.claims = ClaimsRequest {
        id_token: names(&claims.id_token),
        userinfo: names(&claims.userinfo),
    };
    Ok(())
}
