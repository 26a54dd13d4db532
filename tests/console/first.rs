//! The first administrator.

use mdi_auth::registry::first;

use crate::harness::agent::Agent;
use crate::harness::{Harness, PASSWORD, blocking};
use crate::on_both;

/// The link that `serve` prints.
fn link(harness: &Harness) -> Option<String> {
    let registry = harness.registry();
    blocking(move || registry.blocking(first::issue).unwrap().map(|link| link.reveal().to_owned()))
}

on_both! {
    async fn the_first_administrator_is_made_by_the_printed_link_once(db) {
        let harness = Harness::start(db);
        let printed = link(&harness).expect("nobody administers the server yet");
        let mut agent = Agent::new(&harness);
        // Looking uses nothing up.
        agent.get(&printed).await;
        let page = agent.get(&printed).await;
        assert_eq!((page.at(), page.answer().status), ("/first", 200));
        let refused = agent.submit(&page, &[("name", ""), ("username", "jlehz"), ("email", "nowhere")]).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("value=\"jlehz\""), "what was typed is kept");
        let page = agent.submit(&page, &[("name", "Ada Admin"), ("username", "ada")]).await;
        assert_eq!(page.at(), "/new-password");
        let page = agent.submit(&page, &[("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!(page.at(), "/login/set-up", "a second factor is set up before the console opens");
        // Neither the old link nor a new one works now.
        let mut other = Agent::new(&harness);
        let page = other.get(&printed).await;
        assert_eq!(page.answer().status, 400);
        assert!(page.answer().text.contains("This link cannot be used"));
        assert!(link(&harness).is_none());
        let made = harness.events("person.changed");
        assert!(made.iter().any(|event| event["detail"]["after"].as_str().unwrap().contains("administrator")));
    }
}

on_both! {
    async fn a_link_that_is_old_or_replaced_is_refused(db) {
        let harness = Harness::start(db);
        let old = link(&harness).unwrap();
        let new = link(&harness).unwrap();
        let mut agent = Agent::new(&harness);
        assert_eq!(agent.get(&old).await.answer().status, 400);
        assert_eq!(agent.get(&new).await.answer().status, 200);
        harness.clock.advance(first::SECONDS);
        assert_eq!(agent.get(&new).await.answer().status, 400);
        assert_eq!(agent.get(&harness.url("/first")).await.answer().status, 400);
    }
}
