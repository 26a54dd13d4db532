//! What every command starts from: the configuration, the application, the registry; the log.

use std::fmt::{self, Debug};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

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
    // What a stranger sends that is no HTTP is no error of ours.
    let usual = || EnvFilter::new(format!("{default},actix_http=off"));
    let filter = EnvFilter::try_from_env("MDI_AUTH_LOG").unwrap_or_else(|_| usual());
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
        log.fmt_fields(debug_fn(write_field).delimited(" ")).try_init()
    };
}

/// A field of a line for people. What holds blanks or an equals sign is quoted, so that no value passes for a field.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    if field.name() == "message" {
        // Whatever stands in it moves no cursor and begins no line.
        return text.chars().try_for_each(|c| match c.is_control() {
            true => write!(writer, "{}", c.escape_default()),
            false => writer.write_char(c),
        });
    }
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"'));
    if plain || is_quoted(&text) {
        write!(writer, "{}={text}", field.name())
    } else {
        write!(writer, "{}={text:?}", field.name())
    }
}

/// Whether a text is one string in quotes.
fn is_quoted(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| {
        let mut is_escaped = false;
        !inner.chars().any(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends || c.is_control()
        }) && !is_escaped
    })
}
