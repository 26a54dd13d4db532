//! Attacks that were tried on the flows, each with what it must come to.

use std::net::{IpAddr, Ipv6Addr};

use diesel::RunQueryDsl;
use futures_util::FutureExt;
use mdi_auth::audit::failure_counts::{Failed, FailureCounts, Noted};
use mdi_auth::secrets::fair_queue::{FairQueue, FairTurns};
use mdi_auth::session::lockout::Attempt;
use mdi_auth::store::Conn;
use mdi_auth::web::refusals::AT_ONCE;
use serde_json::{Value, json};

use crate::connections::{connect, status, trusting};
use crate::harness::agent::{Agent, cookies, hidden};
use crate::harness::assertion::{ClientKey, TYPE, claims};
use crate::harness::{CALLBACK, CMS, Db, EDRS, FULTON, Harness, LIMS, PASSWORD, blocking};
use crate::person_flow::{authorize_url, code_of, redeem};
use crate::support::eventually;
use crate::support::installation::Installation;

fn claims_of(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// How many rows the audit record has.
fn events(harness: &Harness) -> i64 {
    let store = std::sync::Arc::clone(&harness.app.store);
    blocking(move || {
        store
            .read_blocking(mdi_auth::store::audit::logs)
            .unwrap()
            .iter()
            .map(|log| log.size)
            .sum()
    })
}

#[tokio::test]
async fn a_refresh_never_goes_beyond_its_grant() {
    let harness = Harness::start(Db::Sqlite);
    let code = code_of(
        &harness,
        "jlehz",
        &[("scope", "openid offline_access user/Patient.rs")],
    )
    .await;
    let token = redeem(&harness, &code).await.str("refresh_token").to_owned();
    for (scope, error) in [
        ("__mdi.certify", "invalid_scope"),
        ("openid __mdi.certify", "invalid_scope"),
        ("user/Composition.crus", "invalid_scope"),
        ("user/*.rs", "invalid_scope"),
    ] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &token),
            ("scope", scope),
        ];
        let answer = harness.token(Some(FULTON), &form).await;
        assert_eq!((answer.status, answer.error()), (400, error), "{scope}");
    }
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("scope", " "),
    ];
    assert_eq!(
        harness.token(Some(FULTON), &form).await.str("scope"),
        "openid offline_access user/Patient.rs"
    );
    // What was granted for certifying alone leaves nothing to refresh.
    harness.clock.advance(30);
    let code = code_of(
        &harness,
        "jlehz",
        &[("scope", "__mdi.certify offline_access openid")],
    )
    .await;
    let token = redeem(&harness, &code).await.str("refresh_token").to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("scope", "__mdi.certify"),
    ];
    assert_eq!(harness.token(Some(FULTON), &form).await.error(), "invalid_scope");
}

#[tokio::test]
async fn what_is_unticked_later_is_not_remembered_from_before() {
    let harness = Harness::start(Db::Sqlite);
    let mut agent = Agent::new(&harness);
    let two = [("scope", "openid user/Patient.rs user/Composition.crus")];
    let three = [(
        "scope",
        "openid user/Patient.rs user/Composition.crus user/Location.rs",
    )];
    let login = agent.get(&authorize_url(&harness, &two)).await;
    let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
    agent.approve(&consent).await.elsewhere();
    let consent = agent.get(&authorize_url(&harness, &three)).await;
    let chosen = [
        ("scope", "user/Patient.rs"),
        ("scope", "user/Location.rs"),
        ("decision", "approve"),
    ];
    agent.submit(&consent, &chosen).await.elsewhere();
    assert_eq!(
        agent.get(&authorize_url(&harness, &three)).await.at(),
        "/consent",
        "asked again"
    );
    assert_eq!(
        agent.get(&authorize_url(&harness, &two)).await.at(),
        "/consent",
        "no longer remembered"
    );
}

#[tokio::test]
async fn remembered_consent_ends_with_what_the_page_told() {
    let harness = Harness::start(Db::Sqlite);
    let plain = [("scope", "openid user/Patient.rs"), ("purpose_of_use", "HDECD")];
    let other = [("scope", "openid user/Patient.rs"), ("purpose_of_use", "PUBHLTH")];
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &plain)).await;
    let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
    agent.approve(&consent).await.elsewhere();
    assert!(
        agent
            .get(&authorize_url(&harness, &plain))
            .await
            .parameter("code")
            .is_some()
    );
    assert_eq!(
        agent.get(&authorize_url(&harness, &other)).await.at(),
        "/consent",
        "another purpose"
    );
    harness.disable_user("jlehz");
    harness.enable_user("jlehz");
    harness.clock.advance(30);
    let login = agent.get(&authorize_url(&harness, &plain)).await;
    assert_eq!(login.at(), "/login", "the session is gone");
    assert_eq!(
        agent.sign_in(login, "jlehz", PASSWORD).await.at(),
        "/consent",
        "enabling revives nothing"
    );
}

