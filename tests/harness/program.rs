//! The real program, as an operator starts it: its own process, its own files.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{Db, client, postgres};
use crate::support::{TempDir, eventually};

pub struct Program {
    pub dir: TempDir,
    port: u16,
    database: Option<String>,
}

impl Program {
    pub fn new(db: Db) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let database = (db == Db::Postgres).then(postgres::create_database);
        Self {
            dir: TempDir::new(),
            port,
            database,
        }
    }

    /// The program with its settings; `through` goes before it, as `sh -c … program` does.
    pub fn command(&self, through: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_mdi-auth");
        let mut command = match through {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .env("MDI_AUTH_SERVER__ISSUER", self.issuer())
            .env("MDI_AUTH_SERVER__LISTEN", format!("127.0.0.1:{}", self.port))
            .env("MDI_AUTH_SERVER__DATA_DIR", self.dir.path().join("data"))
            .env("MDI_AUTH_LOG", "error");
        if let Some(url) = &self.database {
            command.env("MDI_AUTH_DATABASE__URL", url);
        }
        command
    }

    pub fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    pub fn serve(&self) -> Child {
        let mut command = self.command(&[]);
        command.arg("serve");
        self.start(command)
    }

    /// Starts a command that serves, and reads what it says.
    pub fn start(&self, mut command: Command) -> Child {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains(&self.issuer()));
        // Somebody has to read what follows.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(&[]).args(arguments).output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }

    /// A client that trusts it, once it is ready.
    pub async fn http(&self) -> reqwest::Client {
        let ca = self.dir.path().join("data/ca.pem");
        eventually("authority", async || ca.exists(), |exists| *exists).await;
        let http = client(&ca);
        let url = self.url("/readyz");
        let look = async || http.get(&url).send().await.map(|answer| answer.status().as_u16());
        eventually("server that is ready", look, |status| matches!(status, Ok(200)))
            .await
            .unwrap();
        http
    }
}
