//! The review of access: who holds which role, taken out as a file, and that somebody has looked at it.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::{Decided, Registry, mistake};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::model::registered::Registered;
use crate::policy::console::Area;
use crate::registry::noun::Registrable;
use crate::registry::spreadsheet;
use crate::store::audit::{self, AuditRow, Concerned};
use crate::store::people::AT;
use crate::store::people::listing::{self, Holder};
use crate::store::{Conn, Stored, Tx};

/// How many rows are read at a time.
const AT_ONCE: usize = 1000;
/// The longest note, in characters.
const LONGEST_NOTE: usize = 1000;
/// How old a list may be that somebody signs for, in seconds.
const LIST_HOLDS: i64 = 30 * 86_400;
/// How many exports of somebody are looked at.
const EXPORTS: i64 = 20;
/// What the record calls the list.
const LIST: &str = "access review";

/// A list that somebody has taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The role that it was about; none: all roles.
    pub role: Option<String>,
    /// How many people were in it.
    pub people: usize,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of who held which role.
    holdings: String,
}

/// Who holds which role, whether they may sign in: what a review is about.
#[derive(Default)]
struct Holdings {
    people: std::collections::BTreeSet<String>,
    lines: String,
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

fn each_holder(conn: &mut Conn, role: Option<&str>, mut take: impl FnMut(&Holder)) -> Stored<Holdings> {
    let mut holdings = Holdings::default();
    let mut after = None;
    loop {
        let holders = listing::holders(conn, role, after.as_ref(), AT_ONCE)?;
        for holder in &holders {
            take(holder);
            holdings.people.insert(holder.person_id.clone());
            holdings.lines.push_str(&format!(
                "{} {} {}\n",
                holder.role, holder.person_id, holder.enabled
            ));
        }
        match holders.last() {
            Some(last) => after = Some((last.role.clone(), last.name_key.clone(), last.person_id.clone())),
            None => return Ok(holdings),
        }
    }
}

/// What people call a role; of one that is held for an agency, with the agency.
pub fn role_in_words(app: &App, held: &str) -> String {
    let (code, agency) = held
        .split_once(AT)
        .map_or((held, None), |(code, id)| (code, Some(id)));
    let label = app.policy.role(code).map_or(code, |role| role.label.as_str());
    match agency {
        Some(id) => format!("{label} at {}", app.live.agencies().name(id)),
        None => label.to_owned(),
    }
}

/// The list as it is now.
pub struct List {
    /// Comma-separated values.
    pub file: Vec<u8>,
    role: Option<String>,
    holdings: Holdings,
}

impl List {
    /// SHA-256 of the file.
    pub fn sha256(&self) -> String {
        sha256(&self.file)
    }

    /// How many people are in it.
    pub fn people(&self) -> usize {
        self.holdings.people.len()
    }
}

/// A system about which only administrators decide.
#[derive(Debug)]
pub struct FarReaching {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// What it is: a client or a resource server.
    pub area: Area,
    /// What it does.
    pub what: &'static str,
    /// When it was last changed, in seconds since the epoch.
    pub changed: i64,
}

/// The systems that act without asking people, or read more than what is theirs.
pub fn far_reaching(app: &App) -> Vec<FarReaching> {
    let clients = app.live.client_index();
    let clients = clients.all().map(|live| of_system(app, &live.client));
    let servers = app.live.resource_servers();
    let servers = servers.iter().map(|live| of_system(app, &live.server));
    let mut found: Vec<FarReaching> = clients.chain(servers).flatten().collect();
    found.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    found
}

fn of_system<S: Registrable>(app: &App, system: &Registered<S>) -> Option<FarReaching> {
    let (key, _) = system
        .settings
        .for_administrators(&app.policy)
        .filter(|_| system.enabled)?;
    Some(FarReaching {
        name: system.name.clone(),
        id: system.id.clone(),
        area: S::NOUN.area,
        what: match key {
            "consent" => "acts for people without asking them",
            "introspect" => "may read every token",
            _ => "acts for people beyond the dataflows of the policy",
        },
        changed: system.updated_at,
    })
}

/// Reads the list, on a reader: it may be long, and what is changed meanwhile is found when somebody signs for it.
pub fn list(app: &App, conn: &mut Conn, role: Option<String>) -> Stored<List> {
    let time = |at: i64| jiff::Timestamp::from_second(at).map_or_else(|_| String::new(), |at| at.to_string());
    let mut rows: Vec<[String; 8]> = Vec::new();
    let agencies = app.live.agencies();
    let holdings = each_holder(conn, role.as_deref(), |holder| {
        let label = role_in_words(app, &holder.role);
        rows.push([
            holder.role.clone(),
            label,
            holder.username.clone(),
            holder.name.clone(),
            holder
                .agency()
                .map_or_else(String::new, |id| agencies.name(&id).to_owned()),
            if holder.enabled { "may sign in" } else { "disabled" }.to_owned(),
            holder.last_login_at.map_or_else(|| "never".to_owned(), time),
            time(holder.given_at),
        ]);
    })?;
    let head = vec![
        "role",
        "role_name",
        "username",
        "name",
        "agency",
        "state",
        "last_sign_in",
        "holds_role_since",
    ];
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect());
    Ok(List {
        file: spreadsheet::write(std::iter::once(head).chain(rows)),
        role,
        holdings,
    })
}

