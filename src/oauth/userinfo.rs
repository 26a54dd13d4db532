//! Userinfo (OpenID Connect Core §5.3): what the scopes of an access token release about the person.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::bearer;
use crate::app::App;
use crate::error::{Challenge, Code, OAuthError};
use crate::issuance::{ClientContext, Rules, standard_claims};
use crate::model::scope::ScopeSet;
use crate::policy::claims::Place;
use crate::store::{grants, people};
use crate::web::parameters::Parameters;

/// `GET /oauth2/userinfo`
///
/// # Errors
/// RFC 6750 §3.1.
pub async fn get(app: web::Data<App>, request: HttpRequest) -> Result<HttpResponse, OAuthError> {
    let token = bearer::in_header(&request).ok_or_else(no_token)?;
    answer(&app, &token).await
}

/// `POST /oauth2/userinfo`: the token in the header or in the form (RFC 6750 §2.2), not in both.
///
/// # Errors
/// RFC 6750 §3.1.
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, OAuthError> {
    let header = bearer::in_header(&request);
    // A body is only needed when it brings the token.
    let parameters = Parameters::from_body(&request, body).await.unwrap_or_default();
    match (header, parameters.one("access_token")?) {
        (Some(_), Some(_)) => Err(OAuthError::invalid_request(
            "the access token stands in the header and in the form: send it once",
        )),
        (Some(token), None) => answer(&app, &token).await,
        (None, Some(token)) => answer(&app, token).await,
        (None, None) => Err(no_token()),
    }
}

fn no_token() -> OAuthError {
    OAuthError::new(
        Code::InvalidToken,
        "send the access token in the header 'Authorization: Bearer ...'",
    )
    .challenged(Challenge::BearerMissing)
}

async fn answer(app: &App, token: &str) -> Result<HttpResponse, OAuthError> {
    let known = bearer::accept(app, token, "openid").await?;
    let claims = &known.claims;
    let (sub, grant) = (
        claims.sub.clone(),
        claims.footing.grant.clone().unwrap_or_default(),
    );
    let loaded = app
        .store
        .read(move |conn| Ok((people::find(conn, &sub)?, grants::find(conn, &grant)?)));
    let (person, grant) = loaded.await?;
    let client = grant.as_ref().and_then(|grant| app.live.client(&grant.client_id));
    let (Some(person), Some(grant), Some(client)) = (person, grant, client) else {
        return Err(
            OAuthError::new(Code::InvalidToken, "the access token does not belong to a person")
                .challenged(Challenge::Bearer),
        );
    };
    let scopes: ScopeSet = claims
        .scope
        .parse()
        .map_err(|cause| crate::error::Broken::defect(format!("scope of an own token: {cause}")))?;
    let mut released = Map::new();
    released.insert("sub".to_owned(), Value::from(claims.sub.clone()));
    released.extend(standard_claims(
        &Rules::of(app),
        &ClientContext::of(&app.live, &client),
        &person,
        (&scopes, &grant.facts.claims),
        Place::UserInfo,
    )?);
    if let Some(fhir_user) = known.claim("fhirUser") {
        released.insert("fhirUser".to_owned(), fhir_user);
    }
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(released))
}
