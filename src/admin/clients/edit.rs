//! `/admin/clients/new` and `/admin/clients/{id}/edit`: a client is registered by its dataflow, which decides nearly
//! everything; the form asks for what is open, and says in plain words what the client will be able to do.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Map, Value};

use super::words::{Choice, abilities, id_of, is_for_people, of_dataflow, of_method};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer, done};
use crate::admin::edit_conflict::{self, Changed};
use crate::admin::form::{FieldMistake, MEANWHILE, Typed};
use crate::admin::list_query::ListQuery;
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::error::PageError;
use crate::live::LiveServer;
use crate::model::client::{AuthMethod, Client, ClientSettings, Consent, GrantType};
use crate::model::kind::Kind;
use crate::model::security_label::Confidentiality;
use crate::model::signing::Algorithm;
use crate::policy::console::Area;
use crate::policy::dataflow::Dataflow;
use crate::registry::Refused;
use crate::registry::noun;
use crate::registry::said::{Merge, Said};
use crate::store::audit::Concerned;
use crate::store::registered;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// Fresh: the form decides how the client proves who it is, and may make a secret.
const REQUIRES: Requires = Requires::change(Area::Clients).fresh();

/// Fields with one value.
const ONE: [&str; 19] = [
    "name",
    "client_id",
    "organization_name",
    "organization_id",
    "organization_jurisdiction",
    "auth_method",
    "auth_method_strict",
    "jwks_uri",
    "jwks",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "cors_origins",
    "confidentiality",
    "consent",
    "require_pkce",
    "refresh_rotation",
    "id_token_claims",
];
/// Fields with several.
const SEVERAL: [&str; 5] = ["resource_servers", "scopes", "purposes", "grants", "signing_algs"];

#[derive(Template)]
#[template(path = "../admin/client_dataflow.html")]
struct ChooseDataflowPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    flows: Vec<FlowCard>,
}

struct FlowCard {
    id: String,
    title: String,
    text: String,
    goes_to: String,
    /// What has to be there first.
    missing: Option<String>,
}

#[derive(Template)]
#[template(path = "../admin/client_form.html")]
struct ClientFormPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    /// Where the form is posted.
    action: String,
    /// The client that is changed; none: a new one.
    client: Option<&'a Client>,
    version: String,
    flow: &'a Dataflow,
    flow_title: String,
    flow_text: String,
    for_people: bool,
    abilities: Vec<String>,
    servers: Vec<Choice>,
    methods: Vec<Choice>,
    scopes: Vec<Choice>,
    purposes: Vec<Choice>,
    grants: Vec<Choice>,
    algorithms: Vec<Choice>,
    clearances: Vec<Choice>,
    consents: Vec<Choice>,
    yes_no: Vec<Choice>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    /// When the form was shown, in milliseconds since the epoch.
    shown_at: i64,
    /// What somebody else has changed meanwhile.
    meanwhile: Option<Vec<Changed>>,
}

/// What a form shows.
struct Shown {
    typed: Typed,
    wrong: Vec<FieldMistake>,
    version: String,
    /// Since when, in milliseconds since the epoch; none: from now.
    since: Option<i64>,
    meanwhile: Option<Vec<Changed>>,
}

impl Shown {
    /// For the first time.
    fn first(typed: Typed) -> Self {
        Self {
            typed,
            wrong: Vec::new(),
            version: String::new(),
            since: None,
            meanwhile: None,
        }
    }
}

/// `GET /admin/clients/new`: without a dataflow, asks for one.
pub async fn new(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, REQUIRES).await?;
        Ok(
            match app.policy.dataflow(ListQuery::of(&request).get("dataflow")) {
                None => choose(&app, &admin),
                Some(flow) => show(
                    &admin,
                    flow,
                    None,
                    StatusCode::OK,
                    Shown::first(defaults(&app, flow)),
                ),
            },
        )
    };
    answer(&app, outcome.await)
}

