//! `mdi-auth identity-provider`: providers of agencies that people may sign in with.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::noun::print_enabled;
use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json, print_object, print_table};
use super::start::Start;
use crate::model::identity_provider::IdentityProvider;
use crate::registry::{Registry, identity_providers};
use crate::store::identity_providers as stored;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all identity providers; `mdi-auth apply` registers and changes them
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an identity provider
    Show {
        /// Its id
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch its discovery and keys, and say what is found
    Test {
        /// Its id
        id: String,
    },
    /// Let people sign in with it again
    Enable {
        /// Its id
        id: String,
    },
    /// Let nobody sign in with it, and sign out those who did
    Disable {
        /// Its id
        id: String,
    },
    /// Delete it with the links to it; the accounts stay
    Delete {
        /// Its id
        id: String,
    },
    /// Join an account with an identity there
    Link {
        /// The provider's id
        id: String,
        /// Whose account
        #[arg(long)]
        username: String,
        /// Who it is there: the claim `sub`
        #[arg(long)]
        subject: String,
    },
    /// Part an account from an identity there
    Unlink {
        /// The provider's id
        id: String,
        /// Who it is there: the claim `sub`
        #[arg(long)]
        subject: String,
    },
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::List { json } => list(&registry, json),
        Command::Show { id, json } => show(&registry, id, json),
        Command::Test { id } => test(&registry, id),
        Command::Enable { id } => set_enabled(&registry, &id, true),
        Command::Disable { id } => set_enabled(&registry, &id, false),
        Command::Delete { id } => {
            let shown = id.clone();
            let links =
                registry.blocking(move |registry, tx| identity_providers::delete(registry, tx, &id))?;
            print(format_args!("deleted {shown} and {links} links to accounts"))
        }
        Command::Link {
            id,
            username,
            subject,
        } => {
            let shown = username.clone();
            let link = registry.blocking(move |registry, tx| {
                identity_providers::link(registry, tx, &id, &subject, &username)
            })?;
            print(format_args!(
                "{shown} may sign in with {} as {:?}",
                link.provider_id, link.subject
            ))
        }
        Command::Unlink { id, subject } => {
            registry.blocking(move |registry, tx| {
                identity_providers::unlink(registry, tx, &id, &subject, None)
            })?;
            print("unlinked; a session that is open goes on until it is ended")
        }
    }
}

fn view(provider: &IdentityProvider) -> Map<String, Value> {
    let mut view = identity_providers::view(provider);
    view.insert("id".to_owned(), json!(provider.id));
    view.insert("has_secret".to_owned(), json!(provider.secret.is_some()));
    view.insert("created_at".to_owned(), json!(provider.created_at));
    view.insert("updated_at".to_owned(), json!(provider.updated_at));
    view
}

fn found(registry: &Registry, id: String) -> Result<(IdentityProvider, i64), CommandRefused> {
    let shown = id.clone();
    let (provider, links) = registry
        .app()
        .store
        .read_blocking(move |conn| Ok((stored::find(conn, &id)?, stored::count_links(conn, &id)?)))?;
    let provider =
        provider.ok_or_else(|| CommandRefused(format!("no identity provider has the id {shown:?}")))?;
    Ok((provider, links))
}

fn list(registry: &Registry, json: bool) -> Done {
    let all = registry.app().store.read_blocking(stored::all)?;
    if json {
        return print_json(&all.iter().map(|provider| Value::Object(view(provider))).collect());
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|provider| {
            let state = if provider.enabled { "enabled" } else { "disabled" };
            let accounts = provider.settings.accounts.as_str();
            vec![
                provider.id,
                provider.settings.issuer,
                accounts.to_owned(),
                state.to_owned(),
                provider.name,
            ]
        })
        .collect();
    print_table(&["ID", "ISSUER", "ACCOUNTS", "STATE", "NAME"], &rows)
}

fn show(registry: &Registry, id: String, json: bool) -> Done {
    let (provider, links) = found(registry, id)?;
    let mut view = view(&provider);
    view.insert("links".to_owned(), json!(links));
    view.insert(
        "redirect_uri".to_owned(),
        json!(identity_providers::redirect_uri(registry.app(), &provider.id)),
    );
    if json {
        print_json(&Value::Object(view))
    } else {
        print_object(&view)
    }
}

fn test(registry: &Registry, id: String) -> Done {
    let (provider, _) = found(registry, id)?;
    let app = registry.app();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CommandRefused(format!("cannot start: {cause}")))?;
    let findings = runtime.block_on(
        app.identity_providers
            .examine(&provider, &identity_providers::redirect_uri(app, &provider.id)),
    );
    for finding in &findings {
        print(format_args!(
            "{}  {}",
            if finding.problem { "PROBLEM" } else { "ok     " },
            finding.text
        ))?;
    }
    match findings.iter().filter(|finding| finding.problem).count() {
        0 => Ok(()),
        1 => Err(CommandRefused(
            "1 problem: people cannot sign in with it".to_owned(),
        )),
        count => Err(CommandRefused(format!(
            "{count} problems: people cannot sign in with it"
        ))),
    }
}

fn set_enabled(registry: &Registry, id: &str, enabled: bool) -> Done {
    let owned = id.to_owned();
    let changed = registry
        .blocking(move |registry, tx| identity_providers::set_enabled(registry, tx, &owned, enabled))?;
    print_enabled(id, enabled, changed)
}
