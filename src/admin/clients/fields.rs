//! Clients at the console: a client is registered by its dataflow, which decides nearly everything; the form asks for
//! what is open.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::words::{abilities, is_for_people, of_dataflow, of_method};
use crate::admin::about::About;
use crate::admin::access::AdminRequest;
use crate::admin::agencies::{agency_field, agency_filter, suggested};
use crate::admin::card::Card;
use crate::admin::form::{Choice, FieldMistake, Typed};
use crate::admin::lifecycle::Lifecycle;
use crate::admin::list::{ListFilter, SORT};
use crate::admin::list_query::{ListQuery, PAGE};
use crate::admin::noun::field::{Kind, Section, field, section};
use crate::admin::noun::managed::{Asking, Listed, Managed, Offered, Words, is_looked_for};
use crate::admin::table::{Cell, Column};
use crate::app::App;
use crate::live::client_index::Order;
use crate::live::{LiveClient, LiveServer};
use crate::model::client::{AuthMethod, Client, ClientSettings, GrantType};
use crate::model::kind;
use crate::model::scope::{Scope, ScopeSet};
use crate::model::security_label::Confidentiality;
use crate::model::signing::Algorithm;
use crate::policy::console::{Area, Right};
use crate::policy::dataflow::Dataflow;
use crate::store::grants;
use crate::web::guard::PageRefused;

const SERVERS: &str = "/admin/resource-servers";

type AskingClient<'a> = Asking<'a, ClientSettings>;

impl Managed for ClientSettings {
    const AREA: Area = Area::Clients;
    const ABOUT: About = About::Client;
    const PATH: &'static str = "/admin/clients";
    const CHOSEN: &'static str = "dataflow";
    const WORDS: Words = Words {
        many: "Clients",
        one: "a client",
        lead: "The systems that get tokens here: case systems, registration systems and laboratory systems.",
        empty: "A client sends data to a FHIR server of yours, or reads from it. Register the FHIR server first, then the clients that use it.",
        search: "Name, client ID or agency",
        registered: "registered",
        disabled: "disabled",
    };

    fn options(app: &App) -> Vec<Offered> {
        let offered = |flow: &Dataflow| {
            let (title, text) = of_dataflow(flow);
            let servers = fitting(app, flow);
            let names: Vec<&str> = servers.iter().map(|live| live.server.name.as_str()).collect();
            let kinds: Vec<&str> = flow.resource_servers.iter().map(|kind| kind.as_str()).collect();
            Offered {
                value: flow.id.clone(),
                title,
                text,
                missing: names.is_empty().then(|| (SERVERS, kinds.join(" or "))),
                meta: if names.is_empty() {
                    flow.id.clone()
                } else {
                    format!("{}; goes to: {}", flow.id, names.join(", "))
                },
            }
        };
        app.policy.dataflows().iter().map(offered).collect()
    }

    fn form_title(asking: &AskingClient<'_>) -> (String, String) {
        flow_of(asking).map_or_else(Default::default, of_dataflow)
    }

    fn abilities(asking: &AskingClient<'_>) -> Vec<String> {
        let Some(flow) = flow_of(asking) else {
            return Vec::new();
        };
        abilities(asking.app, flow, asking.before)
    }

    fn sections(asking: &AskingClient<'_>) -> Vec<Section> {
        let Some(flow) = flow_of(asking) else {
            return Vec::new();
        };
        let for_people = asks_people(asking, flow);
        let mut sections = vec![who(asking), goes_to(asking, flow), proof(flow, for_people)];
        if for_people || flow.as_written {
            sections.push(browser());
        }
        sections.push(limits(asking, flow, for_people));
        sections
    }

