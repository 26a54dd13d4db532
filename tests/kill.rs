//! The process is killed at its busiest, and started again: nothing that was answered is lost.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Answer, CMS, Db, LIMS, PERSONAS, client, postgres};
use crate::on_both;
use crate::support::{TempDir, eventually};

struct Program {
    dir: TempDir,
    port: u16,
    database: Option<String>,
}

impl Program {
    fn new(db: Db) -> Self {
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

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdi-auth"));
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

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn serve(&self) -> Child {
        let mut child = self
            .command()
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains(&self.issuer()));
        // Somebody has to read what follows.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }

    async fn http(&self) -> reqwest::Client {
        let ca = self.dir.path().join("data/ca.pem");
        eventually("authority", async || ca.exists(), |exists| *exists).await;
        let http = client(&ca);
        let url = format!("{}/readyz", self.issuer());
        let look = async || http.get(&url).send().await.map(|answer| answer.status().as_u16());
        eventually("server that is ready", look, |status| matches!(status, Ok(200)))
            .await
            .unwrap();
        http
    }
}

on_both! {
    async fn nothing_that_was_answered_is_lost(db) {
        let program = Program::new(db);
        let personas = program.dir.path().join("personas.toml");
        std::fs::write(&personas, PERSONAS).unwrap();
        program.run(&["apply", personas.to_str().unwrap()]);
        let mut server = program.serve();
        let http = program.http().await;
        let (answered, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let (http, url) = (http.clone(), format!("{}/oauth2/token", program.issuer()));
                let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let form = [("grant_type", "client_credentials")];
                        let Ok(answer) = http.post(&url).basic_auth(LIMS.0, Some(LIMS.1)).form(&form).send().await else { continue };
                        let Ok(body) = answer.json::<serde_json::Value>().await else { continue };
                        answered.lock().unwrap().push(body["access_token"].as_str().unwrap().to_owned());
                    }
                })
            })
            .collect();
        eventually("200 answers", async || answered.lock().unwrap().len(), |count| *count >= 200).await;
        server.kill().unwrap();
        server.wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        let mut server = program.serve();
        let http = program.http().await;
        let tokens = std::mem::take(&mut *answered.lock().unwrap());
        assert!(tokens.len() >= 200);
        for token in &tokens {
            let asked = http.post(format!("{}/oauth2/introspect", program.issuer())).basic_auth(CMS.0, Some(CMS.1)).form(&[("token", token)]);
            let told = Answer::read(asked.send().await.unwrap()).await;
            assert_eq!(told.json["active"], true, "{told:?}");
        }
        let verified = program.run(&["audit", "verify"]);
        let issued = tokens.len();
        assert!(count(&verified) >= issued, "{issued} answered, but {verified}");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

/// How many events the record has, as `audit verify` says it.
fn count(text: &str) -> usize {
    let said = text
        .split("the record is sound: ")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"));
    said.split(' ').next().unwrap().parse().unwrap()
}
