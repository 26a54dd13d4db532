//! Why the last sign-in that a client sent was refused before anybody was asked anything: much software shows its operator
//! nothing of it. Kept in memory, for registered clients alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRefusal {
    /// When, in seconds since the epoch.
    pub at: i64,
    /// How many in a row.
    pub count: u32,
    /// What the client was told (`error_description`).
    pub reason: String,
}

/// The last refusal of each client, unless it has got a code since.
#[derive(Debug, Default)]
pub struct SignInRefusals(Mutex<HashMap<String, SignInRefusal>>);

impl SignInRefusals {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, SignInRefusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a refusal of a registered client.
    pub fn note(&self, client_id: &str, reason: &str, now: i64) {
        let mut refusals = self.lock();
        let count = refusals.get(client_id).map_or(0, |before| before.count);
        refusals.insert(
            client_id.to_owned(),
            SignInRefusal {
                at: now,
                count: count.saturating_add(1),
                reason: reason.to_owned(),
            },
        );
    }

    /// Forgets what was noted of a client, because it works now.
    pub fn forget(&self, client_id: &str) {
        self.lock().remove(client_id);
    }

    /// The last refusal of a client, if it was not served since.
    pub fn of(&self, client_id: &str) -> Option<SignInRefusal> {
        self.lock().get(client_id).cloned()
    }
}
