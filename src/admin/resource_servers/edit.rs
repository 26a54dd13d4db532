//! `/admin/resource-servers/{id}/edit`: the whole form, as one change.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::form::{self, FIELDS, Shown};
use super::{found, path, prepared};
use crate::admin::access::{Requires, admit, answer, done};
use crate::admin::edit_conflict;
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::registry::noun;
use crate::registry::{Refused, VERSION};
use crate::store::audit::Concerned;
use crate::web::guard::PageRefused;

/// Fresh, for the page also decides how the server proves who it is.
const REQUIRES: Requires = Requires::change(Area::ResourceServers).fresh();

/// `GET /admin/resource-servers/{id}/edit`
pub async fn get(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &id).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let live = found(app, id)?;
    let typed = form::registered(&live.server, app.clock.now_millis());
    Ok(form::page(
        &admin,
        Some(id),
        live.server.settings.kind,
        Shown {
            typed,
            ..Shown::default()
        },
    ))
}

/// `POST /admin/resource-servers/{id}/edit`
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, change(&app, &request, &id, body).await)
}

async fn change(
    app: &Arc<App>,
    request: &HttpRequest,
    id: &str,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let posted = admin.posted(request, body).await?;
    let live = found(app, id)?;
    let kind = live.server.settings.kind;
    let typed = Typed::of(&posted, &FIELDS);
    if let Some(findings) = form::tried(&admin, posted.field("do")?, &typed).await {
        return Ok(form::page(
            &admin,
            Some(id),
            kind,
            Shown {
                typed,
                findings: Some(findings),
                ..Shown::default()
            },
        ));
    }
    let again = |typed, wrong| {
        Ok(form::page(
            &admin,
            Some(id),
            kind,
            Shown {
                typed,
                wrong,
                ..Shown::default()
            },
        ))
    };
    let wanted = match form::read(&typed, id.to_owned()) {
        Ok(wanted) => wanted,
        Err(wrong) => return again(typed, wrong),
    };
    let registry = admin.registry();
    let wanted = prepared(&registry, wanted).await?;
    let (seen, before) = (typed.get("version").to_owned(), noun::version(&live.server));
    let done_now = registry
        .run(move |registry, tx| noun::change::<ResourceServerSettings>(registry, tx, &wanted, Some(&seen)));
    match done_now.await {
        Ok((server, Some(secret))) => {
            let once = Once {
                subject: server.id.clone(),
                value: secret.reveal().to_owned(),
                note: None,
            };
            Ok(admin.show_once(&path(id), "saved", &once))
        }
        Ok((server, None)) if noun::version(&server) == before => Ok(done(&path(id), "unchanged")),
        Ok(_) => Ok(done(&path(id), "saved")),
        Err(Refused::Mistakes(mistakes)) if mistakes.iter().any(|mistake| mistake.key == VERSION) => {
            // Whoever saves now has seen what the other one changed.
            let now = app.clock.now_millis();
            let since = typed.get("shown").parse().unwrap_or(now);
            let meanwhile =
                edit_conflict::since(app, &Concerned::Client(id.to_owned()), since, &admin.zone).await?;
            let live = found(app, id)?;
            let typed = typed.without(VERSION).with(VERSION, noun::version(&live.server));
            let typed = typed.without("shown").with("shown", now.to_string());
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            let shown = Shown {
                typed,
                wrong,
                meanwhile: Some(meanwhile),
                ..Shown::default()
            };
            Ok(form::page(&admin, Some(id), kind, shown))
        }
        Err(Refused::Mistakes(mistakes)) => again(typed, FieldMistake::of(&mistakes, &FIELDS)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
