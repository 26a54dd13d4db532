//! What somebody should look after, each with the next step: to each visitor what she may see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::block;

use super::facts::{Facts, State, System};
use crate::admin::access::AdminRequest;
use crate::admin::review::page_of;
use crate::app::free_bytes;
use crate::audit::activity;
use crate::config::{Database, MasterKeySource};
use crate::error::Broken;
use crate::live::{LiveServer, credentials};
use crate::model::client::Client;
use crate::model::registered::StoredSecret;
use crate::model::resource_server::ResourceServer;
use crate::policy::console::{Area, Right};
use crate::registry::review::far_reaching;
use crate::secrets::master_key::open_to_others;
use crate::tls;

const DAY: i64 = 86_400;
/// How old a secret may get.
const OLD_SECRET: i64 = 365 * DAY;
/// How long a client may be registered without ever getting a token, and a resource server without ever asking.
const NEVER: i64 = 7 * DAY;
/// How long the record may go without a check.
const UNCHECKED: i64 = 30 * DAY;
/// How long access may go without a review.
const UNREVIEWED: i64 = 365 * DAY;
/// Less room than this on the disk is told, in bytes.
const LITTLE_ROOM: u64 = 1_000_000_000;
/// How many systems a warning names.
const NAMED: usize = 5;
/// The purpose of use of test systems (v3-ActReason), which only a demo gives out.
const TEST_PURPOSE: &str = "HTEST";

/// Something to look after.
#[derive(Debug)]
pub struct Warning {
    /// A word that names it in the page.
    pub id: &'static str,
    /// Whether something is broken or open now.
    pub urgent: bool,
    /// What it is.
    pub what: String,
    /// What to do.
    pub step: &'static str,
    /// Whom it concerns: name and page.
    pub whom: Vec<(String, String)>,
    /// How many more.
    pub more: usize,
    /// Where to do it: page and name of the link.
    pub link: Option<(String, &'static str)>,
}

impl Warning {
    fn new(id: &'static str, what: impl Into<String>, step: &'static str) -> Self {
        Self {
            id,
            urgent: false,
            what: what.into(),
            step,
            whom: Vec::new(),
            more: 0,
            link: None,
        }
    }

    fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }

    fn link(self, url: impl Into<String>, name: &'static str) -> Self {
        Self {
            link: Some((url.into(), name)),
            ..self
        }
    }

    /// The same for the systems that it concerns; none: for nobody.
    fn concerning(self, whom: Whom) -> Option<Self> {
        let more = whom.count - whom.named.len();
        (whom.count > 0).then_some(Self {
            whom: whom.named,
            more,
            ..self
        })
    }
}

/// Whom a warning concerns: the first few by name and page, and how many.
#[derive(Debug, Default)]
struct Whom {
    named: Vec<(String, String)>,
    count: usize,
}

impl Whom {
    fn add(&mut self, page: impl FnOnce() -> (String, String)) {
        if self.named.len() < NAMED {
            self.named.push(page());
        }
        self.count += 1;
    }
}

