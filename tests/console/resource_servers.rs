//! Resource servers at the console.

use serde_json::{Value, json};

use crate::console::{STAFF, at_console, open};
use crate::harness::agent::{Agent, Page, attribute};
use crate::harness::assertion::ClientKey;
use crate::harness::{CMS, EDRS, Harness, LIMS};
use crate::jwks_uri::Laboratory;
use crate::on_both;
use crate::person_flow::{SCOPE, claims_of, code_of, redeem};

const NEW: &str = "/admin/resource-servers/new?kind=edrs";
/// A form as it is filled in by somebody who changes nothing of what is chosen.
const GOOD: [(&str, &str); 8] = [
    ("kind", "edrs"),
    ("name", "Ohio EDRS"),
    ("audience", "https://edrs.oh.example/fhir"),
    ("token_format", "jwt"),
    ("token_typ", "at+jwt"),
    ("signing_alg", "ES256"),
    ("scope_style", "v2"),
    ("introspect", "own"),
];

/// The good form with other values.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form: Vec<(&str, &str)> = GOOD
        .iter()
        .copied()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
        .collect();
    form.extend(changes.iter().copied());
    form
}

/// The secret that a page shows once.
fn secret(page: &Page) -> String {
    let text = &page.answer().text;
    let start = text
        .find("id=\"once-value\">")
        .unwrap_or_else(|| panic!("no secret: {text}"))
        + 16;
    text[start..start + text[start..].find('<').unwrap()].to_owned()
}

async fn submit(agent: &mut Agent<'_>, harness: &Harness, path: &str, form: &[(&str, &str)]) -> Page {
    let page = agent.get(&harness.url(path)).await;
    assert_eq!(page.answer().status, 200, "{path}: {page:?}");
    agent.submit_to(&page, path, form).await
}

on_both! {
    async fn a_server_is_registered_by_its_kind_and_may_ask_about_tokens_at_once(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/resource-servers/new")).await;
        for kind in ["edrs", "cms", "other"] {
            assert!(page.answer().text.contains(&format!("?kind={kind}\"")), "{}", page.answer().text);
        }
        let page = submit(&mut agent, &harness, NEW, &GOOD).await;
        assert_eq!((page.at(), page.answer().status), ("/admin/resource-servers/ohio-edrs", 200), "{page:?}");
        assert!(page.answer().text.contains("The resource server is registered"));
        let secret = secret(&page);
        let answer = harness.introspect(("ohio-edrs", &secret), "nothing").await;
        assert_eq!(answer["active"], false);
        // Shown once.
        let again = agent.get(&harness.url("/admin/resource-servers/ohio-edrs")).await;
        assert!(!again.answer().text.contains(&secret), "{}", again.answer().text);
        // A second one of that name gets an id of its own.
        let page = submit(&mut agent, &harness, NEW, &with(&[("audience", "https://other.example/fhir")])).await;
        assert_eq!(page.at(), "/admin/resource-servers/ohio-edrs-2", "{page:?}");
        let events = harness.events("resource_server.changed");
        let made = events.iter().filter(|event| event["client_id"] == "ohio-edrs").count();
        assert_eq!(made, 1);
        assert!(!events.iter().any(|event| event.to_string().contains(&secret)));
    }
}

