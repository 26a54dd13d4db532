//! New passwords through the front door: by invitation, by an administrator's link, forgotten, changed, expired; and
//! everything that must not work.

use mdi_auth::config::{Config, Lockout, LockoutCovers};
use mdi_auth::model::secret::Secret;
use mdi_auth::registry::links::{self, Issued};
use mdi_auth::registry::{Decided, Registry, people};
use mdi_auth::store::audit::rows_after;
use mdi_auth::store::{Tx, people as stored};
use serde_json::Value;

use crate::harness::agent::{Agent, Page};
use crate::harness::authenticator::Authenticator;
use crate::harness::smtp::MailServer;
use crate::harness::{Answer, Db, EDRS, Harness, PASSWORD, blocking};
use crate::on_both;
use crate::person_flow::{authorize_url, redeem};
use crate::support::eventually;

const NEW: &str = "paper lantern under the fig tree";
const DEAD: &str = "This link cannot be used";

/// Somebody without a password, and somebody with a mailbox.
const GUESTS: &str = r#"
[[user]]
username = "newcomer"
name = "Nora Newcomer"

[[user]]
username = "poster"
name = "Petra Post"
password = "correct horse battery staple"
email = "petra@fulton.example"
email_verified = true
claims = { zoneinfo = "America/Chicago" }

[[user]]
username = "unproved"
name = "Una Proved"
password = "correct horse battery staple"
email = "una@fulton.example"
"#;

fn change<T: Send + 'static>(
    harness: &Harness,
    work: impl FnMut(&Registry, &mut Tx<'_>) -> Decided<T> + Send + 'static,
) -> T {
    let registry = harness.registry();
    blocking(move || registry.blocking(work).unwrap())
}

fn reset_link(harness: &Harness, username: &'static str) -> Issued {
    change(harness, move |registry, tx| {
        links::reset_link(registry, tx, username)
    })
}

fn invite(harness: &Harness, username: &'static str) -> Issued {
    change(harness, move |registry, tx| links::invite(registry, tx, username))
}

async fn choose(agent: &mut Agent<'_>, page: &Page, password: &str) -> Page {
    agent
        .submit(page, &[("password", password), ("again", password)])
        .await
}

/// The request of somebody without a second factor.
fn plain_request(harness: &Harness) -> String {
    authorize_url(harness, &[("acr_values", ""), ("scope", "openid profile")])
}

async fn sign_in<'a>(harness: &'a Harness, username: &str, password: &str) -> (Agent<'a>, Page) {
    let mut agent = Agent::new(harness);
    let login = agent.get(&plain_request(harness)).await;
    let page = agent.sign_in(login, username, password).await;
    (agent, page)
}

/// The record: events of a kind, oldest first.
async fn events(harness: &Harness, kind: &str) -> Vec<Value> {
    let rows = harness.app.store.read(|conn| {
        let mut rows = Vec::new();
        for log in 0..32 {
            rows.extend(rows_after(conn, log, 0, 10_000)?);
        }
        Ok(rows)
    });
    let mut found: Vec<Value> = rows
        .await
        .unwrap()
        .into_iter()
        .filter(|row| row.kind == kind)
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect();
    found.sort_by_key(|event| event["at_ms"].as_i64());
    found
}

/// Waits until there are so many.
async fn awaited(harness: &Harness, kind: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} × {kind}");
    eventually(
        &what,
        async || events(harness, kind).await,
        |found| found.len() >= count,
    )
    .await
}

fn heading(page: &Page) -> &str {
    let text = &page.answer().text;
    let start = text.find("<h1>").unwrap() + 4;
    &text[start..start + text[start..].find('<').unwrap()]
}