#[tokio::test]
async fn the_purpose_is_the_one_that_the_person_was_told() {
    let harness = Harness::start(Db::Sqlite);
    let code = code_of(
        &harness,
        "jlehz",
        &[("scope", "openid user/Patient.rs"), ("purpose_of_use", "HDECD")],
    )
    .await;
    let form = |purpose: &'static str| {
        vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            ("purpose_of_use", purpose),
        ]
    };
    let refused = harness.token(Some(FULTON), &form("PUBHLTH")).await;
    assert_eq!(
        (refused.status, refused.error()),
        (400, "invalid_request"),
        "{refused:?}"
    );
    let tokens = harness.token(Some(FULTON), &form("HDECD")).await;
    let purposes = claims_of(tokens.str("access_token"))["extensions"]["ihe_iua"]["purpose_of_use"].clone();
    assert_eq!(purposes.as_array().unwrap().len(), 1);
    assert_eq!(purposes[0]["code"], "HDECD");
}

#[tokio::test]
async fn a_consent_page_counts_for_the_one_who_saw_it_and_not_for_ever() {
    let harness = Harness::start(Db::Sqlite);
    let mut agent = Agent::new(&harness);
    let plain = [("scope", "openid user/Patient.rs")];
    let login = agent.get(&authorize_url(&harness, &plain)).await;
    let shown_to_lehz = agent.sign_in(login, "jlehz", PASSWORD).await;
    // In another tab somebody else signs in.
    harness.clock.advance(60);
    let login = agent
        .get(&authorize_url(
            &harness,
            &[("scope", "openid"), ("prompt", "login")],
        ))
        .await;
    agent.sign_in(login, "clerk", PASSWORD).await;
    let page = agent.approve(&shown_to_lehz).await;
    assert_eq!(page.at(), "/consent", "asked anew");
    assert!(page.answer().text.contains("Cory Clerk"));
    // A page for certifying that was left open is worth nothing when the sign-in has become too old.
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
    harness.clock.advance(20 * 60);
    assert_eq!(agent.approve(&consent).await.at(), "/login");
}

#[tokio::test]
async fn a_sign_in_does_not_satisfy_prompt_login_again_and_again() {
    let harness = Harness::start(Db::Sqlite);
    let mut agent = Agent::new(&harness);
    let insisting = [
        ("prompt", "login"),
        ("max_age", "60"),
        ("scope", "openid user/Patient.rs"),
    ];
    let login = agent.get(&authorize_url(&harness, &insisting)).await;
    let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
    agent.approve(&consent).await.elsewhere();
    let sealed = agent
        .hops
        .iter()
        .rev()
        .find(|hop| hop.starts_with("/oauth2/authorize?pending"))
        .unwrap();
    let from_history = harness.url(sealed);
    harness.clock.advance(25 * 60);
    assert_eq!(agent.get(&from_history).await.at(), "/login");
}

#[tokio::test]
async fn strangers_write_little() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(
        "[[client]]\nclient_id = \"native\"\nname = \"Native\"\ndataflow = \"cms-user-to-edrs\"\nauth_method = \"none\"\n\
         redirect_uris = [\"http://127.0.0.1/cb\"]\nresource_servers = [\"edrs-ga\"]\n",
    );
    let before = events(&harness);
    for number in 0..100 {
        let code = format!("x{number}");
        let form = [
            ("client_id", "native"),
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
        ];
        let answer = harness.token(None, &form).await;
        assert!([400, 429].contains(&answer.status), "{answer:?}");
        harness.token(None, &[("client_id", "native")]).await;
        harness
            .token(
                Some(("nobody", "nothing")),
                &[("grant_type", "client_credentials")],
            )
            .await;
        harness
            .post("/oauth2/revoke", None, &[("client_id", "native"), ("token", "x")])
            .await;
    }
    assert!(
        events(&harness) - before <= 4,
        "{} events",
        events(&harness) - before
    );
    // How many there were is told when it was counted for ten minutes: one address, one event.
    let flush = || harness.app.failure_counts.flush(harness.now());
    assert!(flush().is_empty());
    harness.clock.advance(600);
    let told = flush();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].detail["count"].parse::<u32>().unwrap() > 100, "{told:?}");
}

