//! Scopes: the SMART App Launch v2 grammar, the names of OpenID Connect, our own `__…` names and URIs.
//!
//! A scope has two spellings to care about. The *client* reads back what it asked for: [`ScopeSet`]'s `Display` keeps
//! the requested spelling, v1 included (SMART App Launch 2.2, "Scopes for requesting clinical data"). The *resource
//! server* reads [`ScopeSet::project`]: always the v2 spelling under [`ScopeStyle::V2`] (servers that search a scope
//! for the letter `r` take v1 `.write` for a right to read), and under [`ScopeStyle::V1`] only those v1 words that say
//! no more than was granted.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;
use utoipa::ToSchema;

/// The longest `scope` parameter that is read, in bytes.
pub const MAX_BYTES: usize = 4096;
/// The most scopes that one `scope` parameter may hold.
pub const MAX_SCOPES: usize = 100;

const IDENTITY: [&str; 7] = [
    "openid",
    "profile",
    "email",
    "address",
    "phone",
    "fhirUser",
    "offline_access",
];

/// Why a text is not a scope. Messages keep to the characters of `error_description` (RFC 6749 §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// More than [`MAX_BYTES`].
    #[error("scope has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// More than [`MAX_SCOPES`].
    #[error("scope names {0} scopes; at most {MAX_SCOPES} are read")]
    TooMany(usize),
    /// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
    #[error(
        "scope holds the character U+{:04X}; RFC 6749 section 3.3 allows printable ASCII except the double quote and \
         the backslash, with single spaces between scopes", *.0 as u32
    )]
    Character(char),
    /// It has the shape of a SMART scope but is none.
    #[error("the scope {scope} is not a SMART scope: {remedy}")]
    Smart {
        /// The scope as it was sent.
        scope: String,
        /// What to write instead.
        remedy: String,
    },
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// A right on FHIR resources.
    Smart(SmartScope),
    /// A name without inner structure: `openid`, `__mdi.certify`, an operation's URI. A name that nobody knows is a
    /// scope all the same; it is granted to no one (OpenID Connect Core §3.1.2.1: not understood, ignored).
    Named(String),
}

/// A SMART v2 scope, `level/Resource.cruds?constraint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmartScope {
    level: Level,
    resource: Resource,
    permissions: Permissions,
    constraint: Option<String>,
    v1: bool,
}

/// Whose rights a SMART scope speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Level {
    /// The data of one patient in context.
    Patient,
    /// What the signed-in person may reach.
    User,
    /// What a system may reach with nobody present.
    System,
}

/// Which resources a SMART scope covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `*`
    Any,
    /// A FHIR resource type.
    Type(String),
}

/// The letters of a SMART scope: create, read, update, delete, search. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permissions(u8);

const LETTERS: [(char, u8); 5] = [('c', 1), ('r', 2), ('u', 4), ('d', 8), ('s', 16)];

impl Permissions {
    /// v1 `.read`
    pub const RS: Self = Self(2 | 16);
    /// v1 `.write`
    pub const CUD: Self = Self(1 | 4 | 8);
    /// v1 `.*`
    pub const CRUDS: Self = Self(31);

    /// Reads letters in the order `cruds`; nothing else.
    pub fn from_letters(text: &str) -> Option<Self> {
        let mut rest = LETTERS.iter();
        let mut bits = 0;
        for letter in text.chars() {
            bits |= rest.find(|(known, _)| *known == letter)?.1;
        }
        (bits != 0).then_some(Self(bits))
    }

    /// The letters, in order.
    pub fn letters(self) -> impl Iterator<Item = char> {
        LETTERS
            .into_iter()
            .filter(move |(_, bit)| self.0 & bit != 0)
            .map(|(letter, _)| letter)
    }

    /// True if every letter of `other` is here too.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The letters of both, if there are any.
    pub fn meet(self, other: Self) -> Option<Self> {
        let bits = self.0 & other.0;
        (bits != 0).then_some(Self(bits))
    }

    fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The v1 word for exactly these letters.
    fn v1_word(self) -> Option<&'static str> {
        match self {
            Self::RS => Some("read"),
            Self::CUD => Some("write"),
            Self::CRUDS => Some("*"),
            _ => None,
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters().try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl Level {
    /// The word before the slash.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Type(name) => name,
        })
    }
}

impl SmartScope {
    /// Whose rights.
    pub fn level(&self) -> Level {
        self.level
    }

    /// On which resources.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Which letters.
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// The search parameters after `?`, as they were sent.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn parse(level: Level, rest: &str) -> Result<Self, String> {
        let (what, constraint) = match rest.split_once('?') {
            Some((what, query)) => (what, Some(query)),
            None => (rest, None),
        };
        let (resource, letters) = what.split_once('.').ok_or_else(|| {
            format!(
                "a dot and its permissions are missing, as in {}/Patient.rs",
                level.as_str()
            )
        })?;
        let resource = parse_resource(resource)?;
        let (permissions, v1) = parse_permissions(letters)?;
        if let Some(query) = constraint {
            if v1 {
                return Err(
                    "v1 scopes take no constraint; write the v2 letters before the question mark".into(),
                );
            }
            let is_pair = |pair: &str| {
                pair.split_once('=')
                    .is_some_and(|(k, v)| !k.is_empty() && !v.is_empty())
            };
            if !query.split('&').all(is_pair) {
                return Err("after the question mark stand search parameters, name=value joined by &".into());
            }
        }
        Ok(Self {
            level,
            resource,
            permissions,
            constraint: constraint.map(Into::into),
            v1,
        })
    }

    /// Whether the two differ in their letters alone.
    fn is_twin_of(&self, other: &Self) -> bool {
        self.level == other.level && self.resource == other.resource && self.constraint == other.constraint
    }

    /// What both allow: `*` yields to a type, no constraint yields to a constraint, and of two different constraints
    /// nobody can say what they have in common, so nothing.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let resource = match (&self.resource, &other.resource) {
            (Resource::Any, narrower) | (narrower, Resource::Any) => narrower,
            (a, b) => (a == b).then_some(a)?,
        };
        let constraint = match (&self.constraint, &other.constraint) {
            (None, either) | (either, None) => either,
            (a, b) => (a == b).then_some(a)?,
        };
        (self.level == other.level).then_some(())?;
        Some(Self {
            level: self.level,
            resource: resource.clone(),
            permissions: self.permissions.meet(other.permissions)?,
            constraint: constraint.clone(),
            v1: false,
        })
    }

    /// True if everything that `other` allows is allowed here.
    fn covers(&self, other: &Self) -> bool {
        self.level == other.level
            && (self.resource == Resource::Any || self.resource == other.resource)
            && (self.constraint.is_none() || self.constraint == other.constraint)
            && self.permissions.covers(other.permissions)
    }

    /// The same right in the v2 spelling.
    fn v2(&self) -> Self {
        Self {
            v1: false,
            ..self.clone()
        }
    }

    /// The v1 spelling that says the most without saying more than this scope does.
    fn v1(&self) -> Option<String> {
        let word = match self.permissions {
            _ if self.constraint.is_some() => return None,
            Permissions::CRUDS => "*",
            letters if letters.covers(Permissions::RS) => "read",
            letters if letters.covers(Permissions::CUD) => "write",
            _ => return None,
        };
        Some(format!("{}/{}.{word}", self.level.as_str(), self.resource))
    }
}

fn parse_resource(text: &str) -> Result<Resource, String> {
    if text == "*" {
        return Ok(Resource::Any);
    }
    if text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Ok(Resource::Type(text.into()));
    }
    Err(format!(
        "{text} is not a FHIR resource type; write a type such as Patient, or *"
    ))
}

