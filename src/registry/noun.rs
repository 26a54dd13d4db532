//! What all registered nouns do alike: something is said, by whatever door; it is merged with what is registered, then
//! typed, then judged as a whole; then it is written, with one event that has before and after.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::belonging::{self, AGENCY, INLINE, Known, Wanted};
use super::credentials::SecretStep;
use super::limits::{self, Limit};
use super::said::{Merge, Said};
use super::secrets::{self, Rotated};
use super::{
    Decided, Mistake, Mistakes, Refused, Registry, difference, display_name, identifier, keys, mail_address,
    mistake, object, unchanged, version_of,
};
use crate::audit::event::{Event, Kind};
use crate::model::agency::{Agency, AgencySettings, Organization};
use crate::model::client::AuthMethod;
use crate::model::registered::Registered;
use crate::model::resource_server::ResourceServer;
use crate::model::secret::Secret;
use crate::model::signing::Algorithm;
use crate::policy::Policy;
use crate::policy::console::{Area, Reach, Right};
use crate::secrets::master_key::Purpose;
use crate::store::changes::ChangeKind;
use crate::store::registered::{self, Kept};
use crate::store::{Conn, Stored, Tx};

/// What something that is registered is, beside its settings and their rules.
#[derive(Debug, Clone, Copy)]
pub struct Noun {
    /// What people call one.
    pub name: &'static str,
    /// What they call several.
    pub many: &'static str,
    /// Its table in the apply file.
    pub table: &'static str,
    /// The member that names one.
    pub id: &'static str,
    /// Whose affair it is.
    pub area: Area,
    /// The event of a change.
    pub event: Kind,
    /// What other servers are told of a change.
    pub change: ChangeKind,
    /// Ids that paths of ours have in the place of one.
    pub reserved: &'static [&'static str],
    /// Members with limits of their own.
    pub limits: &'static [(&'static str, Limit)],
    /// Whose secret it has.
    pub secrets: Secrets,
}

/// Whose secret something has.
#[derive(Debug, Clone, Copy)]
pub enum Secrets {
    /// It proves itself to us: we keep hashes, and make secrets.
    Theirs,
    /// Nobody's.
    None,
    /// We prove ourselves to it: the secret was made there, and is sealed here for a purpose.
    Ours(Purpose),
}

impl Secrets {
    /// Whether it is one that we keep a hash of.
    pub fn are_theirs(self) -> bool {
        matches!(self, Self::Theirs)
    }

    /// Whether the secret was made elsewhere.
    pub fn are_ours(self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// Why what rests on something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is disabled.
    Disabled,
    /// It is deleted.
    Deleted,
    /// Something else took its place.
    Replaced,
}

impl Noun {
    /// What people call one, with the article.
    pub fn a(&self) -> String {
        let article = if self.name.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        format!("{article} {}", self.name)
    }

    /// How large a member may be.
    pub fn limit(&self, member: &str) -> Limit {
        let own = self.limits.iter().find(|(name, _)| *name == member);
        own.map_or(Limit::USUAL, |(_, limit)| *limit)
    }
}

/// What is registered around: what the rules of one noun need of the others.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The resource servers, with those that the same apply file makes.
    pub servers: Vec<ResourceServer>,
    /// Ids of those whose own mistakes are told elsewhere.
    pub doubtful: Vec<String>,
    /// Ids and names of all clients, with those that the same apply file makes.
    pub names: Vec<(String, String)>,
    /// The agencies.
    pub agencies: Known,
}

impl Around {
    /// What is registered now.
    pub fn read(conn: &mut Conn) -> Stored<Self> {
        Ok(Self {
            servers: registered::all(conn)?,
            doubtful: Vec::new(),
            names: registered::client_names(conn)?,
            agencies: Known::read(conn)?,
        })
    }
}

