//! Sign in with an agency's identity provider: every answer that must not count, whose account an identity leads to, and
//! what happens when the provider is not there. Sections are those of OpenID Connect Core unless named otherwise.

use std::collections::HashMap;

use diesel::RunQueryDsl;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mdi_auth::config::{Config, LockoutCovers};
use mdi_auth::live::Live;
use mdi_auth::model::identity_provider::IdentityProviderSettings;
use mdi_auth::model::person::Person;
use mdi_auth::registry::apply::{self, ApplyError};
use mdi_auth::registry::noun;
use mdi_auth::registry::said::{Merge, Said};
use mdi_auth::registry::{identity_providers, keys};
use mdi_auth::store::lists::{self, Sessions};
use mdi_auth::store::passkeys::{self, StoredPasskey};
use mdi_auth::store::registered;
use mdi_auth::store::{Conn, audit, identity_providers as stored, people, sessions};
use serde_json::{Value, json};
use url::Url;

use crate::harness::agency::{Agency, Script, merge};
use crate::harness::agent::{Agent, Page, totp};
use crate::harness::assertion::ClientKey;
use crate::harness::authenticator::Authenticator;
use crate::harness::{Db, EDRS, EDRS_BASE, Harness, blocking};
use crate::on_both;
use crate::person_flow::{authorize_url, redeem, refresh};
use crate::support::{TempDir, eventually};

const BUTTON: &str = "/login/upstream/fulton";
const CALLBACK: &str = "/login/upstream/fulton/callback";
const CLIENT: &str = "mdi-auth";
/// Blanks and signs that a form has to encode.
const SECRET: &str = "p+w / s&c=r%t";
/// What the case system asks for without a role.
const PLAIN: [(&str, &str); 4] = [
    ("scope", "openid profile email"),
    ("aud", ""),
    ("acr_values", ""),
    ("nonce", "n"),
];

/// A server whose people may sign in with a provider of their agency.
struct Stage {
    agency: Agency,
    harness: Harness,
}

/// Somebody at the provider: where she was sent, and her browser.
struct Traveller<'a> {
    agent: Agent<'a>,
    sent_to: Url,
}

impl Traveller<'_> {
    fn parameter(&self, name: &str) -> String {
        let found = self.sent_to.query_pairs().find(|(known, _)| known == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {}", self.sent_to))
            .1
            .into_owned()
    }
}

impl Stage {
    /// `settings` are lines of the provider's table beyond the usual ones.
    fn start(db: Db, settings: &str) -> Self {
        Self::start_with(db, settings, |_| ())
    }

    fn start_with(db: Db, settings: &str, change: impl FnOnce(&mut Config)) -> Self {
        let agency = Agency::start();
        let ca = agency.ca.clone();
        let harness = Harness::start_with(db, |config| {
            config.outbound.allow_loopback = true;
            config.outbound.extra_ca_file = Some(ca);
            config.login.address_attempts_per_minute = 1000;
            change(config);
        });
        let stage = Self { agency, harness };
        stage.register(settings);
        stage
    }

    fn register(&self, settings: &str) {
        self.harness.apply(&table(&self.agency.issuer, settings));
    }

    async fn login_page<'a>(&'a self, agent: &mut Agent<'a>, changes: &[(&str, &str)]) -> Page {
        let changes: Vec<_> = PLAIN.iter().chain(changes).copied().collect();
        let page = agent.get(&authorize_url(&self.harness, &changes)).await;
        assert_eq!(page.at(), "/login");
        page
    }

    async fn leave_asking(&self, changes: &[(&str, &str)]) -> Traveller<'_> {
        let mut agent = Agent::new(&self.harness);
        let page = self.login_page(&mut agent, changes).await;
        let sent_to = agent.submit_to(&page, BUTTON, &[]).await.elsewhere().clone();
        Traveller { agent, sent_to }
    }

    async fn leave(&self) -> Traveller<'_> {
        self.leave_asking(&[]).await
    }

    /// The claims of a good ID token for somebody.
    fn claims(&self, traveller: &Traveller<'_>, changes: Value) -> Value {
        let now = self.harness.now();
        let mut claims = json!({
            "iss": self.agency.issuer, "sub": "u-77", "aud": CLIENT, "nonce": traveller.parameter("nonce"),
            "iat": now, "exp": now + 300, "auth_time": now,
            "preferred_username": "newcomer", "name": "Nell Newcomer",
        });
        merge(&mut claims, changes);
        claims
    }

    /// Comes back with a code for an ID token.
    async fn come_back(&self, traveller: &mut Traveller<'_>, id_token: &str) -> Page {
        self.agency.hand_out(id_token);
        let url = callback(
            &self.harness,
            &[("code", "c-1"), ("state", &traveller.parameter("state"))],
        );
        traveller.agent.get(&url).await
    }

    /// There and back with claims that differ from the good ones.
    async fn sign_in(&self, changes: Value) -> Page {
        let mut traveller = self.leave().await;
        let token = self.agency.key.sign(&self.claims(&traveller, changes));
        self.come_back(&mut traveller, &token).await
    }

    fn person(&self, username: &str) -> Option<Person> {
        let (store, username) = (self.harness.app.store.clone(), username.to_owned());
        blocking(move || {
            store
                .read_blocking(move |conn| people::find_by_username(conn, &username))
                .unwrap()
        })
    }

    /// The reasons of refused sign-ins, and whether each counts as serious.
    fn refusals(&self) -> Vec<(String, bool)> {
        let failed = events(&self.harness, "login.failed");
        let reason = |body: Value| {
            (
                body["detail"]["reason"].as_str().unwrap().to_owned(),
                body["outcome"] == "8",
            )
        };
        failed.into_iter().map(reason).collect()
    }
}

fn table(issuer: &str, settings: &str) -> String {
    format!(
        "[[identity_provider]]\nid = \"fulton\"\nname = \"Fulton County\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\n\
         secret = \"{SECRET}\"\n{settings}\n"
    )
}

fn callback(harness: &Harness, parameters: &[(&str, &str)]) -> String {
    Url::parse_with_params(&harness.url(CALLBACK), parameters)
        .unwrap()
        .into()
}

