//! What an administrator does, whoever asks: the command line, the console, the admin API, registration by clients.
//! One validation, and one audit event with before and after for each change, in the transaction that makes it.
//!
//! A form says what is wanted; `draft` checks it against the policy and what is registered, without writing; `write`
//! writes the draft. The functions that take a [`Tx`] do both. They answer mistakes as a value, and only while nothing
//! has been written, so that a transaction that ends in mistakes changes nothing.

/// Takes the value of a decision, or ends the step with its mistakes.
macro_rules! good {
    ($decided:expr) => {
        match $decided {
            Ok(value) => value,
            Err(mistakes) => return Ok(Err(mistakes)),
        }
    };
}

pub mod agencies;
pub mod api_tokens;
pub mod apply;
pub mod belonging;
pub mod clients;
mod credentials;
pub mod export;
pub mod first_administrator;
pub mod identity_providers;
pub mod import;
pub mod keys;
pub mod limits;
pub mod link_mails;
pub mod links;
pub mod noun;
pub mod people;
mod public_keys;
pub mod record_check;
pub mod resource_servers;
pub mod review;
pub mod said;
pub mod secrets;
pub mod sessions;
pub mod spreadsheet;
mod uris;
pub mod vendor_links;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use url::Url;

use crate::app::App;
use crate::audit::event::{Actor, Event, Kind};
use crate::error::Broken;
use crate::model::names::is_readable;
use crate::model::network;
use crate::model::person::Person;
use crate::outbound::mail::{self, Mail};
use crate::policy::console::{Area, Authority, Reach, Right};
use crate::session::notices::{self, AccountChange};
use crate::store::changes::{Change, ChangeKind};
use crate::store::{
    Conn, StoreBroken, Stored, Tx, api_tokens as api_token_rows, installation, people as people_rows,
    sessions as session_rows,
};

pub use crate::model::words::Words;

/// How long other servers have to learn of a change, in seconds. They learn of it within one.
const CHANGE_KEPT_SECONDS: i64 = 86_400;

/// The longest id that is made from a name, in characters.
const LONGEST_MADE_ID: usize = 48;

/// Purpose of use of test systems (v3-ActReason): not for real data.
const TEST_PURPOSE: &str = "HTEST";

/// One mistake in what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The parameter at fault, as it is called in the apply file.
    pub key: Cow<'static, str>,
    /// What was found and what is wanted.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What is asked for may not be: all reasons at once.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// Something of ours broke.
    #[error("{0}")]
    Broken(#[from] Broken),
}

impl Refused {
    /// Why work failed that takes nothing that could be mistaken: mistakes are a defect of ours there.
    pub fn into_broken(self) -> Broken {
        match self {
            Self::Broken(broken) => broken,
            Self::Mistakes(mistakes) => Broken::defect(format!("{mistakes:?}")),
        }
    }
}

/// What people are to be told of their accounts once it is written.
type Notices = Arc<Mutex<Vec<Mail>>>;

/// What a step inside a transaction answers: a value, or mistakes while nothing has been written.
pub type Decided<T> = Stored<Result<T, Vec<Mistake>>>;

/// The key of a mistake that means: somebody else changed it since it was shown.
pub const VERSION: &str = "version";

/// How a form is read that leaves something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    /// What is left out stays as it is (the apply file, PATCH).
    Keeps,
    /// What is left out takes its default, but for secrets (a whole form, PUT).
    TakesDefault,
}

impl Omitted {
    /// What counts for what is left out.
    fn kept<T>(self, old: Option<T>) -> Option<T> {
        old.filter(|_| self == Self::Keeps)
    }
}

/// What somebody at the console or its API stands on.
#[derive(Debug, Clone)]
pub enum ActingCredential {
    /// A session, by id, of a person of a generation: other roles raise it, as disabling does.
    Session {
        /// `ses_…`
        id: String,
        /// `usr_…`
        person_id: String,
        /// The person's generation.
        generation: i64,
    },
    /// A token of the admin API.
    Token {
        /// `apt_…`
        id: String,
        /// Whose it is, and of which generation: other roles raise it, as disabling does.
        owner: Option<(String, i64)>,
    },
}

