//! The token endpoint (RFC 6749 §3.2): authenticates the client and hands over to the grant.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::client_authentication::{Authenticated, Caller, authenticate, note_stranger, replayed_assertion};
use super::{authorization_code, client_credentials, refresh_token};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::error::{Code, OAuthError};
use crate::live::LiveClient;
use crate::model::client::{AuthMethod, GrantType};
use crate::web::parameters::{Parameters, shown};

/// A token answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime in seconds.
    pub expires_in: i64,
    /// What was granted, in the client's own spelling.
    pub scope: String,
    /// For a person's client with `offline_access`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// With scope `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

impl TokenResponse {
    fn answer(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("Pragma", "no-cache"))
            .json(self)
    }
}

/// `POST /oauth2/token`
///
/// # Errors
/// RFC 6749 §5.2.
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, OAuthError> {
    let parameters = Parameters::from_body(&request, body).await?;
    if let Some(name) = parameters.repeated() {
        return Err(OAuthError::invalid_request(format!(
            "parameter {} must not be repeated",
            shown(name)
        )));
    }
    let caller = authenticate(&app, &request, &parameters).await?;
    let app = app.into_inner();
    app.live.require_fresh()?;
    match grant(&app, &caller, &parameters).await {
        Ok(response) => Ok(response.answer()),
        Err(refused) => Err(record_refusal(&app, caller, refused).await),
    }
}

/// A refusal after which the write of the grant still has to be made: the `jti` is burned, the refusal recorded.
#[derive(Debug)]
pub enum Refused {
    /// Nothing was written yet.
    Unrecorded(OAuthError),
    /// The `jti` is burned; the refusal itself is still to be recorded.
    Settled(OAuthError),
    /// Written already, or the database failed.
    Done(OAuthError),
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Unrecorded(error)
    }
}

impl From<crate::error::Broken> for Refused {
    fn from(broken: crate::error::Broken) -> Self {
        Self::Done(broken.into())
    }
}

async fn grant(
    app: &Arc<App>,
    caller: &Authenticated,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
    let named = parameters.required("grant_type")?;
    let grant = GrantType::parse(named).ok_or_else(|| {
        OAuthError::new(
            Code::UnsupportedGrantType,
            format!(
                "grant_type {} is not supported: use authorization_code, refresh_token or client_credentials",
                shown(named)
            ),
        )
    })?;
    match (grant, &caller.caller) {
        (GrantType::ClientCredentials, Caller::ResourceServer(server)) => {
            client_credentials::grant_introspection(app, caller, server, parameters).await
        }
        (_, Caller::ResourceServer(_)) => Err(OAuthError::new(
            Code::UnauthorizedClient,
            "a resource server may use client_credentials alone",
        )
        .into()),
        (_, Caller::Client(client)) => {
            if !client.client.may_use(grant) {
                return Err(not_registered_for(client, grant).into());
            }
            match grant {
                GrantType::ClientCredentials => {
                    client_credentials::grant(app, caller, client, parameters).await
                }
                GrantType::AuthorizationCode => {
                    authorization_code::grant(app, caller, client, parameters).await
                }
                GrantType::RefreshToken => refresh_token::grant(app, caller, client, parameters).await,
            }
        }
    }
}

fn not_registered_for(client: &LiveClient, grant: GrantType) -> OAuthError {
    let own: Vec<&str> = client
        .client
        .settings
        .grants
        .iter()
        .map(|grant| grant.as_str())
        .collect();
    OAuthError::new(
        Code::UnauthorizedClient,
        format!(
            "client {} is not registered for grant_type {}: it may use {}",
            client.client.id,
            grant.as_str(),
            own.join(", ")
        ),
    )
}

async fn record_refusal(app: &Arc<App>, caller: Authenticated, refused: Refused) -> OAuthError {
    let (error, caller) = match refused {
        Refused::Done(error) => return error,
        Refused::Unrecorded(error) => (error, caller),
        Refused::Settled(error) => (error, caller.settled()),
    };
    let event = app
        .event(Kind::TokenRefused, Actor::Client(caller.caller.id().to_owned()))
        .outcome(Outcome::MinorFailure)
        .from(caller.address.to_string())
        .with("error", error.code.as_str())
        .with("reason", error.description.clone());
    // Anybody can use a public client's id: its refusals are counted like a stranger's.
    let events = match caller.method {
        AuthMethod::None => note_stranger(app, caller.address, caller.caller.id(), event),
        _ => vec![event],
    };
    if events.is_empty() && caller.is_settled() {
        return error;
    }
    let written = app.store.write(move |tx| {
        let fresh = caller.settle(tx)?;
        events.iter().for_each(|event| tx.audit(event.clone()));
        Ok(fresh)
    });
    match written.await {
        Ok(true) => error,
        Ok(false) => replayed_assertion(),
        Err(broken) => broken.into(),
    }
}

/// The event of tokens that were issued (IHE IUA ITI-71).
#[must_use]
pub fn issued(app: &App, caller: &Authenticated, grant: GrantType, scope: &str, jti: &str) -> Event {
    app.event(Kind::TokenIssued, Actor::Client(caller.caller.id().to_owned()))
        .from(caller.address.to_string())
        .with("auth_method", caller.method.as_str())
        .with("grant_type", grant.as_str())
        .with("jti", jti)
        .with("scope", scope)
}

/// The event of an assertion that was presented again.
#[must_use]
pub fn replayed(app: &App, caller: &Authenticated) -> Event {
    app.event(Kind::TokenRefused, Actor::Client(caller.caller.id().to_owned()))
        .outcome(Outcome::SeriousFailure)
        .from(caller.address.to_string())
        .with("error", Code::InvalidClient.as_str())
        .with("reason", "the jti of client_assertion was used before")
}
