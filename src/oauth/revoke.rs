//! Revocation (RFC 7009): a client gives back its own tokens. A refresh token takes its whole grant along.

use actix_web::{HttpRequest, HttpResponse, web};

use super::access_token;
use super::client_authentication::{authenticate, replayed_assertion};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::error::OAuthError;
use crate::parameters::{Parameters, shown};
use crate::secret::SecretHash;
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, grants, tokens};

/// How much longer than the longest access token a revocation is told, in seconds.
const TOLD_LONGER: i64 = 3600;

/// Revokes a grant with all its tokens. Answers whether it was alive.
///
/// # Errors
/// What the database says.
pub fn revoke_grant(app: &App, tx: &mut Tx<'_>, id: &str, now: i64) -> Stored<bool> {
    let alive = grants::revoke(tx.conn(), id, now)?;
    if alive {
        let purge_at = now + app.config.tokens.access_seconds + TOLD_LONGER;
        tx.changed(Change { kind: ChangeKind::GrantRevoked, subject: id.to_owned(), purge_at });
    }
    Ok(alive)
}

/// What a token turned out to be.
enum Found {
    Refresh { grant: String },
    Access { jti: String, exp: i64 },
    Nothing,
    AnotherClients,
}

/// `POST /oauth2/revoke`
///
/// # Errors
/// RFC 7009 §2.2.1. A token that is unknown is none (§2.2).
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> Result<HttpResponse, OAuthError> {
    let parameters = Parameters::from_body(&request, body).await?;
    if let Some(name) = parameters.repeated() {
        return Err(OAuthError::invalid_request(format!("parameter {} must not be repeated", shown(name))));
    }
    let caller = authenticate(&app, &request, &parameters).await?;
    let found = match parameters.required("token") {
        Ok(token) => Ok(find(&app, caller.caller.id(), token).await?),
        Err(missing) => Err(missing),
    };
    let now = app.now();
    let app = app.into_inner();
    let event =
        app.event(Kind::TokenRevoked, Actor::Client(caller.caller.id().to_owned())).from(caller.address.to_string());
    let (job_app, refused) = (std::sync::Arc::clone(&app), found.as_ref().err().cloned());
    let written = app.store.write(move |tx| {
        if !caller.settle(tx)? {
            return Ok(false);
        }
        match &found {
            Ok(Found::Refresh { grant }) => {
                if revoke_grant(&job_app, tx, grant, now)? {
                    tx.audit(event.clone().with("grant", grant.clone()));
                }
            }
            Ok(Found::Access { jti, exp }) => {
                tx.changed(Change {
                    kind: ChangeKind::TokenRevoked,
                    subject: jti.clone(),
                    purge_at: exp + TOLD_LONGER,
                });
                tx.audit(event.clone().with("jti", jti.clone()));
            }
            Ok(Found::Nothing | Found::AnotherClients) | Err(_) => {}
        }
        Ok(true)
    });
    match (written.await?, refused) {
        (false, _) => Err(replayed_assertion()),
        (true, Some(missing)) => Err(missing),
        (true, None) => Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish()),
    }
}

/// `token_type_hint` is only a hint: both kinds are looked up whatever it says (RFC 7009 §2.1).
async fn find(app: &App, caller: &str, token: &str) -> Result<Found, OAuthError> {
    let hash = SecretHash::of(token);
    let refresh = app.store.read(move |conn| {
        let Some(row) = tokens::find_refresh(conn, hash.as_str())? else {
            return Ok(None);
        };
        grants::find(conn, &row.grant_id)
    });
    if let Some(grant) = refresh.await? {
        return Ok(if grant.client_id == caller { Found::Refresh { grant: grant.id } } else { Found::AnotherClients });
    }
    Ok(match access_token::find(app, token).await? {
        Some(known) if known.claims.client_id == caller => {
            Found::Access { jti: known.claims.jti.clone(), exp: known.claims.exp }
        }
        Some(_) => Found::AnotherClients,
        None => Found::Nothing,
    })
}