/// What a rule may look at.
pub struct Judging<'a, S> {
    /// The registry, for whoever acts.
    pub registry: &'a Registry,
    /// What was said.
    pub said: &'a Said,
    /// The id.
    pub id: &'a str,
    /// As it was.
    pub before: Option<&'a Registered<S>>,
    /// What is registered around.
    pub around: &'a Around,
    /// What is wrong with it.
    pub(super) mistakes: Mistakes,
}

impl<S> Judging<'_, S> {
    /// Judges mail addresses.
    pub(super) fn mail_addresses(&mut self, key: &'static str, addresses: &[String]) {
        for address in addresses {
            self.mistakes.take(key, mail_address(address));
        }
    }
}

/// Settings that can be registered: their rules. What every noun does is in this file, once.
pub trait Registrable:
    Kept + DeserializeOwned + Default + ToSchema + Clone + PartialEq + Send + Sync + 'static
{
    /// What it is.
    const NOUN: Noun;

    /// Members that who looks after its agency alone may change.
    const OWN: &'static [&'static str] = &[];

    /// What counts of the old settings where something is changed: all of it, unless something else that is said brings
    /// defaults of its own.
    fn inherited(before: &Self, _: &Said) -> Map<String, Value> {
        object(before)
    }

    /// Judges the settings, says what is wrong, and fills in what follows from the rest.
    fn check(&mut self, judging: &mut Judging<'_, Self>);

    /// How it proves who it is.
    fn proof(&self) -> AuthMethod;

    /// Why only an administrator may decide about something with these settings, and the member that makes it so.
    fn for_administrators(&self, _: &Policy) -> Option<(&'static str, &'static str)> {
        None
    }

    /// The agency that it belongs to: who looks after that agency alone may look after it.
    fn whose(_: &Registered<Self>) -> Option<&str> {
        None
    }

    /// Where it says to which agency it belongs: by id, and in words.
    fn belongs(&mut self) -> Option<(&mut Option<String>, &mut Option<Organization>)> {
        None
    }

    /// Another noun of the same namespace that has the id.
    fn namesake(_: &mut Conn, _: &str) -> Stored<Option<&'static str>> {
        Ok(None)
    }

    /// The algorithm that a signing key is needed for; those of a noun that sign nothing never have one.
    fn signs_with(&self) -> Option<Algorithm> {
        None
    }

    /// Whether it is something else than it was, although it has the same id: what rested on the old one ends.
    fn is_another(&self, _: &Self) -> bool {
        false
    }

    /// Ends what rests on it, beside what its generation ends. Answers what the record tells of that.
    fn end(_: &Registry, _: &mut Tx<'_>, _: &str, _: Ending) -> Stored<Vec<(&'static str, String)>> {
        Ok(Vec::new())
    }

    /// Whether it may be disabled.
    fn may_be_disabled(_: &Registry, _: &mut Conn, _: &str) -> Decided<()> {
        Ok(Ok(()))
    }

    /// Names it in an event.
    fn named(event: Event, id: &str) -> Event {
        event.client(id)
    }

    /// Ids of clients that stand in the way of its end.
    fn users(_: &mut Conn, _: &str) -> Stored<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Something as it will be, checked.
#[derive(Debug, Clone)]
pub struct Draft<S> {
    /// As it will be; its secrets here are still the old ones.
    pub registered: Registered<S>,
    before: Option<Registered<S>>,
    secret: SecretStep,
    /// An agency that has to be registered before it.
    pub(super) agency: Option<Agency>,
}

impl<S: Registrable> Draft<S> {
    /// Whether it is new.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }

    /// What changes, one line a setting; nothing if all is as it was.
    pub fn differences(&self) -> Vec<String> {
        let before = self.before.as_ref().map(view).unwrap_or_default();
        let mut lines = difference(&before, &view(&self.registered));
        lines.extend(self.secret.name().map(|what| format!("secret {what}")));
        lines
    }
}

