//! `mdi-auth apply`: a file of resource servers, clients and users.

use std::path::PathBuf;

use clap::Args;

use super::input::read_file;
use super::outcome::Done;
use super::output::print;
use super::start::Start;
use super::user::print_link;
use crate::registry::apply;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file (TOML)
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(start: &Start, arguments: &Arguments) -> Done {
    let text = read_file(&arguments.file)?;
    let registry = start.registry()?;
    let outcome = apply::apply(&registry, &text, arguments.dry_run)?;
    for line in &outcome.lines {
        print(line)?;
    }
    for (owner, secret) in &outcome.secrets {
        print(format_args!(
            "secret of {owner} (shown once): {}",
            secret.reveal()
        ))?;
    }
    for issued in &outcome.invitations {
        print_link(issued)?;
    }
    for note in &outcome.notes {
        print(format_args!("note: {note}"))?;
    }
    match (outcome.changes, arguments.dry_run) {
        (true, true) => print("dry run: nothing was changed"),
        (true, false) => Ok(()),
        (false, _) => print("nothing changes"),
    }
}