#[tokio::test]
async fn a_misconfigured_system_does_not_shut_its_neighbours_out() {
    let harness = Harness::start(Db::Sqlite);
    let grant = [("grant_type", "client_credentials")];
    for _ in 0..40 {
        harness
            .token(Some((LIMS.0, "wrong-wrong-wrong-wrong-wrong-wrong-")), &grant)
            .await;
    }
    let wrong = harness
        .token(Some((LIMS.0, "wrong-wrong-wrong-wrong-wrong-wrong-")), &grant)
        .await;
    assert_eq!(
        (wrong.status, wrong.header("retry-after")),
        (429, "60"),
        "what is wrong is told so no more"
    );
    assert_eq!(
        harness.token(Some(LIMS), &grant).await.status,
        200,
        "the same client, by its right secret, from the same address"
    );
    assert_eq!(
        harness.introspect(CMS, "x").await["active"],
        false,
        "another client of the same address"
    );
    let wrong = harness
        .token(Some((CMS.0, "wrong-wrong-wrong-wrong-wrong-wrong-")), &grant)
        .await;
    assert_eq!(
        (wrong.status, wrong.error()),
        (401, "invalid_client"),
        "which is still told what is wrong"
    );
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    assert_eq!(
        agent.sign_in(login, "jlehz", PASSWORD).await.at(),
        "/consent",
        "and the people there"
    );
    harness.clock.advance(61);
    assert_eq!(harness.token(Some(LIMS), &grant).await.status, 200);
}

#[tokio::test]
async fn forged_assertions_do_not_shut_the_right_key_out() {
    let harness = Harness::start(Db::Sqlite);
    let (key, forged) = (
        ClientKey::new(jsonwebtoken::Algorithm::ES256, "k1"),
        ClientKey::new(jsonwebtoken::Algorithm::ES256, "k1"),
    );
    let jwks = json!({ "keys": [key.jwk()] });
    harness.apply(&format!(
        "[[client]]\nclient_id = \"lims-jwt\"\nname = \"L\"\ndataflow = \"lims-to-cms\"\njwks = '{jwks}'\n\
         signing_algs = [\"ES256\"]\nresource_servers = [\"cms-fulton\"]\n"
    ));
    let ask = async |key: &ClientKey| {
        let assertion = key.sign(&claims("lims-jwt", &harness.issuer, harness.now()));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
        ];
        harness.token(None, &form).await
    };
    for _ in 0..40 {
        ask(&forged).await;
    }
    assert_eq!(ask(&forged).await.status, 429, "anybody can write an iss");
    assert_eq!(
        ask(&key).await.status,
        200,
        "the right key, from the same address"
    );
}

#[tokio::test]
async fn many_sign_ins_at_once_do_not_slip_through_the_limit() {
    let harness = Harness::start_with(Db::Sqlite, |config| config.login.address_attempts_per_minute = 10);
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let (csrf, pending, cookies) = (hidden(&login, "csrf"), hidden(&login, "pending"), cookies(&agent));
    let attempts: Vec<_> = (0..80)
        .map(|number| {
            let request = harness
                .http
                .post(harness.url("/login"))
                .header("cookie", &cookies);
            let username = format!("u{number}");
            let form = [
                ("csrf", &csrf),
                ("pending", &pending),
                ("username", &username),
                ("password", &username),
            ];
            tokio::spawn(request.form(&form).send())
        })
        .collect();
    for attempt in attempts {
        assert_eq!(attempt.await.unwrap().unwrap().status(), 303);
    }
    assert_eq!(
        harness.events("login.failed").len(),
        10,
        "ten were judged, each in another name"
    );
}