/// The settings of something that is registered, as the record and the listings show them.
pub fn view<S: Registrable>(registered: &Registered<S>) -> Map<String, Value> {
    let mut view = object(&registered.settings);
    view.insert("name".to_owned(), json!(registered.name));
    view.insert("enabled".to_owned(), json!(registered.enabled));
    view
}

/// Names the state of something; see [`change`].
pub fn version<S: Registrable>(registered: &Registered<S>) -> String {
    let sealed = registered.sealed.as_deref().unwrap_or_default();
    version_of(&view(registered), &format!("{}{sealed}", registered.generation))
}

/// The members that can be said of it, but for its id and its secret.
pub fn members<S: Registrable>() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = match serde_json::to_value(S::default()) {
        Ok(Value::Object(settings)) => settings.into_iter().map(|(member, _)| member).collect(),
        _ => BTreeSet::new(),
    };
    known.extend(["name", "enabled"].map(str::to_owned));
    if S::default().belongs().is_some() {
        known.insert(INLINE.to_owned());
    }
    known
}

/// The schema of what may be said of the settings: where something belongs to an agency, that may be in words.
pub fn schema<S: Registrable>() -> Object {
    let mut object = match S::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::new(),
    };
    if let (true, RefOr::T(Schema::Object(mut inline))) =
        (S::default().belongs().is_some(), Organization::schema())
    {
        let says = "The agency, where it may not be registered yet: it is found by its identifier, or made.";
        inline.description = Some(says.to_owned());
        object.properties.insert(INLINE.to_owned(), inline.into());
    }
    object
}

/// The mistakes that each member has by itself: one that nobody knows, a wrong type, too much of it.
fn single<S: Registrable>(said: &Said, merged: &Map<String, Value>, mistakes: &mut Mistakes) {
    let known = members::<S>();
    for (member, value) in said.members() {
        if member == S::NOUN.id {
            if !value.is_string() {
                mistakes.add(S::NOUN.id, "it must be a text");
            }
        } else if !known.contains(member) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            mistakes.add(
                member.clone(),
                format!("unknown; there is {} {} secret", S::NOUN.id, known.join(" ")),
            );
        } else if let Some(what) = limits::exceeded(value, S::NOUN.limit(member)) {
            mistakes.add(member.clone(), what);
        } else if let Some(value) = merged.get(member) {
            let wrong = match (member.as_str(), value) {
                ("name", Value::String(_)) | ("enabled", Value::Bool(_)) => None,
                ("name", _) => Some("it must be a text".to_owned()),
                ("enabled", _) => Some("it must be true or false".to_owned()),
                _ => {
                    let one = Map::from_iter([(member.clone(), value.clone())]);
                    S::deserialize(Value::Object(one))
                        .err()
                        .map(|cause| in_words(&cause.to_string()))
                }
            };
            if let Some(wrong) = wrong {
                mistakes.add(member.clone(), wrong);
            }
        }
    }
    let size = Value::Object(merged.clone()).to_string().len();
    if size > limits::ALL {
        mistakes.add(
            S::NOUN.id,
            format!(
                "all that is said of it has {size} bytes; at most {} are kept",
                limits::ALL
            ),
        );
    }
}

/// What serde says of a word that it does not know, without its marks.
fn in_words(cause: &str) -> String {
    let unknown = cause.strip_prefix("unknown variant `");
    match unknown.and_then(|rest| rest.split_once("`, expected ")) {
        Some((word, known)) => {
            let known = known.strip_prefix("one of ").unwrap_or(known);
            format!(
                "{word:?} is not one of {}",
                known.replace('`', "").replace(" or ", ", ")
            )
        }
        None => match cause
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split_once('`'))
        {
            Some((member, _)) => format!("its {member} is missing"),
            None => cause.to_owned(),
        },
    }
}

