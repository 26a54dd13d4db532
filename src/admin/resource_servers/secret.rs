//! `/admin/resource-servers/{id}/secret`: a new secret beside the old one, which ends later or at once.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{found, path};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer};
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::noun;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const REQUIRES: Requires = Requires::change(Area::ResourceServers).fresh();
const FIELDS: [&str; 1] = ["overlap_seconds"];

/// How long the old secret goes on, in seconds.
const OVERLAPS: [(&str, &str, &str); 4] = [
    (
        "604800",
        "7 days",
        "Time enough to put the new secret into the server without an outage.",
    ),
    ("86400", "1 day", ""),
    ("2592000", "30 days", ""),
    (
        "0",
        "It ends at once",
        "If somebody else knows it. The server cannot ask about tokens until it has the new one.",
    ),
];

#[derive(Template)]
#[template(path = "../admin/resource_server_secret.html")]
struct SecretPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    id: &'a str,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    overlaps: Vec<Choice>,
}

fn show(admin: &AdminRequest, id: &str, typed: Typed, wrong: Vec<FieldMistake>) -> HttpResponse {
    let status = if wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = SecretPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        id,
        typed,
        wrong,
        overlaps: form::choices(&OVERLAPS),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `GET /admin/resource-servers/{id}/secret`
pub async fn get(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &id).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    found(app, id)?;
    Ok(show(
        &admin,
        id,
        Typed::default().with("overlap_seconds", "604800"),
        Vec::new(),
    ))
}

/// `POST /admin/resource-servers/{id}/secret`
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, rotate(&app, &request, &id, body).await)
}

async fn rotate(
    app: &Arc<App>,
    request: &HttpRequest,
    id: &str,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let posted = admin.posted(request, body).await?;
    found(app, id)?;
    let typed = Typed::of(&posted, &FIELDS);
    let Some(overlap) = OVERLAPS
        .iter()
        .find(|(value, _, _)| *value == typed.get("overlap_seconds"))
    else {
        let wrong = vec![FieldMistake::field(
            "overlap_seconds",
            "choose how long the old secret goes on",
        )];
        return Ok(show(&admin, id, typed, wrong));
    };
    let seconds = overlap.0.parse().unwrap_or(0);
    let owner = id.to_owned();
    let rotated = admin
        .registry()
        .run(move |registry, tx| noun::rotate_secret::<ResourceServerSettings>(registry, tx, &owner, seconds))
        .await;
    match rotated {
        Ok(rotated) => {
            let ends = rotated.old_ends_at.filter(|ends| *ends > app.now());
            let note = ends.map(|ends| format!("The old secret ends on {}.", admin.zone.when(ends).words));
            let once = Once {
                subject: id.to_owned(),
                value: rotated.secret.reveal().to_owned(),
                note,
            };
            Ok(admin.show_once(&path(id), "secret-made", &once))
        }
        Err(Refused::Mistakes(mistakes)) => Ok(show(&admin, id, typed, FieldMistake::of(&mistakes, &FIELDS))),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
