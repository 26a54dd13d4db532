//! A certifier signs in to an EDRS through her case system: authorization code, tokens, introspection, refresh,
//! and everything that must fail.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, OAuth2TokenResponse,
    PkceCodeChallenge, RedirectUrl, RefreshToken, Scope, TokenResponse,
};
use serde_json::{Value, json};
use url::Url;

use crate::harness::agent::{Agent, Page, checkboxes, totp};
use crate::harness::{Answer, CALLBACK, CMS, CMS_BASE, EDRS, EDRS_BASE, FULTON, Harness, PASSWORD};
use crate::on_both;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const SCOPE: &str = "openid fhirUser user/Composition.crus user/Patient.rs __mdi.certify offline_access";

/// The authorization request of the case system, some parameters changed: an empty value leaves one out.
pub fn authorize_url(harness: &Harness, changes: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", FULTON.0),
        ("redirect_uri", CALLBACK),
        ("scope", SCOPE),
        ("state", "af0ifjsldkj98f3b2c1d0e9f8a7b6c5d"),
        ("nonce", "n-0S6"),
        ("aud", EDRS_BASE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("acr_values", "urn:mdi:acr:aal2"),
    ];
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    Url::parse_with_params(&harness.url("/oauth2/authorize"), parameters)
        .unwrap()
        .into()
}

/// Signs in and approves; answers the code.
pub async fn code_of(harness: &Harness, username: &str, changes: &[(&str, &str)]) -> String {
    let mut agent = Agent::new(harness);
    let login = agent.get(&authorize_url(harness, changes)).await;
    let consent = agent.sign_in(login, username, PASSWORD).await;
    let done = agent.approve(&consent).await;
    done.parameter("code")
        .unwrap_or_else(|| panic!("no code in {:?}", done.elsewhere()))
}

pub async fn redeem(harness: &Harness, code: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    harness.token(Some(FULTON), &form).await
}

pub async fn refresh(harness: &Harness, token: &str) -> Answer {
    harness
        .token(
            Some(FULTON),
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
        )
        .await
}

pub fn claims_of(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn header_of(jwt: &str) -> Value {
    let part = jwt.split('.').next().unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

on_both! {
    async fn dr_lehz_certifies(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        assert_eq!(login.at(), "/login");
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(consent.at(), "/consent");
        assert!(consent.answer().text.contains("Fulton County CMS"), "{}", consent.answer().text);
        assert!(checkboxes(&consent.answer().text).contains(&"__mdi.certify".to_owned()));
        let done = agent.approve(&consent).await;
        assert!(done.elsewhere().as_str().starts_with(CALLBACK));
        assert_eq!(done.parameter("state").as_deref(), Some("af0ifjsldkj98f3b2c1d0e9f8a7b6c5d"));
        assert_eq!(done.parameter("iss").as_deref(), Some(harness.issuer.as_str()), "RFC 9207 §2");

        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        // The record names where it leads and the roles that counted.
        let refreshed = refresh(&harness, tokens.str("refresh_token")).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        let issued = ["consent.given", "code.issued", "token.issued"].map(|kind| harness.events(kind));
        assert_eq!(issued.each_ref().map(Vec::len), [1, 1, 2]);
        for event in issued.iter().flatten() {
            assert_eq!((&event["detail"]["resource_server"], &event["detail"]["roles"]), (&json!("edrs-ga"), &json!("medical-examiner")), "{event}");
        }
        assert_eq!(tokens.header("cache-control"), "no-store");
        assert_eq!(tokens.str("token_type"), "Bearer");
        assert_eq!(tokens.str("scope"), SCOPE);
        assert_eq!(tokens.json["expires_in"], 900);

        let id_token = tokens.str("id_token");
        assert_eq!(header_of(id_token)["alg"], "RS256", "OpenID Connect Core §15.1");
        let id = claims_of(id_token);
        assert_eq!((&id["aud"], &id["nonce"], &id["acr"]), (&json!("fulton-cms"), &json!("n-0S6"), &json!("urn:mdi:acr:aal2")));
        assert_eq!(id["amr"], json!(["pwd", "otp"]));
        assert_eq!(id["fhirUser"], "https://edrs.ga.example/fhir/Practitioner/77");
        assert_eq!(id["security"]["confidentiality"], "Restricted");

        let access = tokens.str("access_token");
        assert_eq!(header_of(access)["typ"], "at+jwt", "RFC 9068 §2.1");
        let told = harness.introspect(EDRS, access).await;
        assert_eq!(told["active"], true);
        assert_eq!(told["token_type"], "Bearer");
        assert_eq!(told["username"], "jlehz");
        assert_eq!(told["aud"], json!([EDRS_BASE]));
        assert_eq!(told["client_id"], "fulton-cms");
        assert_eq!(told["sub"], id["sub"]);
        let roles = told["extensions"]["ihe_iua"]["subject_role"].as_array().unwrap();
        assert!(roles.iter().any(|role| role["code"] == "medical-examiner"), "{roles:?}");
        assert_eq!(told["extensions"]["ihe_iua"]["purpose_of_use"][0]["code"], "HDECD");

        // One source of truth: what the JWT says, introspection says.
        let jwt = claims_of(access);
        for (name, value) in jwt.as_object().unwrap().iter().filter(|(name, _)| *name != "mdi_grant") {
            assert_eq!(&told[name], value, "{name}");
        }

        let userinfo = harness.http.get(harness.url("/oauth2/userinfo")).bearer_auth(access).send().await.unwrap();
        let userinfo = Answer::read(userinfo).await;
        assert_eq!(userinfo.json["sub"], id["sub"]);
        assert_eq!(userinfo.json.get("email"), None, "the scope email was not granted");

        // Only those whom the token is for learn of it (IHE ITI-102).
        assert_eq!(harness.introspect(CMS, access).await, json!({ "active": false }));
    }
}

on_both! {
    async fn a_real_client_gets_its_tokens(db) {
        let harness = Harness::start(db);
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
        let metadata = CoreProviderMetadata::discover_async(IssuerUrl::new(harness.issuer.clone()).unwrap(), &http).await.unwrap();
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(FULTON.0.into()), Some(ClientSecret::new(FULTON.1.into())))
            .set_redirect_uri(RedirectUrl::new(CALLBACK.into()).unwrap());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["profile", "email", "fhirUser", "user/Composition.rs", "offline_access"].map(|scope| Scope::new(scope.into())))
            .add_extra_param("aud", EDRS_BASE)
            .set_pkce_challenge(challenge)
            .url();
        let mut agent = Agent::new(&harness);
        let login = agent.get(url.as_str()).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        let done = agent.approve(&consent).await;
        assert_eq!(done.parameter("state").as_ref(), Some(state.secret()));
        let tokens = client
            .exchange_code(AuthorizationCode::new(done.parameter("code").unwrap()))
            .unwrap()
            .set_pkce_verifier(verifier)
            .request_async(&http)
            .await
            .unwrap();
        // The harness's clock stands at its own time; the client checks signature, issuer, audience and nonce.
        let verifier = client.id_token_verifier().set_time_fn(|| chrono_time(crate::harness::BEGIN));
        let claims = tokens.id_token().unwrap().claims(&verifier, &nonce).unwrap();
        assert_eq!(claims.auth_context_ref().unwrap().as_str(), "urn:mdi:acr:aal2");
        let userinfo: openidconnect::core::CoreUserInfoClaims =
            client.user_info(tokens.access_token().clone(), Some(claims.subject().clone())).unwrap().request_async(&http).await.unwrap();
        assert_eq!(userinfo.email().unwrap().as_str(), "jlehz@fulton.example");
        assert_eq!(userinfo.given_name().unwrap().get(None).unwrap().as_str(), "Jane");
        let again = client
            .exchange_refresh_token(&RefreshToken::new(tokens.refresh_token().unwrap().secret().clone()))
            .unwrap()
            .request_async(&http)
            .await
            .unwrap();
        assert_ne!(again.refresh_token().unwrap().secret(), tokens.refresh_token().unwrap().secret());
    }
}