#[tokio::test]
async fn one_network_does_not_keep_the_others_from_signing_in() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.login.hashing_threads = Some(1);
        (config.login.argon2_memory_kib, config.login.argon2_iterations) = (65_536, 3);
        config.login.address_attempts_per_minute = 1000;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let (csrf, pending, cookies) = (hidden(&login, "csrf"), hidden(&login, "pending"), cookies(&agent));
    let sign_in = |from: String, username: String, password: &str| {
        let form = [
            ("csrf", csrf.as_str()),
            ("pending", pending.as_str()),
            ("username", username.as_str()),
            ("password", password),
        ];
        let request = harness
            .http
            .post(harness.url("/login"))
            .header("cookie", &cookies)
            .header("X-Forwarded-For", from);
        request.form(&form).send()
    };
    // So many from one network that some are turned away: nobody else's place is taken by that.
    let (turned_away, mut told) = tokio::sync::mpsc::unbounded_channel();
    let flood: Vec<_> = (0..300)
        .map(|n| {
            let (request, turned_away) = (
                sign_in(format!("198.51.100.{}", n % 250), format!("u{n}"), "wrong"),
                turned_away.clone(),
            );
            tokio::spawn(async move {
                if request.await.is_ok_and(|answer| answer.status() == 503) {
                    let _ = turned_away.send(());
                }
            })
        })
        .collect();
    told.recv().await.unwrap();
    for other in ["203.0.113.5", "203.0.114.5", "2001:db8::5"] {
        let answer = sign_in(other.to_owned(), "jlehz".to_owned(), PASSWORD)
            .await
            .unwrap();
        assert_eq!(answer.status(), 303, "{other}");
        let to = answer.headers()["location"].to_str().unwrap();
        assert!(to.contains("/login/second-factor"), "{other}: {to}");
    }
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

/// An office of fifty that comes to work, whatever stands between it and the server: everybody gets in, with the limits
/// as they come.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_right_sign_ins_at_once_are_all_answered() {
    use std::fmt::Write;
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.login.hashing_threads = Some(1);
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let mut people = String::new();
    for n in 0..50 {
        writeln!(
            people,
            "[[user]]\nusername = \"office{n}\"\nname = \"Office {n}\"\npassword = {PASSWORD:?}"
        )
        .unwrap();
    }
    harness.apply(&people);
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let (csrf, pending, cookies) = (hidden(&login, "csrf"), hidden(&login, "pending"), cookies(&agent));
    // A thousand connections that were kept alive, each with a request behind it; fifty of them are used again.
    mdi_auth::web::connections::raise_limit();
    let (ca_file, port) = (harness.ca_file.clone(), harness.port());
    let idle = tokio::task::spawn_blocking(move || {
        let tls = trusting(&ca_file);
        let open = |_| {
            let mut wire = connect(&tls, port, [127, 0, 0, 1]).unwrap();
            assert_eq!(status(&mut wire, "/healthz"), Some(200));
            wire
        };
        (0..950).map(open).collect::<Vec<_>>()
    });
    let idle = idle.await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..50 {
        let client = crate::harness::client(&harness.ca_file);
        assert_eq!(
            client.get(harness.url("/healthz")).send().await.unwrap().status(),
            200
        );
        kept.push(client);
    }
    // From where each of them comes, and by which connection.
    let rows: [(&str, bool, fn(usize) -> String); 4] = [
        ("one address", false, |_| "203.0.113.5".to_owned()),
        ("one address, connections kept alive", true, |_| {
            "203.0.113.6".to_owned()
        }),
        ("one /24", true, |n| format!("198.51.100.{n}")),
        ("a /64 each of one /48", true, |n| format!("2001:db8:1:{n:x}::1")),
    ];
    for (name, by_kept, from) in rows {
        let sent: Vec<_> = kept
            .iter()
            .enumerate()
            .map(|(n, client)| {
                let client = if by_kept {
                    client.clone()
                } else {
                    crate::harness::client(&harness.ca_file)
                };
                let username = format!("office{n}");
                let form = [
                    ("csrf", csrf.as_str()),
                    ("pending", &pending),
                    ("username", &username),
                    ("password", PASSWORD),
                ];
                let request = client
                    .post(harness.url("/login"))
                    .header("cookie", &cookies)
                    .header("X-Forwarded-For", from(n));
                tokio::spawn(request.form(&form).send())
            })
            .collect();
        for (n, answer) in sent.into_iter().enumerate() {
            let answer = answer.await.unwrap().unwrap();
            let to = answer
                .headers()
                .get("location")
                .map(|to| to.to_str().unwrap().to_owned());
            assert_eq!(answer.status(), 303, "{name}, {n}: {to:?}");
            assert!(
                to.as_ref().is_some_and(|to| !to.contains("/login")),
                "{name}, {n}: {to:?}"
            );
        }
    }
    assert_eq!(harness.events("login.failed").len(), 0);
    drop(idle);
}