    fn typed(asking: &AskingClient<'_>, typed: Typed) -> Typed {
        let Some(flow) = flow_of(asking) else {
            return typed;
        };
        let (scopes, purposes) = match asking.before {
            Some(client) => (client.settings.scopes.as_ref(), client.settings.purposes.clone()),
            None => (None, None),
        };
        let typed = typed
            .without("purposes")
            .with_all("purposes", purposes.unwrap_or_else(|| flow.purposes.clone()));
        let typed = if flow.as_written {
            typed
        } else {
            // A box stands for a scope of the dataflow; what narrows it within stays as long as the box is ticked.
            let held = |scope: &&Scope| scopes.is_none_or(|own| !scope.within(own).is_empty());
            let ticked = flow.scopes.iter().filter(held).map(ToString::to_string);
            typed.without("scopes").with_all("scopes", ticked)
        };
        if asking.before.is_some() {
            return typed;
        }
        let method = if flow.is_for_systems() {
            AuthMethod::PrivateKeyJwt
        } else {
            AuthMethod::ClientSecretBasic
        };
        let typed = typed.without("auth_method").with("auth_method", method.as_str());
        match fitting(asking.app, flow).as_slice() {
            [only] if !flow.as_written => typed.with("resource_servers", &only.server.id),
            _ => typed,
        }
    }

