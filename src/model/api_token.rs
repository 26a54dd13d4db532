//! A token of the admin API: what a program administers with, in place of a person at the console.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

/// What the text of each token begins with, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "mdi_api_";

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ApiScope {
    /// Everything.
    Admin,
    /// Clients and resource servers.
    Clients,
    /// People, their sessions and grants.
    Users,
    /// Reading everything, changing nothing.
    Audit,
}

impl ApiScope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Clients, Self::Users, Self::Audit];

    /// The word in commands and in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Reads [`ApiScope::as_str`].
    ///
    /// # Errors
    /// What is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "registration" {
            return Err(
                "clients cannot register themselves here yet, so there are no tokens for it; use admin, \
                        clients, users or audit"
                    .to_owned(),
            );
        }
        text.parse()
            .map_err(|_| format!("{text:?} is not one of admin, clients, users, audit"))
    }

    /// The role of the console whose rights it has.
    pub fn role(self) -> &'static str {
        match self {
            Self::Admin => "administrator",
            Self::Clients => "client-manager",
            Self::Users => "user-manager",
            Self::Audit => "auditor",
        }
    }

    /// The scope with the rights of a role.
    pub fn of_role(role: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.role() == role)
    }
}

/// A token as the database keeps it: without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// `apt_…`
    pub id: String,
    /// What people know it by.
    pub name: String,
    /// What it is good for.
    pub scope: ApiScope,
    /// The id of the person whose it is, and who answers for it; none: the installation's, made by an operator.
    pub person_id: Option<String>,
    /// Who made it, as the record names actors.
    pub created_by: String,
    /// When it was made, in seconds since the epoch.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

impl ApiToken {
    /// Whether it is good for something now.
    pub fn holds(&self, now: i64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
