//! An e-mail address that somebody else gives an account: it counts for nothing until the person has confirmed it, signed
//! in to the account, by a link that was mailed there.

use std::sync::Arc;

use mdi_auth::config::Config;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::admin_api::Program;
use crate::console::people::{id_of, person, send};
use crate::console::{STAFF, at_console, open, text_of};
use crate::harness::agent::{Agent, Page, hidden_fields};
use crate::harness::browser::{Browser, look, wait_for};
use crate::harness::smtp::MailServer;
use crate::harness::{Answer, Db, Harness, PASSWORD};
use crate::journeys::{click, fill};
use crate::on_both;

const PETRA: &str = r#"
[[user]]
username = "petra"
name = "Petra Post"
password = "correct horse battery staple"
email = "petra@fulton.example"
email_verified = true

[[user]]
username = "mallory"
name = "Mallory Mail"
password = "correct horse battery staple"
"#;

/// What the page of a link that cannot be used says.
const DEAD: &str = "This link cannot be used";

fn settings(harness: &Harness) -> (Option<String>, bool) {
    let settings = person(harness, "petra").unwrap().settings;
    (settings.email, settings.email_verified)
}

fn link_in(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    let link = text.split_whitespace().find(|word| word.starts_with("https://"));
    link.unwrap_or_else(|| panic!("no link in {text}")).to_owned()
}

/// The address that "My access" shows.
fn address(page: &Page) -> String {
    text_of(page, "address").replace("<bdi>", "")
}

/// Asks for a link, and says what the page answers.
async fn ask(agent: &mut Agent<'_>, harness: &Harness) -> String {
    let page = agent.get(&harness.url("/account/email")).await;
    assert!(
        page.answer().text.contains("Confirm your e-mail address"),
        "{page:?}"
    );
    let page = agent.submit(&page, &[]).await;
    assert_eq!(page.at(), "/account");
    text_of(&page, "done")
}

on_both! {
    async fn nobody_else_says_that_an_address_is_the_persons(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PETRA);
        let program = Program::new(&harness, "users");
        let path = format!("/users/{}", id_of(&harness, "petra"));
        let before = settings(&harness);
        let rows = [
            json!({ "email": "mallory@evil.example", "email_verified": true }),
            json!({ "claims": { "email": "mallory@evil.example", "email_verified": true } }),
        ];
        for body in rows {
            let refused = program.patch(&path, "*", &body).await;
            assert_eq!(refused.status, 422, "{body}: {}", refused.text);
            assert!(refused.text.contains("email_verified") && refused.text.contains("My access"), "{}", refused.text);
            assert_eq!(settings(&harness), before, "{body}");
        }
        // In two steps, and with the tick of the form from before.
        assert_eq!(program.patch(&path, "*", &json!({ "email": "mallory@evil.example" })).await.status, 200);
        let refused = program.patch(&path, "*", &json!({ "email_verified": true })).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        harness.apply(PETRA);
        assert_eq!(settings(&harness), before, "what the operator says is final");
        let mut manager = at_console(&harness, "users").await;
        let edit = harness.url(&format!("/admin/users/{}/edit", id_of(&harness, "petra")));
        let page = manager.get(&edit).await;
        let page = send(&mut manager, &page, &[("email", "mallory@evil.example")]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        assert_eq!(settings(&harness), (Some("mallory@evil.example".to_owned()), false));
        // The form does not ask for that word any more, and does not hear it.
        let page = manager.get(&edit).await;
        assert!(!page.answer().text.contains("id=\"email_verified\""), "{}", page.answer().text);
        let page = send(&mut manager, &page, &[("email_verified", "yes"), ("name", "Petra P. Post")]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        assert_eq!((settings(&harness).1, person(&harness, "petra").unwrap().name.as_str()), (false, "Petra P. Post"));
        // Of an account that nobody has taken over yet, who adds it answers for the address.
        let added = program.post("/users", &json!({ "username": "new", "name": "New", "email": "n@fulton.example" })).await;
        let new = format!("/users/{}", added.json["id"].as_str().unwrap());
        assert_eq!(program.patch(&new, "*", &json!({ "email_verified": true })).await.status, 200);
    }
}

on_both! {
    async fn its_person_confirms_it_by_a_link(db) {
        let server = MailServer::start("starttls");
        let harness = Harness::start_with(db, |config: &mut Config| server.configure(config));
        harness.apply(PETRA);
        let program = Program::new(&harness, "users");
        let path = format!("/users/{}", id_of(&harness, "petra"));
        let (mut petra, page) = open(&harness, "petra", "/account").await;
        assert_eq!(address(&page), "petra@fulton.example");
        assert_eq!(petra.get(&harness.url("/account/email")).await.at(), "/account", "nothing to confirm");
        assert_eq!(program.patch(&path, "*", &json!({ "email": "first@fulton.example" })).await.status, 200);
        server.message(2).await;
        let page = petra.get(&harness.url("/account")).await;
        assert!(page.answer().text.contains("(not confirmed)") && page.answer().text.contains("href=\"/account/email\""));
        assert!(ask(&mut petra, &harness).await.contains("We have sent a link"));
        let mail = server.message(3).await;
        assert_eq!((&mail["recipients"][0], &mail["headers"]["subject"]), (&"first@fulton.example".into(), &"Confirm your e-mail address for MDI Auth".into()));
        let first = link_in(&mail);
        assert!(ask(&mut petra, &harness).await.contains("a short while ago"), "one link at a time");
        // Another address ends the link; a new one is sent there.
        assert_eq!(program.patch(&path, "*", &json!({ "email": "second@fulton.example" })).await.status, 200);
        server.message(4).await;
        assert!(petra.get(&first).await.answer().text.contains(DEAD));
        harness.clock.advance(60);
        assert!(ask(&mut petra, &harness).await.contains("We have sent a link"));
        let second = link_in(&server.message(5).await);
        let path_of_link = second.strip_prefix(&harness.url("")).unwrap().to_owned();
        // Who reads the mail alone, who is somebody else, and a link of this kind at the page for passwords.
        let stranger = Agent::new(&harness).get(&second).await;
        assert_eq!(stranger.at(), "/login");
        let (mut mallory, page) = open(&harness, "mallory", &path_of_link).await;
        assert_eq!(page.answer().status, 400);
        assert!(page.answer().text.contains(DEAD), "{}", page.answer().text);
        let own = mallory.get(&harness.url("/account/sessions/end-all")).await;
        let csrf = hidden_fields(&own.answer().text).into_iter().find(|(name, _)| name == "csrf").unwrap();
        let posted = mallory.post(&path_of_link, &[csrf]).await;
        assert!(posted.answer().status == 400 && posted.answer().text.contains(DEAD), "{posted:?}");
        let as_password = path_of_link.replace("/account/email/", "/new-password/");
        assert!(Agent::new(&harness).get(&harness.url(&as_password)).await.answer().text.contains(DEAD));
        assert!(!settings(&harness).1);
        // Looking at it uses nothing up; of many who send it at once, one confirms.
        let page = petra.get(&second).await;
        let page = if page.answer().text.contains("Yes, it is mine") { page } else { panic!("{page:?}") };
        let start = Arc::new(Barrier::new(8));
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (request, start) = (petra.filled_in(&page, &path_of_link, &[]).header("Cookie", petra.cookie_header()), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    Answer::read(request.send().await.unwrap()).await
                })
            })
            .collect();
        let mut confirmed = 0;
        for racer in racers {
            let answer = racer.await.unwrap();
            match answer.status {
                303 => confirmed += 1,
                400 => assert!(answer.text.contains(DEAD), "{}", answer.text),
                other => panic!("{other}: {}", answer.text),
            }
        }
        assert_eq!(confirmed, 1);
        assert_eq!(settings(&harness), (Some("second@fulton.example".to_owned()), true));
        let page = petra.get(&harness.url("/account")).await;
        assert_eq!(address(&page), "second@fulton.example");
        let changed = harness.events("person.changed");
        let confirmed: Vec<&Value> = changed.iter().filter(|event| event["detail"]["action"] == "address_confirmed").collect();
        assert_eq!(confirmed.len(), 1, "{changed:?}");
        assert!(confirmed[0]["address"].is_string() && confirmed[0]["actor_kind"] == "person", "{confirmed:?}");
        let reasons: Vec<Value> = harness.events("link.used").iter().map(|event| event["detail"]["reason"].clone()).collect();
        let mallory = id_of(&harness, "mallory");
        assert!(harness.events("link.used").iter().any(|event| event["detail"]["reason"] == "link of another person" && event["actor"] == mallory.as_str()));
        for wanted in ["link of another person", "unknown link", "link has expired or was replaced"] {
            assert!(reasons.contains(&wanted.into()), "{wanted}: {reasons:?}");
        }
    }
}