/// Judges what is said: `before` is the one of this id.
///
/// # Errors
/// Every mistake.
pub fn draft<S: Registrable>(
    registry: &Registry,
    said: &Said,
    before: Option<&Registered<S>>,
    around: &Around,
) -> Result<Draft<S>, Vec<Mistake>> {
    let now = registry.app.now();
    let mut mistakes = Mistakes(said.mistakes().to_vec());
    let mut merged = match before {
        Some(before) if said.merge != Merge::Whole => S::inherited(&before.settings, said),
        _ => Map::new(),
    };
    said.over(&mut merged);
    single::<S>(said, &merged, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes.0);
    }
    let id = said.text(S::NOUN.id).unwrap_or_default().to_owned();
    if mistakes.take(S::NOUN.id, identifier(&id)).is_some() && S::NOUN.reserved.contains(&id.as_str()) {
        mistakes.add(
            S::NOUN.id,
            format!("{id:?} is a path of this server; choose another"),
        );
    }
    if let Some(other) = spelled_alike::<S>(before.is_none(), &id, around) {
        mistakes.add(
            S::NOUN.id,
            format!("{id:?} differs from {other:?} by letter case alone; choose another"),
        );
    }
    let name = display_name(said.text("name"), before.map(|before| before.name.as_str()));
    let name = mistakes.take("name", name).unwrap_or_default();
    let enabled = said.member("enabled").and_then(Value::as_bool);
    let enabled = enabled.unwrap_or_else(|| before.is_none_or(|before| before.enabled));
    for own in [S::NOUN.id, "name", "enabled"] {
        merged.remove(own);
    }
    if said.takes_away(INLINE) && !said.says(AGENCY) {
        merged.remove(AGENCY);
    }
    // Each was read by itself already.
    let mut settings = S::deserialize(Value::Object(merged)).unwrap_or_default();
    let agency = belonging(registry, said, before, &mut settings, around).unwrap_or_else(|wrong| {
        mistakes.0.extend(wrong);
        None
    });
    let mut as_said = object(&settings);
    as_said.insert("name".to_owned(), json!(name));
    as_said.insert("enabled".to_owned(), json!(enabled));
    if let Some(mistake) = beyond_own(registry, before, &as_said) {
        return Err(vec![mistake]);
    }
    let mut judging = Judging {
        registry,
        said,
        id: &id,
        before,
        around,
        mistakes,
    };
    settings.check(&mut judging);
    let mut mistakes = judging.mistakes;
    let existing = before.map(|before| before.secrets.as_slice()).unwrap_or_default();
    let uses_secret = settings.proof().uses_secret();
    let (secret, sealed) = match S::NOUN.secrets {
        Secrets::Theirs | Secrets::None => (
            SecretStep::decide(said.secret(), uses_secret, existing, now, &mut mistakes),
            None,
        ),
        Secrets::Ours(purpose) => {
            let kept = before.filter(|before| !settings.is_another(&before.settings));
            let kept = kept.and_then(|before| before.sealed.clone());
            let matches = |given: &Secret| {
                kept.as_deref()
                    .is_some_and(|kept| is_sealed(registry, purpose, &id, kept, given))
            };
            let step =
                SecretStep::decide_ours(said.secret(), uses_secret, kept.is_some(), matches, &mut mistakes);
            let sealed = match &step {
                SecretStep::Set(secret) => Some(seal(registry, purpose, &id, secret)),
                SecretStep::End => None,
                SecretStep::Keep | SecretStep::Generate => kept,
            };
            (step, sealed)
        }
    };
    let registered = Registered {
        id,
        name,
        settings,
        enabled,
        generation: next_generation(before, enabled, now),
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
        secrets: existing.to_vec(),
        sealed,
    };
    let draft = Draft {
        registered,
        before: before.cloned(),
        secret,
        agency,
    };
    if draft.is_new() || !draft.differences().is_empty() {
        mistakes.0.extend(reserved(registry, &draft));
    }
    mistakes.into_result(draft)
}