/// The bodies of the events of a kind, the oldest first.
pub fn events(harness: &Harness, kind: &'static str) -> Vec<Value> {
    let store = harness.app.store.clone();
    let mut rows = blocking(move || {
        let all = store.read_blocking(|conn| {
            let mut all = Vec::new();
            for log in audit::logs(conn)? {
                all.extend(audit::rows_after(conn, log.id, 0, 100_000)?);
            }
            Ok(all)
        });
        all.unwrap()
    });
    rows.retain(|row| row.kind == kind);
    rows.sort_by_key(|row| row.at_ms);
    rows.iter()
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

/// Approves, and takes what the ID token for the case system says.
async fn told(harness: &Harness, agent: &mut Agent<'_>, consent: &Page) -> Value {
    // Consent may be remembered.
    let code = match consent {
        Page::Elsewhere(_) => consent.parameter("code"),
        Page::Ours { .. } => agent.approve(consent).await.parameter("code"),
    };
    let tokens = redeem(harness, &code.unwrap()).await;
    let claims = tokens.str("id_token").split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

/// Back at the sign-in page, not signed in, with the same words for whatever was wrong.
fn assert_refused(page: &Page, what: &str) {
    assert_eq!(page.at(), "/login", "{what}");
    let text = &page.answer().text;
    assert!(
        text.contains("We could not sign you in with your agency’s account"),
        "{what}: {text}"
    );
}

fn encode(value: &Value) -> String {
    data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// What a test of the refusals has at hand: the stage, a stranger's key under the agency's `kid`, good claims.
type Forge = fn(&Stage, &ClientKey, Value) -> String;

#[tokio::test]
async fn answers_that_do_not_count() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    let stranger = ClientKey::new(Algorithm::ES256, "agency-1");
    #[rustfmt::skip]
    let rows: &[(&str, Forge, &str)] = &[
        ("§3.1.3.7 (2) another issuer", |s, _, c| s.agency.key.sign(&with(c, json!({ "iss": "https://evil.example" }))), "issuer"),
        ("§3.1.3.7 (2) the issuer with a slash", |s, _, c| { let iss = format!("{}/", s.agency.issuer); s.agency.key.sign(&with(c, json!({ "iss": iss }))) }, "issuer"),
        ("§3.1.3.7 (3) another audience", |s, _, c| s.agency.key.sign(&with(c, json!({ "aud": "another" }))), "audience"),
        ("§3.1.3.7 (3) an audience more", |s, _, c| s.agency.key.sign(&with(c, json!({ "aud": [CLIENT, "another"] }))), "audience"),
        ("§3.1.3.7 (3) no audience", |s, _, c| s.agency.key.sign(&with(c, json!({ "aud": null }))), "audience"),
        ("§3.1.3.7 (5) another azp", |s, _, c| s.agency.key.sign(&with(c, json!({ "azp": "another" }))), "azp"),
        ("§3.1.3.7 (6) another key", |_, k, c| k.sign(&c), "Crypto"),
        ("§3.1.3.7 (6) changed claims", |s, _, c| { let token = s.agency.key.sign(&c); let parts: Vec<&str> = token.split('.').collect(); format!("{}.{}.{}", parts[0], encode(&with(c, json!({ "sub": "admin" }))), parts[2]) }, "Crypto"),
        ("§3.1.3.7 (6) an unknown key", |_, _, c| ClientKey::new(Algorithm::ES256, "agency-9").sign(&c), "no published key"),
        ("RFC 8725 §2.1 no signature", |_, _, c| format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "JWT" })), encode(&c)), "signature"),
        ("RFC 8725 §2.1 HS256 with the public key", |s, _, c| { let key = EncodingKey::from_secret(s.agency.key.jwk()["x"].as_str().unwrap().as_bytes()); jsonwebtoken::encode(&Header::new(Algorithm::HS256), &c, &key).unwrap() }, "HS256"),
        ("RFC 8725 §2.1 HS256 with our secret", |_, _, c| jsonwebtoken::encode(&Header::new(Algorithm::HS256), &c, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap(), "HS256"),
        ("RFC 7515 §4.1.11 crit", |s, _, c| s.agency.key.sign_with_header(&json!({ "alg": "ES256", "kid": "agency-1", "crit": ["b64"], "b64": false }), &c), "critical"),
        ("§3.1.3.7 (9) expired", |s, _, c| { let now = s.harness.now(); s.agency.key.sign(&with(c, json!({ "exp": now - 61 }))) }, "Expired"),
        ("§3.1.3.7 (10) issued long ago", |s, _, c| { let now = s.harness.now(); s.agency.key.sign(&with(c, json!({ "iat": now - 601 }))) }, "iat"),
        ("§3.1.3.7 (10) issued in the future", |s, _, c| { let now = s.harness.now(); s.agency.key.sign(&with(c, json!({ "iat": now + 61 }))) }, "iat"),
        ("§3.1.3.7 (11) another nonce", |s, _, c| s.agency.key.sign(&with(c, json!({ "nonce": "another" }))), "nonce"),
        ("§3.1.3.7 (11) no nonce", |s, _, c| s.agency.key.sign(&with(c, json!({ "nonce": null }))), "nonce"),
        ("§3.1.3.6 another access token", |s, _, c| s.agency.key.sign(&with(c, json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }))), "at_hash"),
        ("§2 no sub", |s, _, c| s.agency.key.sign(&with(c, json!({ "sub": null }))), "sub is missing"),
        ("§2 an empty sub", |s, _, c| s.agency.key.sign(&with(c, json!({ "sub": "" }))), "sub must have"),
        ("§2 a sub that is too long", |s, _, c| s.agency.key.sign(&with(c, json!({ "sub": "x".repeat(256) }))), "sub must have"),
        ("§2 no exp", |s, _, c| s.agency.key.sign(&with(c, json!({ "exp": null }))), "exp is missing"),
        ("§2 not a JWT", |_, _, _| "nonsense".to_owned(), "not what OpenID Connect wants"),
    ];
    for (what, forge, reason) in rows {
        // Of several refusals in a minute only the first is recorded by itself.
        stage.harness.clock.advance(61);
        let before = stage.refusals().len();
        let mut traveller = stage.leave().await;
        let token = forge(&stage, &stranger, stage.claims(&traveller, json!({})));
        let page = stage.come_back(&mut traveller, &token).await;
        assert_refused(&page, what);
        assert!(
            !traveller
                .agent
                .cookies
                .keys()
                .any(|name| name.contains("session")),
            "{what}"
        );
        let refusals = stage.refusals();
        let (told, serious) = refusals
            .get(before)
            .unwrap_or_else(|| panic!("{what}: no record"));
        assert!(
            told.to_lowercase().contains(&reason.to_lowercase()) && *serious,
            "{what}: {told}"
        );
        assert!(
            !page.answer().text.contains(told.as_str()),
            "{what}: the page is for the person"
        );
    }
    assert_eq!(stage.person("newcomer"), None, "nobody was let in");
    // The same claims, untouched.
    assert_eq!(stage.sign_in(json!({})).await.at(), "/consent");
}

fn with(mut claims: Value, changes: Value) -> Value {
    merge(&mut claims, changes);
    claims
}

/// Where the browser comes back, and with what.
#[tokio::test]
async fn a_state_belongs_to_one_browser_once_and_for_ten_minutes() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    let token = |traveller: &Traveller<'_>| stage.agency.key.sign(&stage.claims(traveller, json!({})));
    // Login CSRF: the attacker's answer in the victim's browser.
    let mut attacker = stage.leave().await;
    let mut victim = Agent::new(&stage.harness);
    stage.login_page(&mut victim, &[]).await;
    stage.agency.hand_out(&token(&attacker));
    let state = attacker.parameter("state");
    let there = callback(&stage.harness, &[("code", "c"), ("state", &state)]);
    let refused = victim.get(&there).await;
    assert_eq!(refused.answer().status, 400);
    assert!(refused.answer().text.contains("another browser"));
    assert_eq!(
        Agent::new(&stage.harness).get(&there).await.answer().status,
        400,
        "a browser without cookies"
    );
    assert_eq!(
        stage.agency.times_asked("/token"),
        0,
        "no code of a stranger is exchanged"
    );
    // Tampered, missing, doubled.
    let mut tampered = state.clone();
    tampered.replace_range(40..41, if &state[40..41] == "A" { "B" } else { "A" });
    for url in [
        callback(&stage.harness, &[("code", "c"), ("state", &tampered)]),
        callback(&stage.harness, &[("code", "c"), ("state", "short")]),
        callback(&stage.harness, &[("code", "c")]),
        format!("{there}&state=x"),
        format!("{there}&code=x"),
    ] {
        let refused = attacker.agent.get(&url).await;
        assert_eq!(refused.answer().status, 400, "{url}");
    }
    assert_eq!(stage.agency.times_asked("/token"), 0);
    // Once.
    assert_eq!(attacker.agent.get(&there).await.at(), "/consent");
    stage.harness.clock.advance(61);
    assert_refused(&attacker.agent.get(&there).await, "replayed");
    assert_eq!(stage.agency.times_asked("/token"), 1);
    let (reason, serious) = stage.refusals().pop().unwrap();
    assert!(reason.contains("used before") && serious, "{reason}");
    // A pending authorization is no state, and the other way round.
    let sealed = attacker
        .agent
        .hops
        .iter()
        .find_map(|hop| hop.split_once("pending="))
        .unwrap()
        .1
        .to_owned();
    let swapped = callback(&stage.harness, &[("code", "c"), ("state", &sealed)]);
    assert_eq!(attacker.agent.get(&swapped).await.answer().status, 400);
    let swapped = stage.harness.url(&format!("/login?pending={state}"));
    assert_eq!(attacker.agent.get(&swapped).await.answer().status, 400);
    // Ten minutes.
    let mut late = stage.leave().await;
    stage.harness.clock.advance(601);
    let good = token(&late);
    let page = stage.come_back(&mut late, &good).await;
    assert!(
        page.answer().text.contains("You did not finish signing in"),
        "{}",
        page.answer().text
    );
}

/// RFC 9700 §4.4: a hostile provider sends the person on to an honest one, whose code would come back to it.
#[tokio::test]
async fn the_code_of_one_provider_never_reaches_another() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    stage
        .harness
        .apply(&table("https://honest.example", "").replace("\"fulton\"", "\"state\""));
    let mut traveller = stage.leave().await;
    stage
        .agency
        .hand_out(&stage.agency.key.sign(&stage.claims(&traveller, json!({}))));
    let right = callback(
        &stage.harness,
        &[("code", "c"), ("state", &traveller.parameter("state"))],
    );
    for other in ["state", "nobody", "Fulton"] {
        stage.harness.clock.advance(61);
        let wrong = right.replace("/fulton/", &format!("/{other}/"));
        assert_refused(&traveller.agent.get(&wrong).await, other);
        let (reason, serious) = stage.refusals().pop().unwrap();
        assert!(
            reason.contains("redirect URI of") && reason.contains(other) && serious,
            "{reason}"
        );
    }
    assert_eq!(
        stage.harness.get("/login/upstream/callback").await.status,
        405,
        "the one for all is gone"
    );
    assert_eq!(stage.agency.times_asked("/token"), 0);
    assert_eq!(
        traveller.agent.get(&right).await.at(),
        "/consent",
        "where she was sent, it still counts"
    );
}

/// RFC 9207
#[tokio::test]
async fn the_answer_comes_from_where_the_person_was_sent() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    for (promised, iss, accepted) in [
        (false, None, true),
        (false, Some("https://evil.example"), false),
        (true, None, false),
        (true, Some("right"), true),
    ] {
        stage
            .agency
            .discover(json!({ "authorization_response_iss_parameter_supported": promised }));
        stage.harness.clock.advance(601);
        let mut traveller = stage.leave().await;
        stage
            .agency
            .hand_out(&stage.agency.key.sign(&stage.claims(&traveller, json!({}))));
        let state = traveller.parameter("state");
        let mut parameters = vec![("code", "c"), ("state", state.as_str())];
        parameters.extend(iss.map(|iss| ("iss", if iss == "right" { &stage.agency.issuer } else { iss })));
        let asked = stage.agency.times_asked("/token");
        let page = traveller.agent.get(&callback(&stage.harness, &parameters)).await;
        if accepted {
            assert_eq!(page.at(), "/consent", "{promised} {iss:?}");
        } else {
            assert_refused(&page, &format!("{promised} {iss:?}"));
            assert_eq!(
                stage.agency.times_asked("/token"),
                asked,
                "the code stays with us"
            );
        }
    }
}