#[tokio::test]
async fn links_are_few_and_end() {
    let server = MailServer::start("tls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| server.configure(config));
    harness.apply(&PETRA.replace("email_verified = true", "email_verified = false"));
    let (half, mut asked) = (harness.app.config.login.reset_seconds / 2, Vec::new());
    for _ in 0..4 {
        let (mut petra, page) = open(&harness, "petra", "/account/email").await;
        let page = petra.submit(&page, &[]).await;
        asked.push(text_of(&page, "done").contains("We have sent a link"));
        harness.clock.advance(half);
    }
    assert_eq!(asked, [true, true, true, false], "three within an hour");
    let last = link_in(&server.message(3).await);
    let last = last.strip_prefix(&harness.url("")).unwrap();
    harness.clock.advance(2 * half);
    let (_, page) = open(&harness, "petra", last).await;
    assert!(page.answer().text.contains(DEAD), "{page:?}");
}

#[tokio::test]
async fn the_pages_can_be_read_and_used() {
    let server = MailServer::start("starttls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| server.configure(config));
    harness.apply(&PETRA.replace("email_verified = true", "email_verified = false"));
    let browser = Browser::start(&harness.ca_file);
    let window = browser.window(1280, true).await;
    window.goto(harness.url("/account")).await.unwrap();
    fill(&window, "username", "petra").await;
    fill(&window, "password", PASSWORD).await;
    click(&window, "login-submit").await;
    wait_for(&window, "/account").await;
    look(&window, "address-not-confirmed", true).await;
    window.goto(harness.url("/account/email")).await.unwrap();
    look(&window, "address-confirm", true).await;
    click(&window, "confirm-address").await;
    wait_for(&window, "/account?").await;
    look(&window, "address-link-sent", true).await;
    let link = link_in(&server.message(1).await);
    window.goto(&link).await.unwrap();
    look(&window, "address-opened", true).await;
    click(&window, "confirm-address").await;
    wait_for(&window, "/account?").await;
    assert!(settings(&harness).1);
    window.goto(&link).await.unwrap();
    look(&window, "address-link-dead", true).await;
    window.quit().await.unwrap();
}
