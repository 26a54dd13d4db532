//! What can happen, as data. Events carry what a FHIR AuditEvent needs (who, what, when, outcome, purpose of use),
//! and never a secret, a code, a token, a password or an assertion.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::reason::Reason;

/// What happened. The names are stable: auditors search for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// The installation was initialised.
    #[strum(serialize = "installation.initialised")]
    Initialised,
    /// The server started.
    #[strum(serialize = "server.started")]
    ServerStarted,
    /// The server stopped.
    #[strum(serialize = "server.stopped")]
    ServerStopped,
    /// The server started with another certificate, policy, profile or other settings than the time before.
    #[strum(serialize = "configuration.changed")]
    ConfigurationChanged,
    /// A client got tokens (IHE IUA ITI-71).
    #[strum(serialize = "token.issued")]
    TokenIssued,
    /// A token request was refused after the client had authenticated.
    #[strum(serialize = "token.refused")]
    TokenRefused,
    /// A client or resource server failed to authenticate.
    #[strum(serialize = "client_authentication.failed")]
    ClientAuthenticationFailed,
    /// A code was issued to a client on behalf of a person.
    #[strum(serialize = "code.issued")]
    CodeIssued,
    /// An authorization request was refused.
    #[strum(serialize = "authorization.refused")]
    AuthorizationRefused,
    /// A code was presented again; what it produced was revoked.
    #[strum(serialize = "code.replayed")]
    CodeReplayed,
    /// A refresh token was presented again after the grace time; its family was revoked.
    #[strum(serialize = "refresh.replayed")]
    RefreshReplayed,
    /// A refresh token was presented again within the grace time and got the same successor.
    #[strum(serialize = "refresh.repeated")]
    RefreshRepeated,
    /// A token or a grant was revoked (RFC 7009).
    #[strum(serialize = "token.revoked")]
    TokenRevoked,
    /// A person signed in with the first factor or the second.
    #[strum(serialize = "login.succeeded")]
    LoginSucceeded,
    /// A person failed to sign in.
    #[strum(serialize = "login.failed")]
    LoginFailed,
    /// An account was locked after too many failures.
    #[strum(serialize = "login.locked")]
    LoginLocked,
    /// An account was unlocked.
    #[strum(serialize = "login.unlocked")]
    LoginUnlocked,
    /// A session ended: by its person, an administrator, or because somebody else signed in with the browser.
    #[strum(serialize = "session.ended")]
    SessionEnded,
    /// A second factor or recovery codes were added, used up, renamed or taken away.
    #[strum(serialize = "second_factor.changed")]
    SecondFactorChanged,
    /// A password was set.
    #[strum(serialize = "password.changed")]
    PasswordChanged,
    /// A one-time link was made.
    #[strum(serialize = "link.issued")]
    LinkIssued,
    /// A one-time link was used, or was refused.
    #[strum(serialize = "link.used")]
    LinkUsed,
    /// A person took back what she had allowed a client.
    #[strum(serialize = "consent.revoked")]
    ConsentRevoked,
    /// An identity provider was registered, changed, disabled, enabled or deleted.
    #[strum(serialize = "identity_provider.changed")]
    IdentityProviderChanged,
    /// An account was joined with an identity at a provider, or parted from it.
    #[strum(serialize = "identity.linked")]
    IdentityLinked,
    /// A client was told that a session has ended, or could not be told.
    #[strum(serialize = "logout.notified")]
    LogoutNotified,
    /// A message was sent, or could not be sent.
    #[strum(serialize = "mail.sent")]
    MailSent,
    /// A person allowed a client.
    #[strum(serialize = "consent.given")]
    ConsentGiven,
    /// A person refused a client.
    #[strum(serialize = "consent.denied")]
    ConsentDenied,
    /// Somebody at the console or its API reached for what her roles do not allow.
    #[strum(serialize = "console.refused")]
    ConsoleRefused,
    /// Something was taken out of the server that is not the asker's own: the record, the configuration, a list.
    Exported,
    /// Somebody looked at who holds which role, and said so.
    #[strum(serialize = "access.reviewed")]
    AccessReviewed,
    /// Somebody looked at the record at the console.
    #[strum(serialize = "audit.read")]
    AuditRead,
    /// Somebody looked at people: who they are, where they are signed in, what they allowed, or what a token would tell.
    #[strum(serialize = "people.read")]
    PeopleRead,
    /// The record was checked at the console.
    #[strum(serialize = "audit.checked")]
    AuditChecked,
    /// An agency was registered, changed, disabled, enabled or deleted.
    #[strum(serialize = "agency.changed")]
    AgencyChanged,
    /// A client was registered, changed, disabled, enabled or deleted.
    #[strum(serialize = "client.changed")]
    ClientChanged,
    /// A resource server was registered, changed, disabled, enabled or deleted.
    #[strum(serialize = "resource_server.changed")]
    ResourceServerChanged,
    /// A person was added, changed, disabled or enabled.
    #[strum(serialize = "person.changed")]
    PersonChanged,
    /// The roles of a person changed.
    #[strum(serialize = "person.roles_changed")]
    RolesChanged,
    /// A secret was made or ended.
    #[strum(serialize = "secret.changed")]
    SecretChanged,
    /// A link for the vendor of a client was made or ended.
    #[strum(serialize = "vendor_link.changed")]
    VendorLinkChanged,
    /// A vendor's link was opened, or shows nothing any more.
    #[strum(serialize = "vendor_link.opened")]
    VendorLinkOpened,
    /// A signing key was made, retired or wrapped anew.
    #[strum(serialize = "key.changed")]
    KeyChanged,
    /// A token of the admin API was made or revoked.
    #[strum(serialize = "api_token.changed")]
    ApiTokenChanged,
    /// Tokens that a resource server asked about and was told of, counted.
    #[strum(serialize = "introspections.counted")]
    IntrospectionsCounted,
    /// Failures of strangers, counted over a minute.
    #[strum(serialize = "failures.counted")]
    FailuresCounted,
}