/// An id of clients and resource servers, which share one namespace, that people would take for a new one.
fn spelled_alike<'a, S: Registrable>(is_new: bool, id: &str, around: &'a Around) -> Option<&'a str> {
    let clients = around.names.iter().map(|(id, _)| id.as_str());
    let servers = around.servers.iter().map(|server| server.id.as_str());
    let mut known = clients
        .chain(servers)
        .filter(|_| is_new && S::NOUN.secrets.are_theirs());
    known.find(|known| *known != id && known.eq_ignore_ascii_case(id))
}

/// Settles to which agency it belongs. Answers one that has to be made for it.
fn belonging<S: Registrable>(
    registry: &Registry,
    said: &Said,
    before: Option<&Registered<S>>,
    settings: &mut S,
    around: &Around,
) -> Result<Option<Agency>, Vec<Mistake>> {
    let old = before.and_then(|before| {
        before
            .settings
            .clone()
            .belongs()
            .and_then(|(agency, _)| agency.clone())
    });
    let Some((agency, inline)) = settings.belongs() else {
        return Ok(None);
    };
    let inline = inline.take();
    if inline.is_some() && said.says(AGENCY) {
        return mistake(INLINE, "say agency, or organization, but not both");
    }
    let wanted = Wanted {
        agency: agency.as_deref(),
        inline: inline.as_ref(),
        old: old.as_deref(),
        area: S::NOUN.area,
    };
    let settled = belonging::settle(registry, &wanted, &around.agencies);
    // It says one, even if that is wrong.
    let (settled, made) = settled.inspect_err(|_| *agency = Some(String::new()))?;
    *agency = settled;
    Ok(made)
}

/// Whether this is our secret there. What cannot be opened is none, so that another one can be set.
fn is_sealed(registry: &Registry, purpose: Purpose, id: &str, sealed: &str, given: &Secret) -> bool {
    let plain = registry.app.master.open(purpose, id, sealed).ok();
    let known = plain.and_then(|plain| Some(Secret::new(std::str::from_utf8(&plain).ok()?)));
    known.is_some_and(|known| known.hash().matches(&given.hash()))
}

fn seal(registry: &Registry, purpose: Purpose, id: &str, secret: &Secret) -> String {
    let app = &registry.app;
    app.master
        .seal(purpose, id, secret.reveal().as_bytes(), app.entropy)
}

/// Disabling raises the generation. It begins with the second of registration, so that what is registered anew under an
/// old id does not revive the tokens of the old one.
fn next_generation<S>(before: Option<&Registered<S>>, enabled: bool, now: i64) -> i64 {
    before.map_or(now, |before| {
        before.generation + i64::from(before.enabled && !enabled)
    })
}

/// Why whoever acts may not decide about it although she may decide about others of its kind.
fn reserved_for_administrators<S: Registrable>(
    registry: &Registry,
    registered: &Registered<S>,
) -> Option<Mistake> {
    let bounds = registry.bounds.as_ref()?;
    let (key, text) = registered.settings.for_administrators(&registry.app.policy)?;
    (!bounds.may(Area::Administrators, Right::Change)).then(|| Mistake {
        key: key.into(),
        text: text.to_owned(),
    })
}

/// Why whoever acts may not make this change.
fn reserved<S: Registrable>(registry: &Registry, draft: &Draft<S>) -> Option<Mistake> {
    let mut parties = draft.before.iter().chain([&draft.registered]);
    parties.find_map(|party| not_own(registry, party))
}

/// Why who looks after one agency alone may not say this: it is looked at before the rules are, which tell of others.
fn beyond_own<S: Registrable>(
    registry: &Registry,
    before: Option<&Registered<S>>,
    said: &Map<String, Value>,
) -> Option<Mistake> {
    if registry.reach(S::NOUN.area) == Reach::Everybody {
        return None;
    }
    let Some(before) = before else {
        return Some(not_for_one_agency::<S>("register one", ""));
    };
    if let Some(mistake) = foreign(registry, before) {
        return Some(mistake);
    }
    let old = view(before);
    let changed = old
        .keys()
        .chain(said.keys())
        .find(|member| old.get(*member) != said.get(*member) && !S::OWN.iter().any(|own| own == member));
    changed.map(|member| Mistake {
        key: member.clone().into(),
        text: "it is not for who looks after one agency to change: ask an administrator".to_owned(),
    })
}