#[test]
fn beyond_ten_thousand_addresses_larger_networks_are_counted() {
    let counts = FailureCounts::default();
    let (now, limit) = (1_800_000_000, 30);
    for n in 0..10_000_u32 {
        counts.attempt(
            std::net::Ipv4Addr::from(0x0A00_0000 + n * 7).into(),
            "client",
            now,
        );
    }
    // Whoever comes now is throttled all the same, with its network; another network is not.
    for n in 0..limit {
        counts.attempt(
            format!("198.51.100.{n}").parse().unwrap(),
            &format!("client {n}"),
            now,
        );
    }
    let tried = |address: &str| counts.attempts(address.parse().unwrap(), "new", now);
    assert_eq!(tried("198.51.100.200"), limit);
    assert_eq!(tried("203.0.113.5"), 0);
    // Nor do any number of invented addresses make one count for everybody.
    for n in 0..60_000_u128 {
        let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) + (n << 80));
        counts.attempt(address.into(), "client", now);
    }
    assert_eq!(tried("203.0.113.5"), 0);
    assert!(tried("2001:db8:ffff:1::1") > limit, "their own network is");
    assert!(!counts.reserve("2001:db8:ffff:1::1".parse().unwrap(), 0, now));
    assert!(counts.reserve("203.0.113.5".parse().unwrap(), limit, now));
}

#[test]
fn networks_take_turns_and_the_busiest_loses_its_newest() {
    let network = |n: u8| IpAddr::from([10, 0, n, 0]);
    let queue = FairQueue::new(4);
    for item in ["a1", "a2", "a3", "a4"] {
        assert_eq!(queue.put(network(1), item), None);
    }
    assert_eq!(
        queue.put(network(1), "a5"),
        Some("a5"),
        "it has the most waiting itself"
    );
    assert_eq!(
        queue.put(network(2), "b1"),
        Some("a4"),
        "the newest of the busiest"
    );
    assert_eq!(queue.put(network(3), "c1"), Some("a3"));
    assert_eq!(queue.put(network(4), "d1"), Some("a2"));
    assert_eq!(
        queue.put(network(5), "e1"),
        Some("e1"),
        "nobody has more than this one would have"
    );
    let mut taken: Vec<_> = (0..4).map(|_| queue.take().unwrap()).collect();
    assert_eq!(taken, ["a1", "b1", "c1", "d1"]);
    // Somebody may have any number of networks, but they lie in a larger one.
    let of_one = |n: u128| IpAddr::from(Ipv6Addr::from((0x2001_0db8_u128 << 96) + (n << 80)));
    for n in 0..4 {
        assert_eq!(queue.put(of_one(n), "v6"), None);
    }
    assert_eq!(queue.put(network(1), "a6"), Some("v6"));
    assert_eq!(
        queue.put(of_one(9), "v6"),
        Some("v6"),
        "and take no places by that"
    );
    taken = (0..4).map(|_| queue.take().unwrap()).collect();
    assert!(taken.contains(&"a6"), "{taken:?}");
    assert_eq!(queue.put(network(1), "a6"), None);
    queue.close();
    assert_eq!(queue.put(network(1), "a7"), Some("a7"));
    taken = std::iter::from_fn(|| queue.take()).collect();
    assert_eq!(taken, ["a6"], "what waits is still done");
}

/// Somebody else behind the address tries names: whose browser is known is not kept out by that.
#[tokio::test]
async fn a_known_browser_has_a_count_of_its_own() {
    let harness = Harness::start(Db::Sqlite);
    let mut known = Agent::new(&harness);
    let login = known.get(&authorize_url(&harness, &[])).await;
    known.sign_in(login, "jlehz", PASSWORD).await;
    known.cookies.retain(|name, _| !name.contains("-session"));
    harness.clock.advance(60);
    let mut stranger = Agent::new(&harness);
    let login = stranger.get(&authorize_url(&harness, &[])).await;
    for n in 0..harness.app.config.login.address_attempts_per_minute {
        let name = format!("invented{n}");
        stranger
            .submit(&login, &[("username", &name), ("password", "x")])
            .await;
    }
    let page = stranger
        .submit(&login, &[("username", "jlehz"), ("password", PASSWORD)])
        .await;
    assert!(
        page.answer().text.contains("too many attempts"),
        "{}",
        page.answer().text
    );
    let login = known.get(&authorize_url(&harness, &[])).await;
    let page = known
        .submit(&login, &[("username", "jlehz"), ("password", PASSWORD)])
        .await;
    assert_eq!(page.at(), "/login/second-factor");
    // For nobody else than the one whom it has signed in.
    known.cookies.retain(|name, _| !name.contains("-session"));
    let login = known.get(&authorize_url(&harness, &[("prompt", "login")])).await;
    let page = known
        .submit(&login, &[("username", "clerk"), ("password", PASSWORD)])
        .await;
    assert!(
        page.answer().text.contains("too many attempts"),
        "{}",
        page.answer().text
    );
    // Nor does it guess without end: it has as many tries a minute as an address.
    let mut told = String::new();
    for _ in 0..harness.app.config.login.address_attempts_per_minute {
        let page = known
            .submit(&login, &[("username", "jlehz"), ("password", "guessed")])
            .await;
        told.clone_from(&page.answer().text);
    }
    assert!(told.contains("too many attempts"), "{told}");
}

