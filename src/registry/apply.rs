//! The apply file: agencies, resource servers, clients, identity providers and people as they should be. It merges and
//! never deletes: what the file does not say stays. All or nothing, in one transaction; a second run changes nothing. All
//! mistakes are told at once, each with its table and key.

use std::collections::HashSet;
use std::fmt::{self, Display};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::belonging::Known;
use super::links::{self, Issued};
use super::noun::{self, Around, Draft, Registrable};
use super::people::{self, Hashes, PersonForm};
use super::said::{Merge, Said};
use super::{Mistake, Omitted, Refused, Registry, keys};
use crate::model::agency::{Agency, AgencySettings};
use crate::model::client::{Client, ClientSettings};
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::model::link::LinkKind;
use crate::model::names::username_key;
use crate::model::person::Person;
use crate::model::registered::Registered;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings};
use crate::model::secret::Secret;
use crate::model::signing::Algorithm;
use crate::policy::console::ADMINISTRATOR;
use crate::store::{Conn, Stored, Tx, people as stored_people, registered};

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file, or what it asks for, has mistakes: one line each.
    #[error("{}", .0.join("\n"))]
    Mistakes(Vec<String>),
    /// Something of ours broke.
    #[error("{0}")]
    Refused(#[from] Refused),
}

/// What was done, or would be.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// One line an object: `+` new, `~` changed, `=` as it was.
    pub lines: Vec<String>,
    /// Secrets that were made, each with its owner: to be shown once.
    pub secrets: Vec<(String, Secret)>,
    /// Invitations of people who are new and have no password: to be shown once.
    pub invitations: Vec<Issued>,
    /// What is left to do.
    pub notes: Vec<String>,
    /// Whether anything changes.
    pub changes: bool,
}

/// A table of the file: what it is called in mistakes, and its form unless it has mistakes of its own.
#[derive(Debug, Clone)]
struct Entry<F> {
    at: String,
    id: String,
    form: Option<F>,
}

/// The file, read.
#[derive(Debug, Clone, Default)]
struct File {
    agencies: Vec<Entry<Said>>,
    servers: Vec<Entry<Said>>,
    clients: Vec<Entry<Said>>,
    providers: Vec<Entry<Said>>,
    users: Vec<Entry<PersonForm>>,
    mistakes: Vec<String>,
}

/// What is to be written, in order.
#[derive(Debug, Default)]
struct Plan {
    agencies: Vec<Draft<AgencySettings>>,
    servers: Vec<Draft<ResourceServerSettings>>,
    clients: Vec<Draft<ClientSettings>>,
    providers: Vec<Draft<IdentityProviderSettings>>,
    people: Vec<people::Draft>,
    lines: Vec<String>,
    notes: Vec<String>,
    mistakes: Vec<String>,
}

