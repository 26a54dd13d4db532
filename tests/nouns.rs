//! What is said of clients and resource servers: merged, typed and judged alike, whoever says it.

use serde_json::{Map, Value, json};

use mdi_auth::admin::noun::asked_for;
use mdi_auth::admin::noun::managed::Managed;
use mdi_auth::app::App;
use mdi_auth::model::agency::AgencySettings;
use mdi_auth::model::client::ClientSettings;
use mdi_auth::model::identity_provider::IdentityProviderSettings;
use mdi_auth::model::resource_server::ResourceServerSettings;
use mdi_auth::registry::limits::{self, Limit};
use mdi_auth::registry::noun::{self, Registrable};
use mdi_auth::registry::said::{Merge, Said};
use mdi_auth::registry::{Registry, apply};

use crate::admin_api::Program;
use crate::harness::{Harness, blocking};
use crate::on_both;
use crate::support::installation::{Installation, mistakes};

const SERVER: &str = r#"
    [[resource_server]]
    id = "cms"
    name = "CMS"
    audience = "https://cms.example/fhir"
    kind = "cms"
"#;

/// What a registration is refused for, as an object and in an apply file.
fn told<S: Registrable>(registry: &Registry, object: &Value) -> [Vec<String>; 2] {
    let members: Map<String, Value> = object.as_object().unwrap().clone();
    let said = Said::new(members, Merge::Whole);
    let as_object = mistakes(
        registry
            .blocking(move |registry, tx| noun::register::<S>(registry, tx, &said))
            .map(|_| ()),
    );
    [as_object, in_file::<S>(registry, object)]
}

/// The same in an apply file; nothing when it is good.
fn in_file<S: Registrable>(registry: &Registry, object: &Value) -> Vec<String> {
    let file = toml::to_string(&json!({ S::NOUN.table: [object] })).unwrap();
    match apply::apply(registry, &file, true) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.to_string().lines().map(str::to_owned).collect(),
    }
}

