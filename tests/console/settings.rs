//! The registration as a file: out, in, and the same again.

use mdi_auth::registry::apply::{self, Outcome};
use mdi_auth::registry::export;
use reqwest::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use serde_json::json;

use crate::console::{STAFF, at_console, open};
use crate::harness::agent::{Agent, Page, hidden_fields};
use crate::harness::assertion::ClientKey;
use crate::harness::{Answer, Harness, blocking};
use crate::on_both;

/// Every setting of every object, with values that would break out of a file written by hand.
pub fn everything() -> String {
    let key = ClientKey::new(jsonwebtoken::Algorithm::ES256, "k'1\"").jwk();
    let jwks = serde_json::to_string_pretty(&json!({ "keys": [key] })).unwrap();
    let jwks = json!(format!("{jwks}\r\n")).to_string();
    format!(
        r#"
[[resource_server]]
id = "edrs"
name = "The \"EDRS\" \\ of '''Ohio''' \"\"\"]]"
audience = "https://edrs.oh.example/fhir"
kind = "edrs"
contacts = ["it@edrs.oh.example"]
token_format = "jwt"
token_typ = "JWT"
signing_alg = "PS256"
scope_style = "v1"
scope_map = {{ "user/Patient.rs" = "patient.read", "user/Observation.rs?category=lab" = "" }}
introspect = "any"
scopes = ["user/Patient.rs", "user/Composition.crus", "user/Observation.rs", "openid"]
jwks = {jwks}

[[resource_server]]
id = "cms"
name = "CMS"
audience = "https://cms.oh.example/fhir"
kind = "cms"
jwks_uri = "https://cms.oh.example/jwks.json"
enabled = false

[[resource_server]]
id = "opaque"
name = "Archive"
audience = "https://archive.oh.example/fhir"
token_format = "opaque"
scopes = []

[[client]]
client_id = "a"
name = "A"
dataflow = "cms-to-edrs"
jwks_uri = "https://a.example/jwks.json"
signing_algs = ["ES256", "RS384"]
confidentiality = "R"
scopes = "system/Patient.rs"
purposes = ["HDECD"]
grants = ["client_credentials"]
organization = {{ name = "A \"quoted\" agency", id = "urn:oid:1.2.3", jurisdiction = "Ohio" }}
enabled = false

[[client]]
client_id = "b"
name = "B"
dataflow = "cms-user-to-edrs"
auth_method = "client_secret_basic"
resource_servers = ["edrs"]
redirect_uris = ["https://b.example/cb?x='\"'", "https://b.example/other"]
post_logout_redirect_uris = ["https://b.example/out"]
backchannel_logout_uri = "https://b.example/backchannel"
backchannel_logout_session_required = true
require_pkce = false
refresh_rotation = false
id_token_claims = true
consent = "skip"
cors_origins = ["https://b.example"]

[[client]]
client_id = "c"
name = "C"
dataflow = "edrs-user"
auth_method = "none"
redirect_uris = ["com.example.app:/callback"]

[[client]]
client_id = "d"
name = "D"
dataflow = "lims-to-cms"
auth_method = "client_secret_post"

[[client]]
client_id = "e"
name = "E"
dataflow = "lims-user-to-cms"
redirect_uris = ["https://e.example/cb"]

[[client]]
client_id = "f"
name = "F"
dataflow = "edrs-cms-review"
resource_servers = ["cms", "edrs"]
jwks = {jwks}

[[client]]
client_id = "g"
name = "G"
dataflow = "custom"
grants = "client_credentials"
scopes = "system/*.rs"
resource_servers = ["opaque"]
purposes = []

[[identity_provider]]
id = "fulton"
name = "Fulton County"
issuer = "https://idp.fulton.example"
client_id = "mdi"
secret = "what they gave us"
auth_method = "client_secret_post"
scopes = ["openid", "groups"]
accounts = "create"
username_claim = "upn"
organization = {{ name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }}
roles = [
  {{ claim = "groups", value = "ME | \"Doctors\"", role = "medical-examiner" }},
  {{ claim = "realm_access.roles", value = "root", role = "administrator", console = true }},
]
manage_roles = true
trusted_acr = ["urn:fulton:2fa"]
trusted_amr = ["mfa"]
reauthenticate = "prompt_login"
enabled = false

[[identity_provider]]
id = "open"
name = "Open"
issuer = "https://idp.open.example"
client_id = "mdi"
auth_method = "none"

[[user]]
username = "Jörg [[user]] \"x\""
name = "J. O'Neill \\ \"Jo\""
roles = ["coroner", "medical-examiner"]
organization = {{ name = "Fulton County ME", id = "urn:oid:2.16.840.1.113883.3.9999.1" }}
npi = "1234567893"
fhir_user = "https://edrs.ga.example/fhir/Practitioner/77"
email = "jo@fulton.example"
email_verified = true
confidentiality = "N"
integrity = "HRELIABLE"
purposes = "HDECD"
license_expires = 2031-03-31
provisioned_by = "fulton"
claims = {{ given_name = "J\n\"\"\"\n[[user]]\r\n", nickname = "\u0001\u0001\u007F\\'''", phone_number_verified = true, address = {{ formatted = "1 Main St\nAtlanta", country = "US" }} }}

[[user]]
username = "gone"
name = "Gone"
enabled = false
"#
    )
}

