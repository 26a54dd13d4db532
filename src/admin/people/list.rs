//! `/admin/users`: everybody, searched, filtered and in an order.

use std::collections::BTreeSet;

use super::{PATH, labels, path_of};
use crate::admin::access::{AdminRequest, Answered};
use crate::admin::agencies::{agency_filter, suggested};
use crate::admin::list::{List, ListFilter, Offer, Search};
use crate::admin::list_query::{self, ListQuery, PAGE};
use crate::admin::table::{Cell, Column};
use crate::model::person::Person;
use crate::policy::console::{Area, Right};
use crate::store::people::listing::{self as stored, Order, State};

/// `GET /admin/users`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let search = search(&admin, &looked);
    let order = search.order;
    let read = app
        .store
        .read(move |conn| Ok((stored::any(conn)?, stored::page(conn, &search, PAGE + 1)?)));
    let (some, people) = read.await?;
    let (people, more) = list_query::cut(people);
    let roles = app.policy.roles().iter();
    let roles = roles.map(|role| (role.code.as_str(), role.label.as_str()));
    let states = [
        ("enabled", "May sign in"),
        ("disabled", "Disabled"),
        ("awaited", "No password yet"),
    ];
    let reach = admin.reach(Area::People, Right::Read);
    let agencies = suggested(app, &reach);
    let may_change = admin.may_somewhere(Area::People, Right::Change);
    let many = Offer::new("/admin/users/import", "import", "Add many people from a file");
    let list = List {
        title: "People",
        path: PATH,
        id: "people",
        lead: if reach.agencies().is_some() {
            "The people of the agencies that you look after."
        } else {
            "Everyone who signs in here: certifiers, registrars, laboratory staff, and those who administer this service."
        },
        empty: (!some).then_some(
            "Add the first person. You get a link to pass on, with which the person chooses a password.",
        ),
        nothing: "No one matches your search. It finds the beginnings of words.",
        action: may_change.then(|| Offer::new("/admin/users/new", "add", "Add a person")),
        offers: may_change.then_some(many).into_iter().collect(),
        search: vec![Search {
            name: "q",
            label: "Name, username, e-mail address or agency",
        }],
        filters: vec![
            agency_filter(&agencies),
            ListFilter::new("role", "Role", "All roles", roles),
            ListFilter::new("state", "State", "All", states),
        ],
        columns: vec![
            Column::new("Name").sorts(""),
            Column::new("Username"),
            Column::new("Agency"),
            Column::new("Roles"),
            Column::new("Last sign-in").newest_by("last-sign-in"),
            Column::new("Added").newest_by("newest"),
        ],
        more: people
            .last()
            .filter(|_| more)
            .map(|last| (stored::sort_key(order, last), last.id.clone())),
        rows: people.iter().map(|person| row(&admin, person)).collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, Area::People, &looked))
}

/// Those of an agency, and none but one's own.
fn homes(admin: &AdminRequest, looked: &ListQuery) -> Option<BTreeSet<String>> {
    let reach = admin.reach(Area::People, Right::Read);
    let agency = looked.get("agency");
    if agency.is_empty() {
        return reach.agencies().cloned();
    }
    let one = Some(agency.to_owned()).filter(|agency| reach.holds_for(Some(agency)));
    Some(one.into_iter().collect())
}

fn search(admin: &AdminRequest, looked: &ListQuery) -> stored::Search {
    stored::Search {
        words: looked.get("q").to_owned(),
        role: Some(looked.get("role").to_owned()).filter(|role| !role.is_empty()),
        homes: homes(admin, looked),
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

fn row(admin: &AdminRequest, person: &Person) -> Vec<Cell> {
    let settings = &person.settings;
    let seen = admin.reach(Area::People, Right::Read).seen(settings);
    let state = if !person.enabled {
        Some("Disabled")
    } else if person.password.is_none() && person.last_login_at.is_none() {
        Some("No password yet")
    } else {
        None
    };
    let agencies = admin.app.live.agencies();
    let agency = settings.agency.as_deref().map_or("", |id| agencies.name(id));
    let last_login = person.last_login_at.map(|at| admin.zone.when(at));
    vec![
        Cell::text(&person.name)
            .leads_to(Some(path_of(&person.id)))
            .tagged(state, true),
        Cell::text(&person.username),
        Cell::text(agency),
        Cell::text(labels(&admin.app.policy, &seen.all_roles()).join(", ")),
        Cell::when(last_login, "Never"),
        Cell::when(Some(admin.zone.date(person.created_at)), ""),
    ]
}
