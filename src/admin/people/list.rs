//! `/admin/users`: everybody, searched, filtered and in an order.

use actix_web::http::StatusCode;
use askama::Template;

use super::labels;
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::list_query::{self, Filter, ListQuery, PAGE};
use crate::clock::local_time::When;
use crate::model::person::Person;
use crate::policy::console::Area;
use crate::store::people::listing::{self as stored, Order, Search, State};
use crate::web::pages::{self, FormAction, Shell};

const FILTERS: [&str; 4] = ["q", "role", "state", "sort"];

#[derive(Template)]
#[template(path = "../admin/people.html")]
struct PeoplePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    /// Whether there is anybody at all.
    some: bool,
    looked: ListQuery,
    roles: Vec<Filter>,
    states: Vec<Filter>,
    sorts: Vec<Filter>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    name: String,
    username: String,
    agency: String,
    roles: String,
    state: Option<&'static str>,
    last_login: Option<When>,
}

/// `GET /admin/users`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let search = search(&looked);
    let order = search.order;
    let read = app
        .store
        .read(move |conn| Ok((stored::any(conn)?, stored::page(conn, &search, PAGE + 1)?)));
    let (some, people) = read.await?;
    let (people, more) = list_query::cut(people);
    let next = people.last().filter(|_| more);
    let next = next.map(|person| looked.page_after(&FILTERS, &stored::sort_key(order, person), &person.id));
    let mut roles = vec![("", "All roles")];
    roles.extend(
        app.policy
            .roles()
            .iter()
            .map(|role| (role.code.as_str(), role.label.as_str())),
    );
    let page = PeoplePage {
        shell: admin.shell(),
        frame: admin.frame(Area::People),
        may_change: admin.changes(Area::People),
        some,
        roles: list_query::filters(looked.get("role"), &roles),
        states: list_query::filters(
            looked.get("state"),
            &[
                ("", "All"),
                ("enabled", "May sign in"),
                ("disabled", "Disabled"),
                ("awaited", "No password yet"),
            ],
        ),
        sorts: list_query::filters(
            looked.get("sort"),
            &[
                ("", "Name"),
                ("newest", "Newest first"),
                ("last-sign-in", "Last sign-in first"),
            ],
        ),
        rows: people.iter().map(|person| row(&admin, person)).collect(),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn search(looked: &ListQuery) -> Search {
    Search {
        words: looked.get("q").to_owned(),
        role: Some(looked.get("role").to_owned()).filter(|role| !role.is_empty()),
        state: match looked.get("state") {
            "enabled" => State::Enabled,
            "disabled" => State::Disabled,
            "awaited" => State::Awaited,
            _ => State::Any,
        },
        order: match looked.get("sort") {
            "newest" => Order::Newest,
            "last-sign-in" => Order::LastSignIn,
            _ => Order::Name,
        },
        after: looked.after(),
    }
}

fn row(admin: &AdminRequest, person: &Person) -> Row {
    let settings = &person.settings;
    Row {
        id: person.id.clone(),
        name: person.name.clone(),
        username: person.username.clone(),
        agency: settings
            .organization
            .as_ref()
            .map_or_else(String::new, |agency| agency.name.clone()),
        roles: labels(&admin.app.policy, &settings.roles).join(", "),
        state: if !person.enabled {
            Some("Disabled")
        } else if person.password.is_none() && person.last_login_at.is_none() {
            Some("No password yet")
        } else {
            None
        },
        last_login: person.last_login_at.map(|at| admin.zone.when(at)),
    }
}
