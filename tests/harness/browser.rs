//! A real browser: Chromium by its driver, with our own authority among those it trusts, so that everything works that
//! browsers keep for trusted sites (WebAuthn).

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, Key};

use crate::support::{PATIENCE, TempDir, eventually, eventually_blocking};

/// A browser with its driver; both end with it.
pub struct Browser {
    driver: Child,
    url: String,
    /// Where the browser is at home: profiles, and the authorities it trusts.
    home: TempDir,
}

impl Browser {
    /// A browser that trusts the authority of this file besides the system's.
    pub fn start(ca_file: &Path) -> Self {
        let home = TempDir::new();
        trust(home.path(), ca_file);
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed: tests/run installs it");
        let look = || TcpStream::connect(("127.0.0.1", port));
        eventually_blocking("chromedriver", look, Result::is_ok).unwrap();
        Self {
            driver,
            url: format!("http://127.0.0.1:{port}"),
            home,
        }
    }

    /// A window of a width, with scripts or without.
    pub async fn window(&self, width: u32, scripts: bool) -> WebDriver {
        let mut capabilities: ChromeCapabilities = DesiredCapabilities::chrome();
        let profile = self.home.path().join(format!("{width}-{scripts}"));
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
        capabilities
            .add_experimental_option(
                "mobileEmulation",
                json!({ "deviceMetrics": { "width": width, "height": 900, "pixelRatio": 1.0 } }),
            )
            .unwrap();
        if !scripts {
            let preferences = json!({ "profile.managed_default_content_settings.javascript": 2 });
            capabilities
                .add_experimental_option("prefs", preferences)
                .unwrap();
        }
        capabilities
            .set("goog:loggingPrefs", json!({ "browser": "ALL" }))
            .unwrap();
        let window = WebDriver::new(&self.url, capabilities).await.unwrap();
        // axe reads whole pages.
        window.set_script_timeout(PATIENCE).await.unwrap();
        window
    }

    /// What the console says: errors and warnings.
    pub async fn log(&self, window: &WebDriver) -> Value {
        self.command(window, "se/log", json!({ "type": "browser" })).await
    }

    /// Gives a window an authenticator that verifies its user and keeps passkeys (WebAuthn Level 2 §11). Answers its id.
    pub async fn add_authenticator(&self, window: &WebDriver) -> String {
        let wanted = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
        });
        self.command(window, "webauthn/authenticator", wanted)
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A command of the driver that the library does not have.
    async fn command(&self, window: &WebDriver, path: &str, body: Value) -> Value {
        let url = format!("{}/session/{}/{path}", self.url, window.session_id());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{answer}");
        answer["value"].take()
    }
}

/// Puts an authority into the database of the browser's home (NSS), for it reads no other.
fn trust(home: &Path, ca_file: &Path) {
    let folder = home.join(".pki/nssdb");
    std::fs::create_dir_all(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .output();
        let output = output.expect("certutil is needed: tests/run installs it");
        assert!(
            output.status.success(),
            "certutil {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    certutil(&["-N", "--empty-password"]);
    certutil(&[
        "-A",
        "-n",
        "MDI Auth test",
        "-t",
        "C,,",
        "-i",
        ca_file.to_str().unwrap(),
    ]);
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Presses Tab until the element with this id has the focus.
pub async fn tab_to(window: &WebDriver, id: &str) -> WebElement {
    for _ in 0..40 {
        window.action_chain().send_keys(Key::Tab).perform().await.unwrap();
        let active = window.active_element().await.unwrap();
        if active.id().await.unwrap().as_deref() == Some(id) {
            return active;
        }
    }
    panic!("no Tab leads to {id}: {}", window.source().await.unwrap());
}

/// Sends keys to what has the focus.
pub async fn press(window: &WebDriver, keys: impl Into<TypingData>) {
    window.action_chain().send_keys(keys).perform().await.unwrap();
}

/// The pages that were looked at.
static LOOKED_AT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Looks at a page on a telephone and at a desk, by day and by night: nothing wider than the window, nothing that axe
/// objects to; with `SCREENSHOTS` in the environment, pictures below `target/tmp/screenshots`. Without scripts only those.
/// A page is looked at once in a run: a database changes nothing of how it looks.
pub async fn look(window: &WebDriver, name: &str, scripts: bool) {
    if !LOOKED_AT.lock().unwrap().insert(name.to_owned()) {
        return;
    }
    let cdp = |method: &'static str, parameters: Value| async move {
        window
            .cdp()
            .send_raw(method, parameters)
            .await
            .unwrap_or_else(|cause| panic!("{method}: {cause}"))
    };
    let resize = |width: u64| {
        cdp(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": true }),
        )
    };
    let before = cdp("Page.getLayoutMetrics", json!({})).await["cssLayoutViewport"]["clientWidth"]
        .as_u64()
        .unwrap();
    // Only for those who look: now and then Chromium never answers when it is asked for a picture.
    let pictures = std::env::var_os("SCREENSHOTS").is_some();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    for width in [375, 1280] {
        resize(width).await;
        for theme in ["light", "dark"] {
            let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
            cdp("Emulation.setEmulatedMedia", feature).await;
            if pictures {
                let picture = cdp("Page.captureScreenshot", json!({ "captureBeyondViewport": true })).await;
                let picture = data_encoding::BASE64
                    .decode(picture["data"].as_str().unwrap().as_bytes())
                    .unwrap();
                std::fs::write(folder.join(format!("{name}-{width}-{theme}.png")), picture).unwrap();
            }
            if scripts {
                let wider =
                    "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
                let wider: bool = window
                    .execute(wider, Vec::new())
                    .await
                    .unwrap()
                    .convert()
                    .unwrap();
                assert!(!wider, "{name} is wider than a window of {width}");
                let rules = match (width, theme) {
                    (_, "light") => json!({ "type": "tag", "values": TAGS }),
                    // What is only dark differs in its colours alone.
                    (1280, _) => json!({ "type": "rule", "values": ["color-contrast"] }),
                    _ => continue,
                };
                assert_eq!(
                    objections(window, rules).await,
                    [""; 0],
                    "{name} at {width}, {theme}"
                );
            }
        }
    }
    cdp("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    resize(before).await;
}

/// What axe looks for: WCAG 2.2 AA and its own good practice.
const TAGS: [&str; 6] = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
];

/// What axe finds on the page by some of its rules.
async fn objections(window: &WebDriver, rules: Value) -> Vec<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("axe-core-4.14.1/axe.min.js");
    let known: bool = window
        .execute("return 'axe' in window", Vec::new())
        .await
        .unwrap()
        .convert()
        .unwrap();
    if !known {
        let axe = std::fs::read_to_string(&file)
            .unwrap_or_else(|cause| panic!("{}: {cause}; tests/run fetches it", file.display()));
        window.execute(axe, Vec::new()).await.unwrap();
    }
    let run = r#"
        const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: arguments[0], resultTypes: ["violations"], preload: false }).then(
            (found) => done(found.violations.map((rule) =>
                `${rule.id}: ${rule.help}: ${rule.nodes.map((node) => node.html + " " + node.failureSummary).join(" | ")}`)),
            (cause) => done([`axe failed: ${cause}`]),
        );
    "#;
    window
        .execute_async(run, vec![rules])
        .await
        .unwrap()
        .convert()
        .unwrap()
}

/// Waits until the address contains `what`.
pub async fn wait_for(window: &WebDriver, what: &str) {
    let look = async || {
        let url = window.current_url().await.unwrap();
        (url.to_string(), window.source().await.unwrap_or_default())
    };
    eventually(what, look, |(url, _)| url.contains(what)).await;
}