on_both! {
    async fn what_is_wrong_is_told_beside_its_field_and_what_was_typed_is_kept(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "clients").await;
        let key = |kid: &str| ClientKey::new(jsonwebtoken::Algorithm::ES256, kid).jwk();
        let twice = json!({ "keys": [key("a"), key("a")] }).to_string();
        let mut private = key("p");
        private["d"] = json!("c2VjcmV0");
        let private = json!({ "keys": [private] }).to_string();
        let short = data_encoding::BASE64URL_NOPAD.encode(&[0xff; 128]);
        let weak = json!({ "keys": [{ "kty": "RSA", "n": short, "e": "AQAB", "kid": "w" }] }).to_string();
        let script = "<script>alert(1)</script>";
        #[rustfmt::skip]
        let rows: &[(&[(&str, &str)], &str, &str)] = &[
            (&[("name", "")], "name", "printable"),
            (&[("audience", "")], "audience", "is missing"),
            (&[("audience", "edrs")], "audience", "not an absolute URI"),
            (&[("audience", "http://edrs.oh.example/fhir")], "audience", "must be an absolute https URL"),
            (&[("audience", "https://edrs.oh.example/fhir#a")], "audience", "fragment"),
            (&[("audience", "https://edrs.ga.example/fhir/")], "audience", "already the audience of edrs-ga"),
            (&[("audience", &harness.issuer)], "audience", "this authorization server itself"),
            (&[("id", "edrs-ga")], "id", "registered already"),
            (&[("id", "fulton-cms")], "id", "is the id of a client"),
            (&[("id", "metadata")], "id", "is a path of this server"),
            (&[("id", "new")], "id", "is a path of this server"),
            (&[("id", "usr_1")], "id", "kept for people"),
            (&[("id", "..")], "id", "no name in a URL"),
            (&[("id", script)], "id", "must have 1 to 64"),
            (&[("signing_alg", "HS256")], "signing_alg", "is not one of ES256"),
            (&[("signing_alg", "RS512")], "signing_alg", "does not sign here"),
            (&[("token_typ", "jwt")], "token_typ", "is not one of"),
            (&[("token_format", "paper")], "token_format", "is not one of jwt, opaque"),
            (&[("scopes", "user/Patient.xyz")], "scopes", "is not a SMART scope"),
            (&[("scope_map", "user/Patient.rs=patient.read")], "scope_map", "a blank"),
            (&[("scope_map", "user/Patient.rs = pati\u{eb}nt")], "scope_map", "the spelling that is wanted"),
            (&[("jwks", "{}")], "jwks", "no array"),
            (&[("jwks", &private)], "jwks", "private part"),
            (&[("jwks", &weak)], "jwks", "1024 bits"),
            (&[("jwks", &twice)], "jwks", "several keys have the kid"),
            (&[("jwks_uri", "http://edrs.oh.example/jwks")], "jwks_uri", "https"),
            (&[("jwks_uri", "https://127.0.0.1/jwks")], "jwks_uri", "is loopback"),
        ];
        let page = agent.get(&harness.url(NEW)).await;
        let known = harness.events("resource_server.changed").len();
        for (changes, field, text) in rows {
            let refused = agent.submit_to(&page, NEW, &with(changes)).await;
            let shown = &refused.answer().text;
            assert_eq!(refused.answer().status, 422, "{changes:?}: {shown}");
            let summary = format!("<a href=\"#{field}\">");
            assert!(shown.contains(&summary), "{changes:?}: no link to {field}: {shown}");
            let beside = shown.split(&format!("id=\"{field}-error\"")).nth(1).unwrap_or_default();
            let beside = &beside[..beside.find("</p>").unwrap_or_default()];
            assert!(beside.to_lowercase().contains(&text.to_lowercase()), "{changes:?}: {text}: {beside}");
            assert!(!shown.contains(script), "{changes:?}");
            if changes.iter().all(|(name, _)| *name != "name") {
                assert!(shown.contains("value=\"Ohio EDRS\""), "what was typed is kept: {changes:?}");
            }
        }
        assert_eq!(harness.events("resource_server.changed").len(), known, "a refusal was recorded as a change");
    }
}

on_both! {
    async fn two_people_who_change_the_same_server_do_not_undo_each_other(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let path = "/admin/resource-servers/edrs-ga/edit";
        let (mut first, page) = open(&harness, "admin", path).await;
        let mut second = at_console(&harness, "clients").await;
        let others = second.get(&harness.url(path)).await;
        let form = |name: &'static str| with(&[("name", name), ("audience", "https://edrs.ga.example/fhir")]);
        let saved = second.submit_to(&others, path, &form("Georgia DAVE")).await;
        assert_eq!((saved.at(), saved.answer().status), ("/admin/resource-servers/edrs-ga", 200), "{saved:?}");
        let refused = first.submit_to(&page, path, &form("Georgia <b>EDRS</b>")).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("Somebody else has changed it"), "{}", refused.answer().text);
        assert!(refused.answer().text.contains("value=\"Georgia &#60;b&#62;EDRS&#60;/b&#62;\""), "the typed values are kept");
        let shown = first.get(&harness.url("/admin/resource-servers/edrs-ga")).await;
        assert!(shown.answer().text.contains("Georgia DAVE"));
        // Nothing different is no change.
        let page = first.get(&harness.url(path)).await;
        let same = first.submit_to(&page, path, &form("Georgia DAVE")).await;
        assert!(same.answer().text.contains("Nothing was different"), "{}", same.answer().text);
    }
}

