//! Searching the record: newest first, page by page, never looking at more than a bounded number of its events.

use std::cmp::Reverse;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::audit::AuditRow;
use super::schema::audit_event;
use super::{Conn, Stored, at_most, each};
use crate::audit::event::{Kind, Outcome};

/// How many events are looked at for one page.
pub const LOOKED_AT: usize = 2000;

/// The place of an event in a search: by its time, then by log and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Log and number.
    pub id: i64,
}

impl Place {
    /// Behind all events.
    pub const END: Self = Self {
        at_ms: i64::MAX,
        id: i64::MAX,
    };
}

impl AuditRow {
    /// Its place in the record.
    pub fn place(&self) -> Place {
        Place {
            at_ms: self.at_ms,
            id: self.id,
        }
    }
}

/// What is looked for. What says nothing lets every event through.
#[derive(Debug, Clone)]
pub struct Search {
    /// Events that concern this person, or were caused by her.
    pub person: Option<String>,
    /// Events that concern this client or resource server.
    pub client: Option<String>,
    /// Events of these kinds.
    pub kinds: Vec<Kind>,
    /// Events that ended so.
    pub outcome: Option<Outcome>,
    /// From this moment on, in milliseconds.
    pub from_ms: i64,
    /// Before this moment.
    pub to_ms: i64,
    /// Before this place.
    pub before: Place,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            person: None,
            client: None,
            kinds: Vec::new(),
            outcome: None,
            from_ms: 0,
            to_ms: i64::MAX,
            before: Place::END,
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The events, the newest first.
    pub rows: Vec<AuditRow>,
    /// What lies behind them.
    pub rest: Rest,
}

/// What lies behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing that fits.
    Nothing,
    /// More that fits, from the last event of the page on.
    More(Place),
    /// Events that were not looked at, from here on: so many did not fit.
    NotLookedAt(Place),
}

/// What leads to the events: each has an index that ends with the time.
#[derive(Debug, Clone, Copy)]
enum By<'a> {
    Person(&'a str),
    Actor(&'a str),
    Client(&'a str),
    Kind(Kind),
    Serious,
    Failed,
    Time,
}

impl Search {
    /// The indexes that together lead to all that is looked for; none leads to what another one does.
    fn leads(&self) -> Vec<By<'_>> {
        match (&self.person, &self.client, self.outcome) {
            (Some(person), _, _) => vec![By::Person(person), By::Actor(person)],
            (None, Some(client), _) => vec![By::Client(client)],
            _ if !self.kinds.is_empty() => self.kinds.iter().copied().map(By::Kind).collect(),
            (.., Some(Outcome::SeriousFailure)) => vec![By::Serious],
            (.., Some(Outcome::MinorFailure)) => vec![By::Failed],
            _ => vec![By::Time],
        }
    }

    /// Whether an event that an index led to is one of those that are looked for.
    fn fits(&self, row: &AuditRow) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        (is(&self.person, &row.person_id) || is(&self.person, &row.by_person))
            && is(&self.client, &row.client_id)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == row.kind))
            && self.outcome.is_none_or(|outcome| outcome.as_str() == row.outcome)
    }
}

/// The next `page` events that fit.
pub fn find(conn: &mut Conn, search: &Search, page: usize) -> Stored<Found> {
    // Mostly nearly all that an index leads to fits, so few are enough.
    let found = look(conn, search, page, 2 * page)?;
    match found.rest {
        Rest::NotLookedAt(_) => look(conn, search, page, LOOKED_AT.max(4 * page)),
        _ => Ok(found),
    }
}

fn look(conn: &mut Conn, search: &Search, page: usize, at_most: usize) -> Stored<Found> {
    let leads = search.leads();
    let each_at_most = (at_most / leads.len().max(1)).max(1);
    let (mut rows, mut looked_to) = (Vec::new(), None);
    for by in leads {
        let part = rows_by(conn, search, by, each_at_most)?;
        if part.len() >= each_at_most {
            // Behind its last event this index may lead to more: nothing older can be told in order.
            looked_to = looked_to.max(part.last().map(AuditRow::place));
        }
        rows.extend(part);
    }
    rows.retain(|row| looked_to.is_none_or(|looked_to| row.place() >= looked_to) && search.fits(row));
    rows.sort_by_key(|row| Reverse(row.place()));
    let more = rows.len() > page;
    rows.truncate(page);
    let rest = match (rows.last(), looked_to) {
        (Some(last), _) if more => Rest::More(last.place()),
        (_, Some(looked_to)) => Rest::NotLookedAt(looked_to),
        (_, None) => Rest::Nothing,
    };
    Ok(Found { rows, rest })
}

fn rows_by(conn: &mut Conn, search: &Search, by: By<'_>, limit: usize) -> Stored<Vec<AuditRow>> {
    use audit_event::{at_ms, by_person, client_id, id, person_id};
    let before = search.before;
    // One bound a side, so that the index begins where the page does.
    let newest = before.at_ms.min(search.to_ms.saturating_sub(1));
    Ok(each!(conn, c => {
        let rows = audit_event::table
            .filter(at_ms.ge(search.from_ms).and(at_ms.le(newest)))
            .filter(at_ms.lt(before.at_ms).or(id.lt(before.id)))
            .order((at_ms.desc(), id.desc()))
            .limit(at_most(limit))
            .select(AuditRow::as_select())
            .into_boxed();
        let rows = match by {
            By::Person(whose) => rows.filter(person_id.eq(whose)),
            By::Actor(whose) => rows.filter(by_person.eq(whose)),
            By::Client(whose) => rows.filter(client_id.eq(whose)),
            // Written out: PostgreSQL knows how rare a kind is, and not how rare a parameter is.
            By::Kind(kind) => rows.filter(sql::<Bool>(&format!("kind = '{}'", kind.as_str()))),
            // As the partial indexes say it: parameters would not fit them.
            By::Serious => rows.filter(sql::<Bool>("outcome = '8'")),
            By::Failed => rows.filter(sql::<Bool>("outcome <> '0'")),
            By::Time => rows,
        };
        rows.load(c)
    })?)
}

/// The last event of a kind.
pub fn last_of(conn: &mut Conn, kind: Kind) -> Stored<Option<AuditRow>> {
    let search = Search {
        kinds: vec![kind],
        ..Search::default()
    };
    Ok(find(conn, &search, 1)?.rows.pop())
}
