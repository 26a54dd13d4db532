//! `/admin`: a picture of the deployment.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::visit::{Door, Frame, answer, enter};
use crate::app::App;
use crate::guard::Stop;
use crate::pages::{self, FormAction, Shell};
use crate::policy::console::Area;

#[derive(Template)]
#[template(path = "../admin/home.html")]
struct HomePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    clients: usize,
    servers: usize,
}

/// `GET /admin`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::Home)).await?;
    let page = HomePage {
        shell: visit.shell(),
        frame: visit.frame(Area::Home),
        clients: app.directory.clients().len(),
        servers: app.directory.resource_servers().len(),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
