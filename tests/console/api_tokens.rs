//! Tokens of the admin API at the console.

use super::{STAFF, open};
use crate::harness::Harness;
use crate::on_both;

on_both! {
    async fn a_token_is_made_shown_once_and_revoked(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let (mut agent, page) = open(&harness, "admin", "/admin/api-tokens").await;
        assert!(page.answer().text.contains("None yet"));
        let page = agent.get(&harness.url("/admin/api-tokens/new")).await;
        // What is wrong is told field by field, and what was typed is kept.
        let refused = agent.submit(&page, &[("name", ""), ("scope", "king"), ("expires_days", "soon")]).await;
        assert_eq!(refused.answer().status, 422);
        for told in ["Enter a name", "Choose what it is good for", "Enter a number of days", "value=\"soon\""] {
            assert!(refused.answer().text.contains(told), "{told}: {}", refused.answer().text);
        }
        let refused = agent.submit(&page, &[("name", "x"), ("scope", "audit"), ("expires_days", "0")]).await;
        assert!(refused.answer().text.contains("must be from 1 to 3650"), "{}", refused.answer().text);
        let name = "<script>alert(1)</script>";
        let page = agent.submit(&page, &[("name", name), ("scope", "audit"), ("expires_days", "30")]).await;
        let text = &page.answer().text;
        assert!(!text.contains(name) && text.contains("&#60;script&#62;"), "{text}");
        let token = text.split("id=\"once-value\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        assert!(token.starts_with("mdi_api_") && token.len() == 51, "{token}");
        let page = agent.get(&harness.url("/admin/api-tokens")).await;
        assert!(!page.answer().text.contains(&token), "it is shown once");
        let me = || harness.http.get(harness.url("/admin/api/v1/me")).bearer_auth(&token).send();
        assert_eq!(me().await.unwrap().status(), 200);
        let revoke = page.answer().text.split("href=\"/admin/api-tokens/").nth(2).unwrap();
        let revoke = harness.url(&format!("/admin/api-tokens/{}", revoke.split('"').next().unwrap()));
        let page = agent.get(&revoke).await;
        let page = agent.submit(&page, &[]).await;
        assert!(page.answer().text.contains("The token is revoked."), "{}", page.answer().text);
        assert!(page.answer().text.contains("Revoked</span>"));
        assert_eq!(me().await.unwrap().status(), 401);
        assert_eq!(agent.get(&revoke).await.answer().status, 404);
        let events = harness.events("api_token.changed");
        let actions: Vec<&str> = events.iter().map(|event| event["detail"]["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["made", "revoked"]);
        assert!(events.iter().all(|event| event["actor_kind"] == "person" && !event.to_string().contains(&token)));
    }
}
