//! Agencies: how something comes to belong to one, what ends with one, and that who looks after one agency sees, counts and
//! changes nothing of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use mdi_auth::admin::about::About;
use mdi_auth::admin::api;
use mdi_auth::admin::pages::pages;
use mdi_auth::policy::console::Area;
use mdi_auth::registry::{api_tokens, export};
use mdi_auth::store::lists::{self, Grants, Sessions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin_api::{Program, problem};
use crate::console::import::settled;
use crate::console::people::{id_of, part, person};
use crate::console::{STAFF, at_console, send};
use crate::harness::agent::{Agent, hidden};
use crate::harness::{Db, EDRS, FULTON, Harness, LIMS, PASSWORD, blocking};
use crate::on_both;
use crate::person_flow::{code_of, redeem, refresh};

/// The agencies that the harness's file describes.
const OWN: &str = "fulton-county-me";
const OTHER: &str = "uf-pathology-labs";

/// A manager of the one agency, and people of the other and of none.
pub const PEOPLE: &str = r#"
[[user]]
username = "mary"
name = "Mary Manager"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
agency = "fulton-county-me"
memberships = [{ agency = "fulton-county-me", roles = ["user-manager", "client-manager"] }]

[[user]]
username = "otto"
name = "Otto Other"
email = "otto@other.example"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["medical-examiner"]
agency = "uf-pathology-labs"

[[user]]
username = "nell"
name = "Nell None"
email = "nell@none.example"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["medical-examiner"]
"#;

/// What names those of other agencies, and of none: no page and no answer for the manager has it.
const OTHERS: [&str; 7] = [
    "Otto Other",
    "otto@other",
    "Nell None",
    "nell@none",
    "UF Pathology",
    "lims-secret",
    "Ada Administrator",
];

/// What of one kind there is at the own agency, at the other one, and at none.
type Ids = BTreeMap<&'static str, [String; 3]>;

struct Scene {
    harness: Harness,
    ids: Ids,
}

/// Signs somebody in to the application, and answers the ids of person, session and grant.
async fn connected(harness: &Harness, username: &'static str) -> [String; 3] {
    let code = code_of(harness, username, &[]).await;
    assert_eq!(redeem(harness, &code).await.status, 200);
    harness.clock.advance(60);
    let (store, person) = (Arc::clone(&harness.app.store), id_of(harness, username));
    let id = person.clone();
    let (session, grant) = blocking(move || {
        store
            .read_blocking(move |conn| {
                let sessions = Sessions {
                    homes: None,
                    person: Some(id.clone()),
                    begun_after: 0,
                    used_after: 0,
                };
                let grants = Grants {
                    homes: None,
                    person: Some(id.clone()),
                    client: None,
                    kept_after: 0,
                };
                let session = lists::sessions(conn, &sessions, None, 1)?.pop().unwrap();
                let grant = lists::grants(conn, &grants, None, 1)?.pop().unwrap();
                Ok((session.id, grant.id))
            })
            .unwrap()
    });
    [person, session, grant]
}

impl Scene {
    async fn on(db: Db) -> Self {
        let harness = Harness::start_with(db, |config| config.admin_api.requests_per_minute = 100_000);
        harness.apply(STAFF);
        harness.apply(PEOPLE);
        let mut ids = Ids::new();
        let (jlehz, otto, nell) = (
            connected(&harness, "jlehz").await,
            connected(&harness, "otto").await,
            connected(&harness, "nell").await,
        );
        for (place, kind) in ["person", "session", "grant"].into_iter().enumerate() {
            ids.insert(kind, [&jlehz, &otto, &nell].map(|ids| ids[place].clone()));
        }
        let client_of_none = "[[client]]\nclient_id = \"nobodys\"\nname = \"Client of none\"\ndataflow = \"lims-to-cms\"\nauth_method = \"client_secret_basic\"\nresource_servers = [\"cms-fulton\"]\n";
        harness.apply(client_of_none);
        ids.insert(
            "client",
            ["fulton-cms", "lims-secret", "nobodys"].map(str::to_owned),
        );
        ids.insert("agency", [OWN, OTHER, "nothing"].map(str::to_owned));
        Self { harness, ids }
    }

    fn of(&self, about: About) -> Option<&[String; 3]> {
        let kind = match about {
            About::Everybody | About::Own => return None,
            About::Agency => "agency",
            About::Client => "client",
            About::Person => "person",
            About::Session => "session",
            About::Grant => "grant",
        };
        self.ids.get(kind)
    }

    /// Everything that is registered, without who was signed in.
    fn registered(&self) -> String {
        let registry = self.harness.registry();
        blocking(move || export::export(&registry, true)).unwrap()
    }

    /// A program with the manager's own token, which somebody at the machine handed over to her.
    async fn program(&self, scope: &str) -> Program<'_> {
        let program = Program::new(&self.harness, scope);
        let me = program.get("/me").await;
        let id = me.json["token"]["id"].as_str().unwrap().to_owned();
        let registry = self.harness.registry();
        let handed = blocking(move || {
            registry.blocking(move |registry, tx| api_tokens::hand_over(registry, tx, &id, Some("mary")))
        });
        handed.unwrap();
        program
    }
}

fn tells_of_others(text: &str) -> Option<&'static str> {
    OTHERS.into_iter().find(|other| text.contains(other))
}

