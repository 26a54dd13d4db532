//! Clients at the console: registered by their dataflow, handed over, changed, given new secrets, disabled, deleted.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::console::{STAFF, at_console, open, send, text_of};
use crate::harness::agent::{Agent, Page};
use crate::harness::assertion::{ClientKey, claims};
use crate::harness::{CMS, CMS_BASE, Harness};
use crate::on_both;

const DAY: i64 = 86_400;
const NEW_LIMS: &str = "/admin/clients/new?dataflow=lims-to-cms";

fn started(db: crate::harness::Db) -> Harness {
    let harness = Harness::start(db);
    harness.apply(STAFF);
    harness
}

/// Registers a laboratory with a secret. Answers the client's page, and the secret.
async fn register(agent: &mut Agent<'_>, harness: &Harness, name: &str) -> (Page, String) {
    let form = agent.get(&harness.url(NEW_LIMS)).await;
    let given = [("name", name), ("auth_method", "client_secret_basic")];
    let page = send(agent, &form, NEW_LIMS, &given).await;
    assert_eq!(page.answer().status, 200, "{}", page.answer().text);
    let secret = text_of(&page, "once-value");
    (page, secret)
}

async fn token(harness: &Harness, client: &str, secret: &str) -> u16 {
    harness
        .token(Some((client, secret)), &[("grant_type", "client_credentials")])
        .await
        .status
}

