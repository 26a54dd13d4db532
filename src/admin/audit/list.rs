//! `/admin/audit`: the record, newest first.

use actix_web::http::StatusCode;
use askama::Template;

use super::filters::{self, FILTERS};
use super::words::{self, Names};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::events::{Told, told};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::list_query::{self, Filter, ListQuery, PAGE};
use crate::audit::event::Kind;
use crate::clock::local_time::When;
use crate::policy::console::Area;
use crate::store::audit_search::{Rest, Search, find};
use crate::web::pages::{self, FormAction, Shell};

const OUTCOMES: [(&str, &str); 4] = [
    ("", "Any"),
    ("worked", "Worked"),
    ("refused", "Refused"),
    ("serious", "Serious: points to an attack or a theft"),
];

#[derive(Template)]
#[template(path = "../admin/audit.html")]
struct AuditPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    events: Vec<Filter>,
    outcomes: Vec<Filter>,
    rows: Vec<Told>,
    export: String,
    filtered: bool,
    first: Option<String>,
    next: Option<String>,
    /// Where to look on, and to which moment was looked.
    further: Option<(String, When)>,
}

/// `GET /admin/audit`
pub async fn get(admin: AdminRequest) -> Answered {
    let looked = admin.query();
    match filters::search(&admin.app, &admin.zone, &looked).await? {
        Ok(search) => {
            let at = format!("/admin/audit {}", filters::in_short(&looked));
            admin.note_look(Kind::AuditRead, at).await?;
            found(&admin, &looked, search).await
        }
        Err(wrong) => {
            let page = AuditPage {
                wrong,
                ..empty(&admin, &looked)
            };
            Ok(pages::respond(
                &page,
                StatusCode::UNPROCESSABLE_ENTITY,
                FormAction::SelfOnly,
            ))
        }
    }
}

async fn found(admin: &AdminRequest, looked: &ListQuery, search: Search) -> Answered {
    let (found, names) = admin
        .app
        .store
        .read(move |conn| {
            let found = find(conn, &search, PAGE)?;
            let names = Names::of(conn, &found.rows)?;
            Ok((found, names))
        })
        .await?;
    let on = |place| filters::page_before(looked, place);
    let page = AuditPage {
        rows: told(admin, &found.rows, &names),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next: match found.rest {
            Rest::More(place) => Some(on(place)),
            _ => None,
        },
        further: match found.rest {
            Rest::NotLookedAt(place) => Some((on(place), admin.zone.when(place.at_ms.div_euclid(1000)))),
            _ => None,
        },
        ..empty(admin, looked)
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// The page without events.
fn empty<'a>(admin: &'a AdminRequest, looked: &ListQuery) -> AuditPage<'a> {
    let event = looked.get("event");
    let mut events = vec![("", "Any")];
    events.extend(words::GROUPS);
    // One kind alone is reached by links.
    if !event.is_empty() && words::GROUPS.iter().all(|(group, _)| *group != event) {
        events.push((event, event));
    }
    let filters = FILTERS
        .iter()
        .fold(Typed::default(), |typed, name| typed.with(name, looked.get(name)));
    let address = looked.first(&FILTERS);
    let query = address.split_once('?').map_or("", |(_, query)| query);
    AuditPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Audit),
        typed: filters,
        wrong: Vec::new(),
        events: list_query::filters(event, &events),
        outcomes: list_query::filters(looked.get("outcome"), &OUTCOMES),
        rows: Vec::new(),
        export: format!(
            "/admin/audit/export?{query}{}",
            if query.is_empty() { "" } else { "&" }
        ),
        filtered: !query.is_empty(),
        first: None,
        next: None,
        further: None,
    }
}
