//! `/admin/resource-servers`: all resource servers, searched, filtered and in an order.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{KINDS, kind_in_words};
use crate::admin::access::{Frame, Requires, admit, answer};
use crate::admin::list_query::{self, Filter, ListQuery};
use crate::app::App;
use crate::live::LiveServer;
use crate::live::client_index::ClientIndex;
use crate::model::resource_server::ResourceServer;
use crate::policy::console::Area;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const FILTERS: [&str; 4] = ["q", "kind", "state", "sort"];

#[derive(Template)]
#[template(path = "../admin/resource_servers.html")]
struct ServersPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    some: bool,
    looked: ListQuery,
    kinds: Vec<Filter>,
    states: Vec<Filter>,
    sorts: Vec<Filter>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    name: String,
    kind: &'static str,
    audience: String,
    clients: usize,
    enabled: bool,
}

/// `GET /admin/resource-servers`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::ResourceServers)).await?;
    let looked = ListQuery::of(request);
    let all = app.live.resource_servers();
    let some = !all.is_empty();
    let found = all
        .into_iter()
        .filter(|live| is_looked_for(&looked, &live.server));
    let sort = looked.get("sort").to_owned();
    let key = |live: &Arc<LiveServer>| sort_key(&sort, &live.server);
    let (rows, more) = list_query::cut(list_query::page_of(found, key, looked.after()));
    let next = rows.last().filter(|_| more).map(|live| {
        let (key, id) = sort_key(&sort, &live.server);
        looked.page_after(&FILTERS, &key, &id)
    });
    let client_index = app.live.client_index();
    let mut kinds = vec![("", "All kinds")];
    kinds.extend(KINDS.iter().map(|(kind, words, _)| (kind.as_str(), *words)));
    let page = ServersPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ResourceServers),
        may_change: admin.changes(Area::ResourceServers),
        some,
        kinds: list_query::filters(looked.get("kind"), &kinds),
        states: list_query::filters(
            looked.get("state"),
            &[
                ("", "Enabled or not"),
                ("enabled", "Enabled"),
                ("disabled", "Disabled"),
            ],
        ),
        sorts: list_query::filters(
            looked.get("sort"),
            &[("", "Name"), ("id", "ID"), ("newest", "Newest first")],
        ),
        rows: rows.iter().map(|live| row(&live.server, &client_index)).collect(),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn is_looked_for(looked: &ListQuery, server: &ResourceServer) -> bool {
    let (kind, wanted) = (looked.get("kind"), looked.get("q").to_lowercase());
    let state = match looked.get("state") {
        "enabled" => server.enabled,
        "disabled" => !server.enabled,
        _ => true,
    };
    state
        && (kind.is_empty() || server.settings.kind.as_str() == kind)
        && (wanted.is_empty()
            || [&server.id, &server.name, &server.settings.audience]
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted)))
}

/// What a server is sorted by, and its id.
fn sort_key(sort: &str, server: &ResourceServer) -> (String, String) {
    let key = match sort {
        "id" => String::new(),
        // The newest first: what is left of the time that numbers have.
        "newest" => format!("{:020}", i64::MAX - server.created_at),
        _ => server.name.to_lowercase(),
    };
    (key, server.id.clone())
}

fn row(server: &ResourceServer, client_index: &ClientIndex) -> Row {
    Row {
        id: server.id.clone(),
        name: server.name.clone(),
        kind: kind_in_words(server.settings.kind),
        audience: server.settings.audience.clone(),
        clients: client_index.users_of(&server.id).len(),
        enabled: server.enabled,
    }
}