impl Kind {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The kind of that name in the record.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How it ended: the codes of FHIR R4 `AuditEvent.outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// 0
    #[strum(serialize = "0")]
    Success,
    /// 4: a refusal.
    #[strum(serialize = "4")]
    MinorFailure,
    /// 8: a refusal that points to an attack or a theft.
    #[strum(serialize = "8")]
    SeriousFailure,
}

impl Outcome {
    /// The code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A client or resource server, by its id.
    Client(String),
    /// A person, by `sub`.
    Person(String),
    /// Somebody at the command line, by the name the system gives.
    Operator(String),
    /// A program with a token of the admin API, by the token's id.
    ApiToken(String),
    /// Nobody that we know.
    Stranger,
    /// The server by itself.
    Server,
}

impl Actor {
    /// What sort of actor, and which.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Client(id) => ("client", id),
            Self::Person(id) => ("person", id),
            Self::Operator(name) => ("operator", name),
            Self::ApiToken(id) => ("api_token", id),
            Self::Stranger => ("stranger", ""),
            Self::Server => ("server", ""),
        }
    }
}

/// One event, before it has its place in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// Who acted.
    pub actor: Actor,
    /// The client concerned.
    pub client_id: Option<String>,
    /// The person concerned.
    pub person_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// Purposes of use (codes of v3-ActReason).
    pub purposes: Vec<String>,
    /// Everything else, by name: `scope`, `jti`, `reason`, `before`, `after`, ….
    pub detail: BTreeMap<&'static str, String>,
}

impl Event {
    /// An event that succeeded, with who acted.
    #[must_use]
    pub fn new(at_ms: i64, kind: Kind, actor: Actor) -> Self {
        let (client_id, person_id) = match &actor {
            Actor::Client(id) => (Some(id.clone()), None),
            Actor::Person(id) => (None, Some(id.clone())),
            _ => (None, None),
        };
        Self {
            at_ms,
            kind,
            outcome: Outcome::Success,
            actor,
            client_id,
            person_id,
            address: None,
            purposes: Vec::new(),
            detail: BTreeMap::new(),
        }
    }

    /// Sets how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Names the client concerned.
    #[must_use]
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Names the person concerned.
    #[must_use]
    pub fn person(mut self, id: impl Into<String>) -> Self {
        self.person_id = Some(id.into());
        self
    }

    /// Says why it did not happen: the reason that counts, and the text for whoever reads the record.
    #[must_use]
    pub fn because(self, reason: Reason, text: impl Into<String>) -> Self {
        self.with("reason_code", reason.as_str()).with("reason", text)
    }

    /// Sets the address that the request came from.
    #[must_use]
    pub fn from(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets the purposes of use.
    #[must_use]
    pub fn purposes(mut self, purposes: &[String]) -> Self {
        self.purposes = purposes.to_vec();
        self
    }

    /// Adds a detail. Never a secret.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.detail.insert(name, value.into());
        self
    }

    /// The resource server that something was granted for, and the roles that counted, with blanks in between: as far as
    /// there are any.
    #[must_use]
    pub fn granted(self, resource_server: Option<&str>, roles: &str) -> Self {
        let named = match resource_server {
            Some(id) => self.with("resource_server", id),
            None => self,
        };
        if roles.is_empty() {
            named
        } else {
            named.with("roles", roles)
        }
    }
}

impl Event {
    /// The person who acted, where it is another one than the person concerned.
    #[must_use]
    pub fn by_another_person(&self) -> Option<&str> {
        match &self.actor {
            Actor::Person(id) if self.person_id.as_ref() != Some(id) => Some(id),
            _ => None,
        }
    }
}

/// What the leaf of an event is made of. The members stand in the order of their names, as canonical JSON wants it.
#[derive(Debug, Serialize)]
pub struct Members<'a> {
    actor: &'a str,
    actor_kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    detail: &'a BTreeMap<&'static str, String>,
    kind: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    purposes: &'a [String],
}

impl Event {
    /// What its leaf is made of.
    #[must_use]
    pub fn members(&self) -> Members<'_> {
        let (actor_kind, actor) = self.actor.parts();
        Members {
            actor,
            actor_kind,
            address: self.address.as_deref(),
            at_ms: self.at_ms,
            client_id: self.client_id.as_deref(),
            detail: &self.detail,
            kind: self.kind.as_str(),
            outcome: self.outcome.as_str(),
            person_id: self.person_id.as_deref(),
            purposes: &self.purposes,
        }
    }
}