on_both! {
    async fn an_invitation_leads_to_a_password_and_a_session(db) {
        let harness = Harness::start(db);
        let outcome = harness.apply(GUESTS);
        let [issued] = &outcome.invitations[..] else { panic!("{:?}", outcome.invitations) };
        let url = issued.url.reveal();
        assert!(url.starts_with(&harness.url("/invitation/")), "{url}");
        assert!(harness.apply(GUESTS).invitations.is_empty(), "a second run makes no second link");
        let mut agent = Agent::new(&harness);
        // However often it is looked at, nothing is used up; and the secret stands in no address that is shown.
        for _ in 0..3 {
            assert_eq!(Agent::new(&harness).get(url).await.answer().status, 200);
        }
        let page = agent.get(url).await;
        assert_eq!(page.at(), "/new-password");
        let secret = url.rsplit('/').next().unwrap();
        assert!(agent.hops.iter().all(|hop| !hop.contains(secret)) && !page.answer().text.contains(secret));
        assert_eq!(heading(&page), "Choose your password");
        assert!(page.answer().text.contains("newcomer") && page.answer().text.contains("At least 15 characters"));
        // One row a mistake: what was typed, and what the page says. The link still holds.
        for (password, again, told) in [
            ("", "", "Enter a new password"),
            (NEW, "", "not the same"),
            (NEW, PASSWORD, "not the same"),
            ("short", "short", "at least 15 characters"),
            ("newcomernewcomernewcomer", "newcomernewcomernewcomer", "too easy to guess"),
        ] {
            let refused = agent.submit(&page, &[("password", password), ("again", again)]).await;
            let text = &refused.answer().text;
            assert!(refused.at() == "/new-password" && text.contains(told), "{password:?}: {text}");
            assert!(text.contains("There is a problem") && text.contains("<title>Error: "), "{password:?}");
            assert!(password.is_empty() || !text.contains(&format!("value=\"{password}\"")), "{password:?}");
        }
        choose(&mut agent, &page, NEW).await;
        assert!(agent.hops.contains(&"/account".to_owned()), "{:?}", agent.hops);
        // Signed in: an application only has to be allowed.
        let consent = agent.get(&plain_request(&harness)).await;
        assert_eq!(consent.at(), "/consent");
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(crate::person_flow::claims_of(tokens.str("id_token"))["acr"], "urn:mdi:acr:aal1");
        let (_, page) = sign_in(&harness, "newcomer", NEW).await;
        assert!(matches!(page, Page::Elsewhere(_)), "{page:?}");
        // Used once is used up, in this browser and in others.
        for mut agent in [agent, Agent::new(&harness)] {
            let dead = agent.get(url).await;
            assert_eq!((dead.answer().status, heading(&dead)), (400, DEAD));
        }
        let (issued, used) = (events(&harness, "link.issued").await, events(&harness, "link.used").await);
        assert_eq!((issued.len(), &issued[0]["detail"]["action"]), (1, &"invitation".into()));
        assert_eq!(used.iter().filter(|event| event["outcome"] == "0").count(), 1);
        let everything = format!("{issued:?}{used:?}{:?}", events(&harness, "person.changed").await);
        assert!(!everything.contains(secret) && !everything.contains(NEW), "{everything}");
    }
}

/// Neither file nor log of the database knows the secret or the password.
#[tokio::test]
async fn the_database_does_not_hold_a_link_or_password_in_the_clear() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(GUESTS);
    let url = invite(&harness, "newcomer").url.reveal().to_owned();
    let mut agent = Agent::new(&harness);
    let page = agent.get(&url).await;
    choose(&mut agent, &page, NEW).await;
    let secret = url.rsplit('/').next().unwrap();
    let contains =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let mut seen = 0;
    for entry in std::fs::read_dir(&harness.app.config.server.data_dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            seen += usize::from(contains(&bytes, Secret::new(secret).hash().as_str()));
            assert!(
                !contains(&bytes, secret) && !contains(&bytes, NEW),
                "{}",
                path.display()
            );
        }
    }
    assert!(seen > 0, "the hash of the link is there");
}

on_both! {
    async fn a_reset_link_ends_what_stood_on_the_old_password_and_skips_no_second_factor(db) {
        let harness = Harness::start(db);
        let (mut before, consent) = {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[])).await;
            let page = agent.sign_in(login, "jlehz", PASSWORD).await;
            (agent, page)
        };
        let code = before.approve(&consent).await.parameter("code").unwrap();
        let tokens = redeem(&harness, &code).await;
        let access = tokens.str("access_token").to_owned();
        let issued = reset_link(&harness, "jlehz");
        let mut agent = Agent::new(&harness);
        let page = agent.get(issued.url.reveal()).await;
        assert_eq!(heading(&page), "Choose a new password");
        // She has a second factor, so eight characters are enough.
        assert!(page.answer().text.contains("At least 8 characters"));
        assert_eq!(harness.introspect(EDRS, &access).await["active"], true, "a link that was not used changes nothing");
        choose(&mut agent, &page, NEW).await;
        assert_eq!(harness.introspect(EDRS, &access).await["active"], false);
        assert_eq!(before.get(&authorize_url(&harness, &[])).await.at(), "/login");
        assert_eq!(agent.get(&authorize_url(&harness, &[])).await.at(), "/login/second-factor");
        assert_eq!(agent.get(&harness.url("/account/password")).await.at(), "/login/second-factor");
        let changed = events(&harness, "person.changed").await;
        assert_eq!(changed.last().unwrap()["detail"]["sessions_ended"], "1", "{changed:?}");
    }
}

