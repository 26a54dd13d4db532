//! `mdi-auth serve`: the server.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::outcome::{CommandRefused, Done};
use super::output::print;
use super::start::{Start, log};
use crate::app::{App, make_private_directory};
use crate::audit::event::Actor;
use crate::clock::SteadyClock;
use crate::config::{Config, Database, MasterKeySource};
use crate::registry::{Registry, first_administrator};
use crate::secrets::master_key::open_to_others;
use crate::server;
use crate::tls::{self, Tls};
use crate::web::connections::raise_limit;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How the log is written to stderr; MDI_AUTH_LOG says what is logged (default: info)
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Serve beside other servers on the same SQLite file, which say so as well
    #[arg(long)]
    share_database: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For machines: one JSON object a line
    Json,
}

pub(super) fn run(start: &Start, arguments: &Arguments) -> Done {
    log("info", arguments.log_format == LogFormat::Json);
    let config = start.config()?;
    refuse_open_files(&config, start.config.as_deref())?;
    let _serving = serve_alone(&config, arguments.share_database)?;
    raise_limit();
    let app = App::open(config, Arc::new(SteadyClock::default()), true)?;
    let tls = Tls::open(&app.config.server, app.now()).map_err(|cause| CommandRefused(cause.to_string()))?;
    let listen = app.config.server.listen;
    let first_link = Registry::new(Arc::clone(&app), Actor::Server).blocking(first_administrator::issue)?;
    actix_web::rt::System::new().block_on(async {
        let tls = Arc::new(tls);
        let bound = server::bind(&app, &tls, true)
            .map_err(|cause| CommandRefused(format!(
                    "cannot listen on {listen} ([server] listen): {cause}; where another program has the port (a demo?), stop it or choose another one"
                )))?;
        print_addresses(&app, &tls)?;
        if let Some(link) = &first_link {
            print(format_args!(
                "nobody administers this server yet; open this link within an hour to be the first who does:\n{}",
                link.reveal()
            ))?;
        }
        print("ready")?;
        bound.serve(Arc::clone(&app), tls).await.map_err(|cause| CommandRefused(format!("the server ended: {cause}")))
    })
}

/// A key that others could have read is no secret any more, and a database that others may write to proves nothing.
fn refuse_open_files(config: &Config, file: Option<&Path>) -> Done {
    let metadata = |path: &Path| std::fs::metadata(path).ok();
    let directory = &config.server.data_dir;
    if metadata(directory).is_some_and(|found| found.is_dir() && open_to_others(&found) & 0o022 != 0) {
        return Err(CommandRefused(format!(
            "others may write to the data directory {0}; run chmod 700 {0}",
            directory.display()
        )));
    }
    let open = |path: &Path| metadata(path).is_some_and(|found| open_to_others(&found) != 0);
    if let MasterKeySource::File(path) = &config.keys.master_key
        && open(path)
    {
        return Err(CommandRefused(format!(
            "others may read the master key {0}; run chmod 600 {0}, and replace the key if they may have done so",
            path.display()
        )));
    }
    let key = tls::files(&config.server).key;
    if open(&key) {
        return Err(CommandRefused(format!(
            "others may read the key of the TLS certificate {0}; run chmod 600 {0}, and get another certificate if they may have done so",
            key.display()
        )));
    }
    let authority = directory.join(tls::CA_KEY_FILE);
    if open(&authority) {
        return Err(CommandRefused(format!(
            "others may read the key of the certificate authority {0}; run chmod 600 {0}, and if they may have done so, remove it and ca.pem beside it and have clients import the new one",
            authority.display()
        )));
    }
    if let Some(file) = file
        && metadata(file).is_some_and(|found| open_to_others(&found) & 0o022 != 0)
    {
        return Err(CommandRefused(format!(
            "others may write to the configuration {0}; run chmod go-w {0}",
            file.display()
        )));
    }
    match &config.database.url {
        Database::Sqlite(path) if open(path) => Err(CommandRefused(format!(
            "others may read the database {0}; run chmod 600 {0}*",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Two servers on one SQLite file are mostly a mistake: an old process that was forgotten, a unit started twice. Held as
/// long as the server runs.
fn serve_alone(config: &Config, share: bool) -> Result<Option<File>, CommandRefused> {
    let Database::Sqlite(path) = &config.database.url else {
        return Ok(None);
    };
    make_private_directory(&config.server.data_dir)?;
    let lock = path.with_extension("serving");
    let refuse = |cause: &dyn std::fmt::Display| {
        CommandRefused(format!(
            "cannot open {} (beside the database): {cause}",
            lock.display()
        ))
    };
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&lock).map_err(|cause| refuse(&cause))?;
    let locked = if share {
        file.try_lock_shared()
    } else {
        file.try_lock()
    };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(CommandRefused(format!(
            "another server serves from {} already: stop it first; where several are meant to share the file, start each of them with --share-database",
            path.display()
        ))),
        Err(TryLockError::Error(cause)) => Err(refuse(&cause)),
    }
}

fn print_addresses(app: &App, tls: &Tls) -> Done {
    print(format_args!("issuer    {}", app.issuer()))?;
    print(format_args!("listens   {}", app.config.server.listen))?;
    if let Some(proxy) = app.config.server.proxy_listen {
        print(format_args!(
            "proxy     {proxy} (plain HTTP, for a reverse proxy on this machine)"
        ))?;
    }
    if let Some(ca) = tls.ca_file() {
        print(format_args!("CA file   {} (clients must trust it)", ca.display()))?;
    }
    print(format_args!("console   {}", app.url("/admin")))?;
    Ok(())
}