on_both! {
    async fn a_server_turns_from_its_secret_to_keys_and_back(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let path = "/admin/resource-servers/edrs-ga/edit";
        let jwks = json!({ "keys": [ClientKey::new(jsonwebtoken::Algorithm::ES256, "k").jwk()] }).to_string();
        let base = ("audience", "https://edrs.ga.example/fhir");
        let page = submit(&mut agent, &harness, path, &with(&[base, ("jwks", &jwks)])).await;
        assert_eq!(page.at(), "/admin/resource-servers/edrs-ga", "{page:?}");
        let refused = harness.post("/oauth2/introspect", Some(EDRS), &[("token", "x")]).await;
        assert_eq!(refused.status, 401, "the secret has ended");
        let page = submit(&mut agent, &harness, path, &with(&[base, ("signing_alg", "PS256")])).await;
        let made = secret(&page);
        assert_eq!(harness.introspect(("edrs-ga", &made), "nothing").await["active"], false);
        // A key was made for the algorithm that had none.
        assert!(page.answer().text.contains("PS256"));
        assert!(harness.get("/oauth2/jwks").await.text.contains("PS256"));
    }
}

on_both! {
    async fn a_secret_is_replaced_without_an_outage(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let path = "/admin/resource-servers/cms-fulton/secret";
        let page = submit(&mut agent, &harness, path, &[("overlap_seconds", "86400")]).await;
        let new = secret(&page);
        assert!(page.answer().text.contains("The old secret works until"), "{}", page.answer().text);
        for known in [CMS, ("cms-fulton", new.as_str())] {
            assert_eq!(harness.introspect(known, "nothing").await["active"], false);
        }
        let refused = submit(&mut agent, &harness, path, &[("overlap_seconds", "604800")]).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("two valid secrets"), "{}", refused.answer().text);
        let refused = submit(&mut agent, &harness, path, &[("overlap_seconds", "5")]).await;
        assert!(refused.answer().text.contains("Choose how long"), "{}", refused.answer().text);
        harness.clock.advance(86_400);
        let old = harness.post("/oauth2/introspect", Some(CMS), &[("token", "x")]).await;
        assert_eq!(old.status, 401);
        // A page about secrets wants a fresh sign-in by now.
        let page = agent.get(&harness.url(path)).await;
        assert_eq!(page.at(), "/login");
    }
}

on_both! {
    async fn a_server_that_clients_use_is_disabled_but_not_deleted(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "clients").await;
        let own = "/admin/resource-servers/edrs-ga";
        let page = agent.get(&harness.url(&format!("{own}/delete"))).await;
        assert!(page.answer().text.contains("Fulton County CMS"), "{}", page.answer().text);
        let refused = agent.submit_to(&page, &format!("{own}/delete"), &[]).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("is used by fulton-cms"), "{}", refused.answer().text);
        let page = submit(&mut agent, &harness, &format!("{own}/disable"), &[]).await;
        assert!(page.answer().text.contains("class=\"tag off\" id=\"state\">Disabled"), "{}", page.answer().text);
        let asked = harness.post("/oauth2/introspect", Some(EDRS), &[("token", "x")]).await;
        assert_eq!(asked.status, 401);
        let page = submit(&mut agent, &harness, &format!("{own}/enable"), &[]).await;
        assert!(!page.answer().text.contains("class=\"tag off\" id=\"state\">Disabled"));
        submit(&mut agent, &harness, NEW, &GOOD).await;
        let page = submit(&mut agent, &harness, "/admin/resource-servers/ohio-edrs/delete", &[]).await;
        assert_eq!(page.at(), "/admin/resource-servers", "{page:?}");
        let gone = agent.get(&harness.url("/admin/resource-servers/ohio-edrs")).await;
        assert_eq!(gone.answer().status, 404);
        let unknown = agent.get(&harness.url(&format!("{own}/explode"))).await;
        assert_eq!(unknown.answer().status, 404);
    }
}

