//! The samples of the hand-off sheet, run as a vendor would run them: copied from the page, with a secret or a key in the
//! place that they name; and programs that generators make of the admin API's document. `tests/consumers/run` installs what
//! they need. C# is not run: no source of packages that a test may use has .NET.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mdi_auth::audit::event::{Actor, Kind};
use mdi_auth::store::audit;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData};
use serde_json::{Value, json};

use crate::console::{STAFF, at_console, text_of};
use crate::harness::agent::{Agent, Page};
use crate::harness::{CALLBACK, CMS, Db, EDRS, Harness, PASSWORD};
use crate::support::{TempDir, eventually};

const SECRET: &str = "kV7q-2bT9zXw4LmR8sYc1NdF6hJp0GaE";

/// How a client proves itself, and the lines of its registration that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Basic,
    Form,
    Key,
    Public,
}

/// A vendor's machine: a directory with the authority, the key and nothing else.
struct Vendor {
    dir: TempDir,
    key: KeyPair,
}

impl Vendor {
    async fn new(harness: &Harness) -> Self {
        let (dir, key) = (
            TempDir::new(),
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        );
        let authority = std::fs::read_to_string(&harness.ca_file).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority).unwrap();
        std::fs::write(dir.path().join("private-key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("public-key.pem"), key.public_key_pem()).unwrap();
        Self { dir, key }
    }

    fn jwks(&self) -> String {
        let point = &self.key.der_bytes()[1..];
        let encoded = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let (x, y) = (encoded(&point[..48]), encoded(&point[48..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-384", "kid": "k1", "x": x, "y": y }] }).to_string()
    }

    /// Lines of the registration of a client.
    fn registration(&self, proof: Proof) -> String {
        match proof {
            Proof::Basic => format!("auth_method = \"client_secret_basic\"\nsecret = \"{SECRET}\"\n"),
            Proof::Form => format!("auth_method = \"client_secret_post\"\nsecret = \"{SECRET}\"\n"),
            Proof::Key => format!("auth_method = \"private_key_jwt\"\njwks = {:?}\n", self.jwks()),
            Proof::Public => "auth_method = \"none\"\n".to_owned(),
        }
    }

    fn assertion(&self, client_id: &str, harness: &Harness) -> String {
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap();
        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(Algorithm::ES384)
        };
        let now = harness.now();
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": harness.url("/oauth2/token"),
            "jti": format!("{now}-{client_id}-sh"), "iat": now, "exp": now + 240,
        });
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    /// A trust store of Java with our authority alone.
    fn trust_store(&self) -> PathBuf {
        let store = self.dir.path().join("trust.p12");
        if !store.exists() {
            let imported = self
                .command("keytool")
                .args([
                    "-importcert",
                    "-noprompt",
                    "-alias",
                    "mdi-auth",
                    "-file",
                    "ca.pem",
                ])
                .args([
                    "-keystore",
                    "trust.p12",
                    "-storetype",
                    "PKCS12",
                    "-storepass",
                    "changeit",
                ])
                .output()
                .unwrap();
            assert!(imported.status.success(), "{imported:?}");
        }
        store
    }

    fn java_options(&self) -> String {
        format!(
            "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit",
            self.trust_store().display()
        )
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("MDI_CLIENT_SECRET", SECRET);
        command
    }

    /// Writes a sample down as the vendor would: with its own key's name.
    fn write(&self, file: &str, sample: &str) {
        let text = sample.replace("the kid of your key", "k1");
        std::fs::write(self.dir.path().join(file), text).unwrap();
    }
}

/// Where what others wrote is kept between runs.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("consumers")
        .join(name)
}

fn done(output: Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{what}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Python with the packages that the samples name.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let home = kept("python");
        let python = home.join("bin/python");
        let installed = home.join("installed");
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).unwrap();
        if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
            done(
                Command::new("python3")
                    .args(["-m", "venv"])
                    .arg(&home)
                    .output()
                    .unwrap(),
                "venv",
            );
            let install = Command::new(&python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                ])
                .arg(requirements)
                .output();
            done(install.unwrap(), "pip");
            std::fs::write(installed, wanted).unwrap();
        }
        python
    })
}

