//! Where people are signed in, what they allowed, and ending both.

use serde_json::Value;

use crate::console::people::{id_of, part, send};
use crate::console::{STAFF, at_console};
use crate::harness::agent::{Agent, attribute};
use crate::harness::{EDRS, Harness, PASSWORD};
use crate::on_both;
use crate::person_flow::{code_of, redeem, refresh};

/// The addresses behind "End" in a list, in order.
fn ends(text: &str, list: &str) -> Vec<String> {
    let links = text.split("<a ").map(|link| format!(" {link}"));
    let paths = links.filter_map(|link| attribute(link.split('>').next().unwrap(), "href"));
    paths
        .filter(|path| path.starts_with(&format!("/admin/{list}/")) && path.ends_with("/end"))
        .collect()
}

on_both! {
    async fn a_session_is_ended_from_the_list(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut clerk = Agent::new(&harness);
        let page = clerk.get(&harness.url("/account")).await;
        assert_eq!(clerk.sign_in(page, "clerk", PASSWORD).await.at(), "/account");
        harness.clock.advance(5);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/sessions")).await;
        let text = &page.answer().text;
        assert!(text.find("Ulf Users").unwrap() < text.rfind("Cory Clerk").unwrap(), "the newest first");
        assert!(text.contains("This browser"));
        let page = agent.get(&harness.url("/admin/sessions?person=CLERK")).await;
        let paths = ends(&page.answer().text, "sessions");
        assert_eq!(paths.len(), 1, "{}", page.answer().text);
        let page = agent.get(&harness.url(&paths[0])).await;
        assert!(page.answer().text.contains("Cory Clerk"));
        let page = send(&mut agent, &page, &[]).await;
        assert!(page.answer().text.contains("Ended."));
        assert_eq!(clerk.get(&harness.url("/account")).await.at(), "/login");
        assert_eq!(agent.get(&harness.url(&paths[0])).await.answer().status, 404, "it has ended");
        let ended = harness.events("session.ended").pop().unwrap();
        assert_eq!(ended["actor"], id_of(&harness, "users").as_str());
        assert_eq!(ended["person_id"], id_of(&harness, "clerk").as_str());
        for query in ["person=nobody", "person=clerk"] {
            let page = agent.get(&harness.url(&format!("/admin/sessions?{query}"))).await;
            assert!(page.answer().text.contains("id=\"nothing\""), "{query}");
        }
    }
}

on_both! {
    async fn the_sessions_of_those_who_administer_are_not_a_user_managers(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut admin = at_console(&harness, "admin").await;
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/sessions?person=admin")).await;
        let path = ends(&page.answer().text, "sessions").remove(0);
        assert_eq!(agent.get(&harness.url(&path)).await.answer().status, 403);
        let button = part(&page, "id=\"sign-out\"", ">");
        let csrf = ("csrf".to_owned(), attribute(button, "value").unwrap());
        assert_eq!(agent.post(&path, &[csrf]).await.answer().status, 403);
        assert_eq!(admin.get(&harness.url("/admin")).await.answer().status, 200);
        harness.clock.advance(60);
        // Whoever may only look has nothing to end.
        let mut auditor = at_console(&harness, "auditor").await;
        let page = auditor.get(&harness.url("/admin/sessions")).await;
        assert!(ends(&page.answer().text, "sessions").is_empty());
        assert_eq!(auditor.get(&harness.url(&path)).await.answer().status, 403);
    }
}

on_both! {
    async fn sessions_that_hold_no_more_are_not_listed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut clerk = Agent::new(&harness);
        let page = clerk.get(&harness.url("/account")).await;
        clerk.sign_in(page, "clerk", PASSWORD).await;
        harness.clock.advance(harness.app.config.login.session_idle_seconds);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/sessions")).await;
        assert!(!page.answer().text.contains("Cory Clerk"), "{}", page.answer().text);
        assert!(page.answer().text.contains("Ulf Users"));
    }
}

on_both! {
    async fn what_was_allowed_is_taken_back_at_once(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let code = code_of(&harness, "jlehz", &[]).await;
        let tokens = redeem(&harness, &code).await;
        let access = tokens.str("access_token").to_owned();
        assert_eq!(harness.introspect(EDRS, &access).await["active"], true);
        harness.clock.advance(60);
        let mut agent = at_console(&harness, "users").await;
        for query in ["", "?person=jlehz", "?client=fulton-cms", "?person=jlehz&client=fulton-cms"] {
            let page = agent.get(&harness.url(&format!("/admin/grants{query}"))).await;
            assert_eq!(ends(&page.answer().text, "grants").len(), 1, "{query}: {}", page.answer().text);
        }
        for query in ["?person=nobody", "?client=lims-secret", "?person=clerk"] {
            let page = agent.get(&harness.url(&format!("/admin/grants{query}"))).await;
            assert!(page.answer().text.contains("id=\"nothing\""), "{query}");
        }
        // Nobody but those who change grants may end one.
        let page = agent.get(&harness.url("/admin/grants")).await;
        assert!(page.answer().text.contains("Stays connected"));
        let path = ends(&page.answer().text, "grants").remove(0);
        harness.clock.advance(60);
        let mut clients = at_console(&harness, "clients").await;
        let seen = clients.get(&harness.url("/admin/grants")).await;
        assert!(ends(&seen.answer().text, "grants").is_empty());
        assert_eq!(clients.get(&harness.url(&path)).await.answer().status, 403);
        let page = agent.get(&harness.url(&path)).await;
        let page = send(&mut agent, &page, &[]).await;
        assert!(page.answer().text.contains("Ended."), "{}", page.answer().text);
        assert_eq!(harness.introspect(EDRS, &access).await["active"], Value::Bool(false));
        assert_eq!(refresh(&harness, tokens.str("refresh_token")).await.status, 400);
        let event = harness.events("consent.revoked").pop().unwrap();
        assert_eq!((&event["client_id"], &event["person_id"]), (&"fulton-cms".into(), &id_of(&harness, "jlehz").into()));
        assert_eq!(agent.get(&harness.url(&path)).await.answer().status, 404);
    }
}

on_both! {
    async fn lists_go_on_page_by_page(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        for _ in 0..55 {
            let mut clerk = Agent::new(&harness);
            let page = clerk.get(&harness.url("/account")).await;
            let page = clerk.submit(&page, &[("username", "norole"), ("password", PASSWORD)]).await;
            assert_eq!(page.at(), "/account");
        }
        harness.clock.advance(1);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/sessions")).await;
        let mut all = ends(&page.answer().text, "sessions");
        assert_eq!(all.len(), 50);
        let next = page.answer().text.split("<a ").find(|link| link.contains("id=\"next-page\"")).unwrap();
        let page = agent.get(&harness.url(&attribute(&format!(" {next}"), "href").unwrap())).await;
        all.extend(ends(&page.answer().text, "sessions"));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 56, "each once");
    }
}