on_both! {
    async fn every_link_that_cannot_be_used_says_the_same(db) {
        let harness = Harness::start_with(db, |config: &mut Config| {
            config.login.lockout = Lockout::UntilAdmin;
            config.login.address_attempts_per_minute = 1000;
        });
        harness.apply(GUESTS);
        let link = |username| reset_link(&harness, username).url.reveal().to_owned();
        let used = link("poster");
        let mut agent = Agent::new(&harness);
        let page = agent.get(&used).await;
        choose(&mut agent, &page, NEW).await;
        let replaced = invite(&harness, "newcomer").url.reveal().to_owned();
        let newer = invite(&harness, "newcomer").url.reveal().to_owned();
        let roles_changed = link("clerk");
        change(&harness, |registry, tx| people::set_roles(registry, tx, "clerk", &["registrar".to_owned()]));
        let another_address = link("unproved");
        harness.apply("[[user]]\nusername = \"unproved\"\nname = \"Una Proved\"\nemail = \"una@dekalb.example\"");
        let disabled = link("norole");
        harness.disable_user("norole");
        let enabled_again = disabled.clone();
        let rows = [
            ("unknown", harness.url(&format!("/new-password/{}", "A".repeat(43)))),
            ("not even a secret", harness.url("/invitation/x")),
            ("used", used),
            ("replaced", replaced),
            ("roles changed", roles_changed),
            ("another e-mail address", another_address),
            ("disabled", disabled),
        ];
        let mut texts = Vec::new();
        for (name, url) in &rows {
            let dead = Agent::new(&harness).get(url).await;
            assert_eq!((dead.answer().status, heading(&dead)), (400, DEAD), "{name}");
            texts.push(dead.answer().text.clone());
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "one text for all");
        harness.enable_user("norole");
        assert_eq!(heading(&Agent::new(&harness).get(&enabled_again).await), DEAD, "enabling revives nothing");
        // One that holds until its time is over; and a page that was open when it ended.
        let mut agent = Agent::new(&harness);
        harness.clock.advance(7 * 86_400 - 1);
        let page = agent.get(&newer).await;
        assert_eq!(page.answer().status, 200);
        harness.clock.advance(1);
        assert_eq!(heading(&choose(&mut agent, &page, NEW).await), DEAD);
        assert_eq!(heading(&agent.get(&newer).await), DEAD);
        let reset = link("unproved");
        harness.clock.advance(86_400);
        assert_eq!(heading(&Agent::new(&harness).get(&reset).await), DEAD);
        let reasons: Vec<Value> = events(&harness, "link.used").await.iter().map(|event| event["detail"]["reason"].clone()).collect();
        for wanted in ["unknown link", "link was used before", "link has expired or was replaced", "account disabled or dormant", "account was changed since the link was made"] {
            assert!(reasons.contains(&wanted.into()), "{wanted}: {reasons:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_link_belongs_to_one_browser() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(GUESTS);
    let url = invite(&harness, "newcomer").url.reveal().to_owned();
    let (mut mine, mut other) = (Agent::new(&harness), Agent::new(&harness));
    let page = mine.get(&url).await;
    let clean = mine.hops.last().unwrap().clone();
    other.get(&harness.url("/new-password/x")).await;
    // The address of the page, in another browser or without cookies; altered; left out.
    let last = if clean.ends_with('A') { "Q" } else { "A" };
    let tampered = format!("{}{last}", &clean[..clean.len() - 1]);
    for (name, agent, path) in [
        ("another browser", &mut other, clean.as_str()),
        ("no cookies", &mut Agent::new(&harness), &clean),
        ("no state", &mut same_browser(&harness, &mine), "/new-password"),
        ("tampered", &mut same_browser(&harness, &mine), &tampered),
    ] {
        let answer = agent.get(&harness.url(path)).await;
        assert_eq!(answer.answer().status, 400, "{name}");
        assert!(
            answer.answer().text.contains("Parameter: state"),
            "{name}: {}",
            answer.answer().text
        );
    }
    // The form of one browser, posted by another (with the CSRF token of either), and from another site.
    let moved = other.submit(&page, &[("password", NEW), ("again", NEW)]).await;
    assert!(moved.answer().status == 400 && moved.answer().text.contains("Parameter: csrf"));
    let theirs = other.get(&url).await;
    let mixed = theirs.answer().text.replace(&state_of(&theirs), &state_of(&page));
    let mixed = Page::Ours {
        url: String::new(),
        answer: Answer {
            text: mixed,
            ..answer_of(theirs)
        },
    };
    let moved = other.submit(&mixed, &[("password", NEW), ("again", NEW)]).await;
    assert!(
        moved.answer().status == 400 && moved.answer().text.contains("Parameter: state"),
        "{moved:?}"
    );
    let mut foreign = prepare(&mine, &page, &[("password", NEW), ("again", NEW)])
        .build()
        .unwrap();
    foreign
        .headers_mut()
        .insert("Origin", "https://evil.example".parse().unwrap());
    assert_eq!(harness.http.execute(foreign).await.unwrap().status(), 400);
    // An open page ends after an hour; the link does not.
    harness.clock.advance(3601);
    let late = choose(&mut mine, &page, NEW).await;
    assert!(late.answer().status == 400 && late.answer().text.contains("open for too long"));
    let page = mine.get(&url).await;
    assert_eq!(page.answer().status, 200);
    choose(&mut mine, &page, NEW).await;
    assert!(mine.hops.contains(&"/account".to_owned()));
}

/// Another window of the same browser.
fn same_browser<'a>(harness: &'a Harness, agent: &Agent<'_>) -> Agent<'a> {
    let mut window = Agent::new(harness);
    window.cookies = agent.cookies.clone();
    window
}

/// The form of a link's page, filled in and not sent yet, with the cookies of now.
fn prepare(agent: &Agent<'_>, page: &Page, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    agent
        .filled_in(page, "/new-password", fields)
        .header("Cookie", agent.cookie_header())
}

fn answer_of(page: Page) -> Answer {
    match page {
        Page::Ours { answer, .. } => answer,
        Page::Elsewhere(url) => panic!("{url}"),
    }
}

fn state_of(page: &Page) -> String {
    let text = &page.answer().text;
    let start = text.find("name=\"state\" value=\"").unwrap() + "name=\"state\" value=\"".len();
    text[start..start + text[start..].find('"').unwrap()].to_owned()
}

on_both! {
    async fn one_link_has_one_winner(db) {
        let harness = Harness::start_with(db, |config: &mut Config| config.login.address_attempts_per_minute = 1000);
        harness.apply(GUESTS);
        let url = invite(&harness, "newcomer").url.reveal().to_owned();
        let mut prepared = Vec::new();
        for number in 0..16 {
            let mut agent = Agent::new(&harness);
            let page = agent.get(&url).await;
            let password = format!("{NEW} {number}");
            prepared.push((prepare(&agent, &page, &[("password", &password), ("again", &password)]), password));
        }
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(16));
        let racers: Vec<_> = prepared
            .into_iter()
            .map(|(request, password)| {
                let start = start.clone();
                tokio::spawn(async move {
                    start.wait().await;
                    (Answer::read(request.send().await.unwrap()).await, password)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for racer in racers {
            let (answer, password) = racer.await.unwrap();
            match answer.status {
                303 => winners.push(password),
                400 => assert!(answer.text.contains(DEAD)),
                other => panic!("{other}: {}", answer.text),
            }
        }
        let [winner] = &winners[..] else { panic!("{winners:?}") };
        let (_, page) = sign_in(&harness, "newcomer", winner).await;
        assert_eq!(page.at(), "/consent");
        let used = events(&harness, "link.used").await;
        assert_eq!(used.iter().filter(|event| event["outcome"] == "0").count(), 1);
    }
}

/// What somebody sees who asks for a new password.
async fn ask<'a>(harness: &'a Harness, username: &str) -> (Agent<'a>, Page) {
    let mut agent = Agent::new(harness);
    let login = agent.get(&plain_request(harness)).await;
    assert!(login.answer().text.contains("I forgot my password"));
    let pending = agent.hops.last().unwrap().split_once('?').unwrap().1.to_owned();
    let page = agent
        .get(&harness.url(&format!("/login/forgotten?{pending}")))
        .await;
    assert_eq!(heading(&page), "Forgotten password");
    let told = agent.submit(&page, &[("username", username)]).await;
    (agent, told)
}

/// The address in a mail.
fn link_in(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    text.split_whitespace()
        .find(|word| word.starts_with("https://"))
        .unwrap()
        .to_owned()
}

on_both! {
    async fn a_forgotten_password_is_replaced_by_mail(db) {
        let server = MailServer::start("starttls");
        let harness = Harness::start_with(db, |config: &mut Config| server.configure(config));
        harness.apply(GUESTS);
        let (mut agent, told) = ask(&harness, " Poster ").await;
        assert_eq!((told.at(), heading(&told)), ("/login/forgotten", "Check your mail"));
        let mail = server.message(1).await;
        assert_eq!((&mail["recipients"][0], &mail["headers"]["subject"]), (&"petra@fulton.example".into(), &"A new password for MDI Auth".into()));
        let text = mail["text"].as_str().unwrap();
        // 02:30 UTC, in her own zone.
        assert!(text.contains("November 20, 2026, 8:30 p.m. CST") && text.contains("Your username is poster"), "{text}");
        // She goes back to where she was, and signs in there with the new password.
        let mut phone = Agent::new(&harness);
        let page = phone.get(&link_in(&mail)).await;
        choose(&mut phone, &page, NEW).await;
        let mail = server.message(2).await;
        assert_eq!(mail["headers"]["subject"], "Your password for MDI Auth was changed");
        assert!(!mail["text"].as_str().unwrap().contains("https://"));
        let text = &told.answer().text;
        let start = text.find("href=\"/login?").unwrap() + 6;
        let back = text[start..start + text[start..].find('"').unwrap()].to_owned();
        let login = agent.get(&harness.url(&back)).await;
        assert!(login.answer().text.contains("Fulton County CMS"));
        assert_eq!(agent.sign_in(login, "poster", NEW).await.at(), "/consent");
        assert_eq!(sign_in(&harness, "poster", PASSWORD).await.1.at(), "/login");
        let sent = awaited(&harness, "mail.sent", 2).await;
        assert!(sent.iter().all(|event| event["outcome"] == "0"), "{sent:?}");
        let issued = events(&harness, "link.issued").await;
        assert!(issued.iter().any(|event| event["detail"]["action"] == "forgotten" && event["actor_kind"] == "stranger"));
    }
}

#[tokio::test]
async fn asking_for_a_new_password_tells_nothing_about_accounts() {
    let server = MailServer::start("tls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        server.configure(config);
        config.login.lockout = Lockout::UntilAdmin;
        config.login.lockout_covers = LockoutCovers::Account;
        config.login.known_browsers = false;
        config.login.address_attempts_per_minute = 1000;
    });
    harness.apply(GUESTS);
    harness.apply("[[user]]\nusername = \"locked\"\nname = \"Lo Cked\"\npassword = \"correct horse battery staple\"\nemail = \"lo@fulton.example\"\nemail_verified = true\n[[user]]\nusername = \"gone\"\nname = \"Go Ne\"\npassword = \"correct horse battery staple\"\nemail = \"go@fulton.example\"\nemail_verified = true");
    harness.disable_user("gone");
    for _ in 0..5 {
        sign_in(&harness, "locked", "wrong wrong wrong").await;
    }
    let known = ask(&harness, "poster").await.1;
    server.message(1).await;
    // One row a name that gets no mail, and what the record says of it.
    let rows = [
        ("nobody", "unknown username"),
        ("norole", "no e-mail address that was verified"),
        ("unproved", "no e-mail address that was verified"),
        ("gone", "account disabled or dormant"),
        ("locked", "account is locked until an administrator unlocks it"),
    ];
    let comparable = |page: &Page| {
        let text = &page.answer().text;
        let pending = text.find("pending=").unwrap() + 8;
        let end = pending + text[pending..].find('"').unwrap();
        (
            page.answer().status,
            format!("{}{}", &text[..pending], &text[end..]),
        )
    };
    for (place, (username, reason)) in rows.into_iter().enumerate() {
        let told = ask(&harness, username).await.1;
        assert_eq!(comparable(&told), comparable(&known), "{username}");
        let refused = awaited(&harness, "link.issued", place + 3).await;
        let refused: Vec<&Value> = refused.iter().filter(|event| event["outcome"] == "4").collect();
        assert!(
            refused.iter().any(|event| event["detail"]["reason"] == reason),
            "{username}: {refused:?}"
        );
        assert!(
            !format!("{refused:?}").contains("nobody"),
            "an unknown name is not written down"
        );
    }
    // An empty name is told at the field.
    let empty = ask(&harness, " ").await.1;
    assert!(empty.answer().text.contains("Enter your username"));
    // One every fifteen minutes, half the life of a link, and three an hour: what somebody else asks for ends none that
    // is young. One row a request: minutes, which mail came, or why none.
    let mut agent = Agent::new(&harness);
    for (place, (minutes, mail, reason)) in [
        (0, 1, "a link was mailed a short while ago"),
        (14, 1, "a link was mailed a short while ago"),
        (1, 2, ""),
        (15, 3, ""),
        (15, 3, "too many links within an hour"),
        (15, 4, ""),
    ]
    .into_iter()
    .enumerate()
    {
        harness.clock.advance(minutes * 60);
        ask(&harness, "poster").await;
        let last = awaited(&harness, "link.issued", place + 8).await.pop().unwrap();
        assert_eq!(
            last["detail"]["reason"].as_str().unwrap_or_default(),
            reason,
            "{place}: {last}"
        );
        let sent = server.message(mail).await;
        assert_eq!(agent.get(&link_in(&sent)).await.answer().status, 200, "{place}");
    }
    let newest = server.message(4).await;
    // The newest ended the others; one that strangers can ask for does not end an administrator's.
    for old in &server.messages()[..3] {
        assert_eq!(heading(&agent.get(&link_in(old)).await), DEAD);
    }
    assert_eq!(agent.get(&link_in(&newest)).await.answer().status, 200);
    let official = reset_link(&harness, "poster");
    assert_eq!(heading(&agent.get(&link_in(&newest)).await), DEAD);
    ask(&harness, "poster").await;
    server.message(5).await;
    assert_eq!(agent.get(official.url.reveal()).await.answer().status, 200);
}

#[tokio::test]
async fn without_mail_the_page_says_whom_to_ask_and_addresses_are_throttled() {
    let harness = Harness::start(Db::Sqlite);
    let mut agent = Agent::new(&harness);
    agent.get(&plain_request(&harness)).await;
    let pending = agent.hops.last().unwrap().split_once('?').unwrap().1.to_owned();
    let page = agent
        .get(&harness.url(&format!("/login/forgotten?{pending}")))
        .await;
    assert_eq!(heading(&page), "Ask your administrator for a new password");
    assert!(!page.answer().text.contains("<form"));
    let server = MailServer::start("tls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        server.configure(config);
        config.login.address_attempts_per_minute = 2;
    });
    for (number, wanted) in [
        (1, "Check your mail"),
        (2, "Check your mail"),
        (3, "Forgotten password"),
    ] {
        let told = ask(&harness, "nobody").await.1;
        assert_eq!(heading(&told), wanted, "{number}");
        assert_eq!(told.answer().text.contains("too many attempts"), number == 3);
    }
}

on_both! {
    async fn a_failure_lock_is_released_by_a_mailed_link(db) {
        let server = MailServer::start("tls");
        let harness = Harness::start_with(db, |config: &mut Config| {
            server.configure(config);
            // Of the password alone: whoever reads the mail is not locked out.
            (config.login.lockout, config.login.lockout_covers) = (Lockout::UntilAdmin, LockoutCovers::Password);
        });
        harness.apply(GUESTS);
        for _ in 0..5 {
            sign_in(&harness, "poster", "wrong wrong wrong").await;
        }
        assert_eq!(sign_in(&harness, "poster", PASSWORD).await.1.at(), "/login", "locked");
        ask(&harness, "poster").await;
        let mut agent = Agent::new(&harness);
        let page = agent.get(&link_in(&server.message(1).await)).await;
        choose(&mut agent, &page, NEW).await;
        assert_eq!(sign_in(&harness, "poster", NEW).await.1.at(), "/consent");
    }
}

on_both! {
    async fn a_changed_password_keeps_this_session_and_ends_the_others(db) {
        let server = MailServer::start("tls");
        let harness = Harness::start_with(db, |config: &mut Config| server.configure(config));
        harness.apply(GUESTS);
        let (mut agent, consent) = sign_in(&harness, "poster", PASSWORD).await;
        let tokens = redeem(&harness, &agent.approve(&consent).await.parameter("code").unwrap()).await;
        let (mut other, _) = sign_in(&harness, "poster", PASSWORD).await;
        let page = agent.get(&harness.url("/account/password")).await;
        assert_eq!((page.at(), heading(&page)), ("/account/password", "Change your password"));
        for (current, password, again, told) in [
            ("", NEW, NEW, "Enter your current password"),
            ("wrong wrong wrong", NEW, NEW, "not your current password"),
            (PASSWORD, "", "", "Enter a new password"),
            (PASSWORD, NEW, PASSWORD, "not the same"),
            (PASSWORD, "short", "short", "at least 15 characters"),
        ] {
            let fields = [("current", current), ("password", password), ("again", again)];
            let refused = agent.submit(&page, &fields).await;
            assert!(refused.answer().text.contains(told), "{told}: {}", refused.answer().text);
        }
        let old_cookies = agent.cookies.clone();
        let done = agent.submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)]).await;
        assert_eq!(heading(&done), "Your password was changed");
        assert!(!done.answer().text.contains("passkeys"), "she has none");
        assert_ne!(agent.cookies, old_cookies, "the session has another cookie");
        // This one goes on, the others and the old cookie do not; what was allowed ends.
        assert_eq!(agent.get(&harness.url("/account/password")).await.at(), "/account/password");
        assert_eq!(other.get(&harness.url("/account/password")).await.at(), "/login");
        let mut thief = Agent::new(&harness);
        thief.cookies = old_cookies;
        assert_eq!(thief.get(&harness.url("/account/password")).await.at(), "/login");
        let answer = harness.http.get(harness.url("/oauth2/userinfo")).bearer_auth(tokens.str("access_token")).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(server.message(1).await["headers"]["subject"], "Your password for MDI Auth was changed");
        assert_eq!(sign_in(&harness, "poster", NEW).await.1.at(), "/consent");
        // Only soon after signing in.
        harness.clock.advance(901);
        assert_eq!(agent.get(&harness.url("/account/password")).await.at(), "/login");
        assert!(events(&harness, "login.failed").await.iter().any(|event| event["detail"]["reason"] == "wrong current password"));
    }
}

