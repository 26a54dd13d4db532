//! Second factors through the front door: set up because a role needs one, replaced, removed, lost and recovered; and
//! every way around them refused.

use data_encoding::BASE32_NOPAD;
use serde_json::json;

use crate::harness::agent::{Agent, Page, totp};
use crate::harness::{Db, Harness, PASSWORD};
use crate::on_both;
use crate::person_flow::{authorize_url, claims_of, redeem};

/// A data clerk who has no second factor yet.
pub const NEWCOMER: &str = r#"
[[user]]
username = "newcomer"
name = "Nora Newcomer"
password = "correct horse battery staple"
roles = ["data-clerk"]
"#;

fn with_newcomer(db: Db) -> Harness {
    let harness = Harness::start(db);
    harness.apply(NEWCOMER);
    harness
}

/// The secret that the page shows as text.
fn secret_of(page: &Page) -> Vec<u8> {
    let text = &page.answer().text;
    let start = text.find("id=\"totp-secret\">").expect("the secret is shown") + "id=\"totp-secret\">".len();
    let shown: String = text[start..]
        .chars()
        .take_while(|c| *c != '<')
        .filter(|c| !c.is_whitespace())
        .collect();
    BASE32_NOPAD.decode(shown.as_bytes()).unwrap()
}

pub fn code_of(secret: &[u8], at: i64) -> String {
    let totp = totp_rs::Builder::new()
        .with_secret(secret.to_vec())
        .build()
        .unwrap();
    totp.generate(u64::try_from(at).unwrap()).to_string()
}

/// The recovery codes that the page shows.
fn recovery_codes(page: &Page) -> Vec<String> {
    let text = &page.answer().text;
    text.split("<li class=\"reference\">")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect()
}

/// Signs in for the first time, chooses the app and finishes; answers secret, codes and the page that follows.
async fn enrol(harness: &Harness, agent: &mut Agent<'_>) -> (Vec<u8>, Vec<String>, Page) {
    let login = agent.get(&authorize_url(harness, &[])).await;
    let choice = agent.sign_in(login, "newcomer", PASSWORD).await;
    assert_eq!(choice.at(), "/login/set-up", "{:?}", choice);
    let app = agent.submit(&choice, &[("choice", "app")]).await;
    assert_eq!(app.at(), "/login/set-up/app");
    let secret = secret_of(&app);
    let codes_page = agent
        .submit(&app, &[("totp", &code_of(&secret, harness.now()))])
        .await;
    assert_eq!(codes_page.at(), "/account/recovery-codes");
    let codes = recovery_codes(&codes_page);
    let next = agent.submit(&codes_page, &[("do", "kept")]).await;
    (secret, codes, next)
}

