//! `/admin/settings/export`: what is registered, as an apply file.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::admin::form::{self, Choice, Typed, Wrong};
use crate::admin::visit::{Door, Frame, answer, away, enter};
use crate::app::App;
use crate::error::{Broken, PageError};
use crate::policy::console::Area;
use crate::registry::{Refused, export};
use crate::web::guard::Stop;
use crate::web::pages::{self, FormAction, Shell};

const DOOR: Door = Door::read(Area::Configuration).fresh();
const FIELDS: [&str; 1] = ["people"];

#[derive(Template)]
#[template(path = "../admin/settings-export.html")]
struct ExportPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<Wrong>,
    people: Vec<Choice>,
}

/// `GET /admin/settings/export`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, DOOR).await?;
    let page = ExportPage {
        shell: visit.shell(),
        frame: visit.frame(Area::Configuration),
        typed: Typed::default().with("people", "with"),
        wrong: Vec::new(),
        people: form::choices(&[
            (
                "with",
                "With people",
                "Their names, agencies and roles. Never their passwords.",
            ),
            (
                "without",
                "Without people",
                "Only systems: resource servers, clients and identity providers.",
            ),
        ]),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/settings/export`: a POST, for it leaves an entry in the record.
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, download(&app, &request, body).await)
}

async fn download(app: &Arc<App>, request: &HttpRequest, body: web::Payload) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, DOOR).await?;
    let typed = Typed::of(&visit.posted(request, body).await?, &FIELDS);
    let (registry, with_people) = (visit.registry(), typed.get("people") != "without");
    let text = match away(move || export::export(&registry, with_people)).await? {
        Ok(text) => text,
        Err(Refused::Broken(broken)) => return Err(broken.into()),
        Err(refused) => return Err(PageError::from(Broken::defect(refused)).into()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/toml; charset=utf-8"))
        .insert_header((
            CONTENT_DISPOSITION,
            "attachment; filename=\"mdi-auth-export.toml\"",
        ))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text))
}
