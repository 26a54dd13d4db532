//! What every request needs to know, in memory: clients and resource servers with their parsed keys, identity
//! providers, our signing keys, and the negative facts (what was revoked). It follows the database's log of changes:
//! after an own commit before the answer, and every [`POLL`] for what other processes did.

pub mod client_index;
pub mod credentials;
pub mod jwks_cache;
mod registration;
pub mod sign_in_refusals;
pub mod token_cache;

pub use registration::{LiveClient, LiveServer, valid_secrets};

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::clock::SharedClock;
use crate::error::Broken;
use crate::keys::{ClientKeys, Keyring};
use crate::live::client_index::ClientIndex;
use crate::model::agency::{Agencies, AgencySettings};
use crate::model::client::Client;
use crate::model::identity_provider::IdentityProvider;
use crate::model::resource_server::ResourceServer;
use crate::secrets::master_key::MasterKey;
use crate::store::changes::{self, Change, ChangeKind, Revision};
use crate::store::{Conn, Store, StoreBroken, Stored, keys, people, registered};
use crate::supervisor;

/// How often the log of changes is read for what other processes did.
pub const POLL: Duration = Duration::from_millis(200);

/// After this long without having read the log, nothing is said about tokens any more.
pub const STALE: Duration = Duration::from_secs(3);

type ById<T> = ArcSwap<HashMap<String, Arc<T>>>;

/// What is live. Reading never waits for the database.
#[derive(Debug)]
pub struct Live {
    master: Arc<MasterKey>,
    clock: SharedClock,
    agencies: ArcSwap<Agencies>,
    clients: ById<LiveClient>,
    client_index: Mutex<Option<Arc<ClientIndex>>>,
    servers: ById<LiveServer>,
    providers: ById<IdentityProvider>,
    keyring: ArcSwap<Keyring>,
    people: RwLock<HashMap<String, (i64, bool)>>,
    revoked_grants: RwLock<HashMap<String, i64>>,
    revoked_tokens: RwLock<HashMap<String, i64>>,
    logout_notices: Notify,
    revision: Mutex<Revision>,
    started: Instant,
    followed_at_ms: AtomicI64,
    stopped: AtomicBool,
}

/// What is live, as the database has it.
struct Everything {
    agencies: Agencies,
    clients: HashMap<String, Arc<LiveClient>>,
    servers: HashMap<String, Arc<LiveServer>>,
    providers: HashMap<String, Arc<IdentityProvider>>,
    keyring: Keyring,
    people: HashMap<String, (i64, bool)>,
    changes: Vec<Change>,
}

impl Everything {
    fn read(conn: &mut Conn, master: &MasterKey, now: i64) -> Stored<Self> {
        let agencies: Agencies = registered::all::<AgencySettings>(conn)?.into_iter().collect();
        let clients = registered::all(conn)?.into_iter();
        let servers = registered::all(conn)?.into_iter();
        Ok(Self {
            clients: clients.map(|client| live_client(client, &agencies)).collect(),
            servers: servers.map(|server| live_server(server, &agencies)).collect(),
            agencies,
            providers: registered::all(conn)?.into_iter().map(by_id).collect(),
            keyring: Keyring::load(&keys::all(conn)?, master, now)
                .map_err(|cause| StoreBroken::stored("signing key", cause))?,
            people: people::with_generation(conn)?
                .into_iter()
                .map(|(id, generation, enabled)| (id, (generation, enabled)))
                .collect(),
            changes: changes::after(conn, 0)?
                .into_iter()
                .map(|(_, change)| change)
                .collect(),
        })
    }
}

impl Live {
    /// Reads everything once.
    ///
    /// # Errors
    /// What the database says, or keys that do not open under the master key.
    pub fn load(conn: &mut Conn, master: Arc<MasterKey>, clock: SharedClock) -> Stored<Self> {
        // The revision first: what changes while the rest is read is read again.
        let revision = changes::revision(conn)?;
        let read = Everything::read(conn, &master, clock.now())?;
        let live = Self {
            master,
            clock,
            agencies: ArcSwap::from_pointee(read.agencies),
            clients: ArcSwap::from_pointee(read.clients),
            client_index: Mutex::default(),
            servers: ArcSwap::from_pointee(read.servers),
            providers: ArcSwap::from_pointee(read.providers),
            keyring: ArcSwap::from_pointee(read.keyring),
            people: RwLock::new(read.people),
            revoked_grants: RwLock::default(),
            revoked_tokens: RwLock::default(),
            logout_notices: Notify::new(),
            revision: Mutex::new(revision),
            started: Instant::now(),
            followed_at_ms: AtomicI64::new(0),
            stopped: AtomicBool::new(false),
        };
        for change in &read.changes {
            live.note_revocation(change);
        }
        live.mark_fresh();
        Ok(live)
    }

