//! `/admin`: a picture of the deployment, what to look after, and what happened lately. Each role sees of it what it may
//! see elsewhere.

pub mod chart;
pub mod facts;
pub mod picture;
pub mod warnings;

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use askama::Template;

use self::chart::{Chart, Reason, SIGN_INS, Span, TOKENS};
use self::facts::facts;
use self::picture::Picture;
use self::warnings::Warning;
use super::access::{AdminRequest, Answered, Frame};
use crate::policy::console::{Area, Right};
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
    /// The agencies that this person looks after, where she does not look after all.
    agencies: Vec<OwnAgency>,
}

/// An agency that somebody looks after.
struct OwnAgency {
    id: String,
    name: String,
    people: bool,
    clients: bool,
}

/// The agencies of somebody who looks after some of them alone.
fn own_agencies(admin: &AdminRequest) -> Vec<OwnAgency> {
    let (people, clients) = (
        admin.reach(Area::People, Right::Change),
        admin.reach(Area::Clients, Right::Change),
    );
    let mut ids: BTreeSet<&String> = BTreeSet::new();
    ids.extend(people.agencies().into_iter().flatten());
    ids.extend(clients.agencies().into_iter().flatten());
    let known = admin.app.live.agencies();
    let own = |id: &String| OwnAgency {
        name: known.name(id).to_owned(),
        people: people.holds_for(Some(id)),
        clients: clients.holds_for(Some(id)),
        id: id.clone(),
    };
    ids.into_iter().map(own).collect()
}

/// `GET /admin`
pub async fn get(admin: AdminRequest) -> Answered {
    let app = &admin.app;
    let span = Span::of(admin.query().get("span"));
    let parts = span.parts(&admin.zone, app.now());
    let facts = facts(app, parts.first().copied().unwrap_or_default()).await?;
    let may = |area| admin.may(area, Right::Read);
    let client_index = may(Area::Clients).then(|| app.live.client_index());
    let systems = client_index
        .as_ref()
        .map(|client_index| facts.systems(client_index, app.now()))
        .unwrap_or_default();
    let picture = client_index
        .as_ref()
        .and_then(|client_index| picture::picture(&admin, client_index, &systems));
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
        agencies: own_agencies(&admin),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
