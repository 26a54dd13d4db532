//! The demo as a newcomer meets it: one command, lines to paste into one shell, and both dataflows answer.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Answer, client};
use crate::support::TempDir;

/// A demo that runs.
pub struct Demo {
    child: Child,
    /// What it printed before it was ready.
    pub printed: String,
}

/// A port whose successor is free as well.
pub fn two_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < 65_000 && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdi-auth"));
    command
        .arg("demo")
        .arg("--data")
        .arg(data)
        .args(["--port", &port.to_string()]);
    command
}

impl Demo {
    pub fn start(data: &Path, port: u16) -> Self {
        let mut child = command(data, port).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        // From here on, whatever happens ends the process.
        let mut demo = Self {
            child,
            printed: String::new(),
        };
        for line in BufReader::new(stdout).lines() {
            let line = line.unwrap();
            if line == "ready" {
                return demo;
            }
            demo.printed.push_str(&line);
            demo.printed.push('\n');
        }
        panic!("the demo ended: {}", demo.printed);
    }

    /// Pastes the printed lines into one shell; `set -e` ends it at the first line that does not end with 0.
    fn paste(&self, shell: &str) -> String {
        let lines = self.printed.lines().skip_while(|line| !line.starts_with("# "));
        let script = lines.collect::<Vec<_>>().join("\n");
        let mut shell = Command::new(shell)
            .args(["-e", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{script}\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Ends it as a service manager would, and answers its exit code.
    fn end(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh")
                .args(["-c", &format!("kill -TERM {pid}")])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_printed_lines_work_when_pasted() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let mut demo = Demo::start(&data, port);
    for comment in demo.printed.lines().filter(|line| line.starts_with('#')) {
        // An interactive zsh takes a comment for a command: it must be a harmless one.
        let harmless = |c: char| c.is_ascii_alphanumeric() || " #:,./-".contains(c);
        assert!(comment.chars().all(harmless), "{comment}");
    }
    let said = demo.paste("sh");
    assert_eq!(
        said.matches("\"access_token\"").count(),
        2,
        "a token for each dataflow: {said}"
    );
    assert_eq!(said.matches("\"active\":true").count(), 2, "{said}");
    assert_eq!(said.matches("HTTP 200").count(), 2, "{said}");
    assert_eq!(said.matches("HTTP 401").count(), 2, "{said}");
    assert!(said.contains("\"resourceType\":\"Bundle\""), "{said}");
    demo.paste("bash");
    assert_eq!(demo.end(), Some(0), "SIGTERM ends it well");
    // The next start prints the same again, and the same lines work.
    let again = Demo::start(&data, port);
    assert_eq!(again.printed, demo.printed);
    again.paste("sh");
}

#[test]
fn a_demo_does_not_touch_what_is_not_its_own() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("patients.db"), "precious").unwrap();
    let refused = command(dir.path(), two_ports()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("demo"));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing was made"
    );
    // A port that is taken is named before anything is made.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = dir.path().join("new");
    let refused = command(&data, taken.local_addr().unwrap().port())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--port"));
    assert!(!data.exists());
}

/// The systems around the authorization server, as a client that trusts the demo's authority meets them.
struct Site {
    http: reqwest::Client,
    port: u16,
    secrets: toml::Table,
}

impl Site {
    fn of(data: &Path, port: u16) -> Self {
        let secrets = std::fs::read_to_string(data.join("demo.toml"))
            .unwrap()
            .parse()
            .unwrap();
        Self {
            http: client(&data.join("ca.pem")),
            port,
            secrets,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port + 1)
    }