    /// Reads everything anew, where the log of changes does not go on from what was read of it. What was revoked stays
    /// revoked, whatever the database says now.
    fn load_anew(&self, conn: &mut Conn) -> Stored<Revision> {
        let revision = changes::revision(conn)?;
        let read = Everything::read(conn, &self.master, self.clock.now())?;
        self.agencies.store(Arc::new(read.agencies));
        self.clients.store(Arc::new(read.clients));
        self.servers.store(Arc::new(read.servers));
        self.providers.store(Arc::new(read.providers));
        self.keyring.store(Arc::new(read.keyring));
        *write(&self.people) = read.people;
        for change in &read.changes {
            self.note_revocation(change);
        }
        self.logout_notices.notify_one();
        Ok(revision)
    }

    /// Reads the log of changes and applies what is new.
    pub fn follow(&self, conn: &mut Conn) -> Stored<()> {
        let read_at = self.started.elapsed();
        let mut seen = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if changes::revision(conn)? != *seen {
            match changes::since(conn, &seen)? {
                Some(new) => {
                    for (at, change) in new {
                        self.apply(conn, &change)?;
                        *seen = at;
                    }
                }
                None => {
                    tracing::warn!(
                        seen = seen.seq,
                        "the database does not go on from what was read of it (restored, or not followed for long): everything is read anew"
                    );
                    *seen = self.load_anew(conn)?;
                }
            }
        }
        self.followed_at_ms.store(millis(read_at), Ordering::Release);
        Ok(())
    }

    fn apply(&self, conn: &mut Conn, change: &Change) -> Stored<()> {
        match change.kind {
            ChangeKind::Agency => self.apply_agency(conn, &change.subject)?,
            ChangeKind::Client => {
                let agencies = self.agencies();
                let found = readable(&change.subject, registered::find(conn, &change.subject))?
                    .map(|client| live_client(client, &agencies));
                replace(&self.clients, &change.subject, found);
            }
            ChangeKind::ResourceServer => {
                let agencies = self.agencies();
                let found = readable(&change.subject, registered::find(conn, &change.subject))?
                    .map(|server| live_server(server, &agencies));
                replace(&self.servers, &change.subject, found);
            }
            ChangeKind::IdentityProvider => {
                let found = readable(&change.subject, registered::find(conn, &change.subject))?.map(by_id);
                replace(&self.providers, &change.subject, found);
            }
            ChangeKind::Keys => {
                let keyring = Keyring::load(&keys::all(conn)?, &self.master, self.clock.now())
                    .map_err(|cause| StoreBroken::stored("signing key", cause))?;
                self.keyring.store(Arc::new(keyring));
            }
            ChangeKind::Person => {
                let found = people::generation(conn, &change.subject)?.unwrap_or((i64::MAX, false));
                write(&self.people).insert(change.subject.clone(), found);
            }
            ChangeKind::GrantRevoked | ChangeKind::TokenRevoked => self.note_revocation(change),
            ChangeKind::LogoutNotice => self.logout_notices.notify_one(),
        }
        Ok(())
    }

    /// Reads an agency again, and what belongs to it: that is served while the agency is.
    fn apply_agency(&self, conn: &mut Conn, id: &str) -> Stored<()> {
        let found = readable(id, registered::find::<AgencySettings>(conn, id))?;
        self.agencies.rcu(|old| {
            let mut new = Agencies::clone(old);
            match &found {
                Some(agency) => new.put(agency.clone()),
                None => new.remove(id),
            }
            new
        });
        let agencies = self.agencies();
        for live in self.clients.load_full().values() {
            if live.client.settings.agency.as_deref() == Some(id) {
                let again = live_client(live.client.clone(), &agencies);
                replace(&self.clients, &live.client.id, Some(again));
            }
        }
        for live in self.servers.load_full().values() {
            if live.server.settings.agency.as_deref() == Some(id) {
                let again = live_server(live.server.clone(), &agencies);
                replace(&self.servers, &live.server.id, Some(again));
            }
        }
        Ok(())
    }