on_both! {
    async fn the_list_is_searched_filtered_and_leafed_through(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let many: String = (0..60)
            .map(|n| format!("[[resource_server]]\nid = \"x{n:02}\"\nname = \"Site {n:02}\"\naudience = \"https://x{n}.example/fhir\"\n"))
            .collect();
        harness.apply(&many);
        let mut agent = at_console(&harness, "auditor").await;
        let page = agent.get(&harness.url("/admin/resource-servers")).await;
        assert!(!page.answer().text.contains("id=\"register\""), "who may not register is not invited to");
        let next = page.answer().text.split("<a href=\"").find(|part| part.contains("id=\"next-page\"")).unwrap();
        let next = attribute(&format!(" href=\"{next}"), "href").unwrap();
        let second = agent.get(&harness.url(&next)).await;
        assert!(second.answer().text.contains("Site 59") && !second.answer().text.contains("Site 01<"));
        for (query, shown, hidden) in [
            ("q=SITE+07", "Site 07", "Site 08"),
            ("q=edrs.ga.example", "Georgia EDRS", "Site 08"),
            ("kind=cms", "Fulton County MDI CMS", "Georgia EDRS"),
            ("state=disabled", "Nothing matches", "Georgia EDRS"),
            ("q=%3Cscript%3E", "&#60;script&#62;", "<script>"),
        ] {
            let page = agent.get(&harness.url(&format!("/admin/resource-servers?{query}"))).await;
            assert!(page.answer().text.contains(shown), "{query}: {}", page.answer().text);
            assert!(!page.answer().text.contains(&format!("{hidden}<")), "{query}");
        }
    }
}

on_both! {
    async fn a_jwks_url_is_tried_before_it_is_saved(db) {
        let laboratory = Laboratory::start();
        let ca = laboratory.ca.clone();
        let harness = Harness::start_with(db, |config| {
            config.outbound.allow_loopback = true;
            config.outbound.extra_ca_file = Some(ca);
        });
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "clients").await;
        let key = ClientKey::new(jsonwebtoken::Algorithm::ES256, "<i>k");
        laboratory.publish(&[&key]);
        let tries = [("jwks_uri", laboratory.url.as_str()), ("try", "jwks_uri")];
        let page = submit(&mut agent, &harness, NEW, &with(&tries)).await;
        let told = &page.answer().text;
        assert_eq!(page.answer().status, 200);
        assert!(told.contains("The keys can be used") && told.contains("&#60;i&#62;k") && told.contains("EC P-256"), "{told}");
        assert!(told.contains("value=\"Ohio EDRS\""), "what was typed is kept: {told}");
        assert!(harness.app.live.resource_server("ohio-edrs").is_none());
        let mut private = key.jwk();
        private["d"] = json!("c2VjcmV0");
        *laboratory.keys.lock().unwrap() = json!({ "keys": [private] });
        let page = submit(&mut agent, &harness, NEW, &with(&tries)).await;
        let told = &page.answer().text;
        assert!(told.contains("cannot be used yet") && told.contains("private part"), "{told}");
        *laboratory.keys.lock().unwrap() = json!({ "keys": [key.jwk(), key.jwk()] });
        let page = submit(&mut agent, &harness, NEW, &with(&tries)).await;
        assert!(page.answer().text.contains("several keys have the kid"), "{}", page.answer().text);
        let nowhere = [("jwks_uri", "http://localhost/jwks"), ("try", "jwks_uri")];
        let page = submit(&mut agent, &harness, NEW, &with(&nowhere)).await;
        assert!(page.answer().text.contains("will not fetch"), "{}", page.answer().text);
    }
}

/// The JSON that a page shows in an element.
fn json_in(page: &Page, id: &str) -> Value {
    let text = &page.answer().text;
    let start = text
        .find(&format!("id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id}: {text}"));
    let start = start + text[start..].find('>').unwrap() + 1;
    let shown = &text[start..start + text[start..].find("</pre>").unwrap()];
    serde_json::from_str(
        &shown
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&"),
    )
    .unwrap()
}

/// Claims without those that are new for each token.
fn lasting(mut claims: Value) -> Value {
    for name in ["jti", "mdi_grant"] {
        claims.as_object_mut().unwrap().remove(name);
    }
    claims
}

