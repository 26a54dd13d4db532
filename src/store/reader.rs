//! The readers: threads that make queries, and the connections that they share.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{Conn, Connector};
use super::writer::next;
use crate::error::Broken;

/// After how long an idle connection to another machine is not trusted to be one.
const LONGEST_IDLE: Duration = Duration::from_secs(180);

/// Makes a query.
pub(super) type ReadJob = Box<dyn FnOnce(Result<&mut Conn, Broken>) -> Answer + Send>;

/// What became of a connection by a query.
pub(super) enum Served {
    Well,
    /// It may be in the middle of something.
    Ill,
    /// It is broken, and the others may be as well.
    Lost,
}

/// What a query came to.
pub(super) struct Answer {
    /// What became of the connection.
    pub(super) served: Served,
    /// Tells the caller, once the connection is free for what he asks next.
    pub(super) tell: Box<dyn FnOnce()>,
}

/// `idle`: connections that nobody reads on. The one that was used last is taken first: it has the statements and the
/// pages that are wanted, while the others would have to make their own.
pub(super) fn read_loop(
    connector: &Connector,
    queue: &Mutex<Receiver<ReadJob>>,
    idle: &Mutex<Vec<(Conn, Instant)>>,
    queries: &Arc<AtomicU64>,
) {
    let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(job) = next(queue) {
        // A network may have dropped without a word what was silent for long.
        let is_fresh = |since: &Instant| connector.is_sqlite() || since.elapsed() < LONGEST_IDLE;
        // One that was closed meanwhile is none: whoever asks must not be told so. The others are older, and looked at in
        // their turn.
        let mut last_used = idle().pop();
        while last_used.as_mut().is_some_and(|(conn, _)| conn.is_closed()) {
            last_used = idle().pop();
        }
        let last_used = last_used
            .filter(|(_, since)| is_fresh(since))
            .map(|(conn, _)| conn);
        let mut conn = match last_used.map_or_else(|| connector.connect_counted(queries), Ok) {
            Ok(conn) => conn,
            Err(cause) => {
                (job(Err(Broken::Unavailable(cause.to_string()))).tell)();
                continue;
            }
        };
        // In a panic the sender inside the job tells the caller.
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(Ok(&mut conn)))) {
            Ok(answer) => {
                match answer.served {
                    Served::Well => idle().push((conn, Instant::now())),
                    Served::Ill => drop(conn),
                    Served::Lost => idle().clear(),
                }
                (answer.tell)();
            }
            Err(_) => {
                idle().clear();
                tracing::error!("a read job panicked");
            }
        }
    }
}
