//! `/admin/clients`: all clients, searched, filtered and in an order.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::admin::access::{Frame, Requires, admit, answer};
use crate::admin::list_query::{self, Filter, ListQuery, PAGE};
use crate::app::App;
use crate::live::client_index::Order;
use crate::model::client::Client;
use crate::policy::console::Area;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const FILTERS: [&str; 5] = ["q", "dataflow", "server", "state", "sort"];

#[derive(Template)]
#[template(path = "../admin/clients.html")]
struct ClientsPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    /// Whether there is any client at all.
    some: bool,
    looked: ListQuery,
    dataflows: Vec<Filter>,
    servers: Vec<Filter>,
    states: Vec<Filter>,
    sorts: Vec<Filter>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    name: String,
    agency: String,
    dataflow: String,
    servers: String,
    enabled: bool,
}

/// `GET /admin/clients`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::Clients)).await?;
    let looked = ListQuery::of(request);
    let client_index = app.live.client_index();
    let order = match looked.get("sort") {
        "id" => Order::Id,
        "newest" => Order::Newest,
        _ => Order::Name,
    };
    let found = client_index.search(order, looked.after(), looked.get("q"));
    let found = found
        .map(|live| &live.client)
        .filter(|client| is_looked_for(&looked, client));
    let (rows, more) = list_query::cut(found.take(PAGE + 1).collect());
    let next = rows.last().filter(|_| more).map(|client| {
        let (key, id) = order.place(client);
        looked.page_after(&FILTERS, &key, &id)
    });
    let mut dataflows = vec![("", "All dataflows")];
    dataflows.extend(
        app.policy
            .dataflows()
            .iter()
            .map(|flow| (flow.id.as_str(), flow.label.as_str())),
    );
    let page = ClientsPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        may_change: admin.changes(Area::Clients),
        some: !client_index.is_empty(),
        dataflows: list_query::filters(looked.get("dataflow"), &dataflows),
        servers: servers(app, looked.get("server")),
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
            &[("", "Name"), ("id", "Client ID"), ("newest", "Newest first")],
        ),
        rows: rows.into_iter().map(|client| row(app, client)).collect(),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn is_looked_for(looked: &ListQuery, client: &Client) -> bool {
    let (dataflow, server) = (looked.get("dataflow"), looked.get("server"));
    let state = match looked.get("state") {
        "enabled" => client.enabled,
        "disabled" => !client.enabled,
        _ => true,
    };
    state
        && (dataflow.is_empty() || client.settings.dataflow == dataflow)
        && (server.is_empty() || client.settings.resource_servers.iter().any(|id| id == server))
}

fn servers(app: &App, chosen: &str) -> Vec<Filter> {
    let mut servers = app.live.resource_servers();
    servers.sort_by_key(|live| live.server.name.to_lowercase());
    let mut choices = vec![("", "All resource servers")];
    choices.extend(
        servers
            .iter()
            .map(|live| (live.server.id.as_str(), live.server.name.as_str())),
    );
    list_query::filters(chosen, &choices)
}

fn row(app: &App, client: &Client) -> Row {
    let flow = app.policy.dataflow(&client.settings.dataflow);
    Row {
        id: client.id.clone(),
        name: client.name.clone(),
        agency: client
            .settings
            .organization
            .as_ref()
            .map_or_else(String::new, |agency| agency.name.clone()),
        dataflow: flow.map_or_else(|| client.settings.dataflow.clone(), |flow| flow.label.clone()),
        servers: client.settings.resource_servers.join(", "),
        enabled: client.enabled,
    }
}
