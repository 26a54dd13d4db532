//! A real PostgreSQL for the test run: one cluster, a database a test. It ends with the test process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{eventually, eventually_blocking};

struct Cluster {
    port: u16,
    password: String,
    // Its standard input is a pipe of ours: when this process ends, however it ends, the cluster is stopped.
    _keeper: std::process::Child,
}

fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is needed: `apt-get install postgresql`")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions
        .pop()
        .expect("PostgreSQL is needed: `apt-get install postgresql`")
}

/// PostgreSQL refuses to run as root: then it runs as the user that Debian made for it.
fn as_postgres(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout)
        .unwrap()
        .trim()
        == "0"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let bin = programs();
        let dir = std::env::temp_dir().join(format!("mdi-auth-postgres-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let password = mdi_auth::clock::Entropy.secret();
        let password_file = dir.join("password");
        std::fs::write(&password_file, &password).unwrap();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(&dir));
        }
        let data = dir.join("data");
        run(as_postgres(&bin.join("initdb"))
            .args(["--no-sync", "-A", "scram-sha-256", "-U", "postgres", "--pwfile"])
            .arg(&password_file)
            .arg("-D")
            .arg(&data)
            .current_dir("/"));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!(
            "{} -D {} -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=400 -c fsync=off -c full_page_writes=off >{}/log 2>&1 & \
             pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid; rm -rf {}",
            bin.join("postgres").display(),
            data.display(),
            dir.display(),
            dir.display(),
        );
        let keeper = as_postgres(Path::new("/bin/sh"))
            .args(["-c", &script])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let what = format!("PostgreSQL, see {}/log", dir.display());
        let look = || std::net::TcpStream::connect(("127.0.0.1", port));
        eventually_blocking(&what, look, Result::is_ok).unwrap();
        Cluster { port, password, _keeper: keeper }
    })
}

fn url(cluster: &Cluster, database: &str) -> String {
    format!(
        "postgres://postgres:{}@127.0.0.1:{}/{database}?sslmode=disable",
        cluster.password, cluster.port
    )
}

/// Runs SQL as the owner of the cluster.
fn as_admin(sql: Vec<String>) {
    let admin = url(cluster(), "postgres");
    super::blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            // It listens before it is ready.
            let look = async || {
                let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Ok::<_, tokio_postgres::Error>(client)
            };
            let client = eventually("connection", look, Result::is_ok).await.unwrap();
            for statement in sql {
                client.batch_execute(&statement).await.unwrap();
            }
        });
    });
}

/// Makes a database and answers its URL.
pub fn create_database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("t_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    as_admin(vec![format!("CREATE DATABASE {name}")]);
    url(cluster(), &name)
}

fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap().split('?').next().unwrap()
}

/// Ends all connections to a database and lets no new one in.
pub fn forbid_connections(url: &str) {
    let name = name_of(url);
    as_admin(vec![
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    ]);
}

/// Lets connections in again.
pub fn allow_connections(url: &str) {
    as_admin(vec![format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS true",
        name_of(url)
    )]);
}

/// Ends the oldest connection of the server.
pub fn end_one_connection(url: &str) {
    as_admin(vec![format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'mdi-auth' \
         ORDER BY backend_start LIMIT 1",
        name_of(url)
    )]);
}
