//! Who looks at what of the record: recorded once a minute, for a look at a list is many pages.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Who looked in the current minute.
#[derive(Debug, Default)]
pub struct Readers(Mutex<(i64, HashSet<(String, String)>)>);

impl Readers {
    /// Whether it is somebody's first look at this in the minute of `now`.
    pub fn is_first(&self, who: &str, what: &str, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.div_euclid(60);
        if seen.0 != minute {
            *seen = (minute, HashSet::new());
        }
        seen.1.insert((who.to_owned(), what.to_owned()))
    }
}