    fn note_revocation(&self, change: &Change) {
        match change.kind {
            ChangeKind::GrantRevoked => {
                write(&self.revoked_grants).insert(change.subject.clone(), change.purge_at)
            }
            ChangeKind::TokenRevoked => {
                write(&self.revoked_tokens).insert(change.subject.clone(), change.purge_at)
            }
            _ => None,
        };
    }

    /// Forgets revocations of what has expired.
    pub fn purge(&self) {
        let now = self.clock.now();
        write(&self.revoked_grants).retain(|_, purge_at| *purge_at > now);
        write(&self.revoked_tokens).retain(|_, purge_at| *purge_at > now);
    }

    fn mark_fresh(&self) {
        self.followed_at_ms
            .store(millis(self.started.elapsed()), Ordering::Release);
    }

    /// Whether the log of changes was read lately; if not, nobody may be told that a token is good.
    pub fn is_fresh(&self) -> bool {
        let age = millis(self.started.elapsed()) - self.followed_at_ms.load(Ordering::Acquire);
        age < millis(STALE)
    }

    /// For what must not be done on old knowledge: issuing tokens, and saying that one is good.
    ///
    /// # Errors
    /// [`Broken::Unavailable`] when the log of changes was not read lately.
    pub fn require_fresh(&self) -> Result<(), Broken> {
        if self.is_fresh() {
            Ok(())
        } else {
            Err(Broken::Unavailable("revocations cannot be read".to_owned()))
        }
    }

    /// Follows the log on a thread of its own until [`Live::stop`].
    pub fn follow_in_background(self: &Arc<Self>, store: &Arc<Store>) {
        let (live, store) = (Arc::downgrade(self), Arc::downgrade(store));
        let follower = supervisor::thread("follow", move || {
            // A connection of its own: a queue full of other people's reads must not keep revocations from being heard.
            let mut connection = None;
            while let (Some(live), Some(store)) = (live.upgrade(), store.upgrade()) {
                if live.stopped.load(Ordering::Acquire) {
                    break;
                }
                if let Err(cause) = live.follow_on(&store, &mut connection) {
                    connection = None;
                    tracing::warn!(%cause, "cannot read what other processes changed");
                }
                drop((live, store));
                thread::sleep(POLL);
            }
        });
        if let Err(cause) = follower {
            tracing::error!(%cause, "cannot start the thread that follows changes");
        }
    }

    fn follow_on(&self, store: &Store, connection: &mut Option<Conn>) -> Result<(), Broken> {
        let conn = match connection {
            Some(conn) => conn,
            None => connection.insert(
                store
                    .connect()
                    .map_err(|cause| Broken::Unavailable(cause.to_string()))?,
            ),
        };
        self.follow(conn).map_err(Broken::from)
    }

    /// Ends the background thread.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// All clients, in the orders of the console's lists.
    pub fn client_index(&self) -> Arc<ClientIndex> {
        // Whoever comes while it is made waits, and makes no other one.
        let mut known = self.client_index.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = self.clients.load_full();
        match &*known {
            Some(client_index) if Arc::ptr_eq(&client_index.of, &clients) => Arc::clone(client_index),
            _ => Arc::clone(known.insert(Arc::new(ClientIndex::of(clients, &self.agencies())))),
        }
    }

    /// All agencies, enabled or not.
    pub fn agencies(&self) -> Arc<Agencies> {
        self.agencies.load_full()
    }

    /// A client, enabled or not.
    pub fn client(&self, id: &str) -> Option<Arc<LiveClient>> {
        self.clients.load().get(id).cloned()
    }

    /// A resource server by id, enabled or not.
    pub fn resource_server(&self, id: &str) -> Option<Arc<LiveServer>> {
        self.servers.load().get(id).cloned()
    }

    /// All resource servers.
    pub fn resource_servers(&self) -> Vec<Arc<LiveServer>> {
        self.servers.load().values().cloned().collect()
    }

    /// An identity provider, if people can sign in with it.
    pub fn identity_provider(&self, id: &str) -> Option<Arc<IdentityProvider>> {
        self.providers
            .load()
            .get(id)
            .filter(|provider| self.is_offered(provider))
            .cloned()
    }

