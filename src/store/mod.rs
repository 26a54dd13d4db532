//! The store: the only user of diesel. One [`Store`] over SQLite or PostgreSQL, with threads of its own: a few readers,
//! and the writer (several on PostgreSQL), which answers a job only after its transaction was committed.

pub mod audit_search;
mod broken;
mod connection;
pub mod lists;
mod reader;
pub mod schema;
mod writer;

pub mod activity;
pub mod api_tokens;
pub mod audit;
pub mod changes;
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
pub mod registered;
pub mod secrets;
pub mod sessions;
pub mod sweep;
pub mod tokens;
pub mod vendor_links;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::sync::oneshot;

pub use broken::{StoreBroken, Stored};
pub use connection::{Access, Conn, Connector, OpenError, PgConn, Target, snapshot};
pub(crate) use connection::{at_most, each};
use reader::{Answer, ReadJob, Served, read_loop};
pub use writer::{OnChange, Tx};

use crate::error::Broken;
use crate::supervisor;

/// How many jobs may wait; one more is told to come back later.
const QUEUE: usize = 4096;

/// The database and its threads. Dropping it lets the threads finish what is queued.
pub struct Store {
    connector: Arc<Connector>,
    writes: SyncSender<Box<dyn writer::Job>>,
    reads: SyncSender<ReadJob>,
    on_change: Arc<OnceLock<OnChange>>,
    /// How many queries the readers have made.
    queries: Arc<AtomicU64>,
    /// How many transactions could not be written.
    failed_writes: Arc<AtomicU64>,
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
        thread::spawn(move || preparing.prepare(upgrade, people::index_all))
            .join()
            .map_err(|_| OpenError::Unreachable("the migration panicked".to_owned()))??;
        let (writes, write_queue) = sync_channel(QUEUE);
        let (reads, read_queue) = sync_channel::<ReadJob>(QUEUE);
        let on_change = Arc::new(OnceLock::new());
        let queries = Arc::new(AtomicU64::new(0));
        let failed_writes = Arc::new(AtomicU64::new(0));
        let write_queue = Arc::new(Mutex::new(write_queue));
        let read_queue = Arc::new(Mutex::new(read_queue));
        let idle = Arc::new(Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for _ in 0..if connector.is_sqlite() {
            1
        } else {
            threads.writers.max(1)
        } {
            let mut writer = writer::Writer::new(
                Arc::clone(&connector),
                Arc::clone(&write_queue),
                Arc::clone(&on_change),
                Arc::clone(&failed_writes),
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
            failed_writes,
            threads: Mutex::new(handles),
        }))
    }

    /// How many queries the readers have made since the start.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// How many transactions could not be written since the start: when it grows, what was proved before counts no more.
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes.load(Ordering::Relaxed)
    }

    /// Whether this is SQLite.
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
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Stored<T> + Send + 'static,
    ) -> Result<T, Broken> {
        self.enqueue_read(query)?
            .await
            .map_err(|_| Broken::Unavailable("the reader has stopped".to_owned()))?
    }

    /// [`Store::read`] for threads that run no async tasks.
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

fn spawn(
    name: &'static str,
    work: impl FnMut() + Send + 'static,
) -> Result<thread::JoinHandle<()>, OpenError> {
    supervisor::thread(name, work)
        .map_err(|cause| OpenError::Unreachable(format!("cannot start a thread: {cause}")))
}
