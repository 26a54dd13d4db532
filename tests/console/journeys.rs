//! What a new administrator does from the first to the last page, in a real browser and on both databases.

use data_encoding::BASE32_NOPAD;
use mdi_auth::registry::first_administrator;
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
    window
        .find(By::Id("choice-app"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    click(window, "set-up-submit").await;
    wait_for(window, "/login/set-up/app").await;
    window
        .find(By::Css("summary"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
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
    let pasted = shell
        .args(["-c", script])
        .current_dir(dir.path())
        .env("MDI_CLIENT_SECRET", secret)
        .output()
        .unwrap();
    serde_json::from_slice(&pasted.stdout).unwrap_or_else(|_| panic!("{script}\n{pasted:?}"))
}

/// What the browser complains of, but for the status of forms that were refused (RFC 9110 §15.5.21), which it tells
/// whoever looks.
async fn complaints(browser: &Browser, window: &WebDriver) -> Vec<String> {
    let log = browser.log(window).await;
    let messages = log
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["message"].as_str().unwrap().to_owned());
    messages
        .filter(|message| !message.ends_with("status of 422 (Unprocessable Entity)"))
        .collect()
}

/// From the hand-off sheet: makes the link for the vendor's own people, and looks at what they see without an account.
async fn look_as_vendor(window: &WebDriver) {
    click(window, "make-vendor-link").await;
    look(window, "console-vendor-link", true).await;
    click(window, "vendor-link-submit").await;
    look(window, "console-vendor-link-made", true).await;
    let link = text_of(window, "once-value").await;
    click(window, "end-vendor-link").await;
    look(window, "console-vendor-link-end", true).await;
    window.goto(&link).await.unwrap();
    wait_for(window, "/vendor").await;
    look(window, "vendor-sheet", true).await;
    click(window, "check").await;
    fill(window, "pasted", "https://lims.example/cb?error=invalid_client").await;
    click(window, "check-submit").await;
    look(window, "vendor-check", true).await;
    assert!(
        text_of(window, "findings")
            .await
            .contains("could not prove who it is")
    );
}

on_both! {
    async fn a_new_administrator_connects_a_laboratory(db) {
        let harness = Harness::start(db);
        let registry = harness.registry();
        let link = blocking(move || registry.blocking(first_administrator::issue).unwrap().unwrap().reveal().to_owned());
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
        for (name, path) in [
            ("console-resource-servers", "/admin/resource-servers"),
            ("console-resource-server", "/admin/resource-servers/cms-fulton"),
            ("console-resource-server-kind", "/admin/resource-servers/new"),
            ("console-resource-server-form", "/admin/resource-servers/new?kind=cms"),
            ("console-resource-server-edit", "/admin/resource-servers/cms-fulton/edit"),
            ("console-resource-server-documents", "/admin/resource-servers/cms-fulton/documents?client=lims-secret"),
            ("console-identity-providers", "/admin/identity-providers"),
            ("console-identity-provider-form", "/admin/identity-providers/new"),
            ("console-agencies", "/admin/agencies"),
            ("console-agency", "/admin/agencies/fulton-county-me"),
            ("console-agency-form", "/admin/agencies/new"),
            ("console-agency-edit", "/admin/agencies/fulton-county-me/edit"),
            ("console-agency-disable", "/admin/agencies/fulton-county-me/disable"),
            ("console-policy", "/admin/policy"),
            ("console-keys", "/admin/keys"),
            ("console-keys-new", "/admin/keys/new"),
            ("console-settings", "/admin/settings"),
            ("console-settings-export", "/admin/settings/export"),
            ("console-settings-apply", "/admin/settings/apply"),
            ("console-api-tokens", "/admin/api-tokens"),
            ("console-api-token-new", "/admin/api-tokens/new"),
            ("console-api-docs", "/admin/api/docs"),
        ] {
            window.goto(harness.url(path)).await.unwrap();
            look(&window, name, true).await;
        }
        window.goto(harness.url("/admin")).await.unwrap();
        // A laboratory, by its dataflow.
        window.find(By::LinkText("Clients")).await.unwrap().click().await.unwrap();
        wait_for(&window, "/admin/clients").await;
        look(&window, "console-clients", true).await;
        click(&window, "register").await;
        look(&window, "console-client-dataflow", true).await;
        click(&window, "choose-lims-to-cms").await;
        look(&window, "console-client-form", true).await;
        let proof = window.find(By::Css("#auth_method input[value=client_secret_basic]")).await.unwrap();
        // Out from under the bar with the buttons, as a person would scroll.
        proof.scroll_into_view().await.unwrap();
        proof.click().await.unwrap();
        click(&window, "save").await;
        window.query(By::Css("[role=alert]")).first().await.unwrap();
        look(&window, "console-client-form-error", true).await;
        fill(&window, "name", "UF Forensic Toxicology LIMS").await;
        fill(&window, "agency", "uf-pathology-labs").await;
        click(&window, "save").await;
        wait_for(&window, "/admin/clients/uf-forensic-toxicology-lims").await;
        look(&window, "console-client-registered", true).await;
        let secret = text_of(&window, "once-value").await;
        click(&window, "hand-off").await;
        look(&window, "console-hand-off", true).await;
        let curl = window.find(By::Id("sample-1")).await.unwrap().prop("textContent").await.unwrap().unwrap();
        let token = paste(&curl, &secret, &harness.ca_file);
        let introspected = harness.introspect(CMS, token["access_token"].as_str().unwrap()).await;
        assert_eq!((&introspected["active"], &introspected["client_id"]), (&json!(true), &json!("uf-forensic-toxicology-lims")));
        look_as_vendor(&window).await;
        // A new secret without an outage.
        window.goto(harness.url("/admin/clients/uf-forensic-toxicology-lims")).await.unwrap();
        look(&window, "console-client", true).await;
        click(&window, "rotate").await;
        look(&window, "console-client-secret", true).await;
        click(&window, "make-secret").await;
        let new = text_of(&window, "once-value").await;
        for secret in [&secret, &new] {
            assert!(paste(&curl, secret, &harness.ca_file)["access_token"].is_string());
        }
        // Something wrong at the vendor's.
        window.find(By::Id("more-actions")).await.unwrap().click().await.unwrap();
        click(&window, "check").await;
        fill(&window, "pasted", "https://lims.example/cb?error=invalid_client").await;
        click(&window, "check-submit").await;
        look(&window, "console-client-check", true).await;
        assert!(text_of(&window, "findings").await.contains("could not prove who it is"));
        window.goto(harness.url("/admin/clients/uf-forensic-toxicology-lims/disable")).await.unwrap();
        look(&window, "console-client-question", true).await;
        // All of it stands in the record.
        window.find(By::LinkText("Audit")).await.unwrap().click().await.unwrap();
        wait_for(&window, "/admin/audit").await;
        look(&window, "console-audit", true).await;
        let told = text_of(&window, "events").await;
        for what in ["registered client uf-forensic-toxicology-lims", "changed the secrets of uf-forensic-toxicology-lims"] {
            assert!(told.contains(what), "{what}: {told}");
        }
        let changed = "//td[contains(., 'registered client')]/../th/a";
        window.find(By::XPath(changed)).await.unwrap().click().await.unwrap();
        wait_for(&window, "/admin/audit/").await;
        look(&window, "console-audit-event", true).await;
        assert!(!window.source().await.unwrap().contains(&secret), "no secret stands in the record");
        window.goto(harness.url("/admin/audit/check")).await.unwrap();
        look(&window, "console-audit-check", true).await;
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
async fn a_manager_of_one_agency_brings_somebody_in() {
    let harness = Harness::start(crate::harness::Db::Sqlite);
    harness.apply(crate::agencies::PEOPLE);
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(1280, true).await;
    sign_in(&window, &harness, "mary", "/admin").await;
    look(&window, "console-manager-home", true).await;
    window
        .find(By::LinkText("Agencies"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/admin/agencies").await;
    look(&window, "console-manager-agencies", true).await;
    window
        .find(By::LinkText("Fulton County ME"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/admin/agencies/fulton-county-me").await;
    click(&window, "members").await;
    fill(&window, "username", "nobody").await;
    let role = window.find(By::Id("roles-1")).await.unwrap();
    role.scroll_into_view().await.unwrap();
    role.click().await.unwrap();
    click(&window, "save").await;
    window.query(By::Css("[role=alert]")).first().await.unwrap();
    look(&window, "console-member-error", true).await;
    fill(&window, "username", "otto").await;
    click(&window, "save").await;
    wait_for(&window, "/admin/agencies/fulton-county-me").await;
    look(&window, "console-manager-agency", true).await;
    assert!(text_of(&window, "its-members").await.contains("Otto Other"));
    window
        .find(By::Id("its-people"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/admin/users?agency=fulton-county-me").await;
    look(&window, "console-manager-people", true).await;
    assert!(
        !window.source().await.unwrap().contains("Otto Other"),
        "he belongs elsewhere"
    );
    window
        .find(By::LinkText("Jane Lehz, MD"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    wait_for(&window, "/admin/users/").await;
    look(&window, "console-manager-person", true).await;
    window.goto(harness.url("/admin/users/new")).await.unwrap();
    look(&window, "console-manager-new-person", true).await;
    window
        .goto(harness.url("/admin/clients/fulton-cms/edit"))
        .await
        .unwrap();
    look(&window, "console-manager-client-edit", true).await;
    assert_eq!(
        complaints(&browser, &window).await,
        [""; 0],
        "the browser complains of nothing"
    );
    window.quit().await.unwrap();
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
    tab_to(&window, "choose-lims-to-cms").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "dataflow=lims-to-cms").await;
    tab_to(&window, "name").await;
    press(&window, "Keyboard LIMS").await;
    tab_to(&window, "auth_method-1").await;
    press(&window, Key::Down + "").await;
    tab_to(&window, "save").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "/admin/clients/keyboard-lims").await;
    assert_eq!(text_of(&window, "done").await, "The client is registered.");
    assert_eq!(text_of(&window, "once-value").await.len(), 43);
    tab_to(&window, "rotate").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "/secret").await;
    tab_to(&window, "make-secret").await;
    press(&window, Key::Enter + "").await;
    wait_for(&window, "done=secret-made").await;
    assert_eq!(complaints(&browser, &window).await, [""; 0]);
    window.quit().await.unwrap();
}

/// The scopes that somebody's next token for a client would have, as the preview shows them.
async fn previewed(
    window: &WebDriver,
    harness: &Harness,
    client: &str,
    server: &str,
    username: &str,
) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client", client), ("username", username)])
        .finish();
    window
        .goto(harness.url(&format!("/admin/resource-servers/{server}/documents?{query}")))
        .await
        .unwrap();
    window
        .find(By::Css("#token-claims, #no-token"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

on_both! {
    async fn a_certifier_is_invited_and_delegation_ends_where_it_should(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(1280, true).await;
        sign_in(&window, &harness, "admin", "/admin/users").await;
        // Invited without a role: her tokens say who she is, and no more.
        click(&window, "add").await;
        fill(&window, "name", "Carla Certifier, MD").await;
        fill(&window, "username", "carla").await;
        click(&window, "save").await;
        wait_for(&window, "done=person-added").await;
        let link = text_of(&window, "once-value").await;
        let page = window.current_url().await.unwrap().path().to_owned();
        assert!(window.source().await.unwrap().contains("No role."));
        let told = previewed(&window, &harness, "fulton-cms", "edrs-ga", "carla").await;
        assert!(told.contains("There would be no token"), "{told}");
        // With the role the scopes follow.
        window.goto(harness.url(&format!("{page}/roles"))).await.unwrap();
        window.find(By::Css("input[name=roles][value=medical-examiner]")).await.unwrap().click().await.unwrap();
        click(&window, "save").await;
        wait_for(&window, "done=saved").await;
        look(&window, "console-person-certifier", true).await;
        assert!(text_of(&window, "roles").await.contains("Certify causes and manners of death"));
        let told = previewed(&window, &harness, "fulton-cms", "edrs-ga", "carla").await;
        assert!(told.contains("user/Composition.crus") && told.contains("__mdi.certify"), "{told}");
        look(&window, "console-preview", true).await;
        // Her link was made before she had the role; a new one takes its place.
        window.goto(harness.url(&format!("{page}/invite"))).await.unwrap();
        click(&window, "act").await;
        let newer = text_of(&window, "once-value").await;
        assert_ne!(link, newer);
        let other = browser.window(375, true).await;
        other.goto(&newer).await.unwrap();
        enrol(&other, &harness).await;
        wait_for(&other, "/account").await;
        other.goto(harness.url("/admin")).await.unwrap();
        look(&other, "console-not-yours", true).await;
        assert!(other.source().await.unwrap().contains("Your account has no role in it"));
        other.quit().await.unwrap();
        // A user manager sees to people, and to nothing else.
        let manager = browser.window(1024, true).await;
        sign_in(&manager, &harness, "users", "/admin/users").await;
        look(&manager, "console-user-manager", true).await;
        let links = manager.find_all(By::Css(".console-nav a")).await.unwrap();
        let mut parts = Vec::new();
        for link in links {
            parts.push(link.text().await.unwrap());
        }
        assert!(parts.contains(&"People".to_owned()) && !parts.contains(&"Clients".to_owned()), "{parts:?}");
        manager.goto(harness.url("/admin/clients")).await.unwrap();
        assert!(manager.source().await.unwrap().contains("Your role does not include this part"));
        let admin = crate::console::people::id_of(&harness, "admin");
        manager.goto(harness.url(&format!("/admin/users/{admin}/edit"))).await.unwrap();
        assert!(manager.source().await.unwrap().contains("Your role does not include this part"));
        manager.goto(harness.url(&format!("{page}/roles"))).await.unwrap();
        let given = manager.find_all(By::Css("input[name=roles][value=administrator]")).await.unwrap();
        assert!(given.is_empty(), "a user manager gives no role of the console");
        manager.quit().await.unwrap();
        window.quit().await.unwrap();
    }
}