#[tokio::test]
async fn what_a_provider_is_asked() {
    let stage = Stage::start(
        Db::Sqlite,
        "accounts = \"create\"\nscopes = \"profile groups\"\ntrusted_acr = [\"urn:example:gold\", \"silver\"]",
    );
    let mut traveller = stage.leave().await;
    let (state, nonce) = (traveller.parameter("state"), traveller.parameter("nonce"));
    assert_eq!(traveller.sent_to.path(), "/authorize");
    assert_eq!(traveller.parameter("response_type"), "code");
    assert_eq!(traveller.parameter("client_id"), CLIENT);
    assert_eq!(traveller.parameter("redirect_uri"), stage.harness.url(CALLBACK));
    assert_eq!(traveller.parameter("scope"), "openid profile groups");
    assert_eq!(traveller.parameter("acr_values"), "urn:example:gold silver");
    assert_eq!(traveller.parameter("code_challenge_method"), "S256");
    assert!(nonce.len() >= 43 && !state.contains(&nonce));
    assert_eq!(
        traveller.parameter("max_age"),
        "43200",
        "so that it says auth_time"
    );
    assert!(!traveller.sent_to.query_pairs().any(|(name, _)| name == "prompt"));
    let token = stage.agency.key.sign(&stage.claims(&traveller, json!({})));
    assert_eq!(stage.come_back(&mut traveller, &token).await.at(), "/consent");
    let (_, body, authorization) = stage
        .agency
        .says()
        .asked
        .iter()
        .find(|(path, ..)| path == "/token")
        .cloned()
        .unwrap();
    // RFC 6749 §2.3.1: encoded as a form, then Basic.
    let basic = data_encoding::BASE64.encode(b"mdi-auth:p%2Bw+%2F+s%26c%3Dr%25t");
    assert_eq!(authorization, format!("Basic {basic}"));
    let sent: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let field = |name: &str| {
        sent.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (field("grant_type"), field("code")),
        (Some("authorization_code"), Some("c-1"))
    );
    assert_eq!(field("redirect_uri"), Some(stage.harness.url(CALLBACK).as_str()));
    // RFC 7636 §4.6
    let hash = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        field("code_verifier").unwrap().as_bytes(),
    );
    assert_eq!(
        traveller.parameter("code_challenge"),
        data_encoding::BASE64URL_NOPAD.encode(hash.as_ref())
    );
    // No secret in the form, none in the record.
    assert!(!body.contains("client_secret"));
    let recorded = format!(
        "{:?}{:?}",
        events(&stage.harness, "identity_provider.changed"),
        events(&stage.harness, "login.succeeded")
    );
    assert!(
        recorded.contains("registered") && !recorded.contains(SECRET) && !recorded.contains("u-77"),
        "{recorded}"
    );

    // client_secret_post, and a public client.
    stage.register("auth_method = \"client_secret_post\"");
    stage.sign_in(json!({})).await;
    let (_, body, authorization) = stage.agency.says().asked.last().cloned().unwrap();
    assert!(
        body.contains("client_secret=p%2Bw+%2F") && authorization.is_empty(),
        "{body}"
    );
    stage.harness.apply(
        &table(&stage.agency.issuer, "auth_method = \"none\"").replace(&format!("secret = \"{SECRET}\""), ""),
    );
    stage.sign_in(json!({})).await;
    let (_, body, authorization) = stage.agency.says().asked.last().cloned().unwrap();
    assert!(
        body.contains("client_id=mdi-auth") && !body.contains("secret") && authorization.is_empty(),
        "{body}"
    );
}

/// §3.1.2.1: who asks for a fresh sign-in gets one, or nothing.
#[tokio::test]
async fn a_fresh_sign_in_is_asked_for_and_checked() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    #[rustfmt::skip]
    let rows: &[(&[(&str, &str)], Option<&str>)] = &[
        (&[],                                   None),
        (&[("max_age", "100")],                 Some("100")),
        (&[("prompt", "login")],                Some("0")),
        (&[("prompt", "login"), ("max_age", "100")], Some("0")),
        (&[("scope", "openid __mdi.certify")],  Some("900")),
    ];
    for (changes, max_age) in rows {
        let traveller = stage.leave_asking(changes).await;
        let sent = traveller
            .sent_to
            .query_pairs()
            .find(|(name, _)| name == "max_age")
            .map(|(_, value)| value.into_owned());
        assert_eq!(sent.as_deref(), Some(max_age.unwrap_or("43200")), "{changes:?}");
        assert_eq!(
            traveller.sent_to.query().unwrap().contains("prompt=login"),
            max_age.is_some(),
            "{changes:?}"
        );
    }
    for (age, accepted) in [
        (Some(0), true),
        (Some(160), true),
        (Some(161), false),
        (None, false),
    ] {
        stage.harness.clock.advance(61);
        let mut traveller = stage.leave_asking(&[("max_age", "100")]).await;
        let auth_time = age.map(|age| stage.harness.now() - age);
        let token = stage
            .agency
            .key
            .sign(&stage.claims(&traveller, json!({ "auth_time": auth_time })));
        let page = stage.come_back(&mut traveller, &token).await;
        if accepted {
            assert_eq!(page.at(), "/consent", "{age:?}")
        } else {
            assert_refused(&page, &format!("{age:?}"))
        }
    }
    // auth_time is the provider's; who does not say it counts as long ago, so that nobody certifies on it.
    for (claims, expected) in [
        (json!({ "auth_time": stage.harness.now() - 1000 }), 1000),
        (json!({ "auth_time": null }), 43_200),
    ] {
        let mut traveller = stage.leave().await;
        let token = stage.agency.key.sign(&stage.claims(&traveller, claims));
        let consent = stage.come_back(&mut traveller, &token).await;
        let told = told(&stage.harness, &mut traveller.agent, &consent).await;
        assert_eq!(told["auth_time"], stage.harness.now() - expected);
    }
}

/// §3.1.2.6, and whatever else a provider or a browser may send.
#[tokio::test]
async fn the_person_or_the_provider_turns_back() {
    let stage = Stage::start(Db::Sqlite, "");
    for (error, words) in [
        ("access_denied", "You did not finish signing in with your agency"),
        ("temporarily_unavailable", "does not answer just now"),
        ("server_error", "does not answer just now"),
        (
            "login_required",
            "We could not sign you in with your agency’s account",
        ),
        ("<script>", "We could not sign you in with your agency’s account"),
    ] {
        let mut traveller = stage.leave().await;
        let url = callback(
            &stage.harness,
            &[
                ("error", error),
                ("state", &traveller.parameter("state")),
                ("error_description", "<b>x"),
            ],
        );
        let page = traveller.agent.get(&url).await;
        assert_eq!(page.at(), "/login");
        let text = &page.answer().text;
        assert!(
            text.contains(words) && !text.contains("<b>x") && !text.contains("<script>\""),
            "{error}: {text}"
        );
        // The password still works.
        let code = traveller
            .agent
            .sign_in(page, "norole", crate::harness::PASSWORD)
            .await;
        assert_eq!(code.at(), "/consent");
    }
    // Disabled or deleted while the person was away.
    let mut traveller = stage.leave().await;
    stage.register("enabled = false");
    let token = stage.agency.key.sign(&stage.claims(&traveller, json!({})));
    assert_refused(
        &stage.come_back(&mut traveller, &token).await,
        "disabled meanwhile",
    );
    assert_eq!(stage.agency.times_asked("/token"), 0);
    let mut agent = Agent::new(&stage.harness);
    let page = stage.login_page(&mut agent, &[]).await;
    assert!(
        !page.answer().text.contains("Fulton County</bdi></button>"),
        "not offered"
    );
    // GET does not start anything; unknown providers neither.
    assert_eq!(stage.harness.get(BUTTON).await.status, 405);
    assert_eq!(stage.harness.post(CALLBACK, None, &[]).await.status, 405);
    assert_eq!(
        stage
            .harness
            .post(BUTTON, None, &[("csrf", "x"), ("pending", "x")])
            .await
            .status,
        400
    );
}

