//! "My access": what is listed, what ends, and that nobody reaches into what is somebody else's.

use jiff::tz::TimeZone;
use mdi_auth::app::logo::Logo;
use mdi_auth::audit::event::Kind;
use mdi_auth::clock::local_time::{Zone, day_in_words};
use mdi_auth::login::device;
use mdi_auth::model::person::PersonSettings;
use mdi_auth::store::audit::{Concerned, last_of};
use mdi_auth::store::{people, sessions};
use serde_json::{Value, json};

use crate::harness::agent::{Agent, Page, hidden_fields};
use crate::harness::{Answer, Db, EDRS, Harness, PASSWORD};
use crate::on_both;
use crate::person_flow::{authorize_url, redeem, refresh};
use crate::support::TempDir;

const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0";
const END: &str = "/account/applications/end?client_id=fulton-cms";
const SCOPE: [(&str, &str); 1] = [("scope", "openid offline_access user/Patient.rs")];

/// A browser in which somebody is signed in and looks at her page.
async fn signed_in<'a>(harness: &'a Harness, username: &str) -> (Agent<'a>, Page) {
    let mut agent = Agent::new(harness);
    agent.name = FIREFOX;
    // A code works once.
    harness.clock.advance(30);
    let login = agent.get(&harness.url("/account")).await;
    assert_eq!(login.at(), "/login");
    let page = agent.sign_in(login, username, PASSWORD).await;
    assert_eq!((page.at(), page.answer().status), ("/account", 200));
    (agent, page)
}

/// Allows the case system what it asks for; answers its tokens.
async fn allow(harness: &Harness, agent: &mut Agent<'_>) -> Answer {
    let consent = agent.get(&authorize_url(harness, &SCOPE)).await;
    assert_eq!(consent.at(), "/consent");
    let done = agent.approve(&consent).await;
    redeem(harness, &done.parameter("code").unwrap()).await
}

async fn account(agent: &mut Agent<'_>, harness: &Harness) -> Page {
    agent.get(&harness.url("/account")).await
}

/// The text of a page, without its tags and with single blanks.
fn words(page: &Page) -> String {
    let parts = page
        .answer()
        .text
        .split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let text = parts.collect::<Vec<_>>().join(" ");
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace(" ,", ",")
}

/// The CSRF token of the button that signs out.
fn csrf(page: &Page) -> String {
    page.answer()
        .text
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}

fn form(csrf: &str, name: &str, value: &str) -> Vec<(String, String)> {
    vec![
        ("csrf".to_owned(), csrf.to_owned()),
        (name.to_owned(), value.to_owned()),
    ]
}

async fn person_id(harness: &Harness, username: &'static str) -> String {
    harness
        .app
        .store
        .read(move |conn| people::find_by_username(conn, username))
        .await
        .unwrap()
        .unwrap()
        .id
}

async fn session_ids(harness: &Harness, username: &'static str) -> Vec<String> {
    let id = person_id(harness, username).await;
    let sessions = harness
        .app
        .store
        .read(move |conn| sessions::of_person(conn, &id))
        .await
        .unwrap();
    sessions.into_iter().map(|session| session.id).collect()
}

