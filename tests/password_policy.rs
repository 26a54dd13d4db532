//! The profiles of the sign-in, which passwords are accepted, lockout, dormant accounts, and licences that end.

use std::collections::BTreeMap;
use std::sync::Arc;

use mdi_auth::config::{Config, LoginConfig};
use mdi_auth::model::person::Person;
use mdi_auth::model::secret::Secret;
use mdi_auth::registry::{Refused, people};
use mdi_auth::secrets::password::{Cost, Hasher, Verified};
use mdi_auth::secrets::password_rules::{Rules, Whose, strength};
use mdi_auth::session::lockout::login_subject;
use mdi_auth::store::audit::rows_after;
use mdi_auth::store::logins::{self, Failures};
use mdi_auth::store::{password_history, people as stored};
use serde_json::{Value, json};

use crate::harness::agent::{Agent, Page, cookies, hidden};
use crate::harness::{Answer, BEGIN, EDRS, FULTON, Harness, PASSWORD, blocking, in_flight};
use crate::on_both;
use crate::person_flow::{authorize_url, code_of, redeem, refresh};
use crate::support::{TempDir, eventually};

const DAY: i64 = 86_400;
const WRONG: &str = "wrong but long enough to be one";
/// The network of whoever has a password hashed here.
const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn login(env: &[(&str, &str)]) -> LoginConfig {
    let env = env
        .iter()
        .map(|(key, value)| (format!("MDI_AUTH_LOGIN__{key}"), (*value).to_owned()));
    let banner = (
        "MDI_AUTH_SERVER__BANNER".to_owned(),
        "For official use".to_owned(),
    );
    Config::load(None, env.chain([banner])).unwrap().login
}

/// A server with a profile and changes of it, where an address may try as often as it likes.
fn start(db: crate::harness::Db, env: &[(&str, &str)]) -> Harness {
    let login = login(env);
    Harness::start_with(db, |config| {
        let cheap = config.login.clone();
        config.login = LoginConfig {
            argon2_memory_kib: cheap.argon2_memory_kib,
            argon2_iterations: cheap.argon2_iterations,
            address_attempts_per_minute: 1_000_000,
            ..login
        };
    })
}

/// One row a limit: the setting, what nist-63b-4 and cjis have, and where it stands.
#[test]
fn profiles_have_the_limits_of_their_documents() {
    let (nist, cjis) = (login(&[]), login(&[("POLICY", "cjis")]));
    assert_eq!(
        (nist.policy.as_str(), cjis.policy.as_str()),
        ("nist-63b-4", "cjis")
    );
    type Limit = fn(&LoginConfig) -> Value;
    #[rustfmt::skip]
    let rows: &[(Limit, Value, Value, &str)] = &[
        (|l| json!(l.password_length), json!(15), json!(15), "63B-4 3.1.1.2"),
        (|l| json!(l.password_length_with_second_factor), json!(8), json!(8), "63B-4 3.1.1.2; CJIS IA-5"),
        (|l| json!(l.password_days), json!(0), json!(90), "63B-4 3.1.1.2; CJIS IA-5"),
        (|l| json!(l.password_history), json!(0), json!(10), "CJIS IA-5"),
        (|l| json!(l.lockout_threshold), json!(5), json!(5), "CJIS AC-7 a"),
        (|l| json!(l.lockout_window_seconds), json!(900), json!(900), "CJIS AC-7 a"),
        (|l| json!(format!("{:?}", l.lockout)), json!("Seconds(900)"), json!("UntilAdmin"), "CJIS AC-7 b"),
        (|l| json!(l.failures_in_a_row), json!(100), json!(100), "63B-4 3.2.2"),
        (|l| json!(format!("{:?}", l.lockout_covers)), json!("Password"), json!("Account"), "63B-4 3.2.2; CJIS AC-7 b"),
        (|l| json!(l.known_browsers), json!(true), json!(false), "63B-4 3.2.2; CJIS AC-7 b"),
        (|l| json!(l.dormant_days), json!(0), json!(90), "CJIS AC-2(3)"),
        (|l| json!(l.session_idle_seconds), json!(1800), json!(1800), "63B-4 2.2.3; CJIS AC-11 a"),
        (|l| json!(l.session_seconds), json!(43200), json!(43200), "63B-4 2.2.3; CJIS AC-12, IA-11"),
        (|l| json!(l.profile.refresh_family_seconds), json!(2_592_000), json!(43200), "CJIS IA-11"),
        (|l| json!(l.profile.banner_required), json!(false), json!(true), "CJIS AC-8"),
    ];
    for (limit, of_nist, of_cjis, section) in rows {
        assert_eq!((&limit(&nist), &limit(&cjis)), (of_nist, of_cjis), "{section}");
    }
    assert!(nist.weaker_than_profile().is_empty() && cjis.weaker_than_profile().is_empty());
}