/// Pages that the manager may see, of her own agency.
const SEEN: &[&str] = &[
    "/admin",
    "/admin/agencies",
    "/admin/agencies/{id}",
    "/admin/agencies/{id}/members",
    "/admin/clients",
    "/admin/clients/{id}",
    "/admin/clients/{id}/edit",
    "/admin/clients/{id}/secret",
    "/admin/clients/{id}/disable",
    "/admin/clients/{id}/enable",
    "/admin/clients/{id}/delete",
    "/admin/ca.pem",
    "/admin/clients/{id}/hand-off",
    "/admin/clients/{id}/hand-off.txt",
    "/admin/clients/{id}/check",
    "/admin/clients/{id}/vendor-link",
    "/admin/clients/{id}/end-vendor-link",
    "/admin/users",
    "/admin/users/new",
    "/admin/users/import",
    "/admin/users/import/template",
    "/admin/users/import/{import}",
    "/admin/users/import/{import}/links",
    "/admin/users/{id}",
    "/admin/users/{id}/edit",
    "/admin/users/{id}/roles",
    "/admin/users/{id}/invite",
    "/admin/users/{id}/reset-link",
    "/admin/users/{id}/unlock",
    "/admin/users/{id}/reset-second-factor",
    "/admin/users/{id}/sign-out",
    "/admin/users/{id}/revoke",
    "/admin/users/{id}/disable",
    "/admin/users/{id}/enable",
    "/admin/users/{id}/delete",
    "/admin/sessions",
    "/admin/sessions/{id}/end",
    "/admin/grants",
    "/admin/grants/{id}/end",
    "/admin/policy",
    "/admin/confirmed",
];

on_both! {
    async fn who_looks_after_one_agency_sees_its_pages_and_no_others(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let mut mary = at_console(harness, "mary").await;
        for page in pages() {
            let may = SEEN.contains(&page.path.as_str());
            let about = page.get.requires.about;
            let Some([own, other, none]) = scene.of(about) else {
                let path = page.path.replace("{id}", "edrs-ga").replace("{import}", "nothing").replace("{chain}/{seq}", "0/1").replace("{document}", "jwks.json");
                let shown = mary.get(&harness.url(&path)).await;
                let is_import = path.contains("nothing");
                let expected = if !may { 403 } else if is_import { 404 } else { 200 };
                assert_eq!(shown.answer().status, expected, "{path} at {}", shown.at());
                assert_eq!(tells_of_others(&shown.answer().text), None, "{path}: {}", shown.answer().text);
                continue;
            };
            let at = |id: &str| page.path.replace("{id}", id);
            let shown = mary.get(&harness.url(&at(own))).await;
            assert_eq!(shown.answer().status, if may { 200 } else { 403 }, "{}", at(own));
            assert_eq!(tells_of_others(&shown.answer().text), None, "{}: {}", at(own), shown.answer().text);
            for id in [other, none] {
                let hidden = mary.get(&harness.url(&at(id))).await;
                let status = hidden.answer().status;
                assert!(status == 404 || (!may && status == 403), "{}: {status}", at(id));
                assert_eq!(tells_of_others(&hidden.answer().text.replace(id, "")), None, "{}", at(id));
            }
        }
    }
}

on_both! {
    async fn forms_about_others_change_nothing(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let mut mary = at_console(harness, "mary").await;
        let before = scene.registered();
        let form = mary.get(&harness.url(&format!("/admin/agencies/{OWN}/members"))).await;
        let csrf = hidden(&form, "csrf");
        for page in pages() {
            let Some(post) = &page.post else { continue };
            let ids = scene.of(post.requires.about);
            let Some([_, other, none]) = ids else { continue };
            for id in [other, none] {
                let path = page.path.replace("{id}", id);
                let fields = [("csrf", csrf.as_str()), ("name", "Taken over"), ("username", "jlehz"), ("roles", "medical-examiner")];
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let answer = mary.post(&path, &fields).await;
                assert!([403, 404].contains(&answer.answer().status), "{path}: {answer:?}");
            }
        }
        assert_eq!(scene.registered(), before);
        let mut admin = at_console(harness, "admin").await;
        for username in ["otto", "nell"] {
            let sessions = admin.get(&harness.url(&format!("/admin/sessions?person={username}"))).await;
            assert!(sessions.answer().text.contains("/end"), "{username} is still signed in");
            let grants = admin.get(&harness.url(&format!("/admin/grants?person={username}"))).await;
            assert!(grants.answer().text.contains("/end"), "{username} still allows what she did");
        }
    }
}