on_both! {
    async fn a_laboratory_is_registered_by_its_dataflow_and_works(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let choice = agent.get(&harness.url("/admin/clients/new")).await;
        assert!(choice.answer().text.contains("A laboratory sends us results"));
        let (page, secret) = register(&mut agent, &harness, "UF Forensic <script>Toxicology</script> LIMS").await;
        assert_eq!(page.at(), "/admin/clients/uf-forensic-script-toxicology-script-lims");
        assert!(!page.answer().text.contains("<script>Toxicology"), "names are escaped");
        assert!(page.answer().text.contains("Send messages"), "it says in words what the client can do");
        // The secret is shown once, and is nowhere in the record.
        let again = agent.get(&harness.url("/admin/clients/uf-forensic-script-toxicology-script-lims")).await;
        assert!(!again.answer().text.contains(&secret));
        let recorded = harness.events("client.changed");
        let event = recorded.last().unwrap();
        assert_eq!((&event["detail"]["action"], &event["actor_kind"]), (&json!("registered"), &json!("person")));
        assert!(event["address"].is_string() && !event.to_string().contains(&secret));
        let answer = harness
            .token(
                Some(("uf-forensic-script-toxicology-script-lims", &secret)),
                &[("grant_type", "client_credentials"), ("resource", CMS_BASE)],
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(harness.introspect(CMS, answer.str("access_token")).await["active"], true);
    }
}

on_both! {
    async fn mistakes_are_told_beside_their_fields_and_nothing_is_lost(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let keys = |keys: &[Value]| json!({ "keys": keys }).to_string();
        let key = ClientKey::new(Algorithm::ES384, "k1").jwk();
        let mut private = key.clone();
        private["d"] = json!("c2VjcmV0");
        let weak = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak" });
        let people = "/admin/clients/new?dataflow=cms-user-to-edrs";
        let custom = "/admin/clients/new?dataflow=custom";
        let by_key = ("auth_method", "private_key_jwt");
        // Where, what is filled in, the field at fault, and what is told.
        let (private, twice, weak) = (keys(&[private]), keys(&[key.clone(), key]), keys(&[weak]));
        #[rustfmt::skip]
        let rows: &[(&str, &[(&str, &str)], &str, &str)] = &[
            (NEW_LIMS, &[("name", "")],                                               "name",             "it is empty"),
            (NEW_LIMS, &[("client_id", "a b")],                                       "client_id",        "A-Z a-z 0-9"),
            (NEW_LIMS, &[("client_id", "cms-fulton")],                                "client_id",        "the id of a resource server"),
            (NEW_LIMS, &[("client_id", "lims-secret")],                               "client_id",        "is registered already"),
            (NEW_LIMS, &[("client_id", "new")],                                       "client_id",        "is a path of this server"),
            (NEW_LIMS, &[("agency", "nothing")],                                      "agency",           "agency has the id"),
            (NEW_LIMS, &[by_key],                                                     "jwks_uri",         "needs the client"),
            (NEW_LIMS, &[by_key, ("jwks_uri", "http://lims.example/keys")],           "jwks_uri",         "https"),
            (NEW_LIMS, &[by_key, ("jwks", "{")],                                      "jwks",             "JSON"),
            (NEW_LIMS, &[by_key, ("jwks", private.as_str())],                         "jwks",             "private part"),
            (NEW_LIMS, &[by_key, ("jwks", twice.as_str())],                           "jwks",             "several keys have the kid"),
            (NEW_LIMS, &[by_key, ("jwks", weak.as_str())],                            "jwks",             "at least 2048"),
            (NEW_LIMS, &[by_key, ("jwks", "{}"), ("jwks_uri", "https://a.example/k")],"jwks_uri",         "give one of the two"),
            (NEW_LIMS, &[("scopes", "")],                                             "scopes",           "the list is empty"),
            (NEW_LIMS, &[("purposes", "")],                                           "purposes",         "needs at least one"),
            (people,   &[("redirect_uris", "")],                                      "redirect_uris",    "needs at least one"),
            (people,   &[("redirect_uris", "https://a.example/cb#there")],            "redirect_uris",    "fragment"),
            (people,   &[("redirect_uris", "https://*.example/cb")],                  "redirect_uris",    "holds a *"),
            (people,   &[("redirect_uris", "http://a.example/cb")],                   "redirect_uris",    "https://"),
            (people,   &[("redirect_uris", "javascript:alert(1)")],                   "redirect_uris",    "https://"),
            (people,   &[("redirect_uris", "https://a.example/cb"), ("cors_origins", "https://a.example/")], "cors_origins", "origin"),
            (people,   &[("redirect_uris", "https://a.example/cb"), ("backchannel_logout_uri", "http://a.example")], "backchannel_logout_uri", "https"),
            (custom,   &[("grants", ""), ("scopes", "system/Patient.rs")],            "grants",           "the list is empty"),
            (custom,   &[("grants", "client_credentials"), ("scopes", "system/Patient.zz")], "scopes",    "not a SMART scope"),
        ];
        for (path, given, field, told) in rows {
            let form = agent.get(&harness.url(path)).await;
            let mut filled = vec![("name", "Kept <b>name</b>"), ("auth_method", "client_secret_basic")];
            filled.retain(|(name, _)| given.iter().all(|(given, _)| given != name));
            filled.extend_from_slice(given);
            let page = send(&mut agent, &form, path, &filled).await;
            let text = &page.answer().text;
            assert_eq!(page.answer().status, 422, "{path} {given:?}: {text}");
            assert!(text.contains(&format!("href=\"#{field}\"")), "{given:?}: the summary leads to {field}: {text}");
            let beside = text.split(&format!("id=\"{field}-error\"")).nth(1).unwrap_or_else(|| panic!("{given:?}"));
            let beside = beside[..beside.find("</p>").unwrap()].to_lowercase();
            assert!(beside.contains(&told.to_lowercase()), "{given:?}: {beside}");
            if !given.iter().any(|(name, _)| *name == "name") {
                assert!(text.contains("value=\"Kept &#60;b&#62;name&#60;/b&#62;\""), "{given:?}: what was typed is kept");
            }
        }
        assert!(harness.app.live.client_index().clients().iter().all(|entry| !entry.live.client.name.starts_with("Kept")));
    }
}

on_both! {
    async fn of_two_who_save_the_same_client_the_second_is_told(db) {
        let harness = started(db);
        let (mut one, mut other) = (at_console(&harness, "admin").await, at_console(&harness, "clients").await);
        let path = "/admin/clients/lims-secret/edit";
        let (first, second) = (one.get(&harness.url(path)).await, other.get(&harness.url(path)).await);
        let saved = send(&mut one, &first, path, &[("name", "First name")]).await;
        assert_eq!((saved.at(), saved.answer().status), ("/admin/clients/lims-secret", 200));
        let told = send(&mut other, &second, path, &[("name", "Second name")]).await;
        assert_eq!(told.answer().status, 422);
        let text = &told.answer().text;
        assert!(text.contains("What was changed since you opened this form"), "{text}");
        assert!(text.contains("Second name"), "what was typed is kept");
        assert!(text.contains("Ada Administrator") && text.contains("First name"), "and told what the other changed: {text}");
        assert_eq!(harness.app.live.client("lims-secret").unwrap().client.name, "First name");
        // Knowing that, it is saved.
        let saved = send(&mut other, &told, path, &[("name", "Second name")]).await;
        assert_eq!(saved.answer().status, 200);
        assert_eq!(harness.app.live.client("lims-secret").unwrap().client.name, "Second name");
    }
}

on_both! {
    async fn what_a_form_does_not_change_stays_as_it_is(db) {
        let harness = started(db);
        harness.apply(
            r#"
            [[client]]
            client_id = "full"
            name = "Everything set"
            dataflow = "cms-user-to-edrs"
            auth_method = "client_secret_post"
            organization = { name = "Fulton", id = "urn:oid:1.2.3", jurisdiction = "GA" }
            resource_servers = ["edrs-ga"]
            redirect_uris = ["https://a.example/cb", "https://b.example/cb"]
            post_logout_redirect_uris = ["https://a.example/out"]
            backchannel_logout_uri = "https://a.example/logout"
            backchannel_logout_session_required = true
            scopes = "openid user/Composition.r user/Patient.rs"
            purposes = "HDECD"
            require_pkce = false
            refresh_rotation = false
            consent = "skip"
            cors_origins = ["https://a.example"]
            confidentiality = "N"
            enabled = false
            "#,
        );
        // What the form does not ask for, and what is narrowed to nothing.
        harness.apply("[[client]]\nclient_id = \"narrow\"\nname = \"Narrow\"\ndataflow = \"cms-user-to-edrs\"\nresource_servers = []\ngrants = [\"authorization_code\"]\nredirect_uris = [\"https://n.example/cb\"]");
        harness.apply("[[client]]\nclient_id = \"bare\"\nname = \"Bare\"\ndataflow = \"custom\"\ngrants = [\"client_credentials\"]\nscopes = [\"system/Patient.rs\"]\nresource_servers = [\"edrs-ga\"]");
        let before = harness.app.live.client("full").unwrap();
        let mut agent = at_console(&harness, "admin").await;
        for id in ["full", "lims-secret", "fulton-cms", "narrow", "bare"] {
            let path = format!("/admin/clients/{id}/edit");
            let form = agent.get(&harness.url(&path)).await;
            let page = send(&mut agent, &form, &path, &[]).await;
            assert!(page.answer().text.contains("Nothing was different"), "{id}: {}", page.answer().text);
        }
        assert_eq!(harness.app.live.client("full").unwrap().client, before.client);
        let path = "/admin/clients/full/edit";
        let form = agent.get(&harness.url(path)).await;
        send(&mut agent, &form, path, &[("confidentiality", "R")]).await;
        let mut expected = before.client.clone();
        let after = harness.app.live.client("full").unwrap();
        expected.settings.confidentiality = after.client.settings.confidentiality;
        assert_eq!((after.client.settings.confidentiality.unwrap().code(), &after.client.settings), ("R", &expected.settings));
    }
}

on_both! {
    async fn a_secret_is_replaced_without_an_outage(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let (_, old) = register(&mut agent, &harness, "lims").await;
        let path = "/admin/clients/lims/secret";
        let form = agent.get(&harness.url(path)).await;
        let page = send(&mut agent, &form, path, &[]).await;
        let new = text_of(&page, "once-value");
        assert!(page.answer().text.contains("The old secret works until"));
        assert_eq!((token(&harness, "lims", &old).await, token(&harness, "lims", &new).await), (200, 200));
        // A third would be one too many.
        let form = agent.get(&harness.url(path)).await;
        let refused = send(&mut agent, &form, path, &[]).await;
        assert_eq!(refused.answer().status, 422);
        assert!(refused.answer().text.contains("two valid secrets"));
        harness.clock.advance(7 * DAY);
        assert_eq!((token(&harness, "lims", &old).await, token(&harness, "lims", &new).await), (401, 200));
        // Long ago by now: secrets want a fresh sign-in.
        let page = agent.get(&harness.url(path)).await;
        assert_eq!(page.at(), "/login");
    }
}

on_both! {
    async fn disabling_and_deleting_ask_first_and_count_at_once(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let (_, secret) = register(&mut agent, &harness, "lims").await;
        let issued = harness.token(Some(("lims", &secret)), &[("grant_type", "client_credentials")]).await;
        let issued = issued.str("access_token").to_owned();
        let form = agent.get(&harness.url("/admin/clients/lims/disable")).await;
        assert!(form.answer().text.contains("stop working at once"));
        let page = send(&mut agent, &form, "/admin/clients/lims/disable", &[]).await;
        assert!(page.answer().text.contains("Disabled. Everything it could do has ended."));
        assert_eq!(harness.introspect(CMS, &issued).await, json!({ "active": false }));
        assert_eq!(token(&harness, "lims", &secret).await, 401);
        let form = agent.get(&harness.url("/admin/clients/lims/enable")).await;
        send(&mut agent, &form, "/admin/clients/lims/enable", &[]).await;
        assert_eq!(token(&harness, "lims", &secret).await, 200);
        assert_eq!(harness.introspect(CMS, &issued).await, json!({ "active": false }), "enabling revives nothing");
        let form = agent.get(&harness.url("/admin/clients/lims/delete")).await;
        let page = send(&mut agent, &form, "/admin/clients/lims/delete", &[]).await;
        assert_eq!(page.at(), "/admin/clients");
        assert_eq!(token(&harness, "lims", &secret).await, 401);
        assert_eq!(agent.get(&harness.url("/admin/clients/lims")).await.answer().status, 404);
        let actions: Vec<Value> = harness.events("client.changed").iter().map(|event| event["detail"]["action"].clone()).collect();
        assert_eq!(actions[actions.len() - 4..], [json!("registered"), json!("disabled"), json!("enabled"), json!("deleted")]);
    }
}

on_both! {
    async fn who_may_only_look_changes_nothing(db) {
        let harness = started(db);
        let before = harness.app.live.client("lims-secret").unwrap();
        let mut auditor = at_console(&harness, "auditor").await;
        let page = auditor.get(&harness.url("/admin/clients/lims-secret")).await;
        assert_eq!(page.answer().status, 200);
        for id in ["edit", "rotate", "disable", "delete"] {
            assert!(!page.answer().text.contains(&format!("id=\"{id}\"")), "{id} is not offered");
        }
        let mut users = at_console(&harness, "users").await;
        let mut manager = at_console(&harness, "clients").await;
        let form = manager.get(&harness.url("/admin/clients/lims-secret/edit")).await;
        let fields = crate::harness::agent::hidden_fields(&form.answer().text);
        let paths = ["/admin/clients/new", "/admin/clients/lims-secret/edit", "/admin/clients/lims-secret/secret", "/admin/clients/lims-secret/disable", "/admin/clients/lims-secret/delete"];
        for path in paths {
            for (who, agent) in [("auditor", &mut auditor), ("users", &mut users)] {
                assert_eq!(agent.get(&harness.url(path)).await.answer().status, 403, "{who} {path}");
                assert_eq!(agent.post(path, &fields).await.answer().status, 403, "{who} posts to {path}");
            }
        }
        for path in ["/admin/clients", "/admin/clients/lims-secret", "/admin/clients/lims-secret/hand-off", "/admin/clients/lims-secret/hand-off.txt", "/admin/clients/lims-secret/check"] {
            assert_eq!(users.get(&harness.url(path)).await.answer().status, 403, "{path}");
            assert_eq!(auditor.get(&harness.url(path)).await.answer().status, 200, "{path}");
        }
        assert_eq!(harness.app.live.client("lims-secret").unwrap().client, before.client);
    }
}

on_both! {
    async fn forged_and_replayed_forms_are_refused(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        let mut other = at_console(&harness, "admin").await;
        let path = "/admin/clients/lims-secret/disable";
        let form = other.get(&harness.url(path)).await;
        let theirs = crate::harness::agent::hidden_fields(&form.answer().text);
        // Without a token, with another's, and from another site.
        assert_eq!(agent.post(path, &[]).await.answer().status, 400);
        assert_eq!(agent.post(path, &theirs).await.answer().status, 400);
        let form = agent.get(&harness.url(path)).await;
        let request = agent.filled_in(&form, path, &[]).header("Cookie", agent.cookie_header());
        let foreign = request.try_clone().unwrap().build().unwrap();
        let mut foreign = foreign;
        foreign.headers_mut().insert("Origin", "https://evil.example".parse().unwrap());
        assert_eq!(harness.http.execute(foreign).await.unwrap().status(), 400);
        assert!(harness.app.live.client("lims-secret").unwrap().client.enabled);
        // Sent twice, the second changes nothing and says nothing wrong.
        send(&mut agent, &form, path, &[]).await;
        let count = harness.events("client.changed").len();
        send(&mut agent, &form, path, &[]).await;
        assert_eq!(harness.events("client.changed").len(), count);
    }
}

on_both! {
    async fn the_list_is_searched_filtered_and_paged(db) {
        let harness = started(db);
        let many: String = (0..120)
            .map(|n| format!("[[client]]\nclient_id = \"lab-{n:03}\"\nname = \"Lab {n:03}\"\ndataflow = \"lims-to-cms\"\nenabled = {}\n", n != 7))
            .collect();
        harness.apply(&many);
        let mut agent = at_console(&harness, "auditor").await;
        for sort in ["", "id", "newest"] {
            let mut seen = Vec::new();
            let mut next = format!("/admin/clients?q=lab&dataflow=lims-to-cms&sort={sort}");
            for _ in 0..4 {
                let page = agent.get(&harness.url(&next)).await;
                let text = page.answer().text.clone();
                let ids = text.split("/admin/clients/lab-").skip(1).map(|rest| rest[..3].to_owned());
                seen.extend(ids);
                let Some(link) = text.split("id=\"next-page\"").next().filter(|before| before.len() < text.len()) else { break };
                next = crate::harness::agent::unescape(link.rsplit("href=\"").next().unwrap().split('"').next().unwrap());
            }
            assert_eq!(seen, (0..120).map(|n| format!("{n:03}")).collect::<Vec<_>>(), "{sort}");
        }
        let page = agent.get(&harness.url("/admin/clients?state=disabled")).await;
        assert!(page.answer().text.contains("lab-007") && !page.answer().text.contains("lab-008"));
        let page = agent.get(&harness.url("/admin/clients?q=%3Cscript%3Enothing")).await;
        assert!(page.answer().text.contains("Nothing matches") && !page.answer().text.contains("<script>nothing"));
        let page = agent.get(&harness.url("/admin/clients?sort=newest&after=garbage")).await;
        assert_eq!(page.answer().status, 200);
    }
}

on_both! {
    async fn the_curl_of_the_hand_off_sheet_gets_a_token_when_it_is_pasted(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "clients").await;
        for method in ["client_secret_basic", "client_secret_post"] {
            let form = agent.get(&harness.url(NEW_LIMS)).await;
            let page = send(&mut agent, &form, NEW_LIMS, &[("name", method), ("auth_method", method)]).await;
            let secret = text_of(&page, "once-value");
            let id = method.replace('_', "-");
            let sheet = agent.get(&harness.url(&format!("/admin/clients/{id}/hand-off"))).await;
            assert!(!sheet.answer().text.contains(&secret), "the sheet holds no secret");
            let script = text_of(&sheet, "sample-1");
            let dir = crate::support::TempDir::new();
            let ca = agent.get(&harness.url("/admin/ca.pem")).await;
            std::fs::write(dir.path().join("ca.pem"), &ca.answer().text).unwrap();
            let pasted = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(dir.path())
                .env("MDI_CLIENT_SECRET", &secret)
                .output()
                .unwrap();
            let answer: Value = serde_json::from_slice(&pasted.stdout).unwrap_or_else(|_| panic!("{script}\n{pasted:?}"));
            let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{script}\n{answer}"));
            assert_eq!(harness.introspect(CMS, token).await["active"], true);
            let text = agent.get(&harness.url(&format!("/admin/clients/{id}/hand-off.txt"))).await;
            assert!(text.answer().text.contains(&script) && !text.answer().text.contains(&secret));
        }
    }
}