/// Upstream down: the page comes at once, says so, and takes the password.
#[tokio::test]
async fn a_provider_that_is_not_there_keeps_nobody_out() {
    let stage = Stage::start(Db::Sqlite, "");
    let good = stage.agency.says().discovery.clone();
    let evil = Script::Redirect("https://127.0.0.1:1/".to_owned());
    let other = |changes: Value| {
        let Script::Json(mut document) = good.clone() else {
            unreachable!()
        };
        merge(&mut document, changes);
        Script::Json(document)
    };
    for (what, script) in [
        ("500", Script::Status(500)),
        ("404", Script::Status(404)),
        ("redirect", evil),
        ("oversized", Script::Huge),
        ("hanging", Script::Hanging),
        ("not JSON", Script::Text("<html>".to_owned())),
        (
            "Discovery §4.3: another issuer",
            other(json!({ "issuer": "https://evil.example" })),
        ),
        ("no jwks_uri", other(json!({ "jwks_uri": null }))),
        (
            "jwks_uri inside",
            other(json!({ "jwks_uri": "https://169.254.169.254/keys" })),
        ),
        (
            "jwks_uri by http",
            other(json!({ "jwks_uri": stage.agency.issuer.replace("https", "http") })),
        ),
        (
            "a script as endpoint",
            other(json!({ "authorization_endpoint": "javascript:alert(1)" })),
        ),
        (
            "http as endpoint",
            other(json!({ "authorization_endpoint": "http://localhost/authorize" })),
        ),
    ] {
        stage.harness.clock.advance(601);
        stage.agency.says().discovery = script;
        let mut agent = Agent::new(&stage.harness);
        let page = stage.login_page(&mut agent, &[]).await;
        // Whoever had waited for a provider that hangs would know of it now.
        let provider = directory(&stage.harness).identity_providers().pop().unwrap();
        let knows = stage
            .harness
            .app
            .identity_providers
            .is_silent(&provider, stage.harness.now());
        assert!(what != "hanging" || !knows, "nobody waits for the provider here");
        let page = agent.submit_to(&page, BUTTON, &[]).await;
        assert!(
            page.answer()
                .text
                .contains("Your agency’s sign-in does not answer just now"),
            "{what}: {}",
            page.answer().text
        );
        assert!(
            page.answer()
                .text
                .contains("<bdi>Fulton County</bdi> does not answer just now"),
            "{what}"
        );
        // For half a minute it is left alone: nobody waits for it again.
        let asked = stage.agency.says().asked.len();
        let page = agent.submit_to(&page, BUTTON, &[]).await;
        assert_eq!(stage.agency.says().asked.len(), asked, "{what}");
        assert_eq!(
            agent.sign_in(page, "norole", crate::harness::PASSWORD).await.at(),
            "/consent",
            "{what}"
        );
    }
    // It comes back: half a minute later it is asked again.
    stage.agency.says().discovery = good;
    stage.harness.clock.advance(31);
    stage.leave().await;
    // The token endpoint is another matter.
    for script in [
        Script::Status(500),
        Script::Hanging,
        Script::Huge,
        Script::Redirect("https://127.0.0.1:1/".to_owned()),
    ] {
        stage.harness.clock.advance(61);
        let mut traveller = stage.leave().await;
        stage.agency.says().token = script.clone();
        let url = callback(
            &stage.harness,
            &[("code", "c"), ("state", &traveller.parameter("state"))],
        );
        let page = traveller.agent.get(&url).await;
        assert!(
            page.answer().text.contains("does not answer just now"),
            "{script:?}"
        );
    }
    stage.harness.clock.advance(61);
    let mut traveller = stage.leave().await;
    stage.agency.says().token = Script::Status(400);
    let url = callback(
        &stage.harness,
        &[("code", "c"), ("state", &traveller.parameter("state"))],
    );
    assert_refused(
        &traveller.agent.get(&url).await,
        "the code was not accepted there",
    );
}

#[tokio::test]
async fn keys_are_kept_and_fetched_again_for_an_unknown_one() {
    let stage = Stage::start(Db::Sqlite, "accounts = \"create\"\nscopes = \"profile\"");
    for _ in 0..3 {
        assert_eq!(stage.sign_in(json!({})).await.at(), "/consent");
    }
    assert_eq!(
        (
            stage.agency.times_asked("/jwks"),
            stage.agency.times_asked("/token")
        ),
        (1, 3),
        "kept"
    );
    // Its next key, of each kind that we accept.
    for (number, algorithm) in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ]
    .into_iter()
    .enumerate()
    {
        let kid = format!("next-{number}");
        let next = ClientKey::new(algorithm, &kid);
        stage.agency.says().jwks = Script::Json(
            json!({ "keys": [stage.agency.key.jwk(), next.jwk(), { "kty": "oct", "k": "AAAA", "kid": kid }] }),
        );
        stage.harness.clock.advance(31);
        let mut traveller = stage.leave().await;
        let token = next.sign(&stage.claims(&traveller, json!({})));
        assert_eq!(
            stage.come_back(&mut traveller, &token).await.at(),
            "/consent",
            "{algorithm:?}"
        );
    }
    let asked = stage.agency.times_asked("/jwks");
    assert_eq!(asked, 6);
    // Nobody makes us ask again and again.
    let unknown = ClientKey::new(Algorithm::ES256, "unknown");
    for _ in 0..3 {
        let mut traveller = stage.leave().await;
        let token = unknown.sign(&stage.claims(&traveller, json!({})));
        assert_refused(&stage.come_back(&mut traveller, &token).await, "unknown kid");
    }
    assert_eq!(stage.agency.times_asked("/jwks"), asked, "cooling down");
}

