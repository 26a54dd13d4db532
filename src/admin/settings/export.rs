//! `/admin/settings/export`: what is registered, as an apply file.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, away};
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::error::{Broken, PageError};
use crate::policy::console::Area;
use crate::registry::{Refused, export};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

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
pub async fn get(admin: AdminRequest) -> Answered {
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
pub async fn post(admin: AdminRequest, form: PostedForm) -> Answered {
    let typed = Typed::of(&form, &FIELDS);
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
