//! A mail server on this machine that others wrote (aiosmtpd, installed by `smtp-install`): it wants TLS and a password
//! and keeps what it gets.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use mdi_auth::config::{Config, Credentials, MailConfig, MailTls};
use mdi_auth::model::secret::Secret;
use mdi_auth::tls::Tls;
use serde_json::Value;

use crate::support::{TempDir, eventually};

pub const USER: &str = "mdi-auth";
pub const PASSWORD: &str = "päss word of the mail server";

pub struct MailServer {
    pub port: u16,
    /// The authority of its certificate.
    pub ca: PathBuf,
    mode: &'static str,
    messages: Arc<Mutex<Vec<Value>>>,
    process: Child,
    _dir: TempDir,
}

fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiosmtpd");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/smtp-install");
        assert!(
            Command::new(script).arg(&dir).status().unwrap().success(),
            "tests/harness/smtp-install"
        );
        dir.join("bin/python")
    })
}

impl MailServer {
    /// `mode` is starttls or tls.
    pub fn start(mode: &'static str) -> Self {
        let dir = TempDir::new();
        let tls = Tls::open(
            &Config::default_with(dir.path()).server,
            jiff::Timestamp::now().as_second(),
        )
        .unwrap();
        let ca = tls.ca_file().unwrap();
        let pem = |name: &str| ca.parent().unwrap().join(name);
        let mut process = Command::new(python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/smtp_server.py"))
            .args([pem("server.pem"), pem("server-key.pem")])
            .args([mode, USER, PASSWORD])
            .env("PYTHONIOENCODING", "utf-8")
            .stdout(Stdio::piped())
            // It warns of its own ways.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self {
            port,
            ca,
            mode,
            messages,
            process,
            _dir: dir,
        }
    }

    /// The settings that reach it.
    pub fn settings(&self) -> MailConfig {
        MailConfig {
            host: "localhost".to_owned(),
            port: self.port,
            tls: if self.mode == "tls" {
                MailTls::Tls
            } else {
                MailTls::StartTls
            },
            credentials: Some(Credentials {
                username: USER.to_owned(),
                password: Secret::new(PASSWORD),
            }),
            from: "MDI Auth <no-reply@as.example>".parse().unwrap(),
            reply_to: Some("help@as.example".parse().unwrap()),
        }
    }

    /// Lets a server send through it.
    pub fn configure(&self, config: &mut Config) {
        config.mail = Some(self.settings());
        config.outbound.extra_ca_file = Some(self.ca.clone());
    }

    /// What it got.
    pub fn messages(&self) -> Vec<Value> {
        self.messages.lock().unwrap().clone()
    }

    /// Waits until it has got so many messages, and answers the last one.
    pub async fn message(&self, count: usize) -> Value {
        let what = format!("message {count}");
        let mut messages = eventually(&what, async || self.messages(), |got| got.len() >= count).await;
        assert_eq!(messages.len(), count, "{messages:#?}");
        messages.remove(count - 1)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