on_both! {
    async fn accounts_are_made_and_follow_the_mapping(db) {
        let stage = Stage::start(db, r#"
            accounts = "create"
            username_claim = "upn"
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            roles = [
                { claim = "groups", value = "g-registrars", role = "registrar" },
                { claim = "realm_access.roles", value = "clerk", role = "data-clerk" },
            ]
            trusted_amr = ["mfa"]
        "#);
        // Not without a role that the mapping knows.
        assert_refused(&stage.sign_in(json!({ "upn": "rita", "groups": ["others"] })).await, "no role");
        assert_eq!(stage.person("rita"), None);
        // What the ID token lacks stands at the UserInfo endpoint.
        stage.agency.discover(json!({ "userinfo_endpoint": format!("{}/userinfo", stage.agency.issuer) }));
        stage.harness.clock.advance(601);
        let said = json!({ "sub": "u-77", "email": "rita@fulton.example", "email_verified": "true", "groups": ["a", "g-registrars"], "upn": "mallory" });
        stage.agency.says().userinfo = Script::Json(said);
        let consent = stage.sign_in(json!({ "upn": "rita", "name": "Rita Registrar", "amr": ["pwd", "mfa"] })).await;
        assert_eq!(consent.at(), "/consent");
        assert_eq!(stage.agency.says().asked.last().unwrap().2, "Bearer agency-access-token");
        let rita = stage.person("rita").unwrap();
        assert_eq!(rita.name, "Rita Registrar");
        assert_eq!(rita.settings.roles, ["registrar"]);
        assert_eq!(rita.settings.agency.as_deref(), Some("fulton-county-me"));
        assert_eq!((rita.settings.email.as_deref(), rita.settings.email_verified), (Some("rita@fulton.example"), true));
        assert_eq!(rita.settings.provisioned_by.as_deref(), Some("fulton"));
        assert_eq!(rita.password, None);
        let linked = events(&stage.harness, "identity.linked").pop().unwrap();
        assert_eq!((&linked["detail"]["provider"], &linked["person_id"]), (&json!("fulton"), &json!(rita.id)));
        let login = events(&stage.harness, "login.succeeded").pop().unwrap();
        assert_eq!((&login["detail"]["provider"], &login["detail"]["amr"]), (&json!("fulton"), &json!("fed mfa")));
        assert_eq!(login["detail"]["subject_hash"], linked["detail"]["subject_hash"]);
        // UserInfo of somebody else (§5.3.2), or none.
        stage.agency.says().userinfo = Script::Json(json!({ "sub": "u-78", "groups": ["g-registrars"] }));
        assert_refused(&stage.sign_in(json!({ "upn": "rita" })).await, "another sub");
        stage.agency.says().userinfo = Script::Status(500);
        let page = stage.sign_in(json!({ "upn": "rita" })).await;
        assert!(page.answer().text.contains("does not answer just now"));
        stage.harness.clock.advance(31);
        assert_eq!(stage.person("rita").unwrap().settings.roles, ["registrar"], "silence takes nothing away");

        // The same person with other groups: roles follow, what was granted ends.
        stage.agency.says().userinfo = Script::Status(404);
        let all = json!({ "upn": "renamed", "email": "new@fulton.example", "amr": ["mfa"] });
        let same = with(all.clone(), json!({ "groups": "g-registrars", "realm_access": {} }));
        assert_eq!(stage.sign_in(same).await.at(), "/consent");
        let kept = stage.person("rita").unwrap();
        assert_eq!(kept.generation, rita.generation, "nothing changed");
        let clerk = with(all.clone(), json!({ "groups": [], "realm_access": { "roles": ["clerk"] } }));
        assert_eq!(stage.sign_in(clerk).await.at(), "/consent");
        let moved = stage.person("rita").unwrap();
        assert_eq!((moved.settings.roles.as_slice(), moved.generation), (["data-clerk".to_owned()].as_slice(), rita.generation + 1));
        assert_eq!(stage.person("renamed"), None, "the subject counts, not the name");
        let none = with(all.clone(), json!({ "groups": [], "realm_access": {} }));
        assert_eq!(stage.sign_in(none).await.at(), "/consent", "without roles, but still who she is");
        assert!(stage.person("rita").unwrap().settings.roles.is_empty());
        // Disabled is disabled.
        stage.harness.disable_user("rita");
        stage.harness.clock.advance(61);
        let gone = with(all, json!({ "groups": [], "realm_access": {} }));
        assert_refused(&stage.sign_in(gone).await, "disabled");
        let (reason, _) = stage.refusals().pop().unwrap();
        assert_eq!(reason, "account disabled");
        // Somebody else's username is not taken over.
        let foreign = json!({ "sub": "u-99", "upn": "JLehz", "groups": ["g-registrars"] });
        assert_refused(&stage.sign_in(foreign).await, "taken");
        let store = stage.harness.app.store.clone();
        assert_eq!(blocking(move || store.read_blocking(|conn| stored::count_links(conn, "fulton")).unwrap()), 1);
    }
}

on_both! {
    async fn invited_people_are_linked_once(db) {
        let stage = Stage::start(db, r#"accounts = "invited"
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            roles = [{ claim = "groups", value = "g", role = "registrar" }]
        "#);
        stage.harness.apply(r#"
            [[user]]
            username = "ann"
            name = "Ann Analyst"
            roles = ["data-clerk"]
            email = "Ann@Fulton.example"
            email_verified = true
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            [[user]]
            username = "unproved"
            name = "Uma Unproved"
            email = "uma@fulton.example"
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            [[user]]
            username = "elsewhere"
            name = "Ellis Elsewhere"
            email = "ellis@dekalb.example"
            email_verified = true
            organization = { name = "DeKalb County ME", id = "urn:oid:2.16.840.1.113883.3.9999.7" }
            [[user]]
            username = "root"
            name = "Ada Administrator"
            roles = ["administrator"]
            email = "ada@fulton.example"
            email_verified = true
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            [[user]]
            username = "twin-1"
            name = "Twin"
            email = "twins@fulton.example"
            email_verified = true
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
            [[user]]
            username = "twin-2"
            name = "Twin"
            email = "twins@fulton.example"
            email_verified = true
            organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
        "#);
        let by = |sub: &str, email: &str, verified: bool| json!({ "sub": sub, "email": email, "email_verified": verified });
        for (claims, reason) in [
            (by("u-1", "ann@fulton.example", false), "not exactly one account"),
            (by("u-1", "ann@fulton.example.evil", true), "not exactly one account"),
            (by("u-1", "%@fulton.example", true), "not exactly one account"),
            (by("u-1", "uma@fulton.example", true), "not exactly one account"),
            (by("u-1", "twins@fulton.example", true), "not exactly one account"),
            // Of another agency nobody is looked for: it could else keep this one's people out.
            (by("u-1", "ellis@dekalb.example", true), "not exactly one account"),
            (by("u-1", "ada@fulton.example", true), "role of the console"),
            // The username counts only where somebody said which claim holds it.
            (with(by("u-1", "nobody@fulton.example", true), json!({ "preferred_username": "ann" })), "not exactly one account"),
        ] {
            stage.harness.clock.advance(61);
            assert_refused(&stage.sign_in(claims.clone()).await, &claims.to_string());
            let (told, _) = stage.refusals().pop().unwrap();
            assert!(told.contains(reason), "{claims}: {told}");
        }
        assert_eq!(stage.sign_in(with(by("u-1", "ann@fulton.example", true), json!({ "groups": ["g"] }))).await.at(), "/login/set-up");
        let ann = stage.person("ann").unwrap();
        assert_eq!(ann.settings.roles, ["data-clerk"], "roles are an administrator's");
        // A second identity for the same account is refused; the first needs no address any more.
        stage.harness.clock.advance(61);
        assert_refused(&stage.sign_in(by("u-2", "ann@fulton.example", true)).await, "linked already");
        assert_eq!(stage.refusals().pop().unwrap().0, USED);
        assert_eq!(stage.sign_in(json!({ "sub": "u-1" })).await.at(), "/login/set-up");
        // The administrator links her by hand, and takes it away again.
        let registry = stage.harness.registry();
        let root = blocking({
            let registry = registry.clone();
            move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-3", "root")).unwrap()
        });
        assert_eq!(stage.sign_in(json!({ "sub": "u-3" })).await.at(), "/login/set-up");
        let id = root.person_id.clone();
        blocking({
            let registry = registry.clone();
            move || registry.blocking(move |registry, tx| identity_providers::unlink(registry, tx, "fulton", "u-3", Some(&id))).unwrap()
        });
        let foreign = ann.id.clone();
        let wrong = blocking(move || registry.blocking(move |registry, tx| {
            identity_providers::unlink(registry, tx, "fulton", "u-1", Some(&format!("{foreign}x")))
        }));
        assert!(wrong.is_err(), "not somebody else's");
        assert_refused(&stage.sign_in(json!({ "sub": "u-3" })).await, "unlinked");
        // By username, where somebody set the claim; and roles, where the provider manages them.
        stage.register("username_claim = \"upn\"\nmanage_roles = true");
        stage.harness.clock.advance(61);
        assert_refused(&stage.sign_in(json!({ "sub": "u-4", "upn": "unproved", "email": "ada@fulton.example", "email_verified": true })).await, "two different accounts");
        assert_eq!(stage.sign_in(json!({ "sub": "u-4", "upn": "UNPROVED" })).await.at(), "/consent");
        assert_eq!(stage.sign_in(json!({ "sub": "u-1", "groups": ["g"] })).await.at(), "/login/set-up");
        assert_eq!(stage.person("ann").unwrap().settings.roles, ["registrar"]);
    }
}

/// What is somebody's already is taken over by no provider: an administrator has to link it.
const USED: &str = "the account was used or linked before: an administrator has to link it";

on_both! {
    async fn accounts_that_were_used_are_linked_by_hand_alone(db) {
        let stage = Stage::start(db, r#"accounts = "invited"
            username_claim = "upn"
            agency = "fulton-county-me"
        "#);
        stage.harness.apply(&table("https://state.example", "").replace("\"fulton\"", "\"state\""));
        for (username, factor) in [
            ("kim", "password = \"correct horse battery staple\""),
            ("fay", "totp_secret = \"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\""),
            ("pat", ""),
            ("jo", ""),
            ("ann", ""),
        ] {
            stage.harness.apply(&format!(
                "[[user]]\nusername = {username:?}\nname = \"One\"\n{factor}\nemail = \"{username}@fulton.example\"\n\
                 email_verified = true\nagency = \"fulton-county-me\"\n"
            ));
        }
        let (store, pat) = (stage.harness.app.store.clone(), stage.person("pat").unwrap().id);
        let passkey = StoredPasskey {
            id: "AAAA".to_owned(), person_id: pat, name: "key".to_owned(), credential: "{}".to_owned(), created_at: 1, last_used_at: None,
        };
        assert!(blocking(move || store.write_blocking(move |tx| passkeys::add(tx.conn(), &passkey)).unwrap()));
        let registry = stage.harness.registry();
        blocking({
            let registry = registry.clone();
            move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "state", "s-1", "jo")).unwrap()
        });
        // She signs in once, and is unlinked.
        let ann = json!({ "sub": "u-1", "upn": "Ann" });
        assert_eq!(stage.sign_in(ann.clone()).await.at(), "/consent");
        let unlinked = registry.clone();
        let ended = blocking(move || unlinked.blocking(|registry, tx| identity_providers::unlink(registry, tx, "fulton", "u-1", None)).unwrap());
        // What she began there does not outlive the link.
        assert_eq!(ended, 1);
        let store = stage.harness.app.store.clone();
        let left = blocking(move || store.read_blocking(|conn| sessions::of_provider(conn, "fulton", None)).unwrap());
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(stage.harness.events("identity.linked").pop().unwrap()["detail"]["sessions_ended"], "1");
        for (claims, reason) in [
            (ann, USED),
            (json!({ "upn": "kim" }), USED),
            (json!({ "email": "kim@fulton.example", "email_verified": true }), USED),
            (json!({ "upn": "fay" }), USED),
            (json!({ "upn": "pat" }), USED),
            (json!({ "upn": "jo" }), USED),
            // KELVIN SIGN is a k in small letters, and yet somebody else's name and mailbox.
            (json!({ "upn": "\u{212a}im" }), "not exactly one account"),
            (json!({ "email": "\u{212a}im@fulton.example", "email_verified": true }), "not exactly one account"),
        ] {
            stage.harness.clock.advance(61);
            assert_refused(&stage.sign_in(claims.clone()).await, &claims.to_string());
            let (told, _) = stage.refusals().pop().unwrap();
            assert!(told.contains(reason), "{claims}: {told}");
        }
    }
}

on_both! {
    async fn the_second_factor_of_others_counts_as_far_as_it_is_trusted(db) {
        let stage = Stage::start(db, "trusted_acr = [\"urn:example:gold\"]\ntrusted_amr = [\"mfa\"]");
        let registry = stage.harness.registry();
        blocking(move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-77", "clerk")).unwrap());
        // Whether the person goes on, and what is told of her.
        for (claims, trusted) in [
            (json!({ "acr": "urn:example:gold" }), true),
            (json!({ "amr": ["pwd", "mfa"] }), true),
            (json!({ "acr": "urn:example:silver", "amr": ["pwd", "otp"] }), false),
            (json!({ "acr": "urn:mdi:acr:aal2" }), false),
            (json!({}), false),
        ] {
            stage.harness.clock.advance(61);
            let mut traveller = stage.leave().await;
            let token = stage.agency.key.sign(&stage.claims(&traveller, claims.clone()));
            let page = stage.come_back(&mut traveller, &token).await;
            let consent = if trusted {
                page
            } else {
                assert_eq!(page.at(), "/login/second-factor", "{claims}");
                traveller.agent.submit(&page, &[("totp", &totp(stage.harness.now()))]).await
            };
            let told = told(&stage.harness, &mut traveller.agent, &consent).await;
            assert_eq!(told["acr"], "urn:mdi:acr:aal2", "{claims}");
            let amr = if trusted { json!(["fed", "mfa"]) } else { json!(["fed", "otp"]) };
            assert_eq!(told["amr"], amr, "{claims}");
        }
        // Whoever has no second factor and needs none is told as what she is.
        let registry = stage.harness.registry();
        blocking(move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-78", "norole")).unwrap());
        let mut traveller = stage.leave().await;
        let token = stage.agency.key.sign(&stage.claims(&traveller, json!({ "sub": "u-78" })));
        let consent = stage.come_back(&mut traveller, &token).await;
        let told = told(&stage.harness, &mut traveller.agent, &consent).await;
        assert_eq!((&told["acr"], &told["amr"]), (&json!("urn:mdi:acr:aal1"), &json!(["fed"])));
    }
}

on_both! {
    async fn guesses_at_a_password_lock_the_password_or_the_account(db) {
        for covers in [LockoutCovers::Password, LockoutCovers::Account] {
            let stage = Stage::start_with(db, "", |config| config.login.lockout_covers = covers);
            let registry = stage.harness.registry();
            blocking(move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-78", "norole")).unwrap());
            for _ in 0..5 {
                let mut agent = Agent::new(&stage.harness);
                let page = stage.login_page(&mut agent, &[]).await;
                agent.submit(&page, &[("username", "norole"), ("password", "a wrong guess, again")]).await;
            }
            stage.harness.clock.advance(61);
            let page = stage.sign_in(json!({ "sub": "u-78" })).await;
            match covers {
                LockoutCovers::Password => assert_eq!(page.at(), "/consent"),
                LockoutCovers::Account => assert_refused(&page, "locked"),
            }
        }
    }
}

on_both! {
    async fn a_passkey_alone_does_not_outlive_the_account_at_the_provider(db) {
        let stage = Stage::start(db, r#"
            accounts = "create"
            roles = [{ claim = "groups", value = "g", role = "data-clerk" }]
        "#);
        let claims = json!({ "groups": ["g"] });
        let mut traveller = stage.leave().await;
        let token = stage.agency.key.sign(&stage.claims(&traveller, claims.clone()));
        let choice = stage.come_back(&mut traveller, &token).await;
        let page = traveller.agent.submit(&choice, &[("choice", "passkey")]).await;
        let mut key = Authenticator::new(&stage.harness);
        let codes = traveller.agent.submit(&page, &[("name", "Blue key"), ("credential", &key.create(&page))]).await;
        assert_eq!(traveller.agent.submit(&codes, &[("do", "kept")]).await.at(), "/consent");
        // Alone it is refused like any other, as often as she tries, and locks nothing.
        for _ in 0..6 {
            stage.harness.clock.advance(61);
            let refused = with_passkey(&stage, &mut key).await;
            assert_eq!(refused.at(), "/login");
            assert!(refused.answer().text.contains("We could not accept that passkey"), "{}", refused.answer().text);
            assert!(stage.refusals().pop().unwrap().0.contains("on top of its sign-in alone"));
        }
        assert!(events(&stage.harness, "login.locked").is_empty());
        // On top of the provider's sign-in it counts.
        let mut traveller = stage.leave().await;
        let token = stage.agency.key.sign(&stage.claims(&traveller, claims));
        let second = stage.come_back(&mut traveller, &token).await;
        assert_eq!(second.at(), "/login/second-factor");
        let answer = key.get(&second);
        let next = traveller.agent.submit_to(&second, "/login/second-factor/passkey", &[("credential", &answer)]).await;
        let told = told(&stage.harness, &mut traveller.agent, &next).await;
        assert_eq!((&told["acr"], &told["amr"]), (&json!("urn:mdi:acr:aal2"), &json!(["fed", "pop", "mfa"])));
    }
}

/// With a passkey alone.
async fn with_passkey(stage: &Stage, key: &mut Authenticator) -> Page {
    let mut agent = Agent::new(&stage.harness);
    let login = stage.login_page(&mut agent, &[]).await;
    let answer = key.get(&login);
    agent
        .submit_to(&login, "/login/passkey", &[("credential", &answer)])
        .await
}

/// `mdi-auth apply`: each mistake in its words.
#[tokio::test]
async fn a_registration_with_mistakes_is_refused() {
    let stage = Stage::start(Db::Sqlite, "");
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str)] = &[
        ("id = \"fulton\"",       "id = \"a b\"",           "characters"),
        ("issuer = \"ISSUER\"",   "issuer = \"http://idp.example\"", "https://"),
        ("issuer = \"ISSUER\"",   "issuer = \"https://10.0.0.1/\"",  "allow_networks"),
        ("issuer = \"ISSUER\"",   "issuer = \"https://idp.example/?x=1\"", "query"),
        ("issuer = \"ISSUER\"",   "issuer = \"https://idp.example/.well-known/openid-configuration\"", "before /.well-known"),
        ("issuer = \"ISSUER\"",   "issuer = \"https://login.microsoftonline.com/common/v2.0\"", "tenant"),
        ("issuer = \"ISSUER\"",   "issuer = \"SELF\"",      "this server itself"),
        ("client_id = \"mdi-auth\"", "",                    "client_id"),
        ("SECRETLINE",            "",                       "auth_method none"),
        ("SECRETLINE",            "secret = 7",             "it must be a text"),
        ("EXTRA",                 "auth_method = \"none\"", "of no use"),
        ("EXTRA",                 "auth_method = \"private_key_jwt\"", "not supported"),
        ("EXTRA",                 "accounts = \"anybody\"", "is not one of"),
        ("EXTRA",                 "accounts = \"invited\"", "agency: it is missing"),
        ("EXTRA",                 "manage_roles = true",    "without roles"),
        ("EXTRA",                 "trusted_amr = [\"pwd\"]", "second factor"),
        ("EXTRA",                 "scopes = [\"öpenid\"]",  "ASCII"),
        ("EXTRA",                 "roles = [{ claim = \"groups\", value = \"g\", role = \"king\" }]", "no role king"),
        ("EXTRA",                 "roles = [{ claim = \"groups\", value = \"g\", role = \"administrator\" }]", "console = true"),
        ("EXTRA",                 "roles = [{ claim = \"groups\", value = \"\", role = \"registrar\" }]", "empty"),
        ("EXTRA",                 "roles = [{ claim = \"groups\", value = \"g\", role = \"registrar\", els = 1 }]", "els"),
        ("EXTRA",                 "colour = 1",             "colour"),
    ];
    let base = table("ISSUER", "EXTRA").replace(&format!("secret = \"{SECRET}\""), "SECRETLINE");
    for (place, change, words) in rows {
        let text = base
            .replace(place, change)
            .replace("SECRETLINE", "secret = \"s\"")
            .replace("EXTRA", "")
            .replace("ISSUER", "https://idp.example")
            .replace("SELF", &stage.harness.issuer)
            .replace("id = \"fulton\"", "id = \"other\"");
        let registry = stage.harness.registry();
        let outcome = blocking(move || apply::apply(&registry, &text, false));
        let Err(ApplyError::Mistakes(mistakes)) = outcome else {
            panic!("{change}: {outcome:?}")
        };
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(words)),
            "{change}: {mistakes:?}"
        );
    }
    let allowed = "roles = [{ claim = \"groups\", value = \"g\", role = \"administrator\", console = true }]";
    stage.register(allowed);
    // A second time nothing changes; a new secret is a change, and never shown.
    let again = stage.harness.apply(&table(&stage.agency.issuer, allowed));
    assert_eq!(again.lines, ["= identity_provider fulton"]);
    let changed = stage
        .harness
        .apply(&table(&stage.agency.issuer, allowed).replace(SECRET, "another"));
    assert_eq!(changed.lines, ["~ identity_provider fulton: secret set"]);
}

on_both! {
    async fn a_new_master_key_opens_the_secrets_too(db) {
        let stage = Stage::start(db, "accounts = \"create\"\nscopes = \"profile\"");
        let (dir, registry) = (TempDir::new(), stage.harness.registry());
        let file = dir.path().join("new.key");
        let (new_file, before) = (file.clone(), registry.clone());
        let done = blocking(move || keys::rewrap(&before, &new_file).unwrap());
        assert_eq!(done.upstream_secrets, 1);
        let app = registry.app().clone();
        let provider = blocking(move || app.store.read_blocking(|conn| registered::find::<IdentityProviderSettings>(conn, "fulton")).unwrap()).unwrap();
        let master = mdi_auth::secrets::master_key::MasterKey::from_file(&file, mdi_auth::clock::Entropy).unwrap();
        let purpose = mdi_auth::secrets::master_key::Purpose::UpstreamSecret;
        assert_eq!(master.open(purpose, "fulton", provider.sealed.as_ref().unwrap()).unwrap().as_slice(), SECRET.as_bytes());
        assert!(registry.app().master.open(purpose, "fulton", provider.sealed.as_ref().unwrap()).is_err());
    }
}

on_both! {
    async fn what_began_at_a_provider_ends_with_it(db) {
        let stage = Stage::start(db, "trusted_amr = [\"mfa\"]");
        let harness = &stage.harness;
        let registry = harness.registry();
        blocking(move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-77", "clerk")).unwrap());
        let sign_in = async || {
            let mut traveller = stage.leave_asking(&[("scope", "openid user/Patient.rs offline_access"), ("aud", EDRS_BASE)]).await;
            let token = stage.agency.key.sign(&stage.claims(&traveller, json!({ "amr": ["pwd", "mfa"] })));
            let page = stage.come_back(&mut traveller, &token).await;
            let code = match &page {
                Page::Elsewhere(_) => page.parameter("code"),
                Page::Ours { .. } => traveller.agent.approve(&page).await.parameter("code"),
            };
            (traveller.agent, redeem(harness, &code.unwrap()).await)
        };
        // Only the agency knows when somebody has left: after 12 hours it is asked again, however often access was refreshed.
        let (_, tokens) = sign_in().await;
        let mut held = tokens.str("refresh_token").to_owned();
        for _ in 0..2 {
            harness.clock.advance(5 * 3600 + 1800);
            let refreshed = refresh(harness, &held).await;
            assert_eq!(refreshed.status, 200, "{refreshed:?}");
            held = refreshed.str("refresh_token").to_owned();
        }
        harness.clock.advance(3600);
        let refused = refresh(harness, &held).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
        // Switched off, it ends what began there, at once and for good.
        for delete in [false, true] {
            let (mut agent, tokens) = sign_in().await;
            assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], true);
            let registry = harness.registry();
            blocking(move || registry.blocking(move |registry, tx| {
                if delete {
                    return Ok(noun::delete::<IdentityProviderSettings>(registry, tx, "fulton")?.map(|_| true));
                }
                noun::set_enabled::<IdentityProviderSettings>(registry, tx, "fulton", false)
            }).unwrap());
            assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await, json!({ "active": false }), "{delete}");
            let refused = refresh(harness, tokens.str("refresh_token")).await;
            assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{delete}");
            assert_eq!(agent.get(&harness.url("/account")).await.at(), "/login", "{delete}");
            let registry = harness.registry();
            if !delete {
                // Nor does a grant hold that was written while its provider was being disabled.
                let revoked_at = |value: &'static str| {
                    let (store, sql) = (harness.app.store.clone(), format!("UPDATE grants SET revoked_at = {value}"));
                    blocking(move || store.write_blocking(move |tx| Ok(match tx.conn() {
                        Conn::Sqlite(conn) => diesel::sql_query(&sql).execute(conn)?,
                        Conn::Pg(conn) => diesel::sql_query(&sql).execute(conn.as_mut())?,
                    }))).unwrap();
                };
                revoked_at("NULL");
                let slipped_through = refresh(harness, tokens.str("refresh_token")).await;
                assert!(slipped_through.description().contains("was switched off"), "{slipped_through:?}");
                revoked_at("1");
                blocking(move || registry.blocking(|registry, tx| noun::set_enabled::<IdentityProviderSettings>(registry, tx, "fulton", true)).unwrap());
                let revived = refresh(harness, tokens.str("refresh_token")).await;
                assert_eq!(revived.status, 400, "nothing comes back");
            }
        }
        let changed = harness.events("identity_provider.changed");
        let ended = |action: &str| {
            let event = changed.iter().find(|event| event["detail"]["action"] == action).unwrap();
            event["detail"]["sessions_ended"].as_str().unwrap().to_owned()
        };
        // The first one was open all the while.
        assert_eq!((ended("disabled").as_str(), ended("deleted").as_str()), ("2", "1"));
    }
}

