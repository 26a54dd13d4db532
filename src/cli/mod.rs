//! The command line: one file a command. What a command is asked for goes to stdout, secrets there only and once; what
//! goes wrong goes to stderr with exit code 1, misuse with 2.

mod agency;
mod api_token;
mod apply;
mod audit;
mod check;
mod client;
mod demo;
mod export;
mod identity_provider;
mod input;
mod key;
mod noun;
mod outcome;
mod output;
mod resource_server;
mod said;
mod serve;
mod sessions_and_grants;
mod start;
mod user;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::outcome::CommandRefused;
use self::start::Start;

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
    /// Agencies: offices, laboratories, funeral homes and hospitals that clients and users belong to
    #[command(subcommand)]
    Agency(agency::Command),
    /// Clients: systems and applications that ask for tokens
    #[command(subcommand)]
    Client(client::Command),
    /// Resource servers: the FHIR servers that accept our tokens
    #[command(subcommand)]
    ResourceServer(resource_server::Command),
    /// Users: people who sign in
    #[command(subcommand)]
    User(user::Command),
    /// Sessions: where users are signed in
    #[command(subcommand)]
    Session(sessions_and_grants::Session),
    /// Grants: what users allowed clients
    #[command(subcommand)]
    Grant(sessions_and_grants::Grant),
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
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let start = Start { config: cli.config };
    let done = match cli.command {
        Command::Demo(arguments) => demo::run(&start, &arguments),
        Command::Serve(arguments) => serve::run(&start, &arguments),
        Command::Check => check::run(&start),
        Command::Apply(arguments) => apply::run(&start, &arguments),
        Command::Export(arguments) => export::run(&start, &arguments),
        Command::Agency(command) => agency::run(&start, command),
        Command::Client(command) => client::run(&start, command),
        Command::ResourceServer(command) => resource_server::run(&start, command),
        Command::User(command) => user::run(&start, command),
        Command::Session(command) => sessions_and_grants::session(&start, command),
        Command::Grant(command) => sessions_and_grants::grant(&start, command),
        Command::IdentityProvider(command) => identity_provider::run(&start, command),
        Command::ApiToken(command) => api_token::run(&start, command),
        Command::Key(command) => key::run(&start, command),
        Command::Audit(command) => audit::run(&start, &command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandRefused(text)) => {
            // Whoever reads the code alone is told by that, where nobody reads this.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}