fn chrono_time(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(seconds, 0).unwrap()
}

/// What an authorization request is answered that nobody has signed in for.
enum Refusal {
    /// A page that names the parameter, and no redirect.
    Page(&'static str),
    /// A redirect with this error.
    Redirect(&'static str),
}

on_both! {
    async fn authorization_requests_are_refused(db) {
        use Refusal::{Page as AnErrorPage, Redirect};
        let harness = Harness::start(db);
        let long = "x".repeat(9000);
        #[rustfmt::skip]
        let rows: &[(&str, &[(&str, &str)], Refusal)] = &[
            ("RFC 6749 §4.1.2.1 no client_id",        &[("client_id", "")],                              AnErrorPage("client_id")),
            ("RFC 6749 §4.1.2.1 unknown client",      &[("client_id", "nobody")],                        AnErrorPage("client_id")),
            ("RFC 6749 §4.1.2.1 no redirect_uri",     &[("redirect_uri", "")],                           AnErrorPage("redirect_uri")),
            ("RFC 9700 §4.1.3 another path",          &[("redirect_uri", "https://cms.fulton.example/cb/x")], AnErrorPage("redirect_uri")),
            ("RFC 9700 §4.1.3 added query",           &[("redirect_uri", "https://cms.fulton.example/cb?x=1")], AnErrorPage("redirect_uri")),
            ("RFC 9700 §4.1.3 another host",          &[("redirect_uri", "https://evil.example/cb")],    AnErrorPage("redirect_uri")),
            ("RFC 6749 §3.1.2 fragment",              &[("redirect_uri", "https://cms.fulton.example/cb#f")], AnErrorPage("redirect_uri")),
            ("overlong",                              &[("state", &long)],                               AnErrorPage("longer than")),
            ("RFC 6749 §3.1.1 no response_type",      &[("response_type", "")],                          Redirect("invalid_request")),
            ("RFC 9700 §2.1.2 implicit",              &[("response_type", "token")],                     Redirect("unsupported_response_type")),
            ("RFC 9700 §2.1.2 hybrid",                &[("response_type", "code id_token")],             Redirect("unsupported_response_type")),
            ("response_mode=fragment",                &[("response_mode", "fragment")],                  Redirect("invalid_request")),
            ("RFC 7636 §4.4.1 no challenge",          &[("code_challenge", ""), ("code_challenge_method", "")], Redirect("invalid_request")),
            ("RFC 7636 §4.4.1 plain",                 &[("code_challenge_method", "plain")],             Redirect("invalid_request")),
            ("RFC 7636 §4.3 no method means plain",   &[("code_challenge_method", "")],                  Redirect("invalid_request")),
            ("RFC 7636 §4.2 malformed challenge",     &[("code_challenge", "short")],                    Redirect("invalid_request")),
            ("RFC 8707 §2 unknown aud",               &[("aud", "https://other.example/fhir")],          Redirect("invalid_target")),
            ("RFC 8707 §2 not the client's resource", &[("aud", ""), ("resource", CMS_BASE)],            Redirect("invalid_target")),
            ("SMART scope out of order",              &[("scope", "openid user/Patient.sr")],            Redirect("invalid_scope")),
            ("OIDC Core §6.1 request",                &[("request", "eyJ.e30.")],                        Redirect("request_not_supported")),
            ("OIDC Core §6.2 request_uri",            &[("request_uri", "https://x.example/r")],         Redirect("request_uri_not_supported")),
            ("OIDC Core §3.1.2.1 prompt",             &[("prompt", "create")],                           Redirect("invalid_request")),
            ("OIDC Core §3.1.2.1 none with others",   &[("prompt", "none login")],                       Redirect("invalid_request")),
            ("OIDC Core §3.1.2.6 prompt=none",        &[("prompt", "none")],                             Redirect("login_required")),
            ("OIDC Core §3.1.2.1 max_age",            &[("max_age", "-1")],                              Redirect("invalid_request")),
            ("OIDC Core §5.5 claims",                 &[("claims", "{")],                                Redirect("invalid_request")),
            ("OIDC Core §3.1.2.1 id_token_hint",      &[("id_token_hint", "garbage")],                   Redirect("invalid_request")),
        ];
        for (rule, changes, refusal) in rows {
            let mut agent = Agent::new(&harness);
            let met = agent.get(&authorize_url(&harness, changes)).await;
            match refusal {
                AnErrorPage(names) => {
                    let answer = met.answer();
                    assert_eq!(answer.status, 400, "{rule}");
                    assert!(answer.text.contains(names), "{rule}: {}", answer.text);
                    assert!(!answer.text.contains("evil.example"), "{rule}");
                    assert!(agent.hops.is_empty(), "{rule}: never a redirect");
                }
                Redirect(error) => {
                    assert_eq!(met.parameter("error").as_deref(), Some(*error), "{rule}: {:?}", met.elsewhere());
                    assert_eq!(met.parameter("iss").as_deref(), Some(harness.issuer.as_str()), "{rule}: RFC 9207 §2");
                    assert_eq!(met.parameter("state").as_deref(), Some("af0ifjsldkj98f3b2c1d0e9f8a7b6c5d"), "{rule}");
                    assert!(met.parameter("error_description").is_some_and(|text| text.len() > 10), "{rule}");
                    assert!(met.elsewhere().as_str().starts_with(CALLBACK), "{rule}");
                }
            }
        }
        let repeated = format!("{}&state=second", authorize_url(&harness, &[]));
        let met = Agent::new(&harness).get(&repeated).await;
        assert_eq!(met.parameter("error").as_deref(), Some("invalid_request"), "RFC 6749 §3.1: parameters only once");
        let repeated = format!("{}&client_id=other", authorize_url(&harness, &[]));
        let met = Agent::new(&harness).get(&repeated).await;
        assert_eq!(met.answer().status, 400, "a client_id given twice names nobody to redirect to");
        let not_utf8 = format!("{}&login_hint=%FF%FE", authorize_url(&harness, &[]));
        assert_eq!(Agent::new(&harness).get(&not_utf8).await.answer().status, 400, "RFC 6749 appendix B");
    }
}

on_both! {
    async fn codes_are_refused(db) {
        let harness = Harness::start(db);
        harness.apply(
            r#"
            [[client]]
            client_id = "other-cms"
            name = "Another CMS"
            dataflow = "cms-user-to-edrs"
            secret = "other-client-secret-0123456789-abcdef"
            redirect_uris = ["https://cms.fulton.example/cb"]
            resource_servers = ["edrs-ga"]
            "#,
        );
        let other = ("other-cms", "other-client-secret-0123456789-abcdef");
        let code = code_of(&harness, "jlehz", &[]).await;
        let wrong_verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX";
        #[rustfmt::skip]
        let rows: &[(&str, (&str, &str), &[(&str, &str)], &str)] = &[
            ("RFC 6749 §4.1.3 unknown code",     FULTON, &[("code", "unknown"), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], "invalid_grant"),
            ("RFC 6749 §4.1.3 another client",   other,  &[("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], "invalid_grant"),
            ("RFC 6749 §4.1.3 no redirect_uri",  FULTON, &[("code", &code), ("code_verifier", VERIFIER)], "invalid_grant"),
            ("RFC 6749 §4.1.3 another redirect", FULTON, &[("code", &code), ("redirect_uri", "https://cms.fulton.example/"), ("code_verifier", VERIFIER)], "invalid_grant"),
            ("RFC 7636 §4.6 wrong verifier",     FULTON, &[("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", wrong_verifier)], "invalid_grant"),
            ("RFC 7636 §4.6 no verifier",        FULTON, &[("code", &code), ("redirect_uri", CALLBACK)], "invalid_grant"),
            ("RFC 6749 §4.1.3 no code",          FULTON, &[("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)], "invalid_request"),
            ("RFC 8707 §2.2 another resource",   FULTON, &[("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER), ("resource", "https://x.example")], "invalid_target"),
        ];
        for (rule, client, form, error) in rows {
            let mut whole = vec![("grant_type", "authorization_code")];
            whole.extend_from_slice(form);
            let answer = harness.token(Some(*client), &whole).await;
            assert_eq!((answer.status, answer.error()), (400, *error), "{rule}: {answer:?}");
        }
        // The length of a verifier is told apart from one that does not fit.
        let short = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK), ("code_verifier", "twenty-characters-ab")];
        let short = harness.token(Some(FULTON), &short).await;
        assert!(short.description().contains("43 to 128"), "RFC 7636 §4.1: {short:?}");
        // None of this used the code up; and a minute later it is worth nothing.
        harness.clock.advance(61);
        let late = redeem(&harness, &code).await;
        assert_eq!((late.status, late.error()), (400, "invalid_grant"), "RFC 6749 §4.1.2: expired");
    }
}

on_both! {
    async fn a_replayed_code_revokes_what_it_produced(db) {
        let harness = Harness::start(db);
        let code = code_of(&harness, "jlehz", &[]).await;
        let first = redeem(&harness, &code).await;
        assert_eq!(first.status, 200, "{first:?}");
        let access = first.str("access_token").to_owned();
        assert_eq!(harness.introspect(EDRS, &access).await["active"], true);
        // A stranger with the code but without the client's secret revokes nothing.
        let stranger = harness.token(Some((FULTON.0, "wrong-secret-wrong-secret-wrong-secret")), &[("grant_type", "authorization_code"), ("code", &code)]).await;
        assert_eq!((stranger.status, stranger.error()), (401, "invalid_client"));
        assert_eq!(harness.introspect(EDRS, &access).await["active"], true);
        // Nor does who has the client's secret (everybody, if it is public) and the code, but not what belongs to it.
        for (rule, form) in [
            ("no verifier", vec![("redirect_uri", CALLBACK)]),
            ("another verifier", vec![("redirect_uri", CALLBACK), ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX")]),
            ("another redirect_uri", vec![("redirect_uri", "https://cms.fulton.example/"), ("code_verifier", VERIFIER)]),
        ] {
            let mut whole = vec![("grant_type", "authorization_code"), ("code", code.as_str())];
            whole.extend(form);
            let thief = harness.token(Some(FULTON), &whole).await;
            assert_eq!((thief.status, thief.error()), (400, "invalid_grant"), "{rule}: {thief:?}");
            assert_eq!(harness.introspect(EDRS, &access).await["active"], true, "{rule}");
        }
        let replay = redeem(&harness, &code).await;
        assert_eq!((replay.status, replay.error()), (400, "invalid_grant"), "{replay:?}");
        assert_eq!(harness.introspect(EDRS, &access).await, json!({ "active": false }), "RFC 6749 §4.1.2");
        let refreshed = refresh(&harness, first.str("refresh_token")).await;
        assert_eq!((refreshed.status, refreshed.error()), (400, "invalid_grant"));
    }
}

/// A public client: in the browser, and on the person's own machine.
const PUBLIC: &str = r#"
[[client]]
client_id = "smart-app"
name = "SMART application"
dataflow = "cms-user-to-edrs"
auth_method = "none"
redirect_uris = ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"]
resource_servers = ["edrs-ga"]
"#;

on_both! {
    async fn a_public_client_refreshes_without_its_id(db) {
        let harness = Harness::start(db);
        harness.apply(PUBLIC);
        let app = [("client_id", "smart-app"), ("redirect_uri", "https://app.example/cb")];
        let code = code_of(&harness, "jlehz", &app).await;
        let mut form = vec![("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
        form.extend(app);
        let tokens = harness.token(None, &form).await;
        let by_token_alone = |token: String| {
            let harness = &harness;
            async move { harness.token(None, &[("grant_type", "refresh_token"), ("refresh_token", &token)]).await }
        };
        let refreshed = by_token_alone(tokens.str("refresh_token").to_owned()).await;
        assert_eq!(refreshed.status, 200, "SMART App Launch 2.2 §2.0.12: {refreshed:?}");
        // A client that has to authenticate still has to, and loses nothing by what others send.
        harness.clock.advance(30);
        let confidential = redeem(&harness, &code_of(&harness, "jlehz", &[]).await).await;
        let held = confidential.str("refresh_token").to_owned();
        let unproven = by_token_alone(held.clone()).await;
        assert_eq!((unproven.status, unproven.error()), (401, "invalid_client"));
        let unknown = by_token_alone("unknown".to_owned()).await;
        assert_eq!(unknown.text, unproven.text, "nobody learns which tokens exist");
        assert_eq!(refresh(&harness, &held).await.status, 200, "it was not spent");
        // Who tries many is slowed down, and nobody else behind the same address.
        let mut last = unknown;
        for _ in 0..harness.app.config.login.address_attempts_per_minute {
            last = by_token_alone("unknown".to_owned()).await;
        }
        assert_eq!(last.status, 429, "{last:?}");
        assert_eq!(by_token_alone(refreshed.str("refresh_token").to_owned()).await.status, 200);
    }
}

on_both! {
    async fn a_program_on_the_machine_gets_nothing_without_a_page(db) {
        let harness = Harness::start(db);
        harness.apply(PUBLIC);
        let web = [("client_id", "smart-app"), ("redirect_uri", "https://app.example/cb"), ("scope", "openid user/Patient.rs")];
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &web)).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert!(agent.approve(&consent).await.parameter("code").is_some());
        // What she allowed is remembered where the answer goes to the application's own server, and nowhere else.
        let again = agent.get(&authorize_url(&harness, &web)).await;
        assert!(again.parameter("code").is_some(), "{again:?}");
        for redirect_uri in ["http://127.0.0.1:49152/cb", "com.example.app:/cb"] {
            let native = [("client_id", "smart-app"), ("redirect_uri", redirect_uri), ("scope", "openid user/Patient.rs")];
            for round in 1..3 {
                let asked = agent.get(&authorize_url(&harness, &native)).await;
                assert_eq!(asked.at(), "/consent", "RFC 8252 §8.6, {redirect_uri}, round {round}");
                assert!(agent.approve(&asked).await.parameter("code").is_some());
            }
            let mut silent = native.to_vec();
            silent.push(("prompt", "none"));
            let refused = agent.get(&authorize_url(&harness, &silent)).await;
            assert_eq!(refused.parameter("error").as_deref(), Some("interaction_required"), "{redirect_uri}");
        }
    }
}

on_both! {
    async fn a_refusal_by_redirect_stays_short_and_the_log_has_the_rest(db) {
        let harness = Harness::start(db);
        let many: Vec<String> = (0..60).map(|n| format!("user/Resource{n}.cruds")).collect();
        let mut agent = Agent::new(&harness);
        let refused = agent.get(&authorize_url(&harness, &[("scope", &many.join(" ")), ("acr_values", "")])).await;
        let refused = match refused.at() {
            "/login" => agent.sign_in(refused, "clerk", PASSWORD).await,
            _ => refused,
        };
        let query = refused.elsewhere().query().unwrap().to_owned();
        assert!(query.len() <= 500, "{} bytes: {query}", query.len());
        let told = refused.parameter("error_description").unwrap();
        assert!(told.contains("user/Resource0.cruds") && told.contains("The server's log has the rest under "), "{told}");
    }
}

on_both! {
    async fn refresh_tokens_rotate(db) {
        let harness = Harness::start(db);
        let code = code_of(&harness, "jlehz", &[]).await;
        let first = redeem(&harness, &code).await;
        let second = refresh(&harness, first.str("refresh_token")).await;
        assert_eq!(second.status, 200, "{second:?}");
        assert_eq!(second.str("scope"), "openid fhirUser user/Composition.crus user/Patient.rs offline_access", "certifying is never refreshed");
        // The client did not get the answer and asks again within the grace time: the same successor.
        harness.clock.advance(5);
        let repeated = refresh(&harness, first.str("refresh_token")).await;
        assert_eq!(repeated.str("refresh_token"), second.str("refresh_token"));
        assert_eq!(repeated.str("scope"), second.str("scope"));
        // RFC 6749 §6: scope may narrow, never widen.
        let narrowed = harness
            .token(Some(FULTON), &[("grant_type", "refresh_token"), ("refresh_token", second.str("refresh_token")), ("scope", "openid user/Patient.rs")])
            .await;
        assert_eq!(narrowed.str("scope"), "openid user/Patient.rs");
        let third = narrowed.str("refresh_token").to_owned();
        let widened = harness
            .token(Some(FULTON), &[("grant_type", "refresh_token"), ("refresh_token", &third), ("scope", "openid user/Location.rs")])
            .await;
        assert_eq!((widened.status, widened.error()), (400, "invalid_scope"));
        // The successor was used: the grace time of its predecessor is over, and the family ends.
        let replayed = refresh(&harness, first.str("refresh_token")).await;
        assert_eq!((replayed.status, replayed.error()), (400, "invalid_grant"), "{replayed:?}");
        let dead = refresh(&harness, &third).await;
        assert_eq!((dead.status, dead.error()), (400, "invalid_grant"), "RFC 9700 §4.14.2: the family is revoked");
        assert_eq!(harness.introspect(EDRS, narrowed.str("access_token")).await, json!({ "active": false }));
    }
}

on_both! {
    async fn access_is_refreshed_for_thirty_days_from_when_it_was_allowed(db) {
        let harness = Harness::start(db);
        let first = redeem(&harness, &code_of(&harness, "jlehz", &[]).await).await;
        let mut held = first.str("refresh_token").to_owned();
        for _ in 0..2 {
            harness.clock.advance(14 * 86_400);
            let refreshed = refresh(&harness, &held).await;
            assert_eq!(refreshed.status, 200, "{refreshed:?}");
            held = refreshed.str("refresh_token").to_owned();
        }
        harness.clock.advance(2 * 86_400);
        let refused = refresh(&harness, &held).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "two days after its last use");
        assert!(refused.description().contains("expired"), "{refused:?}");
    }
}

on_both! {
    async fn a_disabled_person_is_out_at_once(db) {
        let harness = Harness::start(db);
        let code = code_of(&harness, "jlehz", &[]).await;
        let tokens = redeem(&harness, &code).await;
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], true);
        harness.disable_user("jlehz");
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await, json!({ "active": false }), "at the next call");
        let refreshed = refresh(&harness, tokens.str("refresh_token")).await;
        assert_eq!((refreshed.status, refreshed.error()), (400, "invalid_grant"));
        harness.enable_user("jlehz");
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await, json!({ "active": false }), "enabling revives nothing");
    }
}

on_both! {
    async fn people_are_narrowed_and_told(db) {
        let harness = Harness::start(db);
        // A data clerk may not certify.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let consent = agent.sign_in(login, "clerk", PASSWORD).await;
        assert!(!checkboxes(&consent.answer().text).contains(&"__mdi.certify".to_owned()));
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        assert!(!tokens.str("scope").contains("__mdi.certify"), "{tokens:?}");
        assert!(tokens.str("scope").contains("user/Composition.cru"), "{tokens:?}");
        // Somebody without a role may sign in, and no more.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[("scope", "openid profile"), ("aud", ""), ("acr_values", "")])).await;
        let consent = agent.sign_in(login, "norole", PASSWORD).await;
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(tokens.str("scope"), "openid profile");
        let access = claims_of(tokens.str("access_token"));
        assert_eq!(access["aud"], json!([harness.issuer]), "no scope of a resource server, so its base is not in aud");
        assert_eq!(access["acr"], "urn:mdi:acr:aal1");
        // Named, asked, and nothing of it granted: denied.
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[("acr_values", "")])).await;
        let denied = agent.sign_in(login, "norole", PASSWORD).await;
        assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"), "{:?}", denied.elsewhere());
    }
}

on_both! {
    async fn consent_is_remembered_but_not_for_certifying(db) {
        let harness = Harness::start(db);
        let plain = [("scope", "openid user/Patient.rs user/Composition.rs")];
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &plain)).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        agent.approve(&consent).await.elsewhere();
        // Again: not asked.
        assert!(agent.get(&authorize_url(&harness, &plain)).await.parameter("code").is_some());
        // Silently as well.
        let silent = agent.get(&authorize_url(&harness, &[("scope", "openid user/Patient.rs"), ("prompt", "none")])).await;
        assert!(silent.parameter("code").is_some(), "{:?}", silent.elsewhere());
        // More is wanted, or the client insists: asked.
        assert_eq!(agent.get(&authorize_url(&harness, &[("scope", "openid user/Location.rs")])).await.at(), "/consent");
        assert_eq!(agent.get(&authorize_url(&harness, &[("scope", "openid"), ("prompt", "consent")])).await.at(), "/consent");
        let certify = [("scope", "openid __mdi.certify")];
        for _ in 0..2 {
            let asked = agent.get(&authorize_url(&harness, &certify)).await;
            assert_eq!(asked.at(), "/consent", "certifying is asked each time");
            agent.approve(&asked).await.elsewhere();
        }
        let silent = agent.get(&authorize_url(&harness, &[("scope", "openid __mdi.certify"), ("prompt", "none")])).await;
        assert_eq!(silent.parameter("error").as_deref(), Some("consent_required"));
        // The sign-in gets too old to certify: silently refused, otherwise asked for again, and asked for once.
        harness.clock.advance(16 * 60);
        let stale = agent.get(&authorize_url(&harness, &[("scope", "openid __mdi.certify"), ("prompt", "none")])).await;
        assert_eq!(stale.parameter("error").as_deref(), Some("login_required"));
        let login = agent.get(&authorize_url(&harness, &certify)).await;
        assert_eq!(login.at(), "/login");
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(consent.at(), "/consent", "no second sign-in");
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(tokens.json["expires_in"], 900);
        assert_eq!(tokens.str("scope"), "openid __mdi.certify");
    }
}

on_both! {
    async fn what_is_unticked_is_not_granted(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        let done = agent.submit(&consent, &[("scope", "user/Patient.rs"), ("scope", "user/Location.rs"), ("decision", "approve")]).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(tokens.str("scope"), "openid user/Patient.rs", "what was not asked cannot be ticked into existence");
        // Refusing everything goes back with access_denied.
        harness.clock.advance(30);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        let denied = agent.submit(&consent, &[("decision", "deny")]).await;
        assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
    }
}

on_both! {
    async fn prompt_and_max_age_ask_again_once(db) {
        let harness = Harness::start(db);
        let base = [("scope", "openid user/Patient.rs")];
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &base)).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        agent.approve(&consent).await.elsewhere();
        for changes in [[("scope", "openid user/Patient.rs"), ("prompt", "login")], [("scope", "openid user/Patient.rs"), ("max_age", "0")]] {
            harness.clock.advance(60);
            let login = agent.get(&authorize_url(&harness, &changes)).await;
            assert_eq!(login.at(), "/login", "{changes:?}");
            let done = agent.sign_in(login, "jlehz", PASSWORD).await;
            let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
            assert_eq!(claims_of(tokens.str("id_token"))["auth_time"], harness.now(), "{changes:?}");
        }
        let old = agent.get(&authorize_url(&harness, &[("scope", "openid"), ("max_age", "30"), ("prompt", "none")])).await;
        assert!(old.parameter("code").is_some(), "fresh enough");
        harness.clock.advance(31);
        let old = agent.get(&authorize_url(&harness, &[("scope", "openid"), ("max_age", "30"), ("prompt", "none")])).await;
        assert_eq!(old.parameter("error").as_deref(), Some("login_required"));
    }
}

