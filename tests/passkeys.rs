//! Passkeys through the front door: added, used alone and as the second factor, renamed and removed; each refusal with
//! its section of Web Authentication Level 2; and the same in a real browser with a virtual authenticator.

use std::sync::Arc;

use mdi_auth::config::{Issuer, LockoutCovers};
use mdi_auth::registry::people;
use mdi_auth::store::{audit, passkeys, people as stored};
use mdi_auth::webauthn::RelyingParty;
use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::harness::agent::{Agent, Page, totp};
use crate::harness::authenticator::{Authenticator, PRESENT, VERIFIED};
use crate::harness::browser::{Browser, look, wait_for};
use crate::harness::{Db, Harness, PASSWORD, blocking, in_flight};
use crate::on_both;
use crate::person_flow::{authorize_url, claims_of, redeem};
use crate::second_factor::NEWCOMER;
use crate::support::eventually;

const ADD: &str = "/account/passkeys/add";
const ALONE: &str = "/login/passkey";
const SECOND: &str = "/login/second-factor/passkey";
const NOT_ACCEPTED: &str = "We could not accept that passkey";
const STALE: &str = "This page was open for a while";

/// As many wrong attempts as a table has rows.
fn patient(db: Db) -> Harness {
    let harness = Harness::start_with(db, |config| config.login.totp_attempts = 100);
    harness.apply(NEWCOMER);
    harness
}

/// Signs in with password and code for a page of ours that adds a passkey; the page.
async fn add_page(harness: &Harness, agent: &mut Agent<'_>, username: &str) -> Page {
    let login = agent.get(&harness.url(ADD)).await;
    let page = agent.sign_in(login, username, PASSWORD).await;
    assert_eq!(page.at(), "/login/set-up/passkey", "{page:?}");
    page
}

/// Adds a passkey to an account that has an authenticator app.
async fn enrol(harness: &Harness, username: &str, name: &str) -> Authenticator {
    let mut agent = Agent::new(harness);
    let page = add_page(harness, &mut agent, username).await;
    let mut authenticator = Authenticator::new(harness);
    let answer = authenticator.create(&page);
    let codes = agent
        .submit(&page, &[("name", name), ("credential", &answer)])
        .await;
    assert_eq!(codes.at(), "/account/recovery-codes", "{codes:?}");
    harness.clock.advance(30);
    authenticator
}

