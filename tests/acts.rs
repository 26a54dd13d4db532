//! One act, one record: whoever asks for something, by whatever door, it leaves the same events, but for who it was and
//! from where.

use std::process::Command;

use mdi_auth::model::api_token::ApiScope;
use mdi_auth::model::names::username_key;
use mdi_auth::registry::{Registry, api_tokens, export, identity_providers, vendor_links};
use mdi_auth::session::lockout::{Limit, fail, login_subject};
use mdi_auth::store::lists::{self, Grants, Sessions};
use mdi_auth::store::{Tx, people};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::admin_api::Program;
use crate::console::{STAFF, at_console, import, send};
use crate::harness::agent::Agent;
use crate::harness::{Harness, PASSWORD, blocking};
use crate::on_both;
use crate::support::TempDir;

/// What something that is done leaves, and how each door is asked for it. `SUBJECT` is whom or what it is done to, a new
/// one for each door; `ID` is the id of a person, session or grant.
struct Act {
    name: &'static str,
    /// The kinds of the events that it leaves.
    kinds: &'static [&'static str],
    /// What is there before.
    begin: &'static str,
    before: Before,
    console: Option<(&'static str, &'static [(&'static str, &'static str)])>,
    api: Option<(Method, &'static str, &'static str)>,
    command: Option<&'static [&'static str]>,
    file: Option<&'static str>,
    /// A file of people that each door takes in its own way.
    spreadsheet: Option<&'static str>,
}

/// What happens before.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    /// Somebody guesses the person's password.
    Locked,
    /// The person signs in.
    SignedIn,
    /// The person allows an application something.
    Allowed,
    /// The client's vendor has a link.
    VendorLink,
    /// There is a person, too.
    Person,
    /// There is a person, who is linked with an identity at the provider.
    Linked,
    /// Somebody has a token for the API.
    Token,
}

/// Acts that one door alone offers, and why.
const ALONE: [(&str, &str); 5] = [
    ("first-administrator", "who has the machine makes the first one"),
    (
        "api-token create",
        "a token of the installation is made on its machine; people make theirs at the console, tokens make none",
    ),
    (
        "api-token hand-over",
        "ownership of tokens is decided on the machine",
    ),
    (
        "key rewrap",
        "it needs both master keys, which are files of the machine",
    ),
    (
        "user set-password",
        "only who has the machine sets a password for somebody; others make links",
    ),
];

const CLIENT: &str = r#"[[client]]
client_id = "SUBJECT"
name = "Before"
dataflow = "lims-to-cms"
auth_method = "client_secret_basic"
resource_servers = ["cms-fulton"]
"#;
const SERVER: &str = r#"[[resource_server]]
id = "SUBJECT"
name = "Before"
audience = "https://SUBJECT.example/fhir"
"#;
const PROVIDER: &str = r#"[[identity_provider]]
id = "SUBJECT"
name = "Before"
issuer = "https://SUBJECT.example"
client_id = "mdi"
auth_method = "none"
"#;
const PERSON: &str = r#"[[user]]
username = "SUBJECT"
name = "Before"
password = "correct horse battery staple"
"#;

fn act(name: &'static str, kinds: &'static [&'static str], begin: &'static str) -> Act {
    Act {
        name,
        kinds,
        begin,
        before: Before::Nothing,
        console: None,
        api: None,
        command: None,
        file: None,
        spreadsheet: None,
    }
}

impl Act {
    fn after(self, before: Before) -> Self {
        Self { before, ..self }
    }

    fn console(self, path: &'static str, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            console: Some((path, fields)),
            ..self
        }
    }

    fn api(self, method: Method, path: &'static str, body: &'static str) -> Self {
        Self {
            api: Some((method, path, body)),
            ..self
        }
    }

    fn command(self, arguments: &'static [&'static str]) -> Self {
        Self {
            command: Some(arguments),
            ..self
        }
    }

    fn file(self, file: &'static str) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }
}

