//! Identity providers of agencies at the console.

use crate::console::{STAFF, at_console, send};
use crate::harness::Harness;
use crate::harness::agent::Agent;
use crate::on_both;

/// A provider that is registered.
pub const PROVIDER: &str = r#"
[[identity_provider]]
id = "fulton"
name = "Fulton County"
issuer = "https://idp.fulton.example"
client_id = "mdi"
secret = "what they gave us"
organization = { name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }
roles = [{ claim = "groups", value = "a | b", role = "medical-examiner" }]
"#;

const NEW: &str = "/admin/identity-providers/new";
const EDIT: &str = "/admin/identity-providers/fulton/edit";

const GOOD: [(&str, &str); 7] = [
    ("name", "DeKalb County"),
    ("issuer", "https://login.dekalb.example/realms/me"),
    ("client_id", "mdi-auth"),
    ("auth_method", "client_secret_basic"),
    ("secret", "dekalb's secret"),
    ("scopes", "openid email"),
    ("accounts", "linked"),
];

fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form: Vec<(&str, &str)> = GOOD
        .iter()
        .copied()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
        .collect();
    form.extend(changes.iter().copied());
    form
}

async fn submit(
    agent: &mut Agent<'_>,
    harness: &Harness,
    path: &str,
    form: &[(&str, &str)],
) -> crate::harness::agent::Page {
    let page = agent.get(&harness.url(path)).await;
    assert_eq!(page.answer().status, 200, "{path}: {page:?}");
    agent.submit_to(&page, path, form).await
}

on_both! {
    async fn a_provider_is_registered_changed_and_deleted(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let empty = agent.get(&harness.url("/admin/identity-providers")).await;
        assert!(empty.answer().text.contains("None yet"));
        let roles = "groups | ME | Doctors | medical-examiner\nroles | root | administrator | console";
        let page = submit(&mut agent, &harness, NEW, &with(&[("roles", roles), ("manage_roles", "yes"), ("agency", "fulton-county-me")])).await;
        assert_eq!((page.at(), page.answer().status), ("/admin/identity-providers/dekalb-county", 200), "{page:?}");
        let told = &page.answer().text;
        assert!(told.contains(&harness.url("/login/upstream/dekalb-county/callback")), "{told}");
        assert!(told.contains("ME | Doctors") && told.contains("Roles of this console"), "{told}");
        assert!(!told.contains("dekalb's secret") && !told.contains("dekalb&#39;s secret"));
        let provider = harness.app.live.identity_provider("dekalb-county").unwrap();
        assert_eq!(provider.settings.roles[0].value, "ME | Doctors");
        // A whole form: what it leaves out is gone, but for the secret.
        let edit = "/admin/identity-providers/dekalb-county/edit";
        let page = submit(&mut agent, &harness, edit, &with(&[("secret", ""), ("name", "DeKalb <b>County</b>"), ("agency", "fulton-county-me")])).await;
        assert_eq!(page.at(), "/admin/identity-providers/dekalb-county", "{page:?}");
        let changed = harness.app.live.identity_provider("dekalb-county").unwrap();
        assert!(changed.settings.roles.is_empty() && changed.settings.agency.is_some());
        assert_eq!(changed.sealed, provider.sealed);
        assert!(!page.answer().text.contains("<b>County"), "{}", page.answer().text);
        let disable = "/admin/identity-providers/dekalb-county/disable";
        let page = submit(&mut agent, &harness, disable, &[]).await;
        assert!(page.answer().text.contains("No one can sign in with it any more"));
        assert!(harness.app.live.identity_provider("dekalb-county").is_none());
        submit(&mut agent, &harness, "/admin/identity-providers/dekalb-county/enable", &[]).await;
        assert!(harness.app.live.identity_provider("dekalb-county").is_some());
        let page = submit(&mut agent, &harness, "/admin/identity-providers/dekalb-county/delete", &[]).await;
        assert_eq!(page.at(), "/admin/identity-providers");
        let gone = agent.get(&harness.url("/admin/identity-providers/dekalb-county")).await;
        assert_eq!(gone.answer().status, 404);
        let actions: Vec<String> = harness.events("identity_provider.changed").iter()
            .map(|event| event["detail"]["action"].as_str().unwrap().to_owned()).collect();
        for action in ["registered", "changed", "disabled", "enabled", "deleted"] {
            assert!(actions.iter().any(|known| known == action), "{action}: {actions:?}");
        }
    }
}