/// The events of a kind, the last ones last.
fn events(harness: &Harness, kind: &'static str) -> Vec<Value> {
    let store = Arc::clone(&harness.app.store);
    let rows = blocking(move || {
        store
            .read_blocking(|conn| {
                let mut rows = Vec::new();
                for log in audit::logs(conn)? {
                    rows.extend(audit::rows_after(conn, log.id, 0, 10_000)?);
                }
                Ok(rows)
            })
            .unwrap()
    });
    let mut of_kind: Vec<_> = rows.into_iter().filter(|row| row.kind == kind).collect();
    of_kind.sort_by_key(|row| (row.at_ms, row.id));
    of_kind
        .iter()
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

fn reason(event: &Value) -> &str {
    event["detail"]["reason"].as_str().unwrap_or_default()
}

/// The passkeys of a person, by name.
fn names(harness: &Harness, username: &'static str) -> Vec<String> {
    let store = Arc::clone(&harness.app.store);
    blocking(move || {
        let all = store.read_blocking(move |conn| {
            let person = stored::find_by_username(conn, username)?.unwrap();
            passkeys::of_person(conn, &person.id)
        });
        all.unwrap().into_iter().map(|passkey| passkey.name).collect()
    })
}

/// Signs in with a passkey alone, for an application.
async fn alone(harness: &Harness, authenticator: &mut Authenticator) -> Page {
    let mut agent = Agent::new(harness);
    let login = agent.get(&authorize_url(harness, &[])).await;
    let answer = authenticator.get(&login);
    agent.submit_to(&login, ALONE, &[("credential", &answer)]).await
}

on_both! {
    async fn a_passkey_signs_in_alone_and_as_the_second_factor(db) {
        let harness = patient(db);
        let mut laptop = enrol(&harness, "jlehz", "  Work laptop ").await;
        assert_eq!(names(&harness, "jlehz"), ["Work laptop"]);
        assert_eq!(events(&harness, "second_factor.changed")[0]["detail"]["action"], "passkey_added");
        // Alone: both factors at once.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let answer = laptop.get(&login);
        let consent = agent.submit_to(&login, ALONE, &[("credential", &answer)]).await;
        assert_eq!(consent.at(), "/consent", "{consent:?}");
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        let claims = claims_of(tokens.str("id_token"));
        assert_eq!((&claims["amr"], &claims["acr"]), (&json!(["pop", "mfa"]), &json!("urn:mdi:acr:aal2")));
        let recorded = events(&harness, "login.succeeded").pop().unwrap();
        assert_eq!((&recorded["detail"]["amr"], &recorded["detail"]["passkey"]), (&json!("pop mfa"), &json!("Work laptop")));
        // On top of the password; the authenticator app still works as well.
        // A passkey is a whole sign-in; a code completes the one that began with the password.
        for (passkey, amr) in [(true, json!(["pwd", "pop", "mfa"])), (false, json!(["pwd", "otp"]))] {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[("prompt", "login")])).await;
            let second = agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
            let began = harness.now();
            harness.clock.advance(90);
            let offered = crate::harness::agent::ceremony(&second, "get");
            assert_eq!(offered["userVerification"], "required");
            assert_eq!(offered["allowCredentials"][0]["transports"], json!(["internal"]));
            let next = if passkey {
                let answer = laptop.get(&second);
                agent.submit_to(&second, SECOND, &[("credential", &answer)]).await
            } else {
                agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await
            };
            let done = agent.approve(&next).await;
            let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
            let claims = claims_of(tokens.str("id_token"));
            let auth_time = if passkey { harness.now() } else { began };
            assert_eq!((&claims["amr"], &claims["auth_time"]), (&amr, &json!(auth_time)));
        }
    }
}

on_both! {
    async fn a_role_makes_the_first_sign_in_set_up_a_passkey(db) {
        let harness = patient(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let choice = agent.sign_in(login, "newcomer", PASSWORD).await;
        let page = agent.submit(&choice, &[("choice", "passkey")]).await;
        let options = crate::harness::agent::ceremony(&page, "create");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "preferred");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        assert_eq!((&options["attestation"], &options["rp"]["id"]), (&json!("none"), &json!("localhost")));
        let mut key = Authenticator::new(&harness);
        // A name that is missing or too long: nothing is added, what was typed is kept.
        for name in ["", "   ", &"x".repeat(61)] {
            let refused = agent.submit(&page, &[("name", name), ("credential", &key.create(&page))]).await;
            assert!(refused.answer().text.contains("Enter a name of 1 to 60 characters"), "{name:?}");
            assert!(refused.answer().text.contains(&format!("name=\"name\" type=\"text\" value=\"{name}\"")));
        }
        let codes = agent.submit(&page, &[("name", "Blue key"), ("credential", &key.create(&page))]).await;
        assert_eq!(codes.at(), "/account/recovery-codes");
        let consent = agent.submit(&codes, &[("do", "kept")]).await;
        assert_eq!(consent.at(), "/consent", "{consent:?}");
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(claims_of(tokens.str("id_token"))["amr"], json!(["pwd", "pop", "mfa"]));
        // From now on it is asked for, and nothing else is.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let second = agent.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
        assert_eq!(second.at(), "/login/second-factor");
        assert!(!second.answer().text.contains("name=\"totp\""), "no app, no code");
        let answer = key.get(&second);
        agent.submit_to(&second, SECOND, &[("credential", &answer)]).await.elsewhere();
    }
}