impl ActingCredential {
    fn holds(&self, conn: &mut Conn, now: i64) -> Stored<bool> {
        match self {
            Self::Session {
                id,
                person_id,
                generation,
            } => Ok(session_rows::is_alive(conn, id)?
                && people_rows::generation(conn, person_id)? == Some((*generation, true))),
            Self::Token { id, owner } => {
                let owned = match owner {
                    Some((person_id, generation)) => {
                        people_rows::generation(conn, person_id)? == Some((*generation, true))
                    }
                    None => true,
                };
                let token = api_token_rows::find(conn, id)?.filter(|token| token.holds(now));
                let of = owner.as_ref().map(|(person_id, _)| person_id);
                Ok(owned && token.is_some_and(|token| token.person_id.as_ref() == of))
            }
        }
    }
}

/// The registry, for one actor.
#[derive(Debug, Clone)]
pub struct Registry {
    app: Arc<App>,
    actor: Actor,
    demo: bool,
    /// The session that goes on when those of a person end.
    kept_session: Option<String>,
    /// What bounds the actor; none: an operator, whom nothing bounds.
    bounds: Option<Authority>,
    /// What must still hold when the change is made.
    warrant: Option<ActingCredential>,
    address: Option<String>,
    notices: Notices,
}

impl Registry {
    /// The registry as `actor` uses it.
    pub fn new(app: Arc<App>, actor: Actor) -> Self {
        Self {
            app,
            actor,
            demo: false,
            kept_session: None,
            bounds: None,
            warrant: None,
            address: None,
            notices: Arc::default(),
        }
    }

    /// The registry of a demo, whose clients may act for the purpose HTEST.
    pub fn for_demo(mut self) -> Self {
        self.demo = true;
        self
    }

    /// The registry of somebody who changes her own account: this session, by its id, goes on where all others end.
    pub fn keeping(mut self, session_id: &str) -> Self {
        self.kept_session = Some(session_id.to_owned());
        self
    }

    /// The registry of somebody at the console or its API: `bounds` is what may be done, and the record tells the address.
    /// What it stands on is looked at again in the transaction: a request may take long to arrive.
    pub fn bounded(
        mut self,
        bounds: Authority,
        warrant: ActingCredential,
        address: impl Into<String>,
    ) -> Self {
        self.bounds = Some(bounds);
        self.warrant = Some(warrant);
        self.seen_at(address)
    }

    /// The registry of somebody whose address the record tells.
    pub fn seen_at(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The application.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Runs `work` in one transaction, from a thread that runs no async tasks.
    ///
    /// # Errors
    /// The mistakes that `work` finds, or what the store says.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnMut(&Self, &mut Tx<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let (job, notices) = self.job(work);
        let done = self.app.store.write_blocking(job)?;
        self.post(&notices, done)
    }