/// Disabling, enabling and deleting of a noun.
macro_rules! lifecycle {
    ($acts:ident, $kind:literal, $begin:expr, $path:literal, $api:literal, $command:literal, $table:literal) => {
        $acts.push(
            act(concat!($command, " disable"), &[$kind], $begin)
                .console(concat!($path, "/SUBJECT/disable"), &[])
                .api(Method::POST, concat!($api, "/SUBJECT/disable"), "")
                .command(&[$command, "disable", "SUBJECT"])
                .file(concat!($table, "enabled = false")),
        );
        $acts.push(
            act(
                concat!($command, " enable"),
                &[$kind],
                concat!($table, "enabled = false"),
            )
            .console(concat!($path, "/SUBJECT/enable"), &[])
            .api(Method::POST, concat!($api, "/SUBJECT/enable"), "")
            .command(&[$command, "enable", "SUBJECT"])
            .file(concat!($table, "enabled = true")),
        );
        $acts.push(
            act(concat!($command, " delete"), &[$kind], $begin)
                .console(concat!($path, "/SUBJECT/delete"), &[])
                .api(Method::DELETE, concat!($api, "/SUBJECT"), "")
                .command(&[$command, "delete", "SUBJECT"]),
        );
    };
}

fn of_clients() -> Vec<Act> {
    let mut acts = vec![
        act("client register", &["client.changed"], "")
            .console("/admin/clients/new?dataflow=lims-to-cms", &[("client_id", "SUBJECT"), ("name", "Before"),
                ("auth_method", "client_secret_basic"), ("resource_servers", "cms-fulton")])
            .api(Method::POST, "/clients", r#"{"client_id":"SUBJECT","name":"Before","dataflow":"lims-to-cms","resource_servers":["cms-fulton"]}"#)
            .command(&["client", "register", "--client-id", "SUBJECT", "--name", "Before", "--dataflow", "lims-to-cms", "--resource-server", "cms-fulton"])
            .file(CLIENT),
        act("client change", &["client.changed"], CLIENT)
            .console("/admin/clients/SUBJECT/edit", &[("name", "After"), ("agency", "fulton-county-me")])
            .api(Method::PATCH, "/clients/SUBJECT", r#"{"name":"After","agency":"fulton-county-me"}"#)
            .command(&["client", "change", "SUBJECT", "--name", "After", "--agency", "fulton-county-me"])
            .file("[[client]]\nclient_id = \"SUBJECT\"\nname = \"After\"\nagency = \"fulton-county-me\""),
        act("client change contacts", &["client.changed"], CLIENT)
            .console("/admin/clients/SUBJECT/edit", &[("contacts", "it@lims.example\nlab@lims.example")])
            .api(Method::PATCH, "/clients/SUBJECT", r#"{"contacts":["it@lims.example","lab@lims.example"]}"#)
            .command(&["client", "change", "SUBJECT", "--contact", "it@lims.example", "--contact", "lab@lims.example"])
            .file("[[client]]\nclient_id = \"SUBJECT\"\ncontacts = [\"it@lims.example\", \"lab@lims.example\"]"),
        act("client rotate-secret", &["secret.changed"], CLIENT)
            .console("/admin/clients/SUBJECT/secret", &[])
            .api(Method::POST, "/clients/SUBJECT/secrets", "{}")
            .command(&["client", "rotate-secret", "SUBJECT"]),
        act("client vendor-link", &["vendor_link.changed"], CLIENT)
            .console("/admin/clients/SUBJECT/vendor-link", &[("days", "30")])
            .api(Method::POST, "/clients/SUBJECT/vendor-link", r#"{"days":30}"#)
            .command(&["client", "vendor-link", "SUBJECT", "--days", "30"]),
        act("client end-vendor-link", &["vendor_link.changed"], CLIENT)
            .after(Before::VendorLink)
            .console("/admin/clients/SUBJECT/end-vendor-link", &[])
            .api(Method::DELETE, "/clients/SUBJECT/vendor-link", "")
            .command(&["client", "end-vendor-link", "SUBJECT"]),
    ];
    lifecycle!(
        acts,
        "client.changed",
        CLIENT,
        "/admin/clients",
        "/clients",
        "client",
        "[[client]]\nclient_id = \"SUBJECT\"\nname = \"Before\"\ndataflow = \"lims-to-cms\"\nresource_servers = [\"cms-fulton\"]\n"
    );
    acts
}

const AGENCY: &str = "[[agency]]\nid = \"SUBJECT\"\nname = \"Before\"\n";

fn of_agencies() -> Vec<Act> {
    let mut acts = vec![
        act("agency register", &["agency.changed"], "")
            .console("/admin/agencies/new", &[("id", "SUBJECT"), ("name", "Before"), ("kind", "hospital")])
            .api(Method::POST, "/agencies", r#"{"id":"SUBJECT","name":"Before","kind":"hospital"}"#)
            .command(&["agency", "register", "--id", "SUBJECT", "--name", "Before", "--kind", "hospital"])
            .file("[[agency]]\nid = \"SUBJECT\"\nname = \"Before\"\nkind = \"hospital\""),
        act("agency change", &["agency.changed"], AGENCY)
            .console("/admin/agencies/SUBJECT/edit", &[("contacts", "it@agency.example"), ("npi", "1234567893")])
            .api(Method::PATCH, "/agencies/SUBJECT", r#"{"contacts":["it@agency.example"],"npi":"1234567893"}"#)
            .command(&["agency", "change", "SUBJECT", "--contact", "it@agency.example", "--npi", "1234567893"])
            .file("[[agency]]\nid = \"SUBJECT\"\ncontacts = [\"it@agency.example\"]\nnpi = \"1234567893\""),
        act("agency set-member", &["person.roles_changed"], PERSON)
            .console("/admin/agencies/fulton-county-me/members", &[("username", "SUBJECT"), ("roles", "data-clerk")])
            .api(Method::POST, "/agencies/fulton-county-me/members", r#"{"username":"SUBJECT","roles":["data-clerk"]}"#)
            .command(&["agency", "set-member", "fulton-county-me", "SUBJECT", "--role", "data-clerk"])
            .file("[[user]]\nusername = \"SUBJECT\"\nmemberships = [{ agency = \"fulton-county-me\", roles = [\"data-clerk\"] }]"),
    ];
    lifecycle!(
        acts,
        "agency.changed",
        AGENCY,
        "/admin/agencies",
        "/agencies",
        "agency",
        "[[agency]]\nid = \"SUBJECT\"\nname = \"Before\"\n"
    );
    acts
}

fn of_servers() -> Vec<Act> {
    let mut acts = vec![
        act("resource-server register", &["resource_server.changed"], "")
            .console(
                "/admin/resource-servers/new?kind=other",
                &[
                    ("id", "SUBJECT"),
                    ("name", "Before"),
                    ("audience", "https://SUBJECT.example/fhir"),
                ],
            )
            .api(
                Method::POST,
                "/resource-servers",
                r#"{"id":"SUBJECT","name":"Before","audience":"https://SUBJECT.example/fhir"}"#,
            )
            .command(&[
                "resource-server",
                "register",
                "--id",
                "SUBJECT",
                "--name",
                "Before",
                "--audience",
                "https://SUBJECT.example/fhir",
            ])
            .file(SERVER),
        act("resource-server change", &["resource_server.changed"], SERVER)
            .console("/admin/resource-servers/SUBJECT/edit", &[("token_typ", "JWT")])
            .api(
                Method::PATCH,
                "/resource-servers/SUBJECT",
                r#"{"token_typ":"JWT"}"#,
            )
            .command(&["resource-server", "change", "SUBJECT", "--token-typ", "JWT"])
            .file("[[resource_server]]\nid = \"SUBJECT\"\ntoken_typ = \"JWT\""),
        act(
            "resource-server change contacts",
            &["resource_server.changed"],
            SERVER,
        )
        .console(
            "/admin/resource-servers/SUBJECT/edit",
            &[("contacts", "it@edrs.example")],
        )
        .api(
            Method::PATCH,
            "/resource-servers/SUBJECT",
            r#"{"contacts":["it@edrs.example"]}"#,
        )
        .command(&[
            "resource-server",
            "change",
            "SUBJECT",
            "--contact",
            "it@edrs.example",
        ])
        .file("[[resource_server]]\nid = \"SUBJECT\"\ncontacts = [\"it@edrs.example\"]"),
        act("resource-server rotate-secret", &["secret.changed"], SERVER)
            .console("/admin/resource-servers/SUBJECT/secret", &[])
            .api(Method::POST, "/resource-servers/SUBJECT/secrets", "{}")
            .command(&["resource-server", "rotate-secret", "SUBJECT"]),
    ];
    lifecycle!(
        acts,
        "resource_server.changed",
        SERVER,
        "/admin/resource-servers",
        "/resource-servers",
        "resource-server",
        "[[resource_server]]\nid = \"SUBJECT\"\nname = \"Before\"\naudience = \"https://SUBJECT.example/fhir\"\n"
    );
    acts
}

fn of_providers() -> Vec<Act> {
    let mut acts = vec![
        act("identity-provider register", &["identity_provider.changed"], "")
            .console("/admin/identity-providers/new", &[("id", "SUBJECT"), ("name", "Before"), ("issuer", "https://SUBJECT.example"),
                ("client_id", "mdi"), ("auth_method", "none")])
            .api(Method::POST, "/identity-providers", r#"{"id":"SUBJECT","name":"Before","issuer":"https://SUBJECT.example","client_id":"mdi","auth_method":"none"}"#)
            .command(&["identity-provider", "register", "--id", "SUBJECT", "--name", "Before", "--issuer", "https://SUBJECT.example",
                "--client-id", "mdi", "--auth-method", "none"])
            .file(PROVIDER),
        act("identity-provider change", &["identity_provider.changed"], PROVIDER)
            .console("/admin/identity-providers/SUBJECT/edit", &[("client_id", "another")])
            .api(Method::PATCH, "/identity-providers/SUBJECT", r#"{"client_id":"another"}"#)
            .command(&["identity-provider", "change", "SUBJECT", "--client-id", "another"])
            .file("[[identity_provider]]\nid = \"SUBJECT\"\nclient_id = \"another\""),
        act("identity-provider link", &["identity.linked"], PROVIDER)
            .after(Before::Person)
            .console("/admin/identity-providers/SUBJECT/link", &[("username", "SUBJECT"), ("subject", "00u-1")])
            .api(Method::POST, "/identity-providers/SUBJECT/links", r#"{"username":"SUBJECT","subject":"00u-1"}"#)
            .command(&["identity-provider", "link", "SUBJECT", "--username", "SUBJECT", "--subject", "00u-1"]),
        act("identity-provider unlink", &["identity.linked"], PROVIDER)
            .after(Before::Linked)
            .console("/admin/identity-providers/SUBJECT/unlink?person=PERSON_ID", &[])
            .api(Method::POST, "/identity-providers/SUBJECT/unlink", r#"{"subject":"00u-1"}"#)
            .command(&["identity-provider", "unlink", "SUBJECT", "--subject", "00u-1"]),
    ];
    lifecycle!(
        acts,
        "identity_provider.changed",
        PROVIDER,
        "/admin/identity-providers",
        "/identity-providers",
        "identity-provider",
        "[[identity_provider]]\nid = \"SUBJECT\"\nname = \"Before\"\nissuer = \"https://SUBJECT.example\"\nclient_id = \"mdi\"\nauth_method = \"none\"\n"
    );
    acts
}

fn of_people() -> Vec<Act> {
    const DISABLED: &str = "[[user]]\nusername = \"SUBJECT\"\nname = \"Before\"\nenabled = false";
    vec![
        act("user add", &["person.changed", "link.issued"], "")
            .console("/admin/users/new", &[("username", "SUBJECT"), ("name", "Before"), ("hand_over", "show")])
            .api(Method::POST, "/users", r#"{"username":"SUBJECT","name":"Before"}"#)
            .command(&["user", "add", "--username", "SUBJECT", "--name", "Before"])
            .file("[[user]]\nusername = \"SUBJECT\"\nname = \"Before\""),
        act("user change", &["person.changed"], PERSON)
            .console("/admin/users/ID/edit", &[("name", "After")])
            .api(Method::PATCH, "/users/ID", r#"{"name":"After"}"#)
            .command(&["user", "change", "SUBJECT", "--name", "After"])
            .file("[[user]]\nusername = \"SUBJECT\"\nname = \"After\""),
        act("user set-roles", &["person.roles_changed"], PERSON)
            .console("/admin/users/ID/roles", &[("roles", "data-clerk")])
            .api(Method::PATCH, "/users/ID", r#"{"roles":["data-clerk"]}"#)
            .command(&["user", "set-roles", "SUBJECT", "data-clerk"])
            .file("[[user]]\nusername = \"SUBJECT\"\nroles = [\"data-clerk\"]"),
        act("user disable", &["person.changed"], PERSON)
            .console("/admin/users/ID/disable", &[])
            .api(Method::POST, "/users/ID/disable", "")
            .command(&["user", "disable", "SUBJECT"])
            .file(DISABLED),
        act("user enable", &["person.changed"], DISABLED)
            .console("/admin/users/ID/enable", &[])
            .api(Method::POST, "/users/ID/enable", "")
            .command(&["user", "enable", "SUBJECT"])
            .file("[[user]]\nusername = \"SUBJECT\"\nenabled = true"),
        act("user unlock", &["login.unlocked"], PERSON)
            .after(Before::Locked)
            .console("/admin/users/ID/unlock", &[])
            .api(Method::POST, "/users/ID/unlock", "")
            .command(&["user", "unlock", "SUBJECT"]),
        act("user invite", &["link.issued"], "[[user]]\nusername = \"SUBJECT\"\nname = \"Before\"")
            .console("/admin/users/ID/invite", &[("hand_over", "show")])
            .api(Method::POST, "/users/ID/invitation", "")
            .command(&["user", "invite", "SUBJECT"]),
        act("user reset-link", &["link.issued"], PERSON)
            .console("/admin/users/ID/reset-link", &[("hand_over", "show")])
            .api(Method::POST, "/users/ID/password-link", "")
            .command(&["user", "reset-link", "SUBJECT"]),
        act("user reset-second-factor", &["person.changed"], PERSON)
            .console("/admin/users/ID/reset-second-factor", &[])
            .api(Method::POST, "/users/ID/second-factor/reset", "")
            .command(&["user", "reset-second-factor", "SUBJECT"]),
        act("user delete", &["person.changed"], PERSON)
            .console("/admin/users/ID/delete", &[])
            .api(Method::DELETE, "/users/ID", "")
            .command(&["user", "delete", "SUBJECT"]),
        act("user sign-out", &["session.ended"], PERSON)
            .after(Before::SignedIn)
            .console("/admin/users/ID/sign-out", &[])
            .api(Method::POST, "/users/ID/sign-out", "")
            .command(&["user", "sign-out", "SUBJECT"]),
        act("user revoke", &["person.changed", "session.ended"], PERSON)
            .after(Before::SignedIn)
            .console("/admin/users/ID/revoke", &[])
            .api(Method::POST, "/users/ID/revoke", "")
            .command(&["user", "revoke", "SUBJECT"]),
        act("session end", &["session.ended"], PERSON)
            .after(Before::SignedIn)
            .console("/admin/sessions/SESSION/end", &[])
            .api(Method::DELETE, "/sessions/SESSION", "")
            .command(&["session", "end", "SESSION"]),
        act("grant revoke", &["consent.revoked", "token.revoked"], "[[user]]\nusername = \"SUBJECT\"\nname = \"Before\"\npassword = \"correct horse battery staple\"\ntotp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [\"medical-examiner\"]")
            .after(Before::Allowed)
            .console("/admin/grants/GRANT/end", &[])
            .api(Method::DELETE, "/grants/GRANT", "")
            .command(&["grant", "revoke", "GRANT"]),
    ]
}

/// A file of people, which each door takes in its own way.
fn of_files() -> Vec<Act> {
    vec![Act {
        spreadsheet: Some("username,name,roles\nSUBJECT,One of many,data-clerk\n"),
        ..act("user import", &["person.changed", "link.issued"], "")
    }]
}

fn of_the_machine() -> Vec<Act> {
    vec![
        act("key rotate", &["key.changed"], "")
            .console("/admin/keys/new", &[("alg", "ES256"), ("how", "at-once")])
            .api(Method::POST, "/keys", r#"{"alg":"ES256","at_once":true}"#)
            .command(&["key", "rotate", "--alg", "ES256", "--now"]),
        act("api-token revoke", &["api_token.changed"], "")
            .after(Before::Token)
            .console("/admin/api-tokens/TOKEN/revoke", &[])
            .api(Method::POST, "/api-tokens/TOKEN/revoke", "")
            .command(&["api-token", "revoke", "TOKEN"]),
    ]
}

/// The names that a text has for whom and what an act is done to.
struct Names {
    subject: String,
    person: String,
    session: String,
    grant: String,
    token: String,
}

impl Names {
    fn find(harness: &Harness, subject: &str) -> Self {
        let (store, key) = (harness.app.store.clone(), username_key(subject));
        let read = move || {
            store.read_blocking(move |conn| {
                let Some(person) = people::find_by_username(conn, &key)? else {
                    return Ok(<[String; 3]>::default());
                };
                let of = || Some(person.id.clone());
                let sessions = Sessions {
                    homes: None,
                    person: of(),
                    begun_after: 0,
                    used_after: 0,
                };
                let grants = Grants {
                    homes: None,
                    person: of(),
                    client: None,
                    kept_after: 0,
                };
                let session = lists::sessions(conn, &sessions, None, 1)?.pop();
                let grant = lists::grants(conn, &grants, None, 1)?.pop();
                Ok([
                    person.id.clone(),
                    session.map(|session| session.id).unwrap_or_default(),
                    grant.map(|grant| grant.id).unwrap_or_default(),
                ])
            })
        };
        let [person, session, grant] = blocking(read).unwrap();
        Self {
            subject: subject.to_owned(),
            person,
            session,
            grant,
            token: String::new(),
        }
    }

    fn put(&self, text: &str) -> String {
        text.replace("SUBJECT", &self.subject)
            .replace("SESSION", &self.session)
            .replace("GRANT", &self.grant)
            .replace("TOKEN", &self.token)
            .replace("PERSON_ID", &self.person)
            .replace("/ID", &format!("/{}", self.person))
    }
}

async fn prepare(harness: &Harness, act: &Act, subject: &str) -> Names {
    if !act.begin.is_empty() {
        harness.apply(&act.begin.replace("SUBJECT", subject));
    }
    let mut token = String::new();
    match act.before {
        Before::Nothing => {}
        Before::VendorLink => {
            let (registry, id) = (harness.registry(), subject.to_owned());
            let work = move |registry: &Registry, tx: &mut Tx<'_>| vendor_links::issue(registry, tx, &id, 7);
            blocking(move || registry.blocking(work)).unwrap();
        }
        Before::Person => {
            harness.apply(&PERSON.replace("SUBJECT", subject));
        }
        Before::Linked => {
            harness.apply(&PERSON.replace("SUBJECT", subject));
            let (registry, name) = (harness.registry(), subject.to_owned());
            let work = move |registry: &Registry, tx: &mut Tx<'_>| {
                identity_providers::link(registry, tx, &name, "00u-1", &name)
            };
            blocking(move || registry.blocking(work)).unwrap();
        }
        Before::Token => {
            let (registry, name) = (harness.registry(), subject.to_owned());
            let form = api_tokens::ApiTokenForm {
                scope: Some(ApiScope::Clients),
                name: Some(name),
                expires_days: Some(1),
            };
            let work = move |registry: &Registry, tx: &mut Tx<'_>| api_tokens::create(registry, tx, &form);
            token = blocking(move || registry.blocking(work)).unwrap().0.id;
        }
        Before::Locked => {
            let (app, subject) = (harness.app.clone(), subject.to_owned());
            let lock = move || {
                let job_app = app.clone();
                app.store.write_blocking(move |tx| {
                    let key = login_subject(&job_app, &subject);
                    let limit = Limit {
                        threshold: 1,
                        known: true,
                    };
                    fail(&job_app, tx, &key, limit, job_app.now())
                })
            };
            assert!(blocking(lock).unwrap());
        }
        Before::SignedIn => {
            let mut agent = Agent::new(harness);
            let page = agent.get(&harness.url("/account")).await;
            assert_eq!(agent.sign_in(page, subject, PASSWORD).await.at(), "/account");
        }
        Before::Allowed => {
            let mut agent = Agent::new(harness);
            let page = agent.get(&crate::person_flow::authorize_url(harness, &[])).await;
            let page = agent.sign_in(page, subject, PASSWORD).await;
            agent.submit(&page, &[("decision", "approve")]).await;
        }
    }
    Names {
        token,
        ..Names::find(harness, subject)
    }
}

/// Asks for an act by a door. False: the door does not offer it.
async fn ask<'a>(
    harness: &'a Harness,
    door: &str,
    act: &Act,
    names: &Names,
    admin: &mut Agent<'a>,
    program: &Program<'_>,
) -> bool {
    if let Some(people) = act.spreadsheet {
        return import(harness, door, &names.put(people), admin, program).await;
    }
    match door {
        "console" => {
            let Some((path, fields)) = act.console else {
                return false;
            };
            let path = names.put(path);
            let fields: Vec<(&str, String)> = fields
                .iter()
                .map(|(field, value)| (*field, names.put(value)))
                .collect();
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(field, value)| (*field, value.as_str()))
                .collect();
            let mut page = admin.get(&harness.url(&path)).await;
            if page.at() == "/login" {
                // On a machine that is slow the sign-in is too old by now.
                *admin = at_console(harness, "admin").await;
                page = admin.get(&harness.url(&path)).await;
            }
            assert_eq!(page.answer().status, 200, "{path}: {page:?}");
            let done = send(admin, &page, &path, &fields).await;
            assert_eq!(done.answer().status, 200, "{path}: {}", done.answer().text);
        }
        "api" => {
            let Some((method, path, body)) = act.api.clone() else {
                return false;
            };
            let (path, body) = (names.put(path), names.put(body));
            let body: Value = if body.is_empty() {
                json!({})
            } else {
                serde_json::from_str(&body).unwrap()
            };
            let answer = match method {
                Method::POST => program.post(&path, &body).await,
                Method::PATCH => program.patch(&path, "*", &body).await,
                _ => program.delete(&path).await,
            };
            assert!(answer.status < 300, "{path}: {}", answer.text);
        }
        "command" => {
            let Some(arguments) = act.command else {
                return false;
            };
            let arguments: Vec<String> = arguments.iter().map(|argument| names.put(argument)).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let (done, told) = harness.command(&arguments);
            assert!(done, "{arguments:?}: {told}");
        }
        _ => {
            let Some(file) = act.file else { return false };
            harness.apply(&names.put(file));
        }
    }
    true
}

/// Brings people from a file by a door. False: the door does not take one.
async fn import(
    harness: &Harness,
    door: &str,
    people: &str,
    admin: &mut Agent<'_>,
    program: &Program<'_>,
) -> bool {
    match door {
        "console" => {
            let page = import::bring(admin, harness, people.as_bytes()).await;
            let page = import::go_on(admin, harness, &page, &[]).await;
            let text = &page.answer().text;
            assert!(text.contains("id=\"done-count\""), "{text}");
        }
        "api" => {
            let request = program
                .request(Method::POST, "/user-imports")
                .header("Content-Type", "text/csv");
            let answer = request.body(people.to_owned()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
        "command" => {
            let dir = TempDir::new();
            let file = dir.path().join("people.csv");
            std::fs::write(&file, people).unwrap();
            let (done, told) = harness.command(&["user", "import", file.to_str().unwrap()]);
            assert!(done, "{told}");
        }
        _ => return false,
    }
    true
}

/// What two records of the same act have in common: without who and where, and without names and times that differ.
fn common(event: &Value, names: &Names) -> Value {
    let mut body: Map<String, Value> = event.as_object().unwrap().clone();
    for own in [
        "at",
        "at_ms",
        "seq",
        "prev",
        "chain",
        "actor",
        "actor_kind",
        "address",
        "reference",
        "id",
    ] {
        body.remove(own);
    }
    // Where nobody is concerned, it is who acted.
    if body.get("person_id").and_then(Value::as_str) != Some(&names.person) {
        body.remove("person_id");
    }
    let detail = body
        .get("detail")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let told = detail.into_iter().map(|(name, value)| {
        let text = value.as_str().unwrap_or_default();
        let value = match name.as_str() {
            "kid" => json!("a key"),
            // Of the provider and the subject, and each door has a provider of its own.
            "subject_hash" => json!("a hash"),
            _ => serde_json::from_str(text).unwrap_or(value),
        };
        (name, plain(value, names))
    });
    body.insert("detail".to_owned(), Value::Object(told.collect()));
    plain(Value::Object(body), names)
}

fn plain(value: Value, names: &Names) -> Value {
    match value {
        Value::String(text) if text.starts_with("sec_") || text.starts_with("lnk_") => json!("one of ours"),
        Value::String(text) => {
            let mut text = text.replace(&names.subject, "SUBJECT");
            for (id, name) in [
                (&names.person, "ID"),
                (&names.session, "SESSION"),
                (&names.grant, "GRANT"),
                (&names.token, "TOKEN"),
            ] {
                if !id.is_empty() {
                    text = text.replace(id.as_str(), name);
                }
            }
            json!(text)
        }
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_000_000_000) => {
            json!("a time")
        }
        Value::Array(values) => {
            // What is made within one second has no order of its own.
            let mut values: Vec<Value> = values.into_iter().map(|value| plain(value, names)).collect();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, value)| (name, plain(value, names)));
            Value::Object(members.collect())
        }
        other => other,
    }
}

on_both! {
    async fn an_act_leaves_the_same_record_by_every_door(db) {
        let harness = Harness::start(db);
        // The command line is another process, and lives by the real time.
        harness.real_time();
        harness.apply(STAFF);
        let mut admin = at_console(&harness, "admin").await;
        let program = Program::new(&harness, "admin");
        let acts = [of_agencies(), of_clients(), of_servers(), of_providers(), of_people(), of_files(), of_the_machine()];
        for (place, act) in acts.iter().flatten().enumerate() {
            let mut first: Option<(&str, Vec<Value>)> = None;
            let mut doors = Vec::new();
            for door in ["console", "api", "command", "file"] {
                let subject = format!("{door}-{place}");
                let names = prepare(&harness, act, &subject).await;
                let known: Vec<usize> = act.kinds.iter().map(|kind| harness.events(kind).len()).collect();
                if !ask(&harness, door, act, &names, &mut admin, &program).await {
                    continue;
                }
                // Who was added has an id only now.
                let names = if names.person.is_empty() { Names { token: names.token, ..Names::find(&harness, &subject) } } else { names };
                let left: Vec<Value> = act.kinds.iter().zip(known)
                    .flat_map(|(kind, known)| harness.events(kind).into_iter().skip(known))
                    .map(|event| common(&event, &names))
                    .collect();
                assert!(!left.is_empty(), "{} by {door} left no trace", act.name);
                match &first {
                    None => first = Some((door, left)),
                    Some((other, expected)) => assert_eq!(&left, expected, "{} by {door}, and by {other}", act.name),
                }
                doors.push(door);
            }
            assert!(doors.starts_with(&["console", "api", "command"]), "{} is offered by {doors:?} alone", act.name);
        }
    }
}

/// Nothing that the command line does is without its row, or its reason.
#[test]
fn every_command_that_changes_something_is_an_act() {
    let acts = [
        of_agencies(),
        of_clients(),
        of_servers(),
        of_providers(),
        of_people(),
        of_files(),
        of_the_machine(),
    ];
    let known: Vec<&str> = acts.iter().flatten().map(|act| act.name).collect();
    let looks = ["list", "show", "test", "help", "verify"];
    for group in [
        "client",
        "resource-server",
        "identity-provider",
        "user",
        "session",
        "grant",
        "key",
        "api-token",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mdi-auth"))
            .args([group, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let commands = help
            .split("Commands:")
            .nth(1)
            .unwrap()
            .split("Options:")
            .next()
            .unwrap();
        for line in commands
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        {
            let command = line.split_whitespace().next().unwrap();
            let name = format!("{group} {command}");
            let is_known = known.contains(&name.as_str()) || ALONE.iter().any(|(alone, _)| *alone == name);
            assert!(
                looks.contains(&command) || is_known,
                "{name} has no row in the table of acts"
            );
        }
    }
}

on_both! {
    /// Somebody who was linked and never came: the link goes with the account, and the record says so.
    async fn who_was_linked_and_never_came_can_be_deleted(db) {
        let harness = Harness::start(db);
        harness.apply(PROVIDER);
        harness.apply(&PERSON.replace("SUBJECT", "linked"));
        let (provider, registry) = ("SUBJECT", harness.registry());
        let link = move || registry.blocking(move |registry, tx| identity_providers::link(registry, tx, provider, "s-1", "linked"));
        blocking(link).unwrap();
        let names = Names::find(&harness, "linked");
        let gone = Program::new(&harness, "users").delete(&names.put("/users/ID")).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let event = harness.events("person.changed").pop().unwrap();
        assert_eq!((&event["detail"]["action"], &event["detail"]["links"]), (&json!("deleted"), &json!("1")));
    }
}

on_both! {
    /// Who has the role and never accepted the invitation cannot help when the other one is away.
    async fn an_administrator_who_never_came_counts_for_nothing(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut admin = at_console(&harness, "admin").await;
        let rows = [
            ("", "Give a second person the role"),
            ("[[user]]\nusername = \"second\"\nname = \"Second\"\nroles = [\"administrator\"]", "has not accepted the invitation yet"),
        ];
        for (file, told) in rows {
            harness.apply(file);
            let home = admin.get(&harness.url("/admin")).await;
            let text = &home.answer().text;
            assert!(text.contains("There is only one administrator.") && text.contains(told), "{told}: {text}");
        }
        harness.apply(&PERSON.replace("SUBJECT", "third").replace("\nname =", "\nroles = [\"administrator\"]\nname ="));
        let home = admin.get(&harness.url("/admin")).await;
        assert!(!home.answer().text.contains("There is only one administrator."));
    }
}

on_both! {
    /// The same file and the same event by each door.
    async fn what_is_registered_is_exported_alike(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let program = Program::new(&harness, "admin");
        let registry = harness.registry();
        let file = blocking(move || export::export(&registry, true)).unwrap();
        let answer = program.get("/export").await;
        assert_eq!((answer.status, answer.json["file"].as_str()), (200, Some(file.as_str())));
        let without = program.get("/export?without_users=true").await;
        assert!(!without.text.contains("Ada Administrator") && without.text.contains("lims-to-cms"), "{}", without.text);
        let names = Names::find(&harness, "nobody");
        let left: Vec<Value> = harness.events("exported").iter().map(|event| common(event, &names)).collect();
        assert_eq!(left.len(), 3);
        assert_eq!(left[0], left[1]);
        assert_eq!(Program::new(&harness, "clients").get("/export").await.status, 403);
    }
}
