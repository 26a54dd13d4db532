//! The admin API: who may call, what is refused and how, and that nothing is lost or done twice.

use std::sync::Arc;

use mdi_auth::admin::api::{self, operation::Operation};
use mdi_auth::audit::event::Actor;
use mdi_auth::model::api_token::ApiScope;
use mdi_auth::policy::console::{Authority, right};
use mdi_auth::registry::api_tokens::{self, ApiTokenForm};
use mdi_auth::registry::{ActingCredential, Registry};
use reqwest::Method;
use serde_json::{Value, json};

use crate::console::STAFF;
use crate::console::providers::PROVIDER;
use crate::harness::agent::Agent;
use crate::harness::assertion::ClientKey;
use crate::harness::{Answer, CALLBACK, Db, FULTON, Harness, LIMS, PASSWORD, blocking};
use crate::on_both;
use crate::support::eventually;

/// The text of a new token with a scope.
pub fn token(harness: &Harness, scope: &str) -> String {
    let form = ApiTokenForm {
        scope: Some(ApiScope::parse(scope).unwrap()),
        ..ApiTokenForm::default()
    };
    let registry = harness.registry();
    let made =
        blocking(move || registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form)));
    made.unwrap().1.reveal().to_owned()
}

/// A program with a token.
pub struct Program<'a> {
    harness: &'a Harness,
    token: String,
}

