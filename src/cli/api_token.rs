//! `mdi-auth api-token`: tokens of the admin API.

use clap::Subcommand;
use serde_json::{Value, json};

use super::outcome::Done;
use super::output::{print, print_json, print_table, time};
use super::start::Start;
use crate::model::api_token::{ApiScope, ApiToken};
use crate::registry::Registry;
use crate::registry::api_tokens::{self, ApiTokenForm, DEFAULT_DAYS};
use crate::store::api_tokens as stored;

/// How many tokens a listing shows at the most.
const LISTED: usize = 10_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token of the installation and print it, this once
    Create {
        /// What it is good for: admin (everything), clients, users, audit (reading)
        #[arg(long, value_parser = ApiScope::parse)]
        scope: ApiScope,
        /// What people know it by
        #[arg(long)]
        name: Option<String>,
        /// How many days it holds
        #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_DAYS)]
        expires_days: i64,
    },
    /// List the tokens, the newest first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a token to somebody else: it may do no more than its owner may, and stops when the owner is disabled
    HandOver {
        /// Its id
        id: String,
        /// The username of the new owner
        #[arg(long, value_name = "USERNAME", required_unless_present = "to_installation")]
        to: Option<String>,
        /// Make it a token of the installation: it may do what its scope says, until it is revoked
        #[arg(long, conflicts_with = "to")]
        to_installation: bool,
    },
    /// Revoke a token: the next call with it is refused
    Revoke {
        /// Its id
        id: String,
    },
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Create {
            scope,
            name,
            expires_days,
        } => {
            let form = ApiTokenForm {
                scope: Some(scope),
                name,
                expires_days: Some(expires_days),
            };
            let (_, text) = registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form))?;
            print(text.reveal())
        }
        Command::List { json } => list(&registry, json),
        Command::HandOver { id, to, .. } => {
            let owner = to.clone().unwrap_or_else(|| "the installation".to_owned());
            let token = registry
                .blocking(move |registry, tx| api_tokens::hand_over(registry, tx, &id, to.as_deref()))?;
            print(format!("{} is {owner}'s now", token.id))
        }
        Command::Revoke { id } => {
            let shown = id.clone();
            let changed = registry.blocking(move |registry, tx| api_tokens::revoke(registry, tx, &id))?;
            print(if changed {
                format!("revoked {shown}")
            } else {
                format!("{shown} was revoked already")
            })
        }
    }
}

fn list(registry: &Registry, json: bool) -> Done {
    let all = registry
        .app()
        .store
        .read_blocking(|conn| stored::page(conn, None, LISTED))?;
    if json {
        return print_json(&all.iter().map(view).collect());
    }
    let now = registry.app().now();
    let date = |seconds: Option<i64>| seconds.map_or_else(String::new, time);
    let row = |token: &ApiToken| {
        let state = match token.revoked_at {
            Some(_) => "revoked",
            None if token.holds(now) => "good",
            None => "expired",
        };
        vec![
            token.id.clone(),
            token.scope.as_str().to_owned(),
            state.to_owned(),
            time(token.expires_at),
            date(token.last_used_at),
            token
                .person_id
                .clone()
                .unwrap_or_else(|| "installation".to_owned()),
            token.created_by.clone(),
            token.name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    print_table(
        &[
            "ID",
            "SCOPE",
            "STATE",
            "ENDS",
            "LAST USED",
            "BELONGS TO",
            "MADE BY",
            "NAME",
        ],
        &rows,
    )
}

fn view(token: &ApiToken) -> Value {
    let mut view = api_tokens::view(token);
    view.insert("id".to_owned(), json!(token.id));
    view.insert("last_used_at".to_owned(), json!(token.last_used_at));
    view.insert("revoked_at".to_owned(), json!(token.revoked_at));
    Value::Object(view)
}