/// One row a setting that an installation made weaker than its profile.
#[test]
fn weaker_settings_are_named() {
    #[rustfmt::skip]
    let rows = [
        ("nist-63b-4", "PASSWORD_LENGTH", "14", true),
        ("nist-63b-4", "PASSWORD_LENGTH", "16", false),
        ("cjis", "PASSWORD_LENGTH_WITH_SECOND_FACTOR", "9", false),
        ("cjis", "PASSWORD_DAYS", "0", true),
        ("cjis", "PASSWORD_DAYS", "91", true),
        ("cjis", "PASSWORD_DAYS", "30", false),
        ("nist-63b-4", "PASSWORD_DAYS", "30", false),
        ("cjis", "PASSWORD_HISTORY", "9", true),
        ("cjis", "LOCKOUT_THRESHOLD", "6", true),
        ("cjis", "LOCKOUT_THRESHOLD", "3", false),
        ("cjis", "LOCKOUT_WINDOW_SECONDS", "600", true),
        ("cjis", "LOCKOUT_SECONDS", "86400", true),
        ("nist-63b-4", "LOCKOUT_SECONDS", "60", true),
        ("nist-63b-4", "LOCKOUT_SECONDS", "until_admin", false),
        ("nist-63b-4", "FAILURES_IN_A_ROW", "50", false),
        ("cjis", "LOCKOUT_COVERS", "password", true),
        ("nist-63b-4", "LOCKOUT_COVERS", "account", false),
        ("cjis", "KNOWN_BROWSERS", "true", true),
        ("nist-63b-4", "KNOWN_BROWSERS", "false", false),
        ("cjis", "DORMANT_DAYS", "0", true),
        ("cjis", "SESSION_IDLE_SECONDS", "3600", true),
        ("cjis", "SESSION_SECONDS", "86400", true),
    ];
    for (policy, key, value, weaker) in rows {
        let told = login(&[("POLICY", policy), (key, value)]).weaker_than_profile();
        let named = told.len() == 1 && told[0].starts_with(&key.to_lowercase()) && told[0].contains(policy);
        assert!(
            if weaker { named } else { told.is_empty() },
            "{policy} {key} {value}: {told:?}"
        );
    }
}

fn rules(env: &[(&str, &str)]) -> Rules {
    let mut config = Config::default_with("unused");
    config.login = login(env);
    config.server.jurisdiction = Some("Fulton County".to_owned());
    Rules::new(&config).unwrap()
}

fn jane(second_factor: bool) -> Whose<'static> {
    Whose {
        username: "jlehz",
        name: "Jane Lehz, MD",
        second_factor,
    }
}

/// NIST SP 800-63B-4 §3.1.1.2, a row a rule: the password, whether there is a second factor, and why it is refused.
#[test]
fn passwords_are_judged_by_length_and_by_what_is_known() {
    let rules = rules(&[]);
    let (long, longest, too_long) = ("ab cd".repeat(13), "žü 高 ".repeat(100), "é".repeat(513));
    #[rustfmt::skip]
    let rows: &[(&str, bool, Option<&str>)] = &[
        ("velvet anchor ", false, Some("at least 15")),
        ("velvet anchor 7", false, None),
        ("kfw7zpq", true, Some("at least 8")),
        ("kfw7zpq2", true, None),
        // Each code point counts as one character; a letter and its accent as one letter.
        ("čřžýáíéúůďťňóěš", false, None),
        ("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", false, Some("it has 9 characters")),
        // At least 64 are taken, and more; no composition rules.
        (&long, false, None),
        (&longest, false, None),
        ("walrus figment obelisk trombone quagmire pelican saddlebag nutmeg", false, None),
        (&too_long, false, Some("at most 1024")),
        // Commonly used, or expected.
        ("passwordpassword", false, Some("too easy")),
        ("qwertyuiopasdfgh", false, Some("too easy")),
        ("1234567890123456", false, Some("too easy")),
        ("P@ssw0rd12345678", false, Some("too easy")),
        ("aaaaaaaaaaaaaaaaaaaa", false, Some("too easy")),
        ("Sommer2026", true, Some("too easy")),
        ("password1", true, Some("too easy")),
        // The username, the name, the service, and what is made of them.
        ("JLEHZ", true, Some("at least 8")),
        ("Jane Lehz 123456", false, Some("too easy")),
        ("jlehz2026jlehz2026", false, Some("too easy")),
        ("Fulton County 2026!", false, Some("too easy")),
        ("MDI Auth password", false, Some("too easy")),
        ("Jane keeps nutmeg in walrus saddlebags", false, None),
    ];
    for (password, second_factor, refused) in rows {
        let told = rules
            .check(&Secret::new(*password), jane(*second_factor))
            .map_err(|refusal| refusal.to_string());
        match refused {
            None => assert_eq!(told, Ok(()), "{password}"),
            Some(part) => {
                let told = told.expect_err(password);
                assert!(
                    told.contains(part) && !told.contains(password),
                    "{password}: {told}"
                );
            }
        }
    }
    let username = Whose {
        username: "jane.lehz@ga.example",
        ..jane(false)
    };
    let told = rules
        .check(&Secret::new("Jane.Lehz@GA.example"), username)
        .unwrap_err();
    assert_eq!(told.to_string(), "it is the username");
    assert_eq!(told.for_person(), "Choose a password that is not your username");
}

