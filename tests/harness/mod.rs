//! A real server over TLS with its own database and a clock that tests move, and the personas of the MDI dataflows.

pub mod agency;
pub mod agent;
pub mod assertion;
pub mod authenticator;
pub mod browser;
pub mod postgres;
pub mod program;
pub mod smtp;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mdi_auth::app::App;
use mdi_auth::audit::activity;
use mdi_auth::audit::event::Actor;
use mdi_auth::clock::{Clock, Source, SteadyClock, SystemClock};
use mdi_auth::config::{Config, Database, Issuer};
use mdi_auth::error::Broken;
use mdi_auth::model::client::ClientSettings;
use mdi_auth::model::secret::Secret;
use mdi_auth::registry::{Decided, Registry, apply, noun, people};
use mdi_auth::server;
use mdi_auth::store::{Conn, Tx, audit};
use mdi_auth::tls::Tls;
use serde_json::Value;

use crate::support::TempDir;

/// When every test begins: 2026-11-21 02:00:00 UTC.
pub const BEGIN: i64 = 1_795_226_400;

/// Counts what is new in the record.
pub async fn catch_up(app: &App) -> Result<usize, Broken> {
    activity::catch_up(&app.store, app.clock.as_ref()).await
}

/// The clocks of a machine: they stand still until a test moves them.
#[derive(Debug)]
pub struct TestClock {
    /// What goes on with the time, in milliseconds.
    time: AtomicI64,
    /// How far the wall clock has jumped from it.
    jumped: AtomicI64,
    /// Whether it goes on by itself, as the machine's does.
    runs: AtomicBool,
    /// How far the database's clock has jumped, if it is on another machine.
    database: Mutex<Option<i64>>,
}

impl TestClock {
    fn new() -> Self {
        Self {
            time: AtomicI64::new(BEGIN * 1000),
            jumped: AtomicI64::new(0),
            runs: AtomicBool::new(false),
            database: Mutex::new(None),
        }
    }

    /// The database is on another machine, whose clock is so many seconds off.
    pub fn database_is_off(&self, seconds: i64) {
        *self.database.lock().unwrap() = Some(seconds * 1000);
    }

    fn time_millis(&self) -> i64 {
        if self.runs.load(Ordering::SeqCst) {
            SystemClock.now_millis()
        } else {
            self.time.load(Ordering::SeqCst)
        }
    }