fn exported(harness: &Harness, with_people: bool) -> String {
    let registry = harness.registry();
    blocking(move || export::export(&registry, with_people).unwrap())
}

fn applied(harness: &Harness, text: &str) -> Outcome {
    let (registry, text) = (harness.registry(), text.to_owned());
    blocking(move || apply::apply(&registry, &text, false)).unwrap_or_else(|cause| panic!("{cause}"))
}

on_both! {
    async fn an_export_applied_to_an_empty_server_is_exported_the_same(db) {
        let source = Harness::empty(db, |_| {});
        source.apply(&everything());
        let first = exported(&source, true);
        for setting in [
            "audience", "contacts", "token_typ", "signing_alg", "scope_style", "introspect", "scopes", "jwks", "jwks_uri", "kind",
            "enabled", "dataflow", "auth_method", "auth_method_strict", "signing_algs", "confidentiality", "purposes", "grants", "redirect_uris",
            "post_logout_redirect_uris", "backchannel_logout_uri", "backchannel_logout_session_required", "require_pkce",
            "refresh_rotation", "id_token_claims", "consent", "cors_origins", "resource_servers", "issuer", "client_id", "secret_later",
            "accounts", "username_claim", "roles", "manage_roles", "trusted_acr", "trusted_amr", "reauthenticate", "npi", "fhir_user",
            "email", "email_verified", "integrity", "license_expires", "provisioned_by", "given_name",
        ] {
            assert!(first.contains(&format!("\n{setting} = ")), "{setting} is missing: {first}");
        }
        assert!(!first.contains("what they gave us"), "{first}");
        let target = Harness::empty(db, |_| {});
        let outcome = applied(&target, &first);
        let owners: Vec<&str> = outcome.secrets.iter().map(|(owner, _)| owner.as_str()).collect();
        assert_eq!(owners, ["resource_server opaque", "client b", "client d", "client e", "client g"]);
        // Who comes by way of an agency needs no password here, and who is disabled gets no invitation.
        assert!(outcome.invitations.is_empty());
        let second = exported(&target, true);
        assert!(first == second, "{first}\n---\n{second}");
        // Applied again, to either, it changes nothing.
        for harness in [&source, &target] {
            let again = applied(harness, &first);
            assert!(!again.changes, "{:#?}", again.lines);
        }
        let without = exported(&source, false);
        assert!(first.starts_with(without.trim_end()) && !without.contains("[[user]]\nusername"), "{without}");
        let people: Vec<String> =
            source.events("exported").iter().map(|event| event["detail"]["people"].as_str().unwrap().to_owned()).collect();
        assert_eq!(people, ["2", "0"]);
    }
}