fn lims(changes: Value) -> Value {
    let mut client = json!({
        "client_id": "lims", "name": "LIMS", "dataflow": "lims-to-cms", "resource_servers": ["cms"],
    });
    client
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    client
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn uri(bytes: usize) -> String {
    let start = "https://a.example/";
    format!("{start}{}", text(bytes - start.len()))
}

#[test]
fn every_limit_holds_at_its_edge() {
    let installation = Installation::new();
    let registry = installation.registry();
    apply::apply(&registry, SERVER, false).unwrap();
    let (usual, address) = (Limit::USUAL, Limit::URI);
    let app = |member: &str, value: Value| {
        lims(
            json!({ "dataflow": "lims-user-to-cms", "redirect_uris": ["https://a.example/cb"], member: value }),
        )
    };
    // Of each: what is just small enough, what is too large, and what is said then.
    let rows: Vec<(Value, Value, &str)> = vec![
        (
            lims(json!({ "organization": { "name": "A", "id": format!("urn:x:{}", text(usual.text - 6)) } })),
            lims(json!({ "organization": { "name": "A", "id": format!("urn:x:{}", text(usual.text - 5)) } })),
            "organization: a text has 1001 bytes; at most 1000 are kept",
        ),
        (
            app("redirect_uris", json!([uri(address.text)])),
            app("redirect_uris", json!([uri(address.text + 1)])),
            "redirect_uris: a text has 2001 bytes; at most 2000 are kept",
        ),
        (
            app(
                "redirect_uris",
                (0..100).map(|n| format!("https://a.example/{n}")).collect(),
            ),
            app(
                "redirect_uris",
                (0..101).map(|n| format!("https://a.example/{n}")).collect(),
            ),
            "redirect_uris: it has 101 entries; at most 100 are kept",
        ),
    ];
    for (good, bad, text) in rows {
        for told in told::<ClientSettings>(&registry, &bad) {
            assert!(told.iter().any(|one| one.ends_with(text)), "{text}: {told:?}");
        }
        assert_eq!(in_file::<ClientSettings>(&registry, &good), Vec::<String>::new());
    }
    // No member is too large, and all together are.
    let addresses: Vec<String> = (10..50).map(|n| format!("{}{n}", uri(1900))).collect();
    let all = app("redirect_uris", json!(addresses));
    for told in told::<ClientSettings>(&registry, &all) {
        assert!(
            told[0].contains(&format!("at most {} are kept", limits::ALL)),
            "{told:?}"
        );
    }
    let map: Map<String, Value> = (0..301).map(|n| (format!("scope{n}"), json!("x"))).collect();
    let server = json!({ "id": "a", "name": "A", "audience": "https://a.example/fhir", "scope_map": map });
    for told in told::<ResourceServerSettings>(&registry, &server) {
        assert!(
            told[0].ends_with("scope_map: it has 301 entries; at most 300 are kept"),
            "{told:?}"
        );
    }
}

#[test]
fn what_has_the_wrong_shape_is_named_member_by_member() {
    let installation = Installation::new();
    let registry = installation.registry();
    apply::apply(&registry, SERVER, false).unwrap();
    let rows = [
        (
            json!({ "colour": "red" }),
            "colour: unknown; there is client_id agency auth_method",
        ),
        (
            json!({ "consent": "never" }),
            "consent: \"never\" is not one of ask, skip",
        ),
        (
            json!({ "grants": ["password"] }),
            "grants: \"password\" is not one of authorization_code",
        ),
        (
            json!({ "grants": 7 }),
            "grants: it must be a list of texts, or one text",
        ),
        (json!({ "name": 7 }), "name: it must be a text"),
        (json!({ "enabled": "yes" }), "enabled: it must be true or false"),
        (json!({ "secret": 7 }), "secret: it must be a text"),
        (
            json!({ "secret": ["a secret that somebody chose"] }),
            "secret: it must be a text",
        ),
        (
            json!({ "organization": { "name": "A", "colour": "red" } }),
            "organization: unknown field `colour`",
        ),
        (
            json!({ "organization": { "id": "urn:x:y" } }),
            "organization: its name is missing",
        ),
        (
            json!({ "dataflow": "custom", "grants": "client_credentials", "scopes": "foo/Bar.q", "resource_servers": [] }),
            "resource_servers: foo/Bar.q is a scope of a resource server: name the one that offers it",
        ),
        (
            json!({ "organization": { "name": "a\u{0}b" } }),
            "organization: it holds the character U+0000",
        ),
    ];
    for (changes, text) in rows {
        for told in told::<ClientSettings>(&registry, &lims(changes.clone())) {
            assert!(told.iter().any(|one| one.contains(text)), "{changes}: {told:?}");
            assert!(!told.iter().any(|one| one.contains("somebody chose")), "{told:?}");
        }
    }
}

on_both! {
    async fn a_patch_merges_and_null_takes_away(db) {
        let harness = Harness::start(db);
        harness.apply(SERVER);
        let program = Program::new(&harness, "admin");
        let mut client = lims(json!({
            "organization": { "name": "UF Tox", "id": "urn:oid:1.2.3", "jurisdiction": "FL" },
            "confidentiality": "N",
            "require_pkce": false,
        }));
        client["client_id"] = json!("lims-uf");
        let made = program.post("/clients", &client).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = "/clients/lims-uf";
        // RFC 7396 appendix A in our own members: what is said, and what is there then.
        let rows = [
            (json!({ "organization": { "name": "UF Toxicology", "id": "urn:oid:1.2.3" } }), "/agency", json!("uf-tox")),
            (json!({ "organization": null }), "/agency", Value::Null),
            (json!({ "agency": "uf-tox" }), "/agency", json!("uf-tox")),
            (json!({ "agency": null }), "/agency", Value::Null),
            (json!({ "confidentiality": null }), "/confidentiality", Value::Null),
            (json!({ "require_pkce": null }), "/require_pkce", json!(true)),
            (json!({ "purposes": ["HDECD"] }), "/purposes", json!(["HDECD"])),
            (json!({ "purposes": null }), "/purposes", Value::Null),
            (json!({}), "/name", json!("LIMS")),
        ];
        for (patch, pointer, expected) in rows {
            let answer = program.patch(path, "*", &patch).await;
            assert_eq!(answer.status, 200, "{patch}: {}", answer.text);
            let now = answer.json.pointer(pointer).cloned().unwrap_or_default();
            assert_eq!(now, expected, "{patch}");
        }
        let refused = program.patch(path, "*", &json!({ "name": null })).await;
        assert_eq!(refused.status, 200, "a name that is taken away is left as it was: {}", refused.text);
        let refused = program.patch(path, "*", &json!({ "dataflow": null })).await;
        assert!(refused.status == 422 && refused.text.contains("it is missing; the policy has"), "{}", refused.text);
    }
}

on_both! {
    /// What decides about people is for administrators, by whatever act (a client manager could else have a signed-in
    /// examiner's browser make tokens for him).
    async fn what_decides_about_people_is_for_administrators(db) {
        let harness = Harness::start(db);
        harness.apply(SERVER);
        let (managed, admin) = (Program::new(&harness, "clients"), Program::new(&harness, "admin"));
        let of_people = json!({ "dataflow": "lims-user-to-cms", "redirect_uris": ["https://a.example/cb"] });
        let skip = json!({ "consent": "skip" });
        let custom = json!({
            "dataflow": "custom", "grants": "authorization_code", "scopes": "openid user/Patient.rs",
            "redirect_uris": ["https://a.example/cb"],
        });
        let any = json!({ "id": "any", "name": "Any", "audience": "https://any.example/fhir", "introspect": "any" });
        let with = |changes: &Value, more: &Value| {
            let mut client = lims(changes.clone());
            client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client
        };
        let rows = [
            ("/clients", "client_id", with(&of_people, &skip), "consent"),
            ("/clients", "client_id", with(&custom, &json!({})), "scopes"),
            ("/resource-servers", "id", any, "introspect"),
        ];
        for (path, key, wanted, member) in rows {
            let named = format!("#/{member}");
            let refused = |answer: &crate::harness::Answer, what: &str| {
                assert_eq!(answer.status, 422, "{what} {path}: {}", answer.text);
                assert!(answer.text.contains(&named) && answer.text.contains("only an administrator"), "{what}: {}", answer.text);
            };
            refused(&managed.post(path, &wanted).await, "register");
            assert_eq!(admin.post(path, &wanted).await.status, 201);
            let one = format!("{path}/{}", wanted[key].as_str().unwrap());
            refused(&managed.patch(&one, "*", &json!({ "name": "Another" })).await, "change");
            if wanted[key] == "lims" {
                let moved = json!({ "redirect_uris": ["https://thief.example/cb"] });
                refused(&managed.patch(&one, "*", &moved).await, "move");
            }
            refused(&managed.post(&format!("{one}/secrets"), &json!({})).await, "rotate");
            refused(&managed.delete(&one).await, "delete");
            // What ends something is not held up.
            assert_eq!(managed.post(&format!("{one}/disable"), &json!({})).await.status, 200);
            refused(&managed.post(&format!("{one}/enable"), &json!({})).await, "enable");
            assert_eq!(admin.post(&format!("{one}/enable"), &json!({})).await.status, 200);
            assert_eq!(admin.delete(&one).await.status, 204);
        }
        // And what does not decide about people is not.
        let plain = with(&of_people, &json!({}));
        assert_eq!(managed.post("/clients", &plain).await.status, 201);
        let change = managed.patch("/clients/lims", "*", &skip).await;
        assert!(change.status == 422 && change.text.contains("only an administrator"), "{}", change.text);
    }
}

on_both! {
    /// A file that names a server of the same file tells the server's mistakes once, and the client's own.
    async fn a_server_and_its_client_come_in_one_file(db) {
        let harness = Harness::start(db);
        let registry = harness.registry();
        let client = "[[client]]\nclient_id = \"lims\"\nname = \"LIMS\"\ndataflow = \"lims-to-cms\"\nresource_servers = [\"cms\"]\n";
        let file = |server: &str, more: &str| format!("{server}\n{client}{more}\n");
        let wrong = SERVER.replace("kind = \"cms\"", "kind = \"cms\"\ntoken_typ = \"jwt\"");
        let both = file(&wrong, "confidentiality = \"Q\"");
        let refused = { let registry = registry.clone(); blocking(move || apply::apply(&registry, &both, false)) };
        let told = refused.unwrap_err().to_string();
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(told.contains("resource_server 1 (cms): token_typ") && told.contains("client 1 (lims): confidentiality"), "{told}");
        let twins = file(SERVER, "").replace("client_id = \"lims\"", "client_id = \"cms\"");
        let refused = { let registry = registry.clone(); blocking(move || apply::apply(&registry, &twins, false)) };
        assert!(refused.unwrap_err().to_string().contains("client_id: \"cms\" is the id of a resource server"));
        let good = file(SERVER, "");
        blocking(move || apply::apply(&registry, &good, false)).unwrap();
        let live = harness.app.live.client("lims").unwrap();
        assert_eq!(live.client.settings.resource_servers, ["cms"]);
    }
}

on_both! {
    /// The version that an answer tells is the one that counts next, also where our secret there was set; an id in the
    /// body is the one in the address, or is named.
    async fn what_was_answered_can_be_gone_on_from(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "admin");
        let provider = json!({ "id": "idp", "name": "Idp", "issuer": "https://idp.example", "client_id": "mdi", "secret": "what they gave us" });
        let made = program.post("/identity-providers", &provider).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = "/identity-providers/idp";
        let first = program.patch(path, made.header("etag"), &json!({ "secret": "what they gave us later" })).await;
        assert_eq!(first.status, 200, "{}", first.text);
        let second = program.patch(path, first.header("etag"), &json!({ "name": "Another" })).await;
        assert_eq!(second.status, 200, "{}", second.text);
        let stale = program.patch(path, first.header("etag"), &json!({ "name": "Late" })).await;
        assert_eq!(stale.status, 412, "{}", stale.text);
        // Ended with the method that used it, the old secret does not come back with the method.
        assert_eq!(program.patch(path, "*", &json!({ "auth_method": "none" })).await.status, 200);
        let refused = program.patch(path, "*", &json!({ "auth_method": "client_secret_basic" })).await;
        assert!(refused.status == 422 && refused.text.contains("#/secret"), "{}", refused.text);
        for (id, status) in [(json!("idp"), 200), (Value::Null, 200), (json!("other"), 422), (json!(5), 422), (json!(["idp"]), 422)] {
            let answer = program.patch(path, "*", &json!({ "id": id, "name": "Named" })).await;
            assert_eq!(answer.status, status, "{id}: {}", answer.text);
            assert!(status == 200 || answer.text.contains("#/id"), "{id}: {}", answer.text);
        }
    }
}