on_both! {
    async fn a_role_makes_the_first_sign_in_set_up_a_second_factor(db) {
        let harness = with_newcomer(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let choice = agent.sign_in(login, "newcomer", PASSWORD).await;
        assert_eq!(choice.at(), "/login/set-up");
        let again = agent.submit(&choice, &[]).await;
        assert!(again.answer().text.contains("Choose one of the two"));
        let app = agent.submit(&again, &[("choice", "app")]).await;
        let secret = secret_of(&app);
        // A wrong code, or none: the same secret is shown again, so that nothing has to be scanned twice.
        for (typed, told) in [("000000", "not accepted"), ("", "Enter the 6 digits")] {
            let refused = agent.submit(&app, &[("totp", typed)]).await;
            assert!(refused.answer().text.contains(told), "{typed}: {}", refused.answer().text);
            assert_eq!(secret_of(&refused), secret);
        }
        let code = code_of(&secret, harness.now());
        let shown = agent.submit(&app, &[("totp", &code)]).await;
        let codes = recovery_codes(&shown);
        assert_eq!(codes.len(), 10);
        // Shown again until they are kept, and never after that.
        let Page::Ours { url, .. } = &shown else { panic!("{shown:?}") };
        assert_eq!(recovery_codes(&agent.get(&harness.url(url)).await), codes);
        let consent = agent.submit(&shown, &[("do", "kept")]).await;
        assert_eq!(consent.at(), "/consent");
        assert!(recovery_codes(&agent.get(&harness.url("/account/recovery-codes")).await).is_empty());
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        let claims = claims_of(tokens.str("id_token"));
        assert_eq!(claims["acr"], "urn:mdi:acr:aal2");
        assert_eq!(claims["amr"], serde_json::json!(["pwd", "otp"]));
        // The code that confirmed the set-up was used up by it.
        let mut other = Agent::new(&harness);
        let login = other.get(&authorize_url(&harness, &[])).await;
        let second = other.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
        assert_eq!(second.at(), "/login/second-factor");
        let replayed = other.submit(&second, &[("totp", &code)]).await;
        assert_eq!(replayed.at(), "/login/second-factor");
        harness.clock.advance(30);
        let consented = other.submit(&replayed, &[("totp", &code_of(&secret, harness.now()))]).await;
        consented.elsewhere();
    }
}

on_both! {
    async fn a_recovery_code_works_once(db) {
        let harness = with_newcomer(db);
        let (_, codes, _) = enrol(&harness, &mut Agent::new(&harness)).await;
        let rows: Vec<(&str, String, bool)> = vec![
            ("of nobody", "aaaa-bbbb-cccc-dddd".to_owned(), false),
            ("as shown", codes[0].clone(), true),
            ("used", codes[0].clone(), false),
            ("in capitals, without dashes", codes[1].replace('-', "").to_uppercase(), true),
            ("half of one", codes[2][..9].to_owned(), false),
            ("none", String::new(), false),
        ];
        for (what, typed, accepted) in rows {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[("prompt", "login")])).await;
            let second = agent.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
            let recovery = agent.get(&harness.url(&link(&second, "totp-recover"))).await;
            let after = agent.submit(&recovery, &[("recovery_code", &typed)]).await;
            assert_eq!(after.at(), if accepted { "/login/recovered" } else { "/login/recovery" }, "{what}");
            if accepted {
                assert_eq!(agent.get(&harness.url(&link(&after, "recovered-continue"))).await.at(), "/consent", "{what}");
            }
        }
    }
}

on_both! {
    async fn one_of_many_wins_with_the_same_recovery_code(db) {
        let harness = with_newcomer(db);
        let (_, codes, _) = enrol(&harness, &mut Agent::new(&harness)).await;
        let mut pages = Vec::new();
        for _ in 0..4 {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[])).await;
            let second = agent.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
            let recovery = agent.get(&harness.url(&link(&second, "totp-recover"))).await;
            pages.push((agent, recovery));
        }
        let code = codes[0].as_str();
        let racing =
            pages.iter_mut().map(|(agent, page)| async move { agent.submit(page, &[("recovery_code", code)]).await });
        let won = futures_of(racing).await.iter().filter(|page| page.at() == "/login/recovered").count();
        assert_eq!(won, 1);
    }
}

async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pinned.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The address of a link of a page.
fn link(page: &Page, id: &str) -> String {
    let text = &page.answer().text;
    let at = text
        .find(&format!("id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id} in {text}"));
    let start = text[at..].find("href=\"").unwrap() + at + 6;
    text[start..start + text[start..].find('"').unwrap()].replace("&#38;", "&")
}

on_both! {
    async fn there_is_no_way_around_the_second_factor(db) {
        let harness = with_newcomer(db);
        let (secret, ..) = enrol(&harness, &mut Agent::new(&harness)).await;
        // The password alone, of an account that has a second factor.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let second = agent.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
        let Page::Ours { url, .. } = &second else { panic!("{second:?}") };
        let carried = url.split_once('?').unwrap().1.to_owned();
        for (page, ends_at) in [
            ("/login/set-up", "/login"),
            ("/login/set-up/app", "/login"),
            ("/consent", "/login/second-factor"),
            ("/oauth2/authorize", "/login/second-factor"),
            ("/login/recovered", "/login/second-factor"),
        ] {
            let met = agent.get(&harness.url(&format!("{page}?{carried}"))).await;
            assert_eq!(met.at(), ends_at, "{page}");
        }
        for page in ["/account/authenticator", "/account/recovery-codes"] {
            assert_eq!(agent.get(&harness.url(page)).await.at(), "/login/second-factor", "{page}");
        }
        // A sign-in that is not of today may not change second factors.
        harness.clock.advance(30);
        let consent = agent.submit(&second, &[("totp", &code_of(&secret, harness.now()))]).await;
        assert_eq!(consent.at(), "/consent");
        assert_eq!(agent.get(&harness.url("/account/authenticator")).await.at(), "/account/authenticator");
        harness.clock.advance(301);
        assert_eq!(agent.get(&harness.url("/account/authenticator")).await.at(), "/login");
    }
}