fn parse_permissions(text: &str) -> Result<(Permissions, bool), String> {
    match text {
        "read" => return Ok((Permissions::RS, true)),
        "write" => return Ok((Permissions::CUD, true)),
        "*" => return Ok((Permissions::CRUDS, true)),
        _ => {}
    }
    if let Some(permissions) = Permissions::from_letters(text) {
        return Ok((permissions, false));
    }
    let sorted: String = "cruds".chars().filter(|letter| text.contains(*letter)).collect();
    if !sorted.is_empty() && text.chars().all(|letter| sorted.contains(letter)) {
        return Err(format!(
            "the letters stand in the order cruds, each once: .{sorted} instead of .{text}"
        ));
    }
    Err("after the dot stand letters out of cruds in this order, or the v1 words read, write or *".into())
}

impl fmt::Display for SmartScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.", self.level.as_str(), self.resource)?;
        match self.permissions.v1_word().filter(|_| self.v1) {
            Some(word) => f.write_str(word)?,
            None => write!(f, "{}", self.permissions)?,
        }
        self.constraint
            .as_ref()
            .map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl Scope {
    /// True for the scopes that tell who somebody is, or keep him signed in, and open no resource server:
    /// `openid profile email address phone fhirUser offline_access`.
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Named(name) if IDENTITY.contains(&name.as_str()))
    }

    /// The SMART level, if it is a SMART scope.
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Smart(smart) => Some(smart.level),
            Self::Named(_) => None,
        }
    }

    /// The part of this scope that `ceiling` allows. Allowed whole: this scope as it is spelled. Allowed in part: the
    /// pieces, in the v2 spelling, letters of one type together.
    pub fn within(&self, ceiling: &ScopeSet) -> Vec<Self> {
        let smart = match self {
            Self::Named(_) => {
                return ceiling
                    .0
                    .iter()
                    .filter(|allowed| *allowed == self)
                    .cloned()
                    .collect();
            }
            Self::Smart(smart) => smart,
        };
        let met = ceiling.0.iter().filter_map(|allowed| match allowed {
            Self::Smart(allowed) => smart.meet(allowed),
            Self::Named(_) => None,
        });
        let pieces = join_pieces(met);
        if pieces.iter().any(|piece| piece.covers(smart)) {
            return vec![self.clone()];
        }
        pieces.into_iter().map(Self::Smart).collect()
    }
}