on_both! {
    async fn the_answer_can_come_as_a_form_and_the_request_too(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        // A form of another site: without our cookies.
        let url = Url::parse(&authorize_url(&harness, &[("response_mode", "form_post"), ("scope", "openid user/Patient.rs")])).unwrap();
        let form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let posted = harness.http.post(harness.url("/oauth2/authorize")).header("Origin", "https://cms.fulton.example").form(&form).send().await.unwrap();
        assert_eq!(posted.status(), 303);
        let login = agent.get(&harness.url(posted.headers()["location"].to_str().unwrap())).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        let done = agent.approve(&consent).await;
        let answer = done.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains("action=\"https://cms.fulton.example/cb\""), "{}", answer.text);
        assert!(answer.text.contains("name=\"code\"") && answer.text.contains("name=\"iss\"") && answer.text.contains("name=\"state\""));
        assert!(answer.header("content-security-policy").contains("form-action 'self' https:"));
    }
}

on_both! {
    async fn a_page_left_open_over_night_begins_anew(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let mut page = agent.get(&authorize_url(&harness, &[])).await;
        // The sign-in page, then the consent page: each ends at a sign-in for the same application, with what happened.
        for left_open in ["/login", "/consent"] {
            assert_eq!(page.at(), left_open);
            harness.clock.advance(12 * 3600);
            let again = match left_open {
                "/login" => agent.sign_in(page, "jlehz", PASSWORD).await,
                _ => agent.approve(&page).await,
            };
            let answer = again.answer();
            assert_eq!((again.at(), answer.status), ("/login", 200), "{left_open}");
            assert!(answer.text.contains("This page was open for a long time"), "{left_open}: {}", answer.text);
            page = agent.sign_in(again, "jlehz", PASSWORD).await;
        }
        let tokens = redeem(&harness, &agent.approve(&page).await.parameter("code").unwrap()).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
    }
}

