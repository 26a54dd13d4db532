//! Tokens of the admin API: made, handed over and revoked.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Decided, Mistakes, Registry, display_name, mistake};
use crate::audit::event::{Actor, Kind};
use crate::model::api_token::{ApiScope, ApiToken, PREFIX};
use crate::model::secret::Secret;
use crate::policy::console;
use crate::store::{Stored, Tx, api_tokens as stored, people};

/// How long a token holds unless somebody says otherwise, in days.
pub const DEFAULT_DAYS: i64 = 365;
/// The longest that a token holds, in days.
const LONGEST_DAYS: i64 = 3650;
const DAY_SECONDS: i64 = 86_400;
/// How many tokens of a person may hold at a time.
const MOST_OF_ONE: usize = 50;

/// Why a token cannot make another one: each has somebody who answers for it, and ends when she does.
pub const TOKENS_MAKE_NO_TOKENS: &str = "a token makes no tokens: they are made by people at the console, or for the installation at the command line";

/// What is wanted of a token.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenForm {
    /// What it is good for.
    #[schema(required = true)]
    pub scope: Option<ApiScope>,
    /// What people know it by; the scope, if it has no name.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// How many days it holds; 365 if nothing is said.
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_days: Option<i64>,
}

/// What people may see of a token.
pub fn view(token: &ApiToken) -> Map<String, Value> {
    let members = [
        ("name", json!(token.name)),
        ("scope", json!(token.scope)),
        ("person_id", json!(token.person_id)),
        ("created_by", json!(token.created_by)),
        ("created_at", json!(token.created_at)),
        ("expires_at", json!(token.expires_at)),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Makes a token: of the person who asks, or of the installation where an operator does. Answers it with its text, to be
/// shown once.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn create(registry: &Registry, tx: &mut Tx<'_>, form: &ApiTokenForm) -> Decided<(ApiToken, Secret)> {
    let (app, now) = (registry.app(), registry.app().now());
    let mut mistakes = Mistakes::default();
    let person_id = match registry.actor() {
        Actor::Person(id) => Some(id.clone()),
        Actor::ApiToken(_) => return Ok(mistake("scope", TOKENS_MAKE_NO_TOKENS)),
        _ => None,
    };
    if let Some(id) = &person_id
        && stored::live_of(tx.conn(), id, now)?.len() >= MOST_OF_ONE
    {
        mistakes.add(
            "name",
            format!("you have {MOST_OF_ONE} tokens that hold: revoke one that nothing uses any more"),
        );
    }
    let wanted = form
        .scope
        .ok_or_else(|| "it is missing: admin, clients, users or audit".to_owned());
    let scope = mistakes.take("scope", wanted);
    let name = display_name(form.name.as_deref(), scope.map(ApiScope::as_str));
    let name = mistakes.take("name", name).unwrap_or_default();
    let days = form.expires_days.unwrap_or(DEFAULT_DAYS);
    if !(1..=LONGEST_DAYS).contains(&days) {
        mistakes.add("expires_days", format!("{days} must be from 1 to {LONGEST_DAYS}"));
    }
    let Some(scope) = good!(mistakes.into_result(scope)) else {
        return Ok(mistake("scope", "it is missing"));
    };
    let (kind, who) = registry.actor().parts();
    let token = ApiToken {
        id: app.entropy.id("apt"),
        name,
        scope,
        person_id,
        created_by: format!("{kind} {who}").trim_end().to_owned(),
        created_at: now,
        expires_at: now + days * DAY_SECONDS,
        last_used_at: None,
        revoked_at: None,
    };
    let text = Secret::new(format!("{PREFIX}{}", app.entropy.secret()));
    stored::add(tx.conn(), &token, &text.hash())?;
    let event = registry
        .event(Kind::ApiTokenChanged, "made")
        .with("token", &token.id);
    tx.audit(event.with("after", Value::Object(view(&token)).to_string()));
    Ok(Ok((token, text)))
}

/// Revokes a token: the next call with it is refused. Answers whether that changed anything.
pub fn revoke(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<bool> {
    let Some(token) = stored::find(tx.conn(), id)? else {
        return Ok(mistake("id", format!("no API token has the id {id:?}")));
    };
    if !stored::revoke(tx.conn(), id, registry.app().now())? {
        return Ok(Ok(false));
    }
    let event = registry.event(Kind::ApiTokenChanged, "revoked").with("token", id);
    tx.audit(event.with("before", Value::Object(view(&token)).to_string()));
    Ok(Ok(true))
}

/// Makes a token somebody else's, or the installation's: so that it outlives who made it.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn hand_over(registry: &Registry, tx: &mut Tx<'_>, id: &str, to: Option<&str>) -> Decided<ApiToken> {
    let now = registry.app().now();
    let Some(token) = stored::find(tx.conn(), id)?.filter(|token| token.holds(now)) else {
        return Ok(mistake(
            "id",
            format!("no API token that holds has the id {id:?}"),
        ));
    };
    let person_id = match to {
        None => None,
        Some(username) => {
            let person = people::find_by_username(tx.conn(), username)?.filter(|person| person.enabled);
            let Some(person) = person else {
                return Ok(mistake(
                    "to",
                    format!("nobody who may sign in has the username {username:?}"),
                ));
            };
            if !console::is_administrative(&person.settings) {
                return Ok(mistake(
                    "to",
                    format!("{username:?} has no role of the console, so the token could do nothing"),
                ));
            }
            if stored::live_of(tx.conn(), &person.id, now)?.len() >= MOST_OF_ONE {
                return Ok(mistake(
                    "to",
                    format!("{username:?} has {MOST_OF_ONE} tokens that hold"),
                ));
            }
            Some(person.id)
        }
    };
    stored::hand_over(tx.conn(), id, person_id.as_deref())?;
    let after = ApiToken {
        person_id,
        ..token.clone()
    };
    let event = registry
        .event(Kind::ApiTokenChanged, "handed over")
        .with("token", id);
    let event = event.with("before", Value::Object(view(&token)).to_string());
    tx.audit(event.with("after", Value::Object(view(&after)).to_string()));
    Ok(Ok(after))
}

/// Revokes the tokens of a person who must do nothing here any more.
pub(super) fn revoke_of(registry: &Registry, tx: &mut Tx<'_>, person_id: &str) -> Stored<()> {
    for id in stored::live_of(tx.conn(), person_id, registry.app().now())? {
        // It was there a moment ago, in this transaction.
        let _ = revoke(registry, tx, &id)?;
    }
    Ok(())
}