on_both! {
    async fn deleting_a_provider_parts_the_accounts(db) {
        let stage = Stage::start(db, "accounts = \"create\"\nscopes = \"profile\"");
        assert_eq!(stage.sign_in(json!({})).await.at(), "/consent");
        let registry = stage.harness.registry();
        blocking(move || registry.blocking(|registry, tx| noun::delete::<IdentityProviderSettings>(registry, tx, "fulton")).unwrap());
        let deleted = stage.harness.events("identity_provider.changed").pop().unwrap();
        assert_eq!((&deleted["detail"]["action"], &deleted["detail"]["links"]), (&json!("deleted"), &json!("1")));
        assert!(directory(&stage.harness).identity_providers().is_empty());
        let newcomer = stage.person("newcomer").unwrap();
        let store = stage.harness.app.store.clone();
        let left = blocking(move || store.read_blocking(move |conn| stored::links_of_person(conn, &newcomer.id)).unwrap());
        assert!(left.is_empty());
        // Registered again: the old account is not handed to whoever comes first.
        stage.register("accounts = \"create\"\nscopes = \"profile\"");
        assert_refused(&stage.sign_in(json!({})).await, "the username is taken");
    }
}

fn directory(harness: &Harness) -> &Live {
    &harness.app.live
}

/// `mdi-auth identity-provider test`
#[tokio::test]
async fn an_engineer_is_told_what_is_found() {
    let stage = Stage::start(Db::Sqlite, "trusted_acr = \"gold\"");
    let provider = stage.harness.app.live.identity_provider("fulton").unwrap();
    let examine = async || {
        let found = stage
            .harness
            .app
            .identity_providers
            .examine(&provider, &stage.harness.url(CALLBACK))
            .await;
        let problems = found.iter().filter(|finding| finding.problem).count();
        (
            problems,
            found
                .into_iter()
                .map(|finding| finding.text)
                .collect::<Vec<_>>()
                .join("\n"),
        )
    };
    let (problems, text) = examine().await;
    assert_eq!(problems, 0, "{text}");
    assert!(
        text.contains("fresh sign-in: it shows a page for max_age=0 and prompt=login"),
        "{text}"
    );
    let asked = stage
        .agency
        .says()
        .asked
        .iter()
        .any(|(path, ..)| path == "/authorize");
    assert!(asked, "the request of somebody who has to sign in anew was tried");
    // It says at once that it would not have it.
    let refusal = format!("{}?error=invalid_request&state=test", stage.harness.url(CALLBACK));
    for (answer, told) in [
        (
            Script::Redirect(refusal),
            "it answers invalid_request to max_age=0 and prompt=login",
        ),
        (
            Script::Status(400),
            "it answers 400 Bad Request to max_age=0 and prompt=login",
        ),
    ] {
        stage.agency.says().authorize = answer;
        let (problems, text) = examine().await;
        assert!(problems == 1 && text.contains(told), "{text}");
    }
    stage.agency.says().authorize = Script::Text("a page".to_owned());
    assert!(
        text.contains(&stage.harness.url(CALLBACK)) && text.contains("ES256, RS256")
            || text.contains("RS256, ES256"),
        "{text}"
    );
    stage.agency.discover(json!({
        "id_token_signing_alg_values_supported": ["HS256"], "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint": null, "acr_values_supported": ["silver"],
    }));
    stage.agency.says().jwks = Script::Json(json!({ "keys": [] }));
    let (problems, text) = examine().await;
    assert_eq!(problems, 4, "{text}");
    assert!(
        text.contains("HS256") && text.contains("private_key_jwt") && text.contains("gold"),
        "{text}"
    );
    stage.agency.says().discovery = Script::Status(404);
    let (problems, text) = examine().await;
    assert!(problems == 1 && text.contains("404"), "{text}");
}

