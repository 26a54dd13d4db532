//! What the command line does with any registered noun.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json, print_object, print_table, time};
use super::said::SaidArguments;
use crate::model::registered::Registered;
use crate::model::secret::Secret;
use crate::registry::noun::{self, Registrable};
use crate::registry::secrets::{DEFAULT_OVERLAP_SECONDS, Rotated, view as view_secrets};
use crate::registry::{Registry, id_from};
use crate::store::registered;

/// A column of a list: its head, and what stands in it.
pub(super) type Column<S> = (&'static str, fn(&Registered<S>) -> String);
/// What is shown of one beside what is registered.
pub(super) type More<S> = fn(&Registry, &Registered<S>) -> Result<Map<String, Value>, CommandRefused>;

/// Nothing.
pub(super) fn no_more<S>(_: &Registry, _: &Registered<S>) -> Result<Map<String, Value>, CommandRefused> {
    Ok(Map::new())
}

#[derive(Debug, Subcommand)]
pub(super) enum Command<S: Registrable> {
    #[command(about = about::<S>("Register", ""))]
    Register {
        #[command(flatten)]
        said: Box<SaidArguments<S>>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(about = about::<S>("Change", "; what is not said stays"))]
    Change {
        /// Its id
        #[arg(value_name = "ID")]
        which: String,
        #[command(flatten)]
        said: Box<SaidArguments<S>>,
        /// A member that takes its default; may repeat
        #[arg(long, value_name = "MEMBER")]
        clear: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(about = format!("List all {}", S::NOUN.many))]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(about = about::<S>("Show", ""))]
    Show {
        /// Its id
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new secret and show it once
    #[command(hide = !S::NOUN.secrets.are_theirs())]
    RotateSecret {
        /// Its id
        id: String,
        #[command(flatten)]
        overlap: Overlap,
    },
    #[command(about = about::<S>("Disable", ": refuse it everything, and end its tokens"))]
    Disable {
        /// Its id
        id: String,
    },
    #[command(about = about::<S>("Enable", " that was disabled; older tokens stay ended"))]
    Enable {
        /// Its id
        id: String,
    },
    #[command(about = about::<S>("Delete", " that nothing else uses, with what stands on it"))]
    Delete {
        /// Its id
        id: String,
    },
}

fn about<S: Registrable>(verb: &str, rest: &str) -> String {
    format!("{verb} {}{rest}", S::NOUN.a())
}

#[derive(Debug, Args)]
pub(super) struct Overlap {
    /// How long the old secret stays valid; 0 ends it at once
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_OVERLAP_SECONDS)]
    overlap_seconds: i64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run<S: Registrable>(
    registry: &Registry,
    command: Command<S>,
    columns: &[Column<S>],
    more: More<S>,
) -> Done {
    match command {
        Command::Register { said, json } => register(registry, *said, json, columns),
        Command::Change {
            which,
            said,
            clear,
            json,
        } => change(registry, which, *said, &clear, json),
        Command::List { json } => list(registry, json, columns),
        Command::Show { id, json } => {
            let found = found::<S>(registry, &id)?;
            let mut view = view(&found);
            view.extend(more(registry, &found)?);
            if json {
                print_json(&Value::Object(view))
            } else {
                print_object(&view)
            }
        }
        Command::RotateSecret { id, overlap } => {
            let (owner, seconds) = (id.clone(), overlap.overlap_seconds);
            let rotated = registry
                .blocking(move |registry, tx| noun::rotate_secret::<S>(registry, tx, &owner, seconds))?;
            print_rotated(&id, &rotated, overlap.json)
        }
        Command::Disable { id } => set_enabled::<S>(registry, &id, false),
        Command::Enable { id } => set_enabled::<S>(registry, &id, true),
        Command::Delete { id } => {
            let owner = id.clone();
            registry.blocking(move |registry, tx| noun::delete::<S>(registry, tx, &owner))?;
            print(format_args!("deleted {id}"))
        }
    }
}

fn register<S: Registrable>(
    registry: &Registry,
    said: SaidArguments<S>,
    json: bool,
    columns: &[Column<S>],
) -> Done {
    let made = |members: &Map<String, Value>| {
        let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
        Some(id_from(name))
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| registry.app().entropy.id(S::NOUN.table))
    };
    let said = noun::prepared::<S>(registry, said.or_id(made).said()?)?;
    let (registered, secret) =
        registry.blocking(move |registry, tx| noun::register::<S>(registry, tx, &said))?;
    if json {
        return print_json(&Value::Object(with_secret(
            view(&registered),
            &registered.id,
            secret.as_ref(),
        )));
    }
    let mut shown = Map::new();
    shown.insert(S::NOUN.id.to_owned(), json!(registered.id));
    for (head, column) in columns {
        shown.insert(head.to_lowercase().replace(' ', "_"), json!(column(&registered)));
    }
    print_object(&with_secret(shown, &registered.id, secret.as_ref()))?;
    told_once(secret.is_some())
}

