//! A toxicology LIMS gets a token without a human and pushes a result to a CMS; and everything that must fail.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::assertion::{ClientKey, TYPE, claims};
use crate::harness::{Answer, CMS, CMS_BASE, EDRS, Harness, LIMS};
use crate::on_both;

const SCOPE: &str = "system/MessageHeader.c system/Bundle.c http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message";

/// Registers a LIMS that signs assertions.
/// A client whose secret is taken in the header alone.
const STRICT: (&str, &str) = ("lims-strict", "lims-strict-secret-0123456789-abcdef");

fn register(harness: &Harness, client_id: &str, keys: &[Value]) {
    let jwks = json!({ "keys": keys }).to_string();
    harness.apply(&format!(
        r#"
        [[client]]
        client_id = "{client_id}"
        name = "UF Forensic Toxicology LIMS"
        dataflow = "lims-to-cms"
        auth_method = "private_key_jwt"
        jwks = '{jwks}'
        organization = {{ name = "UF Pathology Labs", id = "urn:oid:2.16.840.1.113883.3.9999.2" }}
        resource_servers = ["cms-fulton"]
        "#
    ));
}

async fn ask(harness: &Harness, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    form.extend_from_slice(more);
    harness.token(None, &form).await
}

on_both! {
    async fn a_lims_pushes_a_result(db) {
        let harness = Harness::start(db);
        let key = ClientKey::new(Algorithm::ES384, "k1");
        register(&harness, "lims-uf-tox", &[key.jwk()]);
        let assertion = key.sign(&claims("lims-uf-tox", &harness.url("/oauth2/token"), harness.now()));
        let answer = ask(&harness, &assertion, &[("scope", SCOPE), ("resource", CMS_BASE)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.str("scope"), SCOPE);
        assert_eq!((&answer.json["token_type"], &answer.json["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert_eq!(answer.json.get("refresh_token"), None, "RFC 6749 §4.4.3");
        assert_eq!(answer.json.get("id_token"), None);
        let issued = harness.events("token.issued").pop().unwrap();
        assert_eq!(issued["detail"]["resource_server"], "cms-fulton", "the record names where it leads");

        // The CMS introspects with a bearer token of its own.
        let own = harness.token(Some(CMS), &[("grant_type", "client_credentials"), ("scope", "__mdi.introspect")]).await;
        assert_eq!(own.str("scope"), "__mdi.introspect");
        let told = harness.http.post(harness.url("/oauth2/introspect")).bearer_auth(own.str("access_token")).form(&[("token", answer.str("access_token"))]);
        let told = Answer::read(told.send().await.unwrap()).await;
        assert_eq!(told.json["active"], true, "{told:?}");
        assert_eq!((&told.json["sub"], &told.json["client_id"]), (&json!("lims-uf-tox"), &json!("lims-uf-tox")));
        assert_eq!(told.json["aud"], json!([CMS_BASE]));
        assert_eq!(told.json["extensions"]["ihe_iua"]["subject_organization"], "UF Pathology Labs");
        assert_eq!(told.json["extensions"]["ihe_iua"]["purpose_of_use"][0]["code"], "HDECD");
        assert!(told.json["exp"].is_i64() && told.json["scope"].is_string());

        // Disabled: inactive at the next call.
        harness.disable_client("lims-uf-tox");
        assert_eq!(harness.introspect(CMS, answer.str("access_token")).await, json!({ "active": false }));
        let assertion = key.sign(&claims("lims-uf-tox", &harness.issuer, harness.now()));
        let refused = ask(&harness, &assertion, &[]).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
        assert!(!refused.description().contains("disabled"), "a stranger does not learn it: {refused:?}");
    }
}

on_both! {
    async fn every_algorithm_signs_in(db) {
        let harness = Harness::start(db);
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA] {
            let (id, key) = (format!("lims-{algorithm:?}").to_lowercase(), ClientKey::new(algorithm, "k1"));
            register(&harness, &id, &[key.jwk()]);
            let answer = ask(&harness, &key.sign(&claims(&id, &harness.issuer, harness.now())), &[]).await;
            assert_eq!(answer.status, 200, "{algorithm:?}: {answer:?}");
            assert_eq!(answer.str("scope"), SCOPE, "no scope asked: the dataflow's");
        }
    }
}

on_both! {
    async fn assertions_are_refused(db) {
        let harness = Harness::start(db);
        let (key, stranger) = (ClientKey::new(Algorithm::ES384, "k1"), ClientKey::new(Algorithm::ES384, "k1"));
        let (rsa, twin) = (ClientKey::new(Algorithm::RS256, "r1"), ClientKey::new(Algorithm::ES384, "k2"));
        register(&harness, "lims-uf-tox", &[key.jwk(), twin.jwk(), rsa.jwk()]);
        let now = harness.now();
        let good = claims("lims-uf-tox", &harness.url("/oauth2/token"), now);
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        let without = |name: &str| {
            let mut changed = good.clone();
            changed.as_object_mut().unwrap().remove(name);
            changed
        };
        let header = |more: Value| {
            let mut header = json!({ "alg": "ES384", "kid": "k1", "typ": "JWT" });
            header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            header
        };
        let encode = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "JWT" })), encode(&good));
        let public_key = rsa.jwk()["n"].as_str().unwrap().to_owned();
        let hs256 = jsonwebtoken::encode(
            &jsonwebtoken::Header::new(Algorithm::HS256),
            &good,
            &jsonwebtoken::EncodingKey::from_secret(public_key.as_bytes()),
        ).unwrap();
        #[rustfmt::skip]
        let rows: Vec<(&str, String, &str)> = vec![
            ("RFC 7523 §3 exp too far",             key.sign(&with("exp", json!(now + 600))), "exp"),
            ("RFC 7523 §3 expired",                 key.sign(&with("exp", json!(now))), "expired"),
            ("RFC 7523 §3 iat ahead of the clock",  key.sign(&with("iat", json!(now + 60))), "iat"),
            ("RFC 7523 §3 nbf ahead of the clock",  key.sign(&with("nbf", json!(now + 60))), "nbf"),
            ("RFC 7523 §3 wrong aud",               key.sign(&with("aud", json!("https://other.example/token"))), "aud"),
            ("RFC 7523bis §4 aud beside ours",      key.sign(&with("aud", json!([harness.issuer, "https://other.example"]))), "nothing beside it"),
            ("RFC 7523bis §4 two that are ours",    key.sign(&with("aud", json!([harness.issuer, harness.url("/oauth2/token")]))), "nothing beside it"),
            ("RFC 7523 §3 aud of another type",     key.sign(&with("aud", json!(7))), "aud"),
            ("RFC 7523 §3 iss is not sub",          key.sign(&with("sub", json!("somebody"))), "iss and sub"),
            ("RFC 7523 §3 no jti",                  key.sign(&without("jti")), "jti"),
            ("RFC 7523 §3 empty jti",               key.sign(&with("jti", json!(""))), "jti"),
            ("RFC 7523 §3 no exp",                  key.sign(&without("exp")), "exp"),
            ("RFC 7523 §3 exp of another type",     key.sign(&with("exp", json!("soon"))), "exp"),
            ("SMART: unknown kid",                  ClientKey::new(Algorithm::ES384, "k9").sign(&good), "client_assertion does not verify"),
            ("RFC 7515 §5.2 foreign key, same kid", stranger.sign(&good), "client_assertion does not verify"),
            ("unknown client",                      key.sign(&claims("nobody", &harness.issuer, now)), "client_assertion does not verify"),
            ("RFC 8725 §3.1 alg none",              unsigned, "alg"),
            ("RFC 8725 §2.1 HS256 with public key", hs256, "alg"),
            ("RFC 7515 §4.1.2 foreign jku",         key.sign_with_header(&header(json!({ "jku": "https://evil.example/jwks" })), &good), "jku"),
            ("RFC 7515 §4.1.3 embedded jwk",        key.sign_with_header(&header(json!({ "jwk": key.jwk() })), &good), "jwk"),
            ("RFC 7515 §4.1.5 x5u",                 key.sign_with_header(&header(json!({ "x5u": "https://evil.example/c" })), &good), "x5u"),
            ("RFC 7515 §4.1.11 unknown crit",       key.sign_with_header(&header(json!({ "crit": ["exp"], "exp": 1 })), &good), "crit"),
            ("RFC 8725 §3.11 another typ",          key.sign_with_header(&header(json!({ "typ": "at+jwt" })), &good), "typ"),
            ("garbage",                             "garbage".to_owned(), "three parts"),
            ("garbage in three parts",              "a.b.c".to_owned(), "base64url"),
            ("overlong",                            format!("{}.{}.x", encode(&json!({ "alg": "ES384" })), "A".repeat(9000)), "longer"),
        ];
        for (rule, assertion, names) in &rows {
            let answer = ask(&harness, assertion, &[]).await;
            assert_eq!((answer.status, answer.error()), (401, "invalid_client"), "{rule}: {answer:?}");
            assert!(answer.description().contains(names), "{rule}: {answer:?}");
        }
        // The log has the cause under a reference.
        let refused = ask(&harness, &stranger.sign(&good), &[]).await;
        assert_eq!(refused.header("x-reference").len(), 8, "{refused:?}");
        // SMART asks for no iat: five minutes ahead by a clock that is ten seconds ahead; and times may have fractions.
        let mut bare = claims("lims-uf-tox", &harness.issuer, now);
        bare.as_object_mut().unwrap().remove("iat");
        bare["exp"] = json!(now as f64 + 309.5);
        assert_eq!(ask(&harness, &key.sign(&bare), &[]).await.status, 200);
        bare["jti"] = json!("another");
        bare["exp"] = json!(now + 311);
        assert_eq!(ask(&harness, &key.sign(&bare), &[]).await.error(), "invalid_client");
        // RFC 7519 §4.1.3: one audience may stand in a list.
        let mut listed = claims("lims-uf-tox", &harness.issuer, now);
        listed["aud"] = json!([harness.issuer]);
        assert_eq!(ask(&harness, &key.sign(&listed), &[]).await.status, 200);
        // The clock of a client may be ten seconds ahead.
        let ahead = key.sign(&with("iat", json!(now + 9)));
        assert_eq!(ask(&harness, &ahead, &[]).await.status, 200);
        // Once.
        let replay = ask(&harness, &ahead, &[]).await;
        assert_eq!((replay.status, replay.error()), (401, "invalid_client"), "RFC 7523 §3: jti");
        // A refused request burns the jti as well.
        let spent = key.sign(&claims("lims-uf-tox", &harness.issuer, now));
        assert_eq!(ask(&harness, &spent, &[("scope", "system/Patient.rs")]).await.error(), "invalid_scope");
        assert_eq!(ask(&harness, &spent, &[]).await.error(), "invalid_client");
    }
}

