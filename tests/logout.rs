//! Signing out: by an application's request (OpenID Connect RP-Initiated Logout 1.0), on our own page, and what clients
//! are told of it behind everybody's back (Back-Channel Logout 1.0).

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::{App as HttpApp, HttpRequest, HttpResponse, HttpServer, web};
use diesel::RunQueryDsl;
use mdi_auth::app::App;
use mdi_auth::audit::event::Actor;
use mdi_auth::config::{Config, Database};
use mdi_auth::model::logout_notice::LogoutNotice;
use mdi_auth::model::signing::Algorithm;
use mdi_auth::registry::{Registry, people};
use mdi_auth::session;
use mdi_auth::store::changes::{Change, ChangeKind};
use mdi_auth::store::{Conn, audit, logout_notices};
use mdi_auth::tls::Tls;
use mdi_auth::web::browser::csrf_token;
use openidconnect::{
    ClientId, CsrfToken, IssuerUrl, LogoutRequest, PostLogoutRedirectUrl, ProviderMetadataWithLogout,
};
use reqwest::header::{COOKIE, LOCATION, ORIGIN};
use serde_json::{Value, json};
use thirtyfour::Key;
use thirtyfour::prelude::*;
use url::Url;

use crate::harness::agent::{Agent, Page};
use crate::harness::browser::{Browser, look, press, tab_to, wait_for};
use crate::harness::{Answer, CALLBACK, Db, EDRS, FULTON, Harness, PASSWORD, blocking, postgres};
use crate::journeys::fill;
use crate::on_both;
use crate::person_flow::{authorize_url, refresh};
use crate::support::{TempDir, eventually};

/// RFC 7636 appendix B: the verifier of the challenge in [`authorize_url`].
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const SCOPE: &str = "openid user/Composition.crus";
const OFFLINE: &str = "openid user/Composition.crus offline_access";
const BACK: &str = "https://cms.fulton.example/signed-out";
const BACK_WITH_QUERY: &str = "https://cms.fulton.example/bye?tenant=1";
const REVIEW: (&str, &str) = ("review", "review-client-secret-0123456789-abcd");

/// Two applications of one person, where they send browsers after sign-out, and where they are told if there is somebody.
fn parties(receiver: Option<&str>) -> String {
    let told = |client: &str| {
        receiver
            .map(|base| format!("backchannel_logout_uri = \"{base}/{client}\"\n"))
            .unwrap_or_default()
    };
    format!(
        r#"
        [[client]]
        client_id = "fulton-cms"
        post_logout_redirect_uris = ["{BACK}", "{BACK_WITH_QUERY}"]
        {}
        [[client]]
        client_id = "review"
        name = "Case Review"
        dataflow = "cms-user-to-edrs"
        secret = "review-client-secret-0123456789-abcd"
        redirect_uris = ["{CALLBACK}"]
        post_logout_redirect_uris = ["https://review.example/"]
        resource_servers = ["edrs-ga"]
        consent = "skip"
        {}"#,
        told("fulton-cms"),
        told("review"),
    )
}

fn start(db: Db) -> Harness {
    let harness = Harness::start(db);
    harness.apply(&parties(None));
    harness
}

/// A code for a client, after whatever the pages ask.
async fn code(harness: &Harness, agent: &mut Agent<'_>, username: &str, changes: &[(&str, &str)]) -> String {
    let mut page = agent.get(&authorize_url(harness, changes)).await;
    if page.at() == "/login" {
        page = agent.sign_in(page, username, PASSWORD).await;
    }
    if page.at() == "/consent" {
        page = agent.approve(&page).await;
    }
    page.parameter("code")
        .unwrap_or_else(|| panic!("no code in {:?}", page.elsewhere()))
}

async fn tokens_of(
    harness: &Harness,
    agent: &mut Agent<'_>,
    username: &str,
    client: (&str, &str),
    scope: &str,
) -> Answer {
    let code = code(
        harness,
        agent,
        username,
        &[("client_id", client.0), ("scope", scope)],
    )
    .await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = harness.token(Some(client), &form).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    tokens
}

/// Tokens of Dr. Lehz at the case system.
async fn tokens(harness: &Harness, agent: &mut Agent<'_>) -> Answer {
    tokens_of(harness, agent, "jlehz", FULTON, SCOPE).await
}

fn logout_url(harness: &Harness, parameters: &[(&str, &str)]) -> String {
    Url::parse_with_params(&harness.url("/oauth2/logout"), parameters)
        .unwrap()
        .into()
}

