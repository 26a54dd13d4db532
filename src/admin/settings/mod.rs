//! `/admin/settings`: the whole registration as a file, out and in.

pub mod apply;
pub mod export;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::access::{Frame, Requires, admit, answer};
use crate::app::App;
use crate::policy::console::{Area, Right};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/settings.html")]
struct SettingsPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    sees_providers: bool,
}

/// `GET /admin/settings`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::Configuration)).await?;
    let page = SettingsPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Configuration),
        may_change: admin.changes(Area::Configuration),
        sees_providers: admin.may(Area::IdentityProviders, Right::Read),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
