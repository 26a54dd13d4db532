//! `mdi-auth identity-provider`: providers of agencies that people may sign in with.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::noun::{self, Column};
use super::outcome::{CommandRefused, Done};
use super::output::print;
use super::start::Start;
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::registry::{Registry, identity_providers};
use crate::store::identity_providers as stored;

const COLUMNS: [Column<IdentityProviderSettings>; 2] = [
    ("ISSUER", |provider| provider.settings.issuer.clone()),
    ("ACCOUNTS", |provider| {
        provider.settings.accounts.as_str().to_owned()
    }),
];

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Noun(noun::Command<IdentityProviderSettings>),
    /// Fetch its discovery and keys, and say what is found
    Test {
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
        Command::Noun(command) => noun::run(&registry, command, &COLUMNS, more),
        Command::Test { id } => test(&registry, id),
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
            let ended = registry.blocking(move |registry, tx| {
                identity_providers::unlink(registry, tx, &id, &subject, None)
            })?;
            print(format_args!("unlinked; sessions ended: {ended}"))
        }
    }
}

/// Where the provider sends people back to, and how many accounts are linked with identities there.
fn more(registry: &Registry, provider: &IdentityProvider) -> Result<Map<String, Value>, CommandRefused> {
    let id = provider.id.clone();
    let links = registry
        .app()
        .store
        .read_blocking(move |conn| stored::count_links(conn, &id))?;
    let redirect_uri = identity_providers::redirect_uri(registry.app(), &provider.id);
    let shown = [("links", json!(links)), ("redirect_uri", json!(redirect_uri))];
    Ok(shown
        .map(|(member, value)| (member.to_owned(), value))
        .into_iter()
        .collect())
}

fn test(registry: &Registry, id: String) -> Done {
    let provider = noun::found::<IdentityProviderSettings>(registry, &id)?;
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
