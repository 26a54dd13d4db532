//! Roles of people, with the nearest standard codes.

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{scope::ScopeSet, security_label::Confidentiality};

/// A code in a code system (FHIR `Coding`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coding {
    /// URI of the code system.
    pub system: String,
    /// The code.
    pub code: String,
    /// Its meaning in words.
    pub display: String,
}

impl Coding {
    /// As it stands in tokens: without the display, which every reader of the code system knows.
    pub fn claim(&self) -> Value {
        json!({"system": self.system, "code": self.code})
    }
}

/// A role that a person may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its code in our own code system, see [`role_system`].
    pub code: String,
    /// Its name for people.
    pub label: String,
    /// The nearest codes of public code systems.
    pub codings: Vec<Coding>,
    /// What its holders may be granted at most.
    pub scopes: ScopeSet,
    /// The purposes of use for which they may act (v3-ActReason codes).
    pub purposes: Vec<String>,
    /// The most confidential data they may see; none for roles that see no death data.
    pub clearance: Option<Confidentiality>,
    /// True if the role counts only after a second factor.
    pub second_factor: bool,
    /// True if it is a role of the console.
    pub console: bool,
}

/// What systems are called where people have roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemRole {
    /// Its code in our own code system.
    pub code: String,
    /// Its name for people.
    pub label: String,
    /// The nearest codes of public code systems.
    pub codings: Vec<Coding>,
}

/// URI of the code system of our roles at this issuer.
pub fn role_system(issuer: &str) -> String {
    format!("{}/fhir/CodeSystem/mdi-role", issuer.trim_end_matches('/'))
}