fn part(jwt: &str, place: usize) -> Value {
    let part = jwt.split('.').nth(place).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn claims_of(jwt: &str) -> Value {
    part(jwt, 1)
}

fn asks(page: &Page) -> bool {
    page.answer().text.contains("id=\"logout-confirm\"")
}

fn says_signed_out(page: &Page) -> bool {
    let answer = page.answer();
    answer.status == 200 && answer.text.contains("<h1>You are signed out</h1>") && !asks(page)
}

/// Whether the browser still has a session: then the page asks.
async fn is_signed_in(harness: &Harness, agent: &mut Agent<'_>) -> bool {
    let page = agent.get(&harness.url("/oauth2/logout")).await;
    assert!(asks(&page) || says_signed_out(&page), "{}", page.answer().text);
    asks(&page)
}

fn cookie_named(agent: &Agent<'_>, part: &str) -> (String, String) {
    let (name, value) = agent
        .cookies
        .iter()
        .find(|(name, _)| name.contains(part))
        .unwrap();
    (name.clone(), value.clone())
}

on_both! {
    async fn requests_are_refused(db) {
        let harness = start(db);
        harness.apply("[[client]]\nclient_id = \"closed\"\nname = \"Closed\"\ndataflow = \"cms-user-to-edrs\"\nredirect_uris = [\"https://closed.example/cb\"]\npost_logout_redirect_uris = [\"https://closed.example/\"]\nresource_servers = [\"edrs-ga\"]\nenabled = false\n");
        let mut agent = Agent::new(&harness);
        let tokens = tokens(&harness, &mut agent).await;
        let hint = tokens.str("id_token");
        let claims = claims_of(hint);
        let sign = |change: &dyn Fn(&mut Value)| {
            let mut claims = claims.clone();
            change(&mut claims);
            harness.app.live.keyring().sign(Algorithm::RS256, "JWT", &claims, harness.now()).unwrap()
        };
        let foreign = sign(&|claims| claims["iss"] = json!("https://other.example"));
        let logout_token = sign(&|claims| claims["events"] = json!({}));
        let (head, signature) = hint.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
        let unsigned = format!("{}.{}.", data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#), hint.split('.').nth(1).unwrap());
        let long = "x".repeat(9000);
        let evil = "https://evil.example/";
        #[rustfmt::skip]
        let rows: &[(&str, &[(&str, &str)], &str)] = &[
            ("RP-Initiated §2 not a token",          &[("id_token_hint", "garbage")],                                 "id_token_hint"),
            ("RP-Initiated §2 forged",               &[("id_token_hint", &forged)],                                   "id_token_hint"),
            ("RP-Initiated §2 unsigned",             &[("id_token_hint", &unsigned)],                                 "id_token_hint"),
            ("RP-Initiated §2 another issuer",       &[("id_token_hint", &foreign)],                                  "id_token_hint"),
            ("an access token is no ID token",       &[("id_token_hint", tokens.str("access_token"))],                "id_token_hint"),
            ("Back-Channel §4 a logout token",       &[("id_token_hint", &logout_token)],                             "id_token_hint"),
            ("RP-Initiated §2 of another client",    &[("id_token_hint", hint), ("client_id", "review")],             "client_id"),
            ("RP-Initiated §2 the same, redirected", &[("id_token_hint", hint), ("client_id", "review"), ("post_logout_redirect_uri", "https://review.example/")], "client_id"),
            ("unknown client",                       &[("client_id", "nobody")],                                      "client_id"),
            ("disabled client",                      &[("client_id", "closed"), ("post_logout_redirect_uri", "https://closed.example/")], "client_id"),
            ("RP-Initiated §3 nobody to belong to",  &[("post_logout_redirect_uri", BACK)],                           "post_logout_redirect_uri"),
            ("RP-Initiated §3 not registered",       &[("client_id", FULTON.0), ("post_logout_redirect_uri", evil)],  "post_logout_redirect_uri"),
            ("RP-Initiated §3 the same with a hint", &[("id_token_hint", hint), ("post_logout_redirect_uri", evil)],  "post_logout_redirect_uri"),
            ("RP-Initiated §3 of another client",    &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://review.example/")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 a redirect_uri",       &[("id_token_hint", hint), ("post_logout_redirect_uri", CALLBACK)], "post_logout_redirect_uri"),
            ("RP-Initiated §3 longer path",          &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/signed-out/x")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 trailing slash",       &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/signed-out/")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 shorter path",         &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 added query",          &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/signed-out?x=1")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 another query",        &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/bye?tenant=2")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 fragment",             &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example/signed-out#x")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 another scheme",       &[("id_token_hint", hint), ("post_logout_redirect_uri", "http://cms.fulton.example/signed-out")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 another case",         &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://CMS.fulton.example/signed-out")], "post_logout_redirect_uri"),
            ("RP-Initiated §3 user part",            &[("id_token_hint", hint), ("post_logout_redirect_uri", "https://cms.fulton.example@evil.example/signed-out")], "post_logout_redirect_uri"),
            ("repeated hint",                        &[("id_token_hint", hint), ("id_token_hint", hint)],             "id_token_hint"),
            ("repeated redirect",                    &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK), ("post_logout_redirect_uri", evil)], "post_logout_redirect_uri"),
            ("repeated client",                      &[("client_id", FULTON.0), ("client_id", "review")],             "client_id"),
            ("repeated state",                       &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK), ("state", "a"), ("state", "b")], "state"),
        ];
        for (rule, parameters, names) in rows {
            let known = agent.hops.len();
            for (method, met) in [
                ("GET", agent.get(&logout_url(&harness, parameters)).await),
                ("POST", posted_by(&harness, &mut agent, parameters).await),
            ] {
                let answer = met.answer();
                assert_eq!(answer.status, 400, "{method} {rule}: {}", answer.text);
                assert!(answer.text.contains(&format!("Parameter {names} ")), "{method} {rule}: {}", answer.text);
                assert!(!answer.text.contains("evil.example"), "{method} {rule}");
                assert!(answer.text.contains("href=\"/oauth2/logout\""), "{method} {rule}: a way to sign out here");
            }
            assert!(agent.hops[known..].iter().all(|hop| hop.starts_with("/oauth2/logout?pending=")), "{rule}: never a redirect");
        }
        let overlong = [("state", long.as_str())];
        for met in [agent.get(&logout_url(&harness, &overlong)).await, posted_by(&harness, &mut agent, &overlong).await] {
            assert!(met.answer().status == 400 && met.answer().text.contains("longer than"), "{}", met.answer().text);
        }
        let met = agent.get(&harness.url("/oauth2/logout?pending=AAAA")).await;
        assert!(met.answer().status == 400 && met.answer().text.contains("Parameter: pending."), "not sealed by us: {}", met.answer().text);
        assert!(is_signed_in(&harness, &mut agent).await, "none of this ended the session");
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], true);
    }
}

/// What an application of another site posts: without our cookies, which then come along with the GET.
async fn posted_by(harness: &Harness, agent: &mut Agent<'_>, parameters: &[(&str, &str)]) -> Page {
    let request = harness
        .http
        .post(harness.url("/oauth2/logout"))
        .header(ORIGIN, "https://cms.fulton.example");
    let response = request.form(parameters).send().await.unwrap();
    if response.status() != 303 {
        return Page::Ours {
            url: "/oauth2/logout".to_owned(),
            answer: Answer::read(response).await,
        };
    }
    let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
    assert!(location.starts_with("/oauth2/logout?pending="), "{location}");
    agent.get(&harness.url(&location)).await
}

