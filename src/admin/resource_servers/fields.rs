//! Resource servers at the console.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{KINDS, kind_in_words};
use crate::admin::access::AdminRequest;
use crate::admin::agencies::agency_field;
use crate::admin::card::Card;
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::admin::lifecycle::Lifecycle;
use crate::admin::list::ListFilter;
use crate::admin::list_query::ListQuery;
use crate::admin::noun::field::{Kind, Section, field, section};
use crate::admin::noun::managed::{Asking, Managed, Offered, Words};
use crate::admin::table::{Cell, Column, Table};
use crate::app::App;
use crate::live::LiveClient;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings};
use crate::model::scope::ScopeSet;
use crate::policy::console::{Area, Right};
use crate::web::guard::PageRefused;

const CLIENTS: &str = "/admin/clients";
/// How many of its clients are shown.
const SHOWN: usize = 20;
/// How many of its clients are named before something is done.
const NAMED: usize = 10;

impl Managed for ResourceServerSettings {
    const AREA: Area = Area::ResourceServers;
    const PATH: &'static str = "/admin/resource-servers";
    const CHOSEN: &'static str = "kind";
    const WORDS: Words = Words {
        many: "FHIR servers",
        one: "a FHIR server",
        lead: "The servers that accept tokens from here: they hold the data that clients send or read.",
        empty: "Begin here. Register your death registration system or your case management system, then the clients that use it.",
        search: "Name, ID or address",
        registered: "server-registered",
        disabled: "disabled",
    };

    fn options(_: &App) -> Vec<Offered> {
        let offered = |(kind, words, hint): (crate::model::kind::Kind, &str, &str)| Offered {
            value: kind.as_str().to_owned(),
            title: words.to_owned(),
            text: hint.to_owned(),
            meta: String::new(),
            missing: None,
        };
        KINDS.map(offered).to_vec()
    }

    fn form_title(asking: &Asking<'_, Self>) -> (String, String) {
        let known = KINDS.iter().find(|(kind, _, _)| kind.as_str() == asking.chosen);
        known.map_or_else(Default::default, |(_, words, hint)| {
            (format!("Register: {words}"), (*hint).to_owned())
        })
    }

    fn sections(asking: &Asking<'_, Self>) -> Vec<Section> {
        vec![what_it_is(asking), tokens(), questions(), offers()]
    }