/// The events of a kind that concern somebody, the newest first.
async fn events(harness: &Harness, username: &'static str, kind: Kind) -> Vec<Value> {
    let id = person_id(harness, username).await;
    let rows = harness
        .app
        .store
        .read(move |conn| last_of(conn, &Concerned::Person(id.clone()), &[kind], 0, 100))
        .await
        .unwrap();
    rows.iter()
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

async fn is_active(harness: &Harness, tokens: &Answer) -> bool {
    harness.introspect(EDRS, tokens.str("access_token")).await["active"]
        .as_bool()
        .unwrap()
}

on_both! {
    async fn everything_is_listed(db) {
        let harness = Harness::start(db);
        let (mut agent, first) = signed_in(&harness, "jlehz").await;
        let text = words(&first);
        for part in [
            "Name Jane Lehz, MD", "Username jlehz", "Agency Fulton County ME", "Roles Medical examiner",
            "Password Set November 20, 2026, 9:00 p.m. EST", "Authenticator app Last used November 20, 2026, 9:00 p.m. EST",
            "Passkeys and security keys None.", "Recovery codes None left.",
            "Firefox on Windows This browser Address 127.0.0.1", "with password and security code",
            "Applications you allowed None.",
            "Signed in with password and security code November 20, 2026, 9:00 p.m. EST Address 127.0.0.1",
            "Signed in as Jane Lehz, MD My access Sign out",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains("everywhere else"), "there is nothing else");
        assert!(!text.contains("Not finished"), "the two steps of one sign-in are one");
        assert!(first.answer().text.contains("<time datetime=\"2026-11-20T21:00:30-05:00\">"));
        assert_eq!(first.answer().header("cache-control"), "no-store");
        allow(&harness, &mut agent).await;
        let text = words(&account(&mut agent, &harness).await);
        for part in [
            "Fulton County CMS Fulton County ME It may:", "Keep this access after you have signed out", "Connects again without asking you",
            // 30 days from now, behind the end of nothing.
            "Allowed November 20, 2026, 9:00 p.m. EST Connected until December 20, 2026, 9:00 p.m. EST",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        // Somebody tries to be her.
        harness.clock.advance(60);
        let mut other = Agent::new(&harness);
        let login = other.get(&authorize_url(&harness, &[])).await;
        let again = other.submit(&login, &[("username", "jlehz"), ("password", "wrong")]).await;
        other.submit(&again, &[("username", "jlehz"), ("password", PASSWORD)]).await;
        let text = words(&account(&mut agent, &harness).await);
        assert!(text.contains("Failed: wrong password"), "{text}");
        assert!(text.contains("Not finished: began with password, but did not take the second step"), "{text}");
        assert!(!text.contains("A browser"), "who has not shown the second factor is not signed in: {text}");
        // Nobody else sees it.
        let (_, clerk) = signed_in(&harness, "clerk").await;
        let text = words(&clerk);
        assert!(!text.contains("jlehz") && !text.contains("Fulton County CMS") && !text.contains("wrong password"), "{text}");
    }
}

on_both! {
    async fn what_an_application_was_allowed_is_taken_back(db) {
        let harness = Harness::start(db);
        let (mut agent, _) = signed_in(&harness, "jlehz").await;
        let tokens = allow(&harness, &mut agent).await;
        // Another sign-in of the same application, by remembered consent.
        let again = agent.get(&authorize_url(&harness, &SCOPE)).await;
        let second = redeem(&harness, &again.parameter("code").unwrap()).await;
        assert!(is_active(&harness, &tokens).await && is_active(&harness, &second).await);
        let asked = agent.get(&harness.url(END)).await;
        let text = words(&asked);
        assert!(text.contains("Take back what you allowed Fulton County CMS?"), "{text}");
        assert!(text.contains("When you next sign in to it, it asks you again."), "{text}");
        assert!(is_active(&harness, &tokens).await, "asking does nothing");
        let done = agent.submit(&asked, &[]).await;
        assert_eq!(done.at(), "/account");
        assert!(words(&done).contains("The application can do nothing for you any more."));
        assert!(words(&done).contains("Applications you allowed None."));
        assert!(!is_active(&harness, &tokens).await && !is_active(&harness, &second).await);
        assert_eq!(refresh(&harness, second.str("refresh_token")).await.error(), "invalid_grant");
        assert_eq!(agent.get(&authorize_url(&harness, &SCOPE)).await.at(), "/consent", "what was remembered is forgotten");
        let events = events(&harness, "jlehz", Kind::ConsentRevoked).await;
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0]["client_id"], &events[0]["outcome"]), (&json!("fulton-cms"), &json!("0")));
        assert_eq!(events[0]["detail"]["grants"].as_str().unwrap().split(' ').count(), 2);
        // Twice is not possible: there is nothing left.
        let twice = agent.submit(&asked, &[]).await;
        assert_eq!(twice.answer().status, 404);
        assert_eq!(agent.get(&harness.url(END)).await.answer().status, 404);
    }
}