    /// Runs `work` in one transaction, from an async task.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&Self, &mut Tx<'_>) -> Decided<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let (job, notices) = self.job(work);
        let done = self.app.store.write(job).await?;
        self.post(&notices, done)
    }

    /// Posts what people are to be told of what was written.
    fn post<T>(&self, notices: &Mutex<Vec<Mail>>, done: Result<T, Vec<Mistake>>) -> Result<T, Refused> {
        let mails = std::mem::take(&mut *notices.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Ok(_), Some(mailer)) = (&done, &self.app.mailer) {
            mails.into_iter().for_each(|mail| mailer.post(mail));
        }
        done.map_err(Refused::Mistakes)
    }

    /// Lets somebody know what was done to the account by somebody else, at the console or by the API. The command line
    /// tells nobody: it has no queue.
    fn tell_owner(&self, person: &Person, what: AccountChange) {
        let own = matches!(&self.actor, Actor::Person(id) if *id == person.id);
        if self.bounds.is_none() || own {
            return;
        }
        let mail = notices::account_changed(&self.app, person, what);
        let mut waiting = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(mail);
    }

    fn job<T>(
        &self,
        mut work: impl FnMut(&Self, &mut Tx<'_>) -> Decided<T> + Send + 'static,
    ) -> (impl FnMut(&mut Tx<'_>) -> Decided<T> + Send + 'static, Notices) {
        let notices: Notices = Arc::default();
        let registry = Self {
            notices: Arc::clone(&notices),
            ..self.clone()
        };
        let job = move |tx: &mut Tx<'_>| {
            // What a try that was rolled back had to tell did not happen.
            registry
                .notices
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
            installation::lock(tx.conn())?;
            if installation::key_fingerprint(tx.conn())?.as_deref() != Some(registry.app.master.fingerprint())
            {
                let what = "the master key was replaced: this process has the old one, start it again with the new one";
                return Err(StoreBroken::Defect(what.to_owned()));
            }
            if let Some(warrant) = &registry.warrant
                && !warrant.holds(tx.conn(), registry.app.now())?
            {
                return Ok(mistake(
                    "session",
                    "your sign-in, or your token, has ended meanwhile: nothing was changed",
                ));
            }
            work(&registry, tx)
        };
        (job, notices)
    }

    /// Records that somebody at the command line looked at people.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_look(&self, at: &'static str) -> Result<(), Refused> {
        self.blocking(move |registry, tx| {
            tx.audit(
                registry
                    .app
                    .event(Kind::PeopleRead, registry.actor.clone())
                    .with("path", at),
            );
            Ok(Ok(()))
        })
    }

    fn event(&self, kind: Kind, action: &'static str) -> Event {
        let event = self.app.event(kind, self.actor.clone()).with("action", action);
        match &self.address {
            Some(address) => event.from(address),
            None => event,
        }
    }

    /// For whose affairs whoever acts may change something.
    fn reach(&self, area: Area) -> Reach {
        let bounds = self.bounds.as_ref();
        bounds.map_or(Reach::Everybody, |bounds| bounds.reach(area, Right::Change))
    }

    /// The network of whoever acts; that of nobody for an operator.
    fn network(&self) -> IpAddr {
        let address = self.address.as_deref().and_then(|address| address.parse().ok());
        address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), network::of)
    }

    fn tell(&self, tx: &mut Tx<'_>, kind: ChangeKind, subject: &str) {
        let purge_at = self.app.now() + CHANGE_KEPT_SECONDS;
        tx.changed(Change {
            kind,
            subject: subject.to_owned(),
            purge_at,
        });
    }

    /// Checks where we go ourselves: an address that the guard of outbound requests lets through.
    fn check_reachable(&self, url: &Url) -> Result<(), String> {
        let checked = self.app.jwks.outbound().check_url(url);
        checked.map(|_| ()).map_err(|cause| cause.to_string())
    }

    /// Checks purposes of use.
    fn check_purposes(&self, codes: &[String], mistakes: &mut Mistakes) {
        for code in codes {
            if !self.app.policy.vocabulary().is_purpose_of_use(code) {
                mistakes.add(
                    "purposes",
                    format!("\"{code}\" is not a PurposeOfUse code of v3-ActReason, such as HDECD"),
                );
            } else if code == TEST_PURPOSE && !self.demo {
                mistakes.add(
                    "purposes",
                    "HTEST is for test systems; this installation is not a demo",
                );
            }
        }
    }

    /// The purposes of use among `words`.
    fn purposes(&self, words: Option<&Words>, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let words = words?.words();
        self.check_purposes(&words, mistakes);
        Some(words)
    }
}

fn mistake<T>(key: &'static str, text: impl Into<String>) -> Result<T, Vec<Mistake>> {
    Err(vec![Mistake {
        key: Cow::Borrowed(key),
        text: text.into(),
    }])
}

