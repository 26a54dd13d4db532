//! The check of the record that somebody asks for: one at a time, on a thread of its own; what it found is recorded.

use std::sync::Arc;

use crate::app::App;
use crate::audit::check::Ended;
use crate::audit::event::{Event, Outcome};
use crate::audit::verify::verify_telling;
use crate::error::Broken;

/// Begins a check, unless one runs. Answers whether it did; `event` is what is recorded at its end.
///
/// # Errors
/// When no thread can be started.
pub fn begin(app: &Arc<App>, event: Event) -> Result<bool, Broken> {
    if !app.check.begin(app.now()) {
        return Ok(false);
    }
    let job_app = Arc::clone(app);
    let thread = std::thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || run(&job_app, event));
    if let Err(cause) = thread {
        app.check.end(Ended {
            at: app.now(),
            outcome: Err(cause.to_string()),
        });
        return Err(Broken::defect(cause));
    }
    Ok(true)
}

/// Checks, and records what was found.
fn run(app: &App, event: Event) {
    let outcome = verify_telling(&app.store, &[], |rows| app.check.tell(rows)).map_err(|broken| {
        tracing::error!(%broken, "the record could not be checked");
        "The database did not answer. Try again; the server's log says more.".to_owned()
    });
    let ended = Ended {
        at: app.now(),
        outcome,
    };
    if ended.outcome.is_ok() {
        let found = ended.findings();
        let event = Event {
            at_ms: app.clock.now_millis(),
            ..event
        }
        .with("events", ended.events().to_string());
        let event = if found.is_empty() {
            event.outcome(Outcome::Success)
        } else {
            event
                .outcome(Outcome::SeriousFailure)
                .with("findings", found.join(" "))
        };
        let written = app.store.write_blocking(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        if let Err(broken) = written {
            tracing::error!(%broken, "the check of the record could not be recorded");
        }
    }
    app.check.end(ended);
}
