//! Connections: one type over SQLite and PostgreSQL, and how each is opened.

use std::fmt;
use std::fs::{File, TryLockError};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::runtime::{Handle, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::broken::Stored;
use crate::model::secret::Secret;

/// A PostgreSQL connection without libpq: tokio-postgres behind diesel's synchronous interface.
pub type PgConn = AsyncConnectionWrapper<AsyncPgConnection>;

/// One connection to either database. Queries are written once and expanded for both by [`each!`].
pub enum Conn {
    /// SQLite, bundled.
    Sqlite(SqliteConnection),
    /// PostgreSQL.
    Pg(Box<PgConn>),
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Conn::Sqlite",
            Self::Pg(_) => "Conn::Pg",
        })
    }
}

/// Expands one query for both databases: `each!(conn, c => users::table.load(c))`.
macro_rules! each {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::store::connection::Conn::Sqlite($c) => $body,
            $crate::store::connection::Conn::Pg(boxed) => {
                let $c = boxed.as_mut();
                $body
            }
        }
    };
}
pub(crate) use each;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file; made when it is missing.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://user:password@host:port/database?sslmode=…`
        url: Secret,
        /// The certificate authority that signed the server's certificate; none: those the system trusts.
        root_certificate: Option<PathBuf>,
    },
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server or file does not answer.
    #[error("cannot open the database: {0}")]
    Unreachable(String),
    /// The schema is of another version.
    #[error("{0}")]
    Schema(String),
    /// The settings make no sense.
    #[error("database.url: {0}")]
    Settings(String),
}

/// How long a process waits for another one that prepares the same SQLite file.
const LONGEST_PREPARATION: Duration = Duration::from_secs(60);
/// How long a process waits for another one that writes to the same SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections to one database.
#[derive(Debug)]
pub struct Connector {
    target: Target,
    /// Drives the sockets of PostgreSQL connections; SQLite needs none.
    runtime: Option<Runtime>,
}

/// Counts the queries of a connection.
fn count_queries(conn: &mut Conn, queries: &Arc<AtomicU64>) {
    let counter = Arc::clone(queries);
    let count = move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    each!(conn, c => c.set_instrumentation(count));
}

impl Connector {
    /// Prepares to open connections.
    ///
    /// # Errors
    /// When the runtime for PostgreSQL's sockets cannot be started.
    pub fn new(target: Target) -> Result<Self, OpenError> {
        let runtime = match &target {
            Target::Sqlite(_) => None,
            Target::Postgres { .. } => Some(
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("db-io")
                    .enable_all()
                    .build()
                    .map_err(|cause| OpenError::Unreachable(cause.to_string()))?,
            ),
        };
        Ok(Self { target, runtime })
    }

    /// Whether this is SQLite: one writer, one chain of audit events.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.target, Target::Sqlite(_))
    }

    /// Opens one connection. Must not be called on a thread that runs async tasks.
    ///
    /// # Errors
    /// When the file or server does not answer.
    pub fn connect(&self, access: Access) -> Result<Conn, OpenError> {
        self.open(access)
    }

    /// [`Connector::connect`] for reading, with the queries counted.
    pub(super) fn connect_counted(&self, queries: &Arc<AtomicU64>) -> Result<Conn, OpenError> {
        let mut conn = self.open(Access::Read)?;
        count_queries(&mut conn, queries);
        Ok(conn)
    }

    fn open(&self, access: Access) -> Result<Conn, OpenError> {
        match (&self.target, &self.runtime) {
            (Target::Sqlite(path), _) => open_sqlite(path, access),
            (
                Target::Postgres {
                    url,
                    root_certificate,
                },
                Some(runtime),
            ) => {
                let _entered = runtime.enter();
                open_postgres(url, root_certificate.as_deref(), runtime.handle())
            }
            (Target::Postgres { .. }, None) => Err(OpenError::Unreachable("no runtime".to_owned())),
        }
    }

    /// Brings the schema to this program's version. `upgrade` says whether an older one may be migrated
    /// (`serve`) or is refused (the other commands); an empty database is always initialised. `after` is done under
    /// the same lock.
    ///
    /// # Errors
    /// When the schema is not this program's and may not be changed.
    pub fn prepare(
        &self,
        upgrade: bool,
        after: impl FnOnce(&mut Conn) -> Stored<()>,
    ) -> Result<(), OpenError> {
        let _lock = self.lock_file()?;
        let mut conn = self.connect(Access::Write)?;
        if let Conn::Pg(pg) = &mut conn {
            // Whoever starts meanwhile waits, however long it takes. The lock ends with the connection.
            pg.batch_execute(
                "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(6038421)",
            )
            .map_err(|cause| OpenError::Unreachable(cause.to_string()))?;
        }
        match &mut conn {
            Conn::Sqlite(c) => migrate(c, upgrade),
            Conn::Pg(c) => migrate(c.as_mut(), upgrade),
        }?;
        after(&mut conn).map_err(|cause| OpenError::Schema(format!("cannot index people: {cause}")))
    }

    /// Two processes that start on the same empty SQLite file take turns.
    fn lock_file(&self) -> Result<Option<File>, OpenError> {
        let Target::Sqlite(path) = &self.target else {
            return Ok(None);
        };
        let lock = path.with_extension("lock");
        let failed =
            |cause: &dyn fmt::Display| OpenError::Unreachable(format!("{}: {cause}", lock.display()));
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&lock).map_err(|cause| failed(&cause))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if since.elapsed() < LONGEST_PREPARATION => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(
                        &"another process has held this file for a minute: perhaps it brings the database up to date; wait until it has, or find it (fuser) and stop it",
                    ));
                }
                Err(TryLockError::Error(cause)) => return Err(failed(&cause)),
            }
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be dropped by blocking inside another one's thread.
            runtime.shutdown_background();
        }
    }
}

