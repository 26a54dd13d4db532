//! `mdi-auth check`: whether the server would run well, with the next step for each problem. It works before the first
//! start, and makes nothing that `serve` would make, but for the tables of an empty PostgreSQL database.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::outcome::{CommandRefused, Done};
use super::output::{print, time};
use super::start::{Start, log};
use crate::app::logo::Logo;
use crate::app::{free_bytes, read_policy};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database, MasterKeySource};
use crate::keys::{ClientKeys, Keyring};
use crate::live::valid_secrets;
use crate::model::client::{Client, ClientSettings};
use crate::model::registered::StoredSecret;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings, TokenFormat};
use crate::model::signing::StoredKey;
use crate::outbound::mail::Mailer;
use crate::policy::Policy;
use crate::registry::keys::State;
use crate::secrets::master_key::{MasterKey, open_to_others};
use crate::secrets::password_rules::count_listed;
use crate::store::{Store, Target, Threads, installation, keys, registered};
use crate::tls::{self, TlsError};
use crate::web::connections::Capacity;
use crate::webauthn::RelyingParty;

/// 2025-01-01: an earlier clock is wrong.
const EARLIEST: i64 = 1_735_689_600;
/// How long before its end a secret or key is named, in seconds.
const SOON: i64 = 14 * 86_400;

/// Fewer connections than this are named: browsers hold several each.
const FEW_CONNECTIONS: usize = 1000;

/// With less room than this the server would soon stand still, in bytes.
const LEAST_ROOM: u64 = 100_000_000;
/// Less room than this is told, in bytes.
const LITTLE_ROOM: u64 = 1_000_000_000;

/// What was found.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    problems: usize,
}

impl Report {
    fn good(&mut self, text: impl Into<String>) {
        self.lines.push(format!("ok       {}", text.into()));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.lines.push(format!("note     {}", text.into()));
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems += 1;
        self.lines.push(format!("PROBLEM  {}", text.into()));
    }
}

pub(super) fn run(start: &Start) -> Done {
    log("error", false);
    let config = start.config()?;
    let now = SystemClock.now();
    let mut report = Report::default();
    report.good(format!(
        "configuration: issuer {}, listens on {}",
        config.server.issuer, config.server.listen
    ));
    if now < EARLIEST {
        report.problem(format!(
            "clock: it says {}; set it, and keep it right with NTP: tokens depend on it",
            time(now)
        ));
    } else {
        report.good(format!("clock: {}", time(now)));
    }
    let policy = match read_policy(config.policy.file.as_deref()) {
        Ok(policy) => {
            report.good(format!(
                "policy: {} roles, {} dataflows",
                policy.roles().len(),
                policy.dataflows().len()
            ));
            Some(policy)
        }
        Err(cause) => {
            report.problem(format!("policy: {cause}"));
            None
        }
    };
    check_sign_in(&mut report, &config);
    check_descriptors(&mut report);
    if !RelyingParty::is_possible(&config.server.issuer, &config.server.name) {
        report.note(format!(
            "passkeys: browsers want a host name, and {} is an address, so none is offered; give the issuer a name",
            config.server.issuer.host()
        ));
    }
    if let Some(Err(cause)) = config.server.logo_file.as_deref().map(Logo::read) {
        report.problem(format!("logo: {cause}"));
    }
    check_data_dir(&mut report, &config.server.data_dir);
    check_room(&mut report, &config);
    let master = check_master_key(&mut report, &config);
    check_database(&mut report, &config, master.as_ref(), policy.as_ref(), now);
    check_tls(&mut report, &config, now);
    check_mail(&mut report, &config);
    for line in &report.lines {
        print(line)?;
    }
    match report.problems {
        0 => print("the server would run well"),
        1 => Err(CommandRefused(
            "1 problem: the server would not run well".to_owned(),
        )),
        count => Err(CommandRefused(format!(
            "{count} problems: the server would not run well"
        ))),
    }
}

