//! Dataflows: the exchanges of the MDI implementation guide, each with what a client of it may do at most.

use crate::model::{kind::Kind, scope::ScopeSet};

/// One exchange between two sorts of parties. A client has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataflow {
    /// Its id in files and commands, `lims-to-cms`.
    pub id: String,
    /// Its name for people.
    pub label: String,
    /// What sort of party the client is, for people.
    pub client: String,
    /// The kinds of resource servers it goes to.
    pub resource_servers: Vec<Kind>,
    /// `grant_type` values.
    pub grants: Vec<String>,
    /// The ceiling, and what is granted if no scope is asked.
    pub scopes: ScopeSet,
    /// Purposes of use (v3-ActReason codes).
    pub purposes: Vec<String>,
    /// True if nothing of a resource server is granted without a purpose of use.
    pub purpose_required: bool,
    /// The longest life of an access token, in seconds.
    pub access_seconds: u32,
    /// True for `custom`: it brings nothing, and the client's own settings are the ceiling.
    pub as_written: bool,
}

impl Dataflow {
    /// True if its clients act for themselves, with nobody signed in.
    pub fn is_for_systems(&self) -> bool {
        self.grants.iter().any(|grant| grant == "client_credentials")
    }

    /// True if a resource server of this kind can be its other end.
    pub fn serves(&self, kind: Kind) -> bool {
        self.resource_servers.contains(&kind)
    }

    /// The scopes of a client whose own list is `client`: the list narrows the dataflow, and is all there is if the
    /// dataflow is [`as_written`](Self::as_written).
    pub fn ceiling(&self, client: Option<&ScopeSet>) -> ScopeSet {
        match client {
            Some(own) if self.as_written => own.clone(),
            Some(own) => own.meet(&self.scopes),
            None => self.scopes.clone(),
        }
    }

    /// The purposes of use of a client whose own list is `client`; narrows as [`ceiling`](Self::ceiling) does.
    pub fn purposes(&self, client: Option<&[String]>) -> Vec<String> {
        match client {
            Some(own) if self.as_written => own.to_vec(),
            Some(own) => own
                .iter()
                .filter(|code| self.purposes.contains(code))
                .cloned()
                .collect(),
            None => self.purposes.clone(),
        }
    }
}