#[test]
fn strength_is_told_in_plain_words() {
    for (password, words, score, word, advice) in [
        ("", &[][..], 0, "Too easy to guess", "Use three or four words"),
        (
            "password",
            &[],
            0,
            "Too easy to guess",
            "Many people use this password",
        ),
        (
            "zxcvbnm,./",
            &[],
            1,
            "Too easy to guess",
            "Keys that lie side by side",
        ),
        (
            "Jane Lehz 1234",
            &["Jane Lehz"],
            1,
            "Too easy to guess",
            "Your name",
        ),
        ("walrus figment obelisk", &[], 4, "Very strong", ""),
    ] {
        let told = strength(password, words);
        assert!(told.score <= score && told.word == word, "{password}: {told:?}");
        assert!(
            told.advice.starts_with(advice) && (advice.is_empty() == told.advice.is_empty()),
            "{password}: {told:?}"
        );
    }
    // Many symbols that could be letters: each combination of them is a guess to try, and none takes seconds.
    assert_eq!(strength(&"4@8({[<369&#!1|/0$5+7%2".repeat(6), &[]).score, 4);
    assert_eq!(strength("P@$$w0rd", &[]).word, "Too easy to guess");
    // Only the beginning is judged, so that nobody keeps the server busy with it.
    assert_eq!(
        strength(&"walrus ".repeat(5000), &[]),
        strength(&"walrus ".repeat(100), &[])
    );
}

#[test]
fn a_list_of_the_installation_is_refused_and_read_again() {
    let dir = TempDir::new();
    let file = dir.path().join("refused.txt");
    std::fs::write(&file, "walrus figment obelisk\r\n\nVelvet Anchor Parade\n").unwrap();
    let rules = rules(&[("PASSWORD_BLOCKLIST_FILE", file.to_str().unwrap())]);
    let refused = |password: &str| rules.check(&Secret::new(password), jane(false)).is_err();
    assert!(refused("Walrus Figment Obelisk") && refused("velvet anchor parade"));
    assert!(!refused("quagmire pelican saddlebag"));
    std::fs::write(&file, "quagmire pelican saddlebag\n").unwrap();
    assert!(refused("quagmire pelican saddlebag") && !refused("velvet anchor parade"));
    std::fs::remove_file(&file).unwrap();
    assert!(refused("quagmire pelican saddlebag"), "the last list counts");
    let mut config = Config::default_with("unused");
    config.login.password_blocklist_file = Some(file);
    assert!(Rules::new(&config).unwrap_err().contains("refused.txt"));
}

/// Whoever was hashed at another cost signs in and gets a new hash; the unknown take the time of all costs.
#[tokio::test]
async fn passwords_are_hashed_anew_when_the_cost_changes() {
    let (old, new) = (
        Cost {
            memory_kib: 64,
            iterations: 1,
            parallelism: 1,
        },
        Cost {
            memory_kib: 128,
            iterations: 2,
            parallelism: 1,
        },
    );
    let before = Hasher::start(old, &[], 1).unwrap();
    let stored = before
        .hash_unused(HERE, Secret::new("na\u{ef}ve café"), Vec::new())
        .await
        .unwrap()
        .unwrap();
    assert!(stored.starts_with(&old.prefix()), "{stored}");
    let today = Hasher::start(new, &[old], 1).unwrap();
    // Typed with separate accents: the same text.
    let typed = Secret::new("nai\u{308}ve cafe\u{301}");
    let Verified::Right(Some(rehashed)) = today
        .verify(HERE, typed.clone(), Some(stored.clone()))
        .await
        .unwrap()
    else {
        panic!("not hashed anew")
    };
    assert!(rehashed.starts_with(&new.prefix()), "{rehashed}");
    assert_eq!(
        today.verify(HERE, typed.clone(), Some(rehashed)).await.unwrap(),
        Verified::Right(None)
    );
    assert_eq!(
        today
            .verify(HERE, Secret::new("naive cafe"), Some(stored.clone()))
            .await
            .unwrap(),
        Verified::Wrong
    );
    assert_eq!(
        today.verify(HERE, typed.clone(), None).await.unwrap(),
        Verified::Wrong
    );
    assert_eq!(
        today.hash_unused(HERE, typed, vec![stored]).await.unwrap(),
        None,
        "it was used before"
    );
}