    fn said(
        asking: &Asking<'_, Self>,
        _: &Typed,
        mut members: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<FieldMistake>> {
        // An empty catalogue is not the whole one: it stays until scopes are entered.
        let scopes = asking.before.and_then(|server| server.settings.scopes.as_ref());
        if scopes.is_some_and(ScopeSet::is_empty) {
            members
                .entry("scopes")
                .or_insert_with(|| Value::Array(Vec::new()));
        }
        Ok(members)
    }

    fn filters(_: &AdminRequest) -> Vec<ListFilter> {
        let kinds = KINDS.map(|(kind, words, _)| (kind.as_str(), words));
        vec![ListFilter::new("kind", "Kind", "All kinds", kinds)]
    }

    fn fits(server: &ResourceServer, looked: &ListQuery) -> bool {
        let kind = looked.get("kind");
        kind.is_empty() || server.settings.kind.as_str() == kind
    }

    fn texts(server: &ResourceServer) -> Vec<&str> {
        vec![&server.settings.audience]
    }

    fn columns() -> Vec<Column> {
        vec![
            Column::new("Kind"),
            Column::new("FHIR base"),
            Column::new("Clients").number(),
        ]
    }

    fn cells(admin: &AdminRequest, server: &ResourceServer) -> Vec<Cell> {
        let clients = admin.app.live.client_index().users_of(&server.id).len();
        vec![
            Cell::text(kind_in_words(server.settings.kind)),
            Cell::code(&server.settings.audience),
            Cell::text(clients.to_string()),
        ]
    }

    fn actions(_: &AdminRequest, _: &ResourceServer) -> Vec<(&'static str, &'static str)> {
        vec![("documents", "Documents for its operators")]
    }

    async fn cards(admin: &AdminRequest, server: &ResourceServer) -> Result<Vec<Card>, PageRefused> {
        Ok(vec![its_clients(admin, server), its_scopes(admin, server)])
    }

    async fn effects(
        admin: &AdminRequest,
        server: &ResourceServer,
        action: Lifecycle,
    ) -> Result<Vec<String>, PageRefused> {
        let index = admin.app.live.client_index();
        let users = index.users_of(&server.id);
        let names = users.iter().take(NAMED).map(|live| live.client.name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        let used = match users.len() {
            0 => "No client uses it.".to_owned(),
            count if count > NAMED => format!("{count} clients use it, among them {names}."),
            _ => format!("Clients that use it: {names}."),
        };
        Ok(match action {
            Lifecycle::Disable => vec![
                "Clients get no more tokens for it, and it learns nothing when it asks about tokens.".to_owned(),
                "Signed tokens (JWT) stay readable for the server until they expire, at most an hour.".to_owned(),
                used,
                "You can enable it again.".to_owned(),
            ],
            Lifecycle::Enable => vec!["Clients get tokens for it again, and it may ask about tokens.".to_owned(), used],
            Lifecycle::Delete => vec![
                "Its registration and its secrets are removed. The record keeps what was done.".to_owned(),
                used,
                "It cannot be deleted while clients use it. Disabling it ends everything at once, and you can undo it."
                    .to_owned(),
            ],
        })
    }
}

fn what_it_is(asking: &Asking<'_, ResourceServerSettings>) -> Section {
    let mut fields = vec![
        field("name", Kind::Text, "Name", "As people know it, such as Georgia EDRS."),
        field("id", Kind::Text, "ID (optional)", "A short name for settings and logs, such as edrs-ga. Leave it empty to have one made from the name. It cannot be changed later.").only_new(),
        field("audience", Kind::Text, "FHIR base", "The address of its FHIR interface, such as https://edrs.example.gov/fhir. Tokens name it, and the server must expect exactly this text."),
        agency_field(asking, "Agency that runs it (optional)", "Its ID. Register it first under Agencies."),
        field("contacts", Kind::Lines, "Mail addresses of those who look after it (optional)", "One a line.").more(),
    ];
    if asking.before.is_some() {
        let kinds = form::choices(&KINDS.map(|(kind, words, hint)| (kind.as_str(), words, hint)));
        fields.push(field(
            "kind",
            Kind::Radio(kinds),
            "Kind",
            "Decides which dataflows go to it.",
        ));
    }
    section("What it is", fields)
}

fn tokens() -> Section {
    let formats = [
        (
            "jwt",
            "Signed (JWT)",
            "The server checks tokens itself, with our public keys. Nearly all FHIR servers can.",
        ),
        (
            "opaque",
            "Opaque",
            "The server asks us about each token. Nothing about a person can be read from the token itself.",
        ),
    ];
    let types = [
        ("at+jwt", "at+jwt: the standard (RFC 9068)", ""),
        (
            "JWT",
            "JWT: for servers that refuse at+jwt, such as those on Spring Security",
            "",
        ),
    ];
    let algorithms = [
        ("ES256", "ES256: small and quick, the usual choice", ""),
        ("RS256", "RS256: for software that knows no other", ""),
        ("PS256", "PS256", ""),
        ("ES384", "ES384", ""),
        ("EdDSA", "EdDSA", ""),
    ];
    let styles = [
        ("v2", "SMART version 2, such as user/Patient.rs", ""),
        (
            "v1",
            "SMART version 1, such as user/Patient.read, for older servers",
            "",
        ),
    ];
    section(
        "Its tokens",
        vec![
            field("token_format", Kind::Radio(form::choices(&formats)), "Form", ""),
            field("token_typ", Kind::Select(form::choices(&types)), "Type that signed tokens name (typ)", "").more(),
            field("signing_alg", Kind::Select(form::choices(&algorithms)), "Signature", "").more(),
            field("scope_style", Kind::Select(form::choices(&styles)), "Spelling of scopes", "What version 1 cannot say is left out.").more(),
            field("scope_map", Kind::Table, "Other spellings of scopes (optional)", "One a line, as in: user/Patient.rs = patient.read. Only for software that needs its own words.").more(),
        ],
    )
}

fn questions() -> Section {
    let introspect: Vec<Choice> = form::choices(&[
        ("own", "Its own tokens", "Only those that were issued for it."),
        (
            "any",
            "All tokens",
            "Only for a gateway that stands in front of several servers.",
        ),
    ]);
    section(
        "How it asks about tokens",
        vec![
            field("jwks_uri", Kind::Text, "Address of its public keys (optional)", "Only if it signs with a key of its own, such as https://edrs.example.gov/jwks.json. Without keys we make a secret, and show it once.").tried(),
            field("jwks", Kind::Long, "Or the public keys themselves (optional)", "The JWKS as text, which begins with {\"keys\":. Never paste private keys."),
            field("introspect", Kind::Radio(introspect), "What it may ask about", "").more(),
        ],
    )
}

fn offers() -> Section {
    section(
        "What it offers",
        vec![
            field(
                "scopes",
                Kind::Lines,
                "Scopes (optional)",
                "One a line. Leave it empty, and it offers what the dataflows of its kind use.",
            )
            .more(),
        ],
    )
}

fn its_clients(admin: &AdminRequest, server: &ResourceServer) -> Card {
    let app = &admin.app;
    let sees = admin.may(Area::Clients, Right::Read);
    let row = |live: &Arc<LiveClient>| {
        let client = &live.client;
        let flow = app.policy.dataflow(&client.settings.dataflow);
        vec![
            Cell::text(&client.name)
                .leads_to(sees.then(|| format!("{CLIENTS}/{}", client.id)))
                .tagged((!client.enabled).then_some("Disabled"), true),
            Cell::code(&client.id),
            Cell::text(flow.map_or(&client.settings.dataflow, |flow| &flow.label)),
        ]
    };
    let index = app.live.client_index();
    let users = index.users_of(&server.id);
    let table = Table {
        id: "its-clients",
        columns: ["Name", "Client ID", "Dataflow"].map(Column::new).to_vec(),
        rows: users.iter().take(SHOWN).map(row).collect(),
    };
    let card = Card::new("clients", "Clients that use it");
    let all = (
        format!("{CLIENTS}?server={}", server.id),
        "all-clients",
        "Show all of its clients".to_owned(),
    );
    if users.is_empty() {
        return Card {
            texts: vec!["None yet.".to_owned()],
            ..card
        };
    }
    Card {
        table: Some(table),
        links: if users.len() > SHOWN && sees {
            vec![all]
        } else {
            Vec::new()
        },
        ..card
    }
}

fn its_scopes(admin: &AdminRequest, server: &ResourceServer) -> Card {
    let policy = &admin.app.policy;
    let settings = &server.settings;
    let offered = settings
        .scopes
        .as_ref()
        .unwrap_or_else(|| policy.catalogue(settings.kind));
    let sentences = policy.sentences(offered);
    let card = Card::new("offers", "What it offers");
    if sentences.is_empty() {
        let text = "It lists no scopes. A client that was joined with it by hand may use what that client was given.";
        return Card {
            texts: vec![text.to_owned()],
            ..card
        };
    }
    Card {
        items: sentences
            .into_iter()
            .map(|sentence| (sentence.sentence, sentence.scope))
            .collect(),
        ..card
    }
}