/// The profile, and where the installation is less strict.
fn check_sign_in(report: &mut Report, config: &Config) {
    report.good(format!("sign-in: profile {}", config.login.policy));
    for weaker in config.login.weaker_than_profile() {
        report.note(format!("sign-in: [login] {weaker}"));
    }
    if let Some(path) = &config.login.password_blocklist_file {
        match count_listed(path) {
            Ok(count) => report.good(format!("sign-in: {} refuses {count} passwords", path.display())),
            Err(cause) => report.problem(format!("sign-in: {cause}")),
        }
    }
}

/// What the system's limit of open files allows.
fn check_descriptors(report: &mut Report) {
    let capacity = Capacity::possible();
    let limit = capacity.descriptors.map_or_else(
        || "without a limit".to_owned(),
        |limit| format!("at most {limit}"),
    );
    let text = format!(
        "connections: {} at a time, {} of them from one address (open files: {limit})",
        capacity.all, capacity.of_one
    );
    if capacity.all < FEW_CONNECTIONS {
        report.note(format!(
            "{text}; few: raise the limit of open files (ulimit -Hn, LimitNOFILE)"
        ));
    } else {
        report.good(text);
    }
}

fn check_data_dir(report: &mut Report, path: &Path) {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            report.note(format!(
                "data directory: {shown} does not exist; serve will create it"
            ));
        }
        Err(cause) => report.problem(format!("data directory: cannot look at {shown}: {cause}")),
        Ok(metadata) if !metadata.is_dir() => {
            report.problem(format!(
                "data directory: {shown} is not a directory; set [server] data_dir to one"
            ));
        }
        Ok(metadata) if open_to_others(&metadata) & 0o022 != 0 => {
            report.problem(format!(
                "data directory: others may write to {shown}; run chmod 700 {shown}"
            ));
        }
        Ok(metadata) if open_to_others(&metadata) != 0 => {
            report.note(format!(
                "data directory: others may look into {shown}; chmod 700 {shown} keeps them out"
            ));
        }
        Ok(_) => report.good(format!("data directory: {shown}")),
    }
}

/// How much room is left, and whether a backup of the directory would hold the key beside what it opens.
fn check_room(report: &mut Report, config: &Config) {
    let directory = &config.server.data_dir;
    let Database::Sqlite(database) = &config.database.url else {
        return;
    };
    let holder = database.parent().unwrap_or(directory);
    if let Some(free) = free_bytes(holder) {
        let shown = format!("disk: {} MB are free at {}", free / 1_000_000, holder.display());
        if free < LEAST_ROOM {
            report.problem(format!(
                "{shown}; make room: without any, nobody can sign in and no token is issued"
            ));
        } else if free < LITTLE_ROOM {
            report.note(format!("{shown}; make room before it is used up"));
        } else {
            report.good(shown);
        }
    }
    if let MasterKeySource::File(key) = &config.keys.master_key
        && key.parent() == database.parent()
        && key.exists()
    {
        report.note(format!(
            "master key: it lies beside the database, in {}: a copy of that directory opens everything; keep a copy of the key elsewhere, and copies of the database without it",
            holder.display()
        ));
    }
}

fn check_master_key(report: &mut Report, config: &Config) -> Option<MasterKey> {
    let read = match &config.keys.master_key {
        MasterKeySource::Environment(text) => MasterKey::from_text(text.reveal(), "MDI_AUTH_MASTER_KEY"),
        MasterKeySource::File(path) => {
            let shown = path.display();
            let Some(read) = MasterKey::read_file(path).transpose() else {
                report.note(format!(
                    "master key: {shown} does not exist; serve will create it with an empty database"
                ));
                return None;
            };
            if std::fs::metadata(path).is_ok_and(|metadata| open_to_others(&metadata) != 0) {
                report.problem(format!(
                    "master key: others may read {shown}; run chmod 600 {shown}"
                ));
            }
            read
        }
    };
    match read {
        Ok(master) => {
            report.good(format!("master key: fingerprint {}", master.fingerprint()));
            Some(master)
        }
        Err(cause) => {
            report.problem(format!("master key: {cause}"));
            None
        }
    }
}