fn with_secret(mut shown: Map<String, Value>, id: &str, secret: Option<&Secret>) -> Map<String, Value> {
    if let Some(secret) = secret {
        shown.insert("client_id".to_owned(), json!(id));
        shown.insert("client_secret".to_owned(), json!(secret.reveal()));
    }
    shown
}

fn told_once(has_secret: bool) -> Done {
    if has_secret {
        print("the secret is shown this once; the database keeps its hash only")
    } else {
        Ok(())
    }
}

fn change<S: Registrable>(
    registry: &Registry,
    id: String,
    said: SaidArguments<S>,
    clear: &[String],
    json: bool,
) -> Done {
    if said.is_empty() && clear.is_empty() {
        return Err(CommandRefused(format!(
            "nothing is said about {id}: give at least one option, or --clear MEMBER"
        )));
    }
    let owner = id.clone();
    let said = said.or_id(|_| owner).said()?;
    if !said.says_that(S::NOUN.id, id.as_str()) {
        return Err(CommandRefused(format!(
            "an id does not change: leave --{} out",
            S::NOUN.id.replace('_', "-")
        )));
    }
    let said = clear.iter().fold(said, |said, member| {
        said.with(&member.replace('-', "_"), Value::Null)
    });
    let said = noun::prepared::<S>(registry, said)?;
    let (after, secret) =
        registry.blocking(move |registry, tx| noun::change::<S>(registry, tx, &said, None))?;
    if json {
        return print_json(&Value::Object(with_secret(view(&after), &id, secret.as_ref())));
    }
    print(format_args!("{id} is as you said"))?;
    if let Some(secret) = &secret {
        print(format_args!("client_secret  {}", secret.reveal()))?;
    }
    told_once(secret.is_some())
}

/// Prints a new secret, once.
fn print_rotated(id: &str, rotated: &Rotated, json: bool) -> Done {
    if json {
        return print_json(&json!({
            "client_id": id,
            "client_secret": rotated.secret.reveal(),
            "old_secret_expires_at": rotated.old_ends_at,
        }));
    }
    print(format_args!("client_id      {id}"))?;
    print(format_args!("client_secret  {}", rotated.secret.reveal()))?;
    match rotated.old_ends_at {
        Some(ends_at) => print(format_args!(
            "the secret is shown this once; the old one ends at {}",
            time(ends_at)
        )),
        None => print("the secret is shown this once"),
    }
}

fn view<S: Registrable>(registered: &Registered<S>) -> Map<String, Value> {
    let mut view = noun::view(registered);
    view.insert(S::NOUN.id.to_owned(), json!(registered.id));
    view.insert("created_at".to_owned(), json!(registered.created_at));
    view.insert("updated_at".to_owned(), json!(registered.updated_at));
    if S::NOUN.secrets.are_ours() {
        view.insert("has_secret".to_owned(), json!(registered.sealed.is_some()));
    } else if S::NOUN.secrets.are_theirs() {
        view.insert("secrets".to_owned(), view_secrets(&registered.secrets));
    }
    view
}

pub(super) fn found<S: Registrable>(registry: &Registry, id: &str) -> Result<Registered<S>, CommandRefused> {
    let owner = id.to_owned();
    let found = registry
        .app()
        .store
        .read_blocking(move |conn| S::find(conn, &owner))?;
    found.ok_or_else(|| CommandRefused(format!("no {} has the id {id:?}", S::NOUN.name)))
}

fn list<S: Registrable>(registry: &Registry, json: bool, columns: &[Column<S>]) -> Done {
    let all = registry.app().store.read_blocking(registered::all::<S>)?;
    if json {
        return print_json(
            &all.iter()
                .map(|registered| Value::Object(view(registered)))
                .collect(),
        );
    }
    let row = |registered: &Registered<S>| {
        let state = if registered.enabled { "enabled" } else { "disabled" };
        let own = columns.iter().map(|(_, column)| column(registered));
        let ends = [state.to_owned(), registered.name.clone()];
        std::iter::once(registered.id.clone())
            .chain(own)
            .chain(ends)
            .collect()
    };
    let id = S::NOUN.id.to_uppercase();
    let own = columns.iter().map(|(head, _)| *head);
    let head: Vec<&str> = std::iter::once(id.as_str())
        .chain(own)
        .chain(["STATE", "NAME"])
        .collect();
    print_table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

fn set_enabled<S: Registrable>(registry: &Registry, id: &str, enabled: bool) -> Done {
    let owner = id.to_owned();
    let changed =
        registry.blocking(move |registry, tx| noun::set_enabled::<S>(registry, tx, &owner, enabled))?;
    print_enabled(id, enabled, changed)
}

/// Says whether something was disabled or enabled.
fn print_enabled(id: &str, enabled: bool, changed: bool) -> Done {
    let state = if enabled { "enabled" } else { "disabled" };
    if changed {
        print(format_args!("{state} {id}"))
    } else {
        print(format_args!("{id} was {state} already"))
    }
}
