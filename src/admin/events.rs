//! Events in plain words, for every page of the console that shows some: the record's own, and the last events beside
//! something that is registered.

use super::access::AdminRequest;
use super::audit::words::{self, Body, Names};
use crate::clock::local_time::When;
use crate::error::Broken;
use crate::policy::console::{Area, Right};
use crate::store::audit::{AuditRow, Concerned};
use crate::store::audit_search::{Search, find};

/// How many events stand beside something.
const LAST: usize = 10;

/// An event in words.
#[derive(Debug, Clone)]
pub struct Told {
    /// When.
    pub at: When,
    /// What happened.
    pub what: String,
    /// Who acted.
    pub who: Party,
    /// The client or resource server concerned.
    pub client: Option<Party>,
    /// The person concerned.
    pub person: Option<Party>,
    /// Where from.
    pub address: Option<String>,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// Whether it did not work.
    pub failed: bool,
    /// The page of the event.
    pub url: String,
}

/// Somebody whom an event names.
#[derive(Debug, Clone)]
pub struct Party {
    /// What people read.
    pub name: String,
    /// The page, if the visitor may see it.
    pub url: Option<String>,
}

/// Rows of the record in words.
pub fn told(admin: &AdminRequest, rows: &[AuditRow], names: &Names) -> Vec<Told> {
    let told = |row: &AuditRow| {
        let body = Body::of(row);
        Told {
            at: admin.zone.when(row.at_ms.div_euclid(1000)),
            what: words::sentence(row, &body, names),
            who: who(admin, &body, names),
            client: body.client_id.as_deref().map(|id| client(admin, id)),
            person: body.person_id.as_deref().map(|id| person(admin, id, names)),
            address: body.address.clone(),
            outcome: words::outcome(&row.outcome),
            failed: row.outcome != "0",
            url: format!("/admin/audit/{}/{}", row.log(), row.seq()),
        }
    };
    rows.iter().map(told).collect()
}

/// Who acted.
pub fn who(admin: &AdminRequest, body: &Body, names: &Names) -> Party {
    match body.actor_kind.as_str() {
        "person" => person(admin, &body.actor, names),
        "client" => client(admin, &body.actor),
        _ => Party {
            name: words::who(body, names),
            url: None,
        },
    }
}

/// A client or resource server by its id.
pub fn client(admin: &AdminRequest, id: &str) -> Party {
    let directory = &admin.app.live;
    let (area, path) = if directory.client(id).is_some() {
        (Area::Clients, Some("clients"))
    } else {
        (
            Area::ResourceServers,
            directory.resource_server(id).map(|_| "resource-servers"),
        )
    };
    let path = path.filter(|_| admin.may(area, Right::Read));
    Party {
        name: id.to_owned(),
        url: path.map(|path| format!("/admin/{path}/{id}")),
    }
}

/// A person by `sub`.
pub fn person(admin: &AdminRequest, id: &str, names: &Names) -> Party {
    let known = names.known(id);
    let path = known
        .filter(|_| admin.may_somewhere(Area::People, Right::Read))
        .map(|_| format!("/admin/users/{id}"));
    Party {
        name: known.map_or_else(
            || id.to_owned(),
            |(name, username)| format!("{name} ({username})"),
        ),
        url: path,
    }
}

/// The last events of something, if the visitor may see them and the record tells them apart.
pub async fn last_of(admin: &AdminRequest, concerned: Concerned) -> Result<Option<Vec<Told>>, Broken> {
    let search = match concerned {
        Concerned::Person(id) => Search {
            person: Some(id),
            ..Search::default()
        },
        Concerned::Client(id) => Search {
            client: Some(id),
            ..Search::default()
        },
        Concerned::Provider(_) | Concerned::Agency(_) => return Ok(None),
    };
    if !admin.may(Area::Audit, Right::Read) {
        return Ok(None);
    }
    let (rows, names) = admin
        .app
        .store
        .read(move |conn| {
            let rows = find(conn, &search, LAST)?.rows;
            let names = Names::of(conn, &rows)?;
            Ok((rows, names))
        })
        .await?;
    Ok(Some(told(admin, &rows, &names)))
}