on_both! {
    async fn token_requests_are_refused(db) {
        let harness = Harness::start(db);
        let key = ClientKey::new(Algorithm::ES256, "k1");
        register(&harness, "lims-uf-tox", &[key.jwk()]);
        harness.apply(&format!(
            "[[client]]\nclient_id = \"{}\"\nname = \"LIMS\"\ndataflow = \"lims-to-cms\"\nauth_method = \"client_secret_basic\"\n\
             auth_method_strict = true\nsecret = \"{}\"\nresource_servers = [\"cms-fulton\"]\n",
            STRICT.0, STRICT.1
        ));
        let assertion = key.sign(&claims("lims-uf-tox", &harness.issuer, harness.now()));
        let grant = ("grant_type", "client_credentials");
        let wrong = Some((LIMS.0, "wrong-secret-wrong-secret-wrong-secret"));
        #[rustfmt::skip]
        let rows: &[(&str, Option<(&str, &str)>, &[(&str, &str)], u16, &str)] = &[
            ("RFC 6749 §5.2 no authentication",       None,       &[grant], 401, "invalid_client"),
            ("RFC 6749 §5.2 wrong secret",            wrong,      &[grant], 401, "invalid_client"),
            ("RFC 6749 §5.2 unknown client",          Some(("nobody", LIMS.1)), &[grant], 401, "invalid_client"),
            ("RFC 6749 §2.3 not its method",          None,       &[grant, ("client_id", STRICT.0), ("client_secret", STRICT.1)], 401, "invalid_client"),
            ("RFC 6749 §5.2 a grant of nobody first", None,       &[("grant_type", "password")], 400, "unsupported_grant_type"),
            ("RFC 6749 §5.2 no grant of nobody",      None,       &[("client_id", "nobody")], 400, "invalid_request"),
            ("RFC 6749 §2.3 secret client unproven",  None,       &[grant, ("client_id", LIMS.0)], 401, "invalid_client"),
            ("RFC 6749 §2.3 two authentications",     Some(LIMS), &[grant, ("client_assertion_type", TYPE), ("client_assertion", &assertion)], 400, "invalid_request"),
            ("RFC 6749 §2.3 header and form",         Some(LIMS), &[grant, ("client_id", LIMS.0), ("client_secret", LIMS.1)], 400, "invalid_request"),
            ("RFC 6749 §2.3 another client_id",       Some(LIMS), &[grant, ("client_id", "other")], 400, "invalid_request"),
            ("RFC 7521 §4.2 unknown assertion type",  None,       &[grant, ("client_assertion_type", "urn:x"), ("client_assertion", &assertion)], 401, "invalid_client"),
            ("RFC 6749 §5.2 no grant_type",           Some(LIMS), &[], 400, "invalid_request"),
            ("RFC 9700 §2.4 password grant",          Some(LIMS), &[("grant_type", "password"), ("username", "u"), ("password", "p")], 400, "unsupported_grant_type"),
            ("RFC 6749 §5.2 not its grant",           Some(LIMS), &[("grant_type", "refresh_token"), ("refresh_token", "x")], 400, "unauthorized_client"),
            ("RFC 6749 §3.2 repeated parameter",      Some(LIMS), &[grant, ("scope", "a"), ("scope", "b")], 400, "invalid_request"),
            ("scope beyond the dataflow",             Some(LIMS), &[grant, ("scope", "system/Patient.rs")], 400, "invalid_scope"),
            ("scope in part beyond the dataflow",     Some(LIMS), &[grant, ("scope", "system/Bundle.crud")], 400, "invalid_scope"),
            ("scope of people",                       Some(LIMS), &[grant, ("scope", "user/Bundle.c")], 400, "invalid_scope"),
            ("scope of introspection",                Some(LIMS), &[grant, ("scope", "__mdi.introspect")], 400, "invalid_scope"),
            ("RFC 8707 §2 unknown resource",          Some(LIMS), &[grant, ("resource", "https://x.example/fhir")], 400, "invalid_target"),
            ("RFC 8707 §2 two resources",             Some(LIMS), &[grant, ("resource", CMS_BASE), ("resource", "https://edrs.ga.example/fhir")], 400, "invalid_target"),
            ("purpose of use unknown",                Some(LIMS), &[grant, ("purpose_of_use", "NOSUCH")], 400, "invalid_request"),
            ("purpose of use not allowed",            Some(LIMS), &[grant, ("purpose_of_use", "HMARKT")], 400, "invalid_request"),
            ("a resource server is no client",        Some(CMS),  &[grant, ("scope", "system/Bundle.c")], 400, "invalid_scope"),
            ("a resource server has no codes",        Some(CMS),  &[("grant_type", "authorization_code"), ("code", "x")], 400, "unauthorized_client"),
        ];
        let mut described = Vec::new();
        for (rule, basic, form, status, error) in rows {
            let answer = harness.token(*basic, form).await;
            assert_eq!((answer.status, answer.error()), (*status, *error), "{rule}: {answer:?}");
            assert!(answer.description().len() > 10, "{rule}: {answer:?}");
            assert_eq!(answer.header("x-reference").len(), 8, "the log has it under this: {rule}");
            assert_eq!(answer.header("cache-control"), "no-store", "{rule}");
            assert!(answer.status != 401 || basic.is_none() || answer.header("www-authenticate").starts_with("Basic"), "RFC 6749 §5.2: {rule}");
            described.push(answer.description().to_owned());
        }
        assert_eq!(described[1], described[2], "an unknown client and a wrong secret get the same answer");

        let bearer = harness.http.post(harness.url("/oauth2/token")).bearer_auth(&assertion).form(&[grant]);
        let bearer = Answer::read(bearer.send().await.unwrap()).await;
        assert_eq!((bearer.status, bearer.error()), (401, "invalid_client"));
        assert!(bearer.description().contains("client_assertion"), "RFC 7523 §2.2: {bearer:?}");

        // Bodies and methods.
        let json = harness.http.post(harness.url("/oauth2/token")).basic_auth(LIMS.0, Some(LIMS.1)).body("{}").header("Content-Type", "application/json");
        let json = Answer::read(json.send().await.unwrap()).await;
        assert_eq!((json.status, json.error()), (400, "invalid_request"));
        let large = "x".repeat(40 * 1024);
        let large = harness.token(Some(LIMS), &[grant, ("scope", &large)]).await;
        assert_eq!((large.status, large.error()), (400, "invalid_request"));
        let raw = |body: &'static [u8]| {
            harness.http.post(harness.url("/oauth2/token")).header("Content-Type", "application/x-www-form-urlencoded").body(body).send()
        };
        assert_eq!(raw(b"grant_type=%FF").await.unwrap().status(), 400);
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
            let answer = harness.get(path).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{path}");
        }
    }
}

