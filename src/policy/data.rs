//! The policy as it is in memory: what was read from its file, and how it is looked up.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::console;
use super::dataflow::Dataflow;
use super::role::{Role, SystemRole};
use super::vocabulary::Vocabulary;
use crate::model::agency::Agencies;
use crate::model::kind::Kind;
use crate::model::person::PersonSettings;
use crate::model::scope::{Scope, ScopeSet};

/// Everything that decides who may be granted what.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) roles: Vec<Role>,
    pub(super) agency_kinds: Vec<AgencyKind>,
    pub(super) system_role: SystemRole,
    pub(super) dataflows: Vec<Dataflow>,
    pub(super) scopes: Vec<NamedScope>,
    pub(super) words: Words,
    pub(super) claims: BTreeMap<String, Release>,
    pub(super) catalogues: BTreeMap<Kind, ScopeSet>,
    pub(super) vocabulary: Vocabulary,
}

/// A kind of agency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgencyKind {
    /// Its code.
    pub code: String,
    /// What people call it.
    pub label: String,
    /// The roles that its people may have there; none: all.
    pub roles: Option<Vec<String>>,
}

/// A scope that is a name: `openid`, `__mdi.certify`, an operation's URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedScope {
    /// The scope.
    pub name: String,
    /// What the consent page says, in plain words.
    pub sentence: String,
    /// Who may be granted it.
    pub askers: Askers,
    /// The roles whose holders may be granted it.
    pub roles: Vec<String>,
    /// True if it is a right on this server itself: it opens no resource server, and `aud` is the issuer.
    pub of_issuer: bool,
}

/// Who may be granted a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Askers {
    /// Only people, who sign in.
    People,
    /// Only systems, by client credentials.
    Systems,
    /// Either.
    Both,
    /// Nobody, through a dataflow.
    None,
}

impl Policy {
    /// All roles, those of the console last.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The role with this code.
    pub fn role(&self, code: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.code == code)
    }

    /// The kinds of agencies.
    pub fn agency_kinds(&self) -> &[AgencyKind] {
        &self.agency_kinds
    }

    /// The kind with this code.
    pub fn agency_kind(&self, code: &str) -> Option<&AgencyKind> {
        self.agency_kinds.iter().find(|kind| kind.code == code)
    }

    /// Whether people may have a role at agencies of a kind. Roles of the console are nobody's there.
    pub fn may_have(&self, kind: &str, role: &str) -> bool {
        let known = self.role(role).is_some_and(|role| !role.console);
        let kind = self.agency_kind(kind);
        let listed = |kind: &AgencyKind| {
            kind.roles
                .as_ref()
                .is_none_or(|roles| roles.iter().any(|listed| listed == role))
        };
        known && kind.is_some_and(listed)
    }

    /// The roles of a person that count: those at agencies that are enabled and may have them, and those of the console
    /// that hold for everybody's affairs.
    pub fn roles_that_count(&self, settings: &PersonSettings, agencies: &Agencies) -> Vec<String> {
        let at = |agency: &String, role: &String| {
            agencies
                .get(agency)
                .is_some_and(|agency| agency.enabled && self.may_have(&agency.settings.kind, role))
        };
        let home = settings.agency.as_ref();
        let own = settings
            .roles
            .iter()
            .filter(|role| home.is_none_or(|home| console::is_console_role(role) || at(home, role)));
        let others = settings.memberships.iter().flat_map(|membership| {
            let roles = membership.roles.iter();
            roles.filter(|role| at(&membership.agency, role))
        });
        let mut all: Vec<String> = Vec::new();
        for role in own.chain(others) {
            if !all.contains(role) {
                all.push(role.clone());
            }
        }
        all
    }

    /// What systems are called where people have roles.
    pub fn system_role(&self) -> &SystemRole {
        &self.system_role
    }

    /// All dataflows.
    pub fn dataflows(&self) -> &[Dataflow] {
        &self.dataflows
    }

    /// The dataflow with this id.
    pub fn dataflow(&self, id: &str) -> Option<&Dataflow> {
        self.dataflows.iter().find(|dataflow| dataflow.id == id)
    }

    /// All scopes that are names.
    pub fn named_scopes(&self) -> &[NamedScope] {
        &self.scopes
    }

    /// The named scope, if the policy knows it.
    pub fn named_scope(&self, name: &str) -> Option<&NamedScope> {
        self.scopes.iter().find(|scope| scope.name == name)
    }

    /// The code systems: purposes of use, standard roles, security labels.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What a resource server of this kind offers if it lists nothing itself: what its kind's dataflows use.
    pub fn catalogue(&self, kind: Kind) -> &ScopeSet {
        static NONE: ScopeSet = ScopeSet::new();
        self.catalogues.get(&kind).unwrap_or(&NONE)
    }

    /// Every scope that can be granted, for the metadata's `scopes_supported` (RFC 8414 §2): those of the dataflows,
    /// and the names that only `custom` clients reach.
    pub fn scopes_supported(&self) -> ScopeSet {
        let used = self
            .dataflows
            .iter()
            .flat_map(|dataflow| dataflow.scopes.iter().cloned());
        let named = self.scopes.iter().filter(|scope| scope.askers != Askers::None);
        used.chain(named.map(|scope| Scope::Named(scope.name.clone())))
            .collect()
    }

    /// The most that people with these roles may be granted, without the scopes that only tell who they are. Unknown
    /// roles hold nothing.
    pub fn may_hold(&self, roles: &[String]) -> ScopeSet {
        let held = roles.iter().filter_map(|code| self.role(code));
        held.flat_map(|role| role.scopes.iter().cloned()).collect()
    }

    /// True if one of these roles counts only after a second factor.
    pub fn requires_second_factor(&self, roles: &[String]) -> bool {
        roles
            .iter()
            .filter_map(|code| self.role(code))
            .any(|role| role.second_factor)
    }

    /// True if the scope is a right on a resource server, so that its base belongs into `aud`: neither a scope that
    /// tells who somebody is, nor one of this server's own.
    pub fn opens_resource_server(&self, scope: &Scope) -> bool {
        let of_issuer = match scope {
            Scope::Named(name) => self.named_scope(name).is_some_and(|named| named.of_issuer),
            Scope::Smart(_) => false,
        };
        !of_issuer && !scope.is_identity()
    }
}

/// The standard claims that one scope releases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// Into the ID token.
    #[serde(default)]
    pub id_token: Vec<String>,
    /// At the userinfo endpoint.
    pub userinfo: Vec<String>,
}

/// The words from which sentences about SMART scopes are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// A verb for each letter.
    pub verbs: BTreeMap<char, String>,
    /// The words for resource types, `*` included.
    pub resources: BTreeMap<String, ResourceWords>,
}

/// The words for one resource type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceWords {
    /// The FHIR type, or `*`.
    #[serde(rename = "type")]
    pub name: String,
    /// What people call it, in the plural.
    pub label: String,
    /// The verb for `c`, if the usual one misleads.
    pub create: Option<String>,
}