#[tokio::test]
async fn guessing_the_current_password_locks_as_guessing_at_the_login_does() {
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        config.login.known_browsers = false
    });
    harness.apply(GUESTS);
    let (mut agent, _) = sign_in(&harness, "poster", PASSWORD).await;
    let page = agent.get(&harness.url("/account/password")).await;
    for _ in 0..5 {
        agent
            .submit(
                &page,
                &[
                    ("current", "wrong wrong wrong"),
                    ("password", NEW),
                    ("again", NEW),
                ],
            )
            .await;
    }
    let refused = agent
        .submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)])
        .await;
    assert!(refused.answer().text.contains("not your current password"));
    assert_eq!(sign_in(&harness, "poster", PASSWORD).await.1.at(), "/login");
    assert_eq!(events(&harness, "login.locked").await.len(), 1);
}

on_both! {
    async fn an_expired_password_is_replaced_on_the_way(db) {
        let harness = Harness::start_with(db, |config: &mut Config| {
            config.login.password_days = 90;
            config.login.password_history = 3;
        });
        harness.apply(GUESTS);
        harness.clock.advance(90 * 86_400);
        let (mut agent, page) = sign_in(&harness, "poster", PASSWORD).await;
        assert_eq!((page.at(), heading(&page)), ("/login/new-password", "Choose a new password"));
        assert!(page.answer().text.contains("too old"));
        // Nothing else works first, and the old one is no new one.
        assert_eq!(agent.get(&plain_request(&harness)).await.at(), "/login/new-password");
        assert_eq!(agent.get(&harness.url("/account/password")).await.at(), "/login/new-password");
        // Whoever finds the browser open knows the old one no more than at /account/password.
        for (current, password, told) in [
            ("", NEW, "Enter your current password"),
            ("wrong wrong wrong", NEW, "not your current password"),
            (PASSWORD, PASSWORD, "not one of your last 3"),
        ] {
            let fields = [("current", current), ("password", password), ("again", password)];
            let refused = agent.submit(&page, &fields).await;
            assert!(refused.at() == "/login/new-password" && refused.answer().text.contains(told), "{told}: {refused:?}");
            assert!(!refused.answer().text.contains("Cancel"), "there is no way around");
        }
        let failed = events(&harness, "login.failed").await;
        assert_eq!((failed.len(), &failed[0]["detail"]["reason"]), (1, &"wrong current password".into()));
        // It goes on to the application, which had asked for this very sign-in.
        let consent = agent.submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)]).await;
        assert_eq!(consent.at(), "/consent");
        agent.approve(&consent).await.elsewhere();
        // The page leads on when nothing is due.
        let again = choose(&mut agent, &page, NEW).await;
        assert!(matches!(again, Page::Elsewhere(_)), "{again:?}");
    }
}

