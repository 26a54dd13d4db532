//! An agency: a medical examiner's office, a laboratory, a vital records office, a funeral home, a hospital. Clients,
//! resource servers, identity providers and people refer to it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::registered::Registered;

/// The kind of an agency of which nothing else is said.
pub const OTHER: &str = "other";

/// What is registered about an agency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AgencySettings {
    /// What it is, by the policy's kinds: its people may have the roles of that kind, and no others.
    pub kind: String,
    /// Its identifier, a URI, usually `urn:oid:…` (IHE IUA `subject_organization_id`).
    #[schema(examples("urn:oid:2.16.840.1.113883.3.9999.1"))]
    pub identifier: Option<String>,
    /// Its National Provider Identifier.
    pub npi: Option<String>,
    /// The jurisdiction it stands in, where that is not the installation's.
    pub jurisdiction: Option<String>,
    /// Mail addresses of those who look after it.
    pub contacts: Vec<String>,
}

/// A registered agency. Nobody signs in who belongs to a disabled one, roles there do not count, and its clients and
/// resource servers get nothing.
pub type Agency = Registered<AgencySettings>;

/// An agency in the words of whoever does not know whether it is registered: it is found by its identifier, or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its name as people know it.
    pub name: String,
    /// Its identifier, usually `urn:oid:…` (IHE IUA `subject_organization_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The jurisdiction it stands in, where that is not the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
}

/// What somebody may do at an agency beside the one that she belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Its id.
    pub agency: String,
    /// Codes of roles: they count there. `user-manager` and `client-manager` may look after that agency alone.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// All agencies, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Agencies(HashMap<String, Arc<Agency>>);

impl Agencies {
    /// The one of an id, enabled or not.
    pub fn get(&self, id: &str) -> Option<&Arc<Agency>> {
        self.0.get(id)
    }

    /// The one that something or somebody belongs to, if any.
    pub fn of(&self, id: Option<&String>) -> Option<&Arc<Agency>> {
        self.get(id?)
    }

    /// What people call the one of an id; its id where it is not known.
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.get(id).map_or(id, |agency| agency.name.as_str())
    }

    /// Whether what belongs to it counts: it is enabled, or there is no agency.
    pub fn is_open(&self, id: Option<&String>) -> bool {
        id.is_none_or(|id| self.get(id).is_some_and(|agency| agency.enabled))
    }

    /// All, by their names.
    pub fn by_name(&self) -> Vec<&Arc<Agency>> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by_cached_key(|agency| (agency.name.to_lowercase(), agency.id.clone()));
        all
    }

    /// Puts one in the place of the one of its id.
    pub fn put(&mut self, agency: Agency) {
        self.0.insert(agency.id.clone(), Arc::new(agency));
    }

    /// Takes one away.
    pub fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }
}

impl FromIterator<Agency> for Agencies {
    fn from_iter<T: IntoIterator<Item = Agency>>(all: T) -> Self {
        let mut agencies = Self::default();
        all.into_iter().for_each(|agency| agencies.put(agency));
        agencies
    }
}