/// The lines of the sources that say a word, by file.
fn lines_that_say(word: &str) -> Vec<(String, usize)> {
    fn walk(path: &std::path::Path, word: &str, found: &mut Vec<(String, usize)>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, word, found);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let count = text.lines().filter(|line| line.contains(word)).count();
            if count > 0 {
                found.push((path.display().to_string(), count));
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for room in ["src", "admin", "templates", "migrations"] {
        walk(&root.join(room), word, &mut found);
    }
    for (path, _) in &mut found {
        *path = path
            .strip_prefix(&format!("{}/", root.display()))
            .unwrap()
            .to_owned();
    }
    found.sort();
    found
}

/// What a new setting costs: its type, its rule and its field. Console, API, its document, command line, apply file and
/// export have it by that; `tests/acts.rs` sets it by each of them.
#[test]
fn a_setting_is_three_lines_in_three_files() {
    let expected = [
        "src/admin/agencies.rs",
        "src/admin/clients/fields.rs",
        "src/admin/resource_servers/fields.rs",
        "src/model/agency.rs",
        "src/model/client.rs",
        "src/model/resource_server.rs",
        "src/registry/agencies.rs",
        "src/registry/clients.rs",
        "src/registry/resource_servers.rs",
    ];
    // Who looks after one agency changes that of its clients: one word more.
    let own = |file: &str| usize::from(file == "src/registry/clients.rs");
    let expected: Vec<(String, usize)> = expected
        .iter()
        .map(|file| ((*file).to_owned(), 1 + own(file)))
        .collect();
    assert_eq!(lines_that_say("contacts"), expected);
}

/// The form asks for every member that can be said, and for nothing else; `elsewhere` is said in another way.
fn asks_for_all<S: Managed>(app: &App, elsewhere: &[&str]) {
    let (asked, mut members) = (asked_for::<S>(app), noun::members::<S>());
    members.insert(S::NOUN.id.to_owned());
    members.extend(S::NOUN.secrets.are_ours().then(|| "secret".to_owned()));
    members.retain(|member| !elsewhere.contains(&member.as_str()));
    assert_eq!(asked, members, "{}", S::NOUN.name);
}

#[test]
fn each_form_asks_for_every_setting() {
    let installation = Installation::new();
    let registry = installation.registry();
    // Enabling has a page of its own. An agency in words, and what comes without a secret, come in files.
    asks_for_all::<AgencySettings>(registry.app(), &["enabled"]);
    asks_for_all::<ClientSettings>(registry.app(), &["enabled", "organization"]);
    asks_for_all::<ResourceServerSettings>(registry.app(), &["enabled", "organization"]);
    asks_for_all::<IdentityProviderSettings>(registry.app(), &["enabled", "organization", "secret_later"]);
}
