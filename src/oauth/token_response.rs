//! What the grants of the token endpoint answer: tokens, or why there are none, and the events that say so.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use serde::Serialize;

use super::client_authentication::Authenticated;
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::reason::Reason;
use crate::error::{Broken, Code, OAuthError};
use crate::model::client::GrantType;

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
    /// The answer, which nobody keeps (RFC 6749 §5.1).
    pub fn answer(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("Pragma", "no-cache"))
            .json(self)
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

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Done(broken.into())
    }
}

/// The event of tokens that were issued (IHE IUA ITI-71).
pub fn issued(app: &App, caller: &Authenticated, grant: GrantType, scope: &str, jti: &str) -> Event {
    app.event(Kind::TokenIssued, Actor::Client(caller.caller.id().to_owned()))
        .from(caller.address.to_string())
        .with("auth_method", caller.method.as_str())
        .with("grant_type", grant.as_str())
        .with("jti", jti)
        .with("scope", scope)
}

/// The event of an assertion that was presented again.
pub fn replayed(app: &App, caller: &Authenticated) -> Event {
    app.event(Kind::TokenRefused, Actor::Client(caller.caller.id().to_owned()))
        .outcome(Outcome::SeriousFailure)
        .from(caller.address.to_string())
        .with("error", Code::InvalidClient.as_str())
        .because(
            Reason::UsedAssertion,
            "the jti of client_assertion was used before",
        )
}