on_both! {
    async fn an_answer_that_is_not_the_persons_ends_nothing(db) {
        let harness = start(db);
        let (mut agent, mut other) = (Agent::new(&harness), Agent::new(&harness));
        tokens(&harness, &mut agent).await;
        harness.clock.advance(30);
        tokens(&harness, &mut other).await;
        let page = agent.get(&logout_url(&harness, &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK)])).await;
        assert!(asks(&page));
        let text = &page.answer().text;
        let pending = text.split("name=\"pending\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let own = csrf_token(&harness.app, &cookie_named(&agent, "mdi-browser").1);
        let others = csrf_token(&harness.app, &cookie_named(&other, "mdi-browser").1);
        let cookies: Vec<String> = agent.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        #[rustfmt::skip]
        let rows: &[(&str, &str, &[(&str, &str)], u16)] = &[
            ("another browser's token",           &harness.issuer,        &[("csrf", &others), ("pending", &pending)],                 400),
            ("a made-up token",                   &harness.issuer,        &[("csrf", "AAAA"), ("pending", &pending)],                  400),
            ("a form of another site",            "https://evil.example", &[("csrf", &own), ("pending", &pending)],                    400),
            ("the token twice",                   &harness.issuer,        &[("csrf", &own), ("csrf", &own), ("pending", &pending)],    400),
            ("no token: a request like others",   &harness.issuer,        &[("pending", &pending)],                                    303),
            ("an empty token: the same",          &harness.issuer,        &[("csrf", ""), ("pending", &pending)],                      303),
        ];
        for path in ["/oauth2/logout", "/account/sign-out"] {
            for (rule, origin, form, status) in rows {
                let status = if path == "/account/sign-out" { 400 } else { *status };
                let request = harness.http.post(harness.url(path)).header(ORIGIN, *origin).header(COOKIE, cookies.join("; "));
                let answer = Answer::read(request.form(form).send().await.unwrap()).await;
                assert_eq!(answer.status, status, "{path} {rule}: {answer:?}");
                assert!(status == 303 || answer.text.contains("csrf"), "{path} {rule}: {}", answer.text);
                assert!(!answer.headers.contains_key("set-cookie"), "{path} {rule}");
                assert!(is_signed_in(&harness, &mut agent).await, "{path} {rule}");
            }
        }
        // What was sealed for one browser is of no use in another: not as an address, and not in an answer either.
        let met = other.get(&harness.url(&format!("/oauth2/logout?pending={pending}"))).await;
        assert!(met.answer().status == 400 && met.answer().text.contains("pending"), "{}", met.answer().text);
        let question = other.get(&harness.url("/oauth2/logout")).await;
        let planted = Page::Ours { url: "/oauth2/logout".to_owned(), answer: Answer { text: question.answer().text.replace("name=\"pending\"", "name=\"x\"").replace("</form>", &format!("<input type=\"hidden\" name=\"pending\" value=\"{pending}\"></form>")), ..Answer::read(harness.http.get(harness.url("/healthz")).send().await.unwrap()).await } };
        let done = other.submit(&planted, &[]).await;
        assert!(says_signed_out(&done), "she said yes, and stays here: {}", done.answer().text);
        assert!(is_signed_in(&harness, &mut agent).await);
    }
}

on_both! {
    async fn an_id_token_of_the_session_ends_it_at_once(db) {
        let harness = start(db);
        let mut agent = Agent::new(&harness);
        let tokens = tokens(&harness, &mut agent).await;
        // However old the token is.
        harness.clock.advance(1500);
        assert!(claims_of(tokens.str("id_token"))["exp"].as_i64().unwrap() < harness.now());
        let session = cookie_named(&agent, "mdi-session");
        let parameters = [
            ("id_token_hint", tokens.str("id_token")),
            ("client_id", FULTON.0),
            ("post_logout_redirect_uri", BACK),
            ("state", "a b&c=d"),
            ("logout_hint", "jlehz"),
            ("ui_locales", "fr-CA es"),
        ];
        let known = agent.hops.len();
        let done = agent.get(&logout_url(&harness, &parameters)).await;
        assert_eq!(done.elsewhere().as_str(), format!("{BACK}?state=a+b%26c%3Dd"));
        assert_eq!(agent.hops.len(), known + 1, "nothing was asked");
        assert_eq!(cookie_named(&agent, "mdi-session").1, "", "the cookie is taken away");
        // The session is over, not only forgotten: its cookie is good for nothing.
        agent.cookies.insert(session.0, session.1);
        assert!(!is_signed_in(&harness, &mut agent).await);
        assert_eq!(agent.get(&authorize_url(&harness, &[])).await.at(), "/login");
    }
}

on_both! {
    async fn what_ends_with_the_session_and_what_stays(db) {
        let harness = start(db);
        let mut agent = Agent::new(&harness);
        let plain = tokens(&harness, &mut agent).await;
        assert_eq!(plain.json.get("refresh_token"), None, "without offline_access there is none");
        let offline = tokens_of(&harness, &mut agent, "jlehz", FULTON, OFFLINE).await;
        let unused = code(&harness, &mut agent, "jlehz", &[("client_id", REVIEW.0), ("scope", SCOPE)]).await;
        let unused_offline = code(&harness, &mut agent, "jlehz", &[("client_id", REVIEW.0), ("scope", OFFLINE)]).await;
        let sid = claims_of(plain.str("id_token"))["sid"].as_str().unwrap().to_owned();
        assert!(sid.starts_with("ses_"), "{sid}");
        assert_eq!(claims_of(offline.str("id_token"))["sid"], sid, "one session, one sid");
        let done = agent.get(&logout_url(&harness, &[("id_token_hint", plain.str("id_token"))])).await;
        assert!(says_signed_out(&done), "{}", done.answer().text);
        assert!(done.answer().text.contains("href=\"/account\""), "a way home");
        assert_eq!(harness.introspect(EDRS, plain.str("access_token")).await, json!({ "active": false }));
        assert_eq!(harness.introspect(EDRS, offline.str("access_token")).await["active"], true);
        for code in [unused, unused_offline] {
            let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
            let late = harness.token(Some(REVIEW), &form).await;
            assert_eq!((late.status, late.error()), (400, "invalid_grant"), "{late:?}");
            assert!(late.description().contains("signed out"), "{late:?}");
        }
        let refreshed = refresh(&harness, offline.str("refresh_token")).await;
        assert_eq!(refreshed.status, 200, "offline_access survives: {refreshed:?}");
        assert_eq!(claims_of(refreshed.str("id_token"))["sid"], sid, "kept at refresh");
        harness.clock.advance(30);
        let anew = tokens(&harness, &mut agent).await;
        assert_ne!(claims_of(anew.str("id_token"))["sid"], sid, "another session");
    }
}