fn migrate<DB: diesel::backend::Backend>(
    conn: &mut impl MigrationHarness<DB>,
    upgrade: bool,
) -> Result<(), OpenError> {
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        OpenError::Schema(format!("cannot migrate: {cause}"))
    };
    let applied = conn.applied_migrations().map_err(failed)?;
    let known = diesel::migration::MigrationSource::<DB>::migrations(&MIGRATIONS).map_err(failed)?;
    let newest = known
        .iter()
        .map(|migration| migration.name().version().as_owned())
        .max();
    if let Some(newest) = &newest
        && let Some(theirs) = applied.iter().find(|version| *version > newest)
    {
        return Err(OpenError::Schema(format!(
            "the database has schema {theirs}, newer than this program's {newest}: use the program that made it"
        )));
    }
    let pending = conn.pending_migrations(MIGRATIONS).map_err(failed)?;
    if !applied.is_empty() && !pending.is_empty() && !upgrade {
        return Err(OpenError::Schema(
            "the database has an older schema: start `mdi-auth serve` once, which migrates it".to_owned(),
        ));
    }
    conn.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    Ok(())
}

fn open_sqlite(path: &Path, access: Access) -> Result<Conn, OpenError> {
    let failed = |cause: &dyn fmt::Display| OpenError::Unreachable(format!("{}: {cause}", path.display()));
    make_private_file(path).map_err(|cause| failed(&cause))?;
    let mut conn = SqliteConnection::establish(&path.to_string_lossy()).map_err(|cause| failed(&cause))?;
    let wait = BUSY_TIMEOUT.as_millis();
    // FULL: a commit that was answered survives a power cut.
    conn.batch_execute(&format!(
        "PRAGMA busy_timeout = {wait}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4000;"
    ))
    .map_err(|cause| failed(&cause))?;
    if access == Access::Read {
        // The cache (in KiB) holds where 100,000 people are; SQLite's own is a fourth of it and takes nothing before it is
        // used either.
        conn.batch_execute("PRAGMA query_only = ON; PRAGMA cache_size = -8000")
            .map_err(|cause| failed(&cause))?;
    }
    Ok(Conn::Sqlite(conn))
}

/// SQLite would make the file readable for everybody; its journals take the mode of the file.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Err(cause),
        _ => Ok(()),
    }
}

fn open_postgres(url: &Secret, root: Option<&Path>, runtime: &Handle) -> Result<Conn, OpenError> {
    let unreachable = |cause: &dyn fmt::Display| OpenError::Unreachable(cause.to_string());
    let mut config: tokio_postgres::Config = url
        .reveal()
        .parse()
        .map_err(|cause: tokio_postgres::Error| OpenError::Settings(cause.to_string()))?;
    config
        .application_name("mdi-auth")
        .connect_timeout(Duration::from_secs(5));
    // A password must not cross a network in the clear because a server, or somebody in between, offers no TLS.
    if config.get_ssl_mode() == SslMode::Prefer && !config.get_hosts().iter().all(is_local) {
        config.ssl_mode(SslMode::Require);
    }
    let connect = async {
        let tls = MakeRustlsConnect::new(client_tls(root)?);
        let (client, connection) = config
            .connect(tls)
            .await
            .map_err(|cause| unreachable(&error_chain(&cause)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|cause| unreachable(&cause))
    };
    let conn = runtime.block_on(connect)?;
    let mut conn = PgConn::from(conn);
    conn.batch_execute(
        "SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '30s'",
    )
    .map_err(|cause| unreachable(&cause))?;
    Ok(Conn::Pg(Box::new(conn)))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn client_tls(root: Option<&Path>) -> Result<rustls::ClientConfig, OpenError> {
    let settings = |cause: &dyn fmt::Display| OpenError::Settings(format!("root certificate: {cause}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Some(root) = root else {
        return rustls::ClientConfig::with_platform_verifier().map_err(|cause| settings(&cause));
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root).map_err(|cause| settings(&cause))? {
        let certificate = certificate.map_err(|cause| settings(&cause))?;
        roots.add(certificate).map_err(|cause| settings(&cause))?;
    }
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| settings(&cause))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// How many rows a query is limited to.
pub(crate) fn at_most(rows: usize) -> i64 {
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
