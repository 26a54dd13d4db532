//! `mdi-auth audit`: the audit record.

use clap::Subcommand;
use serde_json::{Value, json};

use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json};
use super::start::Start;
use crate::audit::verify::{Chain, verify};
use crate::config::Database;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that nothing in the record was changed, dropped or put in another order
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(start: &Start, command: &Command) -> Done {
    let Command::Verify { json } = command;
    // An empty record is always sound: an auditor in the wrong directory must not be told so.
    let database = start.config()?.database.url;
    if let Database::Sqlite(path) = &database
        && !path.exists()
    {
        return Err(CommandRefused(format!(
            "there is no database at {database}: name the server's configuration with --config, or change to the directory that it runs in"
        )));
    }
    let app = start.app()?;
    let chains = verify(&app.store)?;
    if *json {
        print_json(&chains.iter().map(view).collect())?;
    } else {
        for chain in chains
            .iter()
            .filter(|chain| chain.sound > 0 || chain.finding.is_some())
        {
            print(format_args!(
                "chain {}: {} events, head {}",
                chain.id, chain.sound, chain.head
            ))?;
        }
    }
    let findings: Vec<String> = chains
        .iter()
        .filter_map(|chain| Some((chain.id, chain.finding.as_ref()?)))
        .map(|(id, finding)| format!("chain {id}, row {}: {}", finding.seq, finding.problem))
        .collect();
    if findings.is_empty() {
        let total: i64 = chains.iter().map(|chain| chain.sound).sum();
        return if *json {
            Ok(())
        } else {
            print(format_args!(
                "the record is sound: {total} events, in {}",
                app.config.database.url
            ))
        };
    }
    Err(CommandRefused(format!(
        "the record is not sound:\n{}",
        findings.join("\n")
    )))
}

fn view(chain: &Chain) -> Value {
    let finding = chain
        .finding
        .as_ref()
        .map(|finding| json!({ "seq": finding.seq, "problem": finding.problem }));
    json!({ "chain": chain.id, "events": chain.sound, "head": chain.head, "finding": finding })
}
