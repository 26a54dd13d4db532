//! `mdi-auth agency`: the offices, laboratories, funeral homes and hospitals that systems and people belong to.

use clap::Subcommand;
use serde_json::json;

use super::noun::{self, Column};
use super::outcome::Done;
use super::output::{or_none, print, print_json, print_table};
use super::start::Start;
use crate::model::agency::AgencySettings;
use crate::model::person::Person;
use crate::registry::people;
use crate::store::people as stored;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Noun(noun::Command<AgencySettings>),
    /// List users of other agencies who have roles at this one
    Members {
        /// Its id
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a user roles at an agency beside her own, in the place of those that she has there
    SetMember {
        /// Its id
        id: String,
        /// The username
        username: String,
        /// A role there; may repeat; user-manager and client-manager look after this agency alone
        #[arg(long = "role", value_name = "CODE", required_unless_present = "none")]
        roles: Vec<String>,
        /// None: the user leaves the agency
        #[arg(long, conflicts_with = "roles")]
        none: bool,
    },
}

const COLUMNS: [Column<AgencySettings>; 2] = [
    ("KIND", |agency| agency.settings.kind.clone()),
    ("IDENTIFIER", |agency| {
        agency.settings.identifier.clone().unwrap_or_default()
    }),
];

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Noun(command) => noun::run(&registry, command, &COLUMNS, noun::no_more),
        Command::Members { id, json } => {
            noun::found::<AgencySettings>(&registry, &id)?;
            registry.note_look("mdi-auth agency members")?;
            let agency = id.clone();
            let members = registry
                .app()
                .store
                .read_blocking(move |conn| stored::members_of(conn, &agency))?;
            let roles = |person: &Person| {
                let membership = person.settings.membership(&id);
                membership
                    .map(|membership| membership.roles.clone())
                    .unwrap_or_default()
            };
            if json {
                let all = members.iter().map(|person| {
                    json!({ "username": person.username, "name": person.name, "roles": roles(person) })
                });
                return print_json(&all.collect());
            }
            let row = |person: &Person| {
                vec![
                    person.username.clone(),
                    or_none(&roles(person)),
                    person.name.clone(),
                ]
            };
            print_table(
                &["USERNAME", "ROLES", "NAME"],
                &members.iter().map(row).collect::<Vec<_>>(),
            )
        }
        Command::SetMember {
            id,
            username,
            roles,
            none: _,
        } => {
            let agency = id.clone();
            let person = registry.blocking(move |registry, tx| {
                people::set_membership(registry, tx, &agency, &username, &roles)
            })?;
            let roles = person.settings.membership(&id);
            let roles = roles
                .map(|membership| membership.roles.clone())
                .unwrap_or_default();
            print(format_args!(
                "{} has at {id} the roles: {}",
                person.username,
                or_none(&roles)
            ))
        }
    }
}