on_both! {
    async fn the_samples_quote_what_was_registered(db) {
        let harness = started(db);
        harness.apply(
            r#"
            [[resource_server]]
            id = "odd"
            name = "Odd"
            audience = "https://odd.example/o'dd\"$(id>pwned)`id`"
            kind = "other"

            [[client]]
            client_id = "odd-client"
            name = "Odd <b>client</b>"
            dataflow = "custom"
            grants = "client_credentials"
            scopes = ["it's", "$(id>pwned)", "system/Patient.rs"]
            resource_servers = ["odd"]
            secret = "odd-client-secret-0123456789-abcdefgh"
            "#,
        );
        let mut agent = at_console(&harness, "clients").await;
        let sheet = agent.get(&harness.url("/admin/clients/odd-client/hand-off")).await;
        let script = text_of(&sheet, "sample-1").replace("curl --cacert ca.pem", "printf '%s\\n'");
        let dir = crate::support::TempDir::new();
        let pasted = std::process::Command::new("sh").args(["-c", &script]).current_dir(dir.path()).env("MDI_CLIENT_SECRET", "x").output().unwrap();
        let words = String::from_utf8(pasted.stdout).unwrap();
        assert!(words.contains("\nscope=it's $(id>pwned) system/Patient.rs\n"), "{words}");
        assert!(words.contains("\nresource=https://odd.example/o'dd\"$(id>pwned)`id`\n"), "{words}");
        assert!(!dir.path().join("pwned").exists());
        assert!(!sheet.answer().text.contains("<b>client"));
    }
}