/// Joins the letters of equal level, type and constraint, and drops what another piece already covers.
fn join_pieces(met: impl Iterator<Item = SmartScope>) -> Vec<SmartScope> {
    let mut joined: Vec<SmartScope> = Vec::new();
    for piece in met {
        match joined.iter_mut().find(|other| other.is_twin_of(&piece)) {
            Some(other) => other.permissions = other.permissions.join(piece.permissions),
            None => joined.push(piece),
        }
    }
    let covered = |piece: &SmartScope| joined.iter().any(|other| other != piece && other.covers(piece));
    joined.iter().filter(|piece| !covered(piece)).cloned().collect()
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let is_token = |c: char| matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E');
        if let Some(bad) = text.chars().find(|c| !is_token(*c)) {
            return Err(ScopeError::Character(bad));
        }
        if text.is_empty() {
            return Err(ScopeError::Character(' '));
        }
        for level in [Level::Patient, Level::User, Level::System] {
            let Some(rest) = text
                .strip_prefix(level.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
            else {
                continue;
            };
            return SmartScope::parse(level, rest)
                .map(Self::Smart)
                .map_err(|remedy| ScopeError::Smart {
                    scope: text.into(),
                    remedy,
                });
        }
        Ok(Self::Named(text.into()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smart(smart) => smart.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// How a resource server wants SMART scopes spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeStyle {
    /// SMART App Launch 1: `.read .write .*`, where they say no more than was granted.
    V1,
    /// SMART App Launch 2: the letters.
    #[default]
    V2,
}

/// Scopes in the order they were named, each once. Reads and writes the space-separated string of RFC 6749 §3.3.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// No scope.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// True if a scope with exactly this spelling is here.
    pub fn contains(&self, spelling: &str) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::Named(name) => name == spelling,
            Scope::Smart(smart) => smart.to_string() == spelling,
        })
    }

    /// The scopes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if all of `other` is allowed by the scopes here, however they are spelled.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|scope| scope.within(self).contains(scope))
    }

    /// What is left of these scopes under `ceiling`; see [`Scope::within`].
    pub fn meet(&self, ceiling: &Self) -> Self {
        self.0.iter().flat_map(|scope| scope.within(ceiling)).collect()
    }

    /// These scopes and then those of `other` that are new.
    pub fn join(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).cloned().collect()
    }

    /// The same without what another scope of the same level, type and constraint says already: `user/Patient.rs` beside
    /// `user/Patient.crus`. Of two that say the same the first stays, as it is spelled.
    pub fn without_doubles(&self) -> Self {
        let said_by = |place: usize, scope: &Scope| {
            self.0
                .iter()
                .enumerate()
                .any(|(other, known)| match (known, scope) {
                    (Scope::Smart(known), Scope::Smart(piece))
                        if other != place && known.is_twin_of(piece) =>
                    {
                        known.covers(piece) && (other < place || !piece.covers(known))
                    }
                    _ => false,
                })
        };
        let kept = self
            .0
            .iter()
            .enumerate()
            .filter(|(place, scope)| !said_by(*place, scope));
        Self(kept.map(|(_, scope)| scope.clone()).collect())
    }

    /// These scopes without the one so spelled.
    pub fn without(&self, spelling: &str) -> Self {
        self.0
            .iter()
            .filter(|scope| scope.to_string() != spelling)
            .cloned()
            .collect()
    }

    /// The `scope` that a resource server reads. `map` comes first: granted spelling (or its v2 spelling) to the
    /// spelling this server wants. Then names pass as they are, and SMART scopes as `style` says: `V2` always in
    /// letters; `V1` never widens, so a constrained scope, and letters that include neither `rs` nor `cud`, are left
    /// out, and `crs` becomes `.read`.
    pub fn project(&self, style: ScopeStyle, map: &BTreeMap<String, String>) -> String {
        let spell = |scope: &Scope| match scope {
            Scope::Named(name) => Some(map.get(name).unwrap_or(name).clone()),
            Scope::Smart(smart) => {
                let v2 = smart.v2().to_string();
                map.get(&smart.to_string())
                    .or_else(|| map.get(&v2))
                    .cloned()
                    .or_else(|| match style {
                        ScopeStyle::V2 => Some(v2),
                        ScopeStyle::V1 => smart.v1(),
                    })
            }
        };
        let mut spelled: Vec<String> = Vec::with_capacity(self.0.len());
        for word in self.0.iter().filter_map(spell) {
            if !word.is_empty() && !spelled.contains(&word) {
                spelled.push(word);
            }
        }
        spelled.join(" ")
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut unique = Vec::new();
        for scope in scopes {
            if !unique.contains(&scope) {
                unique.push(scope);
            }
        }
        Self(unique)
    }
}

impl FromStr for ScopeSet {
    type Err = ScopeError;

    /// Reads scopes separated by spaces; several spaces count as one, and an empty text is an empty set.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.len() > MAX_BYTES {
            return Err(ScopeError::TooLong(text.len()));
        }
        let words = || text.split(' ').filter(|word| !word.is_empty());
        match words().count() {
            n if n > MAX_SCOPES => Err(ScopeError::TooMany(n)),
            _ => words().map(str::parse).collect(),
        }
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            write!(f, "{}{scope}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ScopeSet {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<ScopeSet> for String {
    fn from(scopes: ScopeSet) -> Self {
        scopes.to_string()
    }
}