/// That who looks after one agency alone may not do this, and what else there is to do.
fn not_for_one_agency<S: Registrable>(act: &str, instead: &str) -> Mistake {
    Mistake {
        key: S::NOUN.id.into(),
        text: format!(
            "only someone who looks after all {} may {act}: {instead}ask an administrator",
            S::NOUN.many
        ),
    }
}

/// Why it is not for whoever acts: it belongs to another agency. No more is said than where there is none.
fn foreign<S: Registrable>(registry: &Registry, registered: &Registered<S>) -> Option<Mistake> {
    let bounds = registry.bounds.as_ref()?;
    (!bounds.may_for(S::NOUN.area, Right::Change, S::whose(registered))).then(|| Mistake {
        key: S::NOUN.id.into(),
        text: format!("no {} has the id {:?}", S::NOUN.name, registered.id),
    })
}

/// Refuses what belongs to an agency that whoever acts does not look after.
pub(super) fn looked_after<S: Registrable>(
    registry: &Registry,
    registered: &Registered<S>,
) -> Result<(), Vec<Mistake>> {
    foreign(registry, registered).map_or(Ok(()), |mistake| Err(vec![mistake]))
}

/// Why whoever acts may not do anything about it: it is of another agency, or an administrator's affair.
fn not_own<S: Registrable>(registry: &Registry, registered: &Registered<S>) -> Option<Mistake> {
    foreign(registry, registered).or_else(|| reserved_for_administrators(registry, registered))
}

fn permitted<S: Registrable>(registry: &Registry, registered: &Registered<S>) -> Result<(), Vec<Mistake>> {
    not_own(registry, registered).map_or(Ok(()), |mistake| Err(vec![mistake]))
}

/// Does what takes long and belongs before the transaction: a signing key that is missing. Must not run where async
/// tasks run.
///
/// # Errors
/// What the store or the cryptographic library says.
pub fn prepared<S: Registrable>(registry: &Registry, mut said: Said) -> Result<Said, Refused> {
    if S::default().signs_with().is_none() {
        return Ok(said);
    }
    let id = said.text(S::NOUN.id).unwrap_or_default().to_owned();
    let before = registry.app.store.read_blocking(move |conn| S::find(conn, &id))?;
    let before = before.filter(|_| said.merge != Merge::Whole);
    let mut merged = before.map_or_else(Map::new, |before| object(&before.settings));
    said.over(&mut merged);
    // What cannot be read is refused later, with its reason.
    let wanted = S::deserialize(Value::Object(merged))
        .ok()
        .and_then(|settings| settings.signs_with());
    let wanted = wanted.filter(|algorithm| Algorithm::SIGNING.contains(algorithm));
    let spare = keys::spare(registry, wanted.as_slice())?;
    said.spare = spare;
    Ok(said)
}

