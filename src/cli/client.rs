//! `mdi-auth client`: systems and applications that ask for tokens.

use clap::Subcommand;
use serde_json::json;

use super::noun::{self, Column};
use super::outcome::Done;
use super::output::{print, print_json, time};
use super::start::Start;
use crate::model::client::ClientSettings;
use crate::registry::vendor_links;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Noun(noun::Command<ClientSettings>),
    /// Make a link for the vendor, to the hand-off sheet and the connection check, and show it once
    VendorLink {
        /// Its id
        client_id: String,
        /// How many days it works
        #[arg(long, default_value_t = vendor_links::DEFAULT_DAYS)]
        days: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End the vendor's link
    EndVendorLink {
        /// Its id
        client_id: String,
    },
}

const COLUMNS: [Column<ClientSettings>; 3] = [
    ("DATAFLOW", |client| client.settings.dataflow.clone()),
    ("AUTHENTICATION", |client| {
        client.settings.auth_method.as_str().to_owned()
    }),
    ("RESOURCE SERVERS", |client| {
        client.settings.resource_servers.join(" ")
    }),
];

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Noun(command) => noun::run(&registry, command, &COLUMNS, noun::no_more),
        Command::VendorLink {
            client_id,
            days,
            json,
        } => {
            let issued =
                registry.blocking(move |registry, tx| vendor_links::issue(registry, tx, &client_id, days))?;
            if json {
                let link = json!({ "url": issued.url.reveal(), "expires_at": issued.expires_at });
                return print_json(&link);
            }
            print(format_args!("url      {}", issued.url.reveal()))?;
            print(format_args!("expires  {}", time(issued.expires_at)))?;
            print("the link is shown this once; the one before it does not work any more")
        }
        Command::EndVendorLink { client_id } => {
            let id = client_id.clone();
            let ended = registry.blocking(move |registry, tx| vendor_links::end(registry, tx, &id))?;
            let what = if ended {
                "ended the vendor's link of"
            } else {
                "there is no vendor's link of"
            };
            print(format_args!("{what} {client_id}"))
        }
    }
}