on_both! {
    async fn every_way_to_authenticate_gets_the_same_token(db) {
        let harness = Harness::start(db);
        let key = ClientKey::new(Algorithm::ES384, "k1");
        register(&harness, "lims-uf-tox", &[key.jwk()]);
        let post = ("lims-post", "lims-post-secret-0123456789-abcdefgh");
        harness.apply(&format!(
            "[[client]]\nclient_id = \"{}\"\nname = \"LIMS\"\ndataflow = \"lims-to-cms\"\nauth_method = \"client_secret_post\"\n\
             secret = \"{}\"\norganization = {{ name = \"UF Pathology Labs\", id = \"urn:oid:2.16.840.1.113883.3.9999.2\" }}\n\
             resource_servers = [\"cms-fulton\"]\n",
            post.0, post.1
        ));
        let grant = ("grant_type", "client_credentials");
        let by_key = ask(&harness, &key.sign(&claims("lims-uf-tox", &harness.issuer, harness.now())), &[]).await;
        let by_basic = harness.token(Some(LIMS), &[grant]).await;
        let by_post = harness.token(None, &[grant, ("client_id", post.0), ("client_secret", post.1)]).await;
        // A secret is good either way: much software tries both.
        let other_way = harness.token(Some(post), &[grant]).await;
        let mut told = Vec::new();
        for answer in [&by_key, &by_basic, &by_post, &other_way] {
            let mut claims = harness.introspect(CMS, answer.str("access_token")).await;
            assert_eq!((&claims["iss"], &claims["scope"]), (&json!(harness.issuer), &json!(SCOPE)));
            for own in ["sub", "client_id", "jti"] {
                claims.as_object_mut().unwrap().remove(own);
            }
            told.push(claims);
        }
        assert!(told.iter().all(|claims| *claims == told[0]), "{told:?}");
    }
}

