//! `mdi-auth session` and `mdi-auth grant`: what is going on, and its end.

use clap::Subcommand;

use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json, print_table, time};
use super::start::Start;
use crate::registry::Registry;
use crate::registry::sessions as registry_sessions;
use crate::session::Limits;
use crate::store::lists::{self, Grants, Sessions};
use crate::store::people;

/// How many rows a listing shows at the most.
const LISTED: usize = 10_000;

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List the sessions that are open, the newest first
    List {
        /// Only those of this user
        #[arg(long)]
        username: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a session with what was allowed in it
    End {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// List what users allowed clients and nobody revoked, the newest first
    List {
        /// Only those of this user
        #[arg(long)]
        username: Option<String>,
        /// Only those to this client
        #[arg(long)]
        client: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a grant with all its tokens; the client must ask again
    Revoke {
        /// Its id
        id: String,
    },
}

fn person_id(registry: &Registry, username: Option<String>) -> Result<Option<String>, CommandRefused> {
    let Some(username) = username else { return Ok(None) };
    let typed = username.clone();
    let found = registry
        .app()
        .store
        .read_blocking(move |conn| people::find_by_username(conn, &typed))?;
    let found = found.ok_or_else(|| CommandRefused(format!("nobody has the username {username:?}")))?;
    Ok(Some(found.id))
}

pub(super) fn session(start: &Start, command: Session) -> Done {
    let registry = start.registry()?;
    match command {
        Session::List { username, json } => {
            registry.note_look("mdi-auth session list")?;
            let app = registry.app();
            let (begun_after, used_after) = Limits::of(app).since(app.now());
            let wanted = Sessions {
                homes: None,
                person: person_id(&registry, username)?,
                begun_after,
                used_after,
            };
            let all = app
                .store
                .read_blocking(move |conn| lists::sessions(conn, &wanted, None, LISTED))?;
            if json {
                let view = |session: &crate::model::session::Session| {
                    serde_json::json!({
                        "id": session.id, "user_id": session.person_id, "created_at": session.created_at,
                        "last_seen_at": session.last_seen_at, "address": session.address, "user_agent": session.user_agent,
                    })
                };
                return print_json(&all.iter().map(view).collect());
            }
            let rows: Vec<Vec<String>> = all
                .into_iter()
                .map(|session| {
                    vec![
                        session.id,
                        session.person_id,
                        time(session.created_at),
                        time(session.last_seen_at),
                        session.address,
                    ]
                })
                .collect();
            print_table(&["ID", "USER", "SIGNED IN", "LAST SEEN", "ADDRESS"], &rows)
        }
        Session::End { id } => {
            let wanted = id.clone();
            let ended =
                registry.blocking(move |registry, tx| registry_sessions::end(registry, tx, &wanted))?;
            let ended =
                ended.ok_or_else(|| CommandRefused(format!("no session that is open has the id {id:?}")))?;
            print(format_args!("ended {}", ended.id))
        }
    }
}

pub(super) fn grant(start: &Start, command: Grant) -> Done {
    let registry = start.registry()?;
    match command {
        Grant::List {
            username,
            client,
            json,
        } => {
            registry.note_look("mdi-auth grant list")?;
            let app = registry.app();
            let wanted = Grants {
                homes: None,
                person: person_id(&registry, username)?,
                client,
                kept_after: app.now(),
            };
            let all = app
                .store
                .read_blocking(move |conn| lists::grants(conn, &wanted, None, LISTED))?;
            if json {
                let view = |grant: &crate::model::grant::Grant| {
                    serde_json::json!({
                        "id": grant.id, "user_id": grant.person_id, "client_id": grant.client_id,
                        "scope": grant.facts.scope.to_string(), "created_at": grant.created_at,
                    })
                };
                return print_json(&all.iter().map(view).collect());
            }
            let rows: Vec<Vec<String>> = all
                .into_iter()
                .map(|grant| {
                    let scope = grant.facts.scope.to_string();
                    vec![
                        grant.id,
                        grant.person_id,
                        grant.client_id,
                        time(grant.created_at),
                        scope,
                    ]
                })
                .collect();
            print_table(&["ID", "USER", "CLIENT", "ALLOWED", "SCOPE"], &rows)
        }
        Grant::Revoke { id } => {
            let wanted = id.clone();
            let revoked = registry
                .blocking(move |registry, tx| registry_sessions::revoke_grant(registry, tx, &wanted))?;
            let revoked =
                revoked.ok_or_else(|| CommandRefused(format!("no grant that holds has the id {id:?}")))?;
            print(format_args!("revoked {}", revoked.id))
        }
    }
}