impl<'a> Program<'a> {
    pub fn new(harness: &'a Harness, scope: &str) -> Self {
        Self {
            harness,
            token: token(harness, scope),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = self.harness.url(&format!("/admin/api/v1{path}"));
        self.harness.http.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        sent(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        sent(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, seen: &str, body: &Value) -> Answer {
        sent(
            self.request(Method::PATCH, path)
                .header("If-Match", seen)
                .json(body),
        )
        .await
    }

    pub async fn put(&self, path: &str, seen: &str, body: &Value) -> Answer {
        sent(
            self.request(Method::PUT, path)
                .header("If-Match", seen)
                .json(body),
        )
        .await
    }

    /// Any method, whichever version there is.
    pub async fn send(&self, method: Method, path: String, body: Value) -> Answer {
        let request = self.request(method, &path).header("If-Match", "*");
        sent(if body.is_null() {
            request
        } else {
            request.json(&body)
        })
        .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        sent(self.request(Method::DELETE, path)).await
    }

    /// The id of a person.
    async fn user(&self, username: &str) -> String {
        self.get(&format!("/users?username={username}")).await.json["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

async fn sent(request: reqwest::RequestBuilder) -> Answer {
    Answer::read(request.send().await.unwrap()).await
}

/// What a problem is called.
pub fn problem(answer: &Answer) -> (u16, &str) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{answer:?}"
    );
    assert_eq!(answer.json["status"], answer.status, "{answer:?}");
    (
        answer.status,
        answer.str("type").rsplit("#problem-").next().unwrap(),
    )
}

/// The members at fault.
fn pointers(answer: &Answer) -> Vec<&str> {
    let errors = answer.json["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors
        .iter()
        .map(|e| e["pointer"].as_str().or(e["parameter"].as_str()).unwrap_or(""))
        .collect()
}

fn operations() -> Vec<Operation> {
    api::groups()
        .into_iter()
        .flat_map(|group| group.operations)
        .collect()
}

on_both! {
    /// What declarative tools do: they compare what comes back with what they sent, and send back what they read.
    async fn what_goes_in_comes_out_and_may_be_sent_back(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let keys = json!({ "keys": [ClientKey::new(jsonwebtoken::Algorithm::ES256, "k1").jwk()] });
        let sent_in = json!({
            "client_id": "tf", "name": "Terraform", "dataflow": "cms-to-edrs", "auth_method": "private_key_jwt", "jwks": keys,
            "scopes": ["system/Patient.rs", "system/Composition.rs"], "purposes": ["HDECD"], "contacts": ["it@cms.example"],
            "resource_servers": ["edrs-ga"],
        });
        let made = program.post("/clients", &sent_in).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let read = program.get("/clients/tf").await;
        for (member, value) in sent_in.as_object().unwrap() {
            assert_eq!(&read.json[member], value, "{member}");
        }
        let listed = program.get("/clients").await;
        let listed = listed.json["items"].as_array().unwrap().iter().find(|one| one["client_id"] == "tf").unwrap().clone();
        assert_eq!(listed, read.json, "a list has what a GET has");
        // Sent back as it is, nothing changes; so with the tag that a proxy made weak by compressing.
        let etag = read.header("etag").to_owned();
        for (tag, expected) in [(etag.clone(), (200, "")), (format!("W/{etag}"), (200, "")), (format!("\"other\", {etag}"), (200, "")),
            ("W/\"other\"".to_owned(), (412, "changed")), (etag.trim_matches('"').to_owned(), (400, "malformed")), (String::new(), (400, "malformed"))]
        {
            let back = program.put("/clients/tf", &tag, &listed).await;
            if expected.0 == 200 {
                assert_eq!((back.status, back.header("etag")), (200, etag.as_str()), "{tag}: {}", back.text);
            } else {
                assert_eq!(problem(&back), expected, "{tag}");
            }
        }
        let refused = program.delete("/resource-servers/edrs-ga").await;
        assert_eq!(problem(&refused), (409, "in-use"));
        assert!(refused.text.contains("fulton-cms") && refused.text.contains("tf"), "{}", refused.text);
        assert_eq!(harness.events("client.changed").iter().filter(|event| event["client_id"] == "tf").count(), 1);
    }
}

on_both! {
    /// A secret of what was deleted is given to nobody.
    async fn an_answer_is_not_given_again_when_what_it_made_is_gone(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let body = json!({ "client_id": "gone", "name": "Gone", "dataflow": "lims-to-cms", "resource_servers": ["cms-fulton"] });
        let register = |key: &str| sent(program.request(Method::POST, "/clients").header("Idempotency-Key", key).json(&body));
        let rotate = || sent(program.request(Method::POST, "/clients/gone/secrets").header("Idempotency-Key", "secret").json(&json!({})));
        let made = register("one").await;
        let again = register("one").await;
        assert_eq!((again.status, again.str("secret")), (201, made.str("secret")));
        assert_eq!(rotate().await.status, 201);
        assert_eq!(program.delete("/clients/gone").await.status, 204);
        assert_eq!(problem(&register("one").await), (409, "gone"));
        assert_eq!(problem(&rotate().await), (409, "gone"));
        harness.clock.advance(60);
        assert_eq!(register("two").await.status, 201);
        let refused = register("one").await;
        assert!(problem(&refused) == (409, "gone") && !refused.text.contains(made.str("secret")), "another one has its id now");
    }
}

on_both! {
    async fn only_a_bearer_token_that_holds_lets_in(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "audit");
        assert_eq!(program.get("/clients").await.status, 200);
        let url = harness.url("/admin/api/v1/clients");
        let bearer = |text: &str| harness.http.get(&url).header("Authorization", text);
        let unknown = format!("Bearer mdi_api_{}", "A".repeat(43));
        let basic = format!("Basic {}", program.token);
        let cookie = harness.http.get(&url).header("Cookie", format!("access_token={}", program.token));
        let in_query = harness.http.get(format!("{url}?access_token={}", program.token));
        let in_both = harness.http.get(format!("{url}?access_token={0}", program.token)).bearer_auth(&program.token);
        // Request, status and type, whether an error is named (RFC 6750 §3.1).
        let rows = [
            (harness.http.get(&url), (401, "unauthorized"), false),
            (cookie, (401, "unauthorized"), false),
            (bearer(&unknown), (401, "unauthorized"), true),
            (bearer("Bearer "), (401, "unauthorized"), true),
            (bearer("Bearer x"), (401, "unauthorized"), true),
            (bearer(&basic), (401, "unauthorized"), true),
            (in_query, (400, "malformed"), false),
            (in_both, (400, "malformed"), false),
        ];
        for (request, expected, named) in rows {
            let answer = sent(request).await;
            assert_eq!(problem(&answer), expected, "{answer:?}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge.starts_with("Bearer realm="), expected.0 == 401, "{challenge}");
            assert_eq!(challenge.contains("error=\"invalid_token\""), named, "{challenge}");
            assert!(!answer.text.contains(&program.token));
        }
        let refused = harness.events("console.refused");
        assert_eq!(refused.len(), 1, "once a minute: {refused:?}");
        assert_eq!(refused[0]["detail"]["reason"], "unknown API token");
        // Its time ends, and a revoked one is refused at once.
        let other = Program::new(&harness, "admin");
        let id = other.get("/me").await.json["token"]["id"].as_str().unwrap().to_owned();
        assert_eq!(other.post(&format!("/api-tokens/{id}/revoke"), &json!({})).await.status, 200);
        assert_eq!(problem(&other.get("/me").await), (401, "unauthorized"));
        harness.clock.advance(365 * 86_400);
        assert_eq!(problem(&program.get("/me").await), (401, "unauthorized"));
        let changes = harness.events("api_token.changed");
        let last = changes.last().unwrap();
        assert_eq!((&last["actor_kind"], &last["actor"], &last["detail"]["action"]), (&json!("api_token"), &json!(id), &json!("revoked")));
    }
}

on_both! {
    async fn each_operation_is_for_tokens_whose_role_has_the_right(db) {
        let harness = Harness::start_with(db, |config| config.admin_api.requests_per_minute = 10_000);
        for scope in ApiScope::ALL {
            let program = Program::new(&harness, scope.as_str());
            for operation in operations() {
                let allowed = right(&[scope.role().to_owned()], operation.area) >= operation.right;
                let path = operation.path.replace("{id}", "nothing");
                let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
                // Without what it needs: nothing is changed by those who may.
                let answer = sent(program.request(method, &path).header("Content-Type", "text/plain").body("no")).await;
                assert_eq!(answer.status == 403, !allowed, "{scope:?} {operation:?} {answer:?}");
                if !allowed {
                    assert_eq!(problem(&answer), (403, "forbidden"));
                    assert!(answer.header("www-authenticate").contains("error=\"insufficient_scope\""), "{answer:?}");
                }
            }
        }
        let refused = harness.events("console.refused");
        assert!(refused.iter().all(|event| event["actor_kind"] == "api_token"), "{refused:?}");
        assert!(!refused.is_empty());
    }
}

on_both! {
    async fn a_token_holds_no_more_than_the_person_whose_it_is(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let operator = Program::new(&harness, "admin");
        let id = operator.user("admin").await;
        let make = || {
            let registry = Registry::new(Arc::clone(&harness.app), Actor::Person(id.clone()));
            let form = ApiTokenForm { scope: Some(ApiScope::Admin), ..ApiTokenForm::default() };
            blocking(move || registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form)))
        };
        let (made, text) = make().unwrap();
        let program = Program { harness: &harness, token: text.reveal().to_owned() };
        let client = |id: &str| json!({ "client_id": id, "name": id, "dataflow": "lims-to-cms", "resource_servers": ["cms-fulton"] });
        assert_eq!(program.post("/clients", &client("first")).await.status, 201);
        // A token makes no tokens, so none outlives whom it came from.
        let answer = program.post("/api-tokens", &json!({ "scope": "audit" })).await;
        assert_eq!(problem(&answer), (403, "forbidden"));
        assert!(answer.text.contains("a token makes no tokens"), "{answer:?}");
        // At most 50 that hold.
        for _ in 1..50 {
            make().unwrap();
        }
        assert!(make().unwrap_err().to_string().contains("50 tokens"));
        // Whatever path changes her roles: the token holds what she holds now.
        let roles = |roles: &str| harness.apply(&format!("[[user]]\nusername = \"admin\"\nroles = [{roles}]\n"));
        roles("\"auditor\"");
        assert_eq!(program.get("/clients").await.status, 200);
        let answer = program.post("/clients", &client("second")).await;
        assert_eq!(problem(&answer), (403, "forbidden"));
        assert!(answer.text.contains("the person this token belongs to"), "{answer:?}");
        for (path, body) in [
            ("/users", json!({ "username": "x", "name": "X", "roles": ["administrator"] })),
            (&format!("/users/{id}/enable"), json!({})),
            ("/keys", json!({})),
        ] {
            assert_eq!(problem(&program.post(path, &body).await), (403, "forbidden"), "{path}");
        }
        let me = program.get("/me").await;
        assert!(me.json["may"].as_array().unwrap().iter().all(|may| may["change"] == false), "{me:?}");
        assert_eq!(me.json["token"]["person_id"], json!(id));
        // Without a role of the console all of hers end; the installation's go on.
        roles("\"data-clerk\"");
        assert_eq!(problem(&program.get("/me").await), (401, "unauthorized"));
        roles("\"administrator\"");
        assert_eq!(problem(&program.get("/me").await), (401, "unauthorized"), "nothing comes back");
        assert_eq!(operator.get("/me").await.json["token"]["person_id"], Value::Null);
        // Handed over, one outlives who made it.
        let (kept, text) = make().unwrap();
        let program = Program { harness: &harness, token: text.reveal().to_owned() };
        let hand_over = |to: Option<&'static str>| {
            let (registry, id) = (harness.registry(), kept.id.clone());
            blocking(move || registry.blocking(move |registry, tx| api_tokens::hand_over(registry, tx, &id, to)))
        };
        assert!(hand_over(Some("clerk")).unwrap_err().to_string().contains("no role of the console"));
        assert!(hand_over(Some("nobody")).unwrap_err().to_string().contains("nobody who may sign in"));
        hand_over(None).unwrap();
        harness.disable_user("admin");
        assert_eq!(program.post("/clients", &client("third")).await.status, 201);
        let events = harness.events("api_token.changed");
        let handed: Vec<&Value> = events.iter().filter(|event| event["detail"]["action"] == "handed over").collect();
        assert_eq!((handed.len(), &handed[0]["detail"]["token"]), (1, &json!(kept.id)));
        assert!(events.iter().any(|event| event["detail"]["action"] == "revoked" && event["detail"]["token"] == json!(made.id)));
    }
}

on_both! {
    async fn a_token_of_somebody_dormant_holds_nothing(db) {
        let harness = Harness::start_with(db, |config| config.login.dormant_days = 90);
        harness.apply(STAFF);
        let id = Program::new(&harness, "admin").user("admin").await;
        let registry = Registry::new(Arc::clone(&harness.app), Actor::Person(id));
        let form = ApiTokenForm { scope: Some(ApiScope::Admin), ..ApiTokenForm::default() };
        let (_, text) = blocking(move || registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form))).unwrap();
        let program = Program { harness: &harness, token: text.reveal().to_owned() };
        assert_eq!(program.get("/me").await.status, 200);
        // Before anybody has disabled her for it.
        harness.clock.advance(91 * 86_400);
        assert_eq!(problem(&program.get("/me").await), (401, "unauthorized"));
    }
}

