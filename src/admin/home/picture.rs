//! The picture of the deployment: clients on one side, resource servers on the other, an arrow a dataflow; and the
//! table that says the same.

use std::collections::BTreeMap;

use super::facts::{State, System};
use crate::admin::access::AdminRequest;
use crate::audit::activity;
use crate::clock::local_time::When;
use crate::live::client_index::{self, ClientIndex};
use crate::live::credentials;
use crate::policy::console::Area;
use crate::store::activity::Last;

/// With more clients than these, each dataflow is one box.
const SINGLE: usize = 12;
/// How many rows are drawn at the most.
const DRAWN: usize = 40;
/// The height of a row, and of the box in it.
const ROW: i32 = 84;
const BOX: i32 = 64;

/// The picture.
#[derive(Debug)]
pub struct Picture {
    /// Its height.
    pub height: i32,
    /// Whether a box stands for all clients of a dataflow.
    pub grouped: bool,
    /// The arrows, in the order of the servers that they lead to.
    pub arrows: Vec<Arrow>,
    /// The boxes on the right.
    pub servers: Vec<ServerBox>,
    /// What is not drawn, because there is too much.
    pub left_out: usize,
    /// Dataflows that nobody uses: id and name.
    pub unused: Vec<(String, String)>,
}

/// A client, or several, that talk to a resource server.
#[derive(Debug)]
pub struct Arrow {
    /// Where it is drawn.
    pub y: i32,
    /// Its middle.
    pub middle: i32,
    /// The client.
    pub client: Named,
    /// What stands under its name.
    pub note: String,
    /// The dataflow, and the same in lines.
    pub flow: String,
    /// In lines.
    pub lines: Vec<String>,
    /// The resource server.
    pub server: Named,
    /// How it is.
    pub state: State,
    /// The last token.
    pub last_token: Option<When>,
    /// The last failure, and why.
    pub last_failure: Option<(When, &'static str)>,
    /// When its secret or key ends, if soon.
    pub ends: Option<When>,
}

/// A box with a page behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// As people know it.
    pub name: String,
    /// As much of it as fits.
    pub short: String,
    /// Where its page is.
    pub url: String,
}

/// A resource server, beside all arrows that lead to it.
#[derive(Debug)]
pub struct ServerBox {
    /// Where it is drawn.
    pub y: i32,
    /// How high.
    pub height: i32,
    /// Where its text is.
    pub middle: i32,
    /// Which.
    pub server: Named,
    /// What stands under its name.
    pub note: &'static str,
}

fn named(name: &str, url: String) -> Named {
    const LETTERS: usize = 25;
    let mut short: String = name.chars().take(LETTERS).collect();
    if name.chars().count() > LETTERS {
        short.pop();
        short.push('…');
    }
    Named {
        name: name.to_owned(),
        short,
        url,
    }
}

/// The picture of what is registered; none: nothing is.
pub fn picture(admin: &AdminRequest, client_index: &ClientIndex, systems: &[System<'_>]) -> Option<Picture> {
    if systems.is_empty() && admin.app.live.resource_servers().is_empty() {
        return None;
    }
    let mut flows: Vec<Flow<'_>> = client_index.flows().iter().map(Flow::of).collect();
    for system in systems {
        if let Some(flow) = flows.get_mut(system.entry.flow) {
            flow.add(system);
        }
    }
    let grouped = systems.len() > SINGLE;
    let mut arrows: Vec<Arrow> = if grouped {
        flows.iter().map(|flow| flow.arrow(admin)).collect()
    } else {
        systems
            .iter()
            .flat_map(|system| of_client(admin, system))
            .collect()
    };
    arrows.sort_by(|one, other| (&one.server, &one.client).cmp(&(&other.server, &other.client)));
    let left_out = arrows.len().saturating_sub(DRAWN);
    arrows.truncate(DRAWN);
    let mut y = 0;
    for arrow in &mut arrows {
        (arrow.y, arrow.middle) = (y, y + BOX / 2);
        y += ROW;
    }
    let mut servers = server_boxes(&arrows);
    for server in without_clients(admin, client_index).into_iter().take(SINGLE) {
        servers.push(ServerBox {
            y,
            height: BOX,
            middle: y + BOX / 2,
            server,
            note: "No client yet",
        });
        y += ROW;
    }
    let unused = if admin.changes(Area::Clients) {
        unused(admin, client_index)
    } else {
        Vec::new()
    };
    Some(Picture {
        height: y,
        grouped,
        arrows,
        servers,
        left_out,
        unused,
    })
}

fn label(admin: &AdminRequest, flow: &str) -> String {
    admin
        .app
        .policy
        .dataflow(flow)
        .map_or_else(|| flow.to_owned(), |flow| flow.label.clone())
}

/// The server of an id, as it is drawn.
fn server(admin: &AdminRequest, id: &str) -> Named {
    let found = admin.app.live.resource_server(id);
    let name = found.map_or_else(|| id.to_owned(), |live| live.server.name.clone());
    named(&name, format!("/admin/resource-servers/{id}"))
}

/// An arrow to each resource server of a client.
fn of_client(admin: &AdminRequest, system: &System<'_>) -> Vec<Arrow> {
    let System { entry, last, state } = *system;
    let client = &entry.live.client;
    let when = |at: Option<i64>| at.map(|at| admin.zone.when(at));
    let mut servers: Vec<Named> = client
        .settings
        .resource_servers
        .iter()
        .map(|id| server(admin, id))
        .collect();
    if servers.is_empty() {
        servers.push(named(
            "No resource server",
            format!("/admin/clients/{}", client.id),
        ));
    }
    let arrow = |server: Named| {
        let flow = label(admin, &client.settings.dataflow);
        Arrow {
            y: 0,
            middle: 0,
            client: named(&client.name, format!("/admin/clients/{}", client.id)),
            note: state.word().to_owned(),
            lines: lines(&flow),
            flow,
            server,
            state,
            last_token: when(last.and_then(|last| last.last_token_at)),
            last_failure: last.and_then(|last| failure(admin, last)),
            ends: soon(admin, entry.ends),
        }
    };
    servers.into_iter().map(arrow).collect()
}

/// When and why something failed last.
fn failure(admin: &AdminRequest, last: &Last) -> Option<(When, &'static str)> {
    let reason = activity::in_words(last.last_failure.as_deref().unwrap_or_default());
    Some((admin.zone.when(last.last_failure_at?), reason))
}

/// An end that is worth telling.
fn soon(admin: &AdminRequest, ends: Option<i64>) -> Option<When> {
    ends.filter(|ends| *ends < admin.app.now() + credentials::SOON)
        .map(|at| admin.zone.when(at))
}

/// All clients of a dataflow together.
struct Flow<'a> {
    of: &'a client_index::Flow,
    count: usize,
    states: BTreeMap<State, usize>,
    last_token: Option<i64>,
    failed: Option<&'a Last>,
    ends: Option<i64>,
}