    fn said(
        asking: &AskingClient<'_>,
        typed: &Typed,
        mut members: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<FieldMistake>> {
        let Some(flow) = flow_of(asking) else {
            return Ok(members);
        };
        let is = |method: AuthMethod| typed.get("auth_method") == method.as_str();
        // What has no meaning beside the rest of the form is not said: saying it is refused.
        if is(AuthMethod::None) {
            members.remove("require_pkce");
            members.remove("refresh_rotation");
        }
        if !is(AuthMethod::ClientSecretBasic) && !is(AuthMethod::ClientSecretPost) {
            members.remove("auth_method_strict");
        }
        if !members.contains_key("backchannel_logout_uri") {
            members.remove("backchannel_logout_session_required");
        }
        let mut set = |member: &str, value: Option<Vec<String>>| {
            members.remove(member);
            members.extend(value.map(|value| (member.to_owned(), value.into())));
        };
        set("scopes", scopes(flow, typed, asking.before));
        set("purposes", purposes(flow, typed, asking.before));
        if flow.as_written {
            set("grants", Some(typed.all("grants")));
        } else if let Some(client) = asking.before {
            // The form does not ask for them: what was narrowed stays narrowed.
            let grants = client
                .settings
                .grants
                .iter()
                .filter(|grant| flow.grants.iter().any(|known| known == grant.as_str()));
            set(
                "grants",
                Some(grants.map(|grant| grant.as_str().to_owned()).collect()),
            );
        }
        let mut servers = typed.all("resource_servers");
        if let Some(client) = asking.before {
            // Those that have no box are not unticked.
            let boxes = fitting(asking.app, flow);
            let has_box = |id: &String| boxes.iter().any(|live| live.server.id == *id);
            let others = client.settings.resource_servers.iter().filter(|id| !has_box(id));
            servers.extend(others.cloned());
        }
        if flow.as_written || asking.before.is_some() || !servers.is_empty() {
            set("resource_servers", Some(servers));
        }
        Ok(members)
    }

    fn filters(admin: &AdminRequest) -> Vec<ListFilter> {
        let app = &admin.app;
        let flows = app.policy.dataflows().iter();
        let flows = flows.map(|flow| (flow.id.as_str(), flow.label.as_str()));
        let mut servers = app.live.resource_servers();
        // Who looks after the clients of one agency knows of those that they use.
        let (reach, index) = (admin.reach(Area::Clients, Right::Read), app.live.client_index());
        let uses = |live: &Arc<LiveClient>| reach.holds_for(live.client.settings.agency.as_deref());
        let agencies = suggested(app, &reach);
        let knows = reach.agencies().is_none();
        servers.retain(|live| knows || index.users_of(&live.server.id).iter().any(uses));
        servers.sort_by_key(|live| live.server.name.to_lowercase());
        let servers = servers
            .iter()
            .map(|live| (live.server.id.as_str(), live.server.name.as_str()));
        vec![
            ListFilter::new("dataflow", "Dataflow", "All dataflows", flows),
            ListFilter::new("server", "FHIR server", "All FHIR servers", servers),
            agency_filter(&agencies),
        ]
    }

    fn fits(client: &Client, looked: &ListQuery) -> bool {
        let (dataflow, server, agency) = (looked.get("dataflow"), looked.get("server"), looked.get("agency"));
        (dataflow.is_empty() || client.settings.dataflow == dataflow)
            && (server.is_empty() || client.settings.resource_servers.iter().any(|id| id == server))
            && (agency.is_empty() || client.settings.agency.as_deref() == Some(agency))
    }

    /// From memory, where they lie in order: there may be thousands.
    async fn listed(admin: &AdminRequest, looked: &ListQuery) -> Result<Listed<Self>, PageRefused> {
        let index = admin.app.live.client_index();
        let order = Order::of(looked.get(SORT));
        let reach = admin.reach(Area::Clients, Right::Read);
        let is_own = |client: &&Client| reach.holds_for(client.settings.agency.as_deref());
        let is_wanted = |client: &&Client| is_own(client) && is_looked_for(*client, looked);
        let from = |after| {
            let found = index.search(order, after, looked.get("q"));
            found.map(|live| &live.client).filter(is_wanted)
        };
        Ok(Listed {
            some: index.search(order, None, "").any(|live| is_own(&&live.client)),
            count: from(None).count(),
            rows: from(looked.after()).take(PAGE + 1).cloned().collect(),
        })
    }

    fn columns() -> Vec<Column> {
        ["Agency", "Dataflow", "FHIR servers"].map(Column::new).to_vec()
    }

    fn cells(admin: &AdminRequest, client: &Client) -> Vec<Cell> {
        let settings = &client.settings;
        let flow = admin.app.policy.dataflow(&settings.dataflow);
        let agencies = admin.app.live.agencies();
        let agency = settings.agency.as_deref().map_or("", |id| agencies.name(id));
        vec![
            Cell::text(agency),
            Cell::text(flow.map_or(&settings.dataflow, |flow| &flow.label)),
            Cell::text(settings.resource_servers.join(", ")),
        ]
    }

    fn actions(_: &AdminRequest, _: &Client) -> Vec<(&'static str, &'static str)> {
        vec![
            ("hand-off", "Hand-off sheet for the vendor"),
            ("check", "Check its connection"),
        ]
    }

    async fn cards(admin: &AdminRequest, client: &Client) -> Result<Vec<Card>, PageRefused> {
        let app = &admin.app;
        let mut cards = Vec::new();
        if let Some(refusal) = app.sign_in_refusals.of(&client.id) {
            let times = match refusal.count {
                1 => String::new(),
                count => format!(" ({count} times in a row)"),
            };
            cards.push(Card {
                problem: true,
                texts: vec![format!(
                    "Its last sign-in request was refused on {}{times}: {}",
                    admin.zone.when(refusal.at).words,
                    refusal.reason
                )],
                ..Card::new("refused", "")
            });
        }
        let Some(flow) = app.policy.dataflow(&client.settings.dataflow) else {
            cards.push(Card {
                problem: true,
                texts: vec![format!(
                    "The policy no longer has the dataflow {}, so this client gets nothing.",
                    client.settings.dataflow
                )],
                ..Card::new("no-dataflow", "")
            });
            return Ok(cards);
        };
        let (title, _) = of_dataflow(flow);
        let sentences = abilities(app, flow, Some(client));
        let scopes = flow.ceiling(client.settings.scopes.as_ref()).to_string();
        let purposes = flow.purposes(client.settings.purposes.as_deref());
        let purposes = (!purposes.is_empty()).then(|| format!("Purposes of use: {}", purposes.join(" ")));
        cards.push(Card {
            texts: vec![title],
            items: sentences
                .into_iter()
                .map(|sentence| (sentence, String::new()))
                .collect(),
            details: [format!("Dataflow: {}", flow.id), scopes]
                .into_iter()
                .chain(purposes)
                .collect(),
            ..Card::new("abilities", "What it can do")
        });
        Ok(cards)
    }

    async fn effects(
        admin: &AdminRequest,
        client: &Client,
        action: Lifecycle,
    ) -> Result<Vec<String>, PageRefused> {
        let (id, now) = (client.id.clone(), admin.app.now());
        let allowed = admin
            .app
            .store
            .read(move |conn| grants::count_of_client(conn, &id, now))
            .await?;
        let people = match allowed {
            0 => "No one has allowed it anything at present.".to_owned(),
            1 => "One person’s access through it ends.".to_owned(),
            several => format!("The access that {several} people gave it ends."),
        };
        Ok(match action {
            Lifecycle::Disable => vec![
                "It gets no more tokens, and those it has stop working at once.".to_owned(),
                people,
                "Its settings stay. Enabling it again revives no old token.".to_owned(),
            ],
            Lifecycle::Enable => vec![
                "It can get tokens again with its key or secret.".to_owned(),
                "Old tokens stay invalid. People are asked again.".to_owned(),
            ],
            Lifecycle::Delete => vec![
                "Its settings and secrets are deleted, and its tokens stop working at once.".to_owned(),
                people,
                "The record of what it did stays. You cannot undo this; you can undo disabling it."
                    .to_owned(),
            ],
        })
    }
}

fn flow_of<'a>(asking: &AskingClient<'a>) -> Option<&'a Dataflow> {
    asking.app.policy.dataflow(asking.chosen)
}

