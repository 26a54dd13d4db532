//! All clients in the orders of the console's lists, and by the servers that they use: made when it is first asked for
//! after a client was changed, so that no page sorts them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::agency::Agencies;

use super::{LiveClient, credentials};
use crate::model::registered::Registered;

/// In which order clients, and whatever else is registered, are listed. Those that are alike come by their ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By name, capitals like small letters.
    #[default]
    Name,
    /// By id.
    Id,
    /// Those that were registered last first.
    Newest,
}

impl Order {
    /// The one that the address of a list names.
    pub fn of(word: &str) -> Self {
        match word {
            "id" => Self::Id,
            "newest" => Self::Newest,
            _ => Self::Name,
        }
    }

    /// What something that is registered is sorted by, and its id: the place in the list.
    pub fn place<S>(self, one: &Registered<S>) -> (String, String) {
        let key = match self {
            Self::Name => one.name.to_lowercase(),
            Self::Id => String::new(),
            // What is left of the time that numbers have.
            Self::Newest => format!("{:020}", i64::MAX - one.created_at),
        };
        (key, one.id.clone())
    }
}

/// A client in a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The client.
    pub live: Arc<LiveClient>,
    /// The place of its dataflow in [`ClientIndex::flows`].
    pub flow: usize,
    /// When it can no longer prove who it is, unless somebody does something.
    pub ends: Option<i64>,
    /// Id, name and agency in small letters, a line each. Beside the client, for a search reads all of them in a row.
    text: Arc<str>,
}

/// What the clients of a dataflow have in common.
#[derive(Debug, Default)]
pub struct Flow {
    /// The id of the dataflow.
    pub id: String,
    /// The ids of the resource servers that they use.
    pub servers: BTreeSet<String>,
}

/// The clients as they are registered at one time.
#[derive(Debug)]
pub struct ClientIndex {
    /// What it was made of.
    pub(super) of: Arc<HashMap<String, Arc<LiveClient>>>,
    by_name: Vec<Entry>,
    by_id: Vec<Entry>,
    newest: Vec<Entry>,
    flows: Vec<Flow>,
    users: HashMap<String, Vec<Arc<LiveClient>>>,
}

impl ClientIndex {
    /// All of them, by their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<LiveClient>> {
        self.by_name.iter().map(|entry| &entry.live)
    }

    /// Those of an agency, by their names.
    pub fn of_agency(&self, agency: &str) -> Vec<&Arc<LiveClient>> {
        self.all()
            .filter(|live| live.client.settings.agency.as_deref() == Some(agency))
            .collect()
    }

    pub(super) fn of(clients: Arc<HashMap<String, Arc<LiveClient>>>, agencies: &Agencies) -> Self {
        let mut servers: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
        for live in clients.values() {
            servers
                .entry(&live.client.settings.dataflow)
                .or_default()
                .extend(&live.client.settings.resource_servers);
        }
        let places: HashMap<&str, usize> = servers
            .keys()
            .enumerate()
            .map(|(place, flow)| (*flow, place))
            .collect();
        let entry = |live: &Arc<LiveClient>| {
            let client = &live.client;
            let agency = client
                .settings
                .agency
                .as_deref()
                .map_or("", |id| agencies.name(id));
            let text = [client.id.as_str(), client.name.as_str(), agency]
                .join("\n")
                .to_lowercase();
            Entry {
                live: Arc::clone(live),
                flow: places
                    .get(client.settings.dataflow.as_str())
                    .copied()
                    .unwrap_or_default(),
                ends: credentials::end_of(live),
                text: text.into(),
            }
        };
        let entries: Vec<Entry> = clients.values().map(entry).collect();
        let sorted = |order: Order| {
            let mut entries = entries.clone();
            entries.sort_by_cached_key(|entry| order.place(&entry.live.client));
            entries
        };
        let by_name = sorted(Order::Name);
        let mut users: HashMap<String, Vec<_>> = HashMap::new();
        for Entry { live, .. } in &by_name {
            for server in &live.client.settings.resource_servers {
                users.entry(server.clone()).or_default().push(Arc::clone(live));
            }
        }
        let flow = |(id, servers): (&&str, &BTreeSet<&String>)| Flow {
            id: (*id).to_owned(),
            servers: servers.iter().map(|id| (*id).clone()).collect(),
        };
        let flows = servers.iter().map(flow).collect();
        Self {
            by_id: sorted(Order::Id),
            newest: sorted(Order::Newest),
            by_name,
            flows,
            users,
            of: clients,
        }
    }

    fn entries(&self, order: Order) -> &[Entry] {
        match order {
            Order::Name => &self.by_name,
            Order::Id => &self.by_id,
            Order::Newest => &self.newest,
        }
    }

    /// Whether there is no client.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All clients by their ids.
    pub fn clients(&self) -> &[Entry] {
        &self.by_id
    }

    /// The dataflows that clients use, by their ids.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// The clients that use a resource server, by their names.
    pub fn users_of(&self, server: &str) -> &[Arc<LiveClient>] {
        self.users.get(server).map_or(&[], Vec::as_slice)
    }

    /// The clients behind a place whose id, name or agency has a text in it, in an order.
    pub fn search(
        &self,
        order: Order,
        after: Option<(String, String)>,
        text: &str,
    ) -> impl Iterator<Item = &Arc<LiveClient>> {
        let all = self.entries(order);
        let begin = after.map_or(0, |after| {
            all.partition_point(|entry| order.place(&entry.live.client) <= after)
        });
        let text = text.to_lowercase();
        let entries = all.get(begin..).unwrap_or_default().iter();
        entries
            .filter(move |entry| entry.text.contains(&text))
            .map(|entry| &entry.live)
    }
}