fn person(harness: &Harness, username: &'static str) -> Person {
    let app = Arc::clone(&harness.app);
    let find = move || {
        app.store
            .read_blocking(move |conn| stored::find_by_username(conn, username))
    };
    blocking(find).unwrap().unwrap()
}

fn failures(harness: &Harness, username: &str) -> Option<Failures> {
    let (app, subject) = (Arc::clone(&harness.app), login_subject(&harness.app, username));
    blocking(move || {
        app.store
            .read_blocking(move |conn| logins::find(conn, &subject))
            .unwrap()
    })
}

/// How many events of a kind there are, with this action or reason.
fn recorded(harness: &Harness, kind: &'static str, what: &'static str) -> usize {
    let app = Arc::clone(&harness.app);
    let logs = if app.store.is_sqlite() { 1 } else { 16 };
    let rows = blocking(move || {
        (0..logs)
            .flat_map(|log| {
                app.store
                    .read_blocking(move |conn| rows_after(conn, log, 0, 10_000))
                    .unwrap()
            })
            .collect::<Vec<_>>()
    });
    rows.iter()
        .filter(|row| row.kind == kind)
        .filter(|row| {
            let body: Value = serde_json::from_str(&row.body).unwrap();
            body["detail"]["action"] == what || body["detail"]["reason"] == what
        })
        .count()
}

async fn try_in(agent: &mut Agent<'_>, harness: &Harness, username: &str, password: &str) -> Page {
    // As if the browser had been closed.
    agent.cookies.retain(|name, _| !name.contains("session"));
    let login = login_page(agent, harness).await;
    agent
        .submit(&login, &[("username", username), ("password", password)])
        .await
}

async fn login_page(agent: &mut Agent<'_>, harness: &Harness) -> Page {
    let login = agent
        .get(&authorize_url(
            harness,
            &[("scope", "openid"), ("prompt", "login"), ("acr_values", "")],
        ))
        .await;
    assert_eq!(login.at(), "/login");
    login
}

/// What a browser sends when somebody signs in, not sent yet.
fn typed(
    harness: &Harness,
    agent: &Agent<'_>,
    page: &Page,
    username: &str,
    password: &str,
) -> reqwest::RequestBuilder {
    let form = [
        ("csrf", &*hidden(page, "csrf")),
        ("pending", &*hidden(page, "pending")),
        ("username", username),
        ("password", password),
    ];
    harness
        .http
        .post(harness.url("/login"))
        .header("Cookie", cookies(agent))
        .form(&form)
}

#[tokio::test]
async fn the_mark_of_a_known_browser_is_kept_from_scripts_and_other_sites() {
    let harness = start(crate::harness::Db::Sqlite, &[]);
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let answer = Answer::read(
        typed(&harness, &agent, &login, "jlehz", PASSWORD)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let set: Vec<&str> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    let known = set
        .iter()
        .find(|cookie| cookie.starts_with(&format!("__Host-mdi-known-{}=", harness.port())))
        .unwrap();
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=31536000"] {
        assert!(
            known.split("; ").any(|part| part == attribute),
            "{attribute}: {known}"
        );
    }
    assert!(!known.contains("Domain"), "{known}");
    let refused = Answer::read(
        typed(&harness, &agent, &login, "jlehz", WRONG)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert!(refused.headers.get("set-cookie").is_none(), "{refused:?}");
}

async fn fail_often(harness: &Harness, username: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(
            try_in(&mut Agent::new(harness), harness, username, WRONG)
                .await
                .at(),
            "/login"
        );
    }
}

fn set_password(
    harness: &Harness,
    username: &'static str,
    password: &'static str,
) -> Result<Person, Refused> {
    let registry = harness.registry();
    blocking(move || {
        let password = Secret::new(password);
        let hash = people::prepare_password_blocking(&registry, username, password.clone())?;
        registry.blocking(move |registry, tx| people::set_password(registry, tx, username, &password, &hash))
    })
}

fn unlock(harness: &Harness, username: &'static str) -> bool {
    let registry = harness.registry();
    blocking(move || {
        registry
            .blocking(move |registry, tx| people::unlock(registry, tx, username))
            .unwrap()
    })
}

