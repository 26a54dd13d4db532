//! The first administrator.

use mdi_auth::registry::first_administrator;

use crate::harness::agent::Agent;
use crate::harness::{Harness, PASSWORD, blocking};
use crate::on_both;

/// The link that `serve` prints.
fn link(harness: &Harness) -> Option<String> {
    let registry = harness.registry();
    blocking(move || {
        registry
            .blocking(first_administrator::issue)
            .unwrap()
            .map(|link| link.reveal().to_owned())
    })
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
        harness.clock.advance(first_administrator::SECONDS);
        assert_eq!(agent.get(&new).await.answer().status, 400);
        assert_eq!(agent.get(&harness.url("/first")).await.answer().status, 400);
    }
}

#[test]
fn serve_prints_the_link_while_nobody_administers_the_server() {
    use std::io::{BufRead, BufReader};
    let dir = crate::support::TempDir::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_mdi-auth"))
        .arg("serve")
        .env("MDI_AUTH_SERVER__ISSUER", format!("https://localhost:{port}"))
        .env("MDI_AUTH_SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("MDI_AUTH_SERVER__DATA_DIR", dir.path().join("data"))
        .env("MDI_AUTH_LOG", "error")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let printed: Vec<String> = lines.take_while(|line| line != "ready").collect();
    server.kill().unwrap();
    server.wait().unwrap();
    let link = printed
        .iter()
        .find(|line| line.starts_with(&format!("https://localhost:{port}/first/")));
    assert_eq!(
        link.map(|link| link.rsplit('/').next().unwrap().len()),
        Some(43),
        "{printed:?}"
    );
    assert!(printed.iter().any(|line| line.ends_with("/admin")), "{printed:?}");
}
