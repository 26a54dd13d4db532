//! `mdi-auth serve`: the server.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::outcome::{CommandRefused, Done};
use super::output::print;
use super::start::{Start, log};
use crate::app::App;
use crate::audit::event::Actor;
use crate::clock::SystemClock;
use crate::config::{Config, MasterKeySource};
use crate::registry::{Registry, first_administrator};
use crate::secrets::master_key::open_to_others;
use crate::server;
use crate::tls::Tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How the log is written to stderr; MDI_AUTH_LOG says what is logged (default: info)
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
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
    refuse_open_key(&config)?;
    let app = App::open(config, Arc::new(SystemClock), true)?;
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

/// A master key that others could have read is no secret any more.
fn refuse_open_key(config: &Config) -> Done {
    let MasterKeySource::File(path) = &config.keys.master_key else {
        return Ok(());
    };
    match std::fs::metadata(path) {
        Ok(metadata) if open_to_others(&metadata) != 0 => Err(CommandRefused(format!(
            "others may read the master key {0}; run chmod 600 {0}, and replace the key if they may have done so",
            path.display()
        ))),
        _ => Ok(()),
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