    /// A token by client credentials; `secret` is its key in the file of secrets.
    async fn token(&self, client_id: &str, secret: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = self
            .http
            .post(format!("https://localhost:{}/oauth2/token", self.port))
            .form(&form);
        let request = request.basic_auth(client_id, self.secrets[secret].as_str());
        Answer::read(request.send().await.unwrap())
            .await
            .str("access_token")
            .to_owned()
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        let mut request = self.http.get(self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    async fn post(&self, path: &str, token: &str, body: String) -> Answer {
        let request = self.http.post(self.url(path)).bearer_auth(token).body(body);
        Answer::read(request.send().await.unwrap()).await
    }
}

#[tokio::test]
async fn the_stubs_ask_about_each_token_and_look_at_its_scopes() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let _demo = Demo::start(&data, port);
    let site = Site::of(&data, port);
    let reader = site
        .token("demo-case-system", "case_system", "system/Composition.rs")
        .await;
    let stranger = site
        .token("demo-case-system", "case_system", "system/Patient.rs")
        .await;
    let lims = site
        .token("demo-lims", "lims", "system/MessageHeader.c system/Bundle.c")
        .await;
    let (search, lookup) = (
        "/edrs/fhir/Composition?subject=Patient/1",
        "/edrs/fhir/Composition/$document",
    );
    // URL, token, status, what WWW-Authenticate says (RFC 6750 section 3).
    let rows = [
        (search, Some(&reader), 200, ""),
        (lookup, Some(&reader), 200, ""),
        (search, None, 401, "Bearer realm=\"Demo EDRS\""),
        (search, Some(&stranger), 403, "error=\"insufficient_scope\""),
        (lookup, Some(&stranger), 403, "error=\"insufficient_scope\""),
        // A token for the CMS is nothing at the EDRS.
        (lookup, Some(&lims), 401, "error=\"invalid_token\""),
        ("/edrs/fhir/Patient", Some(&reader), 404, ""),
    ];
    for (path, token, status, challenge) in rows {
        let answer = site.get(path, token.map(String::as_str)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        let said = answer.header("WWW-Authenticate");
        assert!(
            said.contains(challenge) && said.is_empty() == challenge.is_empty(),
            "{path}: {said}"
        );
        let kind = if status == 200 {
            "Bundle"
        } else {
            "OperationOutcome"
        };
        assert_eq!(answer.str("resourceType"), kind, "{path}");
        assert_eq!(answer.header("Content-Type"), "application/fhir+json");
    }
    let bare = site.get(search, None).await;
    assert!(
        !bare.header("WWW-Authenticate").contains("error"),
        "who brings no token is told no error"
    );
}

#[tokio::test]
async fn the_cms_takes_messages_and_nothing_else() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let _demo = Demo::start(&data, port);
    let site = Site::of(&data, port);
    let token = site
        .token("demo-lims", "lims", "system/MessageHeader.c system/Bundle.c")
        .await;
    let message = |kind: &str| {
        let header = json!({ "resourceType": "MessageHeader", "id": "m-7", "eventCoding": { "code": "tox-result-report" } });
        json!({ "resourceType": "Bundle", "type": kind, "entry": [{ "resource": header }] }).to_string()
    };
    let rows = [
        (message("message"), 200),
        (message("collection"), 400),
        ("{}".to_owned(), 400),
        ("not JSON".to_owned(), 400),
        (" ".repeat(64 * 1024 + 1), 413),
    ];
    for (body, status) in rows {
        let answer = site
            .post("/cms/fhir/$process-message", &token, body.clone())
            .await;
        assert_eq!(answer.status, status, "{}: {}", body.trim(), answer.text);
        if status == 200 {
            let header = &answer.json["entry"][0]["resource"];
            assert_eq!(
                header["response"],
                json!({ "identifier": "m-7", "code": "ok" }),
                "FHIR R4 MessageHeader"
            );
            assert_eq!(header["eventCoding"]["code"], "tox-result-report");
        }
    }
}

#[tokio::test]
async fn the_stubs_say_where_their_tokens_come_from() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let _demo = Demo::start(&data, port);
    let site = Site::of(&data, port);
    let issuer = format!("https://localhost:{port}");
    for (base, id) in [("/edrs/fhir", "demo-edrs"), ("/cms/fhir", "demo-cms")] {
        let statement = site.get(&format!("{base}/metadata"), None).await.json;
        assert_eq!(statement["resourceType"], "CapabilityStatement");
        let security = &statement["rest"][0]["security"];
        assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
        let uris = security["extension"][0]["extension"].as_array().unwrap();
        let token = uris.iter().find(|uri| uri["url"] == "token").unwrap();
        assert_eq!(token["valueUri"], format!("{issuer}/oauth2/token"));
        // SMART App Launch 2.2: the document of the base is the authorization server's.
        let redirect = site
            .get(&format!("{base}/.well-known/smart-configuration"), None)
            .await;
        assert_eq!(redirect.status, 302);
        let document = site.http.get(redirect.header("Location")).send().await.unwrap();
        let document: Value = document.json().await.unwrap();
        assert_eq!(document["issuer"], issuer, "{id}");
        assert_eq!(
            redirect.header("Location"),
            format!("{issuer}/fhir/{id}/smart-configuration")
        );
    }
}

#[tokio::test]
async fn the_case_system_takes_no_answer_that_it_did_not_ask_for() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let _demo = Demo::start(&data, port);
    let site = Site::of(&data, port);
    let begun = site.get("/cms/sign-in", None).await;
    assert_eq!(begun.status, 303);
    let cookie = begun.header("Set-Cookie");
    for wanted in ["__Host-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(wanted), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let state = cookie.split_once('=').unwrap().1.split('.').next().unwrap();
    let issuer = format!("https://localhost:{port}");
    let rows = [
        (
            None,
            format!("code=x&state={state}&iss={issuer}"),
            "begun no sign-in",
        ),
        (Some(cookie), format!("code=x&state=other&iss={issuer}"), "state"),
        // RFC 9207: a code of another server is not sent to ours.
        (
            Some(cookie),
            format!("code=x&state={state}&iss=https://evil.example"),
            "iss",
        ),
        (
            Some(cookie),
            format!("code=x&state={state}&iss={issuer}"),
            "could not be redeemed",
        ),
        (
            Some(cookie),
            format!("error=access_denied&state={state}&iss={issuer}"),
            "access_denied",
        ),
    ];
    for (cookie, query, said) in rows {
        let mut request = site.http.get(site.url(&format!("/cms/cb?{query}")));
        if let Some(cookie) = cookie {
            request = request.header("Cookie", cookie);
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text.contains(said), "{query}: {}", answer.text);
        assert!(!answer.header("Content-Security-Policy").contains("unsafe"));
    }
}

#[cfg(unix)]
#[test]
fn the_secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let data = dir.path().join("demo");
    let demo = Demo::start(&data, two_ports());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("demo.toml")), 0o600);
    assert_eq!(mode(&data), 0o700);
    drop(demo);
    // A damaged file stops the demo, and none of it is shown.
    std::fs::write(data.join("demo.toml"), "edrs = \"hush\"").unwrap();
    let refused = command(&data, two_ports()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("demo.toml") && !said.contains("hush"), "{said}");
}