on_both! {
    async fn a_program_of_hers_sees_its_agency_and_no_other(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let before = scene.registered();
        for scope in ["users", "clients"] {
            let program = scene.program(scope).await;
            for operation in api::groups().into_iter().flat_map(|group| group.operations) {
                let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
                let send = |path: String, body: Value| program.send(method.clone(), path, body);
                let Some([own, other, none]) = scene.of(operation.about) else {
                    if operation.method == "GET" && !operation.path.contains("{id}") {
                        let answer = send(operation.path.clone(), Value::Null).await;
                        assert!([200, 403].contains(&answer.status), "{operation:?} {answer:?}");
                        assert_eq!(tells_of_others(&answer.text), None, "{operation:?} {answer:?}");
                        let own = operation.about == About::Own;
                        let of_scope = operation.area == if scope == "users" { Area::People } else { Area::Clients };
                        assert_eq!(answer.status, if own && of_scope { 200 } else { answer.status }, "{operation:?}");
                    }
                    continue;
                };
                for id in [other, none] {
                    let answer = send(operation.path.replace("{id}", id), json!({ "name": "Taken over", "username": "mary", "roles": [] })).await;
                    assert!([403, 404].contains(&answer.status), "{operation:?} {answer:?}");
                    assert_eq!(tells_of_others(&answer.text.replace(id, "")), None, "{operation:?} {answer:?}");
                }
                if operation.method == "GET" {
                    let answer = send(operation.path.replace("{id}", own), Value::Null).await;
                    let reads = match operation.area {
                        Area::Clients => scope == "clients",
                        Area::Agencies => true,
                        _ => scope == "users",
                    };
                    let link = operation.path.ends_with("vendor-link");
                    let expected = match (reads, link) { (false, _) => 403, (true, true) => 404, (true, false) => 200 };
                    assert_eq!(answer.status, expected, "{operation:?} {answer:?}");
                    assert_eq!(tells_of_others(&answer.text), None, "{operation:?} {answer:?}");
                }
            }
            // Who is looked for by name is not found, either.
            if scope == "users" {
                for query in ["q=otto", "username=otto", "q=other", "agency=uf-pathology-labs", "role=administrator", "username=nell"] {
                    let found = program.get(&format!("/users?{query}")).await;
                    assert_eq!((found.status, &found.json["items"]), (200, &json!([])), "{query} {found:?}");
                }
                for list in ["sessions", "grants"] {
                    let user = &scene.ids["person"];
                    let own = program.get(&format!("/{list}?user={}", user[0])).await;
                    assert!(!own.json["items"].as_array().unwrap().is_empty(), "{own:?}");
                    let other = program.get(&format!("/{list}?user={}", user[1])).await;
                    assert_eq!(other.json["items"], json!([]));
                    let all = program.get(&format!("/{list}")).await;
                    let all = all.json["items"].as_array().unwrap();
                    assert!(all.iter().all(|one| one["user_id"] == json!(user[0])), "{all:?}");
                }
            }
        }
        assert_eq!(scene.registered(), before);
        drop(harness.events("people.read"));
    }
}

/// Adds or changes somebody as the manager, through the API.
async fn as_manager(program: &Program<'_>, body: Value) -> (u16, Value) {
    let answer = program.post("/users", &body).await;
    (answer.status, answer.json)
}

on_both! {
    async fn a_manager_adds_people_of_her_agency_with_the_roles_of_its_kind(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply("[[agency]]\nid = \"fulton-county-me\"\nkind = \"medical-examiner-office\"\n");
        let program = scene.program("users").await;
        // What is asked for, the status, and the member at fault.
        let rows = [
            (json!({ "roles": ["data-clerk"] }), 201, ""),
            (json!({ "agency": OWN, "roles": ["medical-examiner"] }), 201, ""),
            (json!({ "organization": { "name": "Whatever", "id": "urn:oid:2.16.840.1.113883.3.9999.1" } }), 201, ""),
            (json!({ "roles": ["registrar"] }), 422, "#/roles"),
            (json!({ "roles": ["user-manager"] }), 422, "#/roles"),
            (json!({ "roles": ["administrator"] }), 422, "#/roles"),
            (json!({ "agency": OTHER }), 422, "#/agency"),
            (json!({ "agency": "nothing" }), 422, "#/agency"),
            (json!({ "agency": "" }), 422, "#/agency"),
            (json!({ "organization": { "name": "New one" } }), 422, "#/organization"),
            (json!({ "organization": { "name": "UF Pathology Labs", "id": "urn:oid:2.16.840.1.113883.3.9999.2" } }), 422, "#/organization"),
            (json!({ "memberships": [{ "agency": OTHER, "roles": ["data-clerk"] }] }), 422, "#/memberships"),
            (json!({ "memberships": [{ "agency": OWN, "roles": ["user-manager"] }] }), 422, "#/roles"),
            (json!({ "memberships": [{ "agency": OWN, "roles": ["data-clerk"] }] }), 422, "#/memberships"),
        ];
        for (place, (row, status, member)) in rows.into_iter().enumerate() {
            let mut body = json!({ "username": format!("p{place}"), "name": "Pat" });
            body.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            let (got, answer) = as_manager(&program, body).await;
            assert_eq!(got, status, "{row} {answer}");
            if status == 201 {
                assert_eq!(answer["agency"], json!(OWN), "{row} {answer}");
            } else {
                assert_eq!(answer["errors"][0]["pointer"], json!(member), "{row} {answer}");
                assert!(!answer.to_string().contains("UF Path"), "{answer}");
            }
        }
    }
}

