//! `mdi-auth key`: signing keys and the master key.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::input::word;
use super::outcome::Done;
use super::output::{print, print_json, print_table, time};
use super::start::Start;
use crate::model::signing::{Algorithm, StoredKey};
use crate::registry::keys::{self, State};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the signing keys
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make new signing keys; the old ones retire when the new ones sign
    Rotate {
        /// Only the key of this algorithm
        #[arg(long, value_parser = word::<Algorithm>)]
        alg: Option<Algorithm>,
        /// Sign with the new keys at once, before everybody has fetched them: when an old key is known to others
        #[arg(long)]
        now: bool,
    },
    /// Wrap signing keys, TOTP secrets and secrets at identity providers under another master key
    Rewrap {
        /// The file with the new master key; made if it is missing
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::List { json } => list(&keys::list(&registry)?, registry.app().now(), json),
        Command::Rotate { alg, now: at_once } => {
            for key in keys::rotate(&registry, alg, at_once)? {
                print(format_args!(
                    "{} {} signs from {}",
                    key.algorithm.as_str(),
                    key.kid,
                    time(key.signs_from)
                ))?;
            }
            if at_once {
                print(
                    "tokens of the old keys count no more; resource servers that keep the JWKS must fetch it now",
                )
            } else {
                Ok(())
            }
        }
        Command::Rewrap { new_key_file } => {
            let done = keys::rewrap(&registry, &new_key_file)?;
            print(format_args!(
                "wrapped {} signing keys, {} TOTP secrets and {} secrets at identity providers under the master key {}",
                done.keys, done.totp_secrets, done.upstream_secrets, done.fingerprint
            ))?;
            print(format_args!(
                "removed {} recovery codes, which the old key made: people make new ones at /account; browsers are known \
                 anew after the next sign-in, locks stay",
                done.recovery_codes_removed
            ))?;
            print(format_args!(
                "now set [keys] master_key_file = {:?} (or put the file in the old one's place), keep a copy away from the \
                 database's, and start the servers anew",
                new_key_file.display().to_string()
            ))
        }
    }
}

fn list(keys: &[StoredKey], now: i64, json: bool) -> Done {
    if json {
        return print_json(&keys.iter().map(|key| view(key, now)).collect());
    }
    let date = |seconds: Option<i64>| seconds.map_or_else(String::new, time);
    let row = |key: &StoredKey| {
        vec![
            key.kid.clone(),
            key.algorithm.as_str().to_owned(),
            State::of(key, now).as_str().to_owned(),
            time(key.created_at),
            time(key.signs_from),
            date(key.retires_at),
            date(key.purge_at),
        ]
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    print_table(
        &[
            "KID",
            "ALG",
            "STATE",
            "MADE",
            "SIGNS FROM",
            "RETIRES",
            "LEAVES THE JWKS",
        ],
        &rows,
    )
}

fn view(key: &StoredKey, now: i64) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.algorithm,
        "state": State::of(key, now).as_str(),
        "created_at": key.created_at,
        "signs_from": key.signs_from,
        "retires_at": key.retires_at,
        "purge_at": key.purge_at,
    })
}
