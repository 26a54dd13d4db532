//! `mdi-auth demo`: a working deployment in seconds.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::outcome::{CommandRefused, Done};
use super::output::print;
use super::start::{Start, log};
use crate::app::App;
use crate::audit::event::Actor;
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{Config, Issuer};
use crate::demo::parties::Parties;
use crate::demo::secrets::Secrets;
use crate::demo::site::Site;
use crate::demo::{introduction, listener};
use crate::registry::{Registry, apply};
use crate::server;
use crate::tls::Tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the demo keeps its data: a new directory, or one of an earlier demo
    #[arg(long, value_name = "DIR", default_value = "mdi-auth-demo")]
    data: PathBuf,
    /// The port of the authorization server; the systems around it listen on the next one
    #[arg(long, value_name = "N", default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1024..=65534))]
    port: u16,
}

pub(super) fn run(start: &Start, arguments: &Arguments) -> Done {
    if start.config.is_some() {
        return Err(CommandRefused(
            "the demo brings its own configuration: leave --config out, or run `mdi-auth serve`".to_owned(),
        ));
    }
    // That a demo makes itself an authority is no news to warn of.
    log("warn,mdi_auth::tls=error,rustls_platform_verifier=error", false);
    let found = Secrets::find(&arguments.data)?;
    let [port, next] = [arguments.port, arguments.port.saturating_add(1)];
    let listeners = (listen(port)?, listen(next)?);
    let secrets = match found {
        Some(secrets) => secrets,
        None => Secrets::make(&arguments.data, Entropy)?,
    };
    let parties = Parties { port, secrets };
    let (app, tls) = open(arguments, &parties)?;
    let registry = Registry::new(Arc::clone(&app), Actor::Server).for_demo();
    apply::apply(&registry, &parties.apply_file(), false)?;
    let served = actix_web::rt::System::new().block_on(serve(app.clone(), tls, parties, listeners));
    app.stop();
    served
}

fn listen(port: u16) -> Result<TcpListener, CommandRefused> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|cause| {
        CommandRefused(format!(
            "cannot listen on 127.0.0.1:{port}: {cause}; the demo takes two ports that follow each other, choose others with --port N"
        ))
    })
}

fn open(arguments: &Arguments, parties: &Parties) -> Result<(Arc<App>, Arc<Tls>), CommandRefused> {
    let clock = Arc::new(SystemClock);
    let mut config = Config::default_with(&arguments.data);
    config.server.issuer = Issuer::parse(&parties.issuer()).map_err(CommandRefused)?;
    config.server.listen = (Ipv4Addr::LOCALHOST, parties.port).into();
    let tls = Tls::open(&config.server, clock.now()).map_err(|cause| CommandRefused(cause.to_string()))?;
    config.outbound.extra_ca_file = tls.ca_file();
    config.outbound.allow_loopback = true;
    Ok((App::open(config, clock, true)?, Arc::new(tls)))
}

async fn serve(
    app: Arc<App>,
    tls: Arc<Tls>,
    parties: Parties,
    listeners: (TcpListener, TcpListener),
) -> Done {
    let complain = |cause: std::io::Error| CommandRefused(format!("cannot serve: {cause}"));
    let ca_file = tls.ca_file().unwrap_or_default();
    let ca_file = std::path::absolute(&ca_file).unwrap_or(ca_file);
    let introduction = introduction::text(&parties, &ca_file);
    let site = Site {
        parties,
        outbound: app.jwks.outbound().clone(),
        clock: app.clock.clone(),
        entropy: app.entropy,
    };
    let site = actix_web::web::Data::new(site);
    let stubs = listener::serve(site.clone(), &tls, listeners.1).map_err(complain)?;
    let bound = server::bind_to(&app, &tls, listeners.0, true).map_err(complain)?;
    let (handle, stubs_handle) = (bound.handle(), stubs.handle());
    let stubs = actix_web::rt::spawn(stubs);
    let served = actix_web::rt::spawn(bound.serve(app, tls));
    let begun = match site.wait().await {
        Ok(()) => print(introduction).and_then(|()| print("ready")),
        Err(cause) => Err(CommandRefused(format!("the demo does not start: {cause}"))),
    };
    if begun.is_err() {
        handle.stop(false).await;
    }
    let ended = served.await;
    stubs_handle.stop(true).await;
    let stubs_ended = stubs.await;
    begun?;
    for ended in [ended, stubs_ended] {
        ended
            .map_err(std::io::Error::other)
            .and_then(|ended| ended)
            .map_err(complain)?;
    }
    Ok(())
}
