//! `/admin/resource-servers/new`: first what it is, then the rest.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::form::{self, FIELDS, Shown};
use super::{KINDS, path, prepared};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer, done};
use crate::admin::form::{Choice, FieldMistake, Typed};
use crate::admin::list_query::ListQuery;
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::model::kind::Kind;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::registry::noun;
use crate::registry::{self, Refused};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const REQUIRES: Requires = Requires::change(Area::ResourceServers).fresh();
/// How many ids are tried that are made from a name.
const TRIES: u32 = 50;

#[derive(Template)]
#[template(path = "../admin/resource_server_kind.html")]
struct KindPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    kinds: Vec<Choice>,
}

fn kind(text: &str) -> Option<Kind> {
    KINDS
        .iter()
        .find(|(kind, _, _)| kind.as_str() == text)
        .map(|(kind, _, _)| *kind)
}

/// `GET /admin/resource-servers/new`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let looked = ListQuery::of(request);
    let Some(kind) = kind(looked.get("kind")) else {
        return Ok(choose(&admin));
    };
    Ok(form::page(
        &admin,
        None,
        kind,
        Shown {
            typed: form::defaults(kind),
            ..Shown::default()
        },
    ))
}

fn choose(admin: &AdminRequest) -> HttpResponse {
    let page = KindPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        typed: Typed::default().with("kind", Kind::Edrs.as_str()),
        wrong: Vec::new(),
        kinds: form::kinds(),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// `POST /admin/resource-servers/new`
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, register(&app, &request, body).await)
}

async fn register(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let posted = admin.posted(request, body).await?;
    let typed = Typed::of(&posted, &FIELDS);
    let kind = kind(typed.get("kind")).unwrap_or(Kind::Other);
    if let Some(findings) = form::tried(&admin, posted.field("do")?, &typed).await {
        return Ok(form::page(
            &admin,
            None,
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
            None,
            kind,
            Shown {
                typed,
                wrong,
                ..Shown::default()
            },
        ))
    };
    let id = typed
        .some("id")
        .unwrap_or_else(|| free_id(app, typed.get("name")));
    let wanted = match form::read(&typed, id) {
        Ok(wanted) => wanted,
        Err(wrong) => return again(typed, wrong),
    };
    let registry = admin.registry();
    let wanted = prepared(&registry, wanted).await?;
    let made = registry
        .run(move |registry, tx| noun::register::<ResourceServerSettings>(registry, tx, &wanted))
        .await;
    match made {
        Ok((server, Some(secret))) => {
            let once = Once {
                subject: server.id.clone(),
                value: secret.reveal().to_owned(),
                note: None,
            };
            Ok(admin.show_once(&path(&server.id), "server-registered", &once))
        }
        Ok((server, None)) => Ok(done(&path(&server.id), "server-registered")),
        Err(Refused::Mistakes(mistakes)) => again(typed, FieldMistake::of(&mistakes, &FIELDS)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// An id made from the name that nothing has yet; that it is free still counts only when it is written.
fn free_id(app: &App, name: &str) -> String {
    let id = registry::id_from(name);
    let is_free = |id: &String| app.live.resource_server(id).is_none() && app.live.client(id).is_none();
    let numbered = (2..TRIES).map(|number| format!("{id}-{number}"));
    std::iter::once(id.clone())
        .chain(numbered)
        .find(is_free)
        .unwrap_or(id)
}