on_both! {
    async fn a_stranger_keeps_nobody_out_of_a_browser_that_is_known(db) {
        let harness = start(db, &[]);
        let mut own = Agent::new(&harness);
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
        let known = own.cookies.iter().find(|(name, _)| name.starts_with("__Host-mdi-known")).unwrap().1.clone();
        let person = person(&harness, "jlehz");
        assert!(!known.contains(&person.id) && !known.contains("jlehz"), "it does not say who");
        fail_often(&harness, "jlehz", 5).await;
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "jlehz", PASSWORD).await.at(), "/login", "locked for others");
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor", "not here");
        assert!(failures(&harness, "jlehz").is_some(), "the lock of others stays");
        // Her cookie is worth nothing for somebody else, nor is one that was made up.
        fail_often(&harness, "clerk", 5).await;
        assert_eq!(try_in(&mut own, &harness, "clerk", PASSWORD).await.at(), "/login");
        let mut forger = Agent::new(&harness);
        let name = own.cookies.keys().find(|name| name.starts_with("__Host-mdi-known")).unwrap().clone();
        let forged = format!("{}.{}", harness.app.entropy.secret(), known.split_once('.').unwrap().1);
        forger.cookies.insert(name.clone(), forged);
        assert_eq!(try_in(&mut forger, &harness, "jlehz", PASSWORD).await.at(), "/login");
        // Two people at one computer.
        unlock(&harness, "clerk");
        assert_eq!(try_in(&mut own, &harness, "clerk", PASSWORD).await.at(), "/login/second-factor");
        fail_often(&harness, "clerk", 5).await;
        for username in ["clerk", "jlehz"] {
            assert_eq!(try_in(&mut own, &harness, username, PASSWORD).await.at(), "/login/second-factor", "{username}");
        }
        // Too many failures of its own, and it is as any other.
        for _ in 0..5 {
            try_in(&mut own, &harness, "jlehz", WRONG).await;
        }
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login");
        assert!(unlock(&harness, "jlehz") && failures(&harness, "jlehz").is_none());
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor", "all is forgotten");
        // A new password ends it.
        set_password(&harness, "jlehz", "velvet anchor parade").unwrap();
        fail_often(&harness, "jlehz", 5).await;
        assert_eq!(try_in(&mut own, &harness, "jlehz", "velvet anchor parade").await.at(), "/login");
    }
}

on_both! {
    async fn under_cjis_a_lock_lasts_until_it_is_released(db) {
        let harness = start(db, &[("POLICY", "cjis")]);
        let mut own = Agent::new(&harness);
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
        assert!(!own.cookies.keys().any(|name| name.contains("known")));
        fail_often(&harness, "jlehz", 4).await;
        // AC-7 a: within 15 minutes.
        harness.clock.advance(900);
        fail_often(&harness, "jlehz", 4).await;
        assert_eq!(recorded(&harness, "login.locked", "wrong password"), 0);
        fail_often(&harness, "jlehz", 1).await;
        assert_eq!(recorded(&harness, "login.locked", "wrong password"), 1);
        // AC-7 b: for every browser, and as long as it takes.
        harness.clock.advance(80 * DAY);
        let locked = try_in(&mut own, &harness, "jlehz", PASSWORD).await;
        assert_eq!(locked.at(), "/login");
        assert!(unlock(&harness, "jlehz") && !unlock(&harness, "jlehz"));
        assert_eq!(try_in(&mut own, &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
    }
}

on_both! {
    async fn failures_in_a_row_count_however_long_ago(db) {
        let harness = start(db, &[("FAILURES_IN_A_ROW", "7"), ("KNOWN_BROWSERS", "false")]);
        for _ in 0..6 {
            fail_often(&harness, "jlehz", 1).await;
            fail_often(&harness, "nobody", 1).await;
            harness.clock.advance(901);
        }
        assert_eq!(failures(&harness, "jlehz").unwrap().consecutive, 6);
        // A success between, and it begins anew.
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
        assert!(failures(&harness, "jlehz").is_none());
        for _ in 0..7 {
            fail_often(&harness, "jlehz", 1).await;
            harness.clock.advance(901);
        }
        harness.clock.advance(365 * DAY);
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "jlehz", PASSWORD).await.at(), "/login");
        // Names that nobody has are remembered for a day.
        let (now, app) = (harness.now(), Arc::clone(&harness.app));
        let sweep = move |tx: &mut mdi_auth::store::Tx<'_>| mdi_auth::store::sweep::sweep(tx.conn(), now, 1000);
        blocking(move || app.store.write_blocking(sweep).unwrap());
        assert!(failures(&harness, "nobody").is_none() && failures(&harness, "jlehz").is_some());
        assert!(unlock(&harness, "jlehz"));
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
    }
}

