//! `/admin/resource-servers/{id}`: what is registered, who uses it, its secrets, and what was done to it.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::kind_in_words;
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer};
use crate::admin::events::{self, Told};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::live::valid_secrets;
use crate::model::registered::StoredSecret;
use crate::model::resource_server::{Introspect, ResourceServer, ResourceServerSettings, TokenFormat};
use crate::policy::consent::ScopeSentence;
use crate::policy::console::{Area, Right};
use crate::store::registered;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// How many of its clients are shown.
const CLIENTS: usize = 20;

#[derive(Template)]
#[template(path = "../admin/resource_server.html")]
struct ServerPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    sees_clients: bool,
    sees_providers: bool,
    server: &'a ResourceServer,
    kind: &'static str,
    once: Option<Once>,
    is_opaque: bool,
    asks_about_any: bool,
    by_secret: bool,
    scopes: Vec<ScopeSentence>,
    clients: Vec<Client>,
    secrets: Vec<Secret>,
    registered: When,
    changed: When,
    /// Whether there are more clients than are shown.
    more_clients: bool,
    /// Its last events; none: not for this person to see.
    last: Option<Vec<Told>>,
    /// Where all of them are.
    all: String,
}

struct Client {
    id: String,
    name: String,
    dataflow: String,
    enabled: bool,
}

struct Secret {
    id: String,
    made: When,
    used: Option<When>,
    ends: Option<When>,
    valid: bool,
}

/// `GET /admin/resource-servers/{id}`
pub async fn get(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &id).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::ResourceServers)).await?;
    let owner = id.to_owned();
    // From the database, for what is live does not follow when a secret was used.
    let server = app
        .store
        .read(move |conn| registered::find::<ResourceServerSettings>(conn, &owner))
        .await?;
    let server = server.ok_or_else(|| PageRefused::Error(PageError::not_found()))?;
    let last = events::last_of_client(&admin, id).await?;
    let (clients, more_clients) = clients(app, id);
    let once = admin.once(request, id);
    let shows_once = once.is_some();
    let settings = &server.settings;
    let offered = settings
        .scopes
        .as_ref()
        .unwrap_or_else(|| app.policy.catalogue(settings.kind));
    let page = ServerPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        may_change: admin.changes(Area::ResourceServers),
        sees_clients: admin.may(Area::Clients, Right::Read),
        sees_providers: admin.may(Area::IdentityProviders, Right::Read),
        kind: kind_in_words(settings.kind),
        once,
        is_opaque: settings.token_format == TokenFormat::Opaque,
        asks_about_any: settings.introspect == Introspect::Any,
        by_secret: settings.jwks.is_none() && settings.jwks_uri.is_none(),
        scopes: app.policy.sentences(offered),
        clients,
        more_clients,
        secrets: secrets(&admin, &server.secrets),
        registered: admin.zone.when(server.created_at),
        changed: admin.zone.when(server.updated_at),
        last,
        all: format!("/admin/audit?client={id}"),
        server: &server,
    };
    let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
    Ok(if shows_once { admin.shown(answer) } else { answer })
}

/// The first of its clients, by name, and whether there are more.
fn clients(app: &App, id: &str) -> (Vec<Client>, bool) {
    let client = |live: &Arc<crate::live::LiveClient>| {
        let client = &live.client;
        let flow = app.policy.dataflow(&client.settings.dataflow);
        Client {
            id: client.id.clone(),
            name: client.name.clone(),
            dataflow: flow.map_or_else(|| client.settings.dataflow.clone(), |flow| flow.label.clone()),
            enabled: client.enabled,
        }
    };
    let client_index = app.live.client_index();
    let all = client_index.users_of(id);
    (
        all.iter().take(CLIENTS).map(client).collect(),
        all.len() > CLIENTS,
    )
}

/// The newest first; those that ended long ago are of use to nobody here.
fn secrets(admin: &AdminRequest, stored: &[StoredSecret]) -> Vec<Secret> {
    let valid: Vec<&str> = valid_secrets(stored, admin.app.now())
        .map(|secret| secret.id.as_str())
        .collect();
    let mut shown: Vec<&StoredSecret> = stored.iter().collect();
    shown.sort_by_key(|secret| std::cmp::Reverse((secret.created_at, secret.expires_at.is_none())));
    let secret = |secret: &StoredSecret| Secret {
        id: secret.id.clone(),
        made: admin.zone.when(secret.created_at),
        used: secret.last_used_at.map(|at| admin.zone.when(at)),
        ends: secret.expires_at.map(|at| admin.zone.when(at)),
        valid: valid.contains(&secret.id.as_str()),
    };
    shown.into_iter().take(10).map(secret).collect()
}