on_both! {
    async fn an_app_is_replaced_and_the_last_one_stays(db) {
        let harness = with_newcomer(db);
        let mut agent = Agent::new(&harness);
        let (old, codes, _) = enrol(&harness, &mut agent).await;
        harness.clock.advance(30);
        let page = agent.get(&harness.url("/account/authenticator")).await;
        assert!(page.answer().text.contains("only one you have"), "a role needs it");
        let app = agent.get(&harness.url(&link(&page, "authenticator-replace"))).await;
        let new = secret_of(&app);
        assert_ne!(new, old);
        agent.submit(&app, &[("totp", &code_of(&new, harness.now()))]).await;
        harness.clock.advance(30);
        for (secret, ends_at) in [(&old, "/login/second-factor"), (&new, "/consent")] {
            let mut other = Agent::new(&harness);
            let login = other.get(&authorize_url(&harness, &[])).await;
            let second = other.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
            assert_eq!(other.submit(&second, &[("totp", &code_of(secret, harness.now()))]).await.at(), ends_at);
        }
        // New recovery codes end the old ones.
        let make = agent.get(&harness.url("/account/recovery-codes")).await;
        let shown = agent.submit(&make, &[("do", "make")]).await;
        let fresh = recovery_codes(&shown);
        assert!(fresh.len() == 10 && !fresh.contains(&codes[0]));
    }
}