on_both! {
    async fn many_failures_at_once_lock_once(db) {
        let harness = start(db, &[("LOCKOUT_SECONDS", "until_admin")]);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let racers: Vec<_> = (0..64)
            .map(|_| {
                let request = typed(&harness, &agent, &login, "jlehz", WRONG);
                tokio::spawn(async move { Answer::read(request.send().await.unwrap()).await })
            })
            .collect();
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        for racer in racers {
            let answer = racer.await.unwrap();
            assert!(answer.header("location").starts_with("/login?"), "{answer:?}");
            *answers.entry(answer.status).or_default() += 1;
        }
        assert_eq!(answers, BTreeMap::from([(303, 64)]));
        let row = failures(&harness, "jlehz").unwrap();
        assert_eq!((row.consecutive, row.failures), (5, 0), "none was counted beyond the lock");
        assert_eq!(recorded(&harness, "login.locked", "wrong password") + recorded(&harness, "login.locked", "account locked"), 1);
        assert_eq!(try_in(&mut agent, &harness, "jlehz", PASSWORD).await.at(), "/login");
    }
}

on_both! {
    async fn what_changes_while_a_password_is_hashed_counts(db) {
        let harness = start(db, &[]);
        // A second factor, which the account did not have when the password was typed.
        let norole = person(&harness, "norole");
        let (id, generation) = (norole.id.clone(), norole.generation);
        let added = in_flight(&harness, move |tx| {
            assert!(stored::put_totp(tx.conn(), &id, generation, Some("wrapped"), 0).unwrap());
        });
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "norole", PASSWORD).await.at(), "/login/second-factor");
        added.join().unwrap();
        // Disabled: the right password leaves a trace.
        let race = async || {
            // No lock is left of the races before.
            harness.clock.advance(3600);
            harness.enable_user("clerk");
            let mut agent = Agent::new(&harness);
            let login = login_page(&mut agent, &harness).await;
            let disabled = Person { enabled: false, ..person(&harness, "clerk") };
            let changed = in_flight(&harness, move |tx| stored::put(tx.conn(), &disabled).unwrap());
            assert_eq!(agent.submit(&login, &[("username", "clerk"), ("password", PASSWORD)]).await.at(), "/login");
            changed.join().unwrap();
            recorded(&harness, "login.failed", "account changed meanwhile")
        };
        assert_eq!(eventually("password that was hashed in time", race, |traces| *traces > 0).await, 1);
    }
}

on_both! {
    async fn earlier_passwords_do_not_come_back(db) {
        let harness = start(db, &[("PASSWORD_HISTORY", "3")]);
        const SECOND: &str = "velvet anchor parade";
        const THIRD: &str = "quagmire pelican saddlebag";
        const FOURTH: &str = "walrus figment obelisk";
        let refused = |password| match set_password(&harness, "norole", password) {
            Err(Refused::Mistakes(mistakes)) => mistakes[0].to_string(),
            other => panic!("{password}: {other:?}"),
        };
        assert_eq!(refused(PASSWORD), "password: it is one of the last 3 passwords of this account", "the present one");
        let before = person(&harness, "norole");
        harness.clock.advance(10);
        let after = set_password(&harness, "norole", SECOND).unwrap();
        assert_eq!((after.password_changed_at, after.generation), (BEGIN + 10, before.generation + 1));
        assert!(refused(PASSWORD).contains("last 3"));
        set_password(&harness, "norole", THIRD).unwrap();
        assert!(refused(PASSWORD).contains("last 3") && refused(SECOND).contains("last 3"));
        // In the same second: the order of rows does not depend on it.
        harness.clock.advance(1);
        set_password(&harness, "norole", FOURTH).unwrap();
        set_password(&harness, "norole", PASSWORD).unwrap();
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "norole", PASSWORD).await.at(), "/consent");
        // Only as many are kept as are needed.
        let (app, id) = (Arc::clone(&harness.app), before.id.clone());
        let kept = blocking(move || app.store.read_blocking(move |conn| password_history::of(conn, &id, 100)).unwrap());
        assert_eq!(kept.len(), 2);
    }
}

on_both! {
    async fn a_password_that_has_expired_is_changed_first(db) {
        let harness = start(db, &[("POLICY", "cjis"), ("DORMANT_DAYS", "0")]);
        harness.clock.advance(90 * DAY - 1);
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "norole", PASSWORD).await.at(), "/consent");
        harness.clock.advance(1);
        let mut agent = Agent::new(&harness);
        let page = try_in(&mut agent, &harness, "norole", PASSWORD).await;
        assert!(page.at().ends_with("/login/new-password"), "{} {:?}", page.at(), agent.hops);
        set_password(&harness, "norole", "velvet anchor parade").unwrap();
        let page = try_in(&mut Agent::new(&harness), &harness, "norole", "velvet anchor parade").await;
        assert_eq!(page.at(), "/consent");
    }
}