/// Something that an authenticator lies about, the reason in the record, and how serious it is.
type Lie = (&'static str, fn(&mut Authenticator), &'static str, &'static str);

#[rustfmt::skip]
const LIES: &[Lie] = &[
    ("§7.2 step 12: the challenge", |a| a.challenge = Some("A".repeat(43)),                    "passkey: it answers another challenge", "4"),
    ("§7.2 step 13: the origin",    |a| a.origin = "https://localhost.evil.example".to_owned(), "passkey: it was used at another origin", "4"),
    ("§7.2 step 13: the port",      |a| a.origin = "https://localhost:1".to_owned(),            "passkey: it was used at another origin", "4"),
    ("§7.2 step 15: the RP id",     |a| a.rp_id = "evil.example".to_owned(),                    "passkey: it was used for another relying party", "4"),
    ("§7.2 step 16: presence",      |a| a.flags = VERIFIED,                                     "passkey: nobody was present", "4"),
    ("§7.2 step 17: verification",  |a| a.flags = PRESENT,                                      "passkey: the authenticator did not verify its user", "4"),
    ("§7.2 step 21: the counter",   |a| { a.counter = 0; a.step = 1; },                         "passkey: its counter went back, it may have been copied", "8"),
    ("§7.2 step 21: the counter stands", |a| a.step = 0,                                        "passkey: its counter went back, it may have been copied", "8"),
    ("§7.2 step 6: the user",       |a| a.user_handle = Some(vec![7; 16]),                      "passkey: its user handle is another person's", "4"),
];

on_both! {
    async fn who_lies_does_not_get_in(db) {
        let harness = patient(db);
        let mut honest = enrol(&harness, "jlehz", "Work laptop").await;
        alone(&harness, &mut honest).await;
        let other_key = Authenticator { id: honest.id.clone(), user_handle: honest.user_handle.clone(), counter: 50, ..Authenticator::new(&harness) };
        let silent: Lie = ("§7.2 step 6: no user", |a| a.user_handle = None, "passkey: its user handle is another person's", "4");
        let mut rows: Vec<(Lie, Authenticator)> = LIES.iter().map(|lie| (*lie, honest.clone())).collect();
        rows.push((silent, honest.clone()));
        rows.push((("§7.2 step 20: the signature", |_| {}, "passkey: wrong signature", "4"), other_key));
        for ((what, lie, why, outcome), mut authenticator) in rows {
            lie(&mut authenticator);
            let refused = alone(&harness, &mut authenticator).await;
            assert_eq!(refused.at(), "/login", "{what}");
            assert!(refused.answer().text.contains(NOT_ACCEPTED), "{what}: {}", refused.answer().text);
            let event = events(&harness, "login.failed").pop().unwrap();
            assert_eq!((reason(&event), event["outcome"].as_str().unwrap()), (why, outcome), "{what}");
            // The first failure of a minute is recorded singly.
            harness.clock.advance(60);
        }
        // The same as the second factor; who is known already need not be named.
        for (what, lie, why, outcome) in LIES {
            let mut authenticator = honest.clone();
            lie(&mut authenticator);
            let (mut agent, second) = at_second_factor(&harness, "jlehz").await;
            let answer = authenticator.get(&second);
            let refused = agent.submit_to(&second, SECOND, &[("credential", &answer)]).await;
            assert_eq!(refused.at(), "/login/second-factor", "{what}");
            assert!(refused.answer().text.contains(NOT_ACCEPTED), "{what}");
            let failed = events(&harness, "login.failed");
            let last: Vec<_> = failed.iter().rev().take(2).map(|event| (reason(event), event["outcome"].as_str().unwrap())).collect();
            assert!(last.contains(&(*why, *outcome)), "{what}: {last:?}");
            harness.clock.advance(1);
        }
        // None of it has hurt whoever is honest.
        assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    }
}

async fn at_second_factor<'h>(harness: &'h Harness, username: &str) -> (Agent<'h>, Page) {
    let mut agent = Agent::new(harness);
    let login = agent.get(&authorize_url(harness, &[("prompt", "login")])).await;
    let second = agent
        .submit(&login, &[("username", username), ("password", PASSWORD)])
        .await;
    assert_eq!(second.at(), "/login/second-factor");
    (agent, second)
}

