//! Introspection (RFC 7662), fail-closed: the answer starts from inactive and is filled in only when token, grant,
//! client, person and audience all hold. A resource server learns about its own tokens only.

use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{HttpRequest, HttpResponse, web};

use super::client_authentication::{Caller, authenticate, replayed_assertion};
use super::token_response::replayed;
use super::{access_token, bearer};
use crate::app::App;
use crate::error::{Challenge, Code, OAuthError};
use crate::issuance::INTROSPECT;
use crate::model::client::AuthMethod;
use crate::model::resource_server::{Introspect, ResourceServer};
use crate::model::token::AccessToken;
use crate::web::parameters::{Parameters, shown};

/// What is said about everything that is not active, and nothing else (RFC 7662 §2.2).
const INACTIVE: &str = r#"{"active":false}"#;

/// `POST /oauth2/introspect`
///
/// # Errors
/// 401 for a caller that does not authenticate (RFC 7662 §2.3), 400 without a token, 503 when revocations cannot be known.
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
    let caller = caller(&app, &request, &parameters).await?;
    let token = parameters.required("token")?;
    app.live.require_fresh()?;
    let mut answer = INACTIVE.to_owned();
    if let Caller::ResourceServer(live) = &caller
        && let Some(known) = access_token::find(&app, token).await?
        && may_know(&live.server, &known.claims)
        && access_token::is_active(&app, &known.claims, app.now())
    {
        answer.clone_from(&known.answer);
        app.introspections.count(&live.server.id);
    }
    Ok(HttpResponse::Ok()
        .content_type(ContentType::json())
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .body(answer))
}

fn may_know(server: &ResourceServer, claims: &AccessToken) -> bool {
    server.settings.introspect == Introspect::Any || claims.aud.contains(&server.settings.audience)
}

/// The caller, by a bearer token with the scope for it or by client authentication of any method.
async fn caller(app: &App, request: &HttpRequest, parameters: &Parameters) -> Result<Caller, OAuthError> {
    if let Some(token) = bearer::in_header(request) {
        if parameters.one("client_secret")?.is_some() || parameters.one("client_assertion")?.is_some() {
            return Err(OAuthError::invalid_request(
                "the caller authenticates in more than one way: bearer token and client",
            ));
        }
        let known = bearer::accept(app, &token, INTROSPECT).await?;
        let server = app.live.resource_server(&known.claims.client_id);
        return server.map(Caller::ResourceServer).ok_or_else(|| {
            OAuthError::new(
                Code::InvalidToken,
                "the access token is not one of a resource server",
            )
            .challenged(Challenge::Bearer)
        });
    }
    let authenticated = authenticate(app, request, parameters).await?;
    if authenticated.method == AuthMethod::None {
        return Err(OAuthError::new(
            Code::InvalidClient,
            "introspection needs authentication (RFC 7662 §2.1)",
        )
        .challenged(Challenge::Basic));
    }
    if !authenticated.is_settled() {
        let (settling, again) = (authenticated.clone(), replayed(app, &authenticated));
        let fresh = app.store.write(move |tx| {
            let fresh = settling.settle(tx)?;
            if !fresh {
                tx.audit(again.clone());
            }
            Ok(fresh)
        });
        if !fresh.await? {
            return Err(replayed_assertion());
        }
    }
    Ok(authenticated.caller)
}