fn asks_people(asking: &AskingClient<'_>, flow: &Dataflow) -> bool {
    let grants = asking.before.map(|client| client.settings.grants.as_slice());
    is_for_people(flow, grants.unwrap_or_default())
}

/// The resource servers that a dataflow can go to.
fn fitting(app: &App, flow: &Dataflow) -> Vec<Arc<LiveServer>> {
    let mut servers = app.live.resource_servers();
    servers.retain(|live| {
        live.server.settings.kind == kind::Kind::Other || flow.serves(live.server.settings.kind)
    });
    servers.sort_by_key(|live| live.server.name.to_lowercase());
    servers
}

fn who(asking: &AskingClient<'_>) -> Section {
    section(
        "Who it is",
        vec![
            field("name", Kind::Text, "Name of the system", "As people know it, such as UF Forensic Toxicology LIMS. People who are asked for consent see it."),
            field("client_id", Kind::Text, "Client ID (optional)", "The vendor enters it in the system. Leave it empty to have one made from the name. It cannot be changed later.").only_new(),
            agency_field(asking, "Agency that runs it (optional)", "Its ID. Tokens name the agency. Register it first under Agencies."),
            field("contacts", Kind::Lines, "Mail addresses of those who look after it (optional)", "One a line.").more(),
        ],
    )
}

fn goes_to(asking: &AskingClient<'_>, flow: &Dataflow) -> Section {
    let app = asking.app;
    let server = |live: &Arc<LiveServer>| {
        Choice::new(&live.server.id, &live.server.name, &live.server.settings.audience)
    };
    let mut fitting = fitting(app, flow);
    if let (Some(_), Some(client)) = (asking.agencies.agencies(), asking.before) {
        let used = &client.settings.resource_servers;
        fitting.retain(|live| used.contains(&live.server.id));
    }
    let servers: Vec<Choice> = fitting.iter().map(server).collect();
    let hint = if servers.is_empty() && !flow.as_written {
        "None is registered that this dataflow could go to. Register the FHIR server first."
    } else {
        ""
    };
    let mut fields = vec![
        field(
            "resource_servers",
            Kind::Boxes(servers),
            "FHIR servers that it may use",
            hint,
        )
        .leads_to(SERVERS),
    ];
    if flow.as_written {
        fields.extend([
            field("grants", Kind::Boxes(grant_choices()), "How it gets tokens", ""),
            field(
                "scopes",
                Kind::Lines,
                "What it may do",
                "One scope a line, such as system/Observation.rs.",
            ),
            field(
                "purposes",
                Kind::Boxes(purpose_choices(app, flow)),
                "Purposes for which it may act",
                "",
            ),
        ]);
    }
    section("Where it goes", fields)
}