on_both! {
    async fn what_a_token_rests_on_is_looked_at_in_the_transaction(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let id = Program::new(&harness, "admin").user("admin").await;
        let registry = Registry::new(Arc::clone(&harness.app), Actor::Person(id.clone()));
        let form = ApiTokenForm { scope: Some(ApiScope::Admin), ..ApiTokenForm::default() };
        let (token, _) = blocking(move || registry.blocking(move |registry, tx| api_tokens::create(registry, tx, &form))).unwrap();
        // As a request does that was let in, and whose body took its time.
        let owner = Some((id.clone(), 0));
        let let_in = Registry::new(Arc::clone(&harness.app), Actor::ApiToken(token.id.clone())).bounded(
            Authority::of(&["administrator".to_owned()]),
            ActingCredential::Token { id: token.id, owner },
            "127.0.0.1",
        );
        let nothing = |registry: Registry| blocking(move || registry.blocking(|_, _| Ok(Ok(()))));
        nothing(let_in.clone()).unwrap();
        harness.apply("[[user]]\nusername = \"admin\"\nroles = [\"auditor\"]\n");
        assert!(nothing(let_in).unwrap_err().to_string().contains("has ended meanwhile"));
    }
}

on_both! {
    async fn a_user_manager_does_not_touch_who_administers(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let program = Program::new(&harness, "users");
        let (admin, clerk) = (program.user("admin").await, program.user("clerk").await);
        for action in ["disable", "enable", "unlock", "invitation", "password-link", "second-factor/reset", "sign-out"] {
            let answer = program.post(&format!("/users/{admin}/{action}"), &json!({})).await;
            assert_eq!(problem(&answer), (403, "forbidden"), "{action}");
        }
        let answer = program.patch(&format!("/users/{admin}"), "*", &json!({ "name": "Another" })).await;
        assert_eq!(problem(&answer), (403, "forbidden"));
        let answer = program.patch(&format!("/users/{clerk}"), "*", &json!({ "roles": ["administrator"] })).await;
        assert_eq!((problem(&answer), pointers(&answer)), ((422, "invalid"), vec!["#/roles"]));
        let answer = program.post("/users", &json!({ "username": "x", "name": "X", "roles": ["auditor"] })).await;
        assert_eq!(pointers(&answer), ["#/roles"]);
        // Nobody takes the last administrator away.
        let answer = Program::new(&harness, "admin").post(&format!("/users/{admin}/disable"), &json!({})).await;
        assert_eq!((problem(&answer), pointers(&answer)), ((422, "invalid"), vec!["#/roles"]));
    }
}

