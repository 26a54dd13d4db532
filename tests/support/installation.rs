//! An installation of its own for a test: SQLite in a directory of its own, and a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mdi_auth::app::App;
use mdi_auth::audit::event::Actor;
use mdi_auth::clock::Clock;
use mdi_auth::config::Config;
use mdi_auth::registry::{Refused, Registry};
use mdi_auth::store::audit::{AuditRow, rows_after};
use serde_json::Value;

use super::TempDir;

/// A clock that stands still until somebody moves it.
#[derive(Debug)]
pub struct MoveableClock(AtomicI64);

impl MoveableClock {
    pub fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for MoveableClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600;

pub struct Installation {
    pub app: Arc<App>,
    pub clock: Arc<MoveableClock>,
    pub dir: TempDir,
}

impl Installation {
    pub fn new() -> Self {
        let dir = TempDir::new();
        let clock = Arc::new(MoveableClock(AtomicI64::new(START * 1000)));
        let app = App::open(Self::config(&dir), clock.clone(), true).unwrap();
        Self { app, clock, dir }
    }

    fn config(dir: &TempDir) -> Config {
        let mut config = Config::default_with(dir.path());
        // Cheap on purpose: these tests are not about the cost of hashing.
        config.login.argon2_memory_kib = 64;
        config.login.argon2_iterations = 1;
        config
    }

    /// Another process on the same database.
    pub fn beside(&self) -> Arc<App> {
        App::open(Self::config(&self.dir), self.clock.clone(), false).unwrap()
    }

    pub fn registry(&self) -> Registry {
        Registry::new(self.app.clone(), Actor::Operator("test".to_owned()))
    }

    /// The record, oldest first.
    pub fn record(&self) -> Vec<AuditRow> {
        self.app
            .store
            .read_blocking(|conn| rows_after(conn, 0, 0, 10_000))
            .unwrap()
    }

    /// Kind and action of the events after the first `known`, with their details.
    pub fn events_after(&self, known: usize) -> Vec<(String, Value)> {
        let detail = |row: AuditRow| {
            (
                row.kind,
                serde_json::from_str::<Value>(&row.body).unwrap()["detail"].clone(),
            )
        };
        self.record().into_iter().skip(known).map(detail).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.app.stop();
    }
}

/// The mistakes of a refusal, each as `key: text`.
pub fn mistakes<T: std::fmt::Debug>(answer: Result<T, Refused>) -> Vec<String> {
    match answer {
        Err(Refused::Mistakes(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
        other => panic!("mistakes were expected, not {other:?}"),
    }
}
