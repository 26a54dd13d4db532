//! `/admin/clients`: all clients, searched, filtered and in an order.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::admin::listing::{self, Filter, Looked, PAGE};
use crate::admin::visit::{Door, Frame, answer, enter};
use crate::app::App;
use crate::live::roster::Order;
use crate::model::client::Client;
use crate::policy::console::Area;
use crate::web::guard::Stop;
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
    looked: Looked,
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

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::Clients)).await?;
    let looked = Looked::of(request);
    let roster = app.directory.roster();
    let order = match looked.get("sort") {
        "id" => Order::Id,
        "newest" => Order::Newest,
        _ => Order::Name,
    };
    let found = roster.search(order, looked.after(), looked.get("q"));
    let found = found
        .map(|live| &live.client)
        .filter(|client| is_looked_for(&looked, client));
    let (rows, more) = listing::cut(found.take(PAGE + 1).collect());
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
        shell: visit.shell(),
        frame: visit.frame(Area::Clients),
        may_change: visit.changes(Area::Clients),
        some: !roster.is_empty(),
        dataflows: listing::filters(looked.get("dataflow"), &dataflows),
        servers: servers(app, looked.get("server")),
        states: listing::filters(
            looked.get("state"),
            &[
                ("", "Enabled or not"),
                ("enabled", "Enabled"),
                ("disabled", "Disabled"),
            ],
        ),
        sorts: listing::filters(
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

fn is_looked_for(looked: &Looked, client: &Client) -> bool {
    let (dataflow, server) = (looked.get("dataflow"), looked.get("server"));
    let state = match looked.get("state") {
        "enabled" => client.enabled,
        "disabled" => !client.enabled,
        _ => true,
    };
    state
        && (dataflow.is_empty() || client.dataflow == dataflow)
        && (server.is_empty() || client.settings.resource_servers.iter().any(|id| id == server))
}

fn servers(app: &App, chosen: &str) -> Vec<Filter> {
    let mut servers = app.directory.resource_servers();
    servers.sort_by_key(|live| live.server.name.to_lowercase());
    let mut choices = vec![("", "All resource servers")];
    choices.extend(
        servers
            .iter()
            .map(|live| (live.server.id.as_str(), live.server.name.as_str())),
    );
    listing::filters(chosen, &choices)
}

fn row(app: &App, client: &Client) -> Row {
    let flow = app.policy.dataflow(&client.dataflow);
    Row {
        id: client.id.clone(),
        name: client.name.clone(),
        agency: client
            .settings
            .organization
            .as_ref()
            .map_or_else(String::new, |agency| agency.name.clone()),
        dataflow: flow.map_or_else(|| client.dataflow.clone(), |flow| flow.label.clone()),
        servers: client.settings.resource_servers.join(", "),
        enabled: client.enabled,
    }
}
