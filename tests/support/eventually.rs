//! Waiting for a state: a test looks until it sees what must come, and never hopes that some time is enough.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long what must come is waited for: on a machine that is busy with something else, seconds are nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until what is seen is what is wanted, and answers it; fails with `what` was waited for and what was seen last.
pub async fn eventually<T: Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}, but {seen:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same where nothing is async.
pub fn eventually_blocking<T: Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}, but {seen:?}");
        std::thread::sleep(PAUSE);
    }
}
