//! A person who signs in: a certifier, a registrar, an analyst.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::agency::Membership;
use crate::model::security_label::{Confidentiality, Integrity};

/// What is known about a person beyond the columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct PersonSettings {
    /// Codes of roles of the policy: those at the agency that she belongs to, and those of the console that hold for
    /// everybody's affairs.
    pub roles: Vec<String>,
    /// The agency that she belongs to, by its id: it alone looks after the account.
    #[serde(default)]
    pub agency: Option<String>,
    /// What she may do at other agencies; and what she looks after at her own.
    #[serde(default)]
    pub memberships: Vec<Membership>,
    /// National Provider Identifier.
    pub npi: Option<String>,
    /// The FHIR resource that represents the person (SMART `fhirUser`).
    pub fhir_user: Option<String>,
    /// Electronic mail address.
    pub email: Option<String>,
    /// Whether the address was proved to be the person's.
    #[serde(default)]
    pub email_verified: bool,
    /// Clearance: the highest confidentiality the person may see.
    #[schema(value_type = Option<String>, examples("R"))]
    pub confidentiality: Option<Confidentiality>,
    /// Integrity of what the person enters, only where somebody set it.
    #[schema(value_type = Option<String>, examples("HRELIABLE"))]
    pub integrity: Option<Integrity>,
    /// Purposes of use; none: those of the roles.
    pub purposes: Option<Vec<String>>,
    /// The last day (`YYYY-MM-DD`) on which the licence holds.
    pub license_expires: Option<String>,
    /// The identity provider that the account was made for, whose claims decide about its roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned_by: Option<String>,
    /// OpenID standard claims (OpenID Connect Core §5.1) as an administrator entered them.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub claims: Map<String, Value>,
}

/// A registered person.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// `sub`: `usr_…`, never used again for somebody else.
    pub id: String,
    /// What the person types to sign in.
    pub username: String,
    /// Full name.
    pub name: String,
    /// The password as a PHC string, when there is one.
    pub password: Option<String>,
    /// The TOTP secret, wrapped under the master key, when there is one.
    pub totp_secret: Option<String>,
    /// The last TOTP time step that was used; a code works once.
    pub totp_step: i64,
    /// Everything else that is known.
    pub settings: PersonSettings,
    /// A disabled person gets nothing, and the tokens are inactive.
    pub enabled: bool,
    /// Raised when the person is disabled, or password or roles change; grants of an older generation are dead.
    pub generation: i64,
    /// When the person was added, in seconds since the epoch.
    pub created_at: i64,
    /// When the entry was last changed.
    pub updated_at: i64,
    /// When the password was last set, or [`MUST_CHANGE`], or [`SET_BY_ANOTHER`].
    pub password_changed_at: i64,
    /// When the person last signed in.
    pub last_login_at: Option<i64>,
    /// Since when the person has not been here: set when added, when enabled, and at each sign-in.
    pub idle_since: i64,
}

/// In place of the time when the password was set: a new one is wanted at the next sign-in, because this one was allowed
/// to be short beside a second factor that is gone.
pub const MUST_CHANGE: i64 = -1;
/// [`Person::password_changed_at`] of a password that somebody else set at the console or by the API: whoever set it knows
/// it, and could have set up second factors with it, so the person chooses another one and sets up factors anew.
pub const SET_BY_ANOTHER: i64 = -2;

impl PersonSettings {
    /// All roles, wherever they are held, each once.
    pub fn all_roles(&self) -> Vec<String> {
        let mut all = self.roles.clone();
        let elsewhere = self.memberships.iter().flat_map(|membership| &membership.roles);
        for role in elsewhere {
            if !all.contains(role) {
                all.push(role.clone());
            }
        }
        all
    }

    /// What is held at another agency.
    pub fn membership(&self, agency: &str) -> Option<&Membership> {
        self.memberships
            .iter()
            .find(|membership| membership.agency == agency)
    }

    /// The agencies that she has to do with: the one that she belongs to, and others.
    pub fn agencies(&self) -> impl Iterator<Item = &String> {
        let others = self.memberships.iter().map(|membership| &membership.agency);
        self.agency.iter().chain(others)
    }
}

impl Person {
    /// Whether the account has a second factor; `has_passkey`: whether there is one of those.
    pub fn has_second_factor(&self, has_passkey: bool) -> bool {
        has_passkey || self.totp_secret.is_some()
    }

    /// Whether she has taken the account over, so that it is no longer in the hands of whoever added it.
    pub fn is_taken_over(&self) -> bool {
        self.password.is_some() || self.last_login_at.is_some()
    }

    /// Whether only a provider's sign-in leads to the account: who has left the agency must not get in past the provider,
    /// which alone knows of it.
    pub fn is_of_provider_alone(&self) -> bool {
        self.settings.provisioned_by.is_some() && self.password.is_none()
    }

    /// Nobody: without roles, to ask the policy what does not depend on who signs in.
    pub fn unknown() -> Self {
        Self {
            id: String::new(),
            username: String::new(),
            name: String::new(),
            password: None,
            totp_secret: None,
            totp_step: 0,
            settings: PersonSettings::default(),
            enabled: false,
            generation: 0,
            created_at: 0,
            updated_at: 0,
            password_changed_at: 0,
            last_login_at: None,
            idle_since: 0,
        }
    }
}