on_both! {
    async fn nothing_that_is_not_a_passkey_of_ours_counts(db) {
        let harness = patient(db);
        let mut honest = enrol(&harness, "jlehz", "Work laptop").await;
        let mut of_clerk = enrol(&harness, "clerk", "Her phone").await;
        let mut unknown = Authenticator::new(&harness);
        unknown.user_handle = honest.user_handle.clone();
        // Alone.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let rows = [
            ("an unknown credential", unknown.get(&login)),
            ("no JSON", "{".to_owned()),
            ("another JSON", "{}".to_owned()),
            ("not base64", honest.get(&login).replace("\"signature\":\"", "\"signature\":\"*")),
        ];
        for (what, answer) in rows {
            let refused = agent.submit_to(&login, ALONE, &[("credential", &answer)]).await;
            assert!(refused.answer().text.contains(NOT_ACCEPTED), "{what}: {}", refused.answer().text);
        }
        assert_eq!(events(&harness, "login.failed").iter().filter(|event| reason(event) == "unknown passkey").count(), 1);
        // Another person's passkey as the second factor, a removed one, and one that signs in alone on this page.
        let (mut agent, second) = at_second_factor(&harness, "jlehz").await;
        let answer = of_clerk.get(&second);
        let refused = agent.submit_to(&second, SECOND, &[("credential", &answer)]).await;
        assert!(refused.answer().text.contains(NOT_ACCEPTED));
        assert_eq!(reason(events(&harness, "login.failed").last().unwrap()), "passkey: it is not one of this account");
        let mut agent = Agent::new(&harness);
        let cross = agent.get(&authorize_url(&harness, &[])).await;
        let answer = honest.get(&second);
        let refused = agent.submit_to(&cross, ALONE, &[("credential", &answer)]).await;
        assert!(refused.answer().text.contains(NOT_ACCEPTED), "a challenge of the second factor");
        let store = Arc::clone(&harness.app.store);
        let id = data_encoding::BASE64URL_NOPAD.encode(&honest.id);
        blocking(move || {
            store.write_blocking(move |tx| {
                let person = stored::find_by_username(tx.conn(), "jlehz")?.unwrap();
                passkeys::remove(tx.conn(), &person.id, &id)
            })
        })
        .unwrap();
        assert!(alone(&harness, &mut honest).await.answer().text.contains(NOT_ACCEPTED), "removed");
        assert_eq!(alone(&harness, &mut of_clerk).await.at(), "/consent");
    }
}

on_both! {
    async fn a_page_is_good_for_five_minutes_one_browser_and_one_purpose(db) {
        let harness = patient(db);
        let mut honest = enrol(&harness, "jlehz", "Work laptop").await;
        let ceremony_of = |page: &Page| {
            let text = &page.answer().text;
            let start = text.find("name=\"ceremony\" value=\"").unwrap() + "name=\"ceremony\" value=\"".len();
            text[start..].split('"').next().unwrap().to_owned()
        };
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let elsewhere = Agent::new(&harness).get(&authorize_url(&harness, &[])).await;
        let (_, second) = at_second_factor(&harness, "jlehz").await;
        for (what, page) in [("another browser", &elsewhere), ("another purpose", &second)] {
            let answer = honest.get(page);
            let stale = agent.submit_to(&login, ALONE, &[("credential", &answer), ("ceremony", &ceremony_of(page))]).await;
            assert!(stale.answer().text.contains(STALE), "{what}: {}", stale.answer().text);
        }
        let stale = agent.submit_to(&login, ALONE, &[("credential", "")]).await;
        assert!(stale.answer().text.contains(STALE), "the script found the page too old");
        harness.clock.advance(299);
        let fresh = agent.get(&authorize_url(&harness, &[])).await;
        let answer = honest.get(&fresh);
        harness.clock.advance(300);
        let stale = agent.submit_to(&fresh, ALONE, &[("credential", &answer)]).await;
        assert!(stale.answer().text.contains(STALE), "expired");
        assert!(events(&harness, "login.failed").is_empty(), "nobody is blamed for it");
        // What that brought is a fresh page.
        let answer = honest.get(&stale);
        assert_eq!(agent.submit_to(&stale, ALONE, &[("credential", &answer)]).await.at(), "/consent");
    }
}

