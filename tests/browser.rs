//! A real browser: a person signs in, consents and lands at the client, with the keyboard alone and without scripts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use thirtyfour::prelude::*;
use thirtyfour::{CapabilitiesHelper, ChromeCapabilities, Key};

use crate::demo::{Demo, two_ports};
use crate::harness::agent::totp;
use crate::harness::{Db, EDRS_BASE, Harness, PASSWORD};
use crate::support::TempDir;

/// A browser with its driver; both end with it.
struct Browser {
    driver: Child,
    url: String,
    profile: TempDir,
}

impl Browser {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed: tests/run installs it");
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "chromedriver does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { driver, url: format!("http://127.0.0.1:{port}"), profile: TempDir::new() }
    }

    /// A window of a width, with scripts or without.
    async fn window(&self, width: u32, scripts: bool) -> WebDriver {
        let mut capabilities: ChromeCapabilities = DesiredCapabilities::chrome();
        let profile = self.profile.path().join(format!("{width}-{scripts}"));
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.display()),
        ] {
            capabilities.add_arg(argument).unwrap();
        }
        capabilities.accept_insecure_certs(true).unwrap();
        capabilities
            .add_experimental_option(
                "mobileEmulation",
                json!({ "deviceMetrics": { "width": width, "height": 900, "pixelRatio": 1.0 } }),
            )
            .unwrap();
        if !scripts {
            let preferences = json!({ "profile.managed_default_content_settings.javascript": 2 });
            capabilities.add_experimental_option("prefs", preferences).unwrap();
        }
        capabilities.set("goog:loggingPrefs", json!({ "browser": "ALL" })).unwrap();
        WebDriver::new(&self.url, capabilities).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The client's side of the redirect: answers every request with a line of text.
fn listening_client() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = "<!doctype html><link rel=icon href=data:,><title>Case system</title>Signed in.";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

const NATIVE_CLIENT: &str = r#"
[[client]]
client_id = "desk-cms"
name = "Fulton County CMS (desktop)"
dataflow = "cms-user-to-edrs"
auth_method = "none"
organization = { name = "Fulton County Medical Examiner" }
redirect_uris = ["http://127.0.0.1/cb"]
resource_servers = ["edrs-ga"]
"#;

fn authorize_url(harness: &Harness, port: u16, response_mode: &str) -> String {
    let redirect_uri = format!("http://127.0.0.1:{port}/cb");
    let parameters = [
        ("response_type", "code"),
        ("client_id", "desk-cms"),
        ("redirect_uri", &redirect_uri),
        (
            "scope",
            "openid profile fhirUser user/Composition.crus user/Patient.rs user/Specimen.rs __mdi.certify offline_access",
        ),
        ("state", "xyz"),
        ("aud", EDRS_BASE),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("response_mode", response_mode),
    ];
    url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters).unwrap().into()
}

/// Presses Tab until the element with this id has the focus.
async fn tab_to(window: &WebDriver, id: &str) -> WebElement {
    for _ in 0..40 {
        window.action_chain().send_keys(Key::Tab).perform().await.unwrap();
        let active = window.active_element().await.unwrap();
        if active.id().await.unwrap().as_deref() == Some(id) {
            return active;
        }
    }
    panic!("no Tab leads to {id}: {}", window.source().await.unwrap());
}

async fn press(window: &WebDriver, keys: impl Into<TypingData>) {
    window.action_chain().send_keys(keys).perform().await.unwrap();
}

/// Looks at a page: nothing wider than the window; a picture for those who look.
async fn look(window: &WebDriver, name: &str, scripts: bool) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    window.screenshot(&folder.join(format!("{name}.png"))).await.unwrap();
    if scripts {
        let wider = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        let wider: bool = window.execute(wider, Vec::new()).await.unwrap().convert().unwrap();
        assert!(!wider, "{name} is wider than its window");
    }
}

