//! What the page knows before it draws or warns: what the database tells, and how each client is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::App;
use crate::audit::event::{Kind, Outcome};
use crate::error::Broken;
use crate::live::client_index::{ClientIndex, Entry};
use crate::model::client::Client;
use crate::policy::console::ADMINISTRATOR;
use crate::store::activity::{Count, Last, since};
use crate::store::{audit_search, installation, people};

/// How long a client may be silent and still counts as working, and how long a failure is told, in seconds.
const LATELY: i64 = 7 * 86_400;

/// What the database tells for the page, with a constant number of queries.
#[derive(Debug, Default)]
pub struct Facts {
    pub(super) lasts: Arc<BTreeMap<String, Last>>,
    pub(super) counts: Vec<Count>,
    /// Administrators who can sign in, and those who have not accepted their invitation.
    pub(super) administrators: (i64, i64),
    pub(super) installed_at: i64,
    pub(super) reviewed_at: Option<i64>,
    pub(super) checked: Option<(i64, bool)>,
}

impl Facts {
    /// All clients by their ids.
    pub(super) fn systems<'a>(&'a self, client_index: &'a ClientIndex, now: i64) -> Vec<System<'a>> {
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
        client_index.clients().iter().map(system).collect()
    }

    /// What a client or resource server did last.
    pub fn last(&self, id: &str) -> Option<&Last> {
        self.lasts.get(id)
    }
}

/// A client, what it did last, and how that makes it.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    pub(super) entry: &'a Entry,
    pub(super) last: Option<&'a Last>,
    pub(super) state: State,
}

/// How a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It was refused after its last token, lately.
    Failing,
    /// It got a token lately.
    Working,
    /// Neither.
    Quiet,
    /// It may not.
    Disabled,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failing => "Failing",
            Self::Working => "Working",
            Self::Quiet => "Quiet",
            Self::Disabled => "Disabled",
        }
    }

    /// That of a client that did this last.
    fn of(client: &Client, last: Option<&Last>, now: i64) -> Self {
        let (token, failure) = (
            last.and_then(|last| last.last_token_at),
            last.and_then(|last| last.last_failure_at),
        );
        let lately = |at: Option<i64>| at.is_some_and(|at| at > now - LATELY);
        match client.enabled {
            false => Self::Disabled,
            true if lately(failure) && failure > token => Self::Failing,
            true if lately(token) => Self::Working,
            true => Self::Quiet,
        }
    }
}

pub(super) async fn facts(app: &App, from: i64) -> Result<Facts, Broken> {
    let latest = Arc::clone(&app.latest);
    let facts = app.store.read(move |conn| {
        let checked = audit_search::last_of(conn, Kind::AuditChecked)?;
        Ok(Facts {
            lasts: latest.read(conn)?,
            counts: since(conn, from)?,
            administrators: people::count_with_role(conn, ADMINISTRATOR)?,
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