on_both! {
    async fn an_answer_works_once(db) {
        let harness = patient(db);
        let mut honest = enrol(&harness, "jlehz", "Work laptop").await;
        // Without a counter, as most passkeys are: the ceremony alone decides.
        let store = Arc::clone(&harness.app.store);
        blocking(move || store.write_blocking(|tx| {
            let person = stored::find_by_username(tx.conn(), "jlehz")?.unwrap();
            for passkey in passkeys::of_person(tx.conn(), &person.id)? {
                let mut credential: Value = serde_json::from_str(&passkey.credential).unwrap();
                credential["cred"]["counter"] = json!(0);
                assert!(passkeys::used(tx.conn(), &passkey, &credential.to_string(), 1)?);
            }
            Ok(())
        })).unwrap();
        (honest.counter, honest.step) = (0, 0);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let answer = honest.get(&login);
        let start = Arc::new(tokio::sync::Barrier::new(16));
        let racers: Vec<_> = (0..16).map(|_| {
            let request = agent.filled_in(&login, ALONE, &[("credential", &answer)]).header("cookie", agent.cookie_header());
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                let response = request.send().await.unwrap();
                (response.status().as_u16(), response.headers()["location"].to_str().unwrap().to_owned())
            })
        }).collect();
        let mut accepted = 0;
        for racer in racers {
            let (status, location) = racer.await.unwrap();
            assert_eq!(status, 303, "{location}");
            accepted += usize::from(location.starts_with("/oauth2/authorize"));
        }
        assert_eq!(accepted, 1);
        let refused = agent.submit_to(&login, ALONE, &[("credential", &answer)]).await;
        assert!(refused.answer().text.contains(NOT_ACCEPTED));
        let replays = events(&harness, "login.failed");
        assert!(replays.iter().all(|event| reason(event) == "passkey: this answer was used before"), "{replays:?}");
        assert_eq!(replays.len(), 16);
        // The next one works.
        assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    }
}

on_both! {
    async fn who_may_not_sign_in_is_told_the_same(db) {
        for covers in [LockoutCovers::Password, LockoutCovers::Account] {
            who_may_not_sign_in(db, covers).await;
        }
    }
}

async fn who_may_not_sign_in(db: Db, covers: LockoutCovers) {
    let harness = Harness::start_with(db, |config| {
        config.login.lockout_covers = covers;
        config.login.totp_attempts = 3;
        config.login.lockout_threshold = 3;
        config.login.dormant_days = 90;
    });
    let mut honest = enrol(&harness, "jlehz", "Work laptop").await;
    let refused = async |honest: &mut Authenticator, why: &str| {
        harness.clock.advance(60);
        let refused = alone(&harness, honest).await;
        assert!(
            refused.answer().text.contains(NOT_ACCEPTED),
            "{why}: {}",
            refused.answer().text
        );
        assert_eq!(reason(events(&harness, "login.failed").last().unwrap()), why);
    };
    harness.disable_user("jlehz");
    refused(&mut honest, "account disabled or dormant").await;
    harness.enable_user("jlehz");
    assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    // Passwords that others guess lock the password, or the account where the configuration says so.
    for _ in 0..3 {
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        agent
            .submit(&login, &[("username", "jlehz"), ("password", "wrong")])
            .await;
    }
    if covers == LockoutCovers::Account {
        refused(&mut honest, "account locked").await;
    } else {
        assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    }
    let unlock = || {
        let registry = harness.registry();
        blocking(move || registry.blocking(|registry, tx| people::unlock(registry, tx, "jlehz"))).unwrap()
    };
    assert!(unlock());
    assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    // What anybody can send locks nobody out; what a copy alone can send counts as a wrong code does.
    for _ in 0..3 {
        let mut forged = Authenticator {
            flags: PRESENT,
            ..honest.clone()
        };
        alone(&harness, &mut forged).await;
    }
    assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    for _ in 0..3 {
        let mut copy = Authenticator {
            counter: 0,
            step: 1,
            ..honest.clone()
        };
        alone(&harness, &mut copy).await;
    }
    refused(&mut honest, "account locked").await;
    assert!(unlock());
    assert_eq!(alone(&harness, &mut honest).await.at(), "/consent");
    harness.clock.advance(91 * 86_400);
    refused(&mut honest, "account disabled or dormant").await;
}