/// The system-use notice comes first, whichever way somebody signs in; and people sign in for our own pages too.
#[tokio::test]
async fn the_notice_comes_first_and_our_own_pages_know_the_way() {
    let agency = Agency::start();
    let ca = agency.ca.clone();
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.outbound.allow_loopback = true;
        config.outbound.extra_ca_file = Some(ca);
        config.server.banner = Some("For authorized use only.".to_owned());
    });
    let stage = Stage { agency, harness };
    stage.register("trusted_amr = \"mfa\"");
    let registry = stage.harness.registry();
    blocking(move || {
        let link = registry
            .blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-77", "clerk"));
        link.unwrap()
    });
    let mut agent = Agent::new(&stage.harness);
    let notice = agent.get(&stage.harness.url("/account/authenticator")).await;
    assert_eq!(notice.at(), "/login/notice");
    let mut forged = agent.get(&stage.harness.url("/account/authenticator")).await;
    if let Page::Ours { answer, .. } = &mut forged {
        answer.text = answer.text.replace("/login/notice", BUTTON);
    }
    let skipped = agent.submit_to(&forged, BUTTON, &[]).await;
    assert_eq!(skipped.at(), "/login/notice");
    let login = agent.submit(&notice, &[]).await;
    assert_eq!(login.at(), "/login");
    let policy = login.answer().header("content-security-policy");
    assert!(policy.contains("form-action 'self' https:;"), "{policy}");
    let sent_to = agent.submit_to(&login, BUTTON, &[]).await.elsewhere().clone();
    let mut traveller = Traveller { agent, sent_to };
    let token = stage
        .agency
        .key
        .sign(&stage.claims(&traveller, json!({ "amr": ["mfa"] })));
    let page = stage.come_back(&mut traveller, &token).await;
    assert_eq!(page.at(), "/account/authenticator", "{}", page.answer().text);
    let login = events(&stage.harness, "login.succeeded").pop().unwrap();
    assert_eq!(
        (&login["detail"]["notice"], &login["detail"]["second_factor"]),
        (&json!("acknowledged"), &json!("trusted"))
    );
    let account = traveller.agent.get(&stage.harness.url("/account")).await;
    let text = &account.answer().text;
    let linked = text
        .split("Your agency’s sign-in")
        .nth(1)
        .unwrap()
        .split("</li>")
        .next()
        .unwrap();
    assert!(
        linked.contains("Fulton County") && linked.contains("Last used"),
        "{linked}"
    );
    assert_eq!(
        text.matches("with Fulton County").count(),
        2,
        "the session and the sign-in say how: {text}"
    );
}

