//! What a new administrator does from the first to the last page, in a real browser and on both databases.

use data_encoding::BASE32_NOPAD;
use mdi_auth::registry::first;
use serde_json::{Value, json};
use thirtyfour::Key;
use thirtyfour::prelude::*;

use crate::console::STAFF;
use crate::harness::agent::totp;
use crate::harness::browser::{Browser, look, press, tab_to, wait_for};
use crate::harness::{CMS, Harness, PASSWORD, blocking};
use crate::journeys::{click, fill, text_of};
use crate::on_both;
use crate::second_factor::code_of;

/// Chooses a password and an authenticator app on the pages of somebody new, up to the recovery codes. Answers the
/// app's secret.
async fn enrol(window: &WebDriver, harness: &Harness) -> Vec<u8> {
    wait_for(window, "/new-password").await;
    fill(window, "password", PASSWORD).await;
    fill(window, "again", PASSWORD).await;
    click(window, "new-password-submit").await;
    wait_for(window, "/login/set-up").await;
    window.find(By::Id("choice-app")).await.unwrap().click().await.unwrap();
    click(window, "set-up-submit").await;
    wait_for(window, "/login/set-up/app").await;
    window.find(By::Css("summary")).await.unwrap().click().await.unwrap();
    let shown = text_of(window, "totp-secret").await;
    let secret = BASE32_NOPAD.decode(shown.replace(' ', "").as_bytes()).unwrap();
    fill(window, "totp", &code_of(&secret, harness.now())).await;
    click(window, "totp-submit").await;
    wait_for(window, "/account/recovery-codes").await;
    click(window, "recovery-kept").await;
    secret
}

/// Pastes a sample of a hand-off sheet into a shell, and answers what it printed.
fn paste(script: &str, secret: &str, ca_file: &std::path::Path) -> Value {
    let dir = crate::support::TempDir::new();
    std::fs::copy(ca_file, dir.path().join("ca.pem")).unwrap();
    let mut shell = std::process::Command::new("sh");
    let pasted = shell.args(["-c", script]).current_dir(dir.path()).env("MDI_CLIENT_SECRET", secret).output().unwrap();
    serde_json::from_slice(&pasted.stdout).unwrap_or_else(|_| panic!("{script}\n{pasted:?}"))
}

/// What the browser complains of, but for the status of forms that were refused (RFC 9110 §15.5.21), which it tells
/// whoever looks.
async fn complaints(browser: &Browser, window: &WebDriver) -> Vec<String> {
    let log = browser.log(window).await;
    let messages = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned());
    messages.filter(|message| !message.ends_with("status of 422 (Unprocessable Entity)")).collect()
}

on_both! {
    async fn a_new_administrator_connects_a_laboratory(db) {
        let harness = Harness::start(db);
        let registry = harness.registry();
        let link = blocking(move || registry.blocking(first::issue).unwrap().unwrap().reveal().to_owned());
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(1280, true).await;
        window.goto(&link).await.unwrap();
        look(&window, "console-first", true).await;
        fill(&window, "name", "Ada Administrator").await;
        fill(&window, "username", "ada").await;
        click(&window, "first-submit").await;
        enrol(&window, &harness).await;
        wait_for(&window, "/admin").await;
        look(&window, "console-home", true).await;
        // A laboratory, by its dataflow.
        window.find(By::LinkText("Clients")).await.unwrap().click().await.unwrap();
        wait_for(&window, "/admin/clients").await;
        look(&window, "console-clients", true).await;
        click(&window, "register").await;
        look(&window, "console-client-dataflow", true).await;
        click(&window, "flow-lims-to-cms").await;
        look(&window, "console-client-form", true).await;
        window.find(By::Css("#auth_method input[value=client_secret_basic]")).await.unwrap().click().await.unwrap();
        click(&window, "client-submit").await;
        window.query(By::Css("[role=alert]")).first().await.unwrap();
        look(&window, "console-client-form-error", true).await;
        fill(&window, "name", "UF Forensic Toxicology LIMS").await;
        fill(&window, "organization_name", "UF Pathology Labs").await;
        click(&window, "client-submit").await;
        wait_for(&window, "/admin/clients/uf-forensic-toxicology-lims").await;
        look(&window, "console-client-registered", true).await;
        let secret = text_of(&window, "once-value").await;
        click(&window, "hand-off").await;
        look(&window, "console-hand-off", true).await;
        let curl = window.find(By::Id("sample-1")).await.unwrap().prop("textContent").await.unwrap().unwrap();
        let token = paste(&curl, &secret, &harness.ca_file);
        let introspected = harness.introspect(CMS, token["access_token"].as_str().unwrap()).await;
        assert_eq!((&introspected["active"], &introspected["client_id"]), (&json!(true), &json!("uf-forensic-toxicology-lims")));
        // A new secret without an outage.
        window.goto(harness.url("/admin/clients/uf-forensic-toxicology-lims")).await.unwrap();
        look(&window, "console-client", true).await;
        click(&window, "rotate").await;
        look(&window, "console-client-secret", true).await;
        click(&window, "secret-submit").await;
        let new = text_of(&window, "once-value").await;
        for secret in [&secret, &new] {
            assert!(paste(&curl, secret, &harness.ca_file)["access_token"].is_string());
        }
        // Something wrong at the vendor's.
        click(&window, "check").await;
        fill(&window, "pasted", "https://lims.example/cb?error=invalid_client").await;
        click(&window, "check-submit").await;
        look(&window, "console-client-check", true).await;
        assert!(text_of(&window, "findings").await.contains("could not prove who it is"));
        window.goto(harness.url("/admin/clients/uf-forensic-toxicology-lims/disable")).await.unwrap();
        look(&window, "console-client-question", true).await;
        assert_eq!(complaints(&browser, &window).await, [""; 0], "the browser complains of nothing");
        window.quit().await.unwrap();
    }
}

/// Signs a member of the staff in and opens a page of the console.
async fn sign_in(window: &WebDriver, harness: &Harness, username: &str, path: &str) {
    window.goto(harness.url(path)).await.unwrap();
    wait_for(window, "/login").await;
    fill(window, "username", username).await;
    fill(window, "password", PASSWORD).await;
    click(window, "login-submit").await;
    wait_for(window, "/login/second-factor").await;
    fill(window, "totp", &totp(harness.now())).await;
    click(window, "totp-submit").await;
    wait_for(window, path).await;
}

#[tokio::test]
async fn a_client_is_registered_with_the_keyboard_alone() {
    let harness = Harness::start(crate::harness::Db::Sqlite);
    harness.apply(STAFF);
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(1280, true).await;
    sign_in(&window, &harness, "clients", "/admin/clients").await;
    tab_to(&window, "register").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "/admin/clients/new").await;
    tab_to(&window, "flow-lims-to-cms").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "dataflow=lims-to-cms").await;
    tab_to(&window, "name").await;
    press(&window, "Keyboard LIMS").await;
    tab_to(&window, "auth_method-1").await;
    press(&window, Key::Down + "").await;
    tab_to(&window, "client-submit").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "/admin/clients/keyboard-lims").await;
    assert_eq!(text_of(&window, "done").await, "The client is registered.");
    assert_eq!(text_of(&window, "once-value").await.len(), 43);
    tab_to(&window, "rotate").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "/secret").await;
    tab_to(&window, "secret-submit").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "done=secret-made").await;
    assert_eq!(complaints(&browser, &window).await, [""; 0]);
    window.quit().await.unwrap();
}