    /// The identity providers that people can sign in with, by their names.
    pub fn identity_providers(&self) -> Vec<Arc<IdentityProvider>> {
        let mut providers: Vec<_> = self
            .providers
            .load()
            .values()
            .filter(|provider| self.is_offered(provider))
            .cloned()
            .collect();
        providers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        providers
    }

    /// Whether people can sign in with a provider: it is ready, and its agency is enabled.
    fn is_offered(&self, provider: &IdentityProvider) -> bool {
        provider.is_ready() && self.agencies.load().is_open(provider.settings.agency.as_ref())
    }

    /// Whether a client registered this origin for browser code.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.clients.load().values().any(|live| {
            live.client
                .settings
                .cors_origins
                .iter()
                .any(|known| known == origin)
        })
    }

    /// Waits until clients are to be told that a session has ended; at once if it happened since the last call.
    pub async fn logout_noticed(&self) {
        self.logout_notices.notified().await;
    }

    /// Our signing keys.
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// Whether a grant was revoked.
    pub fn grant_is_revoked(&self, id: &str) -> bool {
        read(&self.revoked_grants).contains_key(id)
    }

    /// Whether a single token was revoked.
    pub fn token_is_revoked(&self, jti: &str) -> bool {
        read(&self.revoked_tokens).contains_key(jti)
    }

    /// Whether a person of this generation still counts.
    pub fn person_holds(&self, id: &str, generation: i64) -> bool {
        read(&self.people).get(id).copied().unwrap_or((0, true)) == (generation, true)
    }

    /// Whether a client of this generation still counts.
    pub fn client_holds(&self, id: &str, generation: i64) -> bool {
        if let Some(live) = self.client(id) {
            return live.is_served() && live.client.generation == generation;
        }
        self.resource_server(id)
            .is_some_and(|live| live.is_served() && live.server.generation == generation)
    }
}

fn parsed_keys(owner: &str, jwks: Option<&str>) -> Option<ClientKeys> {
    match ClientKeys::parse(jwks?) {
        Ok(keys) => Some(keys),
        Err(problem) => {
            tracing::error!(%owner, %problem, "registered keys cannot be used");
            None
        }
    }
}

/// A row that cannot be read is nobody's: it must not keep the rest from being followed.
fn readable<T>(id: &str, found: Stored<Option<T>>) -> Stored<Option<T>> {
    match found {
        Err(StoreBroken::Defect(cause)) => {
            tracing::error!(%id, %cause, "an entry cannot be read, and gets nothing");
            Ok(None)
        }
        other => other,
    }
}

fn live_client(client: Client, agencies: &Agencies) -> (String, Arc<LiveClient>) {
    let keys = parsed_keys(&client.id, client.settings.jwks.as_deref());
    (
        client.id.clone(),
        Arc::new(LiveClient {
            agency: agencies.of(client.settings.agency.as_ref()).cloned(),
            client,
            keys,
        }),
    )
}

fn live_server(server: ResourceServer, agencies: &Agencies) -> (String, Arc<LiveServer>) {
    let keys = parsed_keys(&server.id, server.settings.jwks.as_deref());
    (
        server.id.clone(),
        Arc::new(LiveServer {
            agency: agencies.of(server.settings.agency.as_ref()).cloned(),
            server,
            keys,
        }),
    )
}

fn by_id(provider: IdentityProvider) -> (String, Arc<IdentityProvider>) {
    (provider.id.clone(), Arc::new(provider))
}

fn replace<T, S: BuildHasher + Clone>(
    map: &ArcSwap<HashMap<String, Arc<T>, S>>,
    id: &str,
    found: Option<(String, Arc<T>)>,
) {
    map.rcu(|old| {
        let mut new = HashMap::clone(old);
        match &found {
            Some((id, live)) => new.insert(id.clone(), Arc::clone(live)),
            None => new.remove(id),
        };
        new
    });
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Builds what is live and ties it to the store: own changes are followed before the answer, others' in the background.
pub fn open(store: &Arc<Store>, master: Arc<MasterKey>, clock: SharedClock) -> Result<Arc<Live>, Broken> {
    let live = Arc::new(store.read_blocking(move |conn| Live::load(conn, master, clock))?);
    let following = Arc::clone(&live);
    store.on_change(Arc::new(move |conn| following.follow(conn)));
    live.follow_in_background(store);
    Ok(live)
}