on_both! {
    async fn what_is_wrong_with_a_provider_is_told_beside_its_field(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url(NEW)).await;
        #[rustfmt::skip]
        let rows: &[(&[(&str, &str)], &str, &str)] = &[
            (&[("name", "")], "name", "printable"),
            (&[("id", "fulton")], "id", "registered already"),
            (&[("id", "new")], "id", "is a path of this server"),
            (&[("issuer", "")], "issuer", "is missing"),
            (&[("issuer", "http://idp.example")], "issuer", "https"),
            (&[("issuer", "https://idp.example/.well-known/openid-configuration")], "issuer", "discovery document"),
            (&[("issuer", &harness.issuer)], "issuer", "this server itself"),
            (&[("client_id", "")], "client_id", "printable"),
            (&[("auth_method", "private_key_jwt")], "auth_method", "not supported"),
            (&[("auth_method", "magic")], "auth_method", "is not one of"),
            (&[("auth_method", "none")], "secret", "of no use"),
            (&[("secret", "")], "secret", "is missing"),
            (&[("accounts", "all")], "accounts", "is not one of"),
            (&[("accounts", "invited")], "agency", "is missing"),
            (&[("agency", "nothing")], "agency", "agency has the id"),
            (&[("roles", "groups medical-examiner")], "roles", "claim | value | role"),
            (&[("roles", "groups | | medical-examiner")], "roles", "neither may be empty"),
            (&[("roles", "groups | a | king")], "roles", "no role king"),
            (&[("roles", "groups | a | administrator")], "roles", "governs this server"),
            (&[("manage_roles", "yes")], "manage_roles", "of no use without roles"),
            (&[("trusted_amr", "pwd")], "trusted_amr", "does not tell of a second factor"),
        ];
        for (changes, field, text) in rows {
            let refused = agent.submit_to(&page, NEW, &with(changes)).await;
            let shown = &refused.answer().text;
            assert_eq!(refused.answer().status, 422, "{changes:?}: {shown}");
            let beside = shown.split(&format!("id=\"{field}-error\"")).nth(1).unwrap_or_default();
            let beside = &beside[..beside.find("</p>").unwrap_or_default()];
            assert!(beside.contains(text), "{changes:?}: {text}: {beside} {shown}");
            assert!(!shown.contains("dekalb's secret") && !shown.contains("dekalb&#39;s"), "a secret is not shown again");
        }
        assert_eq!(harness.events("identity_provider.changed").len(), 1);
    }
}

on_both! {
    async fn of_two_who_change_a_provider_the_second_is_told(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url(EDIT)).await;
        harness.apply("[[identity_provider]]\nid = \"fulton\"\nsecret = \"another one\"");
        let refused = agent.submit_to(&page, EDIT, &with(&[("name", "Mine")])).await;
        assert_eq!(refused.answer().status, 422);
        let told = &refused.answer().text;
        assert!(told.contains("Somebody else has changed it") && told.contains("value=\"Mine\""), "{told}");
    }
}

on_both! {
    async fn a_provider_is_tried(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/identity-providers/fulton/try")).await;
        assert!(page.answer().text.contains("Problem: discovery:"), "{}", page.answer().text);
        // Who changes nothing makes this server call nobody.
        harness.clock.advance(60);
        let mut auditor = at_console(&harness, "auditor").await;
        let page = auditor.get(&harness.url("/admin/identity-providers/fulton/try")).await;
        assert_eq!(page.answer().status, 403);
    }
}

on_both! {
    async fn whoever_saves_too_late_is_told_what_somebody_else_has_changed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let mut agent = at_console(&harness, "admin").await;
        let edit = "/admin/identity-providers/fulton/edit";
        let early = agent.get(&harness.url(edit)).await;
        let form = [("name", "Fulton ME"), ("issuer", "https://idp.fulton.example"), ("client_id", "mdi-auth"), ("auth_method", "none"),
            ("scopes", "openid"), ("accounts", "linked"), ("reauthenticate", "max_age")];
        let later: Vec<_> = form.iter().map(|(name, value)| if *name == "client_id" { (*name, "another") } else { (*name, *value) }).collect();
        submit(&mut agent, &harness, edit, &later).await;
        let told = agent.submit_to(&early, edit, &form).await;
        let text = &told.answer().text;
        assert_eq!(told.answer().status, 422, "{text}");
        assert!(text.contains("What was changed since you opened this form") && text.contains("another"), "{text}");
        assert!(text.contains("value=\"Fulton ME\""), "what was typed is kept: {text}");
        // Who has seen it saves over it, knowing that.
        let saved = agent.submit_to(&told, edit, &form).await;
        assert_eq!(saved.at(), "/admin/identity-providers/fulton", "{saved:?}");
        assert_eq!(harness.app.live.identity_provider("fulton").unwrap().settings.client_id, "mdi-auth");
    }
}

on_both! {
    async fn what_the_forms_do_not_change_stays_as_it_is(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        harness.apply("[[identity_provider]]\nid = \"later\"\nname = \"Later\"\nissuer = \"https://later.example\"\nclient_id = \"mdi\"\nsecret_later = true\ntrusted_acr = [\"a\", \"b\"]");
        harness.apply("[[resource_server]]\nid = \"nothing\"\nname = \"Nothing\"\naudience = \"https://nothing.example/fhir\"\nkind = \"other\"\nscopes = []\nscope_map = { \"user/Observation.rs?category=lab\" = \"\" }");
        let mut agent = at_console(&harness, "admin").await;
        for own in ["/admin/identity-providers/fulton", "/admin/identity-providers/later", "/admin/resource-servers/nothing", "/admin/resource-servers/edrs-ga"] {
            let path = format!("{own}/edit");
            let form = agent.get(&harness.url(&path)).await;
            let page = send(&mut agent, &form, &path, &[]).await;
            assert!(page.answer().text.contains("Nothing was different"), "{own}: {}", page.answer().text);
        }
        // A secret that came with a mistake is asked for again, for it is not in the form.
        let path = "/admin/identity-providers/fulton/edit";
        let form = agent.get(&harness.url(path)).await;
        let refused = send(&mut agent, &form, path, &[("secret", "a new one of theirs"), ("issuer", "http://idp.example")]).await;
        let text = &refused.answer().text;
        assert!(refused.answer().status == 422 && text.contains("Enter it again") && !text.contains("a new one of theirs"), "{text}");
    }
}