on_both! {
    async fn a_code_makes_no_sign_in_of_an_agency_younger(db) {
        let stage = Stage::start(db, "");
        let registry = stage.harness.registry();
        blocking(move || registry.blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-77", "jlehz")).unwrap());
        let certify = [("scope", "openid __mdi.certify"), ("aud", EDRS_BASE)];
        let began = stage.harness.now() - 8 * 3600;
        let mut traveller = stage.leave().await;
        let token = stage.agency.key.sign(&stage.claims(&traveller, json!({ "auth_time": began })));
        let second = stage.come_back(&mut traveller, &token).await;
        assert_eq!(second.at(), "/login/second-factor");
        let consent = traveller.agent.submit(&second, &[("totp", &totp(stage.harness.now()))]).await;
        assert_eq!(told(&stage.harness, &mut traveller.agent, &consent).await["auth_time"], began);
        // A morning's sign-in and one code certify nothing, and open no page that adds a passkey.
        let login = traveller.agent.get(&authorize_url(&stage.harness, &certify)).await;
        assert_eq!(login.at(), "/login");
        assert_eq!(traveller.agent.get(&stage.harness.url("/account/passkeys/add")).await.at(), "/login");
        // Asked again there, she certifies.
        traveller.sent_to = traveller.agent.submit_to(&login, BUTTON, &[]).await.elsewhere().clone();
        assert_eq!(traveller.parameter("max_age"), "0");
        stage.harness.clock.advance(61);
        let token = stage.agency.key.sign(&stage.claims(&traveller, json!({})));
        let second = stage.come_back(&mut traveller, &token).await;
        let consent = traveller.agent.submit(&second, &[("totp", &totp(stage.harness.now()))]).await;
        assert_eq!(consent.at(), "/consent");
        let told = told(&stage.harness, &mut traveller.agent, &consent).await;
        assert_eq!(told["auth_time"], stage.harness.now());
    }
}

/// What the provider is sent where a sign-in has to be fresh, and what it must say then.
#[tokio::test]
async fn a_provider_is_asked_anew_as_it_can_be_asked() {
    let stage = Stage::start(Db::Sqlite, "");
    let registry = stage.harness.registry();
    blocking(move || {
        registry
            .blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "u-77", "norole"))
            .unwrap()
    });
    // The setting, whether max_age and prompt=login are sent, and whether an ID token without auth_time will do.
    for (setting, max_age, prompt, untold) in [
        ("", Some("0"), true, false),
        ("reauthenticate = \"max_age\"", Some("0"), true, false),
        ("reauthenticate = \"prompt_login\"", None, true, true),
    ] {
        stage.harness.clock.advance(61);
        stage.register(setting);
        let mut traveller = stage.leave_asking(&[("prompt", "login")]).await;
        let sent: HashMap<String, String> = traveller.sent_to.query_pairs().into_owned().collect();
        assert_eq!(sent.get("max_age").map(String::as_str), max_age, "{setting}");
        assert_eq!(
            sent.get("prompt").is_some_and(|prompt| prompt == "login"),
            prompt,
            "{setting}"
        );
        let left = stage.harness.now();
        stage.harness.clock.advance(20);
        let token = stage
            .agency
            .key
            .sign(&stage.claims(&traveller, json!({ "auth_time": null })));
        let page = stage.come_back(&mut traveller, &token).await;
        if untold {
            let told = told(&stage.harness, &mut traveller.agent, &page).await;
            assert_eq!(told["auth_time"], left, "{setting}");
        } else {
            assert_refused(&page, setting);
        }
        // What it does say must be young enough, whichever way it was asked.
        let mut traveller = stage.leave_asking(&[("prompt", "login")]).await;
        let old = json!({ "auth_time": stage.harness.now() - 300 });
        let token = stage.agency.key.sign(&stage.claims(&traveller, old));
        assert_refused(&stage.come_back(&mut traveller, &token).await, setting);
    }
    // One that never asks again: the sign-in is as old as it is, and what wants a fresh one says why it is refused.
    stage.register("reauthenticate = \"none\"");
    let mut traveller = stage.leave_asking(&[("max_age", "60")]).await;
    let query = traveller.sent_to.query().unwrap().to_owned();
    assert!(!query.contains("max_age") && !query.contains("prompt"), "{query}");
    let token = stage
        .agency
        .key
        .sign(&stage.claims(&traveller, json!({ "auth_time": stage.harness.now() - 400 })));
    let page = stage.come_back(&mut traveller, &token).await;
    // This account has a password here: it is asked for, and the provider is not offered for it.
    assert_eq!(page.at(), "/login");
    let again = traveller.agent.submit_to(&page, BUTTON, &[]).await;
    assert_eq!(again.at(), "/login");
    assert!(
        again
            .answer()
            .text
            .contains("your agency’s sign-in cannot confirm that"),
        "{}",
        again.answer().text
    );
    // One without is refused, with the reason, and not sent round in circles.
    stage.register("reauthenticate = \"none\"\naccounts = \"create\"\nroles = [{ claim = \"groups\", value = \"doctors\", role = \"medical-examiner\" }]\ntrusted_amr = [\"mfa\"]");
    let changes = [("scope", "openid __mdi.certify"), ("aud", EDRS_BASE)];
    let mut traveller = stage.leave_asking(&changes).await;
    let claims = json!({ "sub": "u-99", "groups": ["doctors"], "amr": ["mfa"], "auth_time": stage.harness.now() - 3600 });
    let token = stage.agency.key.sign(&stage.claims(&traveller, claims));
    let refused = stage.come_back(&mut traveller, &token).await;
    assert_eq!(
        refused.parameter("error").as_deref(),
        Some("access_denied"),
        "{refused:?}"
    );
    let description = refused.parameter("error_description").unwrap();
    assert!(
        description.contains("the person needs a password here"),
        "{description}"
    );
}

on_both! {
    /// A `sub` of another issuer is somebody else, and the old issuer's secret is not for the new one.
    async fn another_issuer_is_another_provider(db) {
        let stage = Stage::start(db, "accounts = \"create\"\nscopes = \"profile\"");
        assert_eq!(stage.sign_in(json!({})).await.at(), "/consent");
        let newcomer = stage.person("newcomer").unwrap();
        let change = |object: Value| {
            let registry = stage.harness.registry();
            let said = Said::new(object.as_object().unwrap().clone(), Merge::Patch);
            blocking(move || registry.blocking(move |registry, tx| noun::change::<IdentityProviderSettings>(registry, tx, &said, None)))
        };
        let issuer = "https://login.other.example";
        let refused = change(json!({ "id": "fulton", "issuer": issuer })).unwrap_err().to_string();
        assert!(refused.starts_with("secret: it is missing"), "{refused}");
        assert_eq!(sessions_of(&stage, &newcomer.id), 1, "nothing was changed");
        // Disabled in the same change, it keeps nothing either.
        change(json!({ "id": "fulton", "issuer": issuer, "secret": "what the other one gave us", "enabled": false })).unwrap();
        let store = stage.harness.app.store.clone();
        let id = newcomer.id.clone();
        let left = blocking(move || store.read_blocking(move |conn| stored::links_of_person(conn, &id)).unwrap());
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(sessions_of(&stage, &newcomer.id), 0);
        let changed = stage.harness.events("identity_provider.changed").pop().unwrap();
        let detail = &changed["detail"];
        assert_eq!((&detail["action"], &detail["links"], &detail["sessions_ended"], &detail["secret"]),
            (&json!("disabled"), &json!("1"), &json!("1"), &json!("set")));
    }
}

fn sessions_of(stage: &Stage, person: &str) -> usize {
    let (store, person) = (stage.harness.app.store.clone(), person.to_owned());
    let wanted = Sessions {
        homes: None,
        person: Some(person),
        begun_after: 0,
        used_after: 0,
    };
    blocking(move || {
        store
            .read_blocking(move |conn| lists::sessions(conn, &wanted, None, 10))
            .unwrap()
    })
    .len()
}

/// Codes that a network invents wait for a provider that hangs; those of other networks take turns with them.
#[tokio::test(flavor = "multi_thread")]
async fn codes_of_one_network_do_not_keep_the_others_from_coming_back() {
    let settings = "accounts = \"create\"\nscopes = \"profile\"";
    let stage = Stage::start_with(Db::Sqlite, settings, |config| {
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let come_back = |traveller: &Traveller<'_>, from: String, code: &str| {
        let parameters = [("code", code), ("state", &traveller.parameter("state"))];
        let request = stage.harness.http.get(callback(&stage.harness, &parameters));
        let request = request.header("cookie", traveller.agent.cookie_header());
        tokio::spawn(request.header("X-Forwarded-For", from).send())
    };
    let exchanged = || {
        let asked = stage.agency.says().asked.clone();
        let codes = asked.into_iter().filter(|(path, ..)| path == "/token");
        codes.map(|(_, body, _)| body).collect::<Vec<_>>()
    };
    stage.agency.says().token = Script::Hanging;
    let office = stage.leave().await;
    let mut strangers = Vec::new();
    for n in 0..40 {
        let stranger = stage.leave().await;
        strangers.push(come_back(&stranger, format!("198.51.100.{n}"), "invented"));
    }
    eventually(
        "as many as are exchanged at once",
        async || exchanged().len(),
        |count| *count >= 16,
    )
    .await;
    let token = stage.agency.key.sign(&stage.claims(&office, json!({})));
    stage.agency.hand_out(&token);
    let answer = come_back(&office, "203.0.113.5".to_owned(), "office");
    let answer = answer.await.unwrap().unwrap();
    let to = answer.headers()["location"].to_str().unwrap();
    assert!(answer.status() == 303 && !to.contains("/login"), "{to}");
    let codes = exchanged();
    let place = codes
        .iter()
        .position(|body| body.contains("code=office"))
        .unwrap();
    assert!(place < 30, "{place} before it, although they are of one network");
    for stranger in strangers {
        assert_eq!(stranger.await.unwrap().unwrap().status(), 303, "each is answered");
    }
}