on_both! {
    async fn wrong_passwords_and_codes(db) {
        let harness = Harness::start(db);
        let mut texts = Vec::new();
        for (username, password) in [("jlehz", "wrong"), ("nobody-at-all", PASSWORD)] {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[])).await;
            let refused = agent.submit(&login, &[("username", username), ("password", password)]).await;
            assert_eq!(refused.at(), "/login");
            assert!(refused.answer().text.contains(&format!("value=\"{username}\"")), "what was typed is kept");
            texts.push(error_summary(&refused));
        }
        assert_eq!(texts[0], texts[1], "the text does not tell who exists");
        // A code works once.
        let mut first = Agent::new(&harness);
        let login = first.get(&authorize_url(&harness, &[])).await;
        assert_eq!(first.sign_in(login, "jlehz", PASSWORD).await.at(), "/consent");
        let mut second = Agent::new(&harness);
        let login = second.get(&authorize_url(&harness, &[])).await;
        let refused = second.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(refused.at(), "/login/second-factor", "the same code twice");
        harness.clock.advance(30);
        let code = totp(harness.now());
        assert_eq!(second.submit(&refused, &[("totp", &code)]).await.at(), "/consent", "the next code");
        // The second factor cannot be skipped.
        let mut third = Agent::new(&harness);
        let login = third.get(&authorize_url(&harness, &[])).await;
        third.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
        let back = third.get(&authorize_url(&harness, &[])).await;
        assert_eq!(back.at(), "/login/second-factor");
        let silent = third.get(&authorize_url(&harness, &[("prompt", "none")])).await;
        assert_eq!(silent.parameter("error").as_deref(), Some("login_required"));
        // Five wrong codes, and the sign-in starts over.
        let mut page = back;
        for _ in 0..5 {
            page = third.submit(&page, &[("totp", "000000")]).await;
        }
        assert_eq!(page.at(), "/login");
    }
}