/// Records that a list is taken out, with its fingerprint.
pub fn export(registry: &Registry, tx: &mut Tx<'_>, list: &List) -> Decided<()> {
    let event = registry
        .event(Kind::Exported, "exported")
        .with("what", LIST)
        .with("role", list.role.clone().unwrap_or_default())
        .with("people", list.people().to_string())
        .with("sha256", list.sha256())
        .with("holdings", sha256(list.holdings.lines.as_bytes()));
    tx.audit(event);
    Ok(Ok(()))
}

/// The list that a person has taken out last, and may sign for.
pub fn last_export(conn: &mut Conn, person_id: &str, now: i64) -> Stored<Option<Exported>> {
    let since = (now - LIST_HOLDS) * 1000;
    let rows = audit::last_of(
        conn,
        &Concerned::Person(person_id.to_owned()),
        &[Kind::Exported],
        since,
        EXPORTS,
    )?;
    Ok(rows.iter().find_map(read_export))
}

fn read_export(row: &AuditRow) -> Option<Exported> {
    let body: Value = serde_json::from_str(&row.body).ok()?;
    let detail = |name: &str| body.get("detail")?.get(name)?.as_str().map(str::to_owned);
    if detail("what")? != LIST {
        return None;
    }
    Some(Exported {
        at_ms: row.at_ms,
        role: detail("role").filter(|role| !role.is_empty()),
        people: detail("people")?.parse().ok()?,
        sha256: detail("sha256")?,
        holdings: detail("holdings")?,
    })
}

/// Records that whoever acts has looked at a list that she has taken out, by its fingerprint.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn sign_off(registry: &Registry, tx: &mut Tx<'_>, fingerprint: &str, note: &str) -> Decided<()> {
    let Actor::Person(me) = registry.actor().clone() else {
        return Ok(mistake("export", "only a person looks at a list"));
    };
    let exported = last_export(tx.conn(), &me, registry.app.now())?;
    let Some(exported) = exported.filter(|exported| exported.sha256 == fingerprint) else {
        return Ok(mistake(
            "export",
            "this is not the list that you have downloaded last: download it again",
        ));
    };
    if note.chars().count() > LONGEST_NOTE {
        return Ok(mistake(
            "note",
            format!(
                "it has {} characters; at most {LONGEST_NOTE} are kept",
                note.chars().count()
            ),
        ));
    }
    let holdings = each_holder(tx.conn(), exported.role.as_deref(), |_| {})?;
    if sha256(holdings.lines.as_bytes()) != exported.holdings {
        return Ok(mistake(
            "export",
            "roles were given or taken since you downloaded the list: download it again and look at what is new",
        ));
    }
    // Within one second, nobody knows which was first.
    let since = exported.at_ms.div_euclid(1000);
    if let Some(system) = far_reaching(&registry.app)
        .iter()
        .find(|system| system.changed >= since)
    {
        return Ok(mistake(
            "export",
            format!(
                "{:?} {}, and was changed since you downloaded the list: look at it, then download the list again",
                system.name, system.what
            ),
        ));
    }
    let event = registry
        .event(Kind::AccessReviewed, "signed_off")
        .with("role", exported.role.unwrap_or_default())
        .with("people", exported.people.to_string())
        .with("sha256", exported.sha256)
        .with("note", note);
    tx.audit(event);
    Ok(Ok(()))
}