on_both! {
    async fn what_is_wrong_is_named(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let client = json!({ "client_id": "a", "name": "A", "dataflow": "lims-to-cms" });
        let with = |more: Value| {
            let mut body = client.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        // Path, body, members at fault.
        #[rustfmt::skip]
        let rows: &[(&str, Value, &[&str])] = &[
            ("/clients", with(json!({ "colour": "red" })), &["#/colour"]),
            ("/clients", with(json!({ "name": 5, "enabled": "yes", "a/b": 1 })), &["#/a~1b", "#/enabled", "#/name"]),
            ("/clients", with(json!({ "secret": 5 })), &["#/secret"]),
            ("/clients", with(json!({ "name": null })), &["#/name"]),
            ("/clients", with(json!({ "name": "a\u{0}b" })), &["#/name"]),
            ("/clients", with(json!({ "dataflow": "none" })), &["#/dataflow"]),
            ("/clients", with(json!({ "redirect_uris": ["http://a.example/cb", "https://a.example/#x"] })), &["#/redirect_uris", "#/redirect_uris"]),
            ("/clients", with(json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } })), &["#/jwks"]),
            ("/clients", with(json!({ "organization": { "nam": "x" } })), &["#/organization"]),
            ("/clients", json!([]), &["#"]),
            ("/clients/lims-secret/secrets", json!({ "overlap_seconds": -1 }), &["#/overlap_seconds"]),
            ("/clients/lims-secret/vendor-link", json!({ "days": 366 }), &["#/days"]),
            ("/resource-servers", json!({ "id": "metadata", "name": "", "audience": "x" }), &["#/id", "#/name", "#/audience"]),
            ("/resource-servers", json!({ "id": "a", "name": "A", "audience": "https://a.example", "signing_alg": "none" }), &["#/signing_alg"]),
            ("/users", json!({ "username": "", "name": "X", "roles": ["king"], "npi": "1" }), &["#/username", "#/roles", "#/npi"]),
            ("/users", json!({ "username": "x", "name": "X", "password": "short" }), &["#/password"]),
            ("/users", json!({ "username": "x", "name": "X", "claims": { "sub": "x" } }), &["#/claims"]),
            ("/identity-providers", json!({ "id": "x", "name": "X", "issuer": "http://x" }), &["#/issuer", "#/client_id", "#/secret"]),
            ("/keys", json!({ "alg": "RS512" }), &["#/alg"]),
            ("/api-tokens", json!({ "scope": "everything" }), &["#/scope"]),
        ];
        // Of many mistakes as many are told as of a file, and how many there are.
        let unknown: serde_json::Map<String, Value> = (0..300).map(|n| (format!("unknown{n}"), json!(n))).collect();
        let answer = program.post("/clients", &Value::Object(unknown)).await;
        assert_eq!((problem(&answer), pointers(&answer).len()), ((422, "invalid"), 201));
        assert!(answer.str("detail").starts_with("300 things are wrong"), "{}", answer.str("detail"));
        for (path, body, expected) in rows {
            let answer = program.post(path, body).await;
            assert_eq!(problem(&answer), (422, "invalid"), "{path} {body} {answer:?}");
            let mut found = pointers(&answer);
            let mut expected = expected.to_vec();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{path} {body} {}", answer.text);
        }
        // Address, parameters at fault.
        for (path, expected) in [
            ("/clients?enable=true", "enable"),
            ("/clients?enabled=yes", "enabled"),
            ("/clients?limit=201", "limit"),
            ("/clients?limit=0", "limit"),
            ("/clients?limit=1&limit=1", "limit"),
            ("/clients?cursor=WyJhIiwiYiJd", "cursor"),
            ("/clients?cursor=!", "cursor"),
            ("/audit/events?from=yesterday", "from"),
            ("/audit/events?outcome=1", "outcome"),
            ("/audit/events?kind=client", "kind"),
            ("/audit/events?cursor=WyJhIiwiYiIsImMiXQ", "cursor"),
            ("/users?q=%00", "q"),
            ("/me?x=1", "x"),
        ] {
            let answer = program.get(path).await;
            assert_eq!((problem(&answer), pointers(&answer)), ((422, "invalid"), vec![expected]), "{path}");
        }
        let registered = program.post("/clients", &json!({ "client_id": LIMS.0, "name": "X", "dataflow": "custom" })).await;
        assert_eq!(problem(&registered), (409, "exists"));
    }
}

on_both! {
    async fn what_http_forbids_is_a_problem_too(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let post = || program.request(Method::POST, "/clients");
        let json = |body: String| post().header("Content-Type", "application/json").body(body);
        let file = |body: String| {
            program.request(Method::POST, "/apply").header("Content-Type", "application/toml").body(body)
        };
        #[rustfmt::skip]
        let rows = [
            (program.request(Method::GET, "/no/such/thing"), (404, "not-found")),
            (program.request(Method::GET, "/clients/nothing"), (404, "not-found")),
            (program.request(Method::GET, "/clients/%00"), (404, "not-found")),
            (program.request(Method::GET, "/users/%2e%2e%2fclients"), (404, "not-found")),
            (program.request(Method::DELETE, "/clients"), (405, "method")),
            (program.request(Method::OPTIONS, "/clients"), (405, "method")),
            (post(), (415, "media-type")),
            (post().header("Content-Type", "text/plain").body("{}"), (415, "media-type")),
            (json("{".to_owned()), (400, "malformed")),
            (json("[".repeat(1000)), (400, "malformed")),
            (json(format!("{{\"name\":\"{}\"}}", "x".repeat(256 * 1024))), (413, "too-large")),
            (file("#".repeat(1024 * 1024 + 1)), (413, "too-large")),
            (file("[[client]]\nclient_id = 5".to_owned()), (422, "invalid")),
            (file("=".to_owned()), (422, "invalid")),
            (program.request(Method::PATCH, "/clients/lims-secret").json(&json!({ "name": "X" })), (428, "precondition-required")),
            (program.request(Method::PUT, "/clients/lims-secret").json(&json!({ "name": "X" })), (428, "precondition-required")),
            (program.request(Method::PATCH, "/clients/lims-secret").header("If-Match", "\"x\"").json(&json!({ "name": "X" })), (412, "changed")),
            (post().header("Idempotency-Key", "a b").json(&json!({})), (422, "invalid")),
            (post().header("Idempotency-Key", "a".repeat(65)).json(&json!({})), (422, "invalid")),
        ];
        for (request, expected) in rows {
            let answer = sent(request).await;
            assert_eq!(problem(&answer), expected, "{answer:?}");
            assert!(!answer.str("instance").is_empty());
            if expected.0 == 405 {
                assert_eq!(answer.header("allow"), "GET, POST");
            }
        }
        // A problem of a type that the documentation explains.
        let docs = harness.get("/admin/api/docs").await;
        assert_eq!(docs.status, 200);
        for about in api::problem::TYPES {
            assert!(docs.text.contains(&format!("id=\"problem-{}\"", about.anchor)), "{}", about.anchor);
        }
    }
}

on_both! {
    async fn of_two_who_change_the_same_version_one_is_told_what_it_is_now(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "clients");
        let seen = program.get("/clients/lims-secret").await.header("etag").to_owned();
        let (one, other) = (json!({ "name": "One" }), json!({ "name": "Other" }));
        let path = "/clients/lims-secret";
        let (one, other) = tokio::join!(program.patch(path, &seen, &one), program.patch(path, &seen, &other));
        let (done, refused) = if one.status == 200 { (one, other) } else { (other, one) };
        assert_eq!((done.status, problem(&refused)), (200, (412, "changed")));
        assert_eq!(refused.json["current"]["name"], done.json["name"]);
        assert_eq!(refused.header("etag"), done.header("etag"));
        // The second makes its change to what is there.
        let again = program.patch(path, refused.header("etag"), &json!({ "name": "Both" })).await;
        assert_eq!((again.status, again.str("name")), (200, "Both"));
        // Looked at with a version that is the present one: nothing to send.
        let known = program.request(Method::GET, path).header("If-None-Match", again.header("etag"));
        let known = sent(known).await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        // Deleting looks at the version as well.
        let stale = sent(program.request(Method::DELETE, path).header("If-Match", &seen)).await;
        assert_eq!(problem(&stale), (412, "changed"));
        assert_eq!(program.delete(path).await.status, 204);
        assert_eq!(program.get(path).await.status, 404);
    }
}