on_both! {
    async fn who_is_of_two_agencies_is_safe_from_the_second(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let program = scene.program("users").await;
        let members = format!("/agencies/{OWN}/members");
        let set = |roles: &[&str]| json!({ "username": "otto", "roles": roles });
        // Somebody of another agency gets a role here, for the asking of who looks after this one.
        let given = program.post(&members, &set(&["data-clerk"])).await;
        assert_eq!((given.status, &given.json), (200, &json!({ "username": "otto", "name": "Otto Other", "roles": ["data-clerk"] })));
        let listed = program.get(&members).await;
        assert_eq!(listed.json["items"], json!([{ "username": "otto", "name": "Otto Other", "roles": ["data-clerk"] }]));
        // It is no more than that: the account is the other agency's.
        let otto = &scene.ids["person"][1];
        for (method, path, body) in [
            (Method::GET, "", Value::Null),
            (Method::PATCH, "", json!({ "roles": [] })),
            (Method::POST, "/disable", Value::Null),
            (Method::POST, "/password-link", Value::Null),
            (Method::POST, "/second-factor/reset", Value::Null),
            (Method::POST, "/sign-out", Value::Null),
            (Method::DELETE, "", Value::Null),
            (Method::GET, "/sign-in", Value::Null),
        ] {
            let answer = program.send(method, format!("/users/{otto}{path}"), body).await;
            assert_eq!(problem(&answer), (404, "not-found"), "{answer:?}");
        }
        assert_eq!(program.get("/users?q=otto").await.json["items"], json!([]));
        for (roles, member) in [(vec!["user-manager"], "#/username"), (vec!["administrator"], "#/roles"), (vec!["nothing"], "#/roles")] {
            let refused = program.post(&members, &set(&roles)).await;
            assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (422, &json!(member)), "{refused:?}");
        }
        let other = program.post(&format!("/agencies/{OTHER}/members"), &set(&[])).await;
        assert_eq!(problem(&other), (404, "not-found"));
        // The role counts in tokens, and its end is the person's sign-out.
        let settings = person(harness, "otto").unwrap().settings;
        assert_eq!(settings.all_roles(), ["medical-examiner", "data-clerk"]);
        let code = code_of(harness, "otto", &[]).await;
        let tokens = redeem(harness, &code).await;
        let told = harness.introspect(EDRS, tokens.str("access_token")).await;
        let roles = told["extensions"]["ihe_iua"]["subject_role"].to_string();
        assert!(roles.contains("\"medical-examiner\"") && roles.contains("\"data-clerk\""), "{told}");
        // Her own agency does not see what she is elsewhere, and does not take it away.
        harness.apply("[[user]]\nusername = \"uma\"\nname = \"Uma\"\nagency = \"uf-pathology-labs\"\nmemberships = [{ agency = \"uf-pathology-labs\", roles = [\"user-manager\"] }]\n");
        let gone = program.post(&members, &set(&[])).await;
        assert_eq!((gone.status, &gone.json["roles"]), (200, &json!([])));
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        assert_eq!(program.get(&members).await.json["items"], json!([]));
    }
}

on_both! {
    async fn the_home_agency_keeps_what_others_gave(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply("[[user]]\nusername = \"jlehz\"\nmemberships = [{ agency = \"uf-pathology-labs\", roles = [\"lab-analyst\"] }]\n");
        let program = scene.program("users").await;
        let jlehz = &scene.ids["person"][0];
        let shown = program.get(&format!("/users/{jlehz}")).await;
        assert_eq!(shown.json["memberships"], json!([]), "{shown:?}");
        let seen = shown.header("etag").to_owned();
        let mut whole = shown.json.clone();
        whole["name"] = json!("Jane Lehz");
        let put = program.put(&format!("/users/{jlehz}"), &seen, &whole).await;
        assert_eq!((put.status, &put.json["memberships"]), (200, &json!([])), "{put:?}");
        let after = person(harness, "jlehz").unwrap();
        assert_eq!(after.name, "Jane Lehz");
        assert_eq!(after.settings.memberships.len(), 1, "{after:?}");
        // The same by the form.
        let mut mary = at_console(harness, "mary").await;
        let path = format!("/admin/users/{jlehz}/edit");
        let form = mary.get(&harness.url(&path)).await;
        let saved = send(&mut mary, &form, &path, &[("name", "Jane A. Lehz")]).await;
        assert_eq!(saved.answer().status, 200, "{saved:?}");
        let after = person(harness, "jlehz").unwrap();
        assert_eq!((after.name.as_str(), after.settings.memberships.len()), ("Jane A. Lehz", 1));
        let list = mary.get(&harness.url("/admin/users")).await;
        assert!(list.answer().text.contains("<bdi>Medical examiner</bdi></td>"), "{}", list.answer().text);
        assert!(!list.answer().text.contains("Medical examiner, Laboratory"), "{}", list.answer().text);
    }
}

on_both! {
    async fn who_moves_takes_nothing_along(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply(&format!("{PROVIDER}\n[[user]]\nusername = \"jlehz\"\nconfidentiality = \"R\"\npurposes = [\"HDECD\"]\nmemberships = [{{ agency = \"{OWN}\", roles = [\"user-manager\"] }}]\n"));
        let registry = harness.registry();
        let linked = blocking(move || registry.blocking(|registry, tx| mdi_auth::registry::identity_providers::link(registry, tx, "fulton-idp", "jane", "jlehz")));
        linked.unwrap();
        let code = code_of(harness, "jlehz", &[("scope", "openid offline_access user/Patient.rs"), ("prompt", "consent")]).await;
        let tokens = redeem(harness, &code).await;
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(true));
        harness.apply(&format!("[[user]]\nusername = \"jlehz\"\nagency = \"{OTHER}\"\n"));
        let moved = person(harness, "jlehz").unwrap().settings;
        assert_eq!((moved.agency.as_deref(), moved.roles.as_slice(), moved.memberships.as_slice()), (Some(OTHER), &[][..], &[][..]));
        assert_eq!((moved.confidentiality, &moved.purposes, &moved.fhir_user), (None, &None, &None));
        assert_eq!(moved.npi.as_deref(), Some("1234567893"), "that is hers");
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        assert_eq!(refresh(harness, tokens.str("refresh_token")).await.error(), "invalid_grant");
        let event = harness.events("person.roles_changed").pop().unwrap();
        assert_eq!(event["detail"]["links"], json!("1"), "{event}");
        let mut mary = at_console(harness, "mary").await;
        let gone = mary.get(&harness.url(&format!("/admin/users/{}", scene.ids["person"][0]))).await;
        assert_eq!(gone.answer().status, 404);
    }
}

