//! The store: the only user of diesel. One [`Store`] over SQLite or PostgreSQL, with threads of its own: a few readers,
//! and the writer (several on PostgreSQL), which answers a job only after its transaction was committed.

pub mod audit_search;
mod connection;
pub mod lists;
pub mod schema;
mod writer;

pub mod activity;
pub mod api_tokens;
pub mod audit;
pub mod changes;
pub mod clients;
pub mod first_links;
pub mod grants;
pub mod idempotency;
pub mod identity_providers;
pub mod installation;
pub mod keys;
pub mod links;
pub mod logins;
pub mod logout_notices;
pub mod passkeys;
pub mod password_history;
pub mod people;
pub mod recovery_codes;
pub mod resource_servers;
pub mod secrets;
pub mod sessions;
pub mod sweep;
pub mod tokens;
pub mod vendor_links;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub(crate) use connection::each;
pub use connection::{Access, Conn, Connector, OpenError, PgConn, Target};
pub use writer::Tx;

use crate::error::Broken;

/// How many jobs may wait; one more is told to come back later.
const QUEUE: usize = 4096;
/// After how long an idle connection to another machine is not trusted to be one.
const LONGEST_IDLE: Duration = Duration::from_secs(180);

/// Why a job failed. It means: roll back. A refusal that must leave a trace is an `Ok` value.
#[derive(Debug, thiserror::Error)]
pub enum StoreBroken {
    /// What the database said.
    #[error("database: {0}")]
    Database(#[from] diesel::result::Error),
    /// What the database holds makes no sense.
    #[error("defect: {0}")]
    Defect(String),
}

impl StoreBroken {
    /// Stored data that cannot be read back.
    pub fn stored(what: &str, cause: impl fmt::Display) -> Self {
        Self::Defect(format!("stored {what} cannot be read: {cause}"))
    }
}

impl From<StoreBroken> for Broken {
    fn from(failure: StoreBroken) -> Self {
        use diesel::result::{DatabaseErrorKind, Error};
        match &failure {
            StoreBroken::Database(Error::DatabaseError(kind, information)) => match kind {
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation => Self::Defect(failure.to_string()),
                DatabaseErrorKind::Unknown if !is_passing(information.message()) => {
                    Self::Defect(failure.to_string())
                }
                _ => Self::Unavailable(information.message().to_owned()),
            },
            StoreBroken::Database(Error::BrokenTransactionManager | Error::RollbackErrorOnCommit { .. }) => {
                Self::Unavailable(failure.to_string())
            }
            _ => Self::Defect(failure.to_string()),
        }
    }
}

/// Locked, full, read-only, connection lost: the data is sound, the moment is not. Neither library tells these apart
/// from a missing table otherwise.
fn is_passing(message: &str) -> bool {
    const PASSING: [&str; 13] = [
        "locked",
        "busy",
        "full",
        "disk",
        "readonly",
        "read-only",
        "unable to open",
        "connection",
        "closed",
        "communicating",
        "timeout",
        "shutting down",
        "starting up",
    ];
    let message = message.to_lowercase();
    PASSING.iter().any(|word| message.contains(word))
}

/// How many rows a query is limited to.
fn at_most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Runs several queries on one state of the database, whatever is written meanwhile.
///
/// # Errors
/// What the queries say; the connection is of no use then.
pub fn snapshot<T>(conn: &mut Conn, queries: impl FnOnce(&mut Conn) -> Stored<T>) -> Stored<T> {
    conn.execute_raw(if conn.is_sqlite() {
        "BEGIN"
    } else {
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    })?;
    let read = queries(conn)?;
    conn.execute_raw("COMMIT")?;
    Ok(read)
}

/// What every store function answers.
pub type Stored<T> = Result<T, StoreBroken>;

/// Called by the writer after a commit that others must learn of, before the jobs are answered.
pub type OnChange = Arc<dyn Fn(&mut Conn) -> Stored<()> + Send + Sync>;

/// Makes a query.
type ReadJob = Box<dyn FnOnce(Result<&mut Conn, Broken>) -> Answer + Send>;

/// What became of a connection by a query.
enum Served {
    Well,
    /// It may be in the middle of something.
    Ill,
    /// It is broken, and the others may be as well.
    Lost,
}

/// What a query came to.
struct Answer {
    /// What became of the connection.
    served: Served,
    /// Tells the caller, once the connection is free for what he asks next.
    tell: Box<dyn FnOnce()>,
}

/// The database and its threads. Dropping it lets the threads finish what is queued.
pub struct Store {
    connector: Arc<Connector>,
    writes: SyncSender<Box<dyn writer::Job>>,
    reads: SyncSender<ReadJob>,
    on_change: Arc<OnceLock<OnChange>>,
    /// How many queries the readers have made.
    queries: Arc<AtomicU64>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.connector.is_sqlite() {
            "Store(SQLite)"
        } else {
            "Store(PostgreSQL)"
        })
    }
}

/// How many threads the store starts.
#[derive(Debug, Clone, Copy)]
pub struct Threads {
    /// Threads that read.
    pub readers: usize,
    /// Threads that write; SQLite always has one.
    pub writers: usize,
}