on_both! {
    async fn what_was_read_can_be_put_back(db) {
        let harness = Harness::start(db);
        harness.apply("[[identity_provider]]\nid = \"idp\"\nname = \"IdP\"\nissuer = \"https://idp.example\"\nclient_id = \"x\"\nauth_method = \"none\"\n");
        let program = Program::new(&harness, "admin");
        let person = format!("/users/{}", program.user("jlehz").await);
        for path in ["/clients/fulton-cms", "/resource-servers/edrs-ga", "/identity-providers/idp", person.as_str()] {
            let read = program.get(path).await;
            let put = program.put(path, read.header("etag"), &read.json).await;
            assert_eq!(put.status, 200, "{path} {put:?}");
            assert_eq!(put.header("etag"), read.header("etag"), "{path}: {} {}", read.text, put.text);
            // What is left out takes its default, or stays.
            let patched = program.patch(path, "*", &json!({ "name": "Renamed" })).await;
            assert_eq!((patched.status, patched.str("name")), (200, "Renamed"), "{patched:?}");
            assert_ne!(patched.header("etag"), read.header("etag"));
        }
        let read = program.get("/clients/fulton-cms").await;
        let mut body = read.json.clone();
        body.as_object_mut().unwrap().remove("organization");
        let put = program.put("/clients/fulton-cms", read.header("etag"), &body).await;
        assert_eq!((put.status, &put.json["organization"]), (200, &Value::Null));
        assert_eq!(put.json["redirect_uris"], json!([CALLBACK]));
        assert_eq!(harness.token(Some(FULTON), &[("grant_type", "x")]).await.error(), "unsupported_grant_type", "the secret stays");
    }
}

on_both! {
    async fn a_request_that_is_sent_again_is_done_once(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let rotate = |key: &str, overlap: i64| {
            let request = program.request(Method::POST, "/clients/lims-secret/secrets");
            request.header("Idempotency-Key", key.to_owned()).json(&json!({ "overlap_seconds": overlap }))
        };
        // Sixteen at once: one secret.
        let tasks: Vec<_> = (0..16).map(|_| tokio::spawn(sent(rotate("the-same", 60)))).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        let secret = answers[0].str("secret").to_owned();
        for answer in &answers {
            assert_eq!((answer.status, answer.str("secret")), (201, secret.as_str()));
        }
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count(), 15);
        assert_eq!(harness.events("secret.changed").len(), 1);
        // Another request under the key is refused; the key of another token is another.
        assert_eq!(problem(&sent(rotate("the-same", 61)).await), (422, "key-reused"));
        let other = Program::new(&harness, "admin");
        let others = other.request(Method::POST, "/clients/lims-secret/disable").header("Idempotency-Key", "the-same");
        assert_eq!(sent(others).await.header("idempotency-replayed"), "");
        // What was refused is not kept: corrected, it is done under the same key.
        assert_eq!(problem(&sent(rotate("corrected", -1)).await), (422, "invalid"));
        assert_eq!(sent(rotate("corrected", 0)).await.status, 201);
        // A day later the key is free, and the answer gone.
        harness.clock.advance(86_400);
        let again = sent(rotate("the-same", 0)).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, ""));
        assert_ne!(again.str("secret"), secret);
    }
}