    /// Time passes.
    pub fn advance(&self, seconds: i64) {
        self.time.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub fn jump(&self, seconds: i64) {
        self.jumped.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

/// The hands of a clock that the server reads.
#[derive(Debug)]
struct Hands(Arc<TestClock>);

impl Source for Hands {
    fn wall_millis(&self) -> i64 {
        self.0.time_millis() + self.0.jumped.load(Ordering::SeqCst)
    }

    fn boot_millis(&self) -> i64 {
        self.0.time_millis()
    }
}

/// The server's own clock over those hands. The real database lives by the real time: what counts is what a test says.
#[derive(Debug)]
struct ServerClock(SteadyClock<Hands>, Arc<TestClock>);

impl Clock for ServerClock {
    fn now_millis(&self) -> i64 {
        self.0.now_millis()
    }

    fn tick(&self, _: Option<i64>) -> bool {
        let off = *self.1.database.lock().unwrap();
        self.0.tick(off.map(|off| self.1.time_millis() + off))
    }

    fn doubt(&self, why: &str) {
        self.0.doubt(why);
    }

    fn is_steady(&self) -> bool {
        self.0.is_steady()
    }
}

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Db {
    Sqlite,
    Postgres,
}

/// Makes one test for each database: `on_both!(fn name(db) async { … })`.
#[macro_export]
macro_rules! on_both {
    ($(#[$meta:meta])* async fn $name:ident($db:ident) $body:block) => {
        mod $name {
            use super::*;

            async fn run($db: $crate::harness::Db) $body

            $(#[$meta])*
            #[tokio::test]
            async fn sqlite() {
                run($crate::harness::Db::Sqlite).await;
            }

            $(#[$meta])*
            #[tokio::test]
            async fn postgres() {
                run($crate::harness::Db::Postgres).await;
            }
        }
    };
}

/// A server that runs.
pub struct Harness {
    pub issuer: String,
    pub clock: Arc<TestClock>,
    pub app: Arc<App>,
    pub http: reqwest::Client,
    pub ca_file: PathBuf,
    port: u16,
    handle: actix_web::dev::ServerHandle,
    thread: Option<JoinHandle<()>>,
    // Removed last.
    _dir: TempDir,
}

/// Runs what blocks away from async tasks.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

/// How long a transaction is [`in_flight`].
const FLIGHT: Duration = Duration::from_millis(500);

/// Runs `work` in a transaction that is committed a moment after this returns: what others read until then is old.
/// Nothing tells whether they have read by then, so whoever must not lose this race runs it until it is won.
pub fn in_flight(harness: &Harness, mut work: impl FnMut(&mut Tx<'_>) + Send + 'static) -> JoinHandle<()> {
    let (store, (told, written)) = (Arc::clone(&harness.app.store), std::sync::mpsc::channel());
    let thread = std::thread::spawn(move || {
        let job = move |tx: &mut Tx<'_>| {
            work(tx);
            let _ = told.send(());
            std::thread::sleep(FLIGHT);
            Ok(())
        };
        store.write_blocking(job).unwrap();
    });
    written.recv().unwrap();
    thread
}

/// A client that trusts our own authority and follows no redirect.
pub fn client(ca_file: &std::path::Path) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca_file).unwrap()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

impl Harness {
    /// A server with the personas of both dataflows.
    pub fn start(db: Db) -> Self {
        Self::start_with(db, |_| {})
    }

    /// The same, with changed settings.
    pub fn start_with(db: Db, change: impl FnOnce(&mut Config)) -> Self {
        let harness = Self::empty(db, change);
        harness.apply(PERSONAS);
        harness
    }

    /// A server that knows nobody yet.
    pub fn empty(db: Db, change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = format!("https://localhost:{port}");
        let mut config = Config::default_with(dir.path());
        config.server.issuer = Issuer::parse(&issuer).unwrap();
        // Cheap hashing: what is tested is what is asked, not how long it takes.
        config.login.argon2_memory_kib = 64;
        config.login.argon2_iterations = 1;
        if db == Db::Postgres {
            config.database.url = Database::Postgres(Secret::new(postgres::create_database()));
            config.database.writers = 4;
        }
        config.database.readers = 2;
        change(&mut config);
        let issuer = config.server.issuer.to_string();
        let clock = Arc::new(TestClock::new());
        let shared = Arc::new(ServerClock(
            SteadyClock::new(Hands(Arc::clone(&clock))),
            Arc::clone(&clock),
        ));
        let (app, tls) = blocking(move || {
            // TLS lives by the real time, for the client checks the certificate by it.
            let now = SystemClock.now();
            let tls = Arc::new(Tls::open(&config.server, now).unwrap());
            (App::open(config, shared, true).unwrap(), tls)
        });
        let ca_file = tls.ca_file().unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let serving = Arc::clone(&app);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let bound = server::bind_to(&serving, &tls, listener, false).unwrap();
                send.send(bound.handle()).unwrap();
                bound.serve(serving, tls).await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        Self {
            issuer,
            clock,
            app,
            http: client(&ca_file),
            ca_file,
            port,
            handle,
            thread: Some(thread),
            _dir: dir,
        }
    }

    /// The real time from now on: for software of others, which lives by it.
    pub fn real_time(&self) {
        self.clock.runs.store(true, Ordering::SeqCst);
    }

    /// Applies a file as the command line would.
    pub fn apply(&self, text: &str) -> apply::Outcome {
        let registry = self.registry();
        let text = text.to_owned();
        blocking(move || apply::apply(&registry, &text, false).unwrap())
    }

    /// The registry, as an operator uses it.
    pub fn registry(&self) -> Registry {
        Registry::new(Arc::clone(&self.app), Actor::Operator("test".to_owned()))
    }

    /// Runs what an administrator does.
    fn change<T: Send + 'static>(
        &self,
        work: impl FnMut(&Registry, &mut Tx<'_>) -> Decided<T> + Send + 'static,
    ) -> T {
        let registry = self.registry();
        blocking(move || registry.blocking(work).unwrap())
    }

    pub fn disable_client(&self, id: &'static str) {
        self.change(move |registry, tx| noun::set_enabled::<ClientSettings>(registry, tx, id, false));
    }

    pub fn disable_user(&self, username: &'static str) {
        self.change(move |registry, tx| people::set_enabled(registry, tx, username, false));
    }

    pub fn enable_user(&self, username: &'static str) {
        self.change(move |registry, tx| people::set_enabled(registry, tx, username, true));
    }

    pub fn rotate_secret(&self, id: &'static str, overlap_seconds: i64) -> String {
        let rotated = self.change(move |registry, tx| {
            noun::rotate_secret::<ClientSettings>(registry, tx, id, overlap_seconds)
        });
        rotated.secret.reveal().to_owned()
    }

    /// The URL of the PostgreSQL database that this server uses.
    pub fn database_url(&self) -> String {
        match &self.app.config.database.url {
            Database::Postgres(url) => url.reveal().to_owned(),
            Database::Sqlite(path) => panic!("on SQLite at {}", path.display()),
        }
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs the program beside the server, on its database and directory. Answers whether it succeeded, and what it said.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mdi-auth"));
        let config = &self.app.config;
        command
            .args(arguments)
            .env("MDI_AUTH_SERVER__ISSUER", &self.issuer)
            .env("MDI_AUTH_SERVER__DATA_DIR", &config.server.data_dir)
            .env("MDI_AUTH_LOG", "error");
        if let Database::Postgres(url) = &config.database.url {
            command.env("MDI_AUTH_DATABASE__URL", url.reveal());
        }
        let output = blocking(move || command.output()).unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(told).unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub fn now(&self) -> i64 {
        self.app.now()
    }

    /// Posts a form, with HTTP Basic if there are credentials.
    pub async fn post(&self, path: &str, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(self.url(path)).form(form);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub async fn token(&self, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Answer {
        self.post("/oauth2/token", basic, form).await
    }

    /// Asks about a token as a resource server.
    pub async fn introspect(&self, server: (&str, &str), token: &str) -> Value {
        let answer = self
            .post("/oauth2/introspect", Some(server), &[("token", token)])
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    }

    /// The events of a kind, by their bodies, in order.
    pub fn events(&self, kind: &'static str) -> Vec<Value> {
        let store = Arc::clone(&self.app.store);
        let read = move |conn: &mut Conn| {
            let mut found = Vec::new();
            for log in audit::logs(conn)? {
                found.extend(
                    audit::rows_after(conn, log.id, 0, 100_000)?
                        .into_iter()
                        .filter(|row| row.kind == kind),
                );
            }
            Ok(found)
        };
        let rows = blocking(move || store.read_blocking(read).unwrap());
        let mut bodies: Vec<Value> = rows
            .iter()
            .map(|row| serde_json::from_str(&row.body).unwrap())
            .collect();
        bodies.sort_by_key(|body| body["at_ms"].as_i64());
        bodies
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::read(self.http.get(self.url(path)).send().await.unwrap()).await
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self {
            status,
            headers,
            text,
            json,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the JSON that must be text.
    pub fn str(&self, name: &str) -> &str {
        self.json[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The `error` of the JSON, or nothing.
    pub fn error(&self) -> &str {
        self.json["error"].as_str().unwrap_or_default()
    }

    pub fn description(&self) -> &str {
        self.json["error_description"].as_str().unwrap_or_default()
    }
}

/// Secrets of the personas: at least 32 characters, as the server wants it.
pub const EDRS: (&str, &str) = ("edrs-ga", "edrs-introspection-secret-0123456789");
pub const CMS: (&str, &str) = ("cms-fulton", "cms-introspection-secret-0123456789-");
pub const LIMS: (&str, &str) = ("lims-secret", "lims-client-secret-0123456789-abcdef");
pub const FULTON: (&str, &str) = ("fulton-cms", "fulton-client-secret-0123456789-abcd");
pub const EDRS_BASE: &str = "https://edrs.ga.example/fhir";
pub const CMS_BASE: &str = "https://cms.fulton.example/fhir";
pub const CALLBACK: &str = "https://cms.fulton.example/cb";
pub const PASSWORD: &str = "correct horse battery staple";
/// An EDRS and a CMS as resource servers, a CMS and LIMS as clients, and people of several roles. The TOTP secret is
/// base32 of "12345678901234567890", the secret of RFC 6238 appendix B.
pub const PERSONAS: &str = r#"
[[resource_server]]
id = "edrs-ga"
name = "Georgia EDRS"
audience = "https://edrs.ga.example/fhir"
kind = "edrs"
secret = "edrs-introspection-secret-0123456789"

[[resource_server]]
id = "cms-fulton"
name = "Fulton County MDI CMS"
audience = "https://cms.fulton.example/fhir"
kind = "cms"
secret = "cms-introspection-secret-0123456789-"
signing_alg = "RS256"

[[client]]
client_id = "fulton-cms"
name = "Fulton County CMS"
dataflow = "cms-user-to-edrs"
auth_method = "client_secret_basic"
secret = "fulton-client-secret-0123456789-abcd"
organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
redirect_uris = ["https://cms.fulton.example/cb"]
resource_servers = ["edrs-ga"]

[[client]]
client_id = "lims-secret"
name = "UF Forensic Toxicology LIMS (secret)"
dataflow = "lims-to-cms"
auth_method = "client_secret_basic"
secret = "lims-client-secret-0123456789-abcdef"
organization = { name = "UF Pathology Labs", id = "urn:oid:2.16.840.1.113883.3.9999.2" }
resource_servers = ["cms-fulton"]

[[user]]
username = "jlehz"
name = "Jane Lehz, MD"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["medical-examiner"]
organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
npi = "1234567893"
fhir_user = "https://edrs.ga.example/fhir/Practitioner/77"
email = "jlehz@fulton.example"
claims = { given_name = "Jane", family_name = "Lehz", phone_number = "+1-404-555-0100" }

[[user]]
username = "clerk"
name = "Cory Clerk"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["data-clerk"]

[[user]]
username = "norole"
name = "Nora Role"
password = "correct horse battery staple"
"#;