fn proof(flow: &Dataflow, for_people: bool) -> Section {
    let may_be_public = for_people || flow.as_written;
    section(
        "How it proves who it is",
        vec![
            field("auth_method", Kind::Radio(methods(may_be_public)), "Proof", ""),
            field("jwks_uri", Kind::Text, "Address of its public keys", "Only for a key of its own. The vendor gives you this address (JWKS URL). It begins with https://.").tried(),
            field("jwks", Kind::Long, "Or the public keys themselves", "Only for a key of its own, if the vendor has no such address: the JWKS as text, which begins with {\"keys\":."),
            field("auth_method_strict", Kind::Tick, "Accept the secret only in the way chosen above", "Tick it only if your rules require it: much software sends its secret in the header one time and in the form the next.").more(),
            field("signing_algs", Kind::Boxes(Algorithm::ACCEPTED.map(|algorithm| Choice::new(algorithm.as_str(), algorithm.as_str(), "")).to_vec()), "Signatures that its key may make", "None ticked: all of these.").more(),
        ],
    )
}

fn browser() -> Section {
    section(
        "Where people come back to",
        vec![
            field(
                "redirect_uris",
                Kind::Lines,
                "Redirect addresses",
                "Where the browser returns after signing in, one a line, exactly as the vendor's system sends them.",
            ),
            field(
                "post_logout_redirect_uris",
                Kind::Lines,
                "Addresses after signing out (optional)",
                "One a line.",
            ),
            field(
                "backchannel_logout_uri",
                Kind::Text,
                "Where it is told that someone has signed out (optional)",
                "Back-channel logout. It begins with https://.",
            )
            .more(),
            field(
                "backchannel_logout_session_required",
                Kind::Tick,
                "It needs to know which session has ended",
                "",
            )
            .more(),
            field(
                "cors_origins",
                Kind::Lines,
                "Origins of its browser code (optional)",
                "One a line, such as https://app.example. Only for applications that call us from a browser.",
            )
            .more(),
        ],
    )
}

fn limits(asking: &AskingClient<'_>, flow: &Dataflow, for_people: bool) -> Section {
    let app = asking.app;
    let mut fields = Vec::new();
    if !flow.as_written {
        fields.extend([
            field(
                "scopes",
                Kind::Boxes(scope_choices(app, flow)),
                "What it may do",
                "Untick what the system does not need.",
            )
            .more(),
            field(
                "purposes",
                Kind::Boxes(purpose_choices(app, flow)),
                "Purposes for which it may act",
                "",
            )
            .more(),
        ]);
    }
    fields.push(
        field(
            "confidentiality",
            Kind::Select(clearances()),
            "The most confidential data that it may see",
            "",
        )
        .more(),
    );
    if for_people || flow.as_written {
        fields.extend([
            field("consent", Kind::Radio(consents()), "Asking people", "").more(),
            field("require_pkce", Kind::Tick, "Codes are bound to the request that they answer (PKCE)", "Untick it only for old software that cannot do it.").more(),
            field("refresh_rotation", Kind::Tick, "A new refresh token each time", "").more(),
            field("id_token_claims", Kind::Tick, "Name and e-mail address in the ID token too", "Tick it only if the vendor’s software looks nowhere else: it may always ask for them (UserInfo).").more(),
        ]);
    }
    section("What it may do", fields)
}