/// `POST /admin/clients/new`
pub async fn register(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, REQUIRES).await?;
        let form = admin.posted(&request, body).await?;
        let flow = app
            .policy
            .dataflow(form.field("dataflow")?)
            .ok_or_else(PageError::not_found)?;
        let mut typed = typed_of(&form);
        if typed.get("client_id").is_empty() {
            let id = id_of(typed.get("name"));
            typed = typed.with("client_id", id);
        }
        let wanted = read(flow, &typed, None);
        match admin
            .registry()
            .run(move |registry, tx| noun::register::<ClientSettings>(registry, tx, &wanted))
            .await
        {
            Ok((client, secret)) => Ok(to_client(
                &admin,
                &client,
                "registered",
                secret.map(|secret| secret.reveal().to_owned()),
            )),
            Err(refused) => {
                let mut wrong = wrong(refused)?;
                // The id would have been made of the name that is missing: one complaint is enough.
                wrong.retain(|wrong| wrong.field != "client_id" || !typed.get("name").is_empty());
                let shown = Shown {
                    wrong,
                    ..Shown::first(typed)
                };
                Ok(show(&admin, flow, None, StatusCode::UNPROCESSABLE_ENTITY, shown))
            }
        }
    };
    answer(&app, outcome.await)
}

/// `GET /admin/clients/{id}/edit`
pub async fn edit(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, REQUIRES).await?;
        let (client, flow) = found(&app, id.into_inner()).await?;
        let shown = Shown {
            version: noun::version(&client),
            ..Shown::first(values(&client, flow))
        };
        Ok(show(&admin, flow, Some(&client), StatusCode::OK, shown))
    };
    answer(&app, outcome.await)
}

/// `POST /admin/clients/{id}/edit`
pub async fn change(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, REQUIRES).await?;
        let form = admin.posted(&request, body).await?;
        let (client, flow) = found(&app, id.into_inner()).await?;
        let typed = typed_of(&form);
        let (wanted, seen) = (
            read(flow, &typed, Some(&client)),
            form.field("version")?.to_owned(),
        );
        let expected = seen.clone();
        let registry = admin.registry();
        let work = registry
            .run(move |registry, tx| noun::change::<ClientSettings>(registry, tx, &wanted, Some(&expected)));
        match work.await {
            Ok((changed, secret)) => {
                let word = if changed == client { "unchanged" } else { "saved" };
                Ok(to_client(
                    &admin,
                    &changed,
                    word,
                    secret.map(|secret| secret.reveal().to_owned()),
                ))
            }
            Err(refused) => {
                let wrong = wrong(refused)?;
                let since = form.field("shown")?.parse().ok();
                let mut shown = Shown {
                    wrong,
                    version: seen,
                    since,
                    ..Shown::first(typed)
                };
                if shown.wrong.iter().any(|wrong| wrong.field == MEANWHILE) {
                    // Who was told what somebody else has changed saves over it, knowing that.
                    let subject = Concerned::Client(client.id.clone());
                    let since = since.unwrap_or_else(|| app.clock.now_millis());
                    let meanwhile = edit_conflict::since(&app, &subject, since, &admin.zone).await?;
                    let (client, _) = found(&app, client.id.clone()).await?;
                    shown = Shown {
                        version: noun::version(&client),
                        since: None,
                        meanwhile: Some(meanwhile),
                        ..shown
                    };
                }
                Ok(show(
                    &admin,
                    flow,
                    Some(&client),
                    StatusCode::UNPROCESSABLE_ENTITY,
                    shown,
                ))
            }
        }
    };
    answer(&app, outcome.await)
}

/// The client of an id, as it is in the database, with its dataflow.
async fn found(app: &App, id: String) -> Result<(Client, &Dataflow), PageRefused> {
    let client = app
        .store
        .read(move |conn| registered::find::<ClientSettings>(conn, &id))
        .await?
        .ok_or_else(PageError::not_found)?;
    let flow = app.policy.dataflow(&client.settings.dataflow).ok_or_else(|| {
        PageError::new("The policy has no such dataflow any more, so this client cannot be changed here.")
            .details(format!("Dataflow: {}.", client.settings.dataflow))
    })?;
    Ok((client, flow))
}

fn wrong(refused: Refused) -> Result<Vec<FieldMistake>, PageError> {
    let fields: Vec<&str> = ONE
        .iter()
        .chain(&SEVERAL)
        .copied()
        .chain(["organization"])
        .collect();
    match refused {
        Refused::Mistakes(mistakes) => Ok(FieldMistake::of(&mistakes, &fields)
            .into_iter()
            .map(|wrong| {
                if wrong.field == "organization" {
                    FieldMistake {
                        field: "organization_name".to_owned(),
                        ..wrong
                    }
                } else {
                    wrong
                }
            })
            .collect()),
        Refused::Broken(broken) => Err(broken.into()),
    }
}

fn to_client(admin: &AdminRequest, client: &Client, word: &str, secret: Option<String>) -> HttpResponse {
    let path = format!("/admin/clients/{}", client.id);
    match secret {
        None => done(&path, word),
        Some(value) => admin.show_once(
            &path,
            word,
            &Once {
                subject: client.id.clone(),
                value,
                note: None,
            },
        ),
    }
}