#[tokio::test]
async fn guessing_at_an_expired_password_locks_as_guessing_at_the_login_does() {
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        config.login.password_days = 90;
        config.login.known_browsers = false;
    });
    harness.apply(GUESTS);
    harness.clock.advance(90 * 86_400);
    let (mut agent, page) = sign_in(&harness, "poster", PASSWORD).await;
    for _ in 0..5 {
        agent
            .submit(
                &page,
                &[
                    ("current", "wrong wrong wrong"),
                    ("password", NEW),
                    ("again", NEW),
                ],
            )
            .await;
    }
    let refused = agent
        .submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)])
        .await;
    assert!(refused.answer().text.contains("not your current password"));
    assert_eq!(events(&harness, "login.locked").await.len(), 1);
}

/// With a good link or session, hashing is as dear as at the login: the address has as many attempts.
#[tokio::test]
async fn refused_passwords_are_throttled_by_address() {
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        config.login.password_history = 3;
        config.login.address_attempts_per_minute = 2;
    });
    harness.apply(GUESTS);
    let (mut agent, _) = sign_in(&harness, "poster", PASSWORD).await;
    let page = agent.get(&harness.url("/account/password")).await;
    for told in [
        "not one of your last 3",
        "not one of your last 3",
        "too many attempts",
    ] {
        let fields = [("current", PASSWORD), ("password", PASSWORD), ("again", PASSWORD)];
        let refused = agent.submit(&page, &fields).await;
        assert!(
            refused.answer().text.contains(told),
            "{told}: {}",
            refused.answer().text
        );
    }
    harness.clock.advance(60);
    let url = reset_link(&harness, "poster").url.reveal().to_owned();
    let mut agent = Agent::new(&harness);
    let page = agent.get(&url).await;
    for told in [
        "not one of your last 3",
        "not one of your last 3",
        "too many attempts",
    ] {
        let refused = choose(&mut agent, &page, PASSWORD).await;
        assert!(
            refused.at() == "/new-password" && refused.answer().text.contains(told),
            "{told}"
        );
    }
    assert!(
        choose(&mut agent, &page, NEW)
            .await
            .answer()
            .text
            .contains("too many attempts")
    );
    // The link holds, and what succeeds is given back.
    harness.clock.advance(60);
    choose(&mut agent, &page, NEW).await;
    assert!(agent.hops.contains(&"/account".to_owned()), "{:?}", agent.hops);
    for _ in 0..3 {
        assert_eq!(sign_in(&harness, "poster", NEW).await.1.at(), "/consent");
    }
}