on_both! {
    async fn a_session_that_ends_meanwhile_adds_nothing(db) {
        let harness = patient(db);
        let race = async || {
            harness.clock.advance(30);
            let mut agent = Agent::new(&harness);
            let page = add_page(&harness, &mut agent, "jlehz").await;
            let answer = Authenticator::new(&harness).create(&page);
            let app = Arc::clone(&harness.app);
            let signed_out = in_flight(&harness, move |tx| {
                let person = stored::find_by_username(tx.conn(), "jlehz").unwrap().unwrap();
                assert_eq!(mdi_auth::session::end_all(&app, tx, &person.id, None).unwrap(), 1);
            });
            agent.submit(&page, &[("name", "Key"), ("credential", &answer)]).await;
            signed_out.join().unwrap();
            assert_eq!(names(&harness, "jlehz"), Vec::<String>::new());
            events(&harness, "login.failed").last().map(reason).unwrap_or_default().to_owned()
        };
        let changed = "the account or the session was changed meanwhile";
        eventually(changed, race, |reason| reason == changed).await;
    }
}

on_both! {
    async fn what_is_wrong_is_not_added(db) {
        let harness = patient(db);
        let mut first = enrol(&harness, "jlehz", "Work laptop").await;
        let mut agent = Agent::new(&harness);
        let page = add_page(&harness, &mut agent, "clerk").await;
        let told = crate::harness::agent::ceremony(&page, "create");
        assert_eq!(told["excludeCredentials"], json!([]));
        #[rustfmt::skip]
        let lies: [(&str, fn(&mut Authenticator)); 5] = [
            ("§7.1 step 8: the challenge", |a| a.challenge = Some("A".repeat(43))),
            ("§7.1 step 9: the origin",    |a| a.origin = "https://evil.example".to_owned()),
            ("§7.1 step 13: the RP id",    |a| a.rp_id = "evil.example".to_owned()),
            ("§7.1 step 14: presence",     |a| a.flags = VERIFIED),
            ("§7.1 step 15: verification", |a| a.flags = PRESENT),
        ];
        for (what, lie) in lies {
            let mut authenticator = Authenticator::new(&harness);
            lie(&mut authenticator);
            let answer = authenticator.create(&page);
            let refused = agent.submit(&page, &[("name", "Key"), ("credential", &answer)]).await;
            assert!(refused.answer().text.contains("could not be added"), "{what}: {}", refused.answer().text);
        }
        // A credential that somebody has already (§7.1 step 22), and an assertion in place of one.
        let known = first.create(&page);
        let refused = agent.submit(&page, &[("name", "Key"), ("credential", &known)]).await;
        assert!(refused.answer().text.contains("could not be added"));
        assert_eq!(names(&harness, "clerk"), Vec::<String>::new());
        // An answer adds once.
        let page = refused;
        let mut key = Authenticator::new(&harness);
        let answer = key.create(&page);
        agent.submit(&page, &[("name", "Key"), ("credential", &answer)]).await;
        let again = agent.submit(&page, &[("name", "Key again"), ("credential", &answer)]).await;
        assert!(again.answer().text.contains("could not be added"), "{}", again.answer().text);
        assert_eq!(names(&harness, "clerk"), ["Key"]);
        let excluded = crate::harness::agent::ceremony(&again, "create");
        assert_eq!(excluded["excludeCredentials"][0]["id"], data_encoding::BASE64URL_NOPAD.encode(&key.id));
        // Up to ten.
        let mut page = again;
        for number in 2..=10 {
            let answer = Authenticator::new(&harness).create(&page);
            agent.submit(&page, &[("name", &format!("Key {number}")), ("credential", &answer)]).await;
            page = agent.get(&harness.url(ADD)).await;
        }
        assert_eq!((names(&harness, "clerk").len(), page.answer().status), (10, 409));
        assert!(page.answer().text.contains("10 passkeys"));
    }
}

