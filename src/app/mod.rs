//! The application: what a handler may use.

pub mod fingerprints;
pub mod logo;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::logo::Logo;
use crate::audit::activity::Latest;
use crate::audit::check::Check;
use crate::audit::checkpoint;
use crate::audit::counts::Introspections;
use crate::audit::event::{Actor, Event, Kind};
use crate::audit::failure_counts::FailureCounts;
use crate::audit::readers::Readers;
use crate::audit::sealing::Sealer;
use crate::clock::{Entropy, SharedClock};
use crate::config::{Config, Database, Issuer, MasterKeySource};
use crate::error::Broken;
use crate::keys;
use crate::live::jwks_cache::JwksCache;
use crate::live::sign_in_refusals::SignInRefusals;
use crate::live::token_cache::TokenCache;
use crate::live::{self, Live};
use crate::model::signing::Algorithm;
use crate::outbound::Outbound;
use crate::outbound::identity_provider::IdentityProviders;
use crate::outbound::mail::Mailer;
use crate::policy::Policy;
use crate::secrets::master_key::MasterKey;
use crate::secrets::password::{Cost, Hasher, cost_of};
use crate::secrets::password_rules::Rules;
use crate::store::audit::StoredCheckpointKey;
use crate::store::{Store, Stored, Target, Threads, Tx, audit, installation, people};
use crate::webauthn::RelyingParty;

/// How many former costs of password hashes a sign-in makes up for; each makes all sign-ins slower until the next start.
const COSTS_TOLD_APART: usize = 3;

/// Everything a request needs, shared by all of them.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The database.
    pub store: Arc<Store>,
    /// Clients, resource servers, keys and revocations, in memory.
    pub live: Arc<Live>,
    /// Roles, scopes, dataflows, claims.
    pub policy: Policy,
    /// Wraps, seals and derives.
    pub master: Arc<MasterKey>,
    /// The time.
    pub clock: SharedClock,
    /// Random bytes.
    pub entropy: Entropy,
    /// Password hashing.
    pub hasher: Hasher,
    /// Which passwords are accepted.
    pub password_rules: Rules,
    /// Passkeys; none when the issuer's host is an address.
    pub passkeys: Option<RelyingParty>,
    /// Failures of strangers.
    pub failure_counts: FailureCounts,
    /// Keys of clients that publish them at a URL.
    pub jwks: JwksCache,
    /// Identity providers that were spoken with lately.
    pub identity_providers: Arc<IdentityProviders>,
    /// Access tokens whose signature was verified lately.
    pub token_cache: TokenCache,
    /// Why the last sign-ins that clients sent were refused.
    pub sign_in_refusals: SignInRefusals,
    /// Successful introspections, counted.
    pub introspections: Introspections,
    /// The logo of the pages, if there is one.
    pub logo: Option<Logo>,
    /// What each client and resource server did last.
    pub latest: Arc<Latest>,
    /// The check of the record, as the console has it.
    pub check: Check,
    /// Who looked at the record in this minute.
    pub readers: Readers,
    /// Whether it was told that unusually many people are about to be disabled because they were not here for long: until
    /// they are, they may sign in.
    pub dormancy_is_told: AtomicBool,
    /// Sends mail; none: no mail server is configured.
    pub mailer: Option<Mailer>,
    /// Signs checkpoints of the record.
    pub sealer: Sealer,
}

/// Why the application cannot start: each problem with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

fn cannot(what: impl std::fmt::Display) -> StartError {
    StartError(what.to_string())
}

