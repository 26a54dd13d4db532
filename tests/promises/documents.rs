//! The OpenAPI document, and the registration as a file.

use super::{Rich, normal};
use crate::console::settings::everything;
use crate::harness::{Db, Harness, blocking};

#[tokio::test]
async fn the_openapi_document() {
    let harness = Harness::empty(Db::Sqlite, |_| {});
    let document = harness.get("/admin/api/openapi.json").await;
    assert_eq!(document.status, 200);
    let text = serde_json::to_string_pretty(&document.json).unwrap();
    insta::assert_snapshot!(normal(&harness, &text));
}

#[tokio::test]
async fn the_export_of_a_rich_installation() {
    let harness = Harness::empty(Db::Sqlite, |_| {});
    harness.apply(&everything());
    let registry = harness.registry();
    let exported = blocking(move || mdi_auth::registry::export::export(&registry, true).unwrap());
    // The key is made anew for each run, and its coordinates are 43 characters each.
    insta::assert_snapshot!(normal(&harness, &exported));
}

#[tokio::test]
async fn what_applications_read_about_the_server() {
    let rich = Rich::start().await;
    let mut text = String::new();
    for path in [
        "/.well-known/openid-configuration",
        "/fhir/edrs-ga/smart-configuration",
        "/fhir/cms-fulton/smart-configuration",
        "/fhir/CodeSystem/mdi-role",
    ] {
        let answer = rich.harness.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        text.push_str(&format!(
            "GET {path}\n{}\n\n",
            serde_json::to_string_pretty(&answer.json).unwrap()
        ));
    }
    insta::assert_snapshot!(normal(&rich.harness, &text));
}