/// Somebody whom an agency's identity provider signs in has no password to change.
#[tokio::test]
async fn without_a_password_the_page_says_so() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(GUESTS);
    let (mut agent, _) = sign_in(&harness, "poster", PASSWORD).await;
    let page = agent.get(&harness.url("/account/password")).await;
    let written = harness.app.store.write(|tx| {
        let mut person = stored::find_by_username(tx.conn(), "poster")?.unwrap();
        person.password = None;
        stored::put(tx.conn(), &person)
    });
    written.await.unwrap();
    let posted = agent
        .submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)])
        .await;
    for page in [posted, agent.get(&harness.url("/account/password")).await] {
        assert_eq!(
            (page.at(), heading(&page)),
            ("/account/password", "Your account has no password")
        );
        assert!(
            page.answer().text.contains("through your agency")
                && !page.answer().text.contains("name=\"current\"")
        );
    }
    assert!(events(&harness, "login.failed").await.is_empty());
}

/// NIST SP 800-53 AC-8: also on this way in.
#[tokio::test]
async fn the_system_use_notice_is_shown_to_whoever_comes_by_a_link() {
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| {
        config.server.banner = Some("For official use.\nUse is recorded.".to_owned());
    });
    harness.apply(GUESTS);
    let page = Agent::new(&harness)
        .get(invite(&harness, "newcomer").url.reveal())
        .await;
    let text = &page.answer().text;
    assert!(
        text.contains("For official use.") && text.contains("You accept this when you save your password"),
        "{text}"
    );
}

