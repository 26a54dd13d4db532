//! A relying party that asks as the conformance suite of the OpenID Foundation does, module by module: Basic and Form Post
//! with a confidential client, and RP-initiated logout. Each row is a request of ours in the manner of the module that it
//! names; what comes back is checked as strictly, so that what the suite would warn of fails here. (Back-channel logout
//! is tested in `logout.rs`, with a receiver of its own.)

use std::collections::BTreeSet;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value, json};
use url::Url;

use crate::harness::agent::{Agent, Page, hidden_fields};
use crate::harness::{Answer, Harness, PASSWORD};
use crate::on_both;

const PARTY: (&str, &str) = ("relying-party", "q7Vw-3Zk9Rm2Tx6Ln8Bd4Hs1Yc5Pf0Jg");
const CALLBACK: &str = "https://rp.example/callback";
const SIGNED_OUT: &str = "https://rp.example/signed-out";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const PARTIES: &str = r#"
[[client]]
client_id = "relying-party"
name = "Relying Party"
dataflow = "custom"
grants = "authorization_code refresh_token"
scopes = "openid profile email address phone offline_access"
auth_method = "client_secret_basic"
secret = "q7Vw-3Zk9Rm2Tx6Ln8Bd4Hs1Yc5Pf0Jg"
redirect_uris = ["https://rp.example/callback"]
post_logout_redirect_uris = ["https://rp.example/signed-out"]
require_pkce = false

[[user]]
username = "pat"
name = "Pat Person"
password = "correct horse battery staple"
email = "pat@rp.example"
email_verified = true

[user.claims]
given_name = "Pat"
family_name = "Person"
middle_name = "Q"
nickname = "P"
profile = "https://rp.example/pat"
picture = "https://rp.example/pat.png"
website = "https://rp.example"
gender = "unspecified"
birthdate = "1980-02-29"
zoneinfo = "America/New_York"
locale = "en-US"
phone_number = "+1 404 555 0100"
phone_number_verified = false
address = { formatted = "1 Main Street" }
"#;

/// What the scopes release at the userinfo endpoint (OpenID Connect Core §5.4).
const PROFILE: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
];
/// What stands in every ID token of a code flow.
const ALWAYS: [&str; 10] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "acr",
    "amr",
    "sid",
    "at_hash",
];

struct Party<'a> {
    harness: &'a Harness,
    agent: Agent<'a>,
    mode: &'static str,
    /// How many requests it has made: each has a state and a nonce of its own.
    requests: usize,
}

/// What a request was answered.
#[derive(Debug)]
enum Answered {
    /// Back at the relying party, with these parameters.
    Back(Map<String, Value>),
    /// A page of ours.
    Ours(Page),
}

/// Tokens, checked, with what they say.
struct Tokens {
    answer: Answer,
    id: Value,
    userinfo: Value,
}

impl<'a> Party<'a> {
    fn new(harness: &'a Harness, mode: &'static str) -> Self {
        Self {
            harness,
            agent: Agent::new(harness),
            mode,
            requests: 0,
        }
    }

