//! The headers of every answer, and the answers to wrong methods and unknown URLs.

use mdi_auth::config::Issuer;

use crate::harness::agent::Agent;
use crate::harness::{Answer, Db, Harness};
use crate::person_flow::authorize_url;

const URLS: [&str; 25] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/oauth2/jwks",
    "/oauth2/authorize",
    "/oauth2/token",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/oauth2/userinfo",
    "/login",
    "/login/second-factor",
    "/login/passkey",
    "/login/second-factor/passkey",
    "/login/set-up/passkey",
    "/account/passkeys/add",
    "/account/passkeys/rename",
    "/account/passkeys/remove",
    "/consent",
    "/fhir/CodeSystem/mdi-role",
    "/fhir/edrs-ga/smart-configuration",
    "/admin/api/openapi.json",
    "/admin/api/docs",
    "/admin/api/v1/clients",
    "/healthz",
    "/readyz",
    "/no/such/url",
];

#[tokio::test]
async fn every_answer_is_guarded() {
    let harness = Harness::start(Db::Sqlite);
    for path in URLS {
        for method in [
            reqwest::Method::GET,
            reqwest::Method::POST,
            reqwest::Method::PUT,
            reqwest::Method::DELETE,
        ] {
            let answer = harness
                .http
                .request(method.clone(), harness.url(path))
                .send()
                .await
                .unwrap();
            let answer = Answer::read(answer).await;
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            assert!(
                answer
                    .header("content-security-policy")
                    .starts_with("default-src 'none'"),
                "{method} {path}"
            );
            assert!(
                answer
                    .header("content-security-policy")
                    .contains("frame-ancestors 'none'"),
                "{method} {path}"
            );
            assert!(
                !answer.header("content-security-policy").contains("unsafe"),
                "{method} {path}"
            );
            assert_eq!(
                answer.header("x-content-type-options"),
                "nosniff",
                "{method} {path}"
            );
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{method} {path}");
            assert_eq!(
                answer.header("cross-origin-opener-policy"),
                "same-origin",
                "{method} {path}"
            );
            assert_eq!(
                answer.header("strict-transport-security"),
                "",
                "no HSTS on loopback"
            );
            assert_eq!(answer.header("server"), "", "{method} {path}");
            if answer.status == 405 {
                assert!(
                    !answer.header("allow").contains(method.as_str()),
                    "{method} {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_public_issuer_has_hsts_and_plain_cookie_names() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.server.issuer = Issuer::parse("https://as.example").unwrap();
    });
    // The certificate is also good for localhost, where the harness asks.
    let port = harness.port();
    let answer = harness
        .http
        .get(format!("https://localhost:{port}/healthz"))
        .send()
        .await
        .unwrap();
    assert!(
        Answer::read(answer)
            .await
            .header("strict-transport-security")
            .starts_with("max-age=63072000")
    );
    let url =
        authorize_url(&harness, &[]).replace("https://as.example", &format!("https://localhost:{port}"));
    let answer = Answer::read(harness.http.get(url).send().await.unwrap()).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-mdi-browser="), "{cookie}");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn only_registered_origins_may_call_the_token_endpoint() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(
        r#"
        [[client]]
        client_id = "dashboard"
        name = "Raven dashboard"
        dataflow = "cms-user-to-edrs"
        auth_method = "none"
        redirect_uris = ["https://dashboard.example/cb"]
        cors_origins = ["https://dashboard.example"]
        resource_servers = ["edrs-ga"]
        "#,
    );
    for (origin, allowed) in [
        ("https://dashboard.example", true),
        ("https://evil.example", false),
    ] {
        let preflight = harness
            .http
            .request(reqwest::Method::OPTIONS, harness.url("/oauth2/token"))
            .header("Origin", origin);
        let preflight = Answer::read(
            preflight
                .header("Access-Control-Request-Method", "POST")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (
                preflight.status == 204,
                preflight.header("access-control-allow-origin") == origin
            ),
            (allowed, allowed),
            "{origin}"
        );
        let posted = harness
            .http
            .post(harness.url("/oauth2/token"))
            .header("Origin", origin)
            .form(&[("grant_type", "x")]);
        let posted = Answer::read(posted.send().await.unwrap()).await;
        assert_eq!(
            posted.header("access-control-allow-origin") == origin,
            allowed,
            "{origin}"
        );
    }
    let discovery = harness
        .http
        .get(harness.url("/.well-known/openid-configuration"))
        .header("Origin", "https://evil.example");
    assert_eq!(
        Answer::read(discovery.send().await.unwrap())
            .await
            .header("access-control-allow-origin"),
        "*"
    );
}

#[tokio::test]
async fn what_anybody_may_read_has_a_preflight() {
    let harness = Harness::start(Db::Sqlite);
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/oauth2/jwks",
        "/fhir/edrs-ga/smart-configuration",
        "/fhir/CodeSystem/mdi-role",
    ] {
        let preflight = harness
            .http
            .request(reqwest::Method::OPTIONS, harness.url(path))
            .header("Origin", "https://anywhere.example")
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "authorization")
            .send();
        let preflight = Answer::read(preflight.await.unwrap()).await;
        let header = |name: &str| {
            preflight
                .header(&format!("access-control-allow-{name}"))
                .to_owned()
        };
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(
            (header("origin").as_str(), header("methods").as_str()),
            ("*", "GET, HEAD"),
            "{path}"
        );
        assert!(header("headers").contains("authorization"), "{path}");
        // The preflight alone: nothing else is opened by it.
        let posted = Answer::read(harness.http.post(harness.url(path)).send().await.unwrap()).await;
        assert_eq!(
            (posted.status, posted.header("allow")),
            (405, "GET, HEAD, OPTIONS"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn plain_http_is_for_a_trusted_proxy_that_speaks_https() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.server.proxy_listen = Some(proxy);
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let url = format!("http://{proxy}/.well-known/openid-configuration");
    let plain = reqwest::Client::new().get(&url).send().await.unwrap();
    assert_eq!(plain.status(), 400);
    let forwarded = reqwest::Client::new()
        .get(&url)
        .header("X-Forwarded-Proto", "https")
        .send()
        .await
        .unwrap();
    let forwarded = Answer::read(forwarded).await;
    assert_eq!(
        (forwarded.status, forwarded.str("issuer")),
        (200, harness.issuer.as_str())
    );
}

#[tokio::test]
async fn pages_name_no_secret_and_run_no_inline_code() {
    let harness = Harness::start(Db::Sqlite);
    let mut agent = Agent::new(&harness);
    let login = agent.get(&authorize_url(&harness, &[])).await;
    let second = agent
        .submit(
            &login,
            &[("username", "jlehz"), ("password", crate::harness::PASSWORD)],
        )
        .await;
    let code = crate::harness::agent::totp(harness.now());
    let consent = agent.submit(&second, &[("totp", &code)]).await;
    for page in [&login, &second, &consent] {
        let answer = page.answer();
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.text.contains("lang=\"en-US\""));
        assert!(
            !answer.text.contains(" style=")
                && !answer.text.contains(" onclick=")
                && !answer.text.contains("<script>")
        );
        assert!(!answer.text.contains(crate::harness::PASSWORD));
    }
    for hop in &agent.hops {
        assert!(
            !hop.contains(crate::harness::PASSWORD) && !hop.contains("af0ifjsldkj98f3b2c1d0e9f8a7b6c5d"),
            "{hop}"
        );
    }
}

/// Whoever keeps our keys for as long as we say has the next one before it signs.
#[tokio::test]
async fn our_keys_are_kept_for_less_than_a_new_one_waits() {
    for (publish_seconds, kept) in [(3600, "public, max-age=300"), (60, "public, max-age=30")] {
        let harness = Harness::start_with(Db::Sqlite, |config| config.keys.publish_seconds = publish_seconds);
        assert_eq!(harness.get("/oauth2/jwks").await.header("cache-control"), kept);
    }
}