on_both! {
    async fn without_an_id_token_the_person_is_asked(db) {
        let harness = start(db);
        let mut agent = Agent::new(&harness);
        let earlier = tokens(&harness, &mut agent).await.str("id_token").to_owned();
        let mut elsewhere = Agent::new(&harness);
        harness.clock.advance(30);
        let there = tokens(&harness, &mut elsewhere).await.str("id_token").to_owned();
        let mut somebody = Agent::new(&harness);
        let nora = code(&harness, &mut somebody, "norole", &[("scope", "openid"), ("aud", ""), ("acr_values", "")]).await;
        let form = [("grant_type", "authorization_code"), ("code", nora.as_str()), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        let nora = harness.token(Some(FULTON), &form).await.str("id_token").to_owned();
        // A hint of her session elsewhere, of somebody else's, of a version that knew no sid.
        let mut old = claims_of(&earlier);
        old.as_object_mut().unwrap().remove("sid");
        let old = harness.app.live.keyring().sign(Algorithm::RS256, "JWT", &old, harness.now()).unwrap();
        for hint in [&there, &nora, &old] {
            let page = agent.get(&logout_url(&harness, &[("id_token_hint", hint), ("post_logout_redirect_uri", BACK)])).await;
            assert!(asks(&page) && page.answer().text.contains("Jane Lehz, MD"), "{}", page.answer().text);
        }
        let page = agent.get(&logout_url(&harness, &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK_WITH_QUERY), ("state", "s1")])).await;
        assert!(asks(&page));
        assert!(page.answer().text.contains("<h1>Do you want to sign out?</h1>"));
        assert!(page.answer().header("content-security-policy").contains("form-action 'self' https:;"), "{:?}", page.answer().headers);
        let done = agent.submit(&page, &[]).await;
        assert_eq!(done.elsewhere().as_str(), format!("{BACK_WITH_QUERY}&state=s1"));
        assert!(!is_signed_in(&harness, &mut agent).await);
        assert!(is_signed_in(&harness, &mut elsewhere).await && is_signed_in(&harness, &mut somebody).await, "only this browser");
        // Asked without an application; and answered so late that the session is over anyway.
        let page = elsewhere.get(&harness.url("/oauth2/logout")).await;
        assert!(page.answer().header("content-security-policy").contains("form-action 'self';"));
        let done = elsewhere.submit(&page, &[]).await;
        assert!(says_signed_out(&done));
        let page = somebody.get(&logout_url(&harness, &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK)])).await;
        harness.clock.advance(20_000);
        assert_eq!(somebody.submit(&page, &[]).await.elsewhere().as_str(), BACK);
    }
}

on_both! {
    async fn who_is_not_signed_in_is_signed_out_already(db) {
        let harness = start(db);
        let mut agent = Agent::new(&harness);
        assert!(says_signed_out(&agent.get(&harness.url("/oauth2/logout")).await));
        let with_client = [("client_id", FULTON.0), ("post_logout_redirect_uri", BACK), ("state", "s1")];
        let done = agent.get(&logout_url(&harness, &with_client)).await;
        assert_eq!(done.elsewhere().as_str(), format!("{BACK}?state=s1"));
        // The same by a form of the application's, with a session that has been idle for too long, and of a client that
        // is gone by now.
        let tokens = tokens(&harness, &mut agent).await;
        harness.clock.advance(1801);
        let hint = [("id_token_hint", tokens.str("id_token")), ("post_logout_redirect_uri", BACK)];
        assert_eq!(posted_by(&harness, &mut agent, &hint).await.elsewhere().as_str(), BACK);
        assert_eq!(posted_by(&harness, &mut agent, &hint).await.elsewhere().as_str(), BACK, "twice");
        harness.disable_client(FULTON.0);
        let done = agent.get(&logout_url(&harness, &[("id_token_hint", tokens.str("id_token"))])).await;
        assert!(says_signed_out(&done));
    }
}

on_both! {
    async fn our_own_pages_sign_out(db) {
        let harness = start(db);
        let mut agent = Agent::new(&harness);
        let tokens = tokens(&harness, &mut agent).await;
        // The button of every page that knows who is signed in: the CSRF token and nothing else.
        let account = agent.get(&harness.url("/account")).await;
        assert!(account.answer().text.contains("<form id=\"sign-out-form\" action=\"/account/sign-out\" method=\"post\">"));
        let csrf = csrf_token(&harness.app, &cookie_named(&agent, "mdi-browser").1);
        assert!(account.answer().text.contains(&format!("form=\"sign-out-form\" name=\"csrf\" value=\"{csrf}\"")));
        let done = agent.post("/account/sign-out", &[("csrf".to_owned(), csrf)]).await;
        assert!(says_signed_out(&done) && done.at() == "/oauth2/logout", "{}", done.answer().text);
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], false);
        let ended: Vec<Value> = events(&harness, "session.ended");
        assert_eq!(ended.len(), 1);
        assert_eq!((&ended[0]["person_id"], &ended[0]["detail"]["reason"]), (&claims_of(tokens.str("id_token"))["sub"], &json!("signed out")));
        assert_eq!(ended[0]["detail"]["session"], claims_of(tokens.str("id_token"))["sid"]);
    }
}

/// The events of a kind, as they were bound.
fn events(harness: &Harness, kind: &'static str) -> Vec<Value> {
    let store = Arc::clone(&harness.app.store);
    blocking(move || {
        let found = store.read_blocking(move |conn| {
            let mut found = Vec::new();
            for log in audit::logs(conn)? {
                found.extend(
                    audit::rows_after(conn, log.id, 0, 10_000)?
                        .into_iter()
                        .filter(|row| row.kind == kind),
                );
            }
            Ok(found)
        });
        found
            .unwrap()
            .iter()
            .map(|row| serde_json::from_str(&row.body).unwrap())
            .collect()
    })
}

