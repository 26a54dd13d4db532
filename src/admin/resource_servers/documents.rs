//! `/admin/resource-servers/{id}/documents`: what the operators of a resource server need, and a preview of its tokens.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use askama::Template;

use super::found;
use super::preview::{self, Asked, Preview};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::list_query::{self, Filter};
use crate::admin::noun::managed::path_of;
use crate::audit::event::Kind;
use crate::error::PageError;
use crate::issuance::smart_configuration;
use crate::model::resource_server::ResourceServerSettings;
use crate::model::resource_server::{ResourceServer, TokenFormat};
use crate::policy::console::{Area, Right};
use crate::web::pages::{self, FormAction, Shell};

/// How many clients are suggested.
const SUGGESTED: usize = 100;

#[derive(Template)]
#[template(path = "../admin/resource_server_documents.html")]
struct DocumentsPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    server: &'a ResourceServer,
    path: String,
    issuer: &'a str,
    introspection: String,
    jwks: String,
    smart_url: String,
    smart: String,
    capability: String,
    is_opaque: bool,
    by_secret: bool,
    sees_people: bool,
    asked: Asked,
    clients: Vec<(String, String)>,
    roles: Vec<Filter>,
    preview: Option<Result<Preview, String>>,
}

/// `GET /admin/resource-servers/{id}/documents`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, id) = (&admin.app, admin.part("id"));
    let live = found(app, id)?;
    let server = &live.server;
    let sees_people = admin.may(Area::People, Right::Read);
    let asked = Asked::of(&admin.query(), sees_people);
    let preview = if asked.client.is_empty() {
        None
    } else {
        admin.note_look(Kind::PeopleRead, admin.looked_at()).await?;
        Some(preview::of(app, server, &asked).await?.map_err(|why| why.text))
    };
    let mut roles = vec![("", "Nobody: the client acts for itself")];
    roles.extend(
        app.policy
            .roles()
            .iter()
            .filter(|role| !role.console)
            .map(|role| (&*role.code, &*role.label)),
    );
    let page = DocumentsPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        path: path_of::<ResourceServerSettings>(id),
        issuer: app.issuer(),
        introspection: app.url("/oauth2/introspect"),
        jwks: app.url("/oauth2/jwks"),
        smart_url: app.url(&format!("/fhir/{id}/smart-configuration")),
        smart: format!("{:#}", smart_configuration::smart(app, server)),
        capability: format!("{:#}", smart_configuration::capability_statement(app)),
        is_opaque: server.settings.token_format == TokenFormat::Opaque,
        by_secret: server.settings.jwks.is_none() && server.settings.jwks_uri.is_none(),
        sees_people,
        clients: app
            .live
            .client_index()
            .users_of(id)
            .iter()
            .take(SUGGESTED)
            .map(|live| (live.client.id.clone(), live.client.name.clone()))
            .collect(),
        roles: list_query::filters(&asked.role, &roles),
        asked,
        preview,
        server,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `GET /admin/resource-servers/{id}/documents/{document}`
pub async fn download(admin: AdminRequest) -> Answered {
    let (app, name) = (&admin.app, admin.part("document"));
    let live = found(app, admin.part("id"))?;
    let (document, media_type) = match name {
        "smart-configuration.json" => (smart_configuration::smart(app, &live.server), "application/json"),
        "capability-statement.json" => (
            smart_configuration::capability_statement(app),
            "application/fhir+json",
        ),
        _ => return Err(PageError::not_found().into()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(format!("{document:#}")))
}
