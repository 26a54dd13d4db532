//! The writer: drains its queue into one transaction (group commit), one commit, then the answers. A job that fails
//! leaves its neighbours intact: the batch is run again with a savepoint a job. There is no timer: batches grow only
//! when the load does. On PostgreSQL several writers run one job a transaction, so that they never wait for each
//! other's locks in different orders.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel::result::{DatabaseErrorKind, Error};
use tokio::sync::oneshot;

use super::broken::{StoreBroken, Stored};
use super::changes::{self, Change};
use super::connection::{Access, Conn, Connector, each};

use crate::audit::event::Event;
use crate::error::Broken;

/// How many jobs share one commit at the most; a batch of this size takes a few milliseconds.
const BATCH: usize = 256;

/// How often a transaction is tried before its caller is told to come back.
const TRIES: usize = 8;

/// After so many batches without a pause the writer lets go of SQLite's lock for a moment,
/// so that a command beside a running server gets its turn.
const BATCHES_BEFORE_PAUSE: usize = 16;

/// Called by the writer after a commit that others must learn of, before the jobs are answered.
pub type OnChange = Arc<dyn Fn(&mut Conn) -> Stored<()> + Send + Sync>;

/// A transaction as a job sees it: the connection, and what the commit brings along.
#[derive(Debug)]
pub struct Tx<'a> {
    conn: &'a mut Conn,
    events: &'a mut Vec<Event>,
    changes: &'a mut Vec<Change>,
}

impl Tx<'_> {
    /// The connection, for queries. Never take a second one inside a transaction.
    pub fn conn(&mut self) -> &mut Conn {
        self.conn
    }

    /// Records an event in the transaction that makes it.
    pub fn audit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Tells every process that shares the database, within a second; this one before the answer.
    pub fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }
}

/// A job in the queue.
pub(super) trait Job: Send {
    /// Runs the job's queries; may be called again after a rollback.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreBroken>;
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, outcome: Result<(), Broken>);
}

struct Work<F, T> {
    job: F,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, Broken>>,
}

/// Packs a closure and its answer.
pub(super) fn work<T: Send + 'static>(
    job: impl FnMut(&mut Tx<'_>) -> Stored<T> + Send + 'static,
    answer: oneshot::Sender<Result<T, Broken>>,
) -> Box<dyn Job> {
    Box::new(Work {
        job,
        value: None,
        answer,
    })
}

impl<F: FnMut(&mut Tx<'_>) -> Stored<T> + Send, T: Send> Job for Work<F, T> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreBroken> {
        self.value = Some((self.job)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Broken>) {
        let Self { value, answer, .. } = *self;
        // A caller that went away needs no answer; what it asked for is committed all the same.
        let _ = answer
            .send(outcome.and_then(|()| value.ok_or_else(|| Broken::defect("a job ended without a value"))));
    }
}

/// How one try of a batch ended.
enum Ended {
    /// Committed; each job's own outcome.
    Committed(Vec<Result<(), Broken>>),
    /// Nothing was written; try again.
    Again(StoreBroken),
    /// A job of several failed, and nothing tells its writes from its neighbours': try again with savepoints.
    Entangled,
    /// The connection was lost before anything was sent; try again on a new one.
    Reconnect(StoreBroken),
    /// The job at this place panicked; nothing was written.
    Panicked(usize),
    /// Nothing more can be done, or nobody knows whether it was written.
    Failed(Broken),
}

/// What keeps the jobs of a batch apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Nothing: a failure is everybody's. Jobs hardly ever fail, and two statements a job are saved.
    Together,
    /// A savepoint each.
    Savepoints,
}

/// One writing thread.
pub(super) struct Writer {
    connector: Arc<Connector>,
    queue: Arc<Mutex<Receiver<Box<dyn Job>>>>,
    on_change: Arc<OnceLock<OnChange>>,
    failures: Arc<AtomicU64>,
    connection: Option<Conn>,
}

