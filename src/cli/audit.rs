//! `mdi-auth audit`: the audit record.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::outcome::{CommandRefused, Done};
use super::output::{print, print_json};
use super::start::Start;
use crate::audit::checkpoint::{self, PublicKeys};
use crate::audit::proof::{self, Unproved};
use crate::audit::verify::{CheckedLog, Finding, Report, verify};
use crate::config::Database;
use crate::store::audit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check that nothing in the record was changed, dropped, added or put in another order
    Verify {
        /// A file with checkpoints or bundles that were kept elsewhere, to be compared with the record; may be repeated
        #[arg(long, value_name = "FILE")]
        expect: Vec<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Prove that an event is in the record, for whoever has the public key alone (c2sp.org/tlog-proof)
    Prove {
        /// Its number in the log, from 1
        seq: i64,
        /// The log
        #[arg(long, default_value_t = 0)]
        log: i32,
    },
    /// Print what is signed of the record: all logs and their checkpoints of one moment, to be kept elsewhere
    Bundle,
    /// Print the public keys that verify what is signed, as other tools want them (c2sp.org/signed-note)
    Keys,
}

pub(super) fn run(start: &Start, command: &Command) -> Done {
    // An empty record is always sound: an auditor in the wrong directory must not be told so.
    let database = start.config()?.database.url;
    if let Database::Sqlite(path) = &database
        && !path.exists()
    {
        return Err(CommandRefused(format!(
            "there is no database at {database}: name the server's configuration with --config, or change to the directory that it runs in"
        )));
    }
    match command {
        Command::Verify { expect, json } => check(start, &notes(expect)?, *json),
        Command::Prove { seq, log } => {
            let (seq, log) = (*seq, *log);
            let app = start.app()?;
            match app
                .store
                .read_blocking(move |conn| proof::inclusion(conn, log, seq))?
            {
                Ok(proof) => print(proof.trim_end()),
                Err(unproved) => Err(CommandRefused(unproved.to_string())),
            }
        }
        Command::Bundle => match start.app()?.store.read_blocking(audit::newest_bundle)? {
            Some(bundle) => print(bundle.note.trim_end()),
            None => Err(CommandRefused(Unproved::NotSigned.to_string())),
        },
        Command::Keys => {
            let read = start
                .app()?
                .store
                .read_blocking(|conn| Ok((audit::logs(conn)?, audit::checkpoint_keys(conn)?)));
            let (logs, keys) = read?;
            let keys = PublicKeys::read(keys.iter().map(|key| key.public_key.as_str()))
                .map_err(|cause| CommandRefused(cause.to_string()))?;
            for log in logs {
                for key in keys.verifier_keys(&log.origin) {
                    print(key)?;
                }
            }
            Ok(())
        }
    }
}

fn check(start: &Start, noted: &[String], json: bool) -> Done {
    let app = start.app()?;
    let report = verify(&app.store, noted)?;
    if json {
        print_json(&view(&report))?;
    } else {
        for log in report.logs.iter().filter(|log| log.events > 0) {
            print(format_args!(
                "{}: {} events, signed up to {}",
                log.origin, log.events, log.signed
            ))?;
        }
        if report.compared > 0 {
            print(format_args!(
                "notes from elsewhere that were compared: {}",
                report.compared
            ))?;
        }
        for unproved in &report.unproved {
            print(format_args!("not proved: {unproved}"))?;
        }
    }
    if report.is_sound() {
        return if json {
            Ok(())
        } else {
            print(format_args!(
                "the record is sound: {} events, in {}",
                report.events(),
                app.config.database.url
            ))
        };
    }
    Err(CommandRefused(format!(
        "the record is not sound:\n{}",
        report.sentences().join("\n")
    )))
}

/// The notes of files, each of which has one or several.
fn notes(files: &[PathBuf]) -> Result<Vec<String>, CommandRefused> {
    let mut notes = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|cause| CommandRefused(format!("{}: {cause}", file.display())))?;
        let found = checkpoint::split(&text);
        if found.is_empty() {
            return Err(CommandRefused(format!(
                "{}: there is no signed note in it",
                file.display()
            )));
        }
        notes.extend(found);
    }
    Ok(notes)
}

fn view(report: &Report) -> Value {
    let log = |log: &CheckedLog| json!({ "log": log.id, "origin": log.origin, "events": log.events, "signed": log.signed });
    let finding = |finding: &Finding| json!({ "log": finding.log, "seq": finding.seq, "to": finding.to, "problem": finding.problem });
    json!({
        "sound": report.is_sound(),
        "events": report.events(),
        "logs": report.logs.iter().map(log).collect::<Vec<_>>(),
        "found": report.found,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "unproved": report.unproved,
        "compared": report.compared,
    })
}
