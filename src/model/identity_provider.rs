//! A provider of an agency that people may sign in with (OpenID Connect), and what it says of somebody.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::model::agency::Organization;
use crate::model::client::AuthMethod;
use crate::model::registered::Registered;
use crate::model::words::{self, Words};

/// Whose account a first sign-in leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Accounts {
    /// Only accounts that an administrator linked.
    #[default]
    Linked,
    /// The first sign-in links to the account that an administrator added for the person, and nobody has used.
    Invited,
    /// The first sign-in makes an account.
    Create,
}

impl Accounts {
    /// The word in the apply file.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a provider is made to ask anew who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reauthenticate {
    /// It honours `max_age`, and says `auth_time` (OpenID Connect Core §3.1.2.1).
    #[default]
    MaxAge,
    /// It honours `prompt=login`, and need not say when the sign-in was.
    PromptLogin,
    /// Not at all: what needs a fresh sign-in needs a password of ours.
    None,
}

impl Reauthenticate {
    /// The word in the apply file.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who has a value in a claim has a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// The claim: a text or a list of texts; `a.b` is the member `b` of the claim `a`.
    pub claim: String,
    /// The value, compared exactly.
    pub value: String,
    /// Code of a role of the policy.
    pub role: String,
    /// Must be true for a role of the console, so that nobody hands those out by mistake.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub console: bool,
}

/// What is registered about an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct IdentityProviderSettings {
    /// Its issuer identifier, byte for byte (OpenID Connect Discovery §3).
    pub issuer: String,
    /// Our `client_id` there.
    pub client_id: String,
    /// How we authenticate there: `client_secret_basic`, `client_secret_post` or `none`.
    pub auth_method: AuthMethod,
    /// Our secret there is entered later: until then nobody signs in with the provider. An exported file says so, for it
    /// has no secrets.
    pub secret_later: bool,
    /// What we ask for, `openid` first.
    #[serde(deserialize_with = "words::every")]
    #[schema(value_type = Words)]
    pub scopes: Vec<String>,
    /// Whose account a first sign-in leads to.
    pub accounts: Accounts,
    /// The claim that holds the username. Accounts are found by it only where somebody set it.
    pub username_claim: Option<String>,
    /// The agency, by its id: new accounts belong to it, and only accounts that belong to it are linked.
    pub agency: Option<String>,
    /// The agency, where it may not be registered yet: it is found by its identifier, or made.
    #[serde(skip_serializing)]
    pub organization: Option<Organization>,
    /// Roles by claims.
    pub roles: Vec<RoleMapping>,
    /// Whether the mapping also decides the roles of accounts that this provider did not make.
    pub manage_roles: bool,
    /// Values of `acr` that count as two factors.
    #[serde(deserialize_with = "words::every")]
    #[schema(value_type = Words)]
    pub trusted_acr: Vec<String>,
    /// Values of `amr` that count as a second factor.
    #[serde(deserialize_with = "words::every")]
    #[schema(value_type = Words)]
    pub trusted_amr: Vec<String>,
    /// How it is made to ask anew who somebody is: `max_age`, `prompt_login` or `none`.
    pub reauthenticate: Reauthenticate,
}

impl Default for IdentityProviderSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            auth_method: AuthMethod::ClientSecretBasic,
            secret_later: false,
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            accounts: Accounts::default(),
            username_claim: None,
            agency: None,
            organization: None,
            roles: Vec::new(),
            manage_roles: false,
            trusted_acr: Vec::new(),
            trusted_amr: Vec::new(),
            reauthenticate: Reauthenticate::default(),
        }
    }
}

/// A registered provider; a disabled one is not offered, and its answers are refused.
pub type IdentityProvider = Registered<IdentityProviderSettings>;

impl Registered<IdentityProviderSettings> {
    /// Whether people can sign in with it: it is enabled, and our secret there is known if there must be one.
    pub fn is_ready(&self) -> bool {
        self.enabled && (self.sealed.is_some() || !self.settings.auth_method.uses_secret())
    }

    /// Whether it asks anew who somebody is, in whatever way.
    pub fn asks_anew(&self) -> bool {
        self.settings.reauthenticate != Reauthenticate::None
    }
}

/// An account joined with an identity at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The provider.
    pub provider_id: String,
    /// Who it is there (`sub`).
    pub subject: String,
    /// Whose account.
    pub person_id: String,
    /// Since when, in seconds since the epoch.
    pub linked_at: i64,
    /// When somebody last signed in by it.
    pub last_used_at: Option<i64>,
}

/// Who somebody is at a provider, as the provider said and we verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// `sub`
    pub subject: String,
    /// All claims.
    pub claims: Map<String, Value>,
    /// `acr`
    pub acr: Option<String>,
    /// `amr`
    pub amr: Vec<String>,
    /// When the person proved who she is there, in seconds since the epoch, if the provider says.
    pub auth_time: Option<i64>,
}

impl Identity {
    fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).or_else(|| {
            let mut path = name.split('.');
            let first = self.claims.get(path.next()?)?;
            path.try_fold(first, |value, member| value.get(member))
        })
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claim(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// Whether a claim is, or holds, a value.
    pub fn has(&self, name: &str, value: &str) -> bool {
        match self.claim(name) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(values)) => values.iter().any(|known| known.as_str() == Some(value)),
            _ => false,
        }
    }

    /// Whether the provider vouches for `email` (OpenID Connect Core §5.1).
    pub fn email_verified(&self) -> bool {
        self.claims
            .get("email_verified")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// The full name, if the provider says one.
    pub fn full_name(&self) -> Option<String> {
        let parts = || {
            Some(format!(
                "{} {}",
                self.text("given_name")?,
                self.text("family_name")?
            ))
        };
        self.text("name").map(str::to_owned).or_else(parts)
    }
}

impl IdentityProviderSettings {
    /// The claim with the username of new accounts.
    pub fn username_claim(&self) -> &str {
        self.username_claim.as_deref().unwrap_or("preferred_username")
    }

    /// Whether the person has shown two factors there, as far as this installation trusts the provider.
    pub fn trusts_second_factor(&self, identity: &Identity) -> bool {
        identity
            .acr
            .as_ref()
            .is_some_and(|acr| self.trusted_acr.contains(acr))
            || identity
                .amr
                .iter()
                .any(|method| self.trusted_amr.contains(method))
    }

    /// The roles that the claims stand for, each once.
    pub fn mapped_roles(&self, identity: &Identity) -> Vec<String> {
        let mut roles: Vec<String> = Vec::new();
        for mapping in &self.roles {
            if identity.has(&mapping.claim, &mapping.value) && !roles.contains(&mapping.role) {
                roles.push(mapping.role.clone());
            }
        }
        roles
    }

    /// The claims that decide about an account: when the ID token lacks one, it is worth asking the UserInfo endpoint.
    pub fn wanted_claims(&self) -> Vec<&str> {
        let mut wanted = match self.accounts {
            Accounts::Linked => Vec::new(),
            Accounts::Invited => vec!["email"],
            Accounts::Create => vec![self.username_claim(), "name", "email"],
        };
        if self.accounts == Accounts::Invited {
            wanted.extend(self.username_claim.as_deref());
        }
        // `a.b`: the whole claim is there, or is not.
        wanted.extend(
            self.roles
                .iter()
                .map(|mapping| mapping.claim.split('.').next().unwrap_or(&mapping.claim)),
        );
        wanted
    }
}