/// The libraries that the Java sample with a key names.
fn java_libraries() -> &'static Path {
    static LIBRARIES: OnceLock<PathBuf> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let to = kept("java");
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/java/pom.xml");
        let copied = Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-f"])
            .arg(pom)
            .arg(format!("-DoutputDirectory={}", to.display()))
            .output();
        done(copied.unwrap(), "mvn");
        to
    })
}

/// The samples of a client's sheet, by their titles.
async fn samples(harness: &Harness, agent: &mut Agent<'_>, client_id: &str) -> Vec<(String, String)> {
    let sheet = agent
        .get(&harness.url(&format!("/admin/clients/{client_id}/hand-off")))
        .await;
    let count = sheet.answer().text.matches("<pre class=\"sample\"").count();
    (1..=count)
        .map(|n| {
            (
                text_of(&sheet, &format!("sample-title-{n}")),
                text_of(&sheet, &format!("sample-{n}")),
            )
        })
        .collect()
}

/// A server with its staff, told the real time, and a vendor.
async fn start() -> (Harness, Vendor) {
    let harness = Harness::start(Db::Sqlite);
    harness.real_time();
    harness.apply(STAFF);
    let vendor = Vendor::new(&harness).await;
    (harness, vendor)
}

/// Systems: every sample, with every way to prove oneself, gets a token that the FHIR server finds active.
#[tokio::test]
#[ignore = "needs Java, Maven and Python: tests/consumers/run"]
async fn every_sample_for_systems_gets_a_token() {
    let (harness, vendor) = start().await;
    let mut admin = at_console(&harness, "admin").await;
    for proof in [Proof::Basic, Proof::Form, Proof::Key] {
        let id = format!("lab-{proof:?}").to_lowercase();
        harness.apply(&format!(
            "[[client]]\nclient_id = \"{id}\"\nname = \"Laboratory\"\ndataflow = \"lims-to-cms\"\nresource_servers = [\"cms-fulton\"]\n{}",
            vendor.registration(proof)
        ));
        for (title, sample) in samples(&harness, &mut admin, &id).await {
            let what = format!("{title}, {proof:?}");
            let output = match title.as_str() {
                "curl" => {
                    let assertion = vendor.assertion(&id, &harness);
                    vendor
                        .command("sh")
                        .args(["-c", &sample])
                        .env("MDI_ASSERTION", assertion)
                        .output()
                        .unwrap()
                }
                "Python" => {
                    vendor.write("sample.py", &format!("{sample}\nprint(answer.text)\n"));
                    vendor.command(python()).arg("sample.py").output().unwrap()
                }
                "Java" => {
                    vendor.write("Token.java", &sample);
                    let mut command = vendor.command("java");
                    command.env("JDK_JAVA_OPTIONS", vendor.java_options());
                    if proof == Proof::Key {
                        command
                            .arg("-cp")
                            .arg(format!("{}/*", java_libraries().display()));
                    }
                    command.arg("Token.java").output().unwrap()
                }
                "C#" => continue,
                other => panic!("nobody runs the sample {other}"),
            };
            let said = done(output, &what);
            let answer: Value =
                serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{what}: {said}"));
            let token = answer["access_token"]
                .as_str()
                .unwrap_or_else(|| panic!("{what}: {said}"));
            assert_eq!(harness.introspect(CMS, token).await["active"], true, "{what}");
        }
    }
}

/// Signs in and allows all, where a sample has sent the browser: the address that the browser is sent back to.
async fn sent_back(agent: &mut Agent<'_>, url: &str) -> String {
    let login = agent.get(url).await;
    let page = match login.at() {
        "/login" => agent.sign_in(login, "jlehz", PASSWORD).await,
        _ => login,
    };
    let done = match page {
        Page::Elsewhere(_) => page,
        Page::Ours { .. } => agent.approve(&page).await,
    };
    done.elsewhere().to_string()
}

fn people_client(vendor: &Vendor, proof: Proof) -> String {
    format!(
        "[[client]]\nclient_id = \"cases-{0}\"\nname = \"Case system {0}\"\ndataflow = \"cms-user-to-edrs\"\nresource_servers = [\"edrs-ga\"]\n\
         redirect_uris = [\"{CALLBACK}\"]\n{1}",
        format!("{proof:?}").to_lowercase(),
        vendor.registration(proof)
    )
}