/// NIST SP 800-63B-4 §4.1.2: the person is told of every authenticator that is bound to her account; and a new password
/// does not end what somebody else has added.
#[tokio::test]
async fn what_happens_to_passkeys_and_the_password_is_told_by_mail() {
    let server = MailServer::start("starttls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| server.configure(config));
    harness.apply(GUESTS);
    for username in ["unproved", "poster"] {
        let (mut agent, _) = sign_in(&harness, username, PASSWORD).await;
        let page = agent.get(&harness.url("/account/passkeys/add")).await;
        let answer = Authenticator::new(&harness).create(&page);
        agent
            .submit(&page, &[("name", "Call 555 0100"), ("credential", &answer)])
            .await;
        let page = agent.get(&harness.url("/account/password")).await;
        let done = agent
            .submit(&page, &[("current", PASSWORD), ("password", NEW), ("again", NEW)])
            .await;
        assert!(done.answer().text.contains("check under “My access”"), "{done:?}");
        let page = agent.get(&harness.url("/account")).await;
        agent.submit_to(&page, "/account/passkeys/remove", &[]).await;
    }
    // Nothing went to the address that nobody has proved.
    server.message(3).await;
    let rows = [
        (
            "MDI Auth: A passkey was added to your account",
            "A passkey was added to your account on November 20, 2026, 8:",
        ),
        (
            "Your password for MDI Auth was changed",
            "check under “My access”",
        ),
        (
            "MDI Auth: A passkey was removed from your account",
            "call your administrator now",
        ),
    ];
    for (mail, (subject, told)) in server.messages().iter().zip(rows) {
        let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(
            (&mail["recipients"][0], &mail["headers"]["subject"]),
            (&"petra@fulton.example".into(), &subject.into())
        );
        assert!(text.contains(told) && !text.contains("https://"), "{text}");
        // What a stranger could have typed is not repeated.
        assert!(!text.contains("555"), "{text}");
    }
    let sent = awaited(&harness, "mail.sent", 3).await;
    let about: Vec<&Value> = sent.iter().map(|event| &event["detail"]["about"]).collect();
    assert_eq!(
        about,
        [
            "second factor changed",
            "password changed",
            "second factor changed"
        ]
    );
}