/// A file that was read and planned, with what takes long: it belongs before the transaction.
#[derive(Clone)]
pub struct Prepared {
    file: File,
    spare: keys::Spare,
    hashes: Hashes,
    /// What would be done.
    pub outcome: Outcome,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the hashes.
        f.debug_struct("Prepared")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// How many mistakes are told of a file: nobody reads more, and a file of mistakes must not be answered with fifteen times
/// its size.
pub const MOST_TOLD: usize = 200;

fn told(mut mistakes: Vec<String>) -> Vec<String> {
    let more = mistakes.len().saturating_sub(MOST_TOLD);
    mistakes.truncate(MOST_TOLD);
    if more > 0 {
        mistakes.push(format!("and {more} more mistakes"));
    }
    mistakes
}

/// Applies a file, or only says what it would change. Must not run where async tasks run.
///
/// # Errors
/// Every mistake, and then nothing is written; or what the store says.
pub fn apply(registry: &Registry, text: &str, dry_run: bool) -> Result<Outcome, ApplyError> {
    let prepared = prepare(registry, text, dry_run)?;
    if dry_run || !prepared.outcome.changes {
        return Ok(prepared.outcome);
    }
    let done = registry.blocking(move |registry, tx| Ok(Ok(perform(registry, tx, &prepared)?)));
    done?.map_err(ApplyError::Mistakes)
}

/// Reads and plans a file; only for a file that is to be applied are keys and hashes made. Must not run where async tasks
/// run.
pub fn prepare(registry: &Registry, text: &str, dry_run: bool) -> Result<Prepared, ApplyError> {
    let file = File::read(text);
    let (planner, copy) = (registry.clone(), file.clone());
    let plan = registry
        .app
        .store
        .read_blocking(move |conn| plan(&planner, conn, &copy))
        .map_err(Refused::from)?;
    if !plan.mistakes.is_empty() {
        return Err(ApplyError::Mistakes(told(plan.mistakes)));
    }
    let changes = !(plan.agencies.is_empty()
        && plan.servers.is_empty()
        && plan.clients.is_empty()
        && plan.providers.is_empty()
        && plan.people.is_empty());
    let (mut spare, mut hashes) = (keys::Spare::default(), Hashes::new());
    if changes && !dry_run {
        let wanted: Vec<Algorithm> = plan
            .servers
            .iter()
            .filter_map(|draft| draft.registered.settings.signs_with())
            .collect();
        spare = keys::spare(registry, &wanted)?;
        for draft in &plan.people {
            if let Some(password) = &draft.password {
                hashes.insert(
                    username_key(&draft.person.username),
                    people::hash(registry, password.clone())?,
                );
            }
        }
    }
    let outcome = Outcome {
        lines: plan.lines,
        notes: plan.notes,
        changes,
        ..Outcome::default()
    };
    Ok(Prepared {
        file,
        spare,
        hashes,
        outcome,
    })
}

/// Does what was prepared, in a transaction of the caller's: all of it, or nothing and all mistakes.
pub fn perform(
    registry: &Registry,
    tx: &mut Tx<'_>,
    prepared: &Prepared,
) -> Stored<Result<Outcome, Vec<String>>> {
    // Planned again, for somebody may have changed something meanwhile; locked, so that it stays as it is planned.
    for entry in &prepared.file.users {
        stored_people::lock_by_username(tx.conn(), &entry.id)?;
    }
    let plan = plan(registry, tx.conn(), &prepared.file)?;
    if !plan.mistakes.is_empty() {
        return Ok(Err(told(plan.mistakes)));
    }
    Ok(Ok(write(registry, tx, plan, &prepared.spare, &prepared.hashes)?))
}

fn write(
    registry: &Registry,
    tx: &mut Tx<'_>,
    plan: Plan,
    spare: &keys::Spare,
    hashes: &Hashes,
) -> Stored<Outcome> {
    let (mut secrets, mut invitations) = (Vec::new(), Vec::new());
    write_all(registry, tx, &plan.servers, spare, &mut secrets)?;
    write_all(registry, tx, &plan.clients, spare, &mut secrets)?;
    write_all(registry, tx, &plan.providers, spare, &mut secrets)?;
    for draft in &plan.people {
        let hash = hashes.get(&username_key(&draft.person.username));
        people::write(registry, tx, draft, hash.map(String::as_str))?;
        if draft.is_invited() {
            invitations.push(links::issue(registry, tx, &draft.person, LinkKind::Invitation)?);
        }
    }
    // Last: what ends with one must not be undone by what was planned before it.
    write_all(registry, tx, &plan.agencies, spare, &mut secrets)?;
    Ok(Outcome {
        lines: plan.lines,
        notes: plan.notes,
        changes: true,
        secrets,
        invitations,
    })
}

fn write_all<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    drafts: &[Draft<S>],
    spare: &keys::Spare,
    secrets: &mut Vec<(String, Secret)>,
) -> Stored<()> {
    for draft in drafts {
        let made = noun::write(registry, tx, draft, spare)?;
        let owner = format!("{} {}", S::NOUN.table, draft.registered.id);
        secrets.extend(made.map(|secret| (owner, secret)));
    }
    Ok(())
}

