//! A real browser: a person signs in, consents and lands at the client, with the keyboard alone and without scripts.

use std::io::{Read, Write};
use std::net::TcpListener;

use mdi_auth::store::passkeys::{self, StoredPasskey};
use mdi_auth::store::people;
use serde_json::json;
use thirtyfour::Key;
use thirtyfour::prelude::*;

use crate::demo::{Demo, two_ports};
use crate::harness::agent::totp;
use crate::harness::browser::{Browser, look, press, tab_to, wait_for};
use crate::harness::{Db, EDRS_BASE, Harness, PASSWORD};
use crate::support::{TempDir, eventually};

/// The client's side of the redirect: answers every request with a line of text.
pub fn listening_client() -> u16 {
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

pub const NATIVE_CLIENT: &str = r#"
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
    url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters)
        .unwrap()
        .into()
}

async fn sign_in(
    harness: &Harness,
    window: &WebDriver,
    port: u16,
    response_mode: &str,
    name: &str,
    scripts: bool,
) {
    window
        .goto(authorize_url(harness, port, response_mode))
        .await
        .unwrap();
    look(window, &format!("{name}-login"), scripts).await;
    // A wrong password first: the summary has the focus, what was typed is kept.
    tab_to(window, "username").await;
    press(window, "jlehz").await;
    tab_to(window, "password").await;
    press(window, format!("wrong{}", Key::Enter.value())).await;
    window.query(By::Css("[role=alert]")).first().await.unwrap();
    look(window, &format!("{name}-login-error"), scripts).await;
    let password = tab_to(window, "password").await;
    password
        .send_keys(format!("{PASSWORD}{}", Key::Enter.value()))
        .await
        .unwrap();
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
    let (browser, port) = (Browser::start(&harness.ca_file), listening_client());
    for (width, scripts) in [(375, false), (1280, true)] {
        let window = browser.window(width, scripts).await;
        sign_in(
            &harness,
            &window,
            port,
            "query",
            if scripts { "scripts" } else { "no-scripts" },
            scripts,
        )
        .await;
        wait_for(&window, &format!("127.0.0.1:{port}/cb?code=")).await;
        let landed = window.current_url().await.unwrap();
        let parameter = |name: &str| {
            landed
                .query_pairs()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        assert_eq!(parameter("state").as_deref(), Some("xyz"));
        assert_eq!(parameter("iss").as_deref(), Some(harness.issuer.as_str()));
        if scripts {
            assert_eq!(
                browser.log(&window).await,
                json!([]),
                "the console has nothing to complain about"
            );
        }
        window.quit().await.unwrap();
        harness.clock.advance(30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_posted_by_itself_with_scripts() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(NATIVE_CLIENT);
    let (browser, port) = (Browser::start(&harness.ca_file), listening_client());
    let window = browser.window(1280, true).await;
    sign_in(&harness, &window, port, "form_post", "form-post", true).await;
    wait_for(&window, &format!("127.0.0.1:{port}/cb")).await;
    assert_eq!(
        window.current_url().await.unwrap().query(),
        None,
        "the code is in the body, not in the URL"
    );
    window.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_looks_at_what_she_allowed_and_takes_it_back() {
    let dir = TempDir::new();
    let logo = dir.path().join("seal.svg");
    // Styles in the drawing itself, as drawing programs write them.
    let drawing = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 90 40' width='90' height='40'>\
                   <rect width='90' height='40' style='fill:#1f7a4d'/></svg>";
    std::fs::write(&logo, drawing).unwrap();
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.server.name = "Georgia MDI sign-in".to_owned();
        config.server.jurisdiction = Some("Georgia Department of Public Health".to_owned());
        config.server.logo_file = Some(logo);
    });
    harness.apply(NATIVE_CLIENT);
    let (browser, port) = (Browser::start(&harness.ca_file), listening_client());
    let phone = browser.window(375, true).await;
    phone.goto(harness.url("/account")).await.unwrap();
    type_in(&harness, &phone).await;
    wait_for(&phone, "/account").await;
    harness.clock.advance(30);
    let desk = browser.window(1280, true).await;
    sign_in(&harness, &desk, port, "query", "logo", true).await;
    wait_for(&desk, "/cb?code=").await;
    give_a_passkey(&harness).await;
    desk.goto(harness.url("/account")).await.unwrap();
    look(&desk, "account", true).await;
    desk.find(By::Tag("summary"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    look(&desk, "account-passkey", true).await;
    desk.find(By::Css("#applications .row-actions a"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&desk, "/account/applications/end").await;
    look(&desk, "account-end-application", true).await;
    tab_to(&desk, "end-application").await.click().await.unwrap();
    wait_to_read(&desk, "The application can do nothing for you any more.").await;
    desk.find(By::Id("end-others"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_to_read(&desk, "You are signed out everywhere else.").await;
    look(&desk, "account-done", true).await;
    phone.refresh().await.unwrap();
    wait_for(&phone, "/login").await;
    desk.find(By::Id("end-all")).await.unwrap().click().await.unwrap();
    wait_for(&desk, "/account/sessions/end-all").await;
    look(&desk, "account-end-sessions", true).await;
    desk.find(By::Id("end-all-confirm"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_to_read(&desk, "You are signed out").await;
    look(&desk, "signed-out", true).await;
    assert_eq!(
        browser.log(&desk).await,
        json!([]),
        "the console has nothing to complain about"
    );
    desk.goto(harness.url("/nowhere")).await.unwrap();
    look(&desk, "not-found", true).await;
    phone.quit().await.unwrap();
    desk.quit().await.unwrap();
}

/// A passkey that nobody can use, to be looked at.
async fn give_a_passkey(harness: &Harness) {
    let added = harness.app.store.write(|tx| {
        let person = people::find_by_username(tx.conn(), "jlehz")?.unwrap();
        let passkey = StoredPasskey {
            id: "cGFzc2tleQ".to_owned(),
            person_id: person.id,
            name: "Blue security key".to_owned(),
            credential: "{}".to_owned(),
            created_at: person.created_at,
            last_used_at: None,
        };
        passkeys::add(tx.conn(), &passkey)
    });
    assert!(added.await.unwrap());
}

/// Waits until the page says what was done.
async fn wait_to_read(window: &WebDriver, text: &str) {
    let read = async || window.source().await.unwrap_or_default();
    eventually(text, read, |page| page.contains(text)).await;
}

/// Signs in at the page that asks for it.
async fn type_in(harness: &Harness, window: &WebDriver) {
    wait_for(window, "/login").await;
    window
        .find(By::Id("username"))
        .await
        .unwrap()
        .send_keys("jlehz")
        .await
        .unwrap();
    window
        .find(By::Id("password"))
        .await
        .unwrap()
        .send_keys(PASSWORD)
        .await
        .unwrap();
    window
        .find(By::Id("login-submit"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(window, "/login/second-factor").await;
    window
        .find(By::Id("totp"))
        .await
        .unwrap()
        .send_keys(totp(harness.now()))
        .await
        .unwrap();
    window
        .find(By::Id("totp-submit"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_ends_at_a_page_that_says_so() {
    let harness = Harness::start(Db::Sqlite);
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(375, true).await;
    window
        .goto(harness.url("/oauth2/authorize?client_id=fulton-cms&redirect_uri=https%3A%2F%2Fevil.example"))
        .await
        .unwrap();
    look(&window, "error", true).await;
    assert!(window.title().await.unwrap().contains("MDI Auth"));
    let text = window.find(By::Tag("main")).await.unwrap().text().await.unwrap();
    assert!(
        text.contains("redirect_uri") && text.to_lowercase().contains("reference"),
        "{text}"
    );
    assert!(!text.contains("evil.example"));
    window.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_sign_in_from_end_to_end() {
    let dir = TempDir::new();
    let port = two_ports();
    let data = dir.path().join("demo");
    let demo = Demo::start(&data, port);
    let row = demo
        .printed
        .lines()
        .find(|line| line.contains("examiner"))
        .unwrap();
    let mut words = row.split_whitespace();
    let (username, password) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let browser = Browser::start(&data.join("ca.pem"));
    let window = browser.window(1280, true).await;
    let site = format!("https://localhost:{}", port + 1);
    window.goto(format!("{site}/code")).await.unwrap();
    look(&window, "demo-code", true).await;
    window.goto(format!("{site}/cms/")).await.unwrap();
    look(&window, "demo-start", true).await;
    window
        .find(By::Id("demo-sign-in"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/login").await;
    window
        .find(By::Id("username"))
        .await
        .unwrap()
        .send_keys(&username)
        .await
        .unwrap();
    window
        .find(By::Id("password"))
        .await
        .unwrap()
        .send_keys(&password)
        .await
        .unwrap();
    window
        .find(By::Id("login-submit"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/login/second-factor").await;
    let code = code_of_now(&window, &site, &username).await;
    window
        .find(By::Id("totp"))
        .await
        .unwrap()
        .send_keys(code)
        .await
        .unwrap();
    window
        .find(By::Id("totp-submit"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/consent").await;
    window
        .find(By::Id("consent-approve"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/cms/cb").await;
    look(&window, "demo-signed-in", true).await;
    let facts = window
        .find(By::ClassName("facts"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        facts.contains("Roles") && facts.contains("password and one-time code"),
        "{facts}"
    );
    let told = window
        .find(By::Id("introspection"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        told.contains("\"active\": true") && told.contains("medical-examiner"),
        "{told}"
    );
    let answered = window
        .find(By::Id("edrs-answer"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(answered.contains("Bundle"), "{answered}");
    window.quit().await.unwrap();
}

/// Reads the code in another tab, as a person would, and comes back.
async fn code_of_now(window: &WebDriver, site: &str, username: &str) -> String {
    let here = window.window().await.unwrap();
    let tab = window.new_tab().await.unwrap();
    window.switch_to_window(tab).await.unwrap();
    window.goto(format!("{site}/code")).await.unwrap();
    let code = window
        .find(By::Id(format!("code-{username}")))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    window.close_window().await.unwrap();
    window.switch_to_window(here).await.unwrap();
    code
}
