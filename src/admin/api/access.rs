//! Who may call: a bearer token (RFC 6750) in the header, and nothing else, so there is nothing that a browser would send
//! by itself. It may do what the role of its scope may do at the console, by the same table.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::admin::about::{About, Admitted};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::error::Broken;
use crate::model::api_token::{ApiToken, PREFIX};
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::oauth::bearer;
use crate::policy::console::{Area, Authority, Right};
use crate::session::{client_address, lockout};
use crate::store::{Conn, Stored, api_tokens, people};
use crate::web::refusals;

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
    /// What it may do: what its scope says, and no more than its owner may.
    pub authority: Authority,
    /// Whose the token is, and of which generation.
    pub owner: Option<(String, i64)>,
    /// Where it calls from.
    pub address: IpAddr,
    /// How often it has called.
    pub rate: Rate,
}

impl Caller {
    /// Whether it may do something.
    pub fn may(&self, area: Area, right: Right) -> bool {
        self.authority.may(area, right)
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
            app.store.read(move |conn| known(conn, &hash)).await?
        }
        None => None,
    };
    // Nobody guesses 256 bits: whoever has a token that holds is not shut out by others behind the same address.
    let good = found
        .clone()
        .filter(|known| known.token.holds(now) && !known.is_orphaned(app));
    let Some(Known { token, owner }) = good else {
        return Err(fail(app, request, address, found.as_ref()).await?);
    };
    let scope = Authority::of(&[token.scope.role().to_owned()]);
    let authority = match &owner {
        Some(person) => scope.within(Authority::of_person(&person.settings, &app.live.agencies())),
        None => scope,
    };
    refusals::note_known(request);
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
    Ok(Caller {
        owner: owner.map(|person| (person.id, person.generation)),
        token,
        authority,
        address,
        rate,
    })
}

/// A token, and whose it is.
#[derive(Debug, Clone)]
struct Known {
    token: ApiToken,
    owner: Option<Person>,
}

impl Known {
    /// Whether it is somebody's who may do nothing here any more.
    fn is_orphaned(&self, app: &App) -> bool {
        let may_sign_in = |person: &Person| lockout::may_sign_in(app, person, app.now());
        self.token.person_id.is_some() && !self.owner.as_ref().is_some_and(may_sign_in)
    }
}

fn known(conn: &mut Conn, hash: &SecretHash) -> Stored<Option<Known>> {
    let Some(token) = api_tokens::by_hash(conn, hash)? else {
        return Ok(None);
    };
    let owner = match &token.person_id {
        Some(id) => people::find(conn, id)?,
        None => None,
    };
    Ok(Some(Known { token, owner }))
}

/// Counts a failure, and records the first of a minute.
async fn fail(
    app: &App,
    request: &HttpRequest,
    address: IpAddr,
    found: Option<&Known>,
) -> Result<Problem, Broken> {
    let now = app.now();
    if app.failure_counts.attempts(address, SUBJECT, now) >= app.config.login.address_attempts_per_minute {
        return Ok(Problem::too_many(
            "too many failed requests from this address: wait",
            60 - now.rem_euclid(60),
        ));
    }
    app.failure_counts.attempt(address, SUBJECT, now);
    if app.failure_counts.note(address, Failed::Other(SUBJECT), now) == Noted::First {
        let reason = match found {
            Some(known) if known.token.revoked_at.is_some() => "API token revoked",
            Some(known) if known.is_orphaned(app) => "API token of somebody who is disabled",
            Some(_) => "API token expired",
            None => "unknown API token",
        };
        let mut event = refusal(app, Actor::Stranger, address, request).with("reason", reason);
        if let Some(known) = found {
            event = event.with("token", &known.token.id);
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
    app: &Arc<App>,
    request: &HttpRequest,
    caller: &Caller,
    (area, right, about): (Area, Right, About),
) -> Result<(), Problem> {
    let id = &caller.token.id;
    if caller.rate.used > caller.rate.limit {
        return Err(Problem::too_many(
            "the token has used up its requests of this minute",
            caller.rate.reset,
        ));
    }
    let named = request.match_info().get("id").unwrap_or_default();
    let admitted = about.admits(app, &caller.authority, (area, right), named).await?;
    if admitted == Admitted::Yes {
        return Ok(());
    }
    let hidden = admitted == Admitted::Hidden;
    if app.failure_counts.note(
        caller.address,
        Failed::Known(&format!("admin API {area:?} {id}")),
        app.now(),
    ) == Noted::First
    {
        let event = refusal(app, Actor::ApiToken(id.clone()), caller.address, request);
        record(app, event.with("roles", caller.token.scope.role())).await?;
    }
    if hidden {
        return Err(Problem::not_found("thing", named));
    }
    let scope = caller.token.scope;
    let of_scope = Authority::of(&[scope.role().to_owned()]);
    Err(Problem::forbidden(&if of_scope.may(area, right) {
        "the person this token belongs to may not do this, so neither may the token".to_owned()
    } else {
        format!("a token with the scope {} may not do this", scope.as_str())
    }))
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