on_both! {
    async fn a_passkey_is_renamed_and_removed_by_its_person_alone(db) {
        let harness = patient(db);
        let laptop = enrol(&harness, "jlehz", "Work laptop").await;
        let id = data_encoding::BASE64URL_NOPAD.encode(&laptop.id);
        let mut clerk = Agent::new(&harness);
        let hers = add_page(&harness, &mut clerk, "clerk").await;
        let mut jane = Agent::new(&harness);
        let page = add_page(&harness, &mut jane, "jlehz").await;
        let csrf = |page: &Page| {
            let text = &page.answer().text;
            text[text.find("name=\"csrf\" value=\"").unwrap() + 19..].split('"').next().unwrap().to_owned()
        };
        let send = async |agent: &mut Agent<'_>, page: &Page, path: &str, name: &str| {
            let form = [("csrf", csrf(page)), ("id", id.clone()), ("name", name.to_owned())];
            let request = harness.http.post(harness.url(path)).header("origin", &harness.issuer).form(&form);
            let response = request.header("cookie", agent.cookie_header()).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        // By somebody else, or without the token: nothing happens.
        for path in ["/account/passkeys/rename", "/account/passkeys/remove"] {
            send(&mut clerk, &hers, path, "Mine now").await;
            assert_eq!(send(&mut jane, &hers, path, "Forged").await.0, 400);
            assert_eq!(names(&harness, "jlehz"), ["Work laptop"], "{path}");
        }
        let (status, text) = send(&mut jane, &page, "/account/passkeys/rename", " ").await;
        assert!(status == 409 && text.contains("1 to 60 characters"), "{status} {text}");
        assert_eq!(send(&mut jane, &page, "/account/passkeys/rename", "Desk").await.0, 303);
        assert_eq!(names(&harness, "jlehz"), ["Desk"]);
        assert_eq!(send(&mut jane, &page, "/account/passkeys/remove", "").await.0, 303);
        assert_eq!(names(&harness, "jlehz"), Vec::<String>::new(), "the app is left");
        let changes = events(&harness, "second_factor.changed");
        let told: Vec<_> = changes.iter().map(|event| (event["detail"]["action"].as_str().unwrap(), event["detail"]["passkey"].as_str())).collect();
        assert_eq!(told[told.len() - 2..], [("passkey_renamed", Some("Desk")), ("passkey_removed", Some("Desk"))]);
        assert!(!changes.iter().any(|event| event.to_string().contains(&id)), "no key material");
    }
}

on_both! {
    async fn the_last_second_factor_stays_where_a_role_needs_one(db) {
        let harness = patient(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&harness.url(ADD)).await;
        let choice = agent.sign_in(login, "newcomer", PASSWORD).await;
        let page = agent.submit(&choice, &[("choice", "passkey")]).await;
        let mut key = Authenticator::new(&harness);
        let answer = key.create(&page);
        let codes = agent.submit(&page, &[("name", "Only key"), ("credential", &answer)]).await;
        assert_eq!(codes.at(), "/account/recovery-codes", "{codes:?}");
        let id = data_encoding::BASE64URL_NOPAD.encode(&key.id);
        let text = &codes.answer().text;
        let csrf = text[text.find("name=\"csrf\" value=\"").unwrap() + 19..].split('"').next().unwrap();
        let form = [("csrf", csrf), ("id", &id)];
        let request = harness.http.post(harness.url("/account/passkeys/remove")).header("origin", &harness.issuer);
        let response = request.form(&form).header("cookie", agent.cookie_header()).send().await.unwrap();
        assert_eq!(response.status(), 409);
        assert!(response.text().await.unwrap().contains("your role needs one"));
        assert_eq!(names(&harness, "newcomer"), ["Only key"]);
        // An administrator takes all of it away.
        let registry = harness.registry();
        blocking(move || registry.blocking(|registry, tx| people::reset_second_factor(registry, tx, "newcomer", None))).unwrap();
        assert_eq!(names(&harness, "newcomer"), Vec::<String>::new());
        let event = events(&harness, "person.changed").pop().unwrap();
        assert_eq!((&event["detail"]["passkeys_removed"], &event["detail"]["recovery_codes_removed"]), (&json!("1"), &json!("10")));
        assert!(alone(&harness, &mut key).await.answer().text.contains(NOT_ACCEPTED));
    }
}

#[test]
fn passkeys_belong_to_names() {
    for (issuer, possible) in [
        ("https://as.example", true),
        ("https://localhost:8443", true),
        ("https://10.0.0.7", false),
        ("https://127.0.0.1:8443", false),
        ("https://[2001:db8::1]", false),
    ] {
        assert_eq!(
            RelyingParty::is_possible(&Issuer::parse(issuer).unwrap(), "MDI Auth"),
            possible,
            "{issuer}"
        );
    }
}