impl App {
    /// Opens the database, the master key and everything else. Must not run where async tasks run.
    /// `upgrade` says whether an older schema may be migrated.
    ///
    /// # Errors
    /// What is wrong, with the next step.
    pub fn open(config: Config, clock: SharedClock, upgrade: bool) -> Result<Arc<Self>, StartError> {
        let entropy = Entropy;
        make_private_directory(&config.server.data_dir)?;
        let policy = read_policy(config.policy.file.as_deref())?;
        let threads = Threads {
            readers: to_usize(config.database.readers),
            writers: to_usize(config.database.writers),
        };
        let store = Store::open(target(&config), threads, upgrade).map_err(cannot)?;
        let master = Arc::new(master_key(&store, &config.keys.master_key, entropy)?);
        let record = record_name(&config.server.issuer);
        initialise(&store, &master, &clock, &record)?;
        begin_record(&store, &master, &clock, &record)?;
        let live = live::open(&store, Arc::clone(&master), Arc::clone(&clock)).map_err(cannot)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hashing = config
            .login
            .hashing_threads
            .map_or(cores.saturating_sub(1), to_usize)
            .max(1);
        let cost = Cost {
            memory_kib: config.login.argon2_memory_kib,
            iterations: config.login.argon2_iterations,
            parallelism: config.login.argon2_parallelism,
        };
        let before = costs_stored(&store, cost).map_err(cannot)?;
        let hasher = Hasher::start(cost, &before, hashing).map_err(cannot)?;
        let password_rules = Rules::new(&config).map_err(StartError)?;
        let logo = config
            .server
            .logo_file
            .as_deref()
            .map(Logo::read)
            .transpose()
            .map_err(cannot)?;
        let outbound = Outbound::new(&config.outbound).map_err(cannot)?;
        let mailer = config.mail.as_ref();
        let mailer = mailer.map(|mail| Mailer::new(mail, &config.outbound, config.server.issuer.host()));
        let mailer = mailer.transpose().map_err(cannot)?;
        Ok(Arc::new(Self {
            passkeys: RelyingParty::of(
                &config.server.issuer,
                &config.server.name,
                Arc::clone(&master),
                Arc::clone(&clock),
                entropy,
            ),
            sealer: Sealer::new(
                Arc::clone(&store),
                Arc::clone(&master),
                Arc::clone(&clock),
                record,
                config.server.data_dir.join("record"),
            ),
            config,
            store,
            live,
            policy,
            master,
            clock,
            entropy,
            hasher,
            password_rules,
            failure_counts: FailureCounts::default(),
            identity_providers: Arc::new(IdentityProviders::new(outbound.clone())),
            jwks: JwksCache::new(outbound),
            token_cache: TokenCache::default(),
            sign_in_refusals: SignInRefusals::default(),
            introspections: Introspections::default(),
            latest: Arc::default(),
            check: Check::default(),
            readers: Readers::default(),
            dormancy_is_told: AtomicBool::new(false),
            logo,
            mailer,
        }))
    }

    /// The issuer identifier, byte for byte.
    pub fn issuer(&self) -> &str {
        self.config.server.issuer.as_str()
    }

    /// The absolute URL of a path of ours.
    pub fn url(&self, path: &str) -> String {
        self.config.server.issuer.url(path)
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// An event that happens now.
    pub fn event(&self, kind: Kind, actor: Actor) -> Event {
        Event::new(self.clock.now_millis(), kind, actor)
    }

    /// Ends the threads that follow the database.
    pub fn stop(&self) {
        self.live.stop();
    }
}

/// The costs of stored password hashes that are not today's: people who have not signed in since it was changed.
fn costs_stored(store: &Arc<Store>, today: Cost) -> Result<Vec<Cost>, Broken> {
    let mut costs = Vec::new();
    while costs.len() < COSTS_TOLD_APART {
        let prefixes: Vec<String> = std::iter::once(&today)
            .chain(&costs)
            .map(|cost: &Cost| cost.prefix())
            .collect();
        let other = store.read_blocking(move |conn| people::password_unlike(conn, &prefixes))?;
        match other
            .as_deref()
            .and_then(cost_of)
            .filter(|cost| !costs.contains(cost))
        {
            Some(cost) => costs.push(cost),
            None => break,
        }
    }
    Ok(costs)
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(1)
}

fn target(config: &Config) -> Target {
    match &config.database.url {
        Database::Sqlite(path) => Target::Sqlite(path.clone()),
        Database::Postgres(url) => Target::Postgres {
            url: url.clone(),
            root_certificate: config.database.root_certificate_file.clone(),
        },
    }
}

/// Makes the data directory, for its owner alone.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_directory(path: &Path) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|cause| {
        StartError(format!(
            "cannot make the data directory {} ([server] data_dir): {cause}",
            path.display()
        ))
    })
}

/// How much room is left where a file or directory is, in bytes; none where the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(path).ok()?;
        found.f_bavail.checked_mul(found.f_frsize)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Reads the policy file, or the built-in policy.
///
/// # Errors
/// All its mistakes.
pub fn read_policy(file: Option<&Path>) -> Result<Policy, StartError> {
    let listed =
        |mistakes: Vec<String>| StartError(format!("the policy has mistakes:\n  {}", mistakes.join("\n  ")));
    match file {
        None => Policy::built_in().map_err(listed),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|cause| {
                StartError(format!("cannot read {} ([policy] file): {cause}", path.display()))
            })?;
            Policy::from_toml(&text).map_err(listed)
        }
    }
}