on_both! {
    async fn an_application_that_asks_for_two_factors_gets_them(db) {
        let harness = Harness::start(db);
        let scope = ("scope", "openid profile");
        // RFC 9470 §5: the level that is asked for; norole has no second factor and may have one.
        let rows = [
            (("acr_values", "urn:mdi:acr:aal1"), "/consent"),
            (("acr_values", "urn:mdi:acr:aal2"), "/login/set-up"),
            (("acr_values", "urn:mdi:acr:aal2 urn:mdi:acr:aal1"), "/consent"),
            (("claims", r#"{"id_token":{"acr":{"essential":true,"value":"urn:mdi:acr:aal2"}}}"#), "/login/set-up"),
            (("acr_values", "urn:example:gold"), "/consent"),
        ];
        for (wish, ends_at) in rows {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[scope, ("aud", ""), ("acr_values", ""), wish])).await;
            let next = agent.submit(&login, &[("username", "norole"), ("password", PASSWORD)]).await;
            assert_eq!(next.at(), ends_at, "{wish:?}");
            let silent = agent.get(&authorize_url(&harness, &[scope, ("aud", ""), ("acr_values", ""), wish, ("prompt", "none")])).await;
            let error = if ends_at == "/consent" { "consent_required" } else { "login_required" };
            assert_eq!(silent.parameter("error").as_deref(), Some(error), "{wish:?}");
        }
        // What cannot be reached and is essential is told (OpenID Connect Core Unmet Authentication Requirements §3).
        let mut agent = Agent::new(&harness);
        let gold = ("claims", r#"{"id_token":{"acr":{"essential":true,"value":"urn:example:gold"}}}"#);
        let login = agent.get(&authorize_url(&harness, &[scope, ("aud", ""), ("acr_values", ""), gold])).await;
        let told = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(told.parameter("error").as_deref(), Some("unmet_authentication_requirements"));
    }
}

on_both! {
    async fn the_notice_comes_before_the_sign_in(db) {
        let harness = Harness::start_with(db, |config| {
            config.server.banner = Some("Authorized use only.".to_owned());
        });
        let mut agent = Agent::new(&harness);
        let notice = agent.get(&authorize_url(&harness, &[])).await;
        assert_eq!(notice.at(), "/login/notice");
        assert!(notice.answer().text.contains("Authorized use only."));
        // Around it: the page, and the form.
        let Page::Ours { url, .. } = &notice else { panic!("{notice:?}") };
        let around = agent.get(&harness.url(&url.replace("/login/notice", "/login"))).await;
        assert_eq!(around.at(), "/login/notice");
        let login = agent.submit(&notice, &[]).await;
        assert_eq!(login.at(), "/login");
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(consent.at(), "/consent");
    }
}

on_both! {
    async fn setting_up_makes_no_sign_in_younger(db) {
        let harness = with_newcomer(db);
        let mut agent = Agent::new(&harness);
        enrol(&harness, &mut agent).await;
        harness.clock.advance(200);
        // Somebody at the open browser is asked to sign in, and sets up an app of his own instead.
        let login = agent.get(&authorize_url(&harness, &[("prompt", "login")])).await;
        assert_eq!(login.at(), "/login");
        let Page::Ours { url, .. } = &login else { panic!("{login:?}") };
        let app = agent.get(&harness.url(&url.replace("/login?", "/login/set-up/app?"))).await;
        let secret = secret_of(&app);
        let after = agent.submit(&app, &[("totp", &code_of(&secret, harness.now()))]).await;
        assert_eq!(after.at(), "/login", "prompt=login is not satisfied by it");
        // Nor does the sign-in stay fresh for ever.
        harness.clock.advance(101);
        assert_eq!(agent.get(&harness.url("/account/authenticator")).await.at(), "/login");
    }
}

on_both! {
    async fn what_was_set_up_halfway_is_forgotten(db) {
        let harness = with_newcomer(db);
        let mut agent = Agent::new(&harness);
        let (secret, ..) = enrol(&harness, &mut agent).await;
        // Codes that nobody said to have kept are not shown to whoever comes later.
        let make = agent.get(&harness.url("/account/recovery-codes")).await;
        let shown = agent.submit(&make, &[("do", "make")]).await;
        assert_eq!(recovery_codes(&shown).len(), 10);
        harness.clock.advance(901);
        assert!(recovery_codes(&agent.get(&harness.url("/account/recovery-codes")).await).is_empty());
        // A secret that was shown and not confirmed is another one after the next sign-in.
        let halfway = async |agent: &mut Agent<'_>| {
            harness.clock.advance(30);
            let login = agent.get(&harness.url("/account/authenticator")).await;
            let second = agent.submit(&login, &[("username", "newcomer"), ("password", PASSWORD)]).await;
            let page = agent.submit(&second, &[("totp", &code_of(&secret, harness.now()))]).await;
            secret_of(&agent.get(&harness.url(&link(&page, "authenticator-replace"))).await)
        };
        let first = halfway(&mut agent).await;
        harness.clock.advance(301);
        assert_ne!(halfway(&mut agent).await, first);
    }
}

on_both! {
    async fn without_a_second_factor_a_short_password_does_not_stay(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&harness.url("/account/authenticator")).await;
        // norole has none and wants one.
        let app = agent.submit(&login, &[("username", "norole"), ("password", PASSWORD)]).await;
        assert_eq!(app.at(), "/login/set-up/app", "{app:?}");
        let secret = secret_of(&app);
        let codes = agent.submit(&app, &[("totp", &code_of(&secret, harness.now()))]).await;
        assert_eq!(agent.submit(&codes, &[("do", "kept")]).await.at(), "/account");
        let page = agent.get(&harness.url("/account/authenticator")).await;
        let removed = agent.submit(&page, &[]).await;
        assert_eq!(removed.at(), "/login/new-password", "the password stands alone now: {removed:?}");
    }
}