fn plan(registry: &Registry, conn: &mut Conn, file: &File) -> Stored<Plan> {
    let mut plan = Plan {
        mistakes: file.mistakes.clone(),
        ..Plan::default()
    };
    let mut around = Around::read(conn)?;
    for entry in &file.agencies {
        let kind = |agency: &Agency| agency.settings.kind.clone();
        match plan.registered::<AgencySettings>(registry, conn, entry, &mut around, kind)? {
            Some(draft) => {
                around.agencies.plan(&draft.registered);
                plan.agencies.extend(changing(draft));
            }
            None => around.agencies.doubt(&entry.id),
        }
    }
    for entry in &file.servers {
        match plan.registered::<ResourceServerSettings>(registry, conn, entry, &mut around, server_label)? {
            Some(draft) => {
                around.servers.retain(|server| server.id != entry.id);
                around.servers.push(draft.registered.clone());
                plan.servers.extend(changing(draft));
            }
            None => around.doubtful.push(entry.id.clone()),
        }
    }
    let label = |client: &Client| client_label(registry, client);
    for entry in &file.clients {
        let draft = plan.registered::<ClientSettings>(registry, conn, entry, &mut around, label)?;
        if let Some(Draft { registered, .. }) = &draft {
            around.names.retain(|(id, _)| *id != registered.id);
            around
                .names
                .push((registered.id.clone(), registered.name.clone()));
        }
        plan.clients.extend(draft.and_then(changing));
    }
    let issuer = |provider: &IdentityProvider| provider.settings.issuer.clone();
    for entry in &file.providers {
        let draft =
            plan.registered::<IdentityProviderSettings>(registry, conn, entry, &mut around, issuer)?;
        if let Some(draft) = &draft
            && draft.registered.settings.secret_later
        {
            plan.notes.push(format!(
                "identity_provider {} has no secret yet: nobody signs in with it until you enter it",
                draft.registered.id
            ));
        }
        plan.providers.extend(draft.and_then(changing));
    }
    for entry in &file.users {
        let before = stored_people::find_by_username(conn, &entry.id)?;
        plan.person(registry, conn, entry, before.as_ref(), &mut around.agencies)?;
    }
    // Each of them was judged by what is there now: together they could leave nobody.
    let administrators = stored_people::enabled_with_role(conn, ADMINISTRATOR)?;
    if registry.bounds.is_some() && plan.leaves_nobody_of(&administrators) {
        plan.mistakes
            .push("user: this file would leave nobody who administers this server".to_owned());
    }
    Ok(plan)
}

/// A draft that changes something.
fn changing<S: Registrable>(draft: Draft<S>) -> Option<Draft<S>> {
    (draft.is_new() || !draft.differences().is_empty()).then_some(draft)
}

/// What tells a new one from others.
fn server_label(server: &ResourceServer) -> String {
    format!("{} at {}", server.settings.kind, server.settings.audience)
}

fn client_label(registry: &Registry, client: &Client) -> String {
    let settings = &client.settings;
    let flow = registry.app.policy.dataflow(&settings.dataflow);
    let from = flow.map_or(settings.dataflow.as_str(), |flow| flow.client.as_str());
    let to = settings.resource_servers.join(", ");
    if to.is_empty() {
        from.to_owned()
    } else {
        format!("{from} → {to}")
    }
}

impl Plan {
    /// Whether none of these, and nobody of the file, administers the server afterwards.
    fn leaves_nobody_of(&self, administrators: &[String]) -> bool {
        let administers = |person: &Person| {
            person.enabled && person.settings.roles.iter().any(|role| role == ADMINISTRATOR)
        };
        let is_changed = |id: &String| self.people.iter().any(|draft| draft.person.id == *id);
        !administrators.is_empty()
            && administrators.iter().all(is_changed)
            && !self.people.iter().any(|draft| administers(&draft.person))
    }

