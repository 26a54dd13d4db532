//! Who may call: a bearer token (RFC 6750) in the header, and nothing else, so there is nothing that a browser would send
//! by itself. It may do what the role of its scope may do at the console, by the same table.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::failure_counts::Noted;
use crate::error::Broken;
use crate::model::api_token::{ApiToken, PREFIX};
use crate::model::secret::SecretHash;
use crate::oauth::bearer;
use crate::policy::console::{self, Area, Right};
use crate::session::client_address;
use crate::store::api_tokens;

/// Under what failures are counted.
const SUBJECT: &str = "admin API";

/// How much of its minute a token has used up.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests a minute.
    pub limit: u32,
    /// How many were made, this one too.
    pub used: u32,
    /// When the minute is over, in seconds.
    pub reset: i64,
}

/// A program that has authenticated.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its token.
    pub token: ApiToken,
    /// Where it calls from.
    pub address: IpAddr,
    /// How often it has called.
    pub rate: Rate,
}

impl Caller {
    /// The role whose rights it has, as the table of rights takes it.
    pub fn roles(&self) -> [String; 1] {
        [self.token.scope.role().to_owned()]
    }

    /// Whether it may do something.
    pub fn may(&self, area: Area, right: Right) -> bool {
        console::right(&self.roles(), area) >= right
    }
}

/// Says who calls.
///
/// # Errors
/// 401 without a token that holds, 429 for an address that fails too often.
pub async fn authenticate(app: &Arc<App>, request: &HttpRequest) -> Result<Caller, Problem> {
    let address = client_address::of(app, request);
    if !request.headers().contains_key(AUTHORIZATION) {
        return Err(Problem::unauthorized(
            "a bearer token is needed in the Authorization header",
            None,
        ));
    }
    let now = app.now();
    let text = bearer::in_header(request).filter(|text| text.starts_with(PREFIX));
    let found = match text {
        Some(text) => {
            let hash = SecretHash::of(&text);
            app.store
                .read(move |conn| api_tokens::by_hash(conn, &hash))
                .await?
        }
        None => None,
    };
    // Nobody guesses 256 bits: whoever has a token that holds is not shut out by others behind the same address.
    let Some(token) = found.clone().filter(|token| token.holds(now)) else {
        return Err(fail(app, request, address, found.as_ref()).await?);
    };
    if token.last_used_at.is_none_or(|at| now - at >= 60) {
        let id = token.id.clone();
        app.store
            .write(move |tx| api_tokens::used(tx.conn(), &id, now))
            .await?;
    }
    let limit = app.config.admin_api.requests_per_minute;
    let used = app.failure_counts.call(&token.id, now);
    let rate = Rate {
        limit,
        used,
        reset: 60 - now.rem_euclid(60),
    };
    Ok(Caller { token, address, rate })
}

/// Counts a failure, and records the first of a minute.
async fn fail(
    app: &App,
    request: &HttpRequest,
    address: IpAddr,
    token: Option<&ApiToken>,
) -> Result<Problem, Broken> {
    let now = app.now();
    if app.failure_counts.attempts(address, SUBJECT, now) >= app.config.login.address_attempts_per_minute {
        return Ok(Problem::too_many(
            "too many failed requests from this address: wait",
            60 - now.rem_euclid(60),
        ));
    }
    app.failure_counts.attempt(address, SUBJECT, now);
    if app.failure_counts.note(address, SUBJECT, now) == Noted::First {
        let reason = match token {
            Some(token) if token.revoked_at.is_some() => "API token revoked",
            Some(_) => "API token expired",
            None => "unknown API token",
        };
        let mut event = refusal(app, Actor::Stranger, address, request).with("reason", reason);
        if let Some(token) = token {
            event = event.with("token", &token.id);
        }
        record(app, event).await?;
    }
    Ok(Problem::unauthorized(
        "the token is unknown, expired or revoked",
        Some("invalid_token"),
    ))
}

/// Lets a caller do something, or says that its scope does not include it, and records that it reached for it.
///
/// # Errors
/// 429 for a token that has used up its minute, 403.
pub async fn admit(
    app: &App,
    request: &HttpRequest,
    caller: &Caller,
    area: Area,
    right: Right,
) -> Result<(), Problem> {
    let id = &caller.token.id;
    if caller.rate.used > caller.rate.limit {
        return Err(Problem::too_many(
            "the token has used up its requests of this minute",
            caller.rate.reset,
        ));
    }
    if caller.may(area, right) {
        return Ok(());
    }
    if app
        .failure_counts
        .note(caller.address, &format!("admin API {area:?} {id}"), app.now())
        == Noted::First
    {
        let event = refusal(app, Actor::ApiToken(id.clone()), caller.address, request);
        record(app, event.with("roles", caller.token.scope.role())).await?;
    }
    let scope = caller.token.scope.as_str();
    Err(Problem::forbidden(&format!(
        "a token with the scope {scope} may not do this"
    )))
}

fn refusal(app: &App, actor: Actor, address: IpAddr, request: &HttpRequest) -> Event {
    let event = app
        .event(Kind::ConsoleRefused, actor)
        .outcome(Outcome::MinorFailure)
        .from(address.to_string());
    event.with("path", request.match_pattern().unwrap_or_default())
}

async fn record(app: &App, event: Event) -> Result<(), Broken> {
    let written = app.store.write(move |tx| {
        tx.audit(event.clone());
        Ok(())
    });
    written.await
}