/// What a network asks in vain again and again is answered late, and nothing else is: not what is right, not what others
/// ask, not what somebody who is known asks.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_flood_are_held_back() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let ask = |client: (&str, &str), scope: &str, from: &str| {
        let request = harness
            .http
            .post(harness.url("/oauth2/token"))
            .basic_auth(client.0, Some(client.1))
            .header("X-Forwarded-For", from);
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = request.form(&form).send();
        async move { request.await.unwrap().status().as_u16() }
    };
    for n in 0..AT_ONCE {
        let from = format!("198.51.100.{}", n % 250);
        let name = format!("invented{n}");
        assert!([401, 429].contains(&ask((&name, "x"), "", &from).await));
    }
    let known = (LIMS.0, LIMS.1);
    for (what, client, scope, from, status) in [
        ("what is right", known, "system/Bundle.c", "198.51.100.7", 200),
        ("of who is known", known, "system/Patient.rs", "198.51.100.7", 400),
        ("of another network", ("invented", "x"), "", "203.0.113.5", 401),
    ] {
        let held_back = ask(("invented", "x"), "", "198.51.100.7");
        tokio::pin!(held_back);
        tokio::select! {
            biased;
            _ = &mut held_back => panic!("{what} waits for a refusal"),
            answered = ask(client, scope, from) => assert_eq!(answered, status, "{what}"),
        }
        assert!([401, 429].contains(&held_back.await), "it is answered in the end");
    }
}

#[tokio::test]
async fn turns_pass_from_network_to_network() {
    let network = |n: u8| IpAddr::from([10, 0, n, 0]);
    let turns = FairTurns::new(1, 3);
    let first = turns.turn(network(1)).await.unwrap();
    let waits = |n| {
        let (turns, network) = (std::sync::Arc::clone(&turns), network(n));
        let mut waiting = Box::pin(async move { turns.turn(network).await });
        assert!((&mut waiting).now_or_never().is_none());
        waiting
    };
    let (one, two, three) = (waits(1), waits(1), waits(1));
    // Four are too many: the newest of the busiest network gives way.
    let other = waits(2);
    assert!(three.await.is_none());
    drop(first);
    let second = one.await.unwrap();
    // Who has gone is passed over, the other network is next.
    drop(two);
    drop(second);
    let third = other.await.unwrap();
    assert!(turns.turn(network(3)).now_or_never().is_none());
    drop(third);
    turns.turn(network(4)).await.unwrap();
}

#[tokio::test]
async fn an_emergency_rotation_stops_the_thief() {
    let harness = Harness::start(Db::Sqlite);
    let token = harness
        .token(Some(LIMS), &[("grant_type", "client_credentials")])
        .await
        .str("access_token")
        .to_owned();
    assert_eq!(harness.introspect(CMS, &token).await["active"], true);
    let stolen = harness.app.live.keyring();
    let forge = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims_of(&token);
        claims["jti"] = json!("at_forged");
        change(&mut claims);
        stolen
            .sign(
                mdi_auth::model::signing::Algorithm::RS256,
                "at+jwt",
                &claims,
                harness.now(),
            )
            .unwrap()
    };
    let long = forge(&|claims| claims["exp"] = json!(harness.now() + 10 * 366 * 86400));
    assert_eq!(
        harness.introspect(CMS, &long).await["active"],
        false,
        "no token of ours lives that long"
    );
    let forged = forge(&|_| ());
    assert_eq!(
        harness.introspect(CMS, &forged).await["active"],
        true,
        "the key is stolen, and nobody knows"
    );
    let registry = harness.registry();
    blocking(move || {
        mdi_auth::registry::keys::rotate(&registry, None, true)
            .map(drop)
            .unwrap()
    });
    for (what, token) in [("forged", &forged), ("honest, of the stolen key", &token)] {
        assert_eq!(harness.introspect(CMS, token).await["active"], false, "{what}");
    }
    assert_eq!(
        harness.get("/oauth2/jwks").await.json["keys"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let fresh = harness
        .token(Some(LIMS), &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(
        harness.introspect(CMS, fresh.str("access_token")).await["active"],
        true
    );
}

#[tokio::test]
async fn strangers_do_not_learn_who_is_registered_with_what() {
    let harness = Harness::start(Db::Sqlite);
    let key = ClientKey::new(jsonwebtoken::Algorithm::ES256, "k1");
    let jwks = json!({ "keys": [key.jwk()] });
    harness.apply(&format!(
        "[[client]]\nclient_id = \"lims-jwt\"\nname = \"L\"\ndataflow = \"lims-to-cms\"\njwks = '{jwks}'\n\
         signing_algs = [\"ES256\"]\nresource_servers = [\"cms-fulton\"]\n"
    ));
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let mut told = Vec::new();
    for id in ["lims-jwt", "nobody"] {
        for header in [
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"ES256","jku":"https://x.example/k"}"#,
            r#"{"alg":"ES256","kid":"k1"}"#,
        ] {
            let claims =
                json!({ "iss": id, "sub": id, "aud": harness.issuer, "exp": harness.now() + 60, "jti": "1" })
                    .to_string();
            let assertion = format!("{}.{}.{}", encode(header), encode(&claims), encode("x"));
            let form = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", TYPE),
                ("client_assertion", &assertion),
            ];
            told.push(harness.token(None, &form).await.text);
        }
    }
    assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
}