/// All that this visitor should know of, the urgent first.
pub async fn warnings(
    admin: &AdminRequest,
    facts: &Facts,
    systems: &[System<'_>],
) -> Result<Vec<Warning>, Broken> {
    let may = |area| admin.may(area, Right::Read);
    let mut found = Vec::new();
    if may(Area::Clients) {
        found.extend(of_clients(admin, systems));
        found.extend(of_secrets(admin, systems));
    }
    if may(Area::ResourceServers) {
        found.extend(of_resource_servers(admin, facts));
    }
    if may(Area::Audit) {
        found.extend(of_record(admin, facts));
    }
    if may(Area::AccessReview) {
        found.extend(of_review(admin, facts));
        found.extend(of_reach(admin, facts));
    }
    if may(Area::Administrators) && facts.administrators.0 < 2 {
        let what = if facts.administrators.1 > 0 {
            "Somebody else has the role but has not accepted the invitation yet. Remind them, or make a new invitation."
        } else {
            "Give a second person the role, so that nobody is shut out when one is ill or leaves."
        };
        found.push(
            Warning::new("one-administrator", "There is only one administrator.", what)
                .link("/admin/users", "Open people"),
        );
    }
    let many_dormant = admin.app.dormancy_is_told.load(Ordering::Relaxed);
    if may(Area::People) && many_dormant {
        found.push(
            Warning::new(
                "many-dormant",
                "Unusually many people have not been here for a long time, and will be disabled within a day.",
                "Ask those who still need their account to sign in. If nobody should be disabled, look whether the server’s clock is right.",
            )
            .urgent()
            .link("/admin/users", "Open people"),
        );
    }
    if may(Area::Configuration) {
        found.extend(of_installation(admin).await?);
    }
    found.sort_by_key(|warning| !warning.urgent);
    Ok(found)
}

fn client_page(client: &Client) -> (String, String) {
    (client.name.clone(), format!("/admin/clients/{}", client.id))
}

fn server_page(server: &ResourceServer) -> (String, String) {
    (
        server.name.clone(),
        format!("/admin/resource-servers/{}", server.id),
    )
}

/// The enabled resource servers by their names.
fn servers(admin: &AdminRequest) -> Vec<Arc<LiveServer>> {
    let mut servers = admin.app.live.resource_servers();
    servers.retain(|live| live.server.enabled);
    servers.sort_by(|one, other| {
        (&one.server.name, &one.server.id).cmp(&(&other.server.name, &other.server.id))
    });
    servers
}

fn enabled<'a>(systems: &'a [System<'a>]) -> impl Iterator<Item = &'a System<'a>> {
    systems.iter().filter(|system| system.entry.live.client.enabled)
}

fn of_clients(admin: &AdminRequest, systems: &[System<'_>]) -> Vec<Warning> {
    let now = admin.app.now();
    if systems.is_empty() {
        let none = Warning::new(
            "no-client",
            "No client is registered yet.",
            "Register the first system that is to get tokens here.",
        );
        let link = if admin.changes(Area::Clients) {
            "/admin/clients/new"
        } else {
            "/admin/clients"
        };
        return vec![none.link(link, "Open clients")];
    }
    let (mut is_demo, mut failing, mut silent) = (false, Whom::default(), Whom::default());
    for System { entry, last, state } in enabled(systems) {
        let client = &entry.live.client;
        is_demo |= client
            .settings
            .purposes
            .iter()
            .flatten()
            .any(|purpose| purpose == TEST_PURPOSE);
        if *state == State::Failing {
            failing.add(|| {
                let (name, url) = client_page(client);
                let reason = last
                    .and_then(|last| last.last_failure.as_deref())
                    .map(activity::in_words);
                (format!("{name} ({})", reason.unwrap_or_default()), url)
            });
        }
        if client.created_at < now - NEVER && last.is_none_or(|last| last.last_token_at.is_none()) {
            silent.add(|| client_page(client));
        }
    }
    let demo = Warning::new(
        "demo",
        "This is a demo.",
        "Never use it for real data: everybody who reads its introduction knows its passwords.",
    );
    let found = [
        is_demo.then_some(demo),
        Warning::new(
            "failing",
            "Refused since their last token:",
            "Open the client to see why, and tell its vendor.",
        )
        .urgent()
        .concerning(failing),
        Warning::new(
            "never",
            "Registered for a week, but never got a token:",
            "Ask the vendor whether the connection is set up, or disable the client.",
        )
        .concerning(silent),
    ];
    found.into_iter().flatten().collect()
}

/// Secrets and keys, of clients and of resource servers.
fn of_secrets(admin: &AdminRequest, systems: &[System<'_>]) -> Vec<Warning> {
    let now = admin.app.now();
    let (mut none, mut ending, mut old) = (Whom::default(), Whom::default(), Whom::default());
    let mut look =
        |page: &dyn Fn() -> (String, String), ends: Option<i64>, secrets: Option<&[StoredSecret]>| {
            let made_at = secrets.and_then(|secrets| credentials::made_at(secrets, now));
            if secrets.is_some() && made_at.is_none() {
                none.add(page);
            } else if let Some(ends) = ends.filter(|ends| *ends < now + credentials::SOON) {
                ending.add(|| {
                    let (name, url) = page();
                    (format!("{name} ({})", admin.zone.when(ends).words), url)
                });
            } else if made_at.is_some_and(|made_at| made_at < now - OLD_SECRET) {
                old.add(page);
            }
        };
    // Servers first: there are few, and many need each.
    for live in servers(admin) {
        let server = &live.server;
        // One that has keys proves itself with those.
        let by_secret = server.settings.jwks.is_none() && server.settings.jwks_uri.is_none();
        let secrets = by_secret.then_some(server.secrets.as_slice());
        look(
            &|| server_page(server),
            secrets.and_then(credentials::secrets_end),
            secrets,
        );
    }
    for System { entry, .. } in enabled(systems) {
        let client = &entry.live.client;
        let secrets = client
            .settings
            .auth_method
            .uses_secret()
            .then_some(client.secrets.as_slice());
        look(&|| client_page(client), entry.ends, secrets);
    }
    let found = [
        Warning::new("no-secret", "No valid secret, so nothing works:", "Make a new secret and pass it on.")
            .urgent()
            .concerning(none),
        Warning::new(
            "ending",
            "The secret or key ends within 14 days:",
            "Make the next secret now and pass it on, or ask for the next key: both are valid until the old one ends.",
        )
        .urgent()
        .concerning(ending),
        Warning::new(
            "old-secret",
            "The secret is older than a year:",
            "Make a new one. The old one stays valid for a while, so nothing stops.",
        )
        .concerning(old),
    ];
    found.into_iter().flatten().collect()
}

fn of_resource_servers(admin: &AdminRequest, facts: &Facts) -> Option<Warning> {
    let now = admin.app.now();
    let mut silent = Whom::default();
    for live in servers(admin) {
        let made_at = live.server.created_at;
        let last = facts.last(&live.server.id);
        let asked = last
            .and_then(|last| last.last_introspection_at)
            .is_some_and(|at| at >= made_at);
        if made_at < now - NEVER && !asked {
            silent.add(|| server_page(&live.server));
        }
    }
    Warning::new("never-asked", "Registered for a week, but never asked whether a token is still good:", "A server that only checks signatures does not learn of what was taken back. Ask its vendor about introspection.")
        .concerning(silent)
}

fn of_record(admin: &AdminRequest, facts: &Facts) -> Option<Warning> {
    let late = admin.app.now() - UNCHECKED;
    let check = |warning: Warning| Some(warning.link("/admin/audit/check", "State of the record"));
    match facts.checked {
        Some((_, false)) => check(
            Warning::new(
                "record-findings",
                "The last check of the record found that it was changed.",
                "See what was found, and tell whoever answers for security.",
            )
            .urgent(),
        ),
        Some((at, true)) if at >= late => None,
        None if facts.installed_at >= late => None,
        _ => check(Warning::new(
            "record-unchecked",
            "The record was not checked for 30 days.",
            "Have it checked: it takes a click.",
        )),
    }
}

fn of_review(admin: &AdminRequest, facts: &Facts) -> Option<Warning> {
    let since = facts.reviewed_at.unwrap_or(facts.installed_at);
    (since < admin.app.now() - UNREVIEWED).then(|| {
        Warning::new(
            "unreviewed",
            "Nobody reviewed for a year who holds which role.",
            "Go through the list, take back what is not needed, and sign it off.",
        )
        .link("/admin/access-review", "Open the access review")
    })
}

/// Systems that act without asking people or read every token, until somebody has signed that they should.
fn of_reach(admin: &AdminRequest, facts: &Facts) -> Option<Warning> {
    let mut new = Whom::default();
    for system in far_reaching(&admin.app) {
        if facts.reviewed_at.is_none_or(|at| system.changed >= at) {
            new.add(|| (format!("{} ({})", system.name, system.what), page_of(&system)));
        }
    }
    Warning::new(
        "far-reaching",
        "These systems reach far, and nobody has confirmed it yet:",
        "Look whether each of them should. Signing off the access review confirms it.",
    )
    .concerning(new)
    .map(|warning| warning.link("/admin/access-review", "Open the access review"))
}

/// What belongs to the machine: certificate, master key, mail.
async fn of_installation(admin: &AdminRequest) -> Result<Vec<Warning>, Broken> {
    let mut found = Vec::new();
    let config = &admin.app.config;
    if config.mail.is_none() {
        found.push(Warning::new("no-mail", "No mail server is configured.", "Invitations and new passwords have to be passed on by hand. Set [mail] in the configuration file to have them sent."));
    }
    let room = match &config.database.url {
        Database::Sqlite(path) => path.parent().and_then(free_bytes),
        Database::Postgres(_) => None,
    };
    if let Some(free) = room.filter(|free| *free < LITTLE_ROOM) {
        found.push(
            Warning::new(
                "little-room",
                format!(
                    "Only {} MB are free on the disk with the database.",
                    free / 1_000_000
                ),
                "Make room. When the disk is full, nobody can sign in and no system gets a token.",
            )
            .urgent(),
        );
    }
    let key_file = match &config.keys.master_key {
        MasterKeySource::File(path) => Some(path.clone()),
        MasterKeySource::Environment(_) => None,
    };
    let server = config.server.clone();
    let now = admin.app.now();
    // Files are read where they hold nobody up.
    let (open, certificate) = block(move || {
        (
            key_file.as_deref().is_some_and(is_open),
            certificate(&server, now),
        )
    })
    .await
    .map_err(Broken::defect)?;
    if open {
        found.push(
            Warning::new(
                "open-key",
                "Others on this machine may read the master key.",
                "Run chmod 600 on its file. If somebody may have read it, replace it with `mdi-auth key rewrap`.",
            )
            .urgent(),
        );
    }
    found.extend(certificate.map(|problem| {
        Warning::new(
            "certificate",
            problem,
            "Put a new certificate in its place. The server takes it without a restart.",
        )
        .urgent()
    }));
    Ok(found)
}

fn is_open(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| open_to_others(&metadata) != 0)
}

/// What is wrong with the certificate, if an administrator has to renew it.
fn certificate(server: &crate::config::ServerConfig, now: i64) -> Option<String> {
    server.tls.as_ref()?;
    match tls::inspect(server) {
        Ok(certificate) => {
            let problem = certificate
                .problems(server.issuer.host(), now)
                .into_iter()
                .next()?;
            Some(format!("{}.", problem.replacen("the TLS", "The TLS", 1)))
        }
        Err(cause) => Some(format!("The TLS certificate cannot be used: {cause}.")),
    }
}
