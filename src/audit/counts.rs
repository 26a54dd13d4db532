//! What is counted and recorded once a minute, because recording each would cost more than it tells.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::event::{Actor, Event, Kind};

/// Successful introspections by resource server: counted, not recorded singly.
#[derive(Debug, Default)]
pub struct Introspections(Mutex<HashMap<String, u64>>);

impl Introspections {
    /// Counts one that was answered.
    pub fn count(&self, server: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(server) {
            Some(count) => *count += 1,
            None => {
                counts.insert(server.to_owned(), 1);
            }
        }
    }

    /// The counts since the last call, as events.
    pub fn drain(&self, at_ms: i64) -> Vec<Event> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        counts
            .into_iter()
            .map(|(server, count)| {
                Event::new(at_ms, Kind::IntrospectionsCounted, Actor::Client(server))
                    .with("count", count.to_string())
            })
            .collect()
    }
}