on_both! {
    async fn who_was_not_here_for_long_is_disabled(db) {
        let harness = start(db, &[("DORMANT_DAYS", "90")]);
        harness.clock.advance(60 * DAY);
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "norole", PASSWORD).await.at(), "/consent");
        let here = person(&harness, "norole");
        assert_eq!((here.last_login_at, here.idle_since), (Some(harness.now()), harness.now()));
        harness.clock.advance(30 * DAY);
        // Unusually many at once are told of a day before, so that they may sign in and stay.
        people::disable_dormant(&harness.registry()).await.unwrap();
        assert_eq!(recorded(&harness, "person.changed", "disabled_dormant"), 0);
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "clerk", PASSWORD).await.at(), "/login/second-factor");
        harness.clock.advance(DAY - 1);
        assert_eq!(people::disable_dormant(&harness.registry()).await.unwrap(), 0);
        harness.clock.advance(1);
        let disabled = people::disable_dormant(&harness.registry()).await.unwrap();
        assert!(disabled <= 2, "the server may have been first");
        assert_eq!(recorded(&harness, "person.changed", "disabled_dormant"), 2);
        let (jane, nora) = (person(&harness, "jlehz"), person(&harness, "norole"));
        assert_eq!((jane.enabled, jane.generation, nora.enabled), (false, 1, true));
        assert_eq!(people::disable_dormant(&harness.registry()).await.unwrap(), 0);
        harness.enable_user("jlehz");
        assert_eq!(person(&harness, "jlehz").idle_since, harness.now());
        assert_eq!(try_in(&mut Agent::new(&harness), &harness, "jlehz", PASSWORD).await.at(), "/login/second-factor");
    }
}

on_both! {
    async fn a_licence_ends_with_its_last_day(db) {
        let harness = start(db, &[]);
        // The test begins at 21:00 of 20 November in New York: three hours are left.
        for username in ["locum", "deputy"] {
            let roles = if username == "locum" { "\"medical-examiner\"" } else { "\"medical-examiner\", \"data-clerk\"" };
            harness.apply(&format!(
                "[[user]]\nusername = \"{username}\"\nname = \"Lee Locum\"\npassword = \"{PASSWORD}\"\n\
                 totp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [{roles}]\nlicense_expires = \"2026-11-20\"\n",
            ));
        }
        let midnight = BEGIN + 3 * 3600;
        let scope = [("scope", "openid offline_access user/Composition.crus user/Patient.rs")];
        harness.clock.advance(midnight - 600 - BEGIN);
        let code = code_of(&harness, "locum", &scope).await;
        let certifier = redeem(&harness, &code).await;
        assert_eq!(certifier.json["expires_in"], 600, "not beyond the licence");
        harness.clock.advance(30);
        let both = redeem(&harness, &code_of(&harness, "deputy", &scope).await).await;
        assert_eq!(both.json["expires_in"], 570);
        let certifying = redeem(&harness, &code_of(&harness, "jlehz", &scope).await).await;
        assert_eq!(certifying.json["expires_in"], 900, "a licence without an end");
        assert!(both.str("scope").contains("user/Composition.c"), "{both:?}");
        harness.clock.advance(569);
        assert_eq!(harness.introspect(EDRS, certifier.str("access_token")).await["active"], true);
        harness.clock.advance(1);
        for tokens in [&certifier, &both] {
            assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await, json!({ "active": false }));
        }
        // At the next refresh the role is gone: nothing is left of one, the clerk's part of the other.
        let ended = refresh(&harness, certifier.str("refresh_token")).await;
        assert_eq!((ended.status, ended.error()), (400, "invalid_grant"), "{ended:?}");
        assert!(ended.description().contains("the licence on file for the person's role has ended"), "{ended:?}");
        let narrowed = refresh(&harness, both.str("refresh_token")).await;
        assert_eq!((narrowed.status, &narrowed.json["expires_in"]), (200, &json!(900)), "{narrowed:?}");
        let told = harness.introspect(EDRS, narrowed.str("access_token")).await;
        let roles = told["extensions"]["ihe_iua"]["subject_role"].to_string();
        assert!(roles.contains("data-clerk") && !roles.contains("medical-examiner"), "{roles}");
        // So it is at the authorization endpoint, and both are told why: the application by the error, the person by the page.
        harness.clock.advance(60);
        let certify = [("scope", "openid __mdi.certify user/Composition.crus")];
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &certify)).await;
        let refused = agent.sign_in(login, "locum", PASSWORD).await;
        assert_eq!(refused.parameter("error").as_deref(), Some("access_denied"));
        assert!(refused.parameter("error_description").unwrap().contains("licence on file"), "{refused:?}");
        harness.clock.advance(60);
        let mut agent = Agent::new(&harness);
        let asked = [certify[0], ("prompt", "consent")];
        let login = agent.get(&authorize_url(&harness, &asked)).await;
        let consent = agent.sign_in(login, "deputy", PASSWORD).await;
        assert_eq!(consent.at(), "/consent");
        assert!(consent.answer().text.contains("The license on file for your role ended on 2026-11-20."), "{consent:?}");
        harness.clock.advance(60);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &scope)).await;
        let done = agent.sign_in(login, "deputy", PASSWORD).await;
        let code = done.parameter("code").expect("less than what was allowed before");
        let tokens = redeem(&harness, &code).await;
        let told = harness.introspect(EDRS, tokens.str("access_token")).await;
        assert!(!told["extensions"]["ihe_iua"]["subject_role"].to_string().contains("medical-examiner"), "{told}");
        assert_eq!(told["client_id"], FULTON.0);
    }
}