on_both! {
    async fn secrets_are_told_once(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let mut secrets = Vec::new();
        let client = json!({ "client_id": "new-lims", "name": "New", "dataflow": "lims-to-cms" });
        secrets.push(program.post("/clients", &client).await.str("secret").to_owned());
        let server = json!({ "id": "new-cms", "name": "New", "audience": "https://new.example/fhir", "kind": "cms" });
        secrets.push(program.post("/resource-servers", &server).await.str("secret").to_owned());
        secrets.push(program.post("/clients/new-lims/secrets", &json!({})).await.str("secret").to_owned());
        secrets.push(program.post("/resource-servers/new-cms/secrets", &json!({})).await.str("secret").to_owned());
        let person = program.post("/users", &json!({ "username": "new", "name": "New Person" })).await;
        secrets.push(person.json["invitation"]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
        let id = person.str("id");
        let link = program.post(&format!("/users/{id}/invitation"), &json!({})).await;
        secrets.push(link.str("url").rsplit('/').next().unwrap().to_owned());
        let with_password = json!({ "username": "other", "name": "Other", "password": PASSWORD });
        assert_eq!(program.post("/users", &with_password).await.status, 201);
        let file = "[[client]]\nclient_id = \"by-file\"\nname = \"F\"\ndataflow = \"lims-to-cms\"\nresource_servers = [\"new-cms\"]\n";
        let apply = |dry: &str| {
            let request = program.request(Method::POST, &format!("/apply{dry}"));
            sent(request.header("Content-Type", "application/toml").body(file))
        };
        // The link of the vendor: there is none, one, and none again.
        let path = "/clients/new-lims/vendor-link";
        assert_eq!(program.get(path).await.status, 404);
        let link = program.post(path, &json!({ "days": 7 })).await;
        assert_eq!(link.status, 201, "{link:?}");
        secrets.push(link.str("url").rsplit('/').next().unwrap().to_owned());
        assert_eq!(program.get(path).await.json["expires_at"], link.json["expires_at"]);
        let dry = apply("?dry_run=true").await;
        assert_eq!((dry.status, &dry.json["changes"], &dry.json["secrets"]), (200, &json!(true), &json!([])));
        let applied = apply("").await;
        secrets.push(applied.json["secrets"][0]["secret"].as_str().unwrap().to_owned());
        assert!(secrets.iter().all(|secret| secret.len() >= 43), "{secrets:?}");
        secrets.push(PASSWORD.to_owned());
        // Whatever can be read, none of them stands in it.
        for operation in operations().into_iter().filter(|operation| operation.method == "GET") {
            for named in ["new-lims", "new-cms", id] {
                // A preview is of some client's token, a proof of some event.
                let query = match operation.id.as_str() {
                    "previewToken" => "?client=new-lims",
                    "proveInclusion" => "?seq=1",
                    "proveConsistency" => "?size=1",
                    _ => "",
                };
                let answer = program.get(&format!("{}{query}", operation.path.replace("{id}", named))).await;
                let refuses_none = answer.status == 422 && !query.is_empty();
                assert!([200, 404].contains(&answer.status) || refuses_none, "{operation:?} {answer:?}");
                for secret in &secrets {
                    assert!(!answer.text.contains(secret), "{operation:?}");
                }
            }
        }
        for status in [204, 404] {
            assert_eq!(sent(program.request(Method::DELETE, path)).await.status, status);
        }
        let events = program.get("/audit/events?limit=200").await.text;
        assert!(events.contains("new-lims") && secrets.iter().all(|secret| !events.contains(secret)), "{events}");
    }
}

on_both! {
    async fn lists_are_told_page_by_page(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let program = Program::new(&harness, "audit");
        harness.app.sealer.seal().await.unwrap();
        // Path, the member that names a row.
        for (path, key) in [("/clients", "client_id"), ("/resource-servers", "id"), ("/users", "id"), ("/api-tokens", "id")] {
            let whole = program.get(path).await;
            let expected: Vec<&Value> = whole.json["items"].as_array().unwrap().iter().map(|item| &item[key]).collect();
            let (mut found, mut next) = (Vec::new(), Some(format!("{path}?limit=1")));
            while let Some(page) = next {
                let page = program.get(&page).await;
                found.extend(page.json["items"].as_array().unwrap().iter().map(|item| item[key].clone()));
                next = page.json["next_cursor"].as_str().map(|cursor| format!("{path}?limit=1&cursor={cursor}"));
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{path}");
            assert!(!expected.is_empty());
        }
        let (mut seen, mut next) = (0, Some("/audit/events?limit=7".to_owned()));
        while let Some(page) = next {
            let page = program.get(&page).await;
            seen += page.json["items"].as_array().unwrap().len();
            next = page.json["next_cursor"].as_str().map(|cursor| format!("/audit/events?limit=7&cursor={cursor}"));
        }
        let bundle = program.get("/audit/bundle").await;
        assert!(bundle.status == 200 && bundle.str("bundle").starts_with("mdi-auth record bundle v1\n"), "{bundle:?}");
        // What is asked of a proof, and the parameter that is wrong.
        for (asked, parameter) in [
            ("inclusion-proof", "seq"),
            ("inclusion-proof?seq=", "seq"),
            ("inclusion-proof?seq=0", "seq"),
            ("inclusion-proof?seq=-1", "seq"),
            ("inclusion-proof?seq=01", "seq"),
            ("inclusion-proof?seq=x", "seq"),
            ("inclusion-proof?seq=99999", "seq"),
            ("inclusion-proof?seq=1099511627775", "seq"),
            ("inclusion-proof?seq=1099511627776", "seq"),
            ("inclusion-proof?seq=99999999999999999999", "seq"),
            ("inclusion-proof?seq=1&seq=2", "seq"),
            ("inclusion-proof?seq=1&log=99", "log"),
            ("inclusion-proof?seq=1&log=4194303", "log"),
            ("inclusion-proof?seq=1&log=4194304", "log"),
            ("consistency-proof", "size"),
            ("consistency-proof?size=0", "size"),
            ("consistency-proof?size=99999", "size"),
            ("consistency-proof?size=1099511627775", "size"),
            ("consistency-proof?size=1&log=99", "log"),
        ] {
            let answer = program.get(&format!("/audit/{asked}")).await;
            assert_eq!(problem(&answer), (422, "invalid"), "{asked}");
            assert_eq!(answer.json["errors"][0]["parameter"], json!(parameter), "{asked}: {}", answer.text);
        }
        let logs = program.get("/audit/logs").await;
        let last: i64 = logs.json["items"].as_array().unwrap().iter().map(|log| log["size"].as_i64().unwrap()).sum();
        assert_eq!(i64::try_from(seen).unwrap(), last);
        // Filters.
        for (path, count) in [
            ("/users?q=lehz", 1),
            ("/users?q=fulton%20jan", 1),
            ("/users?q=nobody", 0),
            ("/users?role=data-clerk", 1),
            ("/users?enabled=false", 0),
            ("/users?username=CLERK", 1),
            ("/users?username=clerk&enabled=false", 0),
            ("/clients?q=toxicology", 1),
            ("/clients?dataflow=cms-user-to-edrs", 1),
            ("/resource-servers?q=fulton", 1),
            ("/audit/events?kind=client.changed&client=fulton-cms", 1),
            ("/audit/events?to=2020-01-01T00:00:00Z", 0),
            ("/vocabulary?q=HDECD", 1),
        ] {
            let answer = program.get(path).await;
            assert_eq!(answer.json["items"].as_array().unwrap().len(), count, "{path} {answer:?}");
        }
    }
}

on_both! {
    async fn sessions_and_grants_are_ended(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let page = agent.get(&crate::person_flow::authorize_url(&harness, &[])).await;
        let page = agent.sign_in(page, "jlehz", PASSWORD).await;
        agent.submit(&page, &[("decision", "approve")]).await;
        let program = Program::new(&harness, "users");
        let grants = program.get("/grants?client=fulton-cms").await;
        let grant = grants.json["items"][0].clone();
        assert_eq!((&grant["active"], &grant["client_id"]), (&json!(true), &json!("fulton-cms")));
        let user = grant["user_id"].as_str().unwrap();
        let path = format!("/grants/{}", grant["id"].as_str().unwrap());
        assert_eq!(program.delete(&path).await.status, 204);
        assert_eq!(problem(&program.delete(&path).await), (404, "not-found"));
        let sessions = program.get(&format!("/sessions?user={user}")).await;
        let session = sessions.json["items"][0]["id"].as_str().unwrap();
        assert_eq!(program.delete(&format!("/sessions/{session}")).await.status, 204);
        assert_eq!(problem(&program.delete(&format!("/sessions/{session}")).await), (404, "not-found"));
        assert_eq!(program.get("/sessions").await.json["items"], json!([]));
        let page = agent.get(&harness.url("/account")).await;
        assert_eq!(page.at(), "/login");
        let ended = harness.events("session.ended");
        assert_eq!((ended.len(), &ended[0]["actor_kind"]), (1, &json!("api_token")));
        assert_eq!(harness.events("consent.revoked")[0]["detail"]["grants"], grant["id"]);
        // All at once.
        let mut agent = Agent::new(&harness);
        harness.clock.advance(60);
        let page = agent.get(&harness.url("/account")).await;
        agent.sign_in(page, "jlehz", PASSWORD).await;
        let answer = program.post(&format!("/users/{user}/sign-out"), &json!({})).await;
        assert_eq!((answer.status, &answer.json["sessions_ended"]), (200, &json!(1)));
        assert_eq!(agent.get(&harness.url("/account")).await.at(), "/login");
    }
}

#[tokio::test]
async fn a_token_has_so_many_requests_a_minute() {
    let harness = Harness::start_with(Db::Sqlite, |config| config.admin_api.requests_per_minute = 3);
    let (program, other) = (Program::new(&harness, "audit"), Program::new(&harness, "audit"));
    for left in ["2", "1", "0"] {
        let answer = program.get("/me").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"minute\";q=3;w=60");
        assert!(
            answer.header("ratelimit").contains(&format!("r={left};t=60")),
            "{answer:?}"
        );
    }
    let answer = program.get("/me").await;
    assert_eq!(
        (problem(&answer), answer.header("retry-after")),
        ((429, "too-many-requests"), "60")
    );
    assert_eq!(other.get("/me").await.status, 200, "each token by itself");
    harness.clock.advance(60);
    assert_eq!(program.get("/me").await.status, 200);
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_told_to_wait() {
    let harness = Harness::start_with(Db::Sqlite, |config| config.login.address_attempts_per_minute = 3);
    let program = Program::new(&harness, "audit");
    let stranger = Program {
        harness: &harness,
        token: "mdi_api_nothing".to_owned(),
    };
    for _ in 0..3 {
        assert_eq!(problem(&stranger.get("/me").await), (401, "unauthorized"));
    }
    assert_eq!(problem(&stranger.get("/me").await), (429, "too-many-requests"));
    assert_eq!(
        program.get("/me").await.status,
        200,
        "whoever has a token is not shut out by others"
    );
}

#[tokio::test]
async fn the_document_tells_every_operation() {
    let harness = Harness::start(Db::Sqlite);
    let document = harness.get("/admin/api/openapi.json").await;
    assert_eq!((document.status, document.str("openapi")), (200, "3.1.0"));
    let docs = harness.get("/admin/api/docs").await.text;
    let mut ids = std::collections::BTreeSet::new();
    for operation in operations() {
        let path = format!(
            "/paths/{}/{}",
            operation.path.replace('/', "~1"),
            operation.method.as_str().to_lowercase()
        );
        let told = document
            .json
            .pointer(&path)
            .unwrap_or_else(|| panic!("{operation:?}"));
        assert!(!told["summary"].as_str().unwrap().is_empty(), "{operation:?}");
        assert!(
            !told["security"][0]["token"].as_array().unwrap().is_empty(),
            "{operation:?}"
        );
        assert!(ids.insert(operation.id.clone()), "{} twice", operation.id);
        assert!(
            docs.contains(&format!("id=\"{}\"", operation.id)),
            "{operation:?}"
        );
        if let Some(body) = told.get("requestBody") {
            assert!(
                body["content"]
                    .as_object()
                    .unwrap()
                    .values()
                    .all(|content| !content["example"].is_null()),
                "{operation:?}"
            );
        }
    }
    // Every schema that is named is there.
    for named in document.text.split("#/components/schemas/").skip(1) {
        let name = named.split('"').next().unwrap();
        assert!(
            document.json["components"]["schemas"].get(name).is_some(),
            "{name}"
        );
    }
}

on_both! {
    /// Whose accounts a provider opens: listed page by page, linked and unlinked, and what is wrong is named.
    async fn identities_at_a_provider_are_linked_and_unlinked(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let program = Program::new(&harness, "admin");
        let (links, unlink) = ("/identity-providers/fulton/links", "/identity-providers/fulton/unlink");
        let long = "s".repeat(256);
        for (path, body, pointer) in [
            (links, json!({}), "#/subject"),
            (links, json!({ "subject": "", "username": "jlehz" }), "#/subject"),
            (links, json!({ "subject": long, "username": "jlehz" }), "#/subject"),
            (links, json!({ "subject": null, "username": "jlehz" }), "#/subject"),
            (links, json!({ "subject": "s-1" }), "#/username"),
            (links, json!({ "subject": "s-1", "username": "nobody" }), "#/username"),
            (links, json!({ "subject": "s-1", "username": "jlehz", "person": "x" }), "#/person"),
            (unlink, json!({}), "#/subject"),
            (unlink, json!({ "subject": "s-1" }), "#/subject"),
        ] {
            let answer = program.post(path, &body).await;
            assert_eq!((problem(&answer), pointers(&answer)), ((422, "invalid"), vec![pointer]), "{path} {body}");
        }
        for path in ["/identity-providers/nobody/links", "/identity-providers/nobody/unlink"] {
            let answer = program.post(path, &json!({ "subject": "s-1" })).await;
            assert_eq!(answer.status, 404, "{path}");
        }
        assert_eq!(program.get("/identity-providers/nobody/links").await.status, 404);
        for (subject, username) in [("s-1", "jlehz"), ("s-2", "JLEHZ"), ("s-3", "clerk")] {
            let answer = program.post(links, &json!({ "subject": subject, "username": username })).await;
            let told = (answer.status, answer.str("username"), answer.json["last_used_at"].is_null());
            assert_eq!(told, (201, username.to_lowercase().as_str(), true), "{answer:?}");
        }
        let again = program.post(links, &json!({ "subject": "s-1", "username": "clerk" })).await;
        assert_eq!((problem(&again), pointers(&again)), ((422, "invalid"), vec!["#/subject"]));
        let listed = |answer: &Answer| {
            let items = answer.json["items"].as_array().unwrap().iter();
            items.map(|item| item["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let page = program.get(&format!("{links}?limit=2")).await;
        assert_eq!(listed(&page), ["s-1", "s-2"]);
        let page = program.get(&format!("{links}?limit=2&cursor={}", page.str("next_cursor"))).await;
        assert_eq!((listed(&page), page.json["next_cursor"].is_null()), (vec!["s-3".to_owned()], true));
        assert_eq!(harness.events("people.read").pop().unwrap()["detail"]["path"], "/admin/api/v1/identity-providers/fulton/links");
        let unlinked = program.post(unlink, &json!({ "subject": "s-2" })).await;
        assert_eq!((unlinked.status, &unlinked.json["sessions_ended"]), (200, &json!(0)));
        assert_eq!(listed(&program.get(links).await), ["s-1", "s-3"]);
    }
}

on_both! {
    /// What the console does beside the nouns.
    async fn a_program_looks_and_imports_as_the_console_does(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let program = Program::new(&harness, "admin");
        let sheet = program.get("/clients/lims-secret/hand-off").await;
        assert!(sheet.status == 200 && sheet.str("text").contains("lims-secret"), "{sheet:?}");
        assert_eq!(program.get("/clients/nobody/hand-off").await.status, 404);
        let pasted = json!({ "pasted": "{\"error\":\"invalid_client\"}" });
        let report = program.post("/clients/lims-secret/check", &pasted).await;
        assert!(report.status == 200 && !report.json["findings"].as_array().unwrap().is_empty(), "{report:?}");
        let empty = program.post("/clients/lims-secret/check", &json!({ "pasted": " " })).await;
        assert_eq!((problem(&empty), pointers(&empty)), ((422, "invalid"), vec!["#/pasted"]));
        // A token as it would be, and why there would be none.
        let preview = program.get("/resource-servers/cms-fulton/preview?client=lims-secret").await;
        assert_eq!((preview.status, &preview.json["claims"]["client_id"]), (200, &json!("lims-secret")), "{preview:?}");
        assert_eq!(preview.json["introspection"]["active"], json!(true));
        for (refused, parameter) in [
            ("", "client"),
            ("?client=nobody", "client"),
            ("?client=lims-secret&username=nobody", "username"),
            ("?client=lims-secret&username=jlehz", "role"),
            ("?client=lims-secret&scope=system/Patient.rs", "scope"),
            ("?client=lims-secret&scope=%20%22", "scope"),
        ] {
            let answer = program.get(&format!("/resource-servers/cms-fulton/preview{refused}")).await;
            assert_eq!(problem(&answer), (422, "invalid"), "{refused}");
            assert_eq!(answer.json["errors"][0]["parameter"], json!(parameter), "{refused}");
        }
        let clients = Program::new(&harness, "clients");
        let preview = clients.get("/resource-servers/edrs-ga/preview?client=fulton-cms&username=jlehz").await;
        assert_eq!(preview.status, 422, "it may not look at people: {preview:?}");
        // Who holds which role, recorded with the fingerprint of what was answered.
        let review = program.get("/access-review?role=medical-examiner").await;
        assert!(review.str("file").contains("jlehz") && !review.str("file").contains("administrator"), "{review:?}");
        let exported = harness.events("exported").pop().unwrap();
        assert_eq!(exported["detail"]["sha256"], review.json["sha256"]);
        // The record, checked behind the answer.
        assert_eq!(program.post("/audit/check", &Value::Null).await.status, 202);
        let ended = eventually(
            "end of the check",
            async || program.get("/audit/check").await.json.clone(),
            |check| check["last"].is_object(),
        );
        let ended = ended.await;
        assert_eq!((&ended["running"], &ended["last"]["sound"]), (&json!(false), &json!(true)), "{ended}");
        assert_eq!(harness.events("audit.checked").len(), 1);
        // People of a file: all of them, or nobody.
        let import = async |query: &str, file: &str, key: Option<&str>| {
            let request = program.request(Method::POST, &format!("/user-imports{query}"));
            let request = request.header("Content-Type", "text/csv").body(file.to_owned());
            let request = key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key));
            Answer::read(request.send().await.unwrap()).await
        };
        let file = "username,name,roles\none,First One,data-clerk\ntwo,Second Two,\n";
        let wrong = import("", "username,name,roles\none,First One,emperor\nclerk,Again,\n", None).await;
        assert_eq!(problem(&wrong), (422, "invalid"));
        assert!(wrong.text.contains("line 2: roles") && wrong.text.contains("line 3: username"), "{}", wrong.text);
        let checked = import("?dry_run=true", file, None).await;
        assert_eq!((checked.status, &checked.json["people"], &checked.json["added"]), (200, &json!(2), &json!(false)), "{checked:?}");
        assert_eq!(program.get("/users?q=first").await.json["items"], json!([]));
        let added = import("", file, Some("once-and-no-more")).await;
        assert_eq!((added.status, &added.json["added"]), (200, &json!(true)), "{added:?}");
        assert_eq!(added.json["invitations"].as_array().unwrap().len(), 2);
        let again = import("", file, Some("once-and-no-more")).await;
        assert_eq!(again.json, added.json, "the same key is answered again");
        assert_eq!(import("", file, None).await.status, 422, "they are there already");
        let toml = program.request(Method::POST, "/user-imports").header("Content-Type", "application/toml");
        assert_eq!(toml.body("x").send().await.unwrap().status(), 415);
    }
}

on_both! {
    /// Who sets what somebody else signs in with knows it, and could certify as that person.
    async fn what_somebody_else_set_opens_the_door_once(db) {
        const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        const OWN: &str = "seventeen quiet herons";
        let harness = Harness::start(db);
        let person = json!({
            "username": "puppet", "name": "Pat Puppet", "roles": ["medical-examiner"],
            "password": PASSWORD, "totp_secret": TOTP,
        });
        assert_eq!(Program::new(&harness, "admin").post("/users", &person).await.status, 201);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&harness.url("/account")).await;
        let page = agent.sign_in(login, "puppet", PASSWORD).await;
        assert_eq!(page.at(), "/login/new-password", "{page:?}");
        // Nor does whoever set it set up factors with it.
        for path in ["/login/set-up", "/login/set-up/app", "/login/set-up/passkey"] {
            let pending = page.answer().text.split("name=\"pending\" value=\"").nth(1).unwrap();
            let pending = pending.split('"').next().unwrap();
            let other = agent.get(&harness.url(&format!("{path}?pending={pending}"))).await;
            assert_eq!(other.at(), "/login", "{path}: {other:?}");
        }
        let page = agent.submit(&page, &[("current", PASSWORD), ("password", OWN), ("again", OWN)]).await;
        assert_eq!(page.at(), "/login/set-up", "the second factor was somebody else's too: {page:?}");
        let mut other = Agent::new(&harness);
        let login = other.get(&harness.url("/account")).await;
        assert_eq!(other.submit(&login, &[("username", "puppet"), ("password", PASSWORD)]).await.at(), "/login");
        // A second factor alone, with an invitation for the password, is no other thing.
        let person = json!({ "username": "half", "name": "H", "roles": ["medical-examiner"], "totp_secret": TOTP });
        let added = Program::new(&harness, "admin").post("/users", &person).await;
        let mut half = Agent::new(&harness);
        let page = half.get(added.json["invitation"]["url"].as_str().unwrap()).await;
        let page = half.submit(&page, &[("password", OWN), ("again", OWN)]).await;
        assert_eq!(page.at(), "/login/set-up", "{page:?}");
        // What an operator sets on the machine is final.
        harness.apply(&format!("[[user]]\nusername = \"operated\"\nname = \"O\"\nroles = [\"medical-examiner\"]\npassword = {PASSWORD:?}\ntotp_secret = \"{TOTP}\"\n"));
        let mut operated = Agent::new(&harness);
        let login = operated.get(&harness.url("/account")).await;
        assert_eq!(operated.sign_in(login, "operated", PASSWORD).await.at(), "/account");
    }
}