    /// Plans something of the file. None when it has mistakes.
    fn registered<S: Registrable>(
        &mut self,
        registry: &Registry,
        conn: &mut Conn,
        entry: &Entry<Said>,
        around: &mut Around,
        label: impl Fn(&Registered<S>) -> String,
    ) -> Stored<Option<Draft<S>>> {
        let Some(said) = &entry.form else { return Ok(None) };
        let before = registered::find::<S>(conn, &entry.id)?;
        let drafted = noun::draft(registry, said, before.as_ref(), around);
        let own = match &before {
            Some(_) => Ok(()),
            None => noun::own_id::<S>(conn, &entry.id)?,
        };
        let Some(draft) = self.take(&entry.at, Some(noun::with_own_id(drafted, own))) else {
            return Ok(None);
        };
        if before.is_some_and(|before| before.enabled) && !draft.registered.enabled {
            let may = S::may_be_disabled(registry, conn, &entry.id)?;
            if self.take(&entry.at, Some(may)).is_none() {
                return Ok(None);
            }
        }
        self.made(draft.agency.as_ref(), &mut around.agencies);
        let named = (entry.id.clone(), label(&draft.registered));
        self.note(draft.is_new(), &draft.differences(), S::NOUN.table, &named);
        Ok(Some(draft))
    }

    fn person(
        &mut self,
        registry: &Registry,
        conn: &mut Conn,
        entry: &Entry<PersonForm>,
        before: Option<&Person>,
        known: &mut Known,
    ) -> Stored<()> {
        let drafted = entry
            .form
            .as_ref()
            .map(|form| people::draft(registry, form, Omitted::Keeps, before, known));
        let Some(draft) = self.take(&entry.at, drafted) else {
            return Ok(());
        };
        self.made(draft.agency.as_ref(), known);
        let permitted = people::permitted(registry, conn, before, &draft.person)?;
        if self.take(&entry.at, Some(permitted)).is_none() {
            return Ok(());
        }
        let username = draft.person.username.clone();
        // Who is new gets an invitation.
        if draft.person.enabled && draft.person.password.is_none() && !draft.is_new() {
            self.notes.push(format!(
                "user {username} has no password yet; `mdi-auth user invite {username}` prints another invitation"
            ));
        }
        let label = (username, draft.person.settings.roles.join(", "));
        if self.note(draft.is_new(), &draft.differences(), "user", &label) {
            self.people.push(draft);
        }
        Ok(())
    }

    /// Takes a draft, or its mistakes.
    fn take<D>(&mut self, at: &str, drafted: Option<Result<D, Vec<Mistake>>>) -> Option<D> {
        match drafted? {
            Ok(draft) => Some(draft),
            Err(mistakes) => {
                self.mistakes
                    .extend(mistakes.iter().map(|mistake| format!("{at}: {mistake}")));
                None
            }
        }
    }

    /// An agency is made for what belongs to it: the rest of the file may belong to it too.
    fn made(&mut self, agency: Option<&Agency>, known: &mut Known) {
        if let Some(agency) = agency {
            known.plan(agency);
            self.note(
                true,
                &[],
                AgencySettings::NOUN.table,
                &(agency.id.clone(), agency.name.clone()),
            );
        }
    }

    /// Notes what becomes of an object. True if there is something to write.
    fn note(
        &mut self,
        is_new: bool,
        differences: &[String],
        what: &str,
        (id, about): &(String, String),
    ) -> bool {
        self.lines.push(match (is_new, differences) {
            (true, _) if about.is_empty() => format!("+ {what} {id}"),
            (true, _) => format!("+ {what} {id} ({about})"),
            (false, []) => format!("= {what} {id}"),
            (false, differences) => format!("~ {what} {id}: {}", differences.join(", ")),
        });
        is_new || !differences.is_empty()
    }
}

