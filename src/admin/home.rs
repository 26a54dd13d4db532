//! `/admin`: a picture of the deployment, what to look after, and what happened lately. Each role sees of it what it may
//! see elsewhere.

pub mod chart;
pub mod picture;
pub mod warnings;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use self::chart::{Chart, Reason, SIGN_INS, Span, TOKENS};
use self::picture::{Picture, State};
use self::warnings::Warning;
use super::access::{Frame, Requires, admit, answer};
use super::list_query::ListQuery;
use crate::app::App;
use crate::audit::event::{Kind, Outcome};
use crate::error::Broken;
use crate::live::client_index::{ClientIndex, Entry};
use crate::policy::console::{ADMINISTRATOR, Area, Right};
use crate::store::activity::{Count, Last, since};
use crate::store::{audit_search, installation, people};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/home.html")]
struct HomePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    picture: Option<Picture>,
    /// Nothing is registered yet, and this person may change that.
    begin: bool,
    invites: bool,
    warnings: Vec<Warning>,
    month: bool,
    charts: Vec<(Chart, Vec<Reason>)>,
}

/// What the database tells for the page, with a constant number of queries.
#[derive(Debug, Default)]
pub struct Facts {
    lasts: Arc<BTreeMap<String, Last>>,
    counts: Vec<Count>,
    administrators: usize,
    installed_at: i64,
    reviewed_at: Option<i64>,
    checked: Option<(i64, bool)>,
}

/// A client, what it did last, and how that makes it.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    entry: &'a Entry,
    last: Option<&'a Last>,
    state: State,
}

impl Facts {
    /// All clients by their ids.
    fn systems<'a>(&'a self, roster: &'a ClientIndex, now: i64) -> Vec<System<'a>> {
        // Both are in the order of the ids: side by side, for looking each up would take most of the page's time.
        let mut lasts = self.lasts.values().peekable();
        let system = |entry: &'a Entry| {
            let client = &entry.live.client;
            while lasts.next_if(|last| last.client_id < client.id).is_some() {}
            let last = lasts.next_if(|last| last.client_id == client.id);
            let last = last.filter(|last| last.is_since(client.created_at));
            System {
                entry,
                last,
                state: State::of(client, last, now),
            }
        };
        roster.clients().iter().map(system).collect()
    }

    /// What a client or resource server did last.
    #[must_use]
    pub fn last(&self, id: &str) -> Option<&Last> {
        self.lasts.get(id)
    }
}

/// `GET /admin`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::Home)).await?;
    let span = Span::of(ListQuery::of(request).get("span"));
    let parts = span.parts(&admin.zone, app.now());
    let facts = facts(app, parts.first().copied().unwrap_or_default()).await?;
    let may = |area| admin.may(area, Right::Read);
    let roster = may(Area::Clients).then(|| app.live.roster());
    let systems = roster
        .as_ref()
        .map(|roster| facts.systems(roster, app.now()))
        .unwrap_or_default();
    let picture = roster
        .as_ref()
        .and_then(|roster| picture::picture(&admin, roster, &systems));
    let mut shown = Vec::new();
    if may(Area::Clients) {
        shown.push(TOKENS);
    }
    if may(Area::People) {
        shown.push(SIGN_INS);
    }
    let charts = shown.into_iter().map(|counted| {
        let chart = chart::chart(counted, &facts.counts, span, &parts, &admin.zone);
        (chart, chart::reasons(counted, &facts.counts))
    });
    let charts = charts.collect();
    let page = HomePage {
        begin: picture.is_none() && admin.changes(Area::Clients),
        invites: admin.changes(Area::People),
        warnings: warnings::warnings(&admin, &facts, &systems).await?,
        shell: admin.shell(),
        frame: admin.frame(Area::Home),
        picture,
        month: span == Span::Month,
        charts,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

async fn facts(app: &App, from: i64) -> Result<Facts, Broken> {
    let latest = Arc::clone(&app.latest);
    let facts = app.store.read(move |conn| {
        let checked = audit_search::last_of(conn, Kind::AuditChecked)?;
        Ok(Facts {
            lasts: latest.read(conn)?,
            counts: since(conn, from)?,
            administrators: people::enabled_with_role(conn, ADMINISTRATOR)?.len(),
            installed_at: installation::installed_at(conn)?,
            reviewed_at: audit_search::last_of(conn, Kind::AccessReviewed)?
                .map(|row| row.at_ms.div_euclid(1000)),
            checked: checked.map(|row| {
                (
                    row.at_ms.div_euclid(1000),
                    row.outcome == Outcome::Success.as_str(),
                )
            }),
        })
    });
    facts.await
}
