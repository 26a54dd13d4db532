//! Revocation (RFC 7009): a client gives back its own tokens. A refresh token takes its whole grant along.

use actix_web::{HttpRequest, HttpResponse, web};

use super::access_token;
use super::client_authentication::{Authenticated, authenticate, note_stranger, replayed_assertion};
use super::token_response::replayed;
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::error::OAuthError;
use crate::model::client::AuthMethod;
use crate::model::secret::SecretHash;
use crate::session::revocation::{TOLD_LONGER, revoke_grant};
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, grants, tokens};
use crate::web::parameters::{Parameters, shown};

/// What a token turned out to be.
enum Found {
    Refresh { grant: String },
    Access { jti: String, exp: i64 },
    Nothing,
    AnotherClients,
    Missing(OAuthError),
}

impl Found {
    fn is_own(&self) -> bool {
        matches!(self, Self::Refresh { .. } | Self::Access { .. })
    }

    /// Writes the revocation of a token of the caller's own.
    fn revoke(&self, tx: &mut Tx<'_>, event: &Event, now: i64) -> Stored<()> {
        match self {
            Self::Refresh { grant } => {
                if revoke_grant(tx, grant, now)? {
                    tx.audit(event.clone().with("grant", grant.clone()));
                }
            }
            Self::Access { jti, exp } => {
                let purge_at = exp + TOLD_LONGER;
                tx.changed(Change {
                    kind: ChangeKind::TokenRevoked,
                    subject: jti.clone(),
                    purge_at,
                });
                tx.audit(event.clone().with("jti", jti.clone()));
            }
            Self::Nothing | Self::AnotherClients | Self::Missing(_) => {}
        }
        Ok(())
    }
}

/// `POST /oauth2/revoke`
///
/// # Errors
/// RFC 7009 §2.2.1. A token that is unknown is none (§2.2).
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
    let found = match parameters.required("token") {
        Ok(token) => find(&app, caller.caller.id(), token).await?,
        Err(missing) => Found::Missing(missing),
    };
    let event = app
        .event(Kind::TokenRevoked, Actor::Client(caller.caller.id().to_owned()))
        .from(caller.address.to_string());
    let theft = match &found {
        Found::AnotherClients => note_theft(&app, &caller, event.clone()),
        _ => Vec::new(),
    };
    let answer = match &found {
        Found::Missing(missing) => Err(missing.clone()),
        // RFC 7009 §2.1
        Found::AnotherClients => Err(OAuthError::invalid_grant(
            "the token was not issued to this client",
        )),
        _ => Ok(HttpResponse::Ok()
            .insert_header(("Cache-Control", "no-store"))
            .finish()),
    };
    if !found.is_own() && theft.is_empty() && caller.is_settled() {
        return answer;
    }
    let (now, again) = (app.now(), replayed(&app, &caller));
    let written = app.store.write(move |tx| {
        if !caller.settle(tx)? {
            tx.audit(again.clone());
            return Ok(false);
        }
        theft.iter().for_each(|event| tx.audit(event.clone()));
        found.revoke(tx, &event, now)?;
        Ok(true)
    });
    if written.await? {
        answer
    } else {
        Err(replayed_assertion())
    }
}

/// Somebody else's token: it was stolen, or the callers are mixed up. Who may be anybody is counted.
fn note_theft(app: &App, caller: &Authenticated, event: Event) -> Vec<Event> {
    let event = event
        .outcome(Outcome::SeriousFailure)
        .with("reason", "the token was issued to another client");
    match caller.method {
        AuthMethod::None => note_stranger(app, caller.address, caller.caller.id(), event),
        _ => vec![event],
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
        return Ok(if grant.client_id == caller {
            Found::Refresh { grant: grant.id }
        } else {
            Found::AnotherClients
        });
    }
    Ok(match access_token::find(app, token).await? {
        // What is not active any more needs no revocation.
        Some(known) if !access_token::is_active(app, &known.claims, app.now()) => Found::Nothing,
        Some(known) if known.claims.client_id == caller => Found::Access {
            jti: known.claims.jti.clone(),
            exp: known.claims.exp,
        },
        Some(_) => Found::AnotherClients,
        None => Found::Nothing,
    })
}