fn sabotage(harness: &Harness, sql: &'static str) {
    let app = Arc::clone(&harness.app);
    blocking(move || {
        app.store.write_blocking(move |tx| {
            match tx.conn() {
                Conn::Sqlite(conn) => diesel::sql_query(sql).execute(conn)?,
                Conn::Pg(conn) => diesel::sql_query(sql).execute(conn.as_mut())?,
            };
            Ok(())
        })
    })
    .unwrap();
}

#[tokio::test]
async fn without_its_database_the_browser_forgets_all_the_same() {
    let harness = start(Db::Postgres);
    let mut agent = Agent::new(&harness);
    tokens(&harness, &mut agent).await;
    let page = agent
        .get(&logout_url(
            &harness,
            &[("client_id", FULTON.0), ("post_logout_redirect_uri", BACK)],
        ))
        .await;
    assert!(asks(&page));
    postgres::forbid_connections(&harness.database_url());
    let done = agent.submit(&page, &[]).await;
    assert!(
        says_signed_out(&done) && done.answer().text.contains("could not tell"),
        "{}",
        done.answer().text
    );
    assert_eq!(cookie_named(&agent, "mdi-session").1, "");
}

on_both! {
    async fn a_real_client_signs_out(db) {
        let harness = start(db);
        let http_client = harness.http.clone();
        let http = move |request: openidconnect::HttpRequest| {
            let client = http_client.clone();
            async move {
                let answer = client.execute(request.try_into()?).await?;
                let mut built = openidconnect::http::Response::builder().status(answer.status());
                *built.headers_mut().unwrap() = answer.headers().clone();
                Ok::<_, reqwest::Error>(built.body(answer.bytes().await?.to_vec()).unwrap())
            }
        };
        let issuer = IssuerUrl::new(harness.issuer.clone()).unwrap();
        let metadata = ProviderMetadataWithLogout::discover_async(issuer, &http).await.unwrap();
        let end_session = metadata.additional_metadata().end_session_endpoint.clone().unwrap();
        let mut agent = Agent::new(&harness);
        let tokens = tokens(&harness, &mut agent).await;
        let id_token: openidconnect::core::CoreIdToken = tokens.str("id_token").parse().unwrap();
        let state = CsrfToken::new_random();
        let url = LogoutRequest::from(end_session)
            .set_id_token_hint(&id_token)
            .set_client_id(ClientId::new(FULTON.0.into()))
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(BACK.into()).unwrap())
            .set_state(state.clone())
            .http_get_url();
        let done = agent.get(url.as_str()).await;
        assert!(done.elsewhere().as_str().starts_with(BACK));
        assert_eq!(done.parameter("state").as_ref(), Some(state.secret()));
        assert!(!is_signed_in(&harness, &mut agent).await);
        let document = harness.get("/.well-known/openid-configuration").await;
        assert_eq!(document.json["end_session_endpoint"], harness.url("/oauth2/logout"));
        assert_eq!(document.json["backchannel_logout_supported"], true, "Back-Channel §2.1");
        assert_eq!(document.json["backchannel_logout_session_supported"], true, "Back-Channel §2.1");
        assert!(document.json["claims_supported"].as_array().unwrap().contains(&json!("sid")));
    }
}

/// How the receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answering {
    Status(u16),
    /// Not at all.
    Hanging,
}

/// One request that reached the receiver.
#[derive(Debug, Clone)]
struct Told {
    path: String,
    content_type: String,
    form: Vec<(String, String)>,
}

impl Told {
    fn token(&self) -> &str {
        assert_eq!(
            self.content_type, "application/x-www-form-urlencoded",
            "Back-Channel §2.5"
        );
        match self.form.as_slice() {
            [(name, token)] if name == "logout_token" => token,
            other => panic!("{other:?}"),
        }
    }
}

/// The clients' side: takes logout tokens on this machine, with a certificate of its own authority.
struct Receiver {
    base: String,
    ca: PathBuf,
    told: Arc<Mutex<Vec<Told>>>,
    answering: Arc<Mutex<Answering>>,
    handle: actix_web::dev::ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Receiver {
    fn start() -> Self {
        let dir = TempDir::new();
        let tls = Tls::open(
            &Config::default_with(dir.path()).server,
            jiff::Timestamp::now().as_second(),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let told = Arc::new(Mutex::new(Vec::new()));
        let answering = Arc::new(Mutex::new(Answering::Status(200)));
        let (kept, how, rustls) = (
            Arc::clone(&told),
            Arc::clone(&answering),
            tls.server_config().unwrap(),
        );
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let (kept, how) = (Arc::clone(&kept), Arc::clone(&how));
                    HttpApp::new().default_service(web::to(move |request: HttpRequest, body: String| {
                        let content_type = request
                            .headers()
                            .get("content-type")
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned();
                        let form = url::form_urlencoded::parse(body.as_bytes())
                            .into_owned()
                            .collect();
                        // Before anybody can see the request: what is set from then on is for the next one.
                        let how = *how.lock().unwrap();
                        kept.lock().unwrap().push(Told {
                            path: request.path().to_owned(),
                            content_type,
                            form,
                        });
                        async move {
                            match how {
                                Answering::Status(status) => HttpResponse::build(
                                    actix_web::http::StatusCode::from_u16(status).unwrap(),
                                )
                                .finish(),
                                Answering::Hanging => std::future::pending().await,
                            }
                        }
                    }))
                });
                let server = server
                    .workers(1)
                    .disable_signals()
                    .listen_rustls_0_23(listener, rustls)
                    .unwrap()
                    .run();
                send.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        Self {
            base,
            ca: tls.ca_file().unwrap(),
            told,
            answering,
            handle,
            thread: Some(thread),
            _dir: dir,
        }
    }

    /// A server that may reach this receiver.
    fn harness(&self, db: Db) -> Harness {
        let harness = Harness::start_with(db, |config| self.allow(config));
        harness.apply(&parties(Some(&self.base)));
        harness
    }

    fn allow(&self, config: &mut Config) {
        config.outbound.allow_loopback = true;
        config.outbound.extra_ca_file = Some(self.ca.clone());
    }