const PROVIDER: &str = r#"
[[identity_provider]]
id = "fulton-idp"
name = "Fulton"
issuer = "https://idp.fulton.example"
client_id = "mdi"
auth_method = "none"
agency = "fulton-county-me"
"#;

on_both! {
    async fn a_disabled_agency_is_nobodys_and_what_it_gave_ends(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply(&format!("[[user]]\nusername = \"otto\"\nmemberships = [{{ agency = \"{OWN}\", roles = [\"data-clerk\"] }}]\n"));
        let code = code_of(harness, "jlehz", &[]).await;
        let tokens = redeem(harness, &code).await;
        let program = Program::new(harness, "admin");
        let handed = scene.program("users").await;
        let system = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await;
        assert_eq!(system.status, 200);
        for agency in [OWN, OTHER] {
            assert_eq!(program.post(&format!("/agencies/{agency}/disable"), &Value::Null).await.status, 200);
        }
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        let refused = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await;
        assert_eq!(refused.error(), "invalid_client");
        assert_eq!(harness.token(Some(FULTON), &[("grant_type", "refresh_token"), ("refresh_token", "x")]).await.error(), "invalid_client");
        harness.clock.advance(60);
        let mut agent = Agent::new(harness);
        let login = agent.get(&harness.url("/account")).await;
        let page = agent.sign_in(login, "jlehz", PASSWORD).await;
        assert_eq!(page.at(), "/login", "{page:?}");
        // Enabling it revives nothing that was.
        for agency in [OWN, OTHER] {
            assert_eq!(program.post(&format!("/agencies/{agency}/enable"), &Value::Null).await.status, 200);
        }
        assert_eq!(handed.get("/me").await.status, 401);
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        assert_eq!(harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.status, 200);
        let code = code_of(harness, "jlehz", &[]).await;
        assert_eq!(redeem(harness, &code).await.status, 200);
        // It cannot go while somebody belongs to it.
        let used = program.send(Method::DELETE, format!("/agencies/{OWN}"), Value::Null).await;
        assert_eq!(problem(&used), (409, "in-use"), "{used:?}");
        assert!(used.str("detail").contains("fulton-cms") && used.str("detail").contains("3 people"), "{used:?}");
    }
}

on_both! {
    async fn an_api_token_ends_with_an_agency_that_is_disabled_and_changed_at_once(db) {
        let scene = Scene::on(db).await;
        let handed = scene.program("users").await;
        scene.harness.apply(&format!("[[agency]]\nid = \"{OWN}\"\nkind = \"laboratory\"\nenabled = false\n"));
        scene.harness.apply(&format!("[[agency]]\nid = \"{OWN}\"\nenabled = true\n"));
        assert_eq!(handed.get("/me").await.status, 401);
    }
}