on_both! {
    async fn a_code_makes_no_sign_in_younger(db) {
        let harness = Harness::start(db);
        // The password now, and the code so many seconds later: what the ID token says of it.
        const PLAIN: (&str, &str) = ("scope", "openid user/Patient.rs");
        for (wait, changes) in [(90, &[PLAIN, ("prompt", "login")][..]), (400, &[PLAIN]), (400, &[PLAIN, ("max_age", "500")])] {
            harness.clock.advance(61);
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, changes)).await;
            let began = harness.now();
            let second = agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
            harness.clock.advance(wait);
            let next = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
            let code = match &next {
                Page::Elsewhere(_) => next.parameter("code"),
                Page::Ours { .. } => agent.approve(&next).await.parameter("code"),
            };
            let tokens = redeem(&harness, &code.unwrap_or_else(|| panic!("{changes:?}: {next:?}"))).await;
            let claims = claims_of(tokens.str("id_token"));
            assert_eq!((&claims["auth_time"], &claims["acr"]), (&json!(began), &json!("urn:mdi:acr:aal2")), "{changes:?}");
        }
    }
}

on_both! {
    async fn where_a_sign_in_has_to_be_fresh_the_code_must_follow_soon(db) {
        let harness = Harness::start(db);
        // Without certifying, which wants the same by itself.
        let plain = ("scope", "openid user/Patient.rs");
        let certify = [("scope", "openid __mdi.certify user/Patient.rs")];
        let rows: [(&str, &[(&str, &str)]); 4] = [
            ("OpenID Core 3.1.2.1", &[plain, ("prompt", "login")]),
            ("select_account, which is the same here", &[plain, ("prompt", "select_account")]),
            ("certifying", &certify),
            ("certifying, because the dataflow brings it", &[("scope", "")]),
        ];
        for (what, changes) in rows {
            harness.clock.advance(61);
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, changes)).await;
            let second = agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
            harness.clock.advance(121);
            // The page, the code and a recovery code lead back to the first factor, and nothing is used up.
            let again = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
            assert_eq!(again.at(), "/login", "{what}");
            assert!(again.answer().text.contains("has to be finished within 2 minutes"), "{what}: {}", again.answer().text);
            let Page::Ours { url, .. } = &again else { panic!("{again:?}") };
            let url = harness.url(&url.replace("/login?", "/login/recovery?"));
            assert_eq!(agent.get(&url).await.at(), "/login", "{what}");
            // It is asked once, not for ever.
            let second = agent.submit(&again, &[("username", "jlehz"), ("password", PASSWORD)]).await;
            assert_eq!(second.at(), "/login/second-factor", "{what}");
            let consent = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
            assert_eq!(consent.at(), "/consent", "{what}");
        }
        // Our own pages that want a fresh sign-in want the same.
        harness.clock.advance(61);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&harness.url("/account/authenticator")).await;
        let second = agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
        harness.clock.advance(121);
        let again = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
        assert_eq!(again.at(), "/login");
        // And those that do not, do not.
        let login = agent.get(&harness.url("/account")).await;
        let second = match login.at() {
            "/login/second-factor" => login,
            _ => agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await,
        };
        harness.clock.advance(121);
        let account = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
        assert_eq!(account.at(), "/account");
    }
}

on_both! {
    async fn there_is_no_detour_to_a_fresh_sign_in(db) {
        let harness = Harness::start(db);
        let certify = [("scope", "openid __mdi.certify user/Patient.rs")];
        for (wait, fresh) in [(100, true), (500, false)] {
            harness.clock.advance(61);
            let mut agent = Agent::new(&harness);
            // Where nothing fresh is wanted the code may come late.
            let login = agent.get(&harness.url("/account")).await;
            let second = agent.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
            harness.clock.advance(wait);
            let account = agent.submit_to(&second, "/login/second-factor", &[("totp", &totp(harness.now()))]).await;
            assert_eq!(account.at(), "/account");
            // Such a sign-in is young enough to certify, and opens nothing that wants a fresh one.
            let certifies = agent.get(&authorize_url(&harness, &certify)).await;
            assert_eq!(certifies.at(), if fresh { "/consent" } else { "/login" }, "{wait}");
            let opens = agent.get(&harness.url("/account/authenticator")).await;
            assert_eq!(opens.at(), if fresh { "/account/authenticator" } else { "/login" }, "{wait}");
        }
    }
}
