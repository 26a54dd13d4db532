//! The token endpoint (RFC 6749 §3.2): authenticates the client and hands over to the grant.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::client_authentication::{
    Authenticated, Caller, authenticate, authenticate_refresh, note_stranger, replayed_assertion,
};
use super::token_response::{Refused, TokenResponse};
use super::{authorization_code, client_credentials, refresh_token};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::error::{Code, OAuthError};
use crate::live::LiveClient;
use crate::model::client::{AuthMethod, GrantType};
use crate::web::parameters::{Parameters, shown};

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
    // Before the client is known: a grant that nobody has is no matter of who asks.
    let requested = requested_grant(&parameters)?;
    let caller = match requested {
        GrantType::RefreshToken => authenticate_refresh(&app, &request, &parameters).await?,
        _ => authenticate(&app, &request, &parameters).await?,
    };
    let app = app.into_inner();
    app.live.require_fresh()?;
    match grant(&app, &caller, requested, &parameters).await {
        Ok(response) => Ok(response.answer()),
        Err(refused) => Err(record_refusal(&app, caller, refused).await),
    }
}

fn requested_grant(parameters: &Parameters) -> Result<GrantType, OAuthError> {
    let named = parameters.required("grant_type")?;
    GrantType::parse(named).ok_or_else(|| {
        OAuthError::new(
            Code::UnsupportedGrantType,
            format!(
                "grant_type {} is not supported: use authorization_code, refresh_token or client_credentials",
                shown(named)
            ),
        )
    })
}

async fn grant(
    app: &Arc<App>,
    caller: &Authenticated,
    grant: GrantType,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
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
