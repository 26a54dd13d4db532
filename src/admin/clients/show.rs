//! `/admin/clients/{id}`: one client whole, and a new secret for it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::words::{Choice, abilities, of_dataflow, of_method};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer};
use crate::admin::events::{self, Told};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::live::sign_in_refusals::SignInRefusal;
use crate::model::client::{Client, ClientSettings};
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::noun;
use crate::registry::secrets::DEFAULT_OVERLAP_SECONDS;
use crate::store::registered;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const DAY_SECONDS: i64 = 86_400;

#[derive(Template)]
#[template(path = "../admin/client.html")]
struct ClientPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    client: &'a Client,
    flow_title: String,
    method: &'static str,
    abilities: Vec<String>,
    servers: Vec<(String, String)>,
    secrets: Vec<SecretRow>,
    registered: When,
    changed: When,
    scopes: String,
    purposes: String,
    once: Option<Once>,
    last: Option<Vec<Told>>,
    refused: Option<(When, SignInRefusal)>,
    /// Where all of its events are.
    all: String,
}

struct SecretRow {
    id: String,
    made: When,
    ends: Option<When>,
    used: Option<When>,
}

#[derive(Template)]
#[template(path = "../admin/client_secret.html")]
struct SecretPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    client: &'a Client,
    overlaps: Vec<Choice>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

/// The client of an id, as it is in the database.
pub(super) async fn found(app: &App, id: String) -> Result<Client, PageRefused> {
    let found = app
        .store
        .read(move |conn| registered::find::<ClientSettings>(conn, &id))
        .await?;
    found.ok_or_else(|| PageError::not_found().into())
}

/// `GET /admin/clients/{id}`
pub async fn get(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, Requires::read(Area::Clients)).await?;
        let client = found(&app, id.into_inner()).await?;
        let once = admin.once(&request, &client.id);
        let last = events::last_of_client(&admin, &client.id).await?;
        let (shows, page) = (once.is_some(), show(&admin, &client, once, last));
        Ok(if shows { admin.shown(page) } else { page })
    };
    answer(&app, outcome.await)
}

fn show(admin: &AdminRequest, client: &Client, once: Option<Once>, last: Option<Vec<Told>>) -> HttpResponse {
    let (app, settings) = (&admin.app, &client.settings);
    let flow = app.policy.dataflow(&client.settings.dataflow);
    let now = app.now();
    let secrets = crate::live::valid_secrets(&client.secrets, now).map(|secret| SecretRow {
        id: secret.id.clone(),
        made: admin.zone.when(secret.created_at),
        ends: secret.expires_at.map(|at| admin.zone.when(at)),
        used: secret.last_used_at.map(|at| admin.zone.when(at)),
    });
    let named = |id: &String| {
        let server = app.live.resource_server(id);
        (
            id.clone(),
            server.map_or_else(|| id.clone(), |live| live.server.name.clone()),
        )
    };
    let scopes = flow.map_or_else(String::new, |flow| {
        flow.ceiling(settings.scopes.as_ref()).to_string()
    });
    let purposes = flow.map_or_else(Vec::new, |flow| flow.purposes(settings.purposes.as_deref()));
    let page = ClientPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        may_change: admin.changes(Area::Clients),
        client,
        flow_title: flow.map_or_else(|| client.settings.dataflow.clone(), |flow| of_dataflow(flow).0),
        method: of_method(settings.auth_method),
        abilities: flow.map_or_else(Vec::new, |flow| abilities(app, flow, Some(client))),
        servers: settings.resource_servers.iter().map(named).collect(),
        secrets: secrets.collect(),
        registered: admin.zone.when(client.created_at),
        changed: admin.zone.when(client.updated_at),
        scopes,
        purposes: purposes.join(" "),
        once,
        last,
        refused: app
            .sign_in_refusals
            .of(&client.id)
            .map(|refusal| (admin.zone.when(refusal.at), refusal)),
        all: format!("/admin/audit?client={}", client.id),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

fn overlaps() -> Vec<Choice> {
    vec![
        Choice::new(
            (7 * DAY_SECONDS).to_string(),
            "The old secret works for 7 more days",
            "The vendor has time to change over. Nothing stops.",
        ),
        Choice::new(
            (30 * DAY_SECONDS).to_string(),
            "The old secret works for 30 more days",
            "",
        ),
        Choice::new(DAY_SECONDS.to_string(), "The old secret works for 1 more day", ""),
        Choice::new(
            "0",
            "The old secret ends now",
            "Choose this when somebody else may know it. The system stops until it has the new one.",
        ),
    ]
}

/// `GET /admin/clients/{id}/secret`
pub async fn ask_secret(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, Requires::change(Area::Clients).fresh()).await?;
        let client = found(&app, id.into_inner()).await?;
        let typed = Typed::default().with("overlap_seconds", DEFAULT_OVERLAP_SECONDS.to_string());
        Ok(show_secret(&admin, &client, StatusCode::OK, typed, Vec::new()))
    };
    answer(&app, outcome.await)
}

fn show_secret(
    admin: &AdminRequest,
    client: &Client,
    status: StatusCode,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let page = SecretPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        client,
        overlaps: overlaps(),
        typed,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/clients/{id}/secret`
pub async fn make_secret(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    const FIELDS: [&str; 1] = ["overlap_seconds"];
    let app = app.into_inner();
    let outcome = async {
        let admin = admit(&app, &request, Requires::change(Area::Clients).fresh()).await?;
        let form = admin.posted(&request, body).await?;
        let client = found(&app, id.into_inner()).await?;
        let typed = Typed::of(&form, &FIELDS);
        let Ok(overlap) = typed.get("overlap_seconds").parse::<i64>() else {
            let wrong = vec![FieldMistake::field(
                "overlap_seconds",
                "choose how long the old secret works",
            )];
            return Ok(show_secret(
                &admin,
                &client,
                StatusCode::UNPROCESSABLE_ENTITY,
                typed,
                wrong,
            ));
        };
        let (id, registry) = (client.id.clone(), admin.registry());
        match registry
            .run(move |registry, tx| noun::rotate_secret::<ClientSettings>(registry, tx, &id, overlap))
            .await
        {
            Ok(rotated) => {
                let note = rotated.old_ends_at.filter(|ends| *ends > app.now()).map(|ends| {
                    format!(
                        "The old secret works until {}. Both work until then.",
                        admin.zone.when(ends).words
                    )
                });
                let value = rotated.secret.reveal().to_owned();
                let once = Once {
                    subject: client.id.clone(),
                    value,
                    note,
                };
                Ok(admin.show_once(&format!("/admin/clients/{}", client.id), "secret-made", &once))
            }
            Err(Refused::Mistakes(mistakes)) => {
                let wrong = FieldMistake::of(&mistakes, &FIELDS);
                Ok(show_secret(
                    &admin,
                    &client,
                    StatusCode::UNPROCESSABLE_ENTITY,
                    typed,
                    wrong,
                ))
            }
            Err(Refused::Broken(broken)) => Err(broken.into()),
        }
    };
    answer(&app, outcome.await)
}