fn error_summary(page: &Page) -> String {
    let text = &page.answer().text;
    let start = text
        .find("role=\"alert\"")
        .unwrap_or_else(|| panic!("no error summary in {text}"));
    text[start..]
        .chars()
        .take(400)
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

on_both! {
    async fn the_sixth_attempt_meets_a_lock(db) {
        let harness = Harness::start(db);
        for _ in 0..5 {
            let mut agent = Agent::new(&harness);
            let login = agent.get(&authorize_url(&harness, &[])).await;
            agent.submit(&login, &[("username", "jlehz"), ("password", "wrong")]).await;
        }
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let locked = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(locked.at(), "/login", "the right password does not help");
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let wrong = agent.submit(&login, &[("username", "clerk"), ("password", "wrong")]).await;
        assert_eq!(error_summary(&locked), error_summary(&wrong), "a lock looks like a wrong password");
        harness.clock.advance(901);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        assert_eq!(agent.sign_in(login, "jlehz", PASSWORD).await.at(), "/consent");
    }
}

on_both! {
    async fn forms_of_other_sites_and_browsers_are_refused(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        // Moved to another browser: its cookie is missing or another one.
        let mut other = Agent::new(&harness);
        let moved = other.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await;
        assert_eq!(moved.answer().status, 400);
        assert!(moved.answer().text.contains("csrf"));
        other.get(&authorize_url(&harness, &[])).await;
        assert_eq!(other.submit(&login, &[("username", "jlehz"), ("password", PASSWORD)]).await.answer().status, 400);
        let Page::Ours { url, .. } = &login else { panic!() };
        assert_eq!(other.get(&harness.url(url)).await.answer().status, 400, "the link of another browser");
        // From another origin.
        let cookies: Vec<String> = agent.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let foreign = harness.http.post(harness.url("/login")).header("Cookie", cookies.join("; ")).header("Origin", "https://evil.example");
        let foreign = foreign.form(&[("username", "jlehz"), ("password", PASSWORD)]).send().await.unwrap();
        assert_eq!(foreign.status(), 400);
    }
}

on_both! {
    async fn bluejay_gets_what_it_understands(db) {
        let harness = Harness::start(db);
        harness.apply(
            r#"
            [[resource_server]]
            id = "edrs-ga"
            name = "Georgia EDRS"
            audience = "https://edrs.ga.example/fhir"
            kind = "edrs"
            token_typ = "JWT"
            signing_alg = "RS256"
            "#,
        );
        let code = code_of(&harness, "jlehz", &[("scope", "openid user/Composition.write user/Patient.read")]).await;
        let tokens = redeem(&harness, &code).await;
        let access = tokens.str("access_token");
        assert_eq!((&header_of(access)["typ"], &header_of(access)["alg"]), (&json!("JWT"), &json!("RS256")));
        let scope = claims_of(access)["scope"].as_str().unwrap().to_owned();
        assert!(scope.contains("user/Patient.rs") && !scope.contains(".write"), "{scope}");
        assert_eq!(claims_of(access)["aud"], json!([EDRS_BASE]));
    }
}

on_both! {
    async fn claims_and_hints_are_honoured(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        // A claim asked for by name is released by itself, where it was asked for.
        let wish = json!({ "userinfo": { "email": null }, "id_token": { "given_name": null } }).to_string();
        let login = agent.get(&authorize_url(&harness, &[("scope", "openid"), ("claims", &wish)])).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(checkboxes(&consent.answer().text), ["email", "given_name"]);
        let done = agent.approve(&consent).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        let id_token = tokens.str("id_token").to_owned();
        assert_eq!(claims_of(&id_token)["given_name"], "Jane");
        let userinfo = userinfo(&harness, &tokens).await;
        assert_eq!(userinfo["email"], "jlehz@fulton.example");
        let twice = harness.http.post(harness.url("/oauth2/userinfo")).bearer_auth(tokens.str("access_token"));
        let twice = twice.form(&[("access_token", tokens.str("access_token"))]).send().await.unwrap();
        assert_eq!(twice.status(), 400, "RFC 6750 §2: one way only");
        let none = Answer::read(harness.http.get(harness.url("/oauth2/userinfo")).send().await.unwrap()).await;
        assert_eq!((none.status, none.header("www-authenticate")), (401, "Bearer realm=\"mdi-auth\""), "RFC 6750 §3.1");
        // The client expects somebody.
        let silent = [("scope", "openid"), ("prompt", "none"), ("id_token_hint", id_token.as_str())];
        assert!(agent.get(&authorize_url(&harness, &silent)).await.parameter("code").is_some());
        let other = json!({ "id_token": { "sub": { "value": "usr_somebody_else" } } }).to_string();
        let silent = [("scope", "openid"), ("prompt", "none"), ("claims", other.as_str())];
        assert_eq!(agent.get(&authorize_url(&harness, &silent)).await.parameter("error").as_deref(), Some("login_required"));
        let essential = json!({ "id_token": { "acr": { "essential": true, "values": ["urn:mdi:acr:aal3"] } } }).to_string();
        let unmet = agent.get(&authorize_url(&harness, &[("scope", "openid"), ("claims", &essential)])).await;
        assert_eq!(unmet.parameter("error").as_deref(), Some("unmet_authentication_requirements"));
    }
}

/// A code for what is asked, whether or not the person has to be asked as well.
async fn code_anyhow(harness: &Harness, changes: &[(&str, &str)]) -> String {
    let mut agent = Agent::new(harness);
    let login = agent.get(&authorize_url(harness, changes)).await;
    let page = agent.sign_in(login, "jlehz", PASSWORD).await;
    let done = match page {
        Page::Elsewhere(_) => page,
        Page::Ours { .. } => agent.approve(&page).await,
    };
    done.parameter("code")
        .unwrap_or_else(|| panic!("{changes:?}: {done:?}"))
}

/// What the userinfo endpoint says to a token.
async fn userinfo(harness: &Harness, tokens: &Answer) -> Value {
    let request = harness.http.post(harness.url("/oauth2/userinfo"));
    let answer = request
        .bearer_auth(tokens.str("access_token"))
        .send()
        .await
        .unwrap();
    Answer::read(answer).await.json
}

/// The names of a JSON object, but for those that every ID token has.
fn told(claims: &Value) -> Vec<&str> {
    const ALWAYS: [&str; 11] = [
        "acr",
        "amr",
        "at_hash",
        "aud",
        "auth_time",
        "exp",
        "iat",
        "iss",
        "nonce",
        "sid",
        "sub",
    ];
    let names = claims.as_object().unwrap().keys().map(String::as_str);
    names.filter(|name| !ALWAYS.contains(name)).collect()
}

on_both! {
    async fn a_claim_asked_for_by_name_releases_itself_and_nothing_else(db) {
        let harness = Harness::start(db);
        // The scope, where which claims are wanted, what is answered as scope, what ID token and userinfo tell.
        type Row = (&'static str, Value, &'static str, &'static [&'static str], &'static [&'static str]);
        let rows: [Row; 7] = [
            ("openid", json!({ "userinfo": { "name": { "essential": true } } }), "openid", &[], &["name"]),
            ("openid", json!({ "id_token": { "name": null } }), "openid", &["name"], &[]),
            ("openid", json!({ "id_token": { "email": null }, "userinfo": { "birthdate": null } }), "openid", &["email"], &["birthdate"]),
            ("openid email", json!({ "id_token": { "email": null } }), "openid email", &["email"], &["email", "email_verified"]),
            // What scopes release stands at userinfo (OpenID Connect Core 5.4).
            ("openid email", json!({}), "openid email", &[], &["email", "email_verified"]),
            // Outside of what the client is registered for, and outside of what anybody releases.
            ("openid", json!({ "userinfo": { "phone_number": null, "roles": null, "password": null } }), "openid", &[], &[]),
            ("openid", json!({}), "openid", &[], &[]),
        ];
        harness.apply(
            "[[client]]\nclient_id = \"fulton-cms\"\nname = \"Fulton County CMS\"\ndataflow = \"cms-user-to-edrs\"\n\
             [[user]]\nusername = \"jlehz\"\n[user.claims]\nbirthdate = \"1980-02-29\"\nphone_number = \"+1 404 555 0100\"\ngiven_name = \"Jane\"\n",
        );
        for (scope, wish, granted, id_token, at_userinfo) in rows {
            harness.clock.advance(61);
            let wish = wish.to_string();
            let code = code_anyhow(&harness, &[("scope", scope), ("aud", ""), ("claims", &wish)]).await;
            let tokens = redeem(&harness, &code).await;
            assert_eq!(tokens.str("scope").split(' ').collect::<std::collections::BTreeSet<_>>(),
                granted.split(' ').collect(), "{wish}");
            let id = claims_of(tokens.str("id_token"));
            assert_eq!(told(&id), id_token, "{scope} {wish}");
            assert_eq!(told(&userinfo(&harness, &tokens).await), at_userinfo, "{scope} {wish}");
        }
    }
}