fn typed_of(form: &crate::web::browser::PostedForm) -> Typed {
    Typed::of(form, &[ONE.as_slice(), &SEVERAL].concat())
}

/// The resource servers that a dataflow can go to.
fn fitting(app: &App, flow: &Dataflow) -> Vec<Arc<LiveServer>> {
    let mut servers = app.live.resource_servers();
    servers.retain(|live| live.server.settings.kind == Kind::Other || flow.serves(live.server.settings.kind));
    servers.sort_by_key(|live| live.server.name.to_lowercase());
    servers
}

fn choose(app: &App, admin: &AdminRequest) -> HttpResponse {
    let card = |flow: &Dataflow| {
        let (title, text) = of_dataflow(flow);
        let servers = fitting(app, flow);
        let names: Vec<&str> = servers.iter().map(|live| live.server.name.as_str()).collect();
        let kinds: Vec<&str> = flow.resource_servers.iter().map(|kind| kind.as_str()).collect();
        FlowCard {
            id: flow.id.clone(),
            title,
            text,
            goes_to: names.join(", "),
            missing: names.is_empty().then(|| kinds.join(" or ")),
        }
    };
    let page = ChooseDataflowPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        flows: app.policy.dataflows().iter().map(card).collect(),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// What a new client's form begins with: the safest that the dataflow allows.
fn defaults(app: &App, flow: &Dataflow) -> Typed {
    let typed = Typed::default()
        .with(
            "auth_method",
            if flow.is_for_systems() {
                AuthMethod::PrivateKeyJwt
            } else {
                AuthMethod::ClientSecretBasic
            }
            .as_str(),
        )
        .with("auth_method_strict", "no")
        .with("consent", "ask")
        .with("require_pkce", "yes")
        .with("refresh_rotation", "yes")
        .with("id_token_claims", "no")
        .with("backchannel_logout_session_required", "no")
        .with_all("scopes", flow.scopes.iter().map(ToString::to_string))
        .with_all("purposes", flow.purposes.clone());
    match fitting(app, flow).as_slice() {
        [only] if !flow.as_written => typed.with("resource_servers", &only.server.id),
        _ => typed,
    }
}

/// What a client's form begins with.
fn values(client: &Client, flow: &Dataflow) -> Typed {
    let settings = &client.settings;
    let yes = |is: bool| if is { "yes" } else { "no" };
    let scopes = settings.scopes.as_ref().unwrap_or(&flow.scopes);
    let organization = settings.organization.as_ref();
    let mut typed = Typed::default()
        .with("name", &client.name)
        .with("client_id", &client.id)
        .with(
            "organization_name",
            organization.map_or("", |agency| &agency.name),
        )
        .with(
            "organization_id",
            organization
                .and_then(|agency| agency.id.as_deref())
                .unwrap_or_default(),
        )
        .with(
            "organization_jurisdiction",
            organization
                .and_then(|agency| agency.jurisdiction.as_deref())
                .unwrap_or_default(),
        )
        .with("auth_method", settings.auth_method.as_str())
        .with("auth_method_strict", yes(settings.auth_method_strict))
        .with("jwks_uri", settings.jwks_uri.as_deref().unwrap_or_default())
        .with("jwks", settings.jwks.as_deref().unwrap_or_default())
        .with("redirect_uris", settings.redirect_uris.join("\n"))
        .with(
            "post_logout_redirect_uris",
            settings.post_logout_redirect_uris.join("\n"),
        )
        .with(
            "backchannel_logout_uri",
            settings.backchannel_logout_uri.as_deref().unwrap_or_default(),
        )
        .with(
            "backchannel_logout_session_required",
            yes(settings.backchannel_logout_session_required),
        )
        .with("cors_origins", settings.cors_origins.join("\n"))
        .with(
            "confidentiality",
            settings.confidentiality.map_or("", Confidentiality::code),
        )
        .with(
            "consent",
            if settings.consent == Consent::Skip {
                "skip"
            } else {
                "ask"
            },
        )
        .with("require_pkce", yes(settings.require_pkce))
        .with("refresh_rotation", yes(settings.refresh_rotation))
        .with("id_token_claims", yes(settings.id_token_claims))
        .with_all("resource_servers", settings.resource_servers.clone())
        .with_all(
            "purposes",
            settings.purposes.clone().unwrap_or_else(|| flow.purposes.clone()),
        )
        .with_all("grants", settings.grants.iter().map(|grant| grant.as_str()))
        .with_all(
            "signing_algs",
            settings.signing_algs.iter().map(|algorithm| algorithm.as_str()),
        );
    typed = if flow.as_written {
        typed.with("scopes", scopes.to_string().replace(' ', "\n"))
    } else {
        // A box stands for a scope of the dataflow; what narrows it within stays as long as the box is ticked.
        typed.with_all(
            "scopes",
            flow.scopes
                .iter()
                .filter(|scope| !scope.within(scopes).is_empty())
                .map(ToString::to_string),
        )
    };
    typed
}

/// The form as the registry reads it.
fn read(flow: &Dataflow, typed: &Typed, before: Option<&Client>) -> Said {
    let yes = |field: &str| typed.get(field) == "yes";
    let for_people = is_for_people(
        flow,
        &before
            .map(|client| client.settings.grants.clone())
            .unwrap_or_default(),
    );
    let auth_method = AUTH_METHODS
        .into_iter()
        .find(|method| method.as_str() == typed.get("auth_method"));
    let uris = |field: &str| Some(typed.lines(field)).filter(|lines| !lines.is_empty());
    let public = auth_method == Some(AuthMethod::None);
    let id = before.map_or_else(|| typed.get("client_id"), |client| client.id.as_str());
    let told = typed.some("backchannel_logout_uri");
    let needs_sid = told.is_some() && yes("backchannel_logout_session_required");
    Said::new(Map::new(), Merge::Whole)
        .with("client_id", id)
        .with("name", typed.get("name"))
        .with("dataflow", flow.id.clone())
        .with_some("auth_method", auth_method.map(AuthMethod::as_str))
        .with_some(
            "auth_method_strict",
            auth_method
                .is_some_and(AuthMethod::uses_secret)
                .then(|| yes("auth_method_strict")),
        )
        .with_some("jwks", typed.some("jwks"))
        .with_some("jwks_uri", typed.some("jwks_uri"))
        .with_some("organization", organization(typed))
        .with_some(
            "resource_servers",
            Some(typed.all("resource_servers")).filter(|ids| flow.as_written || !ids.is_empty()),
        )
        .with_some("redirect_uris", uris("redirect_uris"))
        .with_some("post_logout_redirect_uris", uris("post_logout_redirect_uris"))
        .with_some("backchannel_logout_uri", told)
        .with_some("backchannel_logout_session_required", needs_sid.then_some(true))
        .with_some("grants", flow.as_written.then(|| typed.all("grants")))
        .with_some("scopes", scopes(flow, typed, before))
        .with_some("purposes", purposes(flow, typed))
        // Public clients have no choice; saying it is refused.
        .with_some(
            "require_pkce",
            (for_people && !public).then(|| yes("require_pkce")),
        )
        .with_some(
            "refresh_rotation",
            (for_people && !public).then(|| yes("refresh_rotation")),
        )
        .with_some("id_token_claims", for_people.then(|| yes("id_token_claims")))
        .with_some("consent", for_people.then(|| typed.get("consent")))
        .with_some("cors_origins", uris("cors_origins"))
        .with_some(
            "signing_algs",
            Some(typed.all("signing_algs")).filter(|algorithms| !algorithms.is_empty()),
        )
        .with_some("confidentiality", typed.some("confidentiality"))
        .with_some("enabled", before.map(|client| client.enabled))
}

const AUTH_METHODS: [AuthMethod; 4] = [
    AuthMethod::PrivateKeyJwt,
    AuthMethod::ClientSecretBasic,
    AuthMethod::ClientSecretPost,
    AuthMethod::None,
];

fn organization(typed: &Typed) -> Option<Value> {
    let members =
        ["id", "jurisdiction"].map(|member| (member, typed.some(&format!("organization_{member}"))));
    let name = typed.get("organization_name");
    let mut agency = Map::from_iter([("name".to_owned(), Value::from(name))]);
    for (member, value) in members {
        agency.extend(value.map(|value| (member.to_owned(), Value::String(value))));
    }
    (!name.is_empty() || agency.len() > 1).then_some(Value::Object(agency))
}

/// All boxes ticked: the client follows the dataflow, also when the policy changes. None ticked stays none, and is refused.
fn scopes(flow: &Dataflow, typed: &Typed, before: Option<&Client>) -> Option<Vec<String>> {
    if flow.as_written {
        return Some(typed.lines("scopes"));
    }
    let ticked = typed.all("scopes");
    let narrowed = before.and_then(|client| client.settings.scopes.as_ref());
    let all = flow
        .scopes
        .iter()
        .all(|scope| ticked.contains(&scope.to_string()));
    if all && narrowed.is_none() {
        return None;
    }
    let kept = |scope: &crate::model::scope::Scope| match narrowed.map(|own| scope.within(own)) {
        Some(within) if !within.is_empty() => within,
        _ => vec![scope.clone()],
    };
    let of_flow = flow
        .scopes
        .iter()
        .filter(|scope| ticked.contains(&scope.to_string()));
    let wanted: Vec<String> = of_flow.flat_map(kept).map(|scope| scope.to_string()).collect();
    if all
        && wanted.len() == flow.scopes.len()
        && flow
            .scopes
            .iter()
            .all(|scope| wanted.contains(&scope.to_string()))
    {
        return None;
    }
    Some(wanted)
}

fn purposes(flow: &Dataflow, typed: &Typed) -> Option<Vec<String>> {
    let ticked = typed.all("purposes");
    let all = !flow.as_written && flow.purposes.iter().all(|code| ticked.contains(code));
    (!all).then_some(ticked)
}

fn show(
    admin: &AdminRequest,
    flow: &Dataflow,
    client: Option<&Client>,
    status: StatusCode,
    shown: Shown,
) -> HttpResponse {
    let app = &admin.app;
    let (flow_title, flow_text) = of_dataflow(flow);
    let for_people = is_for_people(
        flow,
        &client
            .map(|client| client.settings.grants.clone())
            .unwrap_or_default(),
    );
    let page = ClientFormPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        action: client.map_or_else(
            || format!("/admin/clients/new?dataflow={}", flow.id),
            |client| format!("/admin/clients/{}/edit", client.id),
        ),
        client,
        version: shown.version,
        flow,
        flow_title,
        flow_text,
        for_people,
        abilities: abilities(app, flow, client),
        servers: fitting(app, flow)
            .iter()
            .map(|live| Choice::new(&live.server.id, &live.server.name, &live.server.settings.audience))
            .collect(),
        methods: methods(flow, for_people),
        scopes: scope_choices(app, flow),
        purposes: purpose_choices(app, flow),
        grants: grant_choices(),
        algorithms: Algorithm::ACCEPTED
            .iter()
            .map(|algorithm| Choice::new(algorithm.as_str(), algorithm.as_str(), ""))
            .collect(),
        clearances: clearances(),
        consents: vec![
            Choice::new(
                "ask",
                "Ask each person once",
                "People see what the application may do, and allow it.",
            ),
            Choice::new(
                "skip",
                "Ask nobody",
                "You vouch for the application. Certifying is asked all the same.",
            ),
        ],
        yes_no: vec![Choice::new("yes", "Yes", ""), Choice::new("no", "No", "")],
        shown_at: shown.since.unwrap_or_else(|| app.clock.now_millis()),
        meanwhile: shown.meanwhile,
        typed: shown.typed,
        wrong: shown.wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

fn methods(flow: &Dataflow, for_people: bool) -> Vec<Choice> {
    let hint = |method: AuthMethod| match method {
        AuthMethod::PrivateKeyJwt => {
            "The safest. The vendor keeps a private key and gives you the public one below."
        }
        AuthMethod::ClientSecretBasic => "We make a secret and show it once. The usual way to send it.",
        AuthMethod::ClientSecretPost => "The same secret, for software that cannot send it in a header.",
        AuthMethod::None => {
            "For applications that run in a browser or on a phone and can keep nothing secret."
        }
    };
    let fits = |method: &AuthMethod| *method != AuthMethod::None || for_people || flow.as_written;
    AUTH_METHODS
        .into_iter()
        .filter(fits)
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
            Choice::new(
                &concept.code,
                format!("{} ({})", capital(&concept.display), concept.code),
                "",
            )
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
    vec![
        Choice::new(
            GrantType::ClientCredentials.as_str(),
            "By itself, with nobody signed in",
            "client_credentials",
        ),
        Choice::new(
            GrantType::AuthorizationCode.as_str(),
            "For people who sign in",
            "authorization_code",
        ),
        Choice::new(
            GrantType::RefreshToken.as_str(),
            "For people, for longer than one token lasts",
            "refresh_token",
        ),
    ]
}

fn clearances() -> Vec<Choice> {
    let every = Confidentiality::ALL
        .iter()
        .map(|level| Choice::new(level.code(), level.word(), ""));
    std::iter::once(Choice::new("", "No limit of its own", ""))
        .chain(every)
        .collect()
}