impl Store {
    /// Opens the database, initialises or migrates it, and starts the threads.
    ///
    /// # Errors
    /// When the database does not answer or has a schema that may not be touched.
    pub fn open(target: Target, threads: Threads, upgrade: bool) -> Result<Arc<Self>, OpenError> {
        let connector = Arc::new(Connector::new(target)?);
        // Connections are opened on threads of their own: PostgreSQL's must not be opened where async tasks run.
        let preparing = Arc::clone(&connector);
        thread::spawn(move || preparing.prepare(upgrade))
            .join()
            .map_err(|_| OpenError::Unreachable("the migration panicked".to_owned()))??;
        let (writes, write_queue) = sync_channel(QUEUE);
        let (reads, read_queue) = sync_channel::<ReadJob>(QUEUE);
        let on_change = Arc::new(OnceLock::new());
        let queries = Arc::new(AtomicU64::new(0));
        let write_queue = Arc::new(Mutex::new(write_queue));
        let read_queue = Arc::new(Mutex::new(read_queue));
        let idle = Arc::new(Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for _ in 0..if connector.is_sqlite() {
            1
        } else {
            threads.writers.max(1)
        } {
            let writer = writer::Writer::new(
                Arc::clone(&connector),
                Arc::clone(&write_queue),
                Arc::clone(&on_change),
            );
            handles.push(spawn("db-write", move || writer.run())?);
        }
        for _ in 0..threads.readers.max(1) {
            let (connector, queue, idle) =
                (Arc::clone(&connector), Arc::clone(&read_queue), Arc::clone(&idle));
            let queries = Arc::clone(&queries);
            handles.push(spawn("db-read", move || {
                read_loop(&connector, &queue, &idle, &queries)
            })?);
        }
        Ok(Arc::new(Self {
            connector,
            writes,
            reads,
            on_change,
            queries,
            threads: Mutex::new(handles),
        }))
    }

    /// How many queries the readers have made since the start.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Whether this is SQLite.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.connector.is_sqlite()
    }

    /// Sets what the writer calls after a commit that others must learn of. Only the first call counts.
    pub fn on_change(&self, callback: OnChange) {
        let _ = self.on_change.set(callback);
    }

    /// Runs a job in a transaction and answers after the commit. The job may run twice: it has no effect but on the database.
    ///
    /// # Errors
    /// [`Broken::Busy`] when the queue is full; [`Broken::Unavailable`] when the database does not say that it
    /// committed; [`Broken::Defect`] otherwise. Nothing was written then, or (unavailable) it is unknown.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnMut(&mut Tx<'_>) -> Stored<T> + Send + 'static,
    ) -> Result<T, Broken> {
        self.enqueue(job)?
            .await
            .map_err(|_| Broken::Unavailable("the writer has stopped".to_owned()))?
    }

    /// [`Store::write`] for threads that run no async tasks: the command line.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnMut(&mut Tx<'_>) -> Stored<T> + Send + 'static,
    ) -> Result<T, Broken> {
        self.enqueue(job)?
            .blocking_recv()
            .map_err(|_| Broken::Unavailable("the writer has stopped".to_owned()))?
    }

    fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnMut(&mut Tx<'_>) -> Stored<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Broken>>, Broken> {
        let (sender, receiver) = oneshot::channel();
        self.writes
            .try_send(writer::work(job, sender))
            .map_err(full_or_stopped)?;
        Ok(receiver)
    }

    /// Runs a query on a reader.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Stored<T> + Send + 'static,
    ) -> Result<T, Broken> {
        self.enqueue_read(query)?
            .await
            .map_err(|_| Broken::Unavailable("the reader has stopped".to_owned()))?
    }

    /// [`Store::read`] for threads that run no async tasks.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn read_blocking<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Stored<T> + Send + 'static,
    ) -> Result<T, Broken> {
        self.enqueue_read(query)?
            .blocking_recv()
            .map_err(|_| Broken::Unavailable("the reader has stopped".to_owned()))?
    }

    fn enqueue_read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Stored<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Broken>>, Broken> {
        let (sender, receiver) = oneshot::channel();
        let job: ReadJob = Box::new(move |conn| {
            let answer = conn.and_then(|conn| query(conn).map_err(Broken::from));
            let served = match &answer {
                Ok(_) => Served::Well,
                Err(Broken::Unavailable(_)) => Served::Lost,
                Err(_) => Served::Ill,
            };
            // A caller that went away needs no answer.
            let tell = Box::new(move || drop(sender.send(answer)));
            Answer { served, tell }
        });
        self.reads.try_send(job).map_err(full_or_stopped)?;
        Ok(receiver)
    }

    /// A connection for somebody who reads all the time, on a thread of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn connect(&self) -> Result<Conn, OpenError> {
        self.connector.connect(Access::Read)
    }

    /// Ends the threads after the queued work, and waits for them.
    pub fn close(self: Arc<Self>) {
        let handles = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        drop(self);
        for handle in handles {
            let _ = handle.join();
        }
    }
}

fn full_or_stopped<T>(error: TrySendError<T>) -> Broken {
    match error {
        TrySendError::Full(_) => Broken::Busy,
        TrySendError::Disconnected(_) => Broken::Unavailable("the store has stopped".to_owned()),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|cause| OpenError::Unreachable(format!("cannot start a thread: {cause}")))
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// `idle`: connections that nobody reads on. The one that was used last is taken first: it has the statements and the
/// pages that are wanted, while the others would have to make their own.
fn read_loop(
    connector: &Connector,
    queue: &Mutex<Receiver<ReadJob>>,
    idle: &Mutex<Vec<(Conn, Instant)>>,
    queries: &Arc<AtomicU64>,
) {
    let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(job) = next(queue) {
        // A network may have dropped without a word what was silent for long.
        let is_fresh = |since: &Instant| connector.is_sqlite() || since.elapsed() < LONGEST_IDLE;
        let last_used = idle()
            .pop()
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
