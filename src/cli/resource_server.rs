//! `mdi-auth resource-server`: the FHIR servers that accept our tokens.

use super::noun::{self, Column};
use super::outcome::Done;
use super::start::Start;
use crate::model::resource_server::ResourceServerSettings;

pub(super) type Command = noun::Command<ResourceServerSettings>;

const COLUMNS: [Column<ResourceServerSettings>; 3] = [
    ("KIND", |server| server.settings.kind.to_string()),
    ("AUDIENCE", |server| server.settings.audience.clone()),
    ("SIGNED WITH", |server| {
        server.settings.signing_alg.as_str().to_owned()
    }),
];

pub(super) fn run(start: &Start, command: Command) -> Done {
    noun::run(&start.registry()?, command, &COLUMNS, noun::no_more)
}
