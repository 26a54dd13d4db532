//! Tokens of the admin API: made and revoked.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Decided, Mistakes, Registry, display_name, mistake};
use crate::audit::event::Kind;
use crate::model::api_token::{ApiScope, ApiToken, PREFIX};
use crate::model::secret::Secret;
use crate::store::{Stored, Tx, api_tokens as stored};

/// How long a token holds unless somebody says otherwise, in days.
pub const DEFAULT_DAYS: i64 = 365;
/// The longest that a token holds, in days.
const LONGEST_DAYS: i64 = 3650;
const DAY_SECONDS: i64 = 86_400;

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
        ("created_by", json!(token.created_by)),
        ("created_at", json!(token.created_at)),
        ("expires_at", json!(token.expires_at)),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Makes a token. Answers it with its text, to be shown once.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn create(registry: &Registry, tx: &mut Tx<'_>, form: &ApiTokenForm) -> Decided<(ApiToken, Secret)> {
    let mut mistakes = Mistakes::default();
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
    let (app, now) = (registry.app(), registry.app().now());
    let (kind, who) = registry.actor().parts();
    let token = ApiToken {
        id: app.entropy.id("apt"),
        name,
        scope,
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
    revoke_made_by(registry, tx, &format!("api_token {id}"))?;
    Ok(Ok(true))
}

/// Revokes the tokens that somebody made who must do nothing here any more, and those that were made with them.
pub(super) fn revoke_made_by(registry: &Registry, tx: &mut Tx<'_>, creator: &str) -> Stored<()> {
    for id in stored::made_by(tx.conn(), creator)? {
        // It was there a moment ago, in this transaction.
        let _ = revoke(registry, tx, &id)?;
    }
    Ok(())
}