#[tokio::test]
async fn a_body_of_many_parameters_costs_little() {
    let harness = Harness::start(Db::Sqlite);
    let body: String = (0..6000).map(|number| format!("{number}&")).collect();
    let request = harness
        .http
        .post(harness.url("/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.body(body).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn loopback_redirects_are_taken_as_they_are_written() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(
        "[[client]]\nclient_id = \"native\"\nname = \"Native\"\ndataflow = \"cms-user-to-edrs\"\nauth_method = \"none\"\n\
         redirect_uris = [\"http://127.0.0.1/cb\"]\nresource_servers = [\"edrs-ga\"]\n",
    );
    #[rustfmt::skip]
    let rows = [
        ("http://127.0.0.1:49152/cb",           true),
        ("http://127.0.0.1/cb",                 true),
        ("http://127.0.0.1:80/cb",              true),
        ("http://127.0.0.1:49152/other",        false),
        ("http://127.0.0.1:49152/cb?x=1",       false),
        ("http://127.1:49152/cb",               false),
        ("http:127.0.0.1:49152/cb",             false),
        ("http://127.0.0.1:49152/x/../cb",      false),
        ("http://127.0.0.1:49152/c\nb",         false),
        ("http://u@127.0.0.1:49152/cb",         false),
        ("http://localhost:49152/cb",           false),
        ("https://127.0.0.1:49152/cb",          false),
        ("http://127.0.0.1.evil.example/cb",    false),
        ("http://[::1]:49152/cb",               false),
    ];
    harness.apply(
        "[[client]]\nclient_id = \"bare\"\nname = \"Bare\"\ndataflow = \"cms-user-to-edrs\"\nauth_method = \"none\"\n\
         redirect_uris = [\"http://127.0.0.1\"]\nresource_servers = [\"edrs-ga\"]\n",
    );
    for uri in [
        "http://127.0.0.1:49152",
        "http://127.0.0.1:49152/",
        "http://127.0.0.1",
    ] {
        let parameters = [
            ("client_id", "bare"),
            ("redirect_uri", uri),
            ("response_type", "token"),
        ];
        let url = url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters).unwrap();
        assert_eq!(harness.http.get(url).send().await.unwrap().status(), 303, "{uri}");
    }
    for (uri, accepted) in rows {
        let parameters = [
            ("client_id", "native"),
            ("redirect_uri", uri),
            ("response_type", "token"),
        ];
        let url = url::Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters).unwrap();
        let answer = harness.http.get(url).send().await.unwrap();
        assert_eq!(answer.status() == 303, accepted, "{uri:?}: {}", answer.status());
        assert!(answer.status() == 303 || answer.status() == 400, "{uri:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_follow_issues_nothing() {
    let harness = Harness::start(Db::Sqlite);
    let registry = harness.registry();
    let directory = crate::support::TempDir::new();
    let file = directory.path().join("new.key");
    blocking(move || {
        mdi_auth::registry::keys::rewrap(&registry, &file)
            .map(drop)
            .unwrap()
    });
    let ask = async || {
        harness
            .token(Some(LIMS), &[("grant_type", "client_credentials")])
            .await
    };
    let token = eventually("refusal", ask, |token| token.status != 200).await;
    assert_eq!((token.status, token.error()), (503, "temporarily_unavailable"));
    let asked = harness
        .post("/oauth2/introspect", Some(EDRS), &[("token", "x")])
        .await;
    assert_eq!(asked.status, 503);
    assert_eq!(
        Agent::new(&harness)
            .get(&authorize_url(&harness, &[]))
            .await
            .answer()
            .status,
        503
    );
}

/// 9,800 failed sign-ins of as many networks: single events come from a bucket, the others are counted by the network, and
/// the accounts that were hit most are named.
#[test]
fn what_a_crowd_of_strangers_causes_is_bounded() {
    let counts = FailureCounts::default();
    let begin = 1_800_000_000;
    let mut singly = 0;
    for n in 0..9_800_u128 {
        let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) + (n << 64));
        let account = format!("usr_{}", n % 7);
        let failed = if n % 2 == 0 {
            Failed::Account(&account)
        } else {
            Failed::SignIn("nobody")
        };
        singly += usize::from(counts.note(address.into(), failed, begin) == Noted::First);
    }
    assert_eq!(singly, 100, "the bucket is empty");
    // Whoever is known is recorded all the same.
    let known = Failed::Known("console Audit usr_2");
    assert_eq!(
        counts.note("192.0.2.1".parse().unwrap(), known, begin),
        Noted::First
    );
    // Two more a minute.
    for minute in 1..=10 {
        let again: usize = (0..50_u128)
            .map(|n| {
                let address = Ipv6Addr::from((0x2001_0db9_u128 << 96) + ((minute as u128 * 50 + n) << 64));
                usize::from(
                    counts.note(address.into(), Failed::Client("x"), begin + minute * 60) == Noted::First,
                )
            })
            .sum();
        assert_eq!(again, 2, "{minute}");
    }
    assert!(counts.flush(begin + 599).is_empty());
    let told = counts.flush(begin + 601);
    assert_eq!(told.len(), 2, "one /48 and another: {told:?}");
    let crowd = &told[0];
    assert_eq!(crowd.address.as_deref(), Some("2001:db8::/48"));
    assert_eq!(
        (crowd.detail["count"].as_str(), crowd.detail["sign_ins"].as_str()),
        ("9700", "9700")
    );
    assert_eq!(crowd.detail["accounts"], "7");
    assert_eq!(crowd.detail["most_hit"].split(' ').count(), 5);
    assert_eq!(told[1].detail["clients"], "480");
    // Any number of networks are ten events, and one for the rest.
    for n in 0..30_000_u128 {
        let address = Ipv6Addr::from((0x2001_u128 << 112) + (n << 80));
        let _ = counts.note(address.into(), Failed::SignIn("x"), begin + 700);
    }
    let told = counts.flush(begin + 1400);
    assert_eq!(told.len(), 11, "{told:?}");
    assert_eq!(told[10].address.as_deref(), Some("other networks"));
    let all: u32 = told
        .iter()
        .map(|event| event.detail["count"].parse::<u32>().unwrap())
        .sum();
    assert!(all > 29_990, "none is forgotten: {all}");
    // Whoever is known is recorded all the same.
    let known = Failed::Known("console Audit usr_1");
    let address = "192.0.2.1".parse().unwrap();
    assert_eq!(counts.note(address, known, begin + 1400), Noted::First);
    assert_eq!(counts.note(address, known, begin + 1401), Noted::Counted);
}

/// However many names strangers invent, their failures take a bounded number of rows, and lock nothing that is recorded.
#[test]
fn invented_names_take_a_bounded_number_of_rows() {
    let installation = Installation::new();
    let app = std::sync::Arc::clone(&installation.app);
    let job_app = std::sync::Arc::clone(&app);
    let locked = app.store.write_blocking(move |tx| {
        let mut locked = 0;
        for n in 0..8_000 {
            for _ in 0..2 {
                let attempt = Attempt::new(&job_app, &format!("invented-{n}"), None, None);
                locked += usize::from(attempt.fail(&job_app, tx, job_app.now())?);
            }
        }
        Ok(locked)
    });
    assert_eq!(locked.unwrap(), 0);
    let rows = app.store.read_blocking(|conn| {
        let Conn::Sqlite(conn) = conn else { panic!() };
        Ok(diesel::sql_query("SELECT count(*) AS count FROM login_failure")
            .get_result::<Counted>(conn)?
            .count)
    });
    assert!(rows.unwrap() <= 64);
}

#[derive(diesel::QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}
