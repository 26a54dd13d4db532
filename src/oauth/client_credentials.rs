//! Client credentials (RFC 6749 §4.4): a system acts for itself. No refresh token, no ID token.

use std::sync::Arc;

use serde_json::Map;

use super::access_token::{self, Minted};
use super::client_authentication::{Authenticated, replayed_assertion};
use super::token_response::{Refused, TokenResponse, issued, replayed};
use crate::app::App;
use crate::audit::event::Event;
use crate::error::{Code, OAuthError};
use crate::issuance::draft::Draft;
use crate::issuance::{ClientContext, GrantRequest, INTROSPECT, Rules};
use crate::live::{LiveClient, LiveServer};
use crate::model::client::GrantType;
use crate::model::scope::{Scope, ScopeSet};
use crate::model::token::Footing;
use crate::web::parameters::Parameters;

/// Issues a token to a client.
///
/// # Errors
/// RFC 6749 §5.2, RFC 8707 §2.
pub async fn grant(
    app: &Arc<App>,
    caller: &Authenticated,
    client: &Arc<LiveClient>,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
    if client.client.is_public() {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "a public client cannot use client_credentials (RFC 6749 §4.4)",
        )
        .into());
    }
    let (scope, targets, purposes) = (parameters.scope()?, parameters.targets()?, parameters.purposes()?);
    let context = ClientContext::of(&app.live, client);
    let granted = context.grant_system(
        &Rules::of(app),
        GrantRequest {
            scope: scope.as_ref(),
            targets: &targets,
            purposes: &purposes,
            authenticated: true,
        },
    )?;
    let now = app.now();
    let draft = Draft::of_system(&Rules::of(app), &context, &granted, now)?;
    let lifetime = draft.exp - now;
    let minted = access_token::mint(app, draft, now)?;
    let event = issued(
        app,
        caller,
        GrantType::ClientCredentials,
        &granted.scopes.to_string(),
        &minted.jti,
    )
    .purposes(&granted.purposes)
    .granted(granted.target.as_deref(), "");
    write(app, caller, &minted, event).await?;
    Ok(response(minted, lifetime, granted.scopes.to_string()))
}

/// Issues a resource server the token with which it may introspect: `__mdi.introspect` alone, `aud` is the issuer.
///
/// # Errors
/// RFC 6749 §5.2.
pub async fn grant_introspection(
    app: &Arc<App>,
    caller: &Authenticated,
    server: &Arc<LiveServer>,
    parameters: &Parameters,
) -> Result<TokenResponse, Refused> {
    let only: ScopeSet = [Scope::Named(INTROSPECT.to_owned())].into_iter().collect();
    if parameters.scope()?.is_some_and(|scope| scope != only) {
        return Err(OAuthError::new(
            Code::InvalidScope,
            format!("a resource server may ask for {INTROSPECT} alone"),
        )
        .into());
    }
    if parameters
        .targets()?
        .iter()
        .any(|target| target.trim_end_matches('/') != app.issuer())
    {
        return Err(OAuthError::new(
            Code::InvalidTarget,
            format!("a token for {INTROSPECT} is for '{}' alone", app.issuer()),
        )
        .into());
    }
    let now = app.now();
    let lifetime = app.config.tokens.system_access_seconds;
    let draft = Draft {
        sub: &server.server.id,
        client_id: &server.server.id,
        scopes: &only,
        target: None,
        exp: now + lifetime,
        footing: Footing {
            grant: None,
            client_generation: server.server.generation,
            person_generation: 0,
        },
        more: Map::new(),
    };
    let minted = access_token::mint(app, draft, now)?;
    let event = issued(app, caller, GrantType::ClientCredentials, INTROSPECT, &minted.jti);
    write(app, caller, &minted, event).await?;
    Ok(response(minted, lifetime, INTROSPECT.to_owned()))
}

async fn write(app: &Arc<App>, caller: &Authenticated, minted: &Minted, event: Event) -> Result<(), Refused> {
    let again = replayed(app, caller);
    let (caller, minted) = (caller.clone(), minted.clone());
    let fresh = app.store.write(move |tx| {
        if !caller.settle(tx)? {
            tx.audit(again.clone());
            return Ok(false);
        }
        minted.record(tx)?;
        tx.audit(event.clone());
        Ok(true)
    });
    if fresh.await? {
        Ok(())
    } else {
        Err(Refused::Done(replayed_assertion()))
    }
}

fn response(minted: Minted, lifetime: i64, scope: String) -> TokenResponse {
    TokenResponse {
        access_token: minted.token,
        token_type: "Bearer",
        expires_in: lifetime,
        scope,
        refresh_token: None,
        id_token: None,
    }
}
