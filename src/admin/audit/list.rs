//! `/admin/audit`: the record, newest first.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::looked_for::{self, FILTERS};
use super::words::{self, Names};
use crate::admin::events::{Told, told};
use crate::admin::form::{Typed, Wrong};
use crate::admin::listing::{self, Filter, Looked, PAGE};
use crate::admin::visit::{Door, Frame, Visit, answer, enter};
use crate::app::App;
use crate::clock::local_time::When;
use crate::policy::console::Area;
use crate::store::record::{Rest, Search, find};
use crate::web::guard::Stop;
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
    wrong: Vec<Wrong>,
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
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::Audit)).await?;
    let looked = Looked::of(request);
    match looked_for::search(app, &visit.zone, &looked).await? {
        Ok(search) => {
            super::note_look(&visit, format!("/admin/audit {}", looked_for::in_short(&looked))).await?;
            found(&visit, &looked, search).await
        }
        Err(wrong) => {
            let page = AuditPage {
                wrong,
                ..empty(&visit, &looked)
            };
            Ok(pages::respond(
                &page,
                StatusCode::UNPROCESSABLE_ENTITY,
                FormAction::SelfOnly,
            ))
        }
    }
}

async fn found(visit: &Visit, looked: &Looked, search: Search) -> Result<HttpResponse, Stop> {
    let (found, names) = visit
        .app
        .store
        .read(move |conn| {
            let found = find(conn, &search, PAGE)?;
            let names = Names::of(conn, &found.rows)?;
            Ok((found, names))
        })
        .await?;
    let on = |place| looked_for::page_before(looked, place);
    let page = AuditPage {
        rows: told(visit, &found.rows, &names),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next: match found.rest {
            Rest::More(place) => Some(on(place)),
            _ => None,
        },
        further: match found.rest {
            Rest::NotLookedAt(place) => Some((on(place), visit.zone.when(place.at_ms.div_euclid(1000)))),
            _ => None,
        },
        ..empty(visit, looked)
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// The page without events.
fn empty<'a>(visit: &'a Visit, looked: &Looked) -> AuditPage<'a> {
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
        shell: visit.shell(),
        frame: visit.frame(Area::Audit),
        typed: filters,
        wrong: Vec::new(),
        events: listing::filters(event, &events),
        outcomes: listing::filters(looked.get("outcome"), &OUTCOMES),
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
