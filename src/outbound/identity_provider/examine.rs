//! What an engineer wants to know of a provider before people sign in with it.

use openidconnect::JsonWebKey;
use openidconnect::core::{CoreClientAuthMethod, CoreJwsSigningAlgorithm};
use serde::Serialize;
use url::Url;

use super::protocol::{ALGORITHMS, Journey, LIMITS, Metadata, authorization_url};
use crate::model::client::AuthMethod;
use crate::model::identity_provider::{IdentityProvider, Reauthenticate};
use crate::outbound::Outbound;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether people could not sign in because of it.
    pub problem: bool,
    /// What was found, and where it is bad, what is wanted.
    pub text: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn good(text: impl Into<String>) -> Self {
        Self {
            problem: false,
            text: text.into(),
        }
    }

    /// Something that must be mended.
    pub fn problem(text: impl Into<String>) -> Self {
        Self {
            problem: true,
            text: text.into(),
        }
    }
}

/// A name as it stands on the wire.
fn wire(name: &impl Serialize) -> String {
    serde_json::to_value(name)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn list(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

pub(super) fn metadata(metadata: &Metadata, provider: &IdentityProvider, redirect_uri: &str) -> Vec<Finding> {
    let mut found = vec![
        Finding::good(format!("discovery: issuer {}", metadata.issuer().as_str())),
        Finding::good(format!(
            "authorization endpoint: {}",
            metadata.authorization_endpoint().as_str()
        )),
    ];
    found.push(match metadata.token_endpoint() {
        Some(url) => Finding::good(format!("token endpoint: {}", url.as_str())),
        None => Finding::problem("token endpoint: discovery names none, so no code can be exchanged"),
    });
    found.push(Finding::good(match metadata.userinfo_endpoint() {
        Some(url) => format!("userinfo endpoint: {}", url.as_str()),
        None => "userinfo endpoint: none; all claims must stand in the ID token".to_owned(),
    }));
    found.push(keys(metadata));
    found.push(algorithms(metadata));
    found.push(authentication(metadata, provider));
    found.push(
        match &metadata.additional_metadata().code_challenge_methods_supported {
            Some(methods) if methods.iter().any(|method| method == "S256") => Finding::good("PKCE: S256"),
            _ => Finding::good("PKCE: the provider does not say that it knows S256; it is sent all the same"),
        },
    );
    let settings = &provider.settings;
    if let Some(known) = metadata.scopes_supported() {
        let unknown: Vec<&String> = settings
            .scopes
            .iter()
            .filter(|scope| !known.iter().any(|known| known.as_str() == *scope))
            .collect();
        if !unknown.is_empty() {
            found.push(Finding::good(format!(
                "scopes: the provider does not list {}; it may ignore or refuse them",
                list(unknown.into_iter().cloned())
            )));
        }
    }
    if let Some(known) = metadata.acr_values_supported() {
        let known: Vec<String> = known.iter().map(|acr| acr.to_string()).collect();
        for acr in settings.trusted_acr.iter().filter(|acr| !known.contains(acr)) {
            found.push(Finding::good(format!(
                "trusted_acr: the provider does not list {acr}; it lists {}",
                known.join(", ")
            )));
        }
    }
    found.push(Finding::good(format!(
        "redirect URI, to be registered there: {redirect_uri}"
    )));
    found
}

fn keys(metadata: &Metadata) -> Finding {
    let keys = metadata.jwks().keys();
    let signing = keys.iter().filter(|key| {
        wire(key.key_type()) != "oct" && key.key_use().is_none_or(|usage| wire(usage) == "sig")
    });
    match signing.count() {
        0 => Finding::problem(format!(
            "keys: none of {} at {} can be used",
            keys.len(),
            metadata.jwks_uri().as_str()
        )),
        count => Finding::good(format!("keys: {count} at {}", metadata.jwks_uri().as_str())),
    }
}

fn algorithms(metadata: &Metadata) -> Finding {
    let theirs: &Vec<CoreJwsSigningAlgorithm> = metadata.id_token_signing_alg_values_supported();
    let common = list(ALGORITHMS.iter().filter(|ours| theirs.contains(ours)).map(wire));
    if common.is_empty() {
        let (theirs, ours) = (list(theirs.iter().map(wire)), list(ALGORITHMS.iter().map(wire)));
        return Finding::problem(format!(
            "ID token signatures: it knows {theirs}; we accept {ours}"
        ));
    }
    Finding::good(format!("ID token signatures: {common}"))
}

fn authentication(metadata: &Metadata, provider: &IdentityProvider) -> Finding {
    let ours = provider.settings.auth_method;
    let default = vec![CoreClientAuthMethod::ClientSecretBasic];
    let theirs = metadata
        .token_endpoint_auth_methods_supported()
        .unwrap_or(&default);
    // Public clients are not always listed.
    if ours == AuthMethod::None || theirs.iter().any(|method| wire(method) == ours.as_str()) {
        return Finding::good(format!("client authentication: {}", ours.as_str()));
    }
    Finding::problem(format!(
        "client authentication: it knows {}; auth_method is {}",
        list(theirs.iter().map(wire)),
        ours.as_str()
    ))
}

/// Sends the request of somebody who has to sign in anew, as far as that goes with nobody at the browser: a provider that
/// would not have it, or does not know us, says so at once.
pub(super) async fn reauthentication(
    outbound: &Outbound,
    metadata: &Metadata,
    provider: &IdentityProvider,
    redirect_uri: &str,
) -> Finding {
    let by = match provider.settings.reauthenticate {
        Reauthenticate::MaxAge => "max_age=0 and prompt=login",
        Reauthenticate::PromptLogin => "prompt=login",
        Reauthenticate::None => {
            return Finding::good(
                "fresh sign-in: none (reauthenticate = \"none\"); whoever certifies needs a password here",
            );
        }
    };
    let journey = Journey {
        redirect_uri,
        state: "test",
        nonce: "test",
        verifier: "test-test-test-test-test-test-test-test-test",
        max_age: (provider.settings.reauthenticate == Reauthenticate::MaxAge).then_some(0),
        again: true,
    };
    let url = authorization_url(metadata, provider, journey)
        .ok()
        .and_then(|url| Url::parse(&url).ok());
    let Some(url) = url else {
        return Finding::problem("fresh sign-in: no request can be made of what discovery says");
    };
    let (status, location) = match outbound.look(&url, LIMITS.timeout).await {
        Ok(answer) => answer,
        Err(cause) => return Finding::problem(format!("fresh sign-in: {cause}")),
    };
    let refused = location.as_deref().and_then(|to| told_error(to, redirect_uri));
    if let Some(error) = refused {
        return Finding::problem(format!("fresh sign-in: it answers {error} to {by}"));
    }
    if status.is_client_error() || status.is_server_error() {
        return Finding::problem(format!(
            "fresh sign-in: it answers {status} to {by}; does it know our client_id and the redirect URI?"
        ));
    }
    let says_when = metadata
        .claims_supported()
        .is_none_or(|claims| claims.iter().any(|claim| claim.as_str() == "auth_time"));
    if provider.settings.reauthenticate == Reauthenticate::MaxAge && !says_when {
        return Finding::good(format!(
            "fresh sign-in: it shows a page for {by}, but does not list the claim auth_time; where it leaves that out, write reauthenticate = \"prompt_login\""
        ));
    }
    Finding::good(format!("fresh sign-in: it shows a page for {by}"))
}

/// The `error` of an answer that leads back to us.
fn told_error(location: &str, redirect_uri: &str) -> Option<String> {
    let url = Url::parse(location)
        .ok()
        .filter(|_| location.starts_with(redirect_uri))?;
    url.query_pairs()
        .find(|(name, _)| name == "error")
        .map(|(_, error)| error.chars().filter(|c| !c.is_control()).take(60).collect())
}