impl File {
    fn read(text: &str) -> Self {
        let mut file = Self::default();
        let mut tables: Table = match text.parse() {
            Ok(tables) => tables,
            Err(cause) => {
                file.mistakes.push(syntax_error(text, &cause));
                return file;
            }
        };
        let mistakes = &mut file.mistakes;
        file.agencies = said::<AgencySettings>(&mut tables, mistakes);
        file.servers = said::<ResourceServerSettings>(&mut tables, mistakes);
        file.clients = said::<ClientSettings>(&mut tables, mistakes);
        file.providers = said::<IdentityProviderSettings>(&mut tables, mistakes);
        file.users = entries(&mut tables, "user", "username", mistakes, read_form);
        for key in tables.keys() {
            file.mistakes.push(format!(
                "{key}: unknown; the file has the tables [[agency]], [[resource_server]], [[client]], [[identity_provider]] and [[user]]"
            ));
        }
        file
    }
}

/// Only the reason and the place: the line itself may hold a secret.
fn syntax_error(text: &str, cause: &toml::de::Error) -> String {
    let before = cause
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, cause.message())
}

fn said<S: Registrable>(tables: &mut Table, mistakes: &mut Vec<String>) -> Vec<Entry<Said>> {
    let read = |table: Table, _: &str, _: &mut Vec<String>| {
        let members = table.into_iter().map(|(key, value)| (key, json(value)));
        Some(Said::new(members.collect(), Merge::Members))
    };
    entries(tables, S::NOUN.table, S::NOUN.id, mistakes, read)
}

/// A value of the file as the rest of the program knows it; a day may be written without quotes.
fn json(value: Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Boolean(is) => is.into(),
        Value::Datetime(day) => day.to_string().into(),
        Value::Array(values) => values.into_iter().map(json).collect(),
        Value::Table(table) => {
            let members = table.into_iter().map(|(key, value)| (key, json(value)));
            serde_json::Value::Object(members.collect())
        }
    }
}

fn entries<F>(
    tables: &mut Table,
    name: &str,
    id_key: &str,
    mistakes: &mut Vec<String>,
    read: impl Fn(Table, &str, &mut Vec<String>) -> Option<F>,
) -> Vec<Entry<F>> {
    let listed = match tables.remove(name) {
        None => return Vec::new(),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            mistakes.push(format!(
                "{name}: write it in double brackets, [[{name}]], once for each"
            ));
            return Vec::new();
        }
    };
    let mut seen = HashSet::new();
    let mut entries = Vec::new();
    for (place, value) in listed.into_iter().enumerate() {
        let Value::Table(table) = value else {
            mistakes.push(format!("{name} {}: it must be a table", place + 1));
            continue;
        };
        let id = table
            .get(id_key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let at = if id.is_empty() {
            format!("{name} {}", place + 1)
        } else {
            format!("{name} {} ({id})", place + 1)
        };
        let key = if id_key == "username" {
            username_key(&id)
        } else {
            id.clone()
        };
        if !id.is_empty() && !seen.insert(key) {
            mistakes.push(format!("{at}: {id_key}: it stands in the file twice"));
        }
        let form = read(table, &at, mistakes);
        entries.push(Entry { at, id, form });
    }
    entries
}

/// Reads a table key by key first, so that each mistake is told, then as a whole.
fn read_form<F: DeserializeOwned>(table: Table, at: &str, mistakes: &mut Vec<String>) -> Option<F> {
    let told = mistakes.len();
    let mut whole = Table::new();
    for (key, value) in table {
        // A day may stand without quotes; the forms know texts.
        let value = if let Value::Datetime(day) = value {
            Value::String(day.to_string())
        } else {
            value
        };
        let mut single = Table::new();
        single.insert(key.clone(), value.clone());
        if let Err(cause) = F::deserialize(Value::Table(single)) {
            mistakes.push(format!("{at}: {key}: {}", without_secret(&key, &value, &cause)));
        }
        whole.insert(key, value);
    }
    if mistakes.len() > told {
        return None;
    }
    F::deserialize(Value::Table(whole))
        .map_err(|cause| mistakes.push(format!("{at}: {cause}")))
        .ok()
}

/// What serde says of a wrong type may quote the value.
fn without_secret(key: &str, value: &Value, cause: &impl Display) -> String {
    if ["secret", "password", "totp_secret"].contains(&key) && !value.is_str() {
        return format!(
            "it must be text in quotes, not a value of type {}",
            value.type_str()
        );
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}
