//! What every command starts from: the configuration, the application, the registry; the log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::outcome::CommandRefused;
use crate::app::App;
use crate::audit::event::Actor;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::registry::Registry;

/// What every command starts from.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) config: Option<PathBuf>,
}

impl Start {
    /// The configuration, or all its mistakes.
    pub(super) fn config(&self) -> Result<Config, CommandRefused> {
        // A variable that is not Unicode is none of ours, or wrong; its value would be lost anyway.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(self.config.as_deref(), env).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
            CommandRefused(format!("the configuration has mistakes:\n{}", lines.join("\n")))
        })
    }

    /// The application, for a command beside a server or without one: it never migrates the database.
    pub(super) fn app(&self) -> Result<Arc<App>, CommandRefused> {
        log("error", false);
        Ok(App::open(self.config()?, Arc::new(SystemClock), false)?)
    }

    /// The registry, for whoever is at the command line.
    pub(super) fn registry(&self) -> Result<Registry, CommandRefused> {
        Ok(Registry::new(self.app()?, Actor::Operator(operator())))
    }
}

/// Who is at the command line, as the system tells: with sudo, who called it.
pub(super) fn operator() -> String {
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
pub(super) fn log(default: &str, json: bool) {
    let filter = EnvFilter::try_from_env("MDI_AUTH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost: to complain of it there again would panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call changes nothing.
    let _ = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}