async fn wait_for(window: &WebDriver, what: &str) {
    let begun = Instant::now();
    while !window.current_url().await.unwrap().as_str().contains(what) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "still at {}: {}",
            window.current_url().await.unwrap(),
            window.source().await.unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn sign_in(harness: &Harness, window: &WebDriver, port: u16, response_mode: &str, name: &str, scripts: bool) {
    window.goto(authorize_url(harness, port, response_mode)).await.unwrap();
    look(window, &format!("{name}-login"), scripts).await;
    // A wrong password first: the summary has the focus, what was typed is kept.
    tab_to(window, "username").await;
    press(window, "jlehz").await;
    tab_to(window, "password").await;
    press(window, format!("wrong{}", Key::Enter.value())).await;
    window.query(By::Css("[role=alert]")).first().await.unwrap();
    look(window, &format!("{name}-login-error"), scripts).await;
    let password = tab_to(window, "password").await;
    password.send_keys(format!("{PASSWORD}{}", Key::Enter.value())).await.unwrap();
    wait_for(window, "/login/second-factor").await;
    look(window, &format!("{name}-second-factor"), scripts).await;
    tab_to(window, "totp").await;
    press(window, format!("{}{}", totp(harness.now()), Key::Enter.value())).await;
    wait_for(window, "/consent").await;
    look(window, &format!("{name}-consent"), scripts).await;
    tab_to(window, "consent-approve").await;
    press(window, Key::Enter.value().to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_the_keyboard_alone() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(NATIVE_CLIENT);
    let (browser, port) = (Browser::start(), listening_client());
    for (width, scripts) in [(375, false), (1280, true)] {
        let window = browser.window(width, scripts).await;
        sign_in(&harness, &window, port, "query", &format!("{width}"), scripts).await;
        wait_for(&window, &format!("127.0.0.1:{port}/cb?code=")).await;
        let landed = window.current_url().await.unwrap();
        let parameter =
            |name: &str| landed.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        assert_eq!(parameter("state").as_deref(), Some("xyz"));
        assert_eq!(parameter("iss").as_deref(), Some(harness.issuer.as_str()));
        if scripts {
            let log: serde_json::Value = log_of(&window, &browser.url).await;
            assert_eq!(log, json!([]), "the console has nothing to complain about");
        }
        window.quit().await.unwrap();
        harness.clock.advance(30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_posted_by_itself_with_scripts() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(NATIVE_CLIENT);
    let (browser, port) = (Browser::start(), listening_client());
    let window = browser.window(1280, true).await;
    sign_in(&harness, &window, port, "form_post", "form-post", true).await;
    wait_for(&window, &format!("127.0.0.1:{port}/cb")).await;
    assert_eq!(window.current_url().await.unwrap().query(), None, "the code is in the body, not in the URL");
    window.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_ends_at_a_page_that_says_so() {
    let harness = Harness::start(Db::Sqlite);
    let browser = Browser::start();
    let window = browser.window(375, true).await;
    window
        .goto(harness.url("/oauth2/authorize?client_id=fulton-cms&redirect_uri=https%3A%2F%2Fevil.example"))
        .await
        .unwrap();
    look(&window, "375-error", true).await;
    assert!(window.title().await.unwrap().contains("MDI Auth"));
    let text = window.find(By::Tag("main")).await.unwrap().text().await.unwrap();
    assert!(text.contains("redirect_uri") && text.to_lowercase().contains("reference"), "{text}");
    assert!(!text.contains("evil.example"));
    window.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_sign_in_from_end_to_end() {
    let dir = TempDir::new();
    let port = two_ports();
    let demo = Demo::start(&dir.path().join("demo"), port);
    let row = demo.printed.lines().find(|line| line.contains("examiner")).unwrap();
    let mut words = row.split_whitespace();
    let (username, password) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let browser = Browser::start();
    let window = browser.window(1280, true).await;
    let site = format!("https://localhost:{}", port + 1);
    window.goto(format!("{site}/code")).await.unwrap();
    look(&window, "demo-code", true).await;
    window.goto(format!("{site}/cms/")).await.unwrap();
    look(&window, "demo-start", true).await;
    window.find(By::Id("demo-sign-in")).await.unwrap().click().await.unwrap();
    wait_for(&window, "/login").await;
    window.find(By::Id("username")).await.unwrap().send_keys(&username).await.unwrap();
    window.find(By::Id("password")).await.unwrap().send_keys(&password).await.unwrap();
    window.find(By::Id("login-submit")).await.unwrap().click().await.unwrap();
    wait_for(&window, "/login/second-factor").await;
    let code = code_of_now(&window, &site, &username).await;
    window.find(By::Id("totp")).await.unwrap().send_keys(code).await.unwrap();
    window.find(By::Id("totp-submit")).await.unwrap().click().await.unwrap();
    wait_for(&window, "/consent").await;
    window.find(By::Id("consent-approve")).await.unwrap().click().await.unwrap();
    wait_for(&window, "/cms/cb").await;
    look(&window, "demo-signed-in", true).await;
    let facts = window.find(By::ClassName("facts")).await.unwrap().text().await.unwrap();
    assert!(facts.contains("Roles") && facts.contains("password and one-time code"), "{facts}");
    let told = window.find(By::Id("introspection")).await.unwrap().text().await.unwrap();
    assert!(told.contains("\"active\": true") && told.contains("medical-examiner"), "{told}");
    let answered = window.find(By::Id("edrs-answer")).await.unwrap().text().await.unwrap();
    assert!(answered.contains("Bundle"), "{answered}");
    window.quit().await.unwrap();
}

/// Reads the code in another tab, as a person would, and comes back.
async fn code_of_now(window: &WebDriver, site: &str, username: &str) -> String {
    let here = window.window().await.unwrap();
    let tab = window.new_tab().await.unwrap();
    window.switch_to_window(tab).await.unwrap();
    window.goto(format!("{site}/code")).await.unwrap();
    let code = window.find(By::Id(format!("code-{username}"))).await.unwrap().text().await.unwrap();
    window.close_window().await.unwrap();
    window.switch_to_window(here).await.unwrap();
    code
}

/// What the console says: errors and warnings (chromedriver's own endpoint).
async fn log_of(window: &WebDriver, driver: &str) -> serde_json::Value {
    let session = window.session_id().to_string();
    let answer = reqwest::Client::new()
        .post(format!("{driver}/session/{session}/se/log"))
        .json(&json!({ "type": "browser" }))
        .send();
    let answer: serde_json::Value = answer.await.unwrap().json().await.unwrap();
    answer["value"].clone()
}