fn check_database(
    report: &mut Report,
    config: &Config,
    master: Option<&MasterKey>,
    policy: Option<&Policy>,
    now: i64,
) {
    let target = match &config.database.url {
        Database::Sqlite(path) if !path.exists() => {
            return report.note(format!(
                "database: {} does not exist; serve will create it",
                path.display()
            ));
        }
        Database::Sqlite(path) => Target::Sqlite(path.clone()),
        Database::Postgres(url) => Target::Postgres {
            url: url.clone(),
            root_certificate: config.database.root_certificate_file.clone(),
        },
    };
    let store = match Store::open(
        target,
        Threads {
            readers: 1,
            writers: 1,
        },
        false,
    ) {
        Ok(store) => store,
        Err(cause) => return report.problem(format!("database: {cause}")),
    };
    if let Err(cause) = check_content(report, &store, master, policy, now) {
        report.problem(format!("database: {cause}"));
    }
}

fn check_content(
    report: &mut Report,
    store: &Arc<Store>,
    master: Option<&MasterKey>,
    policy: Option<&Policy>,
    now: i64,
) -> Result<(), crate::error::Broken> {
    let Some(fingerprint) = store.read_blocking(installation::key_fingerprint)? else {
        report.note("database: it is empty; serve will initialise it");
        return Ok(());
    };
    report.good("database: it answers and has this program's schema");
    let servers = store.read_blocking(registered::all::<ResourceServerSettings>)?;
    match master {
        None => report.problem(format!("master key: the database was made with the key {fingerprint}; restore it from its backup")),
        Some(master) if master.fingerprint() != fingerprint => report.problem(format!(
            "master key: the database was made with the key {fingerprint}, this one is {}; put the right one into its place",
            master.fingerprint()
        )),
        Some(master) => check_signing_keys(report, &store.read_blocking(keys::all)?, master, &servers, now),
    }
    for server in servers.iter().filter(|server| server.enabled) {
        let keys = server.settings.jwks.as_deref();
        let by_secret = keys.is_none() && server.settings.jwks_uri.is_none();
        check_credentials(
            report,
            &format!("resource server {}", server.id),
            by_secret.then_some(&server.secrets),
            keys,
            now,
        );
    }
    for client in store
        .read_blocking(registered::all::<ClientSettings>)?
        .iter()
        .filter(|client| client.enabled)
    {
        check_client(report, client, policy, now);
    }
    Ok(())
}

fn check_signing_keys(
    report: &mut Report,
    keys: &[StoredKey],
    master: &MasterKey,
    servers: &[ResourceServer],
    now: i64,
) {
    if let Err(cause) = Keyring::load(keys, master, now) {
        return report.problem(format!(
            "signing keys: {cause}; restore the database and the master key from one backup"
        ));
    }
    let signing: Vec<&StoredKey> = keys
        .iter()
        .filter(|key| State::of(key, now) == State::Signing)
        .collect();
    if signing.is_empty() {
        return report.problem("signing keys: none signs; run `mdi-auth key rotate --alg ES256`");
    }
    let names: Vec<&str> = signing.iter().map(|key| key.algorithm.as_str()).collect();
    report.good(format!("signing keys: {}", names.join(", ")));
    let jwt = |server: &&ResourceServer| server.enabled && server.settings.token_format == TokenFormat::Jwt;
    for server in servers.iter().filter(jwt) {
        let algorithm = server.settings.signing_alg;
        if !signing.iter().any(|key| key.algorithm == algorithm) {
            let alg = algorithm.as_str();
            report.problem(format!(
                "signing keys: none signs with {alg}, which {} wants; run `mdi-auth key rotate --alg {alg}`",
                server.id
            ));
        }
    }
}