on_both! {
    async fn each_claim_can_be_unticked_and_consent_remembers_which(db) {
        let harness = Harness::start(db);
        let wish = json!({ "userinfo": { "name": null, "email": null } }).to_string();
        let asked = [("scope", "openid"), ("aud", ""), ("claims", wish.as_str())];
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &asked)).await;
        let consent = agent.sign_in(login, "jlehz", PASSWORD).await;
        let text = &consent.answer().text;
        assert!(text.contains("See your full name") && text.contains("See your e-mail address"), "{text}");
        assert!(!text.contains("See your name and profile"), "{text}");
        let done = agent.submit(&consent, &[("claim", "email"), ("claim", "birthdate"), ("decision", "approve")]).await;
        let tokens = redeem(&harness, &done.parameter("code").unwrap()).await;
        assert_eq!(told(&userinfo(&harness, &tokens).await), ["email"], "what was not asked cannot be ticked into existence");
        let given = harness.events("consent.given").pop().unwrap();
        assert_eq!(given["detail"]["claims"], "email");
        // What was allowed is not asked again; what was not, is.
        let email = json!({ "id_token": { "email": null } }).to_string();
        let silent = agent.get(&authorize_url(&harness, &[("scope", "openid"), ("aud", ""), ("claims", &email), ("prompt", "none")])).await;
        let tokens = redeem(&harness, &silent.parameter("code").unwrap_or_else(|| panic!("{silent:?}"))).await;
        assert_eq!(told(&claims_of(tokens.str("id_token"))), ["email"]);
        let mut more = asked.to_vec();
        more.push(("prompt", "none"));
        let refused = agent.get(&authorize_url(&harness, &more)).await;
        assert_eq!(refused.parameter("error").as_deref(), Some("consent_required"));
        let again = agent.get(&authorize_url(&harness, &asked)).await;
        assert_eq!(again.at(), "/consent");
        agent.approve(&again).await.elsewhere();
        let now = agent.get(&authorize_url(&harness, &more)).await;
        assert!(now.parameter("code").is_some(), "{now:?}");
        // The person sees it among what the application may do.
        let account = agent.get(&harness.url("/account")).await;
        assert!(account.answer().text.contains("See your full name"), "{}", account.answer().text);
    }
}

