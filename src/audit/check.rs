//! The check of the record as the console has it: one at a time, how far it is, and what the last one found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::verify::Report;

/// The check that runs, and the last one.
#[derive(Debug, Default)]
pub struct Check {
    state: Mutex<State>,
    rows: AtomicUsize,
}

/// How it stands.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// When the one that runs began, in seconds since the epoch.
    pub running_since: Option<i64>,
    /// The last one that ended.
    pub last: Option<Ended>,
}

/// A check that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When it ended, in seconds since the epoch.
    pub at: i64,
    /// What it found, or why it could not be done.
    pub outcome: Result<Report, String>,
}

impl Ended {
    /// How many events there are.
    pub fn events(&self) -> i64 {
        self.outcome.as_ref().map_or(0, Report::events)
    }

    /// What was found, a sentence each: the first hundred, and how many more there are.
    pub fn findings(&self) -> Vec<String> {
        self.outcome.as_ref().map(Report::sentences).unwrap_or_default()
    }
}

impl Check {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, unless one runs.
    pub fn begin(&self, now: i64) -> bool {
        let mut state = self.lock();
        if state.running_since.is_some() {
            return false;
        }
        state.running_since = Some(now);
        self.rows.store(0, Ordering::Relaxed);
        true
    }

    /// So many more rows were checked.
    pub fn tell(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Ends.
    pub fn end(&self, ended: Ended) {
        *self.lock() = State {
            running_since: None,
            last: Some(ended),
        };
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// How many rows were checked.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }
}