on_both! {
    async fn the_connection_check_says_line_by_line_what_is_wrong(db) {
        let harness = started(db);
        let key = ClientKey::new(Algorithm::ES384, "k1");
        let jwks = json!({ "keys": [key.jwk()] }).to_string();
        harness.apply(&format!("[[client]]\nclient_id = \"lims-key\"\nname = \"Key\"\ndataflow = \"lims-to-cms\"\nauth_method = \"private_key_jwt\"\njwks = '{jwks}'\n"));
        let mut agent = at_console(&harness, "auditor").await;
        let (now, endpoint) = (harness.now(), harness.url("/oauth2/token"));
        let good = claims("lims-key", &endpoint, now);
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        let used = key.sign(&good);
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", crate::harness::assertion::TYPE), ("client_assertion", used.as_str())];
        assert_eq!(harness.token(None, &form).await.status, 200);
        let other = ClientKey::new(Algorithm::ES384, "k1");
        let unknown = ClientKey::new(Algorithm::ES384, "k2");
        let fresh = |claims: &Value| key.sign(claims);
        let callback = "https://cms.fulton.example/cb";
        let authorize = harness.url("/oauth2/authorize");
        // Whose, what is pasted, the line, its result, and what it says.
        #[rustfmt::skip]
        let rows: Vec<(&str, String, &str, &str, &str)> = vec![
            ("lims-key", fresh(&with("jti", json!("a"))),                       "Signature", "Good",  "registered key"),
            ("lims-key", fresh(&with("jti", json!("a"))),                       "jti",       "Good",  "not used yet"),
            ("lims-key", used.clone(),                                          "jti",       "Wrong", "already"),
            ("lims-key", fresh(&with("aud", json!(format!("{endpoint}/")))),    "aud",       "Wrong", "Wanted"),
            ("lims-key", fresh(&with("iss", json!("lims"))),                    "iss",       "Wrong", "Wanted: lims-key"),
            ("lims-key", fresh(&with("exp", json!(now - 60))),                  "exp",       "Wrong", "60 seconds ago"),
            ("lims-key", fresh(&with("exp", json!(now + 3600))),                "exp",       "Wrong", "At most 5 minutes"),
            ("lims-key", fresh(&with("iat", json!(now + 120))),                 "iat",       "Wrong", "2 minutes ahead"),
            ("lims-key", other.sign(&good),                                     "Signature", "Wrong", "does not verify"),
            ("lims-key", unknown.sign(&good),                                   "Signature", "Wrong", "No registered key has the kid"),
            ("lims-key", key.sign_with_header(&json!({ "alg": "HS256" }), &good),"alg",      "Wrong", "Accepted: "),
            ("lims-key", format!("grant_type=x&client_assertion={used}&scope=y"),"iss",      "Good",  "lims-key"),
            ("lims-secret", used.clone(),                                       "Registered proof", "Wrong", "client_secret_basic"),
            ("fulton-cms", callback.to_owned(),                                 "redirect_uri", "Good",  "letter by letter"),
            ("fulton-cms", format!("{callback}/"),                              "redirect_uri", "Wrong", "<mark>/</mark>"),
            ("fulton-cms", "http://cms.fulton.example/cb".to_owned(),           "redirect_uri", "Wrong", "<mark>s</mark>"),
            ("lims-secret", callback.to_owned(),                                "redirect_uri", "Wrong", "no redirect addresses"),
            ("fulton-cms", format!("{authorize}?response_type=token&client_id=fulton-cms"), "response_type", "Wrong", "Wanted: code"),
            ("fulton-cms", format!("{authorize}?client_id=fulton-cms&code_challenge=x&code_challenge_method=plain"), "code_challenge", "Wrong", "must be S256"),
            ("fulton-cms", format!("{authorize}?client_id=fulton-cms&scope=system/Patient.d"), "scope", "Wrong", "may not have"),
            ("fulton-cms", format!("{authorize}?client_id=fulton-cms&aud=https://edrs.ga.example/fhi"), "aud", "Wrong", "<mark>r</mark>"),
            ("fulton-cms", r#"{"error":"invalid_client","error_description":"x"}"#.to_owned(), "Error", "Note", "registered for client_secret_basic"),
            ("fulton-cms", format!("{callback}?error=access_denied&state=x"),   "Error",     "Note",  "said no"),
            ("fulton-cms", "HTTP 400: invalid_grant".to_owned(),                "Error",     "Note",  "A code lasts one minute"),
            ("fulton-cms", "hello <script>alert(1)</script>".to_owned(),        "What you pasted", "Wrong", "neither"),
        ];
        for (client, pasted, what, verdict, told) in rows {
            let path = format!("/admin/clients/{client}/check");
            let form = agent.get(&harness.url(&path)).await;
            let page = send(&mut agent, &form, &path, &[("pasted", &pasted)]).await;
            let text = &page.answer().text;
            assert_eq!(page.answer().status, 200, "{pasted}");
            let row = text.split("<tr>").find(|row| row.contains(&format!("<th scope=\"row\">{what}</th>")) && row.contains(told));
            let row = row.unwrap_or_else(|| panic!("{pasted}: no line {what} with {told}: {text}"));
            assert!(row.contains(&format!(">{verdict}</span>")), "{pasted}: {row}");
            assert!(!text.contains("<script>alert"));
        }
        // Nothing was used up by looking.
        let looked_at = fresh(&with("jti", json!("a")));
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", crate::harness::assertion::TYPE), ("client_assertion", looked_at.as_str())];
        assert_eq!(harness.token(None, &form).await.status, 200);
        let (_, empty) = open(&harness, "admin", "/admin/clients/lims-key/check").await;
        assert_eq!(send(&mut agent, &empty, "/admin/clients/lims-key/check", &[("pasted", " ")]).await.answer().status, 400, "another browser's form");
    }
}