on_both! {
    async fn a_provider_without_its_secret_is_not_offered(db) {
        let source = Harness::empty(db, |_| {});
        source.apply(&everything().replace("enabled = false", "enabled = true"));
        let offered = |harness: &Harness| {
            harness.app.live.identity_providers().iter().map(|provider| provider.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(offered(&source), ["fulton", "open"]);
        let target = Harness::empty(db, |_| {});
        let outcome = applied(&target, &exported(&source, true));
        assert!(outcome.notes.iter().any(|note| note.contains("fulton has no secret yet")), "{:?}", outcome.notes);
        assert_eq!(offered(&target), ["open"]);
        applied(&target, "[[identity_provider]]\nid = \"fulton\"\nsecret = \"what they gave us\"");
        assert_eq!(offered(&target), ["fulton", "open"]);
    }
}

/// Posts the form of a page with its hidden fields as a browser sends files.
async fn upload(agent: &Agent<'_>, harness: &Harness, page: &Page, parts: &[(&str, &[u8])]) -> Page {
    let form = page
        .answer()
        .text
        .split("<form")
        .find(|form| form.contains("multipart/form-data"))
        .unwrap();
    let hidden = hidden_fields(form);
    let hidden = hidden
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut body = Vec::new();
    for (name, value) in hidden.chain(parts.iter().copied()) {
        let file = if name == "file" {
            "; filename=\"x.toml\""
        } else {
            ""
        };
        body.extend(
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes(),
        );
        body.extend(value);
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    let request = harness
        .http
        .post(harness.url("/admin/settings/apply"))
        .header(ORIGIN, &harness.issuer)
        .header(COOKIE, agent.cookie_header())
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
        .body(body);
    let answer = Answer::read(request.send().await.unwrap()).await;
    Page::Ours {
        url: "/admin/settings/apply".to_owned(),
        answer,
    }
}

const LAB: &str = r#"
[[client]]
client_id = "lab"
name = "<b>Lab</b>"
dataflow = "lims-to-cms"

[[user]]
username = "<i>new"
name = "New"
"#;

on_both! {
    async fn a_file_is_looked_at_first_and_applied_then(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let (agent, page) = open(&harness, "admin", "/admin/settings/apply").await;
        let text = LAB.replace('\n', "\r\n");
        // What was not shown is not applied.
        let shown = upload(&agent, &harness, &page, &[("file", text.as_bytes()), ("do", b"apply")]).await;
        assert_eq!(shown.answer().status, 200);
        let told = &shown.answer().text;
        assert!(told.contains("+ client lab") && told.contains("Nothing is changed yet"), "{told}");
        assert!(harness.app.live.client("lab").is_none());
        assert!(!told.contains("<b>Lab") && !told.contains("<i>new"), "{told}");
        let other = LAB.replace("\"lab\"", "\"lab2\"");
        let again = upload(&agent, &harness, &shown, &[("text", other.as_bytes()), ("do", b"apply")]).await;
        assert!(again.answer().text.contains("+ client lab2"), "another text is shown first");
        let done = upload(&agent, &harness, &shown, &[("file", b""), ("text", text.as_bytes()), ("do", b"apply")]).await;
        let told = &done.answer().text;
        assert!(told.contains("<h1>The file is applied</h1>"), "{told}");
        assert_eq!(done.answer().header("cache-control"), "no-store");
        let secret = told.split("class=\"secret\">").nth(1).unwrap().split('<').next().unwrap();
        assert!(told.contains("client lab</th>") && told.contains("/invitation/"), "{told}");
        let token = harness.token(Some(("lab", secret)), &[("grant_type", "client_credentials")]).await;
        assert_eq!(token.status, 200, "{token:?}");
        // The same once more finds nothing to do.
        let same = upload(&agent, &harness, &shown, &[("text", text.as_bytes()), ("do", b"apply")]).await;
        assert!(same.answer().text.contains("The file would change nothing"), "{}", same.answer().text);
        assert!(!same.answer().text.contains(secret));
        let made = harness.events("client.changed");
        assert!(made.iter().any(|event| event["client_id"] == "lab" && event["actor_kind"] == "person"));
    }
}

on_both! {
    async fn a_file_with_mistakes_changes_nothing_and_says_why(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let (agent, page) = open(&harness, "admin", "/admin/settings/apply").await;
        let large = vec![b'#'; 1024 * 1024 + 1];
        #[rustfmt::skip]
        let rows: &[(&str, &[u8], &str)] = &[
            ("file", b"", "Choose a file, or paste its text"),
            ("file", b"\xff\xfe[", "UTF-8"),
            ("file", &large, "larger than 1024 KB"),
            ("text", b"[[client", "Line 1"),
            ("text", b"[[client]]\nclient_id = \"x\"\nname = \"<script>\"\ndataflow = \"none\"", "The policy has no dataflow"),
            ("text", b"[[user]]\nusername = \"u\"\nname = \"U\"\nroles = [\"king\"]", "no role king"),
            ("text", b"[[nonsense]]", "unknown"),
        ];
        for (part, content, text) in rows {
            let refused = upload(&agent, &harness, &page, &[(part, content), ("do", b"look")]).await;
            assert_eq!(refused.answer().status, 422, "{text}");
            let told = refused.answer().text.to_lowercase();
            assert!(told.contains(&text.to_lowercase()), "{text}: {}", refused.answer().text);
            assert!(!told.contains("<script>"));
        }
        let forged = Page::Ours {
            url: String::new(),
            answer: Answer { text: page.answer().text.replace("name=\"csrf\" value=\"", "name=\"csrf\" value=\"x"), ..Answer::read(harness.http.get(harness.url("/healthz")).send().await.unwrap()).await },
        };
        let refused = upload(&agent, &harness, &forged, &[("text", LAB.as_bytes()), ("do", b"look")]).await;
        assert_eq!(refused.answer().status, 400, "{}", refused.answer().text);
    }
}

on_both! {
    async fn the_export_is_downloaded_by_those_who_may_and_recorded(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "auditor").await;
        let settings = agent.get(&harness.url("/admin/settings")).await;
        assert!(!settings.answer().text.contains("id=\"apply\""), "who changes nothing is not invited to");
        let page = agent.get(&harness.url("/admin/settings/export")).await;
        let file = agent.submit_to(&page, "/admin/settings/export", &[("people", "with")]).await;
        assert_eq!(file.answer().header("content-disposition"), "attachment; filename=\"mdi-auth-export.toml\"");
        assert_eq!(file.answer().header("cache-control"), "no-store");
        assert!(file.answer().text.contains("username = \"jlehz\""), "{}", file.answer().text);
        let events = harness.events("exported");
        assert_eq!((events.len(), &events[0]["actor_kind"]), (1, &json!("person")));
        harness.clock.advance(301);
        let page = agent.get(&harness.url("/admin/settings/export")).await;
        assert_eq!(page.at(), "/login", "it wants a fresh sign-in");
    }
}