on_both! {
    async fn a_role_counts_where_the_kind_of_agency_may_have_it(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let code = code_of(harness, "otto", &[]).await;
        let tokens = redeem(harness, &code).await;
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(true));
        // A laboratory has no medical examiner.
        harness.apply(&format!("[[agency]]\nid = \"{OTHER}\"\nkind = \"laboratory\"\n"));
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        let settings = person(harness, "otto").unwrap().settings;
        assert_eq!(settings.roles, ["medical-examiner"], "it is shown until somebody takes it away");
        let live = harness.app.live.agencies();
        assert_eq!(harness.app.policy.roles_that_count(&settings, &live), Vec::<String>::new());
        // And everything else about the person can be changed all the same.
        harness.apply("[[user]]\nusername = \"otto\"\nname = \"Otto O.\"\n");
        assert_eq!(person(harness, "otto").unwrap().name, "Otto O.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agency_is_found_by_its_identifier_and_never_by_its_name() {
    let harness = Harness::start(Db::Sqlite);
    let program = Program::new(&harness, "admin");
    let with = |username: &str, organization: Value| json!({ "username": username, "name": "P", "organization": organization });
    // What is said, and the agency that comes of it, or what is wrong.
    let rows = [
        (
            json!({ "name": "Another name", "id": "urn:oid:2.16.840.1.113883.3.9999.1" }),
            Ok("fulton-county-me"),
        ),
        (
            json!({ "name": "Fulton County ME" }),
            Err("is registered already"),
        ),
        (
            json!({ "name": "Fulton County ME", "id": "urn:oid:1.2.3" }),
            Ok("fulton-county-me-2"),
        ),
        (
            json!({ "name": "Fulton County ME", "id": "urn:oid:1.2.4" }),
            Ok("fulton-county-me-3"),
        ),
        (json!({ "name": "St. Mary's Hospital" }), Ok("st-mary-s-hospital")),
        (
            json!({ "name": "St. Mary's Hospital" }),
            Err("is registered already"),
        ),
        (json!({ "name": "医院" }), Ok("agency")),
        (json!({ "name": "X", "id": "1.2.3" }), Err("must be a URI")),
        (json!({ "name": " " }), Err("its name it is empty")),
        (
            json!({ "name": "X", "jurisdiction": "" }),
            Err("its jurisdiction it is empty"),
        ),
        (json!({ "name": "X", "colour": "red" }), Err("unknown field")),
    ];
    for (place, (organization, expected)) in rows.into_iter().enumerate() {
        let answer = program
            .post("/users", &with(&format!("p{place}"), organization.clone()))
            .await;
        match expected {
            Ok(agency) => assert_eq!(
                (answer.status, answer.str("agency")),
                (201, agency),
                "{organization} {answer:?}"
            ),
            Err(text) => assert!(
                answer.status >= 400 && answer.text.contains(text),
                "{organization} {answer:?}"
            ),
        }
    }
    // In one file what has one name is one agency; told again, it stays as it is.
    let file = "[[user]]\nusername = \"a\"\nname = \"A\"\norganization = { name = \"DeKalb\" }\n[[user]]\nusername = \"b\"\nname = \"B\"\norganization = { name = \"DeKalb\" }\n[[client]]\nclient_id = \"c\"\nname = \"C\"\ndataflow = \"lims-to-cms\"\nresource_servers = [\"cms-fulton\"]\norganization = { name = \"DeKalb\" }\n";
    assert!(harness.apply(file).changes);
    assert!(!harness.apply(file).changes);
    assert_eq!(
        person(&harness, "b").unwrap().settings.agency.as_deref(),
        Some("dekalb")
    );
    // The identifier is one agency's, and `agency` and `organization` are not said at once.
    let taken = program
        .post(
            "/agencies",
            &json!({ "id": "x", "name": "X", "identifier": "urn:oid:1.2.3" }),
        )
        .await;
    assert_eq!(
        (taken.status, &taken.json["errors"][0]["pointer"]),
        (422, &json!("#/identifier")),
        "{taken:?}"
    );
    let both = program.post("/users", &json!({ "username": "both", "name": "P", "agency": "dekalb", "organization": { "name": "DeKalb" } })).await;
    assert_eq!(both.status, 422, "{both:?}");
}

on_both! {
    async fn a_manager_of_clients_looks_after_how_they_are_reached_and_not_what_they_may(db) {
        let scene = Scene::on(db).await;
        let program = scene.program("clients").await;
        let shown = program.get("/clients/fulton-cms").await;
        let rows = [
            (json!({ "name": "Fulton CMS" }), 200),
            (json!({ "contacts": ["it@fulton.example"] }), 200),
            (json!({ "redirect_uris": ["https://cms.fulton.example/cb", "https://cms.fulton.example/cb2"] }), 200),
            (json!({ "dataflow": "custom", "scopes": "user/*.rs" }), 422),
            (json!({ "resource_servers": ["cms-fulton"] }), 422),
            (json!({ "scopes": "openid" }), 422),
            (json!({ "consent": "remember" }), 422),
            (json!({ "agency": OTHER }), 422),
            (json!({ "agency": null }), 422),
            (json!({ "confidentiality": "V" }), 422),
        ];
        let mut seen = shown.header("etag").to_owned();
        for (row, status) in rows {
            let answer = program.patch("/clients/fulton-cms", &seen, &row).await;
            assert_eq!(answer.status, status, "{row} {answer:?}");
            if status == 200 {
                answer.header("etag").clone_into(&mut seen);
            }
        }
        assert_eq!(program.post("/clients/fulton-cms/secrets", &json!({})).await.status, 201);
        assert_eq!(program.post("/clients/fulton-cms/disable", &Value::Null).await.status, 200);
        assert_eq!(program.post("/clients/fulton-cms/enable", &Value::Null).await.status, 200);
        let deleted = program.send(Method::DELETE, "/clients/fulton-cms".to_owned(), Value::Null).await;
        assert!([403, 422].contains(&deleted.status), "{deleted:?}");
        let registered = program.post("/clients", &json!({ "client_id": "mine", "name": "Mine", "dataflow": "lims-to-cms", "agency": OWN })).await;
        assert!([403, 422].contains(&registered.status), "{registered:?}");
    }
}

on_both! {
    /// FHIR servers believe who somebody is, and how far what she enters can be relied on.
    async fn a_manager_says_of_nobody_that_she_is_somebody_else(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply("[[user]]\nusername = \"otto\"\nnpi = \"1245319599\"\nfhir_user = \"https://edrs.example/fhir/Practitioner/77\"\nintegrity = \"Medium\"\n");
        let program = scene.program("users").await;
        let path = format!("/users/{}", scene.ids["person"][0]);
        let mut seen = program.get(&path).await.header("etag").to_owned();
        let rows = [
            (json!({ "npi": "1245319599" }), 422),
            (json!({ "npi": "1679576722" }), 200),
            (json!({ "fhir_user": "https://edrs.example/fhir/Practitioner/77" }), 422),
            (json!({ "fhir_user": "Practitioner/77" }), 422),
            (json!({ "fhir_user": "https://other.example/fhir/Practitioner/77" }), 200),
            (json!({ "fhir_user": "https://edrs.example/fhir/Practitioner/78" }), 200),
            (json!({ "integrity": "High" }), 422),
            (json!({ "name": "Jane Lehz" }), 200),
        ];
        for (row, status) in &rows {
            let answer = program.patch(&path, &seen, row).await;
            assert_eq!(answer.status, *status, "{row} {answer:?}");
            if *status == 200 {
                answer.header("etag").clone_into(&mut seen);
            }
        }
        for row in [&rows[0].0, &rows[2].0, &rows[6].0] {
            let mut form = json!({ "username": "puppet", "name": "Dana Doc", "agency": OWN, "roles": ["data-clerk"] });
            form.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            assert_eq!(program.post("/users", &form).await.status, 422, "{row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_a_manager_is_of_her_agency() {
    let scene = Scene::on(Db::Sqlite).await;
    let harness = &scene.harness;
    let mut mary = at_console(harness, "mary").await;
    let page = mary.get(&harness.url("/admin/users/import")).await;
    let file = "username,name,roles,agency\nione,I One,data-clerk,\nitwo,I Two,data-clerk,fulton-county-me\nithree,I Three,data-clerk,uf-pathology-labs\nifour,I Four,user-manager,\n";
    let checked = mary.upload(&page, "/admin/users/import", file.as_bytes()).await;
    let checked = settled(&mut mary, harness, checked).await;
    let text = checked.answer().text.clone();
    assert!(
        text.contains("no agency has the id") || text.contains("No agency has the id"),
        "{text}"
    );
    assert!(
        text.contains("only an administrator") || text.contains("Only an administrator"),
        "{text}"
    );
    // What she typed herself is shown to her, and nothing else of the other agency.
    assert_eq!(tells_of_others(&text), None, "{text}");
}

on_both! {
    async fn what_is_told_of_a_conflict_is_of_the_own_agency(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let mut mary = at_console(harness, "mary").await;
        let path = format!("/admin/users/{}/edit", scene.ids["person"][0]);
        let form = mary.get(&harness.url(&path)).await;
        harness.apply("[[user]]\nusername = \"jlehz\"\nmemberships = [{ agency = \"uf-pathology-labs\", roles = [\"lab-analyst\"] }]\n");
        let mut admin = at_console(harness, "admin").await;
        let other = admin.get(&harness.url(&path)).await;
        send(&mut admin, &other, &path, &[("npi", "")]).await;
        let told = send(&mut mary, &form, &path, &[("name", "Late"), ("shown", "0")]).await;
        let text = &told.answer().text;
        assert_eq!(told.answer().status, 422, "{text}");
        assert!(text.contains("Somebody else") && text.contains("npi"), "{text}");
        let told = part(&told, "id=\"meanwhile\"", "</section>");
        assert!(!told.contains("lab-analyst") && !told.contains("uf-pathology") && !told.contains(": changed"), "{told}");
        assert_eq!(tells_of_others(text), None, "{text}");
        // From when she belonged elsewhere nothing is told.
        let otto = format!("/admin/users/{}/edit", scene.ids["person"][1]);
        harness.apply("[[user]]\nusername = \"otto\"\nagency = \"fulton-county-me\"\nroles = [\"data-clerk\"]\n");
        let form = mary.get(&harness.url(&otto)).await;
        let told = send(&mut mary, &form, &otto, &[("name", "Late"), ("shown", "0"), ("version", "old")]).await;
        assert_eq!(told.answer().status, 422);
        assert!(!told.answer().text.contains("uf-pathology"), "{}", told.answer().text);
    }
}

on_both! {
    async fn a_file_that_disables_an_agency_ends_what_it_changes_besides(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let code = code_of(harness, "jlehz", &[("scope", "openid offline_access user/Patient.rs"), ("prompt", "consent")]).await;
        let tokens = redeem(harness, &code).await;
        let system = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await;
        let before = person(harness, "jlehz").unwrap().generation;
        harness.apply(&format!("[[agency]]\nid = \"{OWN}\"\nenabled = false\n[[agency]]\nid = \"{OTHER}\"\nenabled = false\n[[client]]\nclient_id = \"lims-secret\"\ncontacts = [\"a@b.example\"]\n[[user]]\nusername = \"jlehz\"\nname = \"New Name\"\n"));
        assert!(person(harness, "jlehz").unwrap().generation > before);
        harness.apply(&format!("[[agency]]\nid = \"{OWN}\"\nenabled = true\n[[agency]]\nid = \"{OTHER}\"\nenabled = true\n"));
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
        assert_eq!(harness.introspect(crate::harness::CMS, system.str("access_token")).await["active"], json!(false));
        assert_eq!(refresh(harness, tokens.str("refresh_token")).await.error(), "invalid_grant");
    }
}

on_both! {
    async fn a_manager_learns_of_no_account_by_asking_for_it(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let program = scene.program("users").await;
        let members = format!("/agencies/{OWN}/members");
        let said = |answer: &crate::harness::Answer, username: &str| answer.json["errors"].to_string().replace(username, "X");
        let nobody = program.post(&members, &json!({ "username": "zzz", "roles": [] })).await;
        for username in ["otto", "admin", "nell"] {
            let asked = program.post(&members, &json!({ "username": username, "roles": [] })).await;
            assert_eq!((asked.status, said(&asked, username)), (422, said(&nobody, "zzz")), "{username}");
        }
        let nobody = program.post(&members, &json!({ "username": "zzz", "roles": ["data-clerk"] })).await;
        let admin = program.post(&members, &json!({ "username": "admin", "roles": ["data-clerk"] })).await;
        assert_eq!((admin.status, said(&admin, "admin")), (422, said(&nobody, "zzz")));
        // An agency of others, by its id or its identifier, is none.
        let add = |more: Value| {
            let mut body = json!({ "username": "fresh", "name": "F" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let rows = [
            (json!({ "agency": OTHER, "roles": ["registrar"] }), json!({ "agency": "nothing-of-it", "roles": ["registrar"] })),
            (json!({ "organization": { "name": "A", "id": "urn:oid:2.16.840.1.113883.3.9999.2" } }), json!({ "organization": { "name": "A", "id": "urn:oid:1.9" } })),
        ];
        for (other, none) in rows {
            let (other, none) = (program.post("/users", &add(other)).await, program.post("/users", &add(none)).await);
            assert_eq!((other.status, said(&other, OTHER)), (none.status, said(&none, "nothing-of-it")));
        }
        // What she has elsewhere cannot be guessed.
        harness.apply("[[user]]\nusername = \"jlehz\"\nmemberships = [{ agency = \"uf-pathology-labs\", roles = [\"lab-analyst\"] }]\n");
        let jlehz = format!("/users/{}", scene.ids["person"][0]);
        let guess = |role: &str| json!({ "memberships": [{ "agency": OTHER, "roles": [role] }] });
        let (right, wrong) = (program.patch(&jlehz, "*", &guess("lab-analyst")).await, program.patch(&jlehz, "*", &guess("registrar")).await);
        assert_eq!((right.status, said(&right, "")), (422, said(&wrong, "")));
    }
}

on_both! {
    async fn more_roles_elsewhere_sign_nobody_out_and_fewer_not_without_end(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let program = scene.program("users").await;
        let members = format!("/agencies/{OWN}/members");
        let code = code_of(harness, "otto", &[]).await;
        let tokens = redeem(harness, &code).await;
        let set = |roles: &[&str]| json!({ "username": "otto", "roles": roles });
        assert_eq!(program.post(&members, &set(&["data-clerk"])).await.status, 200);
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(true));
        let mut changes = 0;
        while program.post(&members, &set(if changes % 2 == 0 { &[] } else { &["data-clerk"] })).await.status == 200 {
            changes += 1;
            assert!(changes < 20, "it ends");
        }
        assert_eq!(harness.introspect(EDRS, tokens.str("access_token")).await["active"], json!(false));
    }
}

on_both! {
    async fn the_last_administrator_is_not_shut_out_by_an_agency(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        harness.apply(&format!("[[user]]\nusername = \"admin\"\nagency = \"{OTHER}\"\n"));
        let program = Program::new(harness, "admin");
        let refused = program.post(&format!("/agencies/{OTHER}/disable"), &Value::Null).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.text.contains("nobody could administer"), "{refused:?}");
        assert_eq!(program.post(&format!("/agencies/{OWN}/disable"), &Value::Null).await.status, 200);
        let admin = id_of(harness, "admin");
        let moved = program.patch(&format!("/users/{admin}"), "*", &json!({ "agency": OWN })).await;
        assert_eq!(moved.status, 422, "{moved:?}");
        let by_file = program.send(Method::PATCH, format!("/agencies/{OTHER}"), json!({ "enabled": false })).await;
        assert_eq!(by_file.status, 422, "{by_file:?}");
    }
}

on_both! {
    async fn a_whole_form_takes_nothing_along_either(db) {
        let scene = Scene::on(db).await;
        let harness = &scene.harness;
        let mut admin = at_console(harness, "admin").await;
        let path = format!("/admin/users/{}/edit", scene.ids["person"][0]);
        let form = admin.get(&harness.url(&path)).await;
        let saved = send(&mut admin, &form, &path, &[("agency", OTHER)]).await;
        assert_eq!(saved.answer().status, 200, "{saved:?}");
        let moved = person(harness, "jlehz").unwrap().settings;
        assert_eq!((moved.agency.as_deref(), moved.roles.as_slice(), moved.fhir_user), (Some(OTHER), &[][..], None));
        // What a membership gave at the new home goes too: roles there are given anew.
        harness.apply(&format!("[[user]]\nusername = \"otto\"\nmemberships = [{{ agency = \"{OWN}\", roles = [\"data-clerk\"] }}]\n"));
        harness.apply(&format!("[[user]]\nusername = \"otto\"\nagency = \"{OWN}\"\n"));
        let moved = person(harness, "otto").unwrap().settings;
        assert_eq!((moved.memberships.len(), moved.all_roles().len()), (0, 0), "{moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_people_is_bounded_like_everything_else() {
    let harness = Harness::start(Db::Sqlite);
    let program = Program::new(&harness, "admin");
    let long = "x".repeat(1001);
    let rows = [
        (
            json!({ "organization": { "name": "A", "id": format!("urn:x:{}", "y".repeat(2000)) } }),
            "#/organization",
        ),
        (json!({ "agency": long }), "#/agency"),
        (json!({ "claims": { "given_name": long } }), "#/claims"),
        (
            json!({ "fhir_user": format!("https://a.example/{}/Practitioner/1", "z".repeat(2000)) }),
            "#/fhir_user",
        ),
    ];
    for (row, member) in rows {
        let mut body = json!({ "username": "big", "name": "Big" });
        body.as_object_mut()
            .unwrap()
            .extend(row.as_object().unwrap().clone());
        let answer = program.post("/users", &body).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["pointer"]),
            (422, &json!(member)),
            "{}",
            &answer.text[..200]
        );
    }
    // What somebody signs in with is not for a token of user managers to set.
    let users = Program::new(&harness, "users");
    for (member, value) in [
        ("password", PASSWORD),
        ("totp_secret", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
    ] {
        let refused = users
            .post(
                "/users",
                &json!({ "username": "set", "name": "S", member: value }),
            )
            .await;
        assert_eq!(
            (refused.status, &refused.json["errors"][0]["pointer"]),
            (422, &json!(format!("#/{member}"))),
            "{refused:?}"
        );
    }
}