    fn answer(&self, how: Answering) {
        *self.answering.lock().unwrap() = how;
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    async fn wait(&self, count: usize) -> Vec<Told> {
        let what = format!("{count} requests");
        let told = eventually(&what, async || self.told(), |told| told.len() >= count).await;
        assert_eq!(told.len(), count, "{told:?}");
        told
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The notices that have been settled in the record.
fn notified(harness: &Harness) -> Vec<Value> {
    let mut found = events(harness, "logout.notified");
    found.retain(|event| event["client_id"] != NOBODY);
    found
}

/// Waits until so many notices have been settled.
async fn settled(harness: &Harness, count: usize) -> Vec<Value> {
    let what = format!("{count} settled notices");
    let found = eventually(&what, async || notified(harness), |found| found.len() >= count).await;
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// A client that does not exist.
const NOBODY: &str = "nobody";

/// The notices that wait for a try, or for its end.
async fn listed(harness: &Harness) -> Vec<LogoutNotice> {
    let list = harness
        .app
        .store
        .read(|conn| logout_notices::due(conn, i64::MAX, 1000));
    list.await.unwrap()
}

/// Waits until the server has gone through its list once more: it claims all that is due at once, so when a notice to
/// [`NOBODY`] is off the list, whatever else was due by now is claimed as well.
async fn looked_through(harness: &Harness) {
    let (id, now) = (harness.app.entropy.id("lgn"), harness.now());
    let notice = LogoutNotice {
        id: id.clone(),
        client_id: NOBODY.to_owned(),
        person_id: NOBODY.to_owned(),
        session_id: NOBODY.to_owned(),
        attempts: 0,
    };
    let added = harness.app.store.write(move |tx| {
        let change = Change {
            kind: ChangeKind::LogoutNotice,
            subject: notice.id.clone(),
            purge_at: now + 60,
        };
        tx.changed(change);
        logout_notices::add(tx.conn(), &notice, now, now + 60)
    });
    added.await.unwrap();
    let look = async || listed(harness).await;
    eventually("end of a notice to nobody", look, |list| {
        list.iter().all(|notice| notice.id != id)
    })
    .await;
}

/// How often each notice on the list was tried, when all that is due by now was.
async fn tries(harness: &Harness) -> Vec<i64> {
    looked_through(harness).await;
    listed(harness)
        .await
        .iter()
        .map(|notice| notice.attempts)
        .collect()
}

/// Holds that so many requests were all: nothing is left that could lead to another one.
async fn no_more_than(harness: &Harness, receiver: &Receiver, count: usize) {
    assert_eq!(tries(harness).await, [0; 0], "all is settled");
    assert_eq!(receiver.told().len(), count);
}

on_both! {
    async fn every_client_of_the_session_is_told(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let mut agent = Agent::new(&harness);
        // Twice the same client, once another; and a session elsewhere that is none of this.
        tokens(&harness, &mut agent).await;
        let id_token = tokens_of(&harness, &mut agent, "jlehz", FULTON, OFFLINE).await.str("id_token").to_owned();
        tokens_of(&harness, &mut agent, "jlehz", REVIEW, SCOPE).await;
        let mut elsewhere = Agent::new(&harness);
        harness.clock.advance(30);
        tokens(&harness, &mut elsewhere).await;
        receiver.answer(Answering::Status(204));
        let done = agent.get(&logout_url(&harness, &[("id_token_hint", &id_token), ("post_logout_redirect_uri", BACK)])).await;
        assert_eq!(done.elsewhere().as_str(), BACK);
        let told = receiver.wait(2).await;
        let id = claims_of(&id_token);
        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_value(harness.get("/oauth2/jwks").await.json).unwrap();
        let mut jtis = BTreeSet::new();
        for client in ["fulton-cms", "review"] {
            let token = told.iter().find(|told| told.path == format!("/{client}")).unwrap().token();
            let header = part(token, 0);
            assert_eq!((&header["typ"], &header["alg"]), (&json!("logout+jwt"), &json!("RS256")), "Back-Channel §2.4, §2.6");
            let key = jsonwebtoken::DecodingKey::from_jwk(jwks.find(header["kid"].as_str().unwrap()).unwrap()).unwrap();
            let mut wanted = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
            wanted.validate_exp = false;
            wanted.set_audience(&[client]);
            wanted.set_issuer(&[&harness.issuer]);
            let claims = jsonwebtoken::decode::<Value>(token, &key, &wanted).unwrap().claims;
            let jti = claims["jti"].as_str().unwrap().to_owned();
            let all = json!({
                "iss": harness.issuer, "sub": id["sub"], "aud": client, "iat": harness.now(), "exp": harness.now() + 120, "jti": jti,
                "events": { "http://schemas.openid.net/event/backchannel-logout": {} }, "sid": id["sid"],
            });
            assert_eq!(claims, all, "Back-Channel §2.4: these and no nonce");
            assert!(jtis.insert(jti), "each has its own");
        }
        let events = settled(&harness, 2).await;
        assert!(events.iter().all(|event| event["outcome"] == "0" && event["person_id"] == id["sub"] && event["detail"]["session"] == id["sid"]), "{events:?}");
        let clients: BTreeSet<&str> = events.iter().map(|event| event["client_id"].as_str().unwrap()).collect();
        assert_eq!(clients, BTreeSet::from(["fulton-cms", "review"]));
        no_more_than(&harness, &receiver, 2).await;
        assert!(is_signed_in(&harness, &mut elsewhere).await);
    }
}

on_both! {
    async fn a_client_that_fails_is_tried_again_and_given_up(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let mut agent = Agent::new(&harness);
        let id_token = tokens(&harness, &mut agent).await.str("id_token").to_owned();
        receiver.answer(Answering::Hanging);
        let done = agent.get(&logout_url(&harness, &[("id_token_hint", &id_token), ("post_logout_redirect_uri", BACK)])).await;
        assert_eq!(done.elsewhere().as_str(), BACK);
        receiver.wait(1).await;
        // It is not tried again before its time, and then with a token of its own.
        for (tried, wait) in [10, 30, 120, 600, 3600].into_iter().enumerate() {
            receiver.answer(Answering::Status([500, 400, 302, 401, 503][tried]));
            harness.clock.advance(wait - 1);
            assert_eq!(tries(&harness).await, [tried as i64 + 1], "not yet");
            assert_eq!(notified(&harness), Vec::<Value>::new(), "no event a try");
            harness.clock.advance(1);
            receiver.wait(tried + 2).await;
        }
        let told = receiver.told();
        let jtis: BTreeSet<String> = told.iter().map(|told| claims_of(told.token())["jti"].to_string()).collect();
        assert_eq!(jtis.len(), 6);
        let event = settled(&harness, 1).await.remove(0);
        assert_eq!((&event["outcome"], &event["client_id"], &event["detail"]["attempts"]), (&json!("4"), &json!("fulton-cms"), &json!("6")));
        let reason = event["detail"]["reason"].as_str().unwrap();
        assert!(reason.starts_with("given up") && reason.contains("503"), "{reason}");
        harness.clock.advance(86_400);
        no_more_than(&harness, &receiver, 6).await;
    }
}

on_both! {
    async fn a_client_that_hangs_is_given_up(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let mut agent = Agent::new(&harness);
        let id_token = tokens(&harness, &mut agent).await.str("id_token").to_owned();
        receiver.answer(Answering::Hanging);
        agent.get(&logout_url(&harness, &[("id_token_hint", &id_token)])).await;
        for (tried, wait) in [10, 30, 120, 600, 3600].into_iter().enumerate() {
            receiver.wait(tried + 1).await;
            harness.clock.advance(wait);
        }
        // Each try times out before the next one does: after the last, none of them leads to another.
        let event = settled(&harness, 1).await.remove(0);
        let reason = event["detail"]["reason"].as_str().unwrap();
        assert!(reason.starts_with("given up") && reason.contains("did not answer within 5000 ms"), "{reason}");
        no_more_than(&harness, &receiver, 6).await;
    }
}

on_both! {
    async fn nobody_who_signs_out_waits_for_a_client(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        receiver.answer(Answering::Hanging);
        // On a busy machine one of them takes its time; if people waited, each would take as long as a client may.
        let sign_out = async || {
            harness.clock.advance(30);
            let mut agent = Agent::new(&harness);
            let id_token = tokens(&harness, &mut agent).await.str("id_token").to_owned();
            let begun = Instant::now();
            let done = agent.get(&logout_url(&harness, &[("id_token_hint", &id_token), ("post_logout_redirect_uri", BACK)])).await;
            assert_eq!(done.elsewhere().as_str(), BACK);
            begun.elapsed()
        };
        eventually("quick sign-out", sign_out, |took| *took < Duration::from_secs(5)).await;
    }
}

on_both! {
    async fn a_client_that_comes_back_is_told(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let mut agent = Agent::new(&harness);
        let id_token = tokens(&harness, &mut agent).await.str("id_token").to_owned();
        receiver.answer(Answering::Status(500));
        agent.get(&logout_url(&harness, &[("id_token_hint", &id_token)])).await;
        receiver.wait(1).await;
        receiver.answer(Answering::Status(200));
        harness.clock.advance(10);
        receiver.wait(2).await;
        let event = settled(&harness, 1).await.remove(0);
        assert_eq!((&event["outcome"], &event["detail"]["attempts"]), (&json!("0"), &json!("2")));
    }
}

/// The session that the last of so many logout tokens names, when all of them are settled: a notice whose delivery is
/// still being written down would be due again as soon as a test moves the clock.
async fn newest(harness: &Harness, receiver: &Receiver, count: usize) -> String {
    let told = receiver.wait(count).await;
    settled(harness, count).await;
    claims_of(told.last().unwrap().token())["sid"]
        .as_str()
        .unwrap()
        .to_owned()
}

on_both! {
    async fn whoever_ends_a_session_the_clients_are_told(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let sid = |tokens: &Answer| claims_of(tokens.str("id_token"))["sid"].as_str().unwrap().to_owned();
        let mut agent = Agent::new(&harness);
        // Somebody else signs in with the same browser.
        let first = sid(&tokens(&harness, &mut agent).await);
        let login = agent.get(&authorize_url(&harness, &[("prompt", "login"), ("scope", "openid"), ("aud", ""), ("acr_values", "")])).await;
        agent.sign_in(login, "norole", PASSWORD).await;
        assert_eq!(newest(&harness, &receiver, 1).await, first);
        let ended = events(&harness, "session.ended");
        assert_eq!(ended[0]["detail"]["session"], first);
        // An administrator disables the person, in another process.
        let mut agent = Agent::new(&harness);
        harness.clock.advance(30);
        let second = sid(&tokens(&harness, &mut agent).await);
        let (config, clock) = (harness.app.config.clone(), Arc::clone(&harness.app.clock));
        blocking(move || {
            let beside = App::open(config, clock, false).unwrap();
            let registry = Registry::new(Arc::clone(&beside), Actor::Operator("beside".into()));
            registry.blocking(|registry, tx| people::set_enabled(registry, tx, "jlehz", false)).unwrap();
            beside.stop();
        });
        assert_eq!(newest(&harness, &receiver, 2).await, second);
        harness.enable_user("jlehz");
        // Her roles change.
        harness.clock.advance(30);
        let mut agent = Agent::new(&harness);
        let third = sid(&tokens(&harness, &mut agent).await);
        harness.apply("[[user]]\nusername = \"jlehz\"\nroles = [\"medical-examiner\", \"coroner\"]\n");
        assert_eq!(newest(&harness, &receiver, 3).await, third);
        let changed = events(&harness, "person.roles_changed");
        assert_eq!(changed.last().unwrap()["detail"]["sessions_ended"], "1");
        // She signs out everywhere but here.
        let mut here = Agent::new(&harness);
        harness.clock.advance(30);
        let kept = sid(&tokens(&harness, &mut here).await);
        let mut there = Agent::new(&harness);
        harness.clock.advance(30);
        let tokens_there = tokens(&harness, &mut there).await;
        let (app, person) = (Arc::clone(&harness.app), claims_of(tokens_there.str("id_token"))["sub"].as_str().unwrap().to_owned());
        let except = kept.clone();
        let ended = harness.app.store.write(move |tx| session::end_all(&app, tx, &person, Some(&except))).await.unwrap();
        assert_eq!(ended, 1);
        assert_eq!(newest(&harness, &receiver, 4).await, sid(&tokens_there));
        assert!(is_signed_in(&harness, &mut here).await && !is_signed_in(&harness, &mut there).await);
        // Idle for too long is not over: she may be busy at a client. The absolute limit is.
        harness.clock.advance(2000);
        session::end_expired(&harness.app).await.unwrap();
        no_more_than(&harness, &receiver, 4).await;
        harness.clock.advance(43_200);
        session::end_expired(&harness.app).await.unwrap();
        assert_eq!(newest(&harness, &receiver, 5).await, kept);
    }
}

on_both! {
    async fn who_is_gone_is_not_told_and_damage_keeps_nobody(db) {
        let receiver = Receiver::start();
        let harness = receiver.harness(db);
        let mut agent = Agent::new(&harness);
        tokens(&harness, &mut agent).await;
        let id_token = tokens_of(&harness, &mut agent, "jlehz", REVIEW, SCOPE).await.str("id_token").to_owned();
        sabotage(&harness, "UPDATE grants SET facts = '{'");
        receiver.answer(Answering::Status(500));
        agent.get(&logout_url(&harness, &[("id_token_hint", &id_token)])).await;
        assert!(!is_signed_in(&harness, &mut agent).await, "a damaged row keeps nobody signed in");
        receiver.wait(2).await;
        // One is disabled before the next try, the other takes its address back.
        harness.disable_client(FULTON.0);
        harness.apply("[[client]]\nclient_id = \"review\"\nbackchannel_logout_uri = \"\"\n");
        harness.clock.advance(10);
        let events = settled(&harness, 2).await;
        assert_eq!(receiver.told().len(), 2);
        let reasons: BTreeSet<&str> = events.iter().map(|event| event["detail"]["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, BTreeSet::from(["the client has no backchannel_logout_uri any more", "the client is deleted or disabled"]));
        assert!(events.iter().all(|event| event["outcome"] == "4"));
    }
}

#[tokio::test]
async fn two_servers_on_one_database_tell_once() {
    let receiver = Receiver::start();
    let one = receiver.harness(Db::Postgres);
    let (url, key) = (one.database_url(), one.app.config.keys.master_key.clone());
    let two = Harness::empty(Db::Sqlite, |config| {
        receiver.allow(config);
        config.database.url = Database::Postgres(mdi_auth::model::secret::Secret::new(url));
        config.keys.master_key = key;
    });
    assert!(!two.app.store.is_sqlite());
    let mut sids = BTreeSet::new();
    for _ in 0..8 {
        let mut agent = Agent::new(&one);
        let tokens = tokens(&one, &mut agent).await;
        sids.insert(
            claims_of(tokens.str("id_token"))["sid"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        one.clock.advance(30);
    }
    two.clock.advance(one.now() - two.now());
    one.disable_user("jlehz");
    let told = receiver.wait(8).await;
    let told: BTreeSet<String> = told
        .iter()
        .map(|told| claims_of(told.token())["sid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, sids);
    settled(&one, 8).await;
    no_more_than(&one, &receiver, 8).await;
    // Whichever did that, now the other one does.
    drop(one);
    no_more_than(&two, &receiver, 8).await;
}

/// An application's pages: one with a form that asks for sign-out, and whatever comes after it.
fn application(form_action: &str, fields: &[(&str, &str)], port: u16, listener: TcpListener) {
    use std::io::{Read, Write};
    let back = format!("http://127.0.0.1:{port}/out");
    let fields: String = fields
        .iter()
        .chain(&[("post_logout_redirect_uri", back.as_str()), ("state", "s1")])
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"))
        .collect();
    let body = format!(
        "<!doctype html><link rel=icon href=data:,><title>Case system</title><form method=post action=\"{form_action}\">{fields}<button id=\"leave\">Leave</button></form>"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), body) = (stream, body.clone()) else {
                return;
            };
            // Browsers open connections before they need them.
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8192]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            });
        }
    });
}

/// Presses a button by the keyboard, which works without scripts.
async fn press_on(window: &WebDriver, id: &str) {
    tab_to(window, id).await;
    press(window, Key::Enter.value().to_string()).await;
}

on_both! {
    async fn a_person_signs_out_in_a_real_browser(db) {
        let harness = Harness::start(db);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        harness.apply(&format!(
            "[[client]]\nclient_id = \"desk-cms\"\nname = \"Desk\"\ndataflow = \"cms-user-to-edrs\"\nauth_method = \"none\"\nredirect_uris = [\"http://127.0.0.1/cb\"]\npost_logout_redirect_uris = [\"http://127.0.0.1:{port}/out\"]\nresource_servers = [\"edrs-ga\"]\n"
        ));
        application(&harness.url("/oauth2/logout"), &[("client_id", "desk-cms")], port, listener);
        let callback = format!("http://127.0.0.1:{port}/cb");
        let browser = Browser::start(&harness.ca_file);
        for (width, scripts) in [(375, false), (1280, true)] {
            let window = browser.window(width, scripts).await;
            let changes = [("client_id", "desk-cms"), ("redirect_uri", callback.as_str()), ("scope", "openid"), ("aud", ""), ("acr_values", "")];
            window.goto(authorize_url(&harness, &changes)).await.unwrap();
            fill(&window, "username", "norole").await;
            fill(&window, "password", PASSWORD).await;
            press_on(&window, "login-submit").await;
            wait_for(&window, "/consent").await;
            press_on(&window, "consent-approve").await;
            wait_for(&window, "/cb?code=").await;
            // From another site, by a form: our cookies come along with our own redirect.
            press_on(&window, "leave").await;
            wait_for(&window, "/oauth2/logout?pending=").await;
            look(&window, &format!("{width}-logout"), scripts).await;
            press_on(&window, "logout-confirm").await;
            wait_for(&window, &format!("127.0.0.1:{port}/out?state=s1")).await;
            window.goto(harness.url("/oauth2/logout")).await.unwrap();
            look(&window, &format!("{width}-signed-out"), scripts).await;
            let text = window.find(By::Tag("main")).await.unwrap().text().await.unwrap();
            assert!(text.contains("You are signed out"), "{text}");
            if scripts {
                assert_eq!(browser.log(&window).await, json!([]), "the console has nothing to complain about");
            }
            window.goto(harness.url("/oauth2/logout?client_id=nobody")).await.unwrap();
            look(&window, &format!("{width}-logout-refused"), scripts).await;
            window.quit().await.unwrap();
        }
    }
}