/// Writes a draft; `spare` holds signing keys that may be missing. Answers a secret that was made.
pub(super) fn write<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    draft: &Draft<S>,
    spare: &keys::Spare,
) -> Stored<Option<Secret>> {
    let Draft {
        registered,
        before,
        secret,
        agency,
    } = draft;
    if let Some(agency) = agency {
        register_agency(registry, tx, agency)?;
    }
    if let Some(algorithm) = registered.settings.signs_with() {
        keys::ensure(registry, tx, algorithm, spare)?;
    }
    S::put(tx.conn(), registered)?;
    let made = match S::NOUN.secrets {
        Secrets::Theirs => secrets::take(registry, tx, &registered.id, &registered.secrets, secret)?,
        Secrets::Ours(_) | Secrets::None => None,
    };
    let action = match before {
        None => "registered",
        Some(before) if before.enabled && !registered.enabled => "disabled",
        Some(before) if !before.enabled && registered.enabled => "enabled",
        Some(_) => "changed",
    };
    let mut event = S::named(registry.event(S::NOUN.event, action), &registered.id);
    let another = before
        .as_ref()
        .is_some_and(|before| registered.settings.is_another(&before.settings));
    // Replaced first: what is disabled in the same change must not keep what rested on the old one.
    let ending = match action {
        _ if another => Some(Ending::Replaced),
        "disabled" => Some(Ending::Disabled),
        _ => None,
    };
    if let Some(ending) = ending {
        let ended = S::end(registry, tx, &registered.id, ending)?;
        event = ended
            .into_iter()
            .fold(event, |event, (what, count)| event.with(what, count));
    }
    if let Some(before) = before {
        event = event.with("before", Value::Object(view(before)).to_string());
    }
    if let Some(what) = secret.name() {
        event = event.with("secret", what);
    }
    tx.audit(event.with("after", Value::Object(view(registered)).to_string()));
    registry.tell(tx, S::NOUN.change, &registered.id);
    Ok(made)
}

/// Registers an agency that somebody or something belongs to.
pub(super) fn register_agency(registry: &Registry, tx: &mut Tx<'_>, agency: &Agency) -> Stored<()> {
    let draft: Draft<AgencySettings> = Draft {
        registered: agency.clone(),
        before: None,
        secret: SecretStep::Keep,
        agency: None,
    };
    write(registry, tx, &draft, &keys::Spare::default())?;
    Ok(())
}

/// The one of an id.
///
/// # Errors
/// What the database says; that there is none is part of the answer.
pub fn found<S: Registrable>(conn: &mut Conn, id: &str) -> Decided<Registered<S>> {
    Ok(match S::find(conn, id)? {
        Some(registered) => Ok(registered),
        None => mistake(S::NOUN.id, format!("no {} has the id {id:?}", S::NOUN.name)),
    })
}

/// Refuses an id that another noun of the same namespace has.
pub(super) fn own_id<S: Registrable>(conn: &mut Conn, id: &str) -> Decided<()> {
    Ok(match S::namesake(conn, id)? {
        Some(other) => mistake(
            S::NOUN.id,
            format!("{id:?} is the id of a {other}; the two share one namespace"),
        ),
        None => Ok(()),
    })
}

/// Registers something that does not exist yet. Answers it with a secret that was made.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn register<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    said: &Said,
) -> Decided<(Registered<S>, Option<Secret>)> {
    let id = said.text(S::NOUN.id).unwrap_or_default();
    if S::find(tx.conn(), id)?.is_some() {
        return Ok(mistake(
            S::NOUN.id,
            format!("{id:?} is registered already; choose another, or change that one"),
        ));
    }
    let around = Around::read(tx.conn())?;
    let draft = draft::<S>(registry, said, None, &around);
    let draft = good!(with_own_id(draft, own_id::<S>(tx.conn(), id)?));
    let made = write(registry, tx, &draft, &said.spare)?;
    Ok(Ok((draft.registered, made)))
}

/// A draft, with what is wrong with its id among the mistakes.
pub(super) fn with_own_id<S>(
    draft: Result<Draft<S>, Vec<Mistake>>,
    own: Result<(), Vec<Mistake>>,
) -> Result<Draft<S>, Vec<Mistake>> {
    match (draft, own) {
        (Err(mut mistakes), Err(more)) => {
            mistakes.extend(more);
            Err(mistakes)
        }
        (Ok(_), Err(mistakes)) => Err(mistakes),
        (draft, Ok(())) => draft,
    }
}