    /// The parameters of a request: those of every module, as a row changes them; an empty one is left out.
    fn parameters(&mut self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        self.requests += 1;
        let (state, nonce) = (
            format!("state-{}", self.requests),
            format!("nonce-{}", self.requests),
        );
        let mut parameters: Vec<(String, String)> = [
            ("client_id", PARTY.0),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", &state),
            ("nonce", &nonce),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if self.mode == "form_post" {
            parameters.push(("response_mode".to_owned(), "form_post".to_owned()));
        }
        for (name, value) in changes {
            parameters.retain(|(known, _)| known != name);
            if !value.is_empty() {
                parameters.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        parameters
    }

    /// Sends a request by the browser, signs in and allows what is asked, and takes what comes back.
    async fn ask(&mut self, parameters: &[(String, String)]) -> Answered {
        let url = Url::parse_with_params(&self.harness.url("/oauth2/authorize"), parameters).unwrap();
        let page = self.agent.get(url.as_str()).await;
        self.go_on(page, parameters).await
    }

    async fn go_on(&mut self, mut page: Page, parameters: &[(String, String)]) -> Answered {
        if page.at() == "/login" {
            page = self.agent.sign_in(page, "pat", PASSWORD).await;
        }
        if page.at() == "/consent" {
            page = self.agent.approve(&page).await;
        }
        let back: Map<String, Value> = match &page {
            Page::Elsewhere(url) => {
                assert!(url.as_str().starts_with(CALLBACK), "{url}");
                let sent = url.query_pairs().into_owned();
                sent.map(|(name, value)| (name, Value::String(value))).collect()
            }
            Page::Ours { answer, .. } if answer.text.contains(&format!("action=\"{CALLBACK}\"")) => {
                assert_eq!(self.mode, "form_post");
                let sent = hidden_fields(&answer.text).into_iter();
                sent.map(|(name, value)| (name, Value::String(value))).collect()
            }
            Page::Ours { .. } => return Answered::Ours(page),
        };
        let state = parameters
            .iter()
            .find(|(name, _)| name == "state")
            .map(|(_, value)| json!(value));
        assert_eq!(back.get("state").cloned(), state, "OpenID Core §3.1.2.5: state");
        assert_eq!(back["iss"], self.harness.issuer, "RFC 9207 §2");
        Answered::Back(back)
    }

    async fn code(&mut self, parameters: &[(String, String)]) -> String {
        match self.ask(parameters).await {
            Answered::Back(back) => back
                .get("code")
                .unwrap_or_else(|| panic!("{back:?}"))
                .as_str()
                .unwrap()
                .to_owned(),
            Answered::Ours(page) => panic!("{page:?}"),
        }
    }

    async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.harness.token(Some(PARTY), form).await
    }

    async fn redeem(&self, code: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
        ];
        self.token(&form).await
    }

    /// Redeems a code and checks all that came: the answer, the ID token and, in each of its ways, userinfo.
    async fn tokens(&self, answer: Answer, parameters: &[(String, String)]) -> Tokens {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json["token_type"], "Bearer");
        assert!(answer.json["expires_in"].as_i64().unwrap() > 0);
        let asked = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(
            words(answer.str("scope")),
            words(asked("scope").unwrap()),
            "RFC 6749 §5.1: as asked"
        );
        let id = self.id_token(answer.str("id_token")).await;
        assert_eq!(id["nonce"].as_str(), asked("nonce"), "OpenID Core §3.1.3.7");
        let mut told = Vec::new();
        let url = self.harness.url("/oauth2/userinfo");
        let token = answer.str("access_token");
        let http = &self.harness.http;
        for request in [
            http.get(&url).bearer_auth(token),
            http.post(&url).bearer_auth(token),
            http.post(&url).form(&[("access_token", token)]),
        ] {
            let userinfo = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(
                (userinfo.status, userinfo.header("content-type")),
                (200, "application/json")
            );
            assert_eq!(userinfo.json["sub"], id["sub"], "OpenID Core §5.3.2");
            told.push(userinfo.json);
        }
        assert!(told.iter().all(|one| *one == told[0]));
        Tokens {
            answer,
            id,
            userinfo: told.remove(0),
        }
    }

    /// Verifies an ID token as OpenID Connect Core §3.1.3.7 wants it.
    async fn id_token(&self, token: &str) -> Value {
        let jwks: JwkSet = serde_json::from_str(&self.harness.get("/oauth2/jwks").await.text).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = jwks
            .find(header.kid.as_ref().unwrap())
            .expect("its key is published");
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[PARTY.0]);
        validation.set_issuer(&[&self.harness.issuer]);
        // By the clock of the test.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation)
            .unwrap()
            .claims;
        let (now, at) = (self.harness.now(), |name: &str| claims[name].as_i64().unwrap());
        assert!(
            at("iat") <= now && at("exp") > now && at("auth_time") <= at("iat"),
            "{claims}"
        );
        assert_eq!(claims["aud"], PARTY.0);
        claims
    }

    /// A whole sign-in.
    async fn signed_in(&mut self, changes: &[(&str, &str)]) -> Tokens {
        let parameters = self.parameters(changes);
        let code = self.code(&parameters).await;
        let answer = self.redeem(&code).await;
        self.tokens(answer, &parameters).await
    }
}