on_both! {
    async fn the_preview_shows_the_token_that_would_be_issued(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let issued = harness.events("token.issued").len();
        let page = agent.get(&harness.url("/admin/resource-servers/cms-fulton/documents?client=lims-secret")).await;
        assert_eq!(harness.events("token.issued").len(), issued, "none is issued");
        let real = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await;
        let token = real.str("access_token");
        assert_eq!(lasting(json_in(&page, "token-claims")), lasting(claims_of(token)));
        assert_eq!(lasting(json_in(&page, "token-introspection")), lasting(harness.introspect(CMS, token).await));
        assert_eq!(json_in(&page, "token-header"), json!({ "alg": "RS256", "typ": "at+jwt" }));
        // A person, and the scopes that she asks for.
        let scope = url::form_urlencoded::byte_serialize(SCOPE.as_bytes()).collect::<String>();
        let query = format!("client=fulton-cms&username=jlehz&scope={scope}");
        let page = agent.get(&harness.url(&format!("/admin/resource-servers/edrs-ga/documents?{query}"))).await;
        harness.clock.advance(60);
        let code = code_of(&harness, "jlehz", &[]).await;
        let real = claims_of(redeem(&harness, &code).await.str("access_token"));
        let mut shown = json_in(&page, "token-claims");
        for time in ["iat", "exp", "auth_time"] {
            shown[time] = json!(shown[time].as_i64().unwrap() + 60);
        }
        assert_eq!(lasting(shown), lasting(real));
    }
}

on_both! {
    async fn the_preview_tells_no_more_than_the_role_may_see(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "clients").await;
        let path = "/admin/resource-servers/edrs-ga/documents";
        let page = agent.get(&harness.url(&format!("{path}?client=fulton-cms&username=jlehz&role=medical-examiner"))).await;
        let told = &page.answer().text;
        assert!(!told.contains("Lehz") && !told.contains("name=\"username\""), "{told}");
        assert_eq!(json_in(&page, "token-claims")["username"], "example");
        for (query, text) in [
            ("client=nobody", "uses this resource server"),
            ("client=lims-secret", "uses this resource server"),
            ("client=%3Cscript%3E", "&#60;script&#62;"),
            ("client=fulton-cms", "People sign in with this client"),
            ("client=fulton-cms&role=medical-examiner&scope=user/Patient.xyz", "is not a SMART scope"),
            ("client=fulton-cms&role=data-clerk&scope=__mdi.certify", "There would be no token"),
            ("client=fulton-cms&role=data-clerk&scope=openid+__mdi.certify", "none of the person&#39;s roles may hold it"),
        ] {
            let page = agent.get(&harness.url(&format!("{path}?{query}"))).await;
            assert_eq!(page.answer().status, 200);
            assert!(page.answer().text.contains(text), "{query}: {}", page.answer().text);
        }
    }
}

on_both! {
    async fn the_documents_are_those_that_are_served(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "auditor").await;
        let path = "/admin/resource-servers/edrs-ga/documents";
        let page = agent.get(&harness.url(path)).await;
        let served = harness.get("/fhir/edrs-ga/smart-configuration").await.json;
        assert_eq!(json_in(&page, "smart"), served);
        let file = agent.get(&harness.url(&format!("{path}/smart-configuration.json"))).await;
        assert_eq!(file.answer().json, served);
        assert!(file.answer().header("content-disposition").starts_with("attachment"));
        let file = agent.get(&harness.url(&format!("{path}/capability-statement.json"))).await;
        let security = &file.answer().json["rest"][0]["security"];
        assert_eq!(security["cors"], true);
        assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
        let uris = &security["extension"][0];
        assert_eq!(uris["url"], "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris");
        let named: Vec<(&str, &str)> = uris["extension"].as_array().unwrap().iter()
            .map(|uri| (uri["url"].as_str().unwrap(), uri["valueUri"].as_str().unwrap())).collect();
        for (name, endpoint) in [
            ("authorize", "authorization_endpoint"), ("token", "token_endpoint"),
            ("introspect", "introspection_endpoint"), ("revoke", "revocation_endpoint"),
        ] {
            assert!(named.contains(&(name, served[endpoint].as_str().unwrap())), "{name}: {named:?}");
        }
        assert!(page.answer().text.contains("jwt.audiences=https://edrs.ga.example/fhir"));
        let gone = agent.get(&harness.url(&format!("{path}/passwords.json"))).await;
        assert_eq!(gone.answer().status, 404);
    }
}