/// Changes something; `expected` is the [`version`] that whoever changes it has seen. Answers it with a secret that was
/// made.
///
/// # Errors
/// As [`register`]; a mistake with the key [`VERSION`](super::VERSION) when it is another one by now.
pub fn change<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    said: &Said,
    expected: Option<&str>,
) -> Decided<(Registered<S>, Option<Secret>)> {
    let before = good!(found::<S>(tx.conn(), said.text(S::NOUN.id).unwrap_or_default())?);
    good!(unchanged(expected, &version(&before)));
    let around = Around::read(tx.conn())?;
    let draft = good!(draft(registry, said, Some(&before), &around));
    if draft.differences().is_empty() {
        return Ok(Ok((before, None)));
    }
    if before.enabled && !draft.registered.enabled {
        good!(S::may_be_disabled(registry, tx.conn(), &before.id)?);
    }
    let made = write(registry, tx, &draft, &said.spare)?;
    Ok(Ok((draft.registered, made)))
}

/// Disables or enables. Answers whether that changed anything.
pub fn set_enabled<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    enabled: bool,
) -> Decided<bool> {
    let before = good!(found::<S>(tx.conn(), id)?);
    if before.enabled == enabled {
        return Ok(Ok(false));
    }
    if enabled {
        good!(permitted(registry, &before));
    } else {
        // Who may not decide about it may stop it all the same.
        good!(looked_after(registry, &before));
        good!(S::may_be_disabled(registry, tx.conn(), id)?);
    }
    let now = registry.app.now();
    let draft = Draft {
        registered: Registered {
            enabled,
            generation: next_generation(Some(&before), enabled, now),
            updated_at: now,
            ..before.clone()
        },
        before: Some(before),
        secret: SecretStep::Keep,
        agency: None,
    };
    write(registry, tx, &draft, &keys::Spare::default())?;
    Ok(Ok(true))
}

/// Makes a new secret; see [`secrets`].
pub fn rotate_secret<S: Registrable>(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    overlap_seconds: i64,
) -> Decided<Rotated> {
    let owner = good!(found::<S>(tx.conn(), id)?);
    good!(permitted(registry, &owner));
    if S::NOUN.secrets.are_ours() {
        return Ok(mistake(
            S::NOUN.id,
            format!("our secret at {id} is made there: have a new one made, and enter it here"),
        ));
    }
    if !owner.settings.proof().uses_secret() {
        return Ok(mistake(
            S::NOUN.id,
            format!(
                "{id} authenticates by {} and has no secret",
                owner.settings.proof().as_str()
            ),
        ));
    }
    let rotated = secrets::rotate(registry, tx, id, &owner.secrets, overlap_seconds)?;
    Ok(rotated.map(|(rotated, event)| {
        tx.audit(event.client(id));
        registry.tell(tx, S::NOUN.change, id);
        rotated
    }))
}

/// Deletes something that nothing else uses, with what stands on it.
pub fn delete<S: Registrable>(registry: &Registry, tx: &mut Tx<'_>, id: &str) -> Decided<()> {
    let gone = good!(found::<S>(tx.conn(), id)?);
    good!(permitted(registry, &gone));
    let bounds = registry.bounds.as_ref();
    if bounds.is_some_and(|bounds| !bounds.may(S::NOUN.area, Right::Change)) {
        return Ok(Err(vec![not_for_one_agency::<S>(
            "delete one",
            "disable it, or ",
        )]));
    }
    let users = S::users(tx.conn(), id)?;
    if !users.is_empty() {
        return Ok(mistake(
            S::NOUN.id,
            format!(
                "{id} is used by {}: change or delete these first, or disable it",
                users.join(", ")
            ),
        ));
    }
    let ended = S::end(registry, tx, id, Ending::Deleted)?;
    S::delete(tx.conn(), id)?;
    let event = S::named(registry.event(S::NOUN.event, "deleted"), id);
    let event = ended
        .into_iter()
        .fold(event, |event, (what, count)| event.with(what, count));
    tx.audit(event.with("before", Value::Object(view(&gone)).to_string()));
    registry.tell(tx, S::NOUN.change, id);
    Ok(Ok(()))
}