on_both! {
    async fn taking_back_needs_a_fresh_sign_in(db) {
        let harness = Harness::start(db);
        let (mut agent, page) = signed_in(&harness, "jlehz").await;
        let csrf = csrf(&page);
        let tokens = allow(&harness, &mut agent).await;
        harness.clock.advance(901);
        assert_eq!(agent.get(&harness.url(END)).await.at(), "/login");
        let login = agent.post(END, &form(&csrf, "client_id", "fulton-cms")).await;
        assert_eq!(login.at(), "/login");
        let renewed = refresh(&harness, tokens.str("refresh_token")).await;
        assert!(is_active(&harness, &renewed).await, "nothing was done");
        // After the sign-in the page asks once more.
        let asked = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(asked.at(), "/account/applications/end");
        assert_eq!(agent.submit(&asked, &[]).await.at(), "/account");
        assert!(!is_active(&harness, &renewed).await);
    }
}

on_both! {
    async fn sessions_end_one_by_one_and_all_at_once(db) {
        let harness = Harness::start(db);
        let (mut first, _) = signed_in(&harness, "jlehz").await;
        let (mut second, _) = signed_in(&harness, "jlehz").await;
        let (mut third, _) = signed_in(&harness, "jlehz").await;
        let ids = session_ids(&harness, "jlehz").await;
        assert_eq!(ids.len(), 3);
        let page = account(&mut first, &harness).await;
        assert_eq!(page.answer().text.matches("action=\"/account/sessions/end\"").count(), 2, "not this one");
        // The one that a row names, and no other.
        let of_row = hidden_fields(&page.answer().text).into_iter().filter(|(name, _)| name == "id").map(|(_, id)| id);
        let named: Vec<String> = of_row.collect();
        let done = first.submit_form(&page, &named[0], &[]).await;
        assert!(words(&done).contains("That browser is signed out."), "{}", words(&done));
        let left = session_ids(&harness, "jlehz").await;
        assert!(left.len() == 2 && !left.contains(&named[0]) && left.contains(&named[1]));
        // The record is in the order of its times.
        harness.clock.advance(1);
        // Pressed twice: it is done already.
        assert!(words(&first.submit_form(&page, &named[0], &[]).await).contains("That browser is signed out."));
        let alive = [account(&mut second, &harness).await.at() == "/account", account(&mut third, &harness).await.at() == "/account"];
        assert_eq!(alive.iter().filter(|alive| **alive).count(), 1, "its cookie is dead");
        let page = account(&mut first, &harness).await;
        let done = first.submit_form(&page, "/account/sessions/end-others", &[]).await;
        assert!(words(&done).contains("You are signed out everywhere else."));
        assert_eq!(session_ids(&harness, "jlehz").await.len(), 1);
        for agent in [&mut second, &mut third] {
            assert_eq!(account(agent, &harness).await.at(), "/login");
        }
        harness.clock.advance(1);
        // Everywhere: asked first; applications that did not stay connected go with it.
        let consent = first.get(&authorize_url(&harness, &[("scope", "openid user/Patient.rs")])).await;
        let tokens = redeem(&harness, &first.approve(&consent).await.parameter("code").unwrap()).await;
        assert!(is_active(&harness, &tokens).await);
        let asked = first.get(&harness.url("/account/sessions/end-all")).await;
        let over = first.submit(&asked, &[]).await;
        assert!(words(&over).contains("You are signed out"), "{}", words(&over));
        assert_eq!(account(&mut first, &harness).await.at(), "/login");
        assert!(!is_active(&harness, &tokens).await);
        let ended = events(&harness, "jlehz", Kind::SessionEnded).await;
        let reasons: Vec<&str> = ended.iter().map(|event| event["detail"]["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["signed out everywhere", "signed out everywhere else", "signed out on the account page"]);
    }
}

on_both! {
    async fn nobody_reaches_into_what_is_somebody_elses(db) {
        let harness = Harness::start(db);
        let (mut agent, page) = signed_in(&harness, "jlehz").await;
        let tokens = allow(&harness, &mut agent).await;
        let hers = session_ids(&harness, "jlehz").await.remove(0);
        let (mut clerk, clerks) = signed_in(&harness, "clerk").await;
        let (own, foreign) = (csrf(&clerks), csrf(&page));
        let rows: [(&str, &str, &str, &str, u16); 9] = [
            ("somebody's session", "/account/sessions/end", "id", &hers, 404),
            ("no session", "/account/sessions/end", "id", "ses_nothing", 404),
            ("no id", "/account/sessions/end", "other", "", 404),
            ("somebody's application", "/account/applications/end", "client_id", "fulton-cms", 404),
            ("no application", "/account/applications/end", "client_id", "nobody", 404),
            ("a client that people never sign in to", "/account/applications/end", "client_id", "lims-secret", 404),
            ("no client", "/account/applications/end", "other", "", 404),
            ("an answer is a form's", "/account/sessions/end-others?csrf=x", "csrf", &own, 400),
            ("GET changes nothing", "/account/applications/end", "csrf", &own, 400),
        ];
        let mut texts = Vec::new();
        for (rule, path, name, value, status) in rows {
            let answer = clerk.post(path, &form(&own, name, value)).await;
            assert_eq!(answer.answer().status, status, "{rule}");
            if status == 404 {
                texts.push(words(&answer).split("Reference").next().unwrap().to_owned());
            }
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "a refusal says nothing: {texts:?}");
        assert_eq!(clerk.get(&harness.url(END)).await.answer().status, 404);
        let refused = events(&harness, "clerk", Kind::SessionEnded).await;
        assert_eq!(refused.len(), 1, "the attempt is on record: {refused:?}");
        assert_eq!((&refused[0]["outcome"], &refused[0]["detail"]["session"]), (&json!("8"), &json!(hers)));
        // Without the form of this very browser.
        for path in ["/account/sessions/end", "/account/sessions/end-others", "/account/sessions/end-all", "/account/applications/end"] {
            for token in [foreign.as_str(), "", "x"] {
                let answer = clerk.post(path, &form(token, "client_id", "fulton-cms")).await;
                assert_eq!(answer.answer().status, 400, "{path}");
                assert!(answer.answer().text.contains("csrf"), "{path}");
            }
            assert_eq!(Agent::new(&harness).post(path, &form("x", "id", &hers)).await.at(), "/login", "{path}");
        }
        // Nobody signed in, with a form that was right before.
        let mut stranger = Agent::new(&harness);
        for path in ["/account", "/account/sessions/end-all", END] {
            assert_eq!(stranger.get(&harness.url(path)).await.at(), "/login", "{path}");
        }
        stranger.cookies = clerk.cookies.clone();
        stranger.cookies.retain(|name, _| name.contains("browser"));
        for path in ["/account/sessions/end", "/account/sessions/end-all", "/account/applications/end"] {
            assert_eq!(stranger.post(path, &form(&own, "id", &hers)).await.at(), "/login", "{path}");
        }
        assert_eq!(account(&mut agent, &harness).await.at(), "/account", "she is still there");
        assert_eq!(account(&mut clerk, &harness).await.at(), "/account");
        assert!(is_active(&harness, &tokens).await);
    }
}

on_both! {
    async fn what_is_over_is_not_listed(db) {
        let harness = Harness::start(db);
        let (mut agent, _) = signed_in(&harness, "jlehz").await;
        allow(&harness, &mut agent).await;
        // The connection ends by itself; what is remembered stays.
        harness.clock.advance(31 * 86_400);
        let (mut agent, page) = signed_in(&harness, "jlehz").await;
        let text = words(&page);
        assert!(text.contains("Fulton County CMS") && text.contains("Not connected now Connects again"), "{text}");
        let asked = agent.get(&harness.url(END)).await;
        assert_eq!(agent.submit(&asked, &[]).await.at(), "/account");
        assert!(words(&account(&mut agent, &harness).await).contains("Applications you allowed None."));
        allow(&harness, &mut agent).await;
        harness.disable_client("fulton-cms");
        assert!(words(&account(&mut agent, &harness).await).contains("Applications you allowed None."));
    }
}

on_both! {
    async fn times_are_those_of_the_person(db) {
        let harness = Harness::start(db);
        harness.apply(
            "[[user]]\nusername = \"jlehz\"\nlicense_expires = \"2026-11-20\"\nclaims = { zoneinfo = \"America/Denver\" }\n\
             [[user]]\nusername = \"clerk\"\nlicense_expires = \"2027-03-31\"\nclaims = { zoneinfo = \"Mars/Olympus\" }\n",
        );
        let (_, page) = signed_in(&harness, "jlehz").await;
        assert!(words(&page).contains("Signed in November 20, 2026, 7:00 p.m. MST"), "{}", words(&page));
        assert!(words(&page).contains("License Good through November 20, 2026"));
        let (_, page) = signed_in(&harness, "clerk").await;
        assert!(words(&page).contains("Signed in November 20, 2026, 9:01 p.m. EST"), "{}", words(&page));
        assert!(words(&page).contains("License Good through March 31, 2027"));
        harness.clock.advance(6 * 3600);
        let (_, page) = signed_in(&harness, "jlehz").await;
        assert!(words(&page).contains("License Ended on November 20, 2026."), "{}", words(&page));
    }
}

#[test]
fn moments_in_words() {
    // Zone of the person, seconds since the epoch, words, RFC 3339.
    let rows: &[(Value, i64, &str, &str)] = &[
        (
            Value::Null,
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        // Clocks go back at 2 a.m.: the hour comes twice, and the abbreviation tells which.
        (
            Value::Null,
            1_793_511_000,
            "November 1, 2026, 1:30 a.m. EDT",
            "2026-11-01T01:30:00-04:00",
        ),
        (
            Value::Null,
            1_793_514_600,
            "November 1, 2026, 1:30 a.m. EST",
            "2026-11-01T01:30:00-05:00",
        ),
        // Clocks go forward: no 2 o'clock on that day.
        (
            Value::Null,
            1_772_953_199,
            "March 8, 2026, 1:59 a.m. EST",
            "2026-03-08T01:59:59-05:00",
        ),
        (
            Value::Null,
            1_772_953_200,
            "March 8, 2026, 3:00 a.m. EDT",
            "2026-03-08T03:00:00-04:00",
        ),
        (
            json!("America/Los_Angeles"),
            1_795_226_700,
            "November 20, 2026, 6:05 p.m. PST",
            "2026-11-20T18:05:00-08:00",
        ),
        (
            json!("America/Phoenix"),
            1_772_953_200,
            "March 8, 2026, 12:00 a.m. MST",
            "2026-03-08T00:00:00-07:00",
        ),
        (
            json!("America/Chicago"),
            1_795_284_000,
            "November 21, 2026, 12:00 p.m. CST",
            "2026-11-21T12:00:00-06:00",
        ),
        (
            json!("Pacific/Honolulu"),
            1_795_226_700,
            "November 20, 2026, 4:05 p.m. HST",
            "2026-11-20T16:05:00-10:00",
        ),
        (
            json!("UTC"),
            1_795_226_700,
            "November 21, 2026, 2:05 a.m. UTC",
            "2026-11-21T02:05:00+00:00",
        ),
        (
            json!("America/Sao_Paulo"),
            1_795_226_700,
            "November 20, 2026, 11:05 p.m. UTC-03:00",
            "2026-11-20T23:05:00-03:00",
        ),
        // What is no zone is that of the installation.
        (
            json!("Mars/Olympus"),
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        (
            json!("Etc/Unknown"),
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        (
            json!("../../etc/passwd"),
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        (
            json!(""),
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        (
            json!(5),
            1_795_226_700,
            "November 20, 2026, 9:05 p.m. EST",
            "2026-11-20T21:05:00-05:00",
        ),
        (
            Value::Null,
            i64::MAX,
            "December 31, 1969, 7:00 p.m. EST",
            "1969-12-31T19:00:00-05:00",
        ),
    ];
    let installation = TimeZone::get("America/New_York").unwrap();
    for (zone, seconds, words, machine) in rows {
        let mut settings = PersonSettings::default();
        settings.claims.insert("zoneinfo".to_owned(), zone.clone());
        let when = Zone::of(&settings, &installation).when(*seconds);
        assert_eq!(
            (when.words.as_str(), when.machine.as_str()),
            (*words, *machine),
            "{zone} {seconds}"
        );
    }
    assert_eq!(day_in_words("2027-03-01"), "March 1, 2027");
    assert_eq!(day_in_words("soon"), "soon");
}

#[test]
fn browsers_in_words() {
    let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
    let rows = [
        (FIREFOX.to_owned(), "Firefox on Windows"),
        (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/142.0.0.0 Safari/537.36"), "Chrome on Windows"),
        (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"), "Edge on Windows"),
        (format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {webkit} Chrome/142.0.0.0 Safari/537.36"), "Chrome on Chromebook"),
        (format!("Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/142.0.0.0 Mobile Safari/537.36"), "Chrome on Android"),
        (format!("Mozilla/5.0 (Linux; Android 10; K) {webkit} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"), "Samsung Internet on Android"),
        (format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/142.0.0.0 Safari/537.36"), "Chrome on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15".to_owned(), "Safari on Mac"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1".to_owned(), "Safari on iPhone"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1".to_owned(), "Chrome on iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/143.0 Mobile/15E148 Safari/604.1".to_owned(), "Firefox on iPad"),
        ("Mozilla/5.0 (Plan9) Firefox/143.0".to_owned(), "Firefox"),
        // Programs, liars and nothing at all.
        ("curl/8.14 (Linux)".to_owned(), "A browser"),
        ("Firefox".to_owned(), "A browser"),
        ("Mozilla/5.0 (Windows NT 10.0)".to_owned(), "A browser"),
        ("<script>".to_owned(), "A browser"),
        (String::new(), "A browser"),
    ];
    for (user_agent, wanted) in rows {
        assert_eq!(device::in_words(&user_agent), wanted, "{user_agent}");
    }
}

#[tokio::test]
async fn the_logo_is_an_image_and_nothing_else() {
    let dir = TempDir::new();
    let put = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 64]].concat();
    for (name, content, content_type) in [
        ("a.svg", svg.as_slice(), "image/svg+xml"),
        ("b.png", &png, "image/png"),
    ] {
        let path = put(name, content);
        let harness = Harness::start_with(Db::Sqlite, |config| {
            config.server.name = "Georgia MDI sign-in".to_owned();
            config.server.logo_file = Some(path);
        });
        let page = Agent::new(&harness).get(&harness.url("/account")).await;
        let text = &page.answer().text;
        assert!(
            text.contains("<title>Sign in - Georgia MDI sign-in</title>"),
            "{text}"
        );
        let tag = text.split("<img").nth(1).unwrap().split('>').next().unwrap();
        assert!(tag.contains("alt=\"Georgia MDI sign-in logo\""), "{tag}");
        let url = tag.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
        let extension = &name[2..];
        assert!(
            url.starts_with("/static/logo.") && url.ends_with(extension) && url.len() == 33,
            "{url}"
        );
        let answer = harness.http.get(harness.url(url)).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (answer.status().as_u16(), header("content-type").as_str()),
            (200, content_type)
        );
        assert!(header("cache-control").contains("immutable"));
        assert!(
            header("content-security-policy").starts_with("default-src 'none'"),
            "opened by itself it runs nothing"
        );
        assert!(header("content-security-policy").ends_with("sandbox"));
        assert_eq!(answer.bytes().await.unwrap(), content);
        assert_eq!(harness.get("/static/logo.0000000000000000.svg").await.status, 404);
    }
    // What is no logo stops the start.
    let rows = [
        (dir.path().join("missing.svg"), "missing.svg"),
        (
            put("c.svg", &[svg.as_slice(), &[b' '; 200 * 1024]].concat()),
            "at most 204800",
        ),
        (put("d.gif", b"GIF89a"), "an SVG or a PNG"),
        (put("e.html", b"<html><img></html>"), "an SVG or a PNG"),
        (put("f.svg", b"\xff<svg"), "an SVG or a PNG"),
    ];
    for (path, wanted) in rows {
        let refused = Logo::read(&path).unwrap_err();
        assert!(
            refused.contains(wanted) && refused.contains("[server] logo_file"),
            "{refused}"
        );
    }
}

on_both! {
    async fn a_malformed_request_is_told_to_the_clerk_first(db) {
        let harness = Harness::start(db);
        let rows = [
            ("/oauth2/authorize", "client_id"),
            ("/oauth2/authorize?client_id=nobody", "client_id"),
            ("/oauth2/authorize?client_id=fulton-cms&redirect_uri=https%3A%2F%2Fevil.example", "redirect_uri"),
            ("/login?pending=%ff", "pending"),
        ];
        for (path, parameter) in rows {
            let page = Agent::new(&harness).get(&harness.url(path)).await;
            assert_eq!(page.answer().status, 400, "{path}");
            let text = words(&page);
            let (clerk, engineer) = text.split_once("For your IT contact").unwrap();
            assert!(clerk.contains("You did nothing wrong.") && !clerk.contains(parameter), "{path}: {text}");
            assert!(engineer.contains(parameter) || path.contains("%ff"), "{path}: {text}");
        }
    }
}
