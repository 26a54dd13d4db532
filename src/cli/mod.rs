//! The command line: one file a command. What a command is asked for goes to stdout, secrets there only and once; what
//! goes wrong goes to stderr with exit code 1, misuse with 2.
#![expect(
    clippy::print_stderr,
    reason = "a command line tells its user on stderr what went wrong"
)]

mod api_token;
mod apply;
mod audit;
mod check;
mod client;
mod demo;
mod export;
mod identity_provider;
mod key;
mod resource_server;
mod serve;
mod user;

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

use crate::app::{App, StartError};
use crate::audit::event::Actor;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::Broken;
use crate::model::Organization;
use crate::model::secret::Secret;
use crate::registry::apply::ApplyError;
use crate::registry::{Refused, Registry};

/// Authorization server for medicolegal death investigation: OAuth 2, OpenID Connect, SMART App Launch.
#[derive(Debug, Parser)]
#[command(name = "mdi-auth", version, arg_required_else_help = true)]
struct Cli {
    /// The configuration file; without it, the defaults and the environment (MDI_AUTH_SECTION__KEY)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a demo: a working deployment with example systems and people; nothing to install
    Demo(demo::Arguments),
    /// Run the server
    Serve(serve::Arguments),
    /// Say whether the server would run well: configuration, database, keys, certificate, clock, policy
    Check,
    /// Make resource servers, clients, identity providers and users as a file says; what it does not say stays
    Apply(apply::Arguments),
    /// Write what is registered as such a file, without secrets
    Export(export::Arguments),
    /// Clients: systems and applications that ask for tokens
    #[command(subcommand)]
    Client(client::Command),
    /// Resource servers: the FHIR servers that accept our tokens
    #[command(subcommand)]
    ResourceServer(resource_server::Command),
    /// Users: people who sign in
    #[command(subcommand)]
    User(user::Command),
    /// Identity providers: agencies' own, that people may sign in with
    #[command(subcommand)]
    IdentityProvider(identity_provider::Command),
    /// Tokens of the admin API
    #[command(subcommand)]
    ApiToken(api_token::Command),
    /// Signing keys and the master key
    #[command(subcommand)]
    Key(key::Command),
    /// The audit record
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let start = Start { config: cli.config };
    let done = match cli.command {
        Command::Demo(arguments) => demo::run(&start, &arguments),
        Command::Serve(arguments) => serve::run(&start, &arguments),
        Command::Check => check::run(&start),
        Command::Apply(arguments) => apply::run(&start, &arguments),
        Command::Export(arguments) => export::run(&start, &arguments),
        Command::Client(command) => client::run(&start, command),
        Command::ResourceServer(command) => resource_server::run(&start, command),
        Command::User(command) => user::run(&start, command),
        Command::IdentityProvider(command) => identity_provider::run(&start, command),
        Command::ApiToken(command) => api_token::run(&start, command),
        Command::Key(command) => key::run(&start, command),
        Command::Audit(command) => audit::run(&start, &command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandRefused(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed, for the one who called it.
#[derive(Debug)]
struct CommandRefused(String);

/// What a command answers.
type Done = Result<(), CommandRefused>;

macro_rules! refused_from {
    ($($error:ty),*) => {
        $(impl From<$error> for CommandRefused {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        })*
    };
}
refused_from!(StartError, Broken, Refused, ApplyError);

/// What every command starts from.
#[derive(Debug)]
struct Start {
    config: Option<PathBuf>,
}

impl Start {
    /// The configuration, or all its mistakes.
    fn config(&self) -> Result<Config, CommandRefused> {
        // A variable that is not Unicode is none of ours, or wrong; its value would be lost anyway.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(self.config.as_deref(), env).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
            CommandRefused(format!("the configuration has mistakes:\n{}", lines.join("\n")))
        })
    }

    /// The application, for a command beside a server or without one: it never migrates the database.
    fn app(&self) -> Result<Arc<App>, CommandRefused> {
        log("error", false);
        Ok(App::open(self.config()?, Arc::new(SystemClock), false)?)
    }

    /// The registry, for whoever is at the command line.
    fn registry(&self) -> Result<Registry, CommandRefused> {
        Ok(Registry::new(self.app()?, Actor::Operator(operator())))
    }
}

/// Who is at the command line, as the system tells: with sudo, who called it.
fn operator() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let user = named("SUDO_USER")
        .or_else(|| named("USER"))
        .or_else(|| named("LOGNAME"))
        .or_else(|| named("USERNAME"));
    #[cfg(unix)]
    let user = {
        let uid = rustix::process::getuid().as_raw();
        user.map_or_else(|| format!("uid {uid}"), |user| format!("{user} (uid {uid})"))
    };
    #[cfg(not(unix))]
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    user
}

/// Sends the log to stderr. `MDI_AUTH_LOG` sets what is logged, such as `debug` or `mdi_auth::oauth=trace,warn`.
fn log(default: &str, json: bool) {
    let filter = EnvFilter::try_from_env("MDI_AUTH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call changes nothing.
    let _ = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}

/// Prints a line, or several.
fn print(text: impl Display) -> Done {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // Whoever reads had enough.
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|cause| CommandRefused(format!("cannot write to stdout: {cause}"))),
    }
}

fn print_json(value: &Value) -> Done {
    print(format_args!("{value:#}"))
}

/// Prints rows in columns.
fn print_table(head: &[&str], rows: &[Vec<String>]) -> Done {
    let head: Vec<String> = head.iter().map(|&text| text.to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        print(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints an object, a line a key.
fn print_object(object: &Map<String, Value>) -> Done {
    let width = object.keys().map(String::len).max().unwrap_or(0);
    for (key, value) in object {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        print(format_args!("{key:width$}  {value}"))?;
    }
    Ok(())
}

/// A time for people, from seconds since the epoch.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn read_file(path: &Path) -> Result<String, CommandRefused> {
    std::fs::read_to_string(path)
        .map_err(|cause| CommandRefused(format!("cannot read {}: {cause}", path.display())))
}

/// A secret from stdin, without the line's end.
fn read_secret() -> Result<Secret, CommandRefused> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|cause| CommandRefused(format!("cannot read stdin: {cause}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        Err(CommandRefused(
            "stdin is empty; a secret is wanted there".to_owned(),
        ))
    } else {
        Ok(Secret::new(line))
    }
}

/// Reads a word that the apply file knows too: `client_secret_basic`, `ES256`, `edrs`.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|cause| cause.to_string())
}

/// A list that was given, or nothing.
fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// The agency that a client or person belongs to.
#[derive(Debug, Args)]
struct OrganizationArguments {
    /// The agency's name
    #[arg(long, value_name = "NAME")]
    organization_name: Option<String>,
    /// The agency's identifier, such as urn:oid:2.16.840.1.113883.3.9999.1
    #[arg(long, value_name = "URI", requires = "organization_name")]
    organization_id: Option<String>,
}

impl OrganizationArguments {
    fn into_organization(self) -> Option<Organization> {
        let (name, id) = (self.organization_name?, self.organization_id);
        Some(Organization {
            name,
            id,
            jurisdiction: None,
        })
    }
}
