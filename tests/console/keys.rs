//! Signing keys at the console.

use crate::console::{STAFF, at_console};
use crate::harness::Harness;
use crate::on_both;

on_both! {
    async fn a_new_key_is_published_first_and_signs_later(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/keys")).await;
        let told = &page.answer().text;
        assert!(told.contains("<svg class=\"timeline\"") && told.matches("<rect class=\"signs\"").count() == 2, "{told}");
        assert!(told.contains("id=\"next\"") && !told.contains("style="), "{told}");
        let path = "/admin/keys/new";
        let page = agent.get(&harness.url(path)).await;
        for form in [&[("alg", ""), ("how", "orderly")], &[("alg", "all"), ("how", "")], &[("alg", "HS256"), ("how", "orderly")]] {
            let refused = agent.submit_to(&page, path, form).await;
            assert_eq!(refused.answer().status, 422, "{form:?}");
        }
        let page = agent.submit_to(&page, path, &[("alg", "ES256"), ("how", "orderly")]).await;
        let told = &page.answer().text;
        assert_eq!((page.at(), page.answer().status), ("/admin/keys", 200));
        assert!(told.contains("does not sign yet") && told.contains("until its successor does"), "{told}");
        assert!(told.contains("<rect class=\"published\"") && told.contains("<rect class=\"retired\""), "{told}");
        let kids = |jwks: &serde_json::Value| jwks["keys"].as_array().unwrap().len();
        assert_eq!(kids(&harness.get("/oauth2/jwks").await.json), 3);
        let made = harness.events("key.changed");
        assert!(made.iter().any(|event| event["actor_kind"] == "person" && event["detail"]["action"] == "rotated"));
        harness.clock.advance(harness.app.config.keys.publish_seconds);
        let page = agent.get(&harness.url(path)).await;
        assert_eq!(page.at(), "/login", "keys want a fresh sign-in");
    }
}

on_both! {
    async fn a_key_that_others_know_is_replaced_at_once(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let before = harness.get("/oauth2/jwks").await.json;
        let page = agent.get(&harness.url("/admin/keys/new")).await;
        agent.submit_to(&page, "/admin/keys/new", &[("alg", "all"), ("how", "at-once")]).await;
        let after = harness.get("/oauth2/jwks").await.text;
        for key in before["keys"].as_array().unwrap() {
            assert!(!after.contains(key["kid"].as_str().unwrap()), "{after}");
        }
    }
}
