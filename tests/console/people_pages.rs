//! The pages about people in a real browser: axe, two widths, two themes, and an import without a hand-made request.

use mdi_auth::registry::identity_providers;
use thirtyfour::prelude::*;

use crate::console::STAFF;
use crate::console::people::id_of;
use crate::console::providers::PROVIDER;
use crate::harness::agent::totp;
use crate::harness::browser::{Browser, look, wait_for};
use crate::harness::{Db, Harness, PASSWORD, blocking};
use crate::journeys::{click, fill};
use crate::person_flow::{code_of, redeem};
use crate::support::eventually;

#[tokio::test]
async fn they_can_be_read_and_used() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(STAFF);
    harness.apply(PROVIDER);
    let registry = harness.registry();
    let link = move || {
        registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "00u-1", "jlehz"))
    };
    blocking(link).unwrap();
    crate::admin_api::token(&harness, "audit");
    let code = code_of(&harness, "jlehz", &[]).await;
    assert_eq!(redeem(&harness, &code).await.status, 200);
    let id = id_of(&harness, "jlehz");
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(1280, true).await;
    window.goto(harness.url("/admin/users")).await.unwrap();
    fill(&window, "username", "admin").await;
    fill(&window, "password", PASSWORD).await;
    click(&window, "login-submit").await;
    fill(&window, "totp", &totp(harness.now())).await;
    click(&window, "totp-submit").await;
    wait_for(&window, "/admin/users").await;
    for (name, path) in [
        ("people", "/admin/users".to_owned()),
        ("people-nothing", "/admin/users?q=nobody".to_owned()),
        ("person-new", "/admin/users/new".to_owned()),
        ("person", format!("/admin/users/{id}")),
        ("person-edit", format!("/admin/users/{id}/edit")),
        ("person-roles", format!("/admin/users/{id}/roles")),
        ("person-disable", format!("/admin/users/{id}/disable")),
        ("sessions", "/admin/sessions".to_owned()),
        ("grants", "/admin/grants".to_owned()),
        ("review", "/admin/access-review".to_owned()),
        ("review-export", "/admin/access-review/export".to_owned()),
        ("review-sign-off", "/admin/access-review/sign-off".to_owned()),
        ("import", "/admin/users/import".to_owned()),
        (
            "identity-link",
            "/admin/identity-providers/fulton/link".to_owned(),
        ),
        (
            "identity-unlink",
            format!("/admin/identity-providers/fulton/unlink?person={id}"),
        ),
        ("settings", "/admin/settings".to_owned()),
        ("settings-apply", "/admin/settings/apply".to_owned()),
        ("api-tokens", "/admin/api-tokens".to_owned()),
        ("api-token-new", "/admin/api-tokens/new".to_owned()),
    ] {
        window.goto(harness.url(&path)).await.unwrap();
        look(&window, name, true).await;
    }
    // A form with mistakes, a search for roles, and the Enter key, which saves.
    window.goto(harness.url("/admin/users/new")).await.unwrap();
    click(&window, "save").await;
    look(&window, "person-mistakes", true).await;
    fill(&window, "role_search", "verifier").await;
    click(&window, "find-roles").await;
    look(&window, "person-roles-found", true).await;
    fill(&window, "name", "Nina New").await;
    fill(&window, "username", "nina").await;
    window
        .find(By::Id("npi"))
        .await
        .unwrap()
        .send_keys(Key::Enter + "")
        .await
        .unwrap();
    wait_for(&window, "done=person-added").await;
    look(&window, "person-link", true).await;
    // A file that is wrong, then one that is right.
    let folder = crate::support::TempDir::new();
    let path = folder.path().join("people.csv");
    for (file, ends, name) in [
        (
            "username,name,npi\nanna,Anna,1\nberta,\n",
            "findings",
            "import-findings",
        ),
        (
            "username,name\nanna,Anna\nberta,Berta\n",
            "import",
            "import-ready",
        ),
    ] {
        std::fs::write(&path, file).unwrap();
        window.goto(harness.url("/admin/users/import")).await.unwrap();
        window
            .find(By::Id("file"))
            .await
            .unwrap()
            .send_keys(path.to_str().unwrap())
            .await
            .unwrap();
        click(&window, "check").await;
        appears(&window, ends).await;
        look(&window, name, true).await;
    }
    click(&window, "import").await;
    appears(&window, "links").await;
    look(&window, "import-done", true).await;
    let log = browser.log(&window).await;
    // The one status that a form with mistakes has.
    let told = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| !entry["message"].as_str().unwrap().contains("422"));
    assert_eq!(told.count(), 0, "{log}");
    window.quit().await.unwrap();
}

/// Waits for an element of a page that reloads itself.
async fn appears(window: &WebDriver, id: &str) {
    let look = async || {
        (
            window.find(By::Id(id)).await.is_ok(),
            window.source().await.unwrap_or_default(),
        )
    };
    eventually(id, look, |(found, _)| *found).await;
}