#[tokio::test]
async fn the_meter_answers_our_own_pages_alone() {
    let harness = start(crate::harness::Db::Sqlite, &[]);
    let mut agent = Agent::new(&harness);
    let login = agent.get(&harness.url("/account/password")).await;
    let page = agent.sign_in(login, "jlehz", PASSWORD).await;
    assert_eq!(page.at(), "/account/password");
    let (csrf, state, cookies) = (hidden(&page, "csrf"), hidden(&page, "state"), cookies(&agent));
    // What the link of nobody carries stands in no page that asks for a password.
    let bogus = agent.get(&harness.url("/new-password/of-nobody")).await;
    assert_ne!(bogus.answer().status, 200);
    let carried = agent
        .hops
        .last()
        .unwrap()
        .split("state=")
        .nth(1)
        .unwrap()
        .to_owned();
    let ask = async |fields: &[(&str, &str)], origin: &str, cookies: &str| {
        let request = harness
            .http
            .post(harness.url("/password-strength"))
            .header("Origin", origin)
            .header("Cookie", cookies);
        Answer::read(request.form(fields).send().await.unwrap()).await
    };
    let good = [
        ("csrf", csrf.as_str()),
        ("state", state.as_str()),
        ("password", "Jane Lehz 1234"),
        ("words", "Jane Lehz"),
    ];
    let told = ask(&good, &harness.issuer, &cookies).await;
    assert_eq!(
        (told.status, told.header("cache-control"), told.str("word")),
        (200, "no-store", "Too easy to guess")
    );
    assert!(
        told.json["score"].as_i64().unwrap() < 2 && told.str("advice").starts_with("Your name"),
        "{told:?}"
    );
    let service = ask(
        &[("csrf", &csrf), ("state", &state), ("password", "MDI Auth 1234")],
        &harness.issuer,
        &cookies,
    )
    .await;
    assert!(service.str("advice").starts_with("Your name"), "{service:?}");
    for refused in [
        ask(&good, "https://evil.example", &cookies).await,
        ask(&good, &harness.issuer, "").await,
        ask(
            &[("csrf", "no"), ("state", &state), ("password", "x")],
            &harness.issuer,
            &cookies,
        )
        .await,
        ask(&[("csrf", &csrf), ("password", "x")], &harness.issuer, &cookies).await,
        ask(
            &[("csrf", &csrf), ("state", &carried), ("password", "x")],
            &harness.issuer,
            &cookies,
        )
        .await,
        ask(
            &[
                ("csrf", &csrf),
                ("state", &state),
                ("password", "x"),
                ("password", "y"),
            ],
            &harness.issuer,
            &cookies,
        )
        .await,
    ] {
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert_eq!(harness.get("/password-strength").await.status, 405);
    let mut status = 200;
    for _ in 0..300 {
        status = ask(&good, &harness.issuer, &cookies).await.status;
        if status != 200 {
            break;
        }
    }
    assert_eq!(status, 429);
}

on_both! {
    async fn nobody_learns_what_became_of_an_account(db) {
        let harness = start(db, &[("DORMANT_DAYS", "90"), ("LOCKOUT_SECONDS", "until_admin")]);
        fail_often(&harness, "jlehz", 5).await;
        harness.disable_user("clerk");
        let mut seen: Vec<(u16, String, String)> = Vec::new();
        let mut look = async |username: &str, password: &str| {
            let mut agent = Agent::new(&harness);
            let page = try_in(&mut agent, &harness, username, password).await;
            let text = &page.answer().text;
            let told = text[text.find("role=\"alert\"").unwrap()..text.find("<form").unwrap()].replace(username, "");
            let kept: Vec<&str> = agent.cookies.keys().map(String::as_str).collect();
            seen.push((page.answer().status, told, kept.join(" ")));
        };
        // Locked, disabled, wrong, unknown; then dormant.
        for (username, password) in
            [("jlehz", PASSWORD), ("clerk", PASSWORD), ("norole", WRONG), ("nobody", PASSWORD)]
        {
            look(username, password).await;
        }
        harness.clock.advance(90 * DAY);
        look("norole", PASSWORD).await;
        assert!(seen.iter().all(|one| one == &seen[0]), "{seen:#?}");
        assert!(!seen[0].2.contains("known") && !seen[0].2.contains("session"), "{seen:#?}");
    }
}