impl<'a> Flow<'a> {
    fn of(of: &'a client_index::Flow) -> Self {
        Self {
            of,
            count: 0,
            states: BTreeMap::new(),
            last_token: None,
            failed: None,
            ends: None,
        }
    }

    fn add(&mut self, system: &System<'a>) {
        self.count += 1;
        *self.states.entry(system.state).or_default() += 1;
        self.last_token = self
            .last_token
            .max(system.last.and_then(|last| last.last_token_at));
        let failed = self
            .failed
            .into_iter()
            .chain(system.last.filter(|last| last.last_failure_at.is_some()));
        self.failed = failed.max_by_key(|last| last.last_failure_at);
        self.ends = self.ends.into_iter().chain(system.entry.ends).min();
    }

    /// One arrow for all of them.
    fn arrow(&self, admin: &AdminRequest) -> Arrow {
        let client_index::Flow { id, servers } = self.of;
        let words = label(admin, id);
        let note = self
            .states
            .iter()
            .map(|(state, count)| format!("{count} {}", state.word().to_lowercase()));
        Arrow {
            y: 0,
            middle: 0,
            client: named(
                &format!("{} clients", self.count),
                format!("/admin/clients?dataflow={id}"),
            ),
            note: note.collect::<Vec<_>>().join(", "),
            lines: lines(&words),
            flow: words,
            server: match (servers.len(), servers.first()) {
                (1, Some(id)) => server(admin, id),
                (count, _) => named(
                    &format!("{count} resource servers"),
                    "/admin/resource-servers".to_owned(),
                ),
            },
            state: self.states.keys().next().copied().unwrap_or(State::Quiet),
            last_token: self.last_token.map(|at| admin.zone.when(at)),
            last_failure: self.failed.and_then(|last| failure(admin, last)),
            ends: soon(admin, self.ends),
        }
    }
}

/// A box beside each run of arrows to the same server.
fn server_boxes(arrows: &[Arrow]) -> Vec<ServerBox> {
    let runs = arrows.chunk_by(|one, other| one.server == other.server);
    let boxed = |run: &[Arrow]| {
        let (first, last) = (run.first()?, run.last()?);
        let height = last.y + BOX - first.y;
        let middle = first.y + height / 2;
        Some(ServerBox {
            y: first.y,
            height,
            middle,
            server: first.server.clone(),
            note: "",
        })
    };
    runs.filter_map(boxed).collect()
}

/// Resource servers that no client may talk to.
fn without_clients(admin: &AdminRequest, client_index: &ClientIndex) -> Vec<Named> {
    let servers = admin.app.live.resource_servers();
    let mut idle: Vec<Named> = servers
        .iter()
        .filter(|live| client_index.users_of(&live.server.id).is_empty())
        .map(|live| {
            named(
                &live.server.name,
                format!("/admin/resource-servers/{}", live.server.id),
            )
        })
        .collect();
    idle.sort();
    idle
}

/// Dataflows that no client uses.
fn unused(admin: &AdminRequest, client_index: &ClientIndex) -> Vec<(String, String)> {
    let flows = admin
        .app
        .policy
        .dataflows()
        .iter()
        .filter(|flow| !flow.as_written);
    let idle = flows.filter(|flow| client_index.flows().iter().all(|used| used.id != flow.id));
    idle.map(|flow| (flow.id.clone(), flow.label.clone())).collect()
}

/// A text in lines that fit over an arrow.
fn lines(text: &str) -> Vec<String> {
    const LETTERS: usize = 36;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < LETTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
