//! `/admin/settings/export`: what is registered, as an apply file.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::admin::access::{Frame, Requires, admit, answer, away};
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::app::App;
use crate::error::{Broken, PageError};
use crate::policy::console::Area;
use crate::registry::{Refused, export};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const REQUIRES: Requires = Requires::read(Area::Configuration).fresh();
const FIELDS: [&str; 1] = ["people"];

#[derive(Template)]
#[template(path = "../admin/settings_export.html")]
struct ExportPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    people: Vec<Choice>,
}

/// `GET /admin/settings/export`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let page = ExportPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Configuration),
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

async fn download(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let typed = Typed::of(&admin.posted(request, body).await?, &FIELDS);
    let (registry, with_people) = (admin.registry(), typed.get("people") != "without");
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