impl Writer {
    pub(super) fn new(
        connector: Arc<Connector>,
        queue: Arc<Mutex<Receiver<Box<dyn Job>>>>,
        on_change: Arc<OnceLock<OnChange>>,
        failures: Arc<AtomicU64>,
    ) -> Self {
        Self {
            connector,
            queue,
            on_change,
            failures,
            connection: None,
        }
    }

    /// Works until the store is dropped.
    pub(super) fn run(&mut self) {
        let mut without_pause = 0;
        while let Some(first) = next(&self.queue) {
            let mut batch = vec![first];
            if self.connector.is_sqlite() {
                self.drain_into(&mut batch);
            }
            without_pause = if batch.len() > 1 { without_pause + 1 } else { 0 };
            self.write(batch);
            if without_pause >= BATCHES_BEFORE_PAUSE {
                without_pause = 0;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn drain_into(&self, batch: &mut Vec<Box<dyn Job>>) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
    }

    fn write(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let mut tries = 0;
        let mut apart = Apart::Together;
        while !batch.is_empty() {
            tries += 1;
            match self.attempt(&mut batch, apart) {
                Ended::Committed(outcomes) => {
                    for (job, outcome) in batch.into_iter().zip(outcomes) {
                        job.answer(outcome);
                    }
                    return;
                }
                Ended::Panicked(place) => {
                    self.connection = None;
                    tracing::error!("a write job panicked");
                    batch
                        .remove(place)
                        .answer(Err(Broken::defect("a write job panicked")));
                    tries = 0;
                }
                Ended::Entangled => apart = Apart::Savepoints,
                Ended::Again(failure) if tries < TRIES => {
                    tracing::debug!(%failure, tries, "transaction is run again");
                    std::thread::sleep(Duration::from_millis(tries as u64));
                }
                Ended::Reconnect(_) if tries == 1 => self.connection = None,
                Ended::Again(failure) | Ended::Reconnect(failure) => {
                    self.connection = None;
                    return self.fail(batch, &Broken::Unavailable(failure.to_string()));
                }
                Ended::Failed(broken) => {
                    self.connection = None;
                    return self.fail(batch, &broken);
                }
            }
        }
    }

    fn fail(&self, batch: Vec<Box<dyn Job>>, broken: &Broken) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(cause = %broken, jobs = batch.len(), "nothing was written");
        for job in batch {
            job.answer(Err(match broken {
                Broken::Busy => Broken::Busy,
                Broken::Unavailable(cause) => Broken::Unavailable(cause.clone()),
                Broken::Defect(cause) => Broken::Defect(cause.clone()),
            }));
        }
    }

    /// Runs the whole batch once.
    fn attempt(&mut self, batch: &mut [Box<dyn Job>], apart: Apart) -> Ended {
        let mut conn = match self.connection.take() {
            Some(conn) => conn,
            None => match self.connector.connect(Access::Write) {
                Ok(conn) => conn,
                Err(cause) => return Ended::Failed(Broken::Unavailable(cause.to_string())),
            },
        };
        let (ended, changed) = transact(&mut conn, batch, apart);
        if changed && let Some(callback) = self.on_change.get() {
            // The poll catches up if this fails; until then introspection's own limit holds.
            if let Err(failure) = callback(&mut conn) {
                tracing::warn!(%failure, "cannot follow an own change at once");
            }
        }
        self.connection = Some(conn);
        ended
    }
}

/// Begin, jobs, audit events, changes, commit. Says whether others must learn of it.
fn transact(conn: &mut Conn, batch: &mut [Box<dyn Job>], apart: Apart) -> (Ended, bool) {
    // IMMEDIATE takes SQLite's write lock at once: no upgrade can fail half-way.
    let begin = if conn.is_sqlite() {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN"
    };
    if let Err(cause) = conn.execute_raw(begin) {
        let failure = StoreBroken::Database(cause);
        return (
            if conn.is_sqlite() {
                lost(conn, failure)
            } else {
                Ended::Reconnect(failure)
            },
            false,
        );
    }
    let mut events = Vec::new();
    let mut changes = Vec::new();
    let outcomes = match run_jobs(conn, batch, apart, (&mut events, &mut changes)) {
        Ok(outcomes) => outcomes,
        Err(ended) => return (ended, false),
    };
    let changed = !changes.is_empty();
    let sealed = super::audit::append(conn, &events).and_then(|()| changes::record(conn, &changes));
    if let Err(failure) = sealed {
        return (lost(conn, failure), false);
    }
    match conn.execute_raw("COMMIT") {
        Ok(()) => (Ended::Committed(outcomes), changed),
        // SQLite says busy or full before anything is durable; PostgreSQL reports a failed serialization the same way.
        // Anything else after COMMIT was sent may have been written: a second run could take itself for a replay.
        Err(cause) if conn.is_sqlite() || is_serialization(&cause) => {
            (lost(conn, StoreBroken::Database(cause)), false)
        }
        Err(cause) => (
            Ended::Failed(Broken::Unavailable(format!("no answer to COMMIT: {cause}"))),
            false,
        ),
    }
}

fn run_jobs(
    conn: &mut Conn,
    batch: &mut [Box<dyn Job>],
    apart: Apart,
    (events, changes): (&mut Vec<Event>, &mut Vec<Change>),
) -> Result<Vec<Result<(), Broken>>, Ended> {
    // A job alone needs no savepoint: its failure is the transaction's.
    let alone = batch.len() == 1;
    let savepoints = !alone && apart == Apart::Savepoints;
    let mut outcomes = Vec::with_capacity(batch.len());
    for (place, job) in batch.iter_mut().enumerate() {
        let (kept_events, kept_changes) = (events.len(), changes.len());
        if savepoints && let Err(cause) = conn.execute_raw("SAVEPOINT job") {
            return Err(lost(conn, StoreBroken::Database(cause)));
        }
        let mut tx = Tx {
            conn: &mut *conn,
            events: &mut *events,
            changes: &mut *changes,
        };
        let Ok(ran) = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx))) else {
            return Err(Ended::Panicked(place));
        };
        let ended = match ran {
            Ok(()) => {
                outcomes.push(Ok(()));
                if savepoints {
                    conn.execute_raw("RELEASE job")
                } else {
                    Ok(())
                }
            }
            Err(failure) if alone => return Err(lost(conn, failure)),
            Err(_) if !savepoints => {
                return Err(conn.execute_raw("ROLLBACK").map_or_else(
                    |cause| Ended::Failed(Broken::Unavailable(cause.to_string())),
                    |()| Ended::Entangled,
                ));
            }
            Err(failure) => {
                events.truncate(kept_events);
                changes.truncate(kept_changes);
                outcomes.push(Err(Broken::from(failure)));
                // Fails when the error undid the whole transaction (disk full, I/O error): then all jobs failed.
                conn.execute_raw("ROLLBACK TO job; RELEASE job")
            }
        };
        if let Err(cause) = ended {
            return Err(Ended::Failed(Broken::Unavailable(cause.to_string())));
        }
    }
    Ok(outcomes)
}

/// Rolls back and says whether the transaction may be run again.
fn lost(conn: &mut Conn, failure: StoreBroken) -> Ended {
    let rolled_back = conn.execute_raw("ROLLBACK").is_ok();
    match &failure {
        StoreBroken::Database(cause) if rolled_back && is_serialization(cause) => Ended::Again(failure),
        _ => Ended::Failed(Broken::from(failure)),
    }
}

fn is_serialization(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(_, information) => information.message().contains("deadlock detected"),
        _ => false,
    }
}

impl Conn {
    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Whether the other end has closed it, as far as that is known.
    pub(super) fn is_closed(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Pg(c) => c.is_broken(),
        }
    }

    pub(super) fn execute_raw(&mut self, sql: &str) -> Result<(), Error> {
        each!(self, c => c.batch_execute(sql))
    }
}

pub(super) fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