/// The master key. It is made for a new database alone: what another one holds opens with its own key, and a new file in
/// the old one's place would hide that it is gone.
fn master_key(store: &Store, source: &MasterKeySource, entropy: Entropy) -> Result<MasterKey, StartError> {
    let path = match source {
        MasterKeySource::File(path) => path,
        MasterKeySource::Environment(text) => {
            return MasterKey::from_text(text.reveal(), "MDI_AUTH_MASTER_KEY").map_err(cannot);
        }
    };
    if let Some(master) = MasterKey::read_file(path).map_err(cannot)? {
        return Ok(master);
    }
    match store
        .read_blocking(installation::key_fingerprint)
        .map_err(cannot)?
    {
        Some(stored) => Err(StartError(format!(
            "there is no master key file at {}, and the database was made with the key {stored}: put the file back from its copy, or its text into MDI_AUTH_MASTER_KEY",
            path.display()
        ))),
        None => MasterKey::make_file(path, entropy).map_err(cannot),
    }
}

/// What a record begins with.
struct FirstEntry {
    key: StoredCheckpointKey,
    name: String,
    event: Event,
    now: i64,
}

impl FirstEntry {
    fn new(master: &MasterKey, clock: &SharedClock, name: &str) -> Result<Self, StartError> {
        let now = clock.now();
        let key = checkpoint::generate(master, Entropy, now).map_err(cannot)?;
        Ok(Self {
            event: Event::new(clock.now_millis(), Kind::Initialised, Actor::Server)
                .with("key_fingerprint", master.fingerprint())
                .with("checkpoint_key", &key.public_key),
            key,
            name: name.to_owned(),
            now,
        })
    }

    /// Begins the record, unless it was begun.
    fn write(&self, tx: &mut Tx<'_>) -> Stored<()> {
        audit::add_first_checkpoint_key(tx.conn(), &self.key)?;
        if audit::open_logs(tx.conn(), &self.name, self.now)? {
            tx.audit(self.event.clone());
        }
        Ok(())
    }
}

/// Begins the record of a database that was made before records were logs.
fn begin_record(
    store: &Arc<Store>,
    master: &Arc<MasterKey>,
    clock: &SharedClock,
    name: &str,
) -> Result<(), StartError> {
    if !store.read_blocking(audit::logs).map_err(cannot)?.is_empty() {
        return Ok(());
    }
    let first = FirstEntry::new(master, clock, name)?;
    store.write_blocking(move |tx| first.write(tx)).map_err(cannot)
}

/// What origins of the record begin with: the issuer without its scheme (c2sp.org/tlog-checkpoint).
fn record_name(issuer: &Issuer) -> String {
    format!("{}/audit", issuer.as_str().trim_start_matches("https://"))
}

/// Initialises an empty database with its first keys, or checks that the master key is the database's.
fn initialise(
    store: &Arc<Store>,
    master: &Arc<MasterKey>,
    clock: &SharedClock,
    record: &str,
) -> Result<(), StartError> {
    let fingerprint = master.fingerprint().to_owned();
    let stored = match store
        .read_blocking(installation::key_fingerprint)
        .map_err(cannot)?
    {
        Some(stored) => stored,
        None => {
            let now = clock.now();
            let first = [Algorithm::ES256, Algorithm::RS256]
                .into_iter()
                .map(|algorithm| keys::generate(algorithm, master, now, now))
                .collect::<Result<Vec<_>, _>>()
                .map_err(cannot)?;
            let entry = FirstEntry::new(master, clock, record)?;
            let first_write = store.write_blocking(move |tx| {
                if installation::initialise(tx.conn(), &fingerprint, now)? {
                    for key in &first {
                        crate::store::keys::add(tx.conn(), key)?;
                    }
                    entry.write(tx)?;
                }
                Ok(())
            });
            first_write.map_err(cannot)?;
            // Another process may have been first.
            store
                .read_blocking(installation::key_fingerprint)
                .map_err(cannot)?
                .unwrap_or_default()
        }
    };
    if stored == master.fingerprint() {
        Ok(())
    } else {
        Err(StartError(format!(
            "the database was made with the master key {stored}, this one is {}: put the right key into the key file or MDI_AUTH_MASTER_KEY",
            master.fingerprint()
        )))
    }
}