#[tokio::test]
async fn an_issuer_without_a_name_offers_none() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        let port = config.server.issuer.port();
        config.server.issuer = Issuer::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    });
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    assert!(
        !login.answer().text.contains("passkey"),
        "{}",
        login.answer().text
    );
    assert_eq!(agent.sign_in(login, "jlehz", PASSWORD).await.at(), "/consent");
}

async fn click(window: &WebDriver, id: &str) {
    window
        .query(By::Id(id))
        .first()
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
}

async fn type_into(window: &WebDriver, id: &str, text: &str) {
    window
        .find(By::Id(id))
        .await
        .unwrap()
        .send_keys(text)
        .await
        .unwrap();
}

/// Forgets all cookies, as a browser does that was set to, and asks for the account again.
async fn sign_out(harness: &Harness, window: &WebDriver) {
    window.delete_all_cookies().await.unwrap();
    window.goto(harness.url("/account")).await.unwrap();
}

on_both! {
    async fn a_browser_adds_a_passkey_and_signs_in_with_it(db) {
        let harness = Harness::start(db);
        let browser = Browser::start(&harness.ca_file);
        let window = browser.window(375, true).await;
        browser.add_authenticator(&window).await;
        window.goto(harness.url("/account")).await.unwrap();
        type_into(&window, "username", "jlehz").await;
        type_into(&window, "password", PASSWORD).await;
        click(&window, "login-submit").await;
        wait_for(&window, "/login/second-factor").await;
        type_into(&window, "totp", &totp(harness.now())).await;
        click(&window, "totp-submit").await;
        wait_for(&window, "/account").await;
        window.find(By::LinkText("Add a passkey")).await.unwrap().click().await.unwrap();
        wait_for(&window, "/login/set-up/passkey").await;
        look(&window, "add-passkey", true).await;
        type_into(&window, "name", "Virtual key").await;
        click(&window, "passkey-submit").await;
        wait_for(&window, "/account/recovery-codes").await;
        click(&window, "recovery-kept").await;
        window.query(By::XPath("//main//strong[. = 'Virtual key']")).first().await.unwrap();
        // The same device again: it says so, and nothing is sent.
        window.goto(harness.url(ADD)).await.unwrap();
        wait_for(&window, "/login/set-up/passkey").await;
        type_into(&window, "name", "Virtual key").await;
        click(&window, "passkey-submit").await;
        let told = window.query(By::Css("[data-passkey-problem=known]:not([hidden])")).first().await.unwrap();
        assert!(told.text().await.unwrap().contains("already has a passkey"));
        look(&window, "add-passkey-known", true).await;
        // Signed out: without a username, then as the second factor.
        sign_out(&harness, &window).await;
        look(&window, "login-passkey", true).await;
        click(&window, "passkey-submit").await;
        window.query(By::Id("sign-out")).first().await.unwrap();
        let last = events(&harness, "login.succeeded").pop().unwrap();
        assert_eq!(last["detail"]["amr"], "pop mfa");
        sign_out(&harness, &window).await;
        type_into(&window, "username", "jlehz").await;
        type_into(&window, "password", PASSWORD).await;
        click(&window, "login-submit").await;
        wait_for(&window, "/login/second-factor").await;
        look(&window, "second-factor-passkey", true).await;
        click(&window, "passkey-submit").await;
        window.query(By::Id("sign-out")).first().await.unwrap();
        let last = events(&harness, "login.succeeded").pop().unwrap();
        assert_eq!(last["detail"]["amr"], "pwd pop mfa");
        assert_eq!(browser.log(&window).await, json!([]), "the console has nothing to complain about");
        window.quit().await.unwrap();
        // Without scripts there is no button, and the password works.
        let window = browser.window(1280, false).await;
        window.goto(harness.url(ADD)).await.unwrap();
        assert!(!window.find(By::Id("passkey")).await.unwrap().is_displayed().await.unwrap());
        assert!(window.find(By::Id("login-submit")).await.unwrap().is_displayed().await.unwrap());
        window.quit().await.unwrap();
    }
}