on_both! {
    async fn an_introspector_of_any_token_and_scopes_in_the_old_style(db) {
        let harness = Harness::start(db);
        let auditor = ("auditor", "auditor-introspection-secret-0123456");
        harness.apply(
            r#"
            [[resource_server]]
            id = "auditor"
            name = "Auditor"
            audience = "https://audit.example/"
            introspect = "any"
            secret = "auditor-introspection-secret-0123456"

            [[resource_server]]
            id = "edrs-ga"
            name = "Georgia EDRS"
            audience = "https://edrs.ga.example/fhir"
            kind = "edrs"
            scope_style = "v1"
            secret = "edrs-introspection-secret-0123456789"

            [[client]]
            client_id = "case-system"
            name = "Case system"
            dataflow = "cms-to-edrs"
            secret = "case-system-secret-0123456789-abcdef"
            resource_servers = ["edrs-ga"]
            "#,
        );
        let client = ("case-system", "case-system-secret-0123456789-abcdef");
        let form = [("grant_type", "client_credentials"), ("scope", "system/Patient.rs system/Bundle.c system/Bundle.r")];
        let answer = harness.token(Some(client), &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = harness.introspect(auditor, answer.str("access_token")).await;
        assert_eq!((&told["active"], &told["scope"]), (&json!(true), &json!("system/Patient.read")), "never widened");
        // A bearer token without the scope for it does not introspect.
        let asked = harness.http.post(harness.url("/oauth2/introspect")).bearer_auth(answer.str("access_token"));
        let asked = Answer::read(asked.form(&[("token", "x")]).send().await.unwrap()).await;
        assert_eq!((asked.status, asked.error()), (403, "insufficient_scope"));
    }
}

on_both! {
    async fn two_secrets_are_valid_for_a_while(db) {
        let harness = Harness::start(db);
        let grant = [("grant_type", "client_credentials")];
        let new = harness.rotate_secret(LIMS.0, 3600);
        assert_eq!(harness.token(Some(LIMS), &grant).await.status, 200, "the old one");
        assert_eq!(harness.token(Some((LIMS.0, &new)), &grant).await.status, 200, "the new one");
        harness.clock.advance(3601);
        assert_eq!(harness.token(Some(LIMS), &grant).await.status, 401, "the old one has ended");
        assert_eq!(harness.token(Some((LIMS.0, &new)), &grant).await.status, 200);
    }
}

on_both! {
    async fn introspection_and_revocation_are_guarded(db) {
        let harness = Harness::start(db);
        let token = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.str("access_token").to_owned();
        #[rustfmt::skip]
        let rows: &[(&str, Option<(&str, &str)>, &[(&str, &str)], u16)] = &[
            ("RFC 7662 §2.1 unauthenticated",   None,        &[("token", &token)], 401),
            ("RFC 7662 §2.1 wrong secret",      Some((CMS.0, "wrong-secret-wrong-secret-wrong-secret")), &[("token", &token)], 401),
            ("RFC 7662 §2.1 no token",          Some(CMS),   &[], 400),
        ];
        for (rule, basic, form, status) in rows {
            assert_eq!(harness.post("/oauth2/introspect", *basic, form).await.status, *status, "{rule}");
        }
        for (rule, server, token) in [
            ("RFC 7662 §2.2 garbage", CMS, "garbage"),
            ("RFC 7662 §2.2 not for this resource server", EDRS, token.as_str()),
            ("a client learns nothing", LIMS, token.as_str()),
            ("RFC 7662 §2.2 a foreign JWT", CMS, "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"),
        ] {
            assert_eq!(harness.introspect(server, token).await, json!({ "active": false }), "{rule}");
        }
        assert_eq!(harness.introspect(CMS, &token).await["active"], true);
        // RFC 7009: somebody else's token stays, an unknown one is no error, one's own is revoked.
        let other = harness.post("/oauth2/revoke", Some(EDRS), &[("token", &token)]).await;
        assert_eq!(harness.introspect(CMS, &token).await["active"], true, "{other:?}");
        assert_eq!(harness.post("/oauth2/revoke", Some(LIMS), &[("token", "unknown")]).await.status, 200);
        assert_eq!(harness.post("/oauth2/revoke", Some(LIMS), &[]).await.status, 400);
        assert_eq!(harness.post("/oauth2/revoke", None, &[("token", &token)]).await.status, 401);
        assert_eq!(harness.post("/oauth2/revoke", Some(LIMS), &[("token", &token), ("token_type_hint", "refresh_token")]).await.status, 200);
        assert_eq!(harness.introspect(CMS, &token).await, json!({ "active": false }));
        // Expired.
        let token = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.str("access_token").to_owned();
        harness.clock.advance(300);
        assert_eq!(harness.introspect(CMS, &token).await, json!({ "active": false }));
    }
}

on_both! {
    async fn opaque_tokens_are_told_alike(db) {
        let harness = Harness::start(db);
        harness.apply(
            r#"
            [[resource_server]]
            id = "cms-fulton"
            name = "Fulton County MDI CMS"
            audience = "https://cms.fulton.example/fhir"
            kind = "cms"
            token_format = "opaque"
            "#,
        );
        let token = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.str("access_token").to_owned();
        assert!(!token.contains('.'));
        let told = harness.introspect(CMS, &token).await;
        assert_eq!((&told["active"], &told["sub"], &told["aud"]), (&json!(true), &json!(LIMS.0), &json!([CMS_BASE])));
        assert_eq!(harness.introspect(EDRS, &token).await, json!({ "active": false }));
        harness.post("/oauth2/revoke", Some(LIMS), &[("token", &token)]).await;
        assert_eq!(harness.introspect(CMS, &token).await, json!({ "active": false }));
    }
}

on_both! {
    async fn discovery_tells_what_works(db) {
        let harness = Harness::start(db);
        let openid = harness.get("/.well-known/openid-configuration").await;
        let oauth = harness.get("/.well-known/oauth-authorization-server").await;
        assert_eq!(openid.json, oauth.json);
        assert_eq!(openid.str("issuer"), harness.issuer, "byte for byte");
        assert_eq!(openid.json["code_challenge_methods_supported"], json!(["S256"]));
        // Never from the Host header.
        let other = harness.http.get(harness.url("/.well-known/openid-configuration")).header("Host", "evil.example").send().await.unwrap();
        assert_eq!(Answer::read(other).await.json, openid.json);
        for (name, value) in openid.json.as_object().unwrap() {
            if let Some(path) = value.as_str().and_then(|url| url.strip_prefix(&harness.issuer)).filter(|path| path.starts_with('/')) {
                assert_ne!(harness.get(path).await.status, 404, "{name} names {path}");
            }
        }
        let smart = harness.get("/fhir/edrs-ga/smart-configuration").await;
        assert_eq!(smart.json["code_challenge_methods_supported"], json!(["S256"]));
        assert!(smart.json["capabilities"].as_array().unwrap().contains(&json!("permission-v2")));
        assert!(smart.json["grant_types_supported"].as_array().unwrap().contains(&json!("authorization_code")));
        assert_eq!(smart.header("access-control-allow-origin"), "*");
        assert_eq!(harness.get("/fhir/nobody/smart-configuration").await.status, 404);
        let jwks = harness.get("/oauth2/jwks").await;
        for key in jwks.json["keys"].as_array().unwrap() {
            assert!(key.get("d").is_none() && key["use"] == "sig" && key["kid"].is_string() && key["alg"].is_string(), "{key}");
        }
        let again = harness.http.get(harness.url("/oauth2/jwks")).header("If-None-Match", jwks.header("etag")).send().await.unwrap();
        assert_eq!(again.status(), 304);
        assert_eq!(harness.get("/readyz").await.status, 200);
        assert_eq!(harness.get("/healthz").await.status, 200);
    }
}