fn check_client(report: &mut Report, client: &Client, policy: Option<&Policy>, now: i64) {
    let name = format!("client {}", client.id);
    if policy.is_some_and(|policy| policy.dataflow(&client.settings.dataflow).is_none()) {
        report.problem(format!(
            "{name}: the policy has no dataflow {}; mend the policy, or apply the client with another",
            client.settings.dataflow
        ));
    }
    let by_secret = client.settings.auth_method.uses_secret();
    check_credentials(
        report,
        &name,
        by_secret.then_some(&client.secrets),
        client.settings.jwks.as_deref(),
        now,
    );
}

/// Secrets and registered keys that have ended, or end soon.
fn check_credentials(
    report: &mut Report,
    name: &str,
    secrets: Option<&Vec<StoredSecret>>,
    jwks: Option<&str>,
    now: i64,
) {
    if let Some(secrets) = secrets {
        // A secret without an end outlives all others.
        match valid_secrets(secrets, now)
            .map(|secret| secret.expires_at.unwrap_or(i64::MAX))
            .max()
        {
            None => report.note(format!("{name}: it has no valid secret; rotate-secret makes one")),
            Some(ends) if ends < now + SOON => report.note(format!(
                "{name}: its last secret ends at {}; rotate-secret makes another",
                time(ends)
            )),
            Some(_) => {}
        }
    }
    let Some(jwks) = jwks else { return };
    if let Err(problem) = ClientKeys::parse(jwks) {
        report.note(format!("{name}: its registered keys cannot be used: {problem}"));
    }
    let document: serde_json::Value = serde_json::from_str(jwks).unwrap_or_default();
    for key in document
        .get("keys")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
    {
        let kid = key
            .get("kid")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("without kid");
        if let Some(ends) = key
            .get("exp")
            .and_then(serde_json::Value::as_i64)
            .filter(|ends| *ends < now + SOON)
        {
            report.note(format!(
                "{name}: its key {kid} ends at {}; ask for the next one",
                time(ends)
            ));
        }
    }
}

fn check_tls(report: &mut Report, config: &Config, now: i64) {
    let own = config.server.tls.is_none();
    match tls::inspect(&config.server) {
        Ok(certificate) => {
            let problems = certificate.problems(config.server.issuer.host(), now);
            for problem in &problems {
                // Our own certificate is made anew by serve.
                if own {
                    report.note(format!("{problem}; serve will do so"))
                } else {
                    report.problem(problem)
                }
            }
            if problems.is_empty() {
                report.good(format!(
                    "TLS certificate: for {}, until {}",
                    certificate.names.join(", "),
                    time(certificate.not_after)
                ));
            }
        }
        Err(TlsError::File { cause, .. }) if own && cause.kind() == ErrorKind::NotFound => {
            report.note(
                "TLS certificate: none is configured; serve will make one, signed by an authority of its own",
            );
        }
        Err(cause) => report.problem(format!("TLS certificate: {cause}")),
    }
}

fn check_mail(report: &mut Report, config: &Config) {
    let Some(mail) = &config.mail else {
        return report
            .note("mail: [mail] is not configured; nobody gets invitations or new passwords by mail");
    };
    let server = format!("{}:{}", mail.host, mail.port);
    let mailer = match Mailer::new(mail, &config.outbound, config.server.issuer.host()) {
        Ok(mailer) => mailer,
        Err(cause) => return report.problem(format!("mail: {cause}")),
    };
    match actix_web::rt::System::new().block_on(mailer.check()) {
        Ok(()) => report.good(format!("mail: {server} takes our mail")),
        Err(cause) => report.problem(format!(
            "mail: {server} cannot be used: {cause}; look at [mail] host, port, tls, username and password, and at [outbound] extra_ca_file if its certificate is from an authority of your own"
        )),
    }
}
