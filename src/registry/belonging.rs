//! How something comes to belong to an agency: it names one by its id, or describes one, which is found by its identifier
//! or made.

use serde_json::Value;
use url::Url;

use super::limits::{Limit, exceeded};
use super::{Mistake, Mistakes, Registry, display_name, id_from, mistake};
use crate::model::agency::{Agencies, Agency, AgencySettings, OTHER, Organization};
use crate::policy::console::{Area, Reach};
use crate::store::{Conn, Stored, registered};

/// The member that names the agency of something.
pub const AGENCY: &str = "agency";
/// The member that describes it, where it may not be registered yet.
pub const INLINE: &str = "organization";
/// How many ids are tried for an agency that is made from its name.
const TRIED: usize = 100;

/// The agencies that something may belong to: those that are registered, and those that the same file makes.
#[derive(Debug, Clone, Default)]
pub struct Known {
    all: Agencies,
    /// Ids of those that the same file makes.
    planned: Vec<String>,
    /// Ids of those whose own mistakes are told elsewhere.
    doubtful: Vec<String>,
}

impl Known {
    /// Those that are registered now.
    pub fn read(conn: &mut Conn) -> Stored<Self> {
        Ok(Self {
            all: registered::all::<AgencySettings>(conn)?.into_iter().collect(),
            ..Self::default()
        })
    }

    /// Adds one that the same file makes or changes.
    pub(super) fn plan(&mut self, agency: &Agency) {
        if self.all.get(&agency.id).is_none() {
            self.planned.push(agency.id.clone());
        }
        self.all.put(agency.clone());
    }

    /// Notes that the file has one that has mistakes.
    pub(super) fn doubt(&mut self, id: &str) {
        self.doubtful.push(id.to_owned());
    }

    /// All of them.
    pub(super) fn all(&self) -> &Agencies {
        &self.all
    }

    pub(super) fn by_identifier(&self, identifier: &str) -> Option<&Agency> {
        let all = self.all.by_name().into_iter().map(AsRef::as_ref);
        let mut same =
            all.filter(|agency: &&Agency| agency.settings.identifier.as_deref() == Some(identifier));
        same.next()
    }

    /// Refuses an agency that nobody knows.
    pub(super) fn check(&self, id: &str) -> Result<(), String> {
        if self.all.get(id).is_some() || self.doubtful.iter().any(|doubtful| doubtful == id) {
            Ok(())
        } else {
            Err(unknown(id))
        }
    }
}

/// What is said of an agency that is not there, or not for whoever asks.
pub(super) fn unknown(id: &str) -> String {
    format!("no agency has the id {id:?}: register it first")
}

/// To which agency something is to belong.
pub(super) struct Wanted<'a> {
    /// By its id.
    pub agency: Option<&'a str>,
    /// In words.
    pub inline: Option<&'a Organization>,
    /// To which it belongs now.
    pub old: Option<&'a str>,
    /// What it is a part of: who may change all of that may make agencies on the way.
    pub area: Area,
}

/// The agency that something is to belong to, with one that has to be made for it.
type Settled = (Option<String>, Option<Agency>);

/// Finds the agency by its id or identifier, never by its name, or makes one.
///
/// # Errors
/// What is wrong.
pub(super) fn settle(
    registry: &Registry,
    wanted: &Wanted<'_>,
    known: &Known,
) -> Result<Settled, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let reach = registry.reach(wanted.area);
    // What is another agency's affair is told of as if there were none.
    let is_seen = |id: &str| wanted.old == Some(id) || reach.holds_for(Some(id));
    let Some(inline) = wanted.inline else {
        if let Some(id) = wanted.agency
            && wanted.old != Some(id)
        {
            let seen = if is_seen(id) {
                known.check(id)
            } else {
                Err(unknown(id))
            };
            mistakes.take(AGENCY, seen);
        }
        return mistakes.into_result((wanted.agency.map(str::to_owned), None));
    };
    let inline = checked(inline, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes.0);
    }
    if let Some(found) = found(&inline, wanted, known).filter(|id| is_seen(id)) {
        return Ok((Some(found), None));
    }
    if reach != Reach::Everybody {
        mistakes.add(
            INLINE,
            "no agency that you look after has this identifier: name one by its id, as agency",
        );
        return Err(mistakes.0);
    }
    let made = made(registry, &inline, known)?;
    Ok((Some(made.id.clone()), Some(made)))
}

/// Checks how an agency is described, and takes the blanks around its name away.
fn checked(inline: &Organization, mistakes: &mut Mistakes) -> Organization {
    let name = mistakes.take(
        INLINE,
        display_name(Some(&inline.name), None).map_err(|text| format!("its name {text}")),
    );
    if let Some(id) = &inline.id {
        mistakes.take(
            INLINE,
            check_identifier(id).map_err(|text| format!("its id {text}")),
        );
        if let Some(what) = exceeded(&Value::from(id.as_str()), Limit::URI) {
            mistakes.add(INLINE, what);
        }
    }
    if let Some(jurisdiction) = &inline.jurisdiction {
        mistakes.take(
            INLINE,
            display_name(Some(jurisdiction), None).map_err(|text| format!("its jurisdiction {text}")),
        );
    }
    Organization {
        name: name.unwrap_or_default(),
        ..inline.clone()
    }
}

/// An identifier is a URI.
pub(super) fn check_identifier(identifier: &str) -> Result<(), String> {
    if Url::parse(identifier).is_err() || identifier.contains(char::is_whitespace) {
        return Err(format!(
            "{identifier:?} must be a URI, such as urn:oid:2.16.840.1.113883.3.9999.1"
        ));
    }
    Ok(())
}

/// By the identifier. Without one it is that of the same file with this name, or the one that it belongs to already.
fn found(inline: &Organization, wanted: &Wanted<'_>, known: &Known) -> Option<String> {
    if let Some(identifier) = &inline.id {
        return known.by_identifier(identifier).map(|agency| agency.id.clone());
    }
    let named = |id: &str| {
        let agency = known.all.get(id)?;
        (agency.name == inline.name).then(|| id.to_owned())
    };
    wanted
        .old
        .and_then(named)
        .or_else(|| known.planned.iter().find_map(|id| named(id)))
}

/// A new one, with an id that is made from its name.
fn made(registry: &Registry, inline: &Organization, known: &Known) -> Result<Agency, Vec<Mistake>> {
    let plain = Some(id_from(&inline.name)).filter(|id| !id.is_empty());
    let plain = plain.unwrap_or_else(|| AGENCY.to_owned());
    let is_free = |id: &String| known.all.get(id).is_none();
    if !is_free(&plain) && inline.id.is_none() {
        return mistake(
            INLINE,
            format!(
                "an agency with the id {plain:?} is registered already: if it is meant, write agency = {plain:?}; if not, say the identifier of this one as id"
            ),
        );
    }
    let numbered = (2..TRIED).map(|number| format!("{plain}-{number}"));
    let id = std::iter::once(plain.clone()).chain(numbered).find(is_free);
    let now = registry.app.now();
    Ok(Agency {
        id: id.unwrap_or_else(|| registry.app.entropy.id(AGENCY)),
        name: inline.name.clone(),
        settings: AgencySettings {
            kind: OTHER.to_owned(),
            identifier: inline.id.clone(),
            jurisdiction: inline.jurisdiction.clone(),
            ..AgencySettings::default()
        },
        enabled: true,
        generation: now,
        created_at: now,
        updated_at: now,
        secrets: Vec::new(),
        sealed: None,
    })
}