on_both! {
    async fn a_client_that_looks_nowhere_else_finds_it_in_the_id_token(db) {
        let harness = Harness::start(db);
        let client = |set: &str| format!("[[client]]\nclient_id = \"fulton-cms\"\nname = \"Fulton County CMS\"\ndataflow = \"cms-user-to-edrs\"\n{set}\n");
        for (set, id_token) in [("", &[][..]), ("id_token_claims = true", &["email", "email_verified", "name", "preferred_username"])] {
            harness.clock.advance(61);
            harness.apply(&client(set));
            let code = code_anyhow(&harness, &[("scope", "openid profile email"), ("aud", "")]).await;
            let tokens = redeem(&harness, &code).await;
            assert_eq!(told(&claims_of(tokens.str("id_token"))), id_token, "{set}");
            let userinfo = userinfo(&harness, &tokens).await;
            assert_eq!((&userinfo["name"], &userinfo["email"]), (&json!("Jane Lehz, MD"), &json!("jlehz@fulton.example")), "{set}");
        }
    }
}

on_both! {
    async fn a_refresh_ends_with_what_it_stands_on(db) {
        let harness = Harness::start(db);
        harness.apply(
            "[[user]]\nusername = \"locum\"\nname = \"Lee Locum\"\npassword = \"correct horse battery staple\"\n\
             totp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [\"certifying-physician\"]\n\
             license_expires = \"2026-11-30\"\n",
        );
        let scope = [("scope", "openid offline_access user/Composition.rs")];
        let code = code_of(&harness, "locum", &scope).await;
        let first = redeem(&harness, &code).await;
        assert_eq!(claims_of(first.str("id_token"))["nonce"], "n-0S6");
        let second = refresh(&harness, first.str("refresh_token")).await;
        assert_eq!(claims_of(second.str("id_token")).get("nonce"), None, "OpenID Connect Core §12.2");
        // The licence ends on the day.
        harness.clock.advance(12 * 24 * 3600);
        let ended = refresh(&harness, second.str("refresh_token")).await;
        assert_eq!((ended.status, ended.error()), (400, "invalid_grant"), "{ended:?}");
        // So does a role that was taken away.
        let code = code_of(&harness, "jlehz", &scope).await;
        let tokens = redeem(&harness, &code).await;
        harness.apply("[[user]]\nusername = \"jlehz\"\nroles = [\"auditor\"]\n");
        let lost = refresh(&harness, tokens.str("refresh_token")).await;
        assert_eq!((lost.status, lost.error()), (400, "invalid_grant"));
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await, json!({ "active": false }));
    }
}

on_both! {
    async fn write_becomes_letters(db) {
        let harness = Harness::start(db);
        harness.apply(
            r#"
            [[resource_server]]
            id = "edrs-ga"
            name = "Georgia EDRS"
            audience = "https://edrs.ga.example/fhir"
            kind = "edrs"
            token_format = "opaque"

            [[client]]
            client_id = "fulton-cms"
            name = "Fulton County CMS"
            dataflow = "cms-user-to-edrs"
            require_pkce = false
            "#,
        );
        // Without PKCE where an administrator allowed it; and a verifier without a challenge is a downgrade.
        let plain = [("scope", "openid user/Composition.write"), ("code_challenge", ""), ("code_challenge_method", "")];
        let code = code_of(&harness, "jlehz", &plain).await;
        let refused = redeem(&harness, &code).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "RFC 9700 §4.8.2");
        let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
        let tokens = harness.token(Some(FULTON), &form).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let told = harness.introspect(EDRS, tokens.str("access_token")).await;
        assert_eq!(told["scope"], "openid user/Composition.cu", "an opaque token of a person, in letters");
        assert_eq!(told["username"], "jlehz");
    }
}