/// All boxes ticked: the client follows the dataflow, also when the policy changes. None ticked stays none, and is refused.
fn scopes(flow: &Dataflow, typed: &Typed, before: Option<&Client>) -> Option<Vec<String>> {
    if flow.as_written {
        return Some(typed.lines("scopes"));
    }
    let ticked = typed.all("scopes");
    let is_ticked = |scope: &&Scope| ticked.contains(&scope.to_string());
    let narrowed: Option<&ScopeSet> = before.and_then(|client| client.settings.scopes.as_ref());
    let all = flow.scopes.iter().all(|scope| is_ticked(&scope));
    let kept = |scope: &Scope| match narrowed.map(|own| scope.within(own)) {
        Some(within) if !within.is_empty() => within,
        _ => vec![scope.clone()],
    };
    let wanted = flow.scopes.iter().filter(is_ticked).flat_map(kept);
    let wanted: Vec<String> = wanted.map(|scope| scope.to_string()).collect();
    let is_whole = |wanted: &[String]| {
        wanted.len() == flow.scopes.len()
            && flow
                .scopes
                .iter()
                .all(|scope| wanted.contains(&scope.to_string()))
    };
    (!all || (narrowed.is_some() && !is_whole(&wanted))).then_some(wanted)
}

fn purposes(flow: &Dataflow, typed: &Typed, before: Option<&Client>) -> Option<Vec<String>> {
    let ticked = typed.all("purposes");
    let had_none = before.is_some_and(|client| client.settings.purposes.is_none());
    if flow.as_written && ticked.is_empty() && had_none {
        return None;
    }
    let all = !flow.as_written && flow.purposes.iter().all(|code| ticked.contains(code));
    (!all).then_some(ticked)
}

fn methods(may_be_public: bool) -> Vec<Choice> {
    let hint = |method: AuthMethod| match method {
        AuthMethod::PrivateKeyJwt => {
            "The safest. The vendor keeps a private key and gives you the public one below."
        }
        AuthMethod::ClientSecretBasic => "We make a secret and show it once. The usual way to send it.",
        AuthMethod::ClientSecretPost => "The same secret, for software that cannot send it in a header.",
        AuthMethod::None => "For applications that run in a browser or on a phone and cannot keep a secret.",
    };
    [
        AuthMethod::PrivateKeyJwt,
        AuthMethod::ClientSecretBasic,
        AuthMethod::ClientSecretPost,
        AuthMethod::None,
    ]
    .into_iter()
    .filter(|method| *method != AuthMethod::None || may_be_public)
    .map(|method| Choice::new(method.as_str(), of_method(method), hint(method)))
    .collect()
}

fn scope_choices(app: &App, flow: &Dataflow) -> Vec<Choice> {
    let sentences = app.policy.sentences(&flow.scopes);
    sentences
        .into_iter()
        .map(|sentence| Choice::new(&sentence.scope, sentence.sentence, &sentence.scope))
        .collect()
}

fn purpose_choices(app: &App, flow: &Dataflow) -> Vec<Choice> {
    let vocabulary = app.policy.vocabulary();
    let listed = vocabulary
        .purposes_of_use()
        .iter()
        .filter(|concept| flow.as_written || flow.purposes.contains(&concept.code));
    listed
        .map(|concept| {
            let label = format!("{} ({})", capital(&concept.display), concept.code);
            Choice::new(&concept.code, label, "")
        })
        .collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn grant_choices() -> Vec<Choice> {
    [
        (GrantType::ClientCredentials, "By itself, with nobody signed in"),
        (GrantType::AuthorizationCode, "For people who sign in"),
        (
            GrantType::RefreshToken,
            "For people, for longer than one token lasts",
        ),
    ]
    .map(|(grant, label)| Choice::new(grant.as_str(), label, grant.as_str()))
    .to_vec()
}

fn clearances() -> Vec<Choice> {
    let every = Confidentiality::ALL
        .iter()
        .map(|level| Choice::new(level.code(), level.word(), ""));
    std::iter::once(Choice::new("", "No limit of its own", ""))
        .chain(every)
        .collect()
}

fn consents() -> Vec<Choice> {
    vec![
        Choice::new(
            "ask",
            "Ask each person once",
            "People see what the application may do, and allow it.",
        ),
        Choice::new(
            "skip",
            "Ask no one",
            "You vouch for the application. Certifying is always asked.",
        ),
    ]
}