/// Names a state of what is registered: two that differ have different names (RFC 9110 §8.8.3).
fn version_of(view: &Map<String, Value>, more: &str) -> String {
    let text = format!("{}{more}", Value::Object(view.clone()));
    let digest = digest(&SHA256, text.as_bytes());
    HEXLOWER.encode(digest.as_ref().get(..12).unwrap_or_default())
}

/// Refuses a change that was made looking at another state: nobody's change is lost unseen.
fn unchanged(expected: Option<&str>, now: &str) -> Result<(), Vec<Mistake>> {
    match expected {
        Some(expected) if expected != now => mistake(
            VERSION,
            "somebody else has changed it since it was shown: look at it again",
        ),
        _ => Ok(()),
    }
}

/// Collects mistakes, so that all are told at once.
#[derive(Debug, Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, key: impl Into<Cow<'static, str>>, text: impl Into<String>) {
        self.0.push(Mistake {
            key: key.into(),
            text: text.into(),
        });
    }

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the good half of a result.
    fn take<T>(&mut self, key: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.add(key, text)).ok()
    }

    fn into_result<T>(self, value: T) -> Result<T, Vec<Mistake>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// An id of a client or resource server: it stands in URLs, logs and `aud`.
fn identifier(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() {
        return Err("it is empty: 1 to 64 of the characters A-Z a-z 0-9 . _ - are wanted".to_owned());
    }
    if !(1..=64).contains(&text.len()) || !text.bytes().all(plain) {
        return Err(format!(
            "{text:?} must have 1 to 64 of the characters A-Z a-z 0-9 . _ -"
        ));
    }
    if matches!(text, "." | "..") {
        return Err(format!(
            "{text:?} is no name in a URL; use a letter or a digit as well"
        ));
    }
    if text.starts_with("usr_") {
        return Err(format!(
            "{text:?} begins with usr_, which is kept for people, so that no system is taken for one"
        ));
    }
    Ok(())
}

/// An id made from a name: `Fulton County CMS` → `fulton-county-cms`. Empty when the name has nothing that an id may have.
pub fn id_from(name: &str) -> String {
    let plain = name.to_ascii_lowercase();
    let words = plain
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut id = words.collect::<Vec<_>>().join("-");
    id.truncate(LONGEST_MADE_ID);
    id.trim_end_matches('-').to_owned()
}

/// An address that mail can be sent to (RFC 5321 §4.1.2).
fn mail_address(text: &str) -> Result<(), String> {
    if text.len() <= 254 && mail::is_address(text) {
        Ok(())
    } else {
        Err(format!("{text:?} must be an e-mail address"))
    }
}

/// A name for people to read.
fn display_name(given: Option<&str>, old: Option<&str>) -> Result<String, String> {
    let name = given.or(old).ok_or("it is missing")?.trim();
    if name.is_empty() {
        return Err("it is empty: 1 to 200 printable characters are wanted".to_owned());
    }
    if name.chars().count() > 200 || !is_readable(name) {
        return Err(format!(
            "{name:?} must have 1 to 200 printable characters; none may be invisible"
        ));
    }
    Ok(name.to_owned())
}

/// The JSON object of a serialised setting.
fn object(settings: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// A key whose value differs between two objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// The value before, for people to read.
    pub before: String,
    /// The value after.
    pub after: String,
}

/// What differs between two objects, in the order of the keys.
pub fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Difference> {
    let mut keys: Vec<&String> = before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
        .collect();
    keys.sort();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Difference {
            key: key.clone(),
            before: short(before.get(key)),
            after: short(after.get(key)),
        })
        .collect()
}

/// The same, one line a key: `signing_alg ES256 → RS256`.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let line = |one: Difference| format!("{} {} → {}", one.key, one.before, one.after);
    differences(before, after).into_iter().map(line).collect()
}

fn short(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) if text.chars().count() > 200 => {
            format!("({} characters)", text.chars().count())
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) if values.is_empty() => "none".to_owned(),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| short(Some(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    }
}
