//! `/api-tokens` and `/me`

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{Answered, Call, Group, Operation, Shape, settled};
use super::problem::Problem;
use super::query::{CURSOR, LIMIT, Parameter, page};
use super::reply::{Reply, time};
use crate::model::api_token::{ApiScope, ApiToken};
use crate::policy::console::{Area, Right, TABLE};
use crate::registry::api_tokens::{self, ApiTokenForm};
use crate::store::{Tx, api_tokens as stored};

/// A token of this API, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiToken)]
struct View {
    /// Its id.
    id: String,
    /// What people know it by.
    name: String,
    /// What it is good for.
    scope: ApiScope,
    /// The id of the person it belongs to: it can do no more than that person can. None for tokens of the installation.
    person_id: Option<String>,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// Something that a token may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Right)]
struct May {
    /// Where.
    area: &'static str,
    /// Whether it may change something there, and not only look.
    change: bool,
}

/// Who calls, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
struct Me {
    /// The token.
    token: View,
    /// What it may do; it may do nothing else.
    may: Vec<May>,
    /// How many requests it may make within a minute.
    requests_per_minute: u32,
}

const LIST: [Parameter; 2] = [LIMIT, CURSOR];

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::get("/api-tokens", "listApiTokens", list)
            .says("List the tokens of this API", "The newest first; never their texts.")
            .queries(&LIST)
            .answers_page(Shape::of::<View>()),
        Operation::post("/api-tokens", "makeApiToken", create)
            .says(
                "Make a token: always refused",
                "Tokens are made by people at the console, or for the installation at the command line, and never by tokens: somebody answers for each of them."
            )
            .takes(Reads::Json, Shape::of::<ApiTokenForm>(), json!({ "scope": "clients", "name": "Terraform", "expires_days": 90 }))
            .answers(201, Shape::of::<View>()),
        Operation::get("/api-tokens/{id}", "getApiToken", get).says("Look at a token", "").answers(200, Shape::of::<View>()),
        Operation::post("/api-tokens/{id}/revoke", "revokeApiToken", revoke)
            .says(
                "Revoke a token",
                "The next call with it is refused. It stays in the list, for whoever asks later who could do what.",
            )
            .answers(200, Shape::of::<View>()),
    ];
    Group::new(
        "API tokens",
        "What programs administer with.",
        Area::ApiTokens,
        operations,
    )
}

/// What every token may ask.
pub(super) fn me() -> Group {
    let operations = vec![
        Operation::get("/me", "whoAmI", who)
            .says("Say what this token is and may do", "")
            .answers(200, Shape::of::<Me>()),
    ];
    Group::new("This token", "What the caller is.", Area::Home, operations)
}

fn view(token: &ApiToken) -> View {
    View {
        id: token.id.clone(),
        name: token.name.clone(),
        person_id: token.person_id.clone(),
        scope: token.scope,
        created_by: token.created_by.clone(),
        created_at: time(token.created_at),
        expires_at: time(token.expires_at),
        last_used_at: token.last_used_at.map(time),
        revoked_at: token.revoked_at.map(time),
    }
}

async fn list(call: Call) -> Answered {
    let after = match call.query.after::<2>()? {
        Some([at, id]) => Some((super::query::number(&at)?, id)),
        None => None,
    };
    let limit = call.query.limit();
    let rows = call
        .read(move |conn| stored::page(conn, after.as_ref().map(|(at, id)| (*at, id.as_str())), limit + 1))
        .await?;
    let key = |token: &ApiToken| vec![token.created_at.to_string(), token.id.clone()];
    Ok(Reply::ok(&page(rows, limit, key, |token| view(&token))))
}

async fn create(call: Call) -> Answered {
    call.form::<ApiTokenForm>(&[])?;
    Err(Problem::forbidden(api_tokens::TOKENS_MAKE_NO_TOKENS))
}

async fn get(call: Call) -> Answered {
    let id = call.id.clone();
    let token = call.read(move |conn| stored::find(conn, &id)).await?;
    token
        .map(|token| Reply::ok(&view(&token)))
        .ok_or_else(|| Problem::not_found("API token", &call.id))
}

async fn revoke(call: Call) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        if stored::find(tx.conn(), &id)?.is_none() {
            return Ok(Err(Problem::not_found("API token", &id)));
        }
        settled!(api_tokens::revoke(registry, tx, &id)?);
        let revoked = stored::find(tx.conn(), &id)?.ok_or_else(|| Problem::not_found("API token", &id));
        Ok(revoked.map(|token| Reply::ok(&view(&token))))
    };
    call.change(job).await
}

async fn who(call: Call) -> Answered {
    let held = TABLE
        .iter()
        .map(|(area, _)| (area.as_str(), call.caller.authority.right(*area)));
    let may = held.filter(|(_, right)| *right > Right::None);
    let me = Me {
        token: view(&call.caller.token),
        may: may
            .map(|(area, right)| May {
                area,
                change: right == Right::Change,
            })
            .collect(),
        requests_per_minute: call.caller.rate.limit,
    };
    Ok(Reply::ok(&me))
}
