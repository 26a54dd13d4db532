//! Threads and tasks of ours that must not end while the server runs: one that panics is made anew. Where that does not
//! help, the process ends, so that whatever runs it starts it again (systemd, a container platform).

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::FutureExt;

/// How often within [`WITHIN`] something is made anew.
const ANEW: usize = 5;
/// How long a panic counts.
const WITHIN: Duration = Duration::from_secs(60);
/// How long nothing is done after a panic.
const PAUSE: Duration = Duration::from_millis(100);
/// What the process ends with: `EX_SOFTWARE` of sysexits.h.
const EXIT_CODE: i32 = 70;

/// The panics of one thread or task.
#[derive(Debug, Default)]
struct Panics(VecDeque<Instant>);

impl Panics {
    /// Notes one more, and ends the process if there were too many.
    fn note(&mut self, name: &str, panic: &(dyn Any + Send)) {
        let cause = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let now = Instant::now();
        self.0.retain(|at| now.duration_since(*at) < WITHIN);
        self.0.push_back(now);
        if self.0.len() > ANEW {
            tracing::error!(%name, %cause, "ended again and again: the process ends with code {EXIT_CODE}");
            std::process::exit(EXIT_CODE);
        }
        tracing::error!(%name, %cause, "ended by a panic, and is made anew");
    }
}

/// Runs `work` on a thread, again whenever it panics, until it returns.
///
/// # Errors
/// When the thread cannot be started.
pub fn thread(name: &'static str, mut work: impl FnMut() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        let mut panics = Panics::default();
        // What the panic left half done is the work's own affair: it begins anew.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(&mut work)) {
            panics.note(name, panic.as_ref());
            std::thread::sleep(PAUSE);
        }
    })
}

/// Runs what `work` makes, again whenever it panics, until it is done.
pub async fn task<F: Future<Output = ()>>(name: &'static str, work: impl Fn() -> F) {
    let mut panics = Panics::default();
    while let Err(panic) = AssertUnwindSafe(work()).catch_unwind().await {
        panics.note(name, panic.as_ref());
        tokio::time::sleep(PAUSE).await;
    }
}