fn names(claims: &Value) -> BTreeSet<&str> {
    claims.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What a module asks, and what userinfo must say beside `sub`; the ID token must say nothing of that.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const GRANTED: [Row; 19] = [
    ("server", &[], &[]),
    (
        "ensure-request-without-nonce-succeeds-for-code-flow",
        &[("nonce", "")],
        &[],
    ),
    ("scope-profile", &[("scope", "openid profile")], &PROFILE),
    (
        "scope-email",
        &[("scope", "openid email")],
        &["email", "email_verified"],
    ),
    ("scope-address", &[("scope", "openid address")], &["address"]),
    (
        "scope-phone",
        &[("scope", "openid phone")],
        &["phone_number", "phone_number_verified"],
    ),
    (
        "ensure-other-scope-order-succeeds",
        &[("scope", "email openid")],
        &["email", "email_verified"],
    ),
    ("display-page", &[("display", "page")], &[]),
    ("display-popup", &[("display", "popup")], &[]),
    ("max-age-10000", &[("max_age", "10000")], &[]),
    (
        "ensure-request-with-unknown-parameter-succeeds",
        &[("extra", "foobar")],
        &[],
    ),
    ("login-hint", &[("login_hint", "pat@rp.example")], &[]),
    ("ui-locales", &[("ui_locales", "se")], &[]),
    ("claims-locales", &[("claims_locales", "se")], &[]),
    (
        "ensure-request-with-acr-values-succeeds",
        &[("acr_values", "1 2")],
        &[],
    ),
    ("prompt-none-logged-in", &[("prompt", "none")], &[]),
    (
        "claims-essential",
        &[("claims", r#"{"userinfo":{"name":{"essential":true}}}"#)],
        &["name"],
    ),
    (
        "claims at userinfo",
        &[("claims", r#"{"userinfo":{"email":null,"locale":null}}"#)],
        &["email", "locale"],
    ),
    (
        "state beyond a line",
        &[(
            "state",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        )],
        &[],
    ),
];

on_both! {
    async fn what_the_modules_ask_is_granted(db) {
        let harness = Harness::start(db);
        harness.apply(PARTIES);
        for mode in ["query", "form_post"] {
            let mut party = Party::new(&harness, mode);
            for (module, changes, released) in GRANTED {
                harness.clock.advance(1);
                let tokens = party.signed_in(changes).await;
                let mut expected: BTreeSet<&str> = released.iter().copied().collect();
                expected.insert("sub");
                assert_eq!(names(&tokens.userinfo), expected, "{mode} {module}");
                let more: Vec<&str> = names(&tokens.id).into_iter().filter(|name| !ALWAYS.contains(name) && *name != "nonce").collect();
                assert!(more.is_empty(), "{mode} {module}: the ID token says {more:?}");
            }
            // scope-all
            let all = party.signed_in(&[("scope", "openid profile email address phone")]).await;
            assert_eq!(names(&all.userinfo).len(), 1 + PROFILE.len() + 5, "{mode}");
            // ensure-request-with-valid-pkce-succeeds
            let parameters = party.parameters(&[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
            let code = party.code(&parameters).await;
            let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
            let answer = party.token(&form).await;
            party.tokens(answer, &parameters).await;
            // ensure-post-request-succeeds
            let parameters = party.parameters(&[]);
            let posted = harness.http.post(harness.url("/oauth2/authorize")).form(&parameters).send().await.unwrap();
            assert_eq!(posted.status(), 303);
            let page = party.agent.get(&harness.url(posted.headers()["location"].to_str().unwrap())).await;
            let Answered::Back(back) = party.go_on(page, &parameters).await else { panic!() };
            assert_eq!(party.redeem(back["code"].as_str().unwrap()).await.status, 200);
            // server-client-secret-post
            let parameters = party.parameters(&[]);
            let code = party.code(&parameters).await;
            let form = [
                ("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK),
                ("client_id", PARTY.0), ("client_secret", PARTY.1),
            ];
            let answer = harness.token(None, &form).await;
            party.tokens(answer, &parameters).await;
            // id-token-hint
            let known = party.signed_in(&[]).await;
            let hinted = party.signed_in(&[("prompt", "none"), ("id_token_hint", known.answer.str("id_token"))]).await;
            assert_eq!(hinted.id["sub"], known.id["sub"]);
        }
    }
}

on_both! {
    async fn a_fresh_sign_in_is_asked_for_and_told(db) {
        let harness = Harness::start(db);
        harness.apply(PARTIES);
        for mode in ["query", "form_post"] {
            let mut party = Party::new(&harness, mode);
            let first = party.signed_in(&[]).await;
            // max-age-10000: the same sign-in serves, and is told; prompt-login and max-age-1: a later one.
            for (module, changes, later) in [
                ("max-age-10000", [("max_age", "10000")], false),
                ("prompt-login", [("prompt", "login")], true),
                ("max-age-1", [("max_age", "1")], true),
            ] {
                harness.clock.advance(5);
                let parameters = party.parameters(&changes);
                let url = Url::parse_with_params(&harness.url("/oauth2/authorize"), &parameters).unwrap();
                let page = party.agent.get(url.as_str()).await;
                assert_eq!(page.at() == "/login", later, "{mode} {module}");
                let Answered::Back(back) = party.go_on(page, &parameters).await else { panic!("{mode} {module}") };
                let answer = party.redeem(back["code"].as_str().unwrap()).await;
                let tokens = party.tokens(answer, &parameters).await;
                assert_eq!(tokens.id["auth_time"].as_i64() > first.id["auth_time"].as_i64(), later, "{mode} {module}");
                assert_eq!(tokens.id["sub"], first.id["sub"]);
            }
        }
    }
}

on_both! {
    async fn what_the_modules_expect_to_be_refused_is(db) {
        let harness = Harness::start(db);
        harness.apply(PARTIES);
        let rows: [(&str, &[(&str, &str)], &str); 4] = [
            ("prompt-none-not-logged-in", &[("prompt", "none")], "login_required"),
            ("response-type-missing", &[("response_type", "")], "invalid_request"),
            // The one thing that the suite still warns of: a request object that nobody signed.
            ("unsigned-request-object", &[("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported"),
            ("request-uri-unsigned", &[("request_uri", "https://rp.example/request")], "request_uri_not_supported"),
        ];
        for mode in ["query", "form_post"] {
            for (module, changes, error) in rows {
                let mut party = Party::new(&harness, mode);
                let parameters = party.parameters(changes);
                let Answered::Back(back) = party.ask(&parameters).await else { panic!("{mode} {module}") };
                assert_eq!(back["error"], error, "{mode} {module}");
                assert!(!back.contains_key("code"), "{mode} {module}");
            }
            // ensure-registered-redirect-uri: never a redirect.
            for redirect_uri in [
                "https://rp.example/other", "https://rp.example/callback?foo=bar", "https://rp.example/callback/", "http://rp.example/callback", "",
            ] {
                let mut party = Party::new(&harness, mode);
                let parameters = party.parameters(&[("redirect_uri", redirect_uri)]);
                let Answered::Ours(page) = party.ask(&parameters).await else { panic!("{redirect_uri}") };
                assert_eq!(page.answer().status, 400, "{redirect_uri}");
            }
        }
    }
}

on_both! {
    async fn codes_work_once_and_refresh_tokens_keep_the_sign_in(db) {
        let harness = Harness::start(db);
        harness.apply(PARTIES);
        // codereuse, codereuse-30seconds
        for wait in [0, 31] {
            let mut party = Party::new(&harness, "query");
            let parameters = party.parameters(&[]);
            let code = party.code(&parameters).await;
            let answer = party.redeem(&code).await;
            let tokens = party.tokens(answer, &parameters).await;
            harness.clock.advance(wait);
            let again = party.redeem(&code).await;
            assert_eq!((again.status, again.error()), (400, "invalid_grant"), "{wait}");
            let userinfo = harness.http.get(harness.url("/oauth2/userinfo")).bearer_auth(tokens.answer.str("access_token"));
            assert_eq!(userinfo.send().await.unwrap().status(), 401, "RFC 6749 §4.1.2: what it produced is revoked");
        }
        // refresh-token
        let mut party = Party::new(&harness, "query");
        let parameters = party.parameters(&[("scope", "openid offline_access"), ("prompt", "consent")]);
        let code = party.code(&parameters).await;
        let answer = party.redeem(&code).await;
        let first = party.tokens(answer, &parameters).await;
        harness.clock.advance(60);
        let answer = party.token(&[("grant_type", "refresh_token"), ("refresh_token", first.answer.str("refresh_token"))]).await;
        let second = party.id_token(answer.str("id_token")).await;
        for name in ["iss", "sub", "aud", "auth_time"] {
            assert_eq!(second[name], first.id[name], "OpenID Core §12.2: {name}");
        }
        assert!(second["iat"].as_i64() > first.id["iat"].as_i64() && second.get("nonce").is_none());
        assert_ne!(answer.str("access_token"), first.answer.str("access_token"));
        // Of another client it is worth nothing.
        let stolen = [("grant_type", "refresh_token"), ("refresh_token", answer.str("refresh_token"))];
        let refused = harness.token(Some(crate::harness::FULTON), &stolen).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    }
}

on_both! {
    async fn signing_out_as_the_modules_do(db) {
        let harness = Harness::start(db);
        harness.apply(PARTIES);
        // What is sent beside the hint; where it ends: back there with state, or at a page of ours.
        let rows: [(&str, bool, &[(&str, &str)], Option<&str>); 8] = [
            ("rp-initiated-logout", true, &[("post_logout_redirect_uri", SIGNED_OUT), ("state", "s-1")], Some("https://rp.example/signed-out?state=s-1")),
            ("rp-initiated-logout-no-state", true, &[("post_logout_redirect_uri", SIGNED_OUT)], Some(SIGNED_OUT)),
            ("rp-initiated-logout-no-post-logout-redirect-uri", true, &[("state", "s-1")], None),
            ("rp-initiated-logout-only-state", false, &[("state", "s-1")], None),
            ("rp-initiated-logout-no-params", false, &[], None),
            ("rp-initiated-logout-no-id-token-hint", false, &[("post_logout_redirect_uri", SIGNED_OUT)], None),
            ("rp-initiated-logout-bad-post-logout-redirect-uri", true, &[("post_logout_redirect_uri", "https://rp.example/elsewhere")], None),
            ("rp-initiated-logout-query-added-to-post-logout-redirect-uri", true, &[("post_logout_redirect_uri", "https://rp.example/signed-out?foo=bar")], None),
        ];
        for (module, hint, parameters, ends) in rows {
            let mut party = Party::new(&harness, "query");
            let tokens = party.signed_in(&[]).await;
            let mut parameters = parameters.to_vec();
            if hint {
                parameters.push(("id_token_hint", tokens.answer.str("id_token")));
            }
            let url = Url::parse_with_params(&harness.url("/oauth2/logout"), &parameters).unwrap();
            let page = party.agent.get(url.as_str()).await;
            match ends {
                Some(ends) => {
                    assert_eq!(page.elsewhere().as_str(), ends, "{module}");
                    // The session is over.
                    let silent = party.parameters(&[("prompt", "none")]);
                    let Answered::Back(back) = party.ask(&silent).await else { panic!("{module}") };
                    assert_eq!(back["error"], "login_required", "{module}");
                }
                None => assert!(matches!(page, Page::Ours { .. }), "{module}: {page:?}"),
            }
        }
        // A hint that was altered, or is none: a page, and no redirect.
        let mut party = Party::new(&harness, "query");
        let tokens = party.signed_in(&[]).await;
        let altered = format!("{}x", tokens.answer.str("id_token"));
        for hint in [altered.as_str(), "bad"] {
            let parameters = [("post_logout_redirect_uri", SIGNED_OUT), ("id_token_hint", hint)];
            let url = Url::parse_with_params(&harness.url("/oauth2/logout"), &parameters).unwrap();
            assert_eq!(party.agent.get(url.as_str()).await.answer().status, 400, "{hint}");
        }
    }
}