/// People: the samples in a shell and in Python exchange the code of somebody who has signed in.
#[tokio::test]
#[ignore = "needs Java, Maven and Python: tests/consumers/run"]
async fn the_samples_for_people_exchange_a_code() {
    let (harness, vendor) = start().await;
    let mut admin = at_console(&harness, "admin").await;
    let mut agent = Agent::new(&harness);
    for proof in [Proof::Basic, Proof::Form, Proof::Key, Proof::Public] {
        harness.apply(&people_client(&vendor, proof));
        let id = format!("cases-{proof:?}").to_lowercase();
        let samples = samples(&harness, &mut admin, &id).await;
        let sample = |wanted: &str| &samples.iter().find(|(title, _)| title == wanted).unwrap().1;
        // The shell: the address of the first line, with our own state, nonce and challenge.
        let shell = sample("curl");
        let line = shell
            .lines()
            .find(|line| line.starts_with("#    https://"))
            .unwrap();
        let url = line.trim_start_matches("#    ");
        let url = url
            .replace("CODE_CHALLENGE", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
            .replace(
                "=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM_method",
                "=CODE_CHALLENGE_METHOD",
            );
        let back = sent_back(&mut agent, &url).await;
        let code = url::Url::parse(&back).unwrap();
        let code = code
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap_or_else(|| panic!("{back}"))
            .1
            .into_owned();
        let output = vendor
            .command("sh")
            .args(["-c", shell])
            .env("CODE", code)
            .env("CODE_VERIFIER", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
            .env("MDI_ASSERTION", vendor.assertion(&id, &harness))
            .output();
        assert_active(&harness, &done(output.unwrap(), &format!("curl, {proof:?}"))).await;
        // Python: the two lines of the comment are the rest of the program.
        let python_sample = sample("Python");
        let (program, rest) = python_sample.split_once("# Send the browser to url").unwrap();
        let rest: String = rest
            .lines()
            .skip(1)
            .map(|line| format!("{}\n", line.trim_start_matches("# ")))
            .collect();
        let rest = rest.replace("the_whole_address", "input()");
        vendor.write(
            "people.py",
            &format!("{program}\nprint(url, flush=True)\n{rest}\nimport json\nprint(json.dumps(token))\n"),
        );
        let mut child = vendor
            .command(python())
            .arg("people.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::{BufRead, BufReader, Read, Write};
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        said.read_line(&mut url).unwrap();
        assert!(url.starts_with("https://"), "Python, {proof:?}: {url}");
        let back = sent_back(&mut agent, url.trim()).await;
        writeln!(child.stdin.take().unwrap(), "{back}").unwrap();
        let mut answer = String::new();
        said.read_to_string(&mut answer).unwrap();
        assert!(child.wait().unwrap().success(), "Python, {proof:?}: {answer}");
        assert_active(&harness, &answer).await;
    }
}

async fn assert_active(harness: &Harness, answer: &str) {
    let answer: Value = serde_json::from_str(answer.trim()).unwrap_or_else(|_| panic!("{answer}"));
    let token = answer["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(harness.introspect(EDRS, token).await["active"], true, "{answer}");
    assert!(answer["id_token"].is_string(), "{answer}");
}

/// A Spring Boot application that is ended with the test.
struct Spring {
    child: Child,
    port: u16,
}

impl Drop for Spring {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser at the application: what it knows of the session.
struct Browser {
    http: reqwest::Client,
    port: u16,
    cookie: String,
}

impl Browser {
    /// The status, where it leads, and what it says.
    async fn get(&mut self, path: &str) -> (u16, String, String) {
        let request = self.http.get(format!("http://127.0.0.1:{}{path}", self.port));
        let answer = request.header("Cookie", &self.cookie).send().await.unwrap();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        if let Some(cookie) = header("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        let (status, location) = (answer.status().as_u16(), header("location").unwrap_or_default());
        (status, location, answer.text().await.unwrap())
    }
}

/// Builds the case system of `tests/consumers/spring` with the two samples in it, and starts it.
fn spring(vendor: &Vendor, proof: Proof, settings: &str, program: &str) -> Spring {
    let project = kept(&format!("spring-{proof:?}").to_lowercase());
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/spring");
    std::fs::create_dir_all(project.join("src/main/java")).unwrap();
    std::fs::create_dir_all(project.join("src/main/resources")).unwrap();
    for file in ["pom.xml", "src/main/java/CaseSystem.java"] {
        std::fs::copy(from.join(file), project.join(file)).unwrap();
    }
    let program = program.replace("the kid of your key", "k1");
    std::fs::write(
        project.join("src/main/java/SignIn.java"),
        format!("package example;\n{program}\n"),
    )
    .unwrap();
    std::fs::write(project.join("src/main/resources/application.yml"), settings).unwrap();
    let built = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "package"])
        .current_dir(&project)
        .output();
    done(built.unwrap(), &format!("mvn, {proof:?}"));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = vendor
        .command("java")
        .env("JDK_JAVA_OPTIONS", vendor.java_options())
        .arg("-jar")
        .arg(project.join("target/case-system-1.jar"))
        .arg(format!("--server.port={port}"))
        .arg("--server.address=127.0.0.1")
        .stdout(std::fs::File::create(project.join("log")).unwrap())
        .spawn()
        .unwrap();
    Spring { child, port }
}

/// People: the two samples of Spring Boot, put into an application as they are, sign somebody in.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Java, Maven and Python: tests/consumers/run"]
async fn the_spring_samples_sign_people_in() {
    let (harness, vendor) = start().await;
    let mut admin = at_console(&harness, "admin").await;
    let mut agent = Agent::new(&harness);
    // Each is an application to be built: one of them for each change, all where there is time.
    let proofs: &[Proof] = match std::env::var_os("ALL_CONSUMERS") {
        Some(_) => &[Proof::Basic, Proof::Form, Proof::Key, Proof::Public],
        None => &[Proof::Key],
    };
    for proof in proofs.iter().copied() {
        harness.apply(&people_client(&vendor, proof));
        let id = format!("cases-{proof:?}").to_lowercase();
        let samples = samples(&harness, &mut admin, &id).await;
        let sample = |wanted: &str| &samples.iter().find(|(title, _)| title == wanted).unwrap().1;
        let (settings, program) = (
            sample("Java (Spring Boot), settings"),
            sample("Java (Spring Boot), program"),
        );
        let spring = spring(&vendor, proof, settings, program);
        let mut browser = Browser {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .unwrap(),
            port: spring.port,
            cookie: String::new(),
        };
        let http = browser.http.clone();
        let start = format!("http://127.0.0.1:{}/oauth2/authorization/mdi", spring.port);
        let look = async || {
            http.get(&start)
                .send()
                .await
                .map(|answer| answer.status().as_u16())
        };
        eventually("case system", look, |status| matches!(status, Ok(302)))
            .await
            .unwrap();
        let to = browser.get("/oauth2/authorization/mdi").await.1;
        assert!(to.contains("code_challenge_method=S256"), "{proof:?}: {to}");
        let back = url::Url::parse(&sent_back(&mut agent, &to).await).unwrap();
        let (status, led_to, _) = browser
            .get(&format!("{}?{}", back.path(), back.query().unwrap()))
            .await;
        assert!(status == 302 && !led_to.contains("error"), "{proof:?}: {led_to}");
        let who = browser.get("/who").await.2;
        let lines: Vec<&str> = who.lines().collect();
        assert_eq!((lines.len(), lines[1]), (3, "Jane Lehz, MD"), "{proof:?}: {who}");
        assert_eq!(
            harness.introspect(EDRS, lines[2]).await["active"],
            true,
            "{proof:?}"
        );
    }
}

/// What generators make of the document of the admin API compiles, and registers, lists page by page and changes: in
/// Python (openapi-python-client), and in TypeScript, with its types checked strictly (openapi-typescript, openapi-ts).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node: tests/consumers/run"]
async fn generated_programs_register_list_and_change() {
    let (harness, vendor) = start().await;
    let token = crate::admin_api::token(&harness, "clients");
    let document = harness.get("/admin/api/openapi.json").await;
    assert_eq!(document.status, 200);
    let base = document.json["servers"][0]["url"].as_str().unwrap().to_owned();
    let dir = vendor.dir.path().to_owned();
    std::fs::write(dir.join("openapi.json"), &document.text).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/generators");
    // Python.
    let generate = [
        "-m",
        "openapi_python_client",
        "generate",
        "--path",
        "openapi.json",
        "--output-path",
        "generated",
        "--meta",
        "none",
    ];
    done(
        vendor.command(python()).args(generate).output().unwrap(),
        "openapi-python-client",
    );
    std::fs::copy(from.join("uses.py"), dir.join("uses.py")).unwrap();
    let ran = vendor
        .command(python())
        .args(["uses.py", &base, &token, "ca.pem"])
        .output()
        .unwrap();
    assert_eq!(done(ran, "uses.py").trim(), "done");
    // TypeScript.
    for (name, from, generate) in [
        (
            "typescript",
            from.clone(),
            &["openapi-typescript", "openapi.json", "-o", "schema.d.ts"][..],
        ),
        (
            "typescript-sdk",
            from.join("sdk"),
            &[
                "openapi-ts",
                "-i",
                "openapi.json",
                "-o",
                "client",
                "-p",
                "@hey-api/client-fetch",
                "@hey-api/sdk",
                "@hey-api/typescript",
            ],
        ),
    ] {
        let home = kept(name);
        std::fs::create_dir_all(&home).unwrap();
        for file in ["package.json", "package-lock.json", "tsconfig.json", "uses.ts"] {
            std::fs::copy(from.join(file), home.join(file)).unwrap();
        }
        std::fs::copy(dir.join("openapi.json"), home.join("openapi.json")).unwrap();
        let there = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command
                .current_dir(&home)
                .args(arguments)
                .env("NODE_EXTRA_CA_CERTS", dir.join("ca.pem"));
            done(command.output().unwrap(), &arguments.join(" "))
        };
        there(
            "npm",
            &[
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ],
        );
        there(&format!("node_modules/.bin/{}", generate[0]), &generate[1..]);
        there("node_modules/.bin/tsc", &[]);
        let used = there("node", &["out/uses.js", &base, &token]);
        assert_eq!(used.trim(), "done", "{name}");
    }
}

/// What the server signs of its record is checked by a tool that others wrote: that of Go's checksum database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go: tests/consumers/run"]
async fn the_record_is_proved_to_tools_of_others() {
    let harness = Harness::start(Db::Sqlite);
    harness.app.sealer.seal().await.unwrap();
    let program = crate::admin_api::Program::new(&harness, "audit");
    let logs = program.get("/audit/logs").await;
    let log = &logs.json["items"][0];
    let old = log["checkpoint"].as_str().unwrap();
    for _ in 0..300 {
        let event = harness.app.event(Kind::AuditRead, Actor::Server);
        let write = harness.app.store.write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        write.await.unwrap();
    }
    harness.app.sealer.seal().await.unwrap();
    let event = program.get("/audit/events?kind=client.changed").await.json["items"][0].clone();
    let seq = event["seq"].as_i64().unwrap();
    let inclusion = program.get(&format!("/audit/inclusion-proof?seq={seq}")).await;
    let size = old.lines().nth(1).unwrap();
    let consistency = program
        .get(&format!("/audit/consistency-proof?size={size}"))
        .await;
    let grown = consistency.json["hashes"].as_array().unwrap().iter();
    let grown: Vec<&str> = grown.map(|hash| hash.as_str().unwrap()).collect();
    let dir = TempDir::new();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let row = harness
        .app
        .store
        .read(move |conn| audit::row(conn, audit::id_of(0, seq)));
    let files = [
        file("body", &row.await.unwrap().unwrap().body),
        file("inclusion", inclusion.str("proof")),
        file("old", old),
        file("grown", &grown.join("\n")),
    ];
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/record");
    let key = log["verifier_keys"][0].as_str().unwrap().to_owned();
    let checked = Command::new("go")
        .args(["run", ".", &key])
        .args(files)
        .current_dir(tool)
        .env("GOFLAGS", "-mod=readonly")
        .output()
        .unwrap();
    assert_eq!(done(checked, "go").trim(), "done");
}
