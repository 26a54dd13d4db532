//! What can happen, as data. Events carry what a FHIR AuditEvent needs (who, what, when, outcome, purpose of use),
//! and never a secret, a code, a token, a password or an assertion.

use std::collections::BTreeMap;

use super::reason::Reason;

use serde::Serialize;

/// What happened. The names are stable: auditors search for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The installation was initialised.
    Initialised,
    /// The server started.
    ServerStarted,
    /// The server stopped.
    ServerStopped,
    /// A client got tokens (IHE IUA ITI-71).
    TokenIssued,
    /// A token request was refused after the client had authenticated.
    TokenRefused,
    /// A client or resource server failed to authenticate.
    ClientAuthenticationFailed,
    /// A code was issued to a client on behalf of a person.
    CodeIssued,
    /// An authorization request was refused.
    AuthorizationRefused,
    /// A code was presented again; what it produced was revoked.
    CodeReplayed,
    /// A refresh token was presented again after the grace time; its family was revoked.
    RefreshReplayed,
    /// A refresh token was presented again within the grace time and got the same successor.
    RefreshRepeated,
    /// A token or a grant was revoked (RFC 7009).
    TokenRevoked,
    /// A person signed in with the first factor or the second.
    LoginSucceeded,
    /// A person failed to sign in.
    LoginFailed,
    /// An account was locked after too many failures.
    LoginLocked,
    /// An account was unlocked.
    LoginUnlocked,
    /// A session ended: by its person, an administrator, or because somebody else signed in with the browser.
    SessionEnded,
    /// A second factor or recovery codes were added, used up, renamed or taken away.
    SecondFactorChanged,
    /// A password was set.
    PasswordChanged,
    /// A one-time link was made.
    LinkIssued,
    /// A one-time link was used, or was refused.
    LinkUsed,
    /// A person took back what she had allowed a client.
    ConsentRevoked,
    /// An identity provider was registered, changed, disabled, enabled or deleted.
    IdentityProviderChanged,
    /// An account was joined with an identity at a provider, or parted from it.
    IdentityLinked,
    /// A client was told that a session has ended, or could not be told.
    LogoutNotified,
    /// A message was sent, or could not be sent.
    MailSent,
    /// A person allowed a client.
    ConsentGiven,
    /// A person refused a client.
    ConsentDenied,
    /// Somebody at the console or its API reached for what her roles do not allow.
    ConsoleRefused,
    /// Something was taken out of the server that is not the asker's own: the record, the configuration, a list.
    Exported,
    /// Somebody looked at who holds which role, and said so.
    AccessReviewed,
    /// Somebody looked at the record at the console.
    AuditRead,
    /// The record was checked at the console.
    AuditChecked,
    /// A client was registered, changed, disabled, enabled or deleted.
    ClientChanged,
    /// A resource server was registered, changed, disabled, enabled or deleted.
    ResourceServerChanged,
    /// A person was added, changed, disabled or enabled.
    PersonChanged,
    /// The roles of a person changed.
    RolesChanged,
    /// A secret was made or ended.
    SecretChanged,
    /// A link for the vendor of a client was made or ended.
    VendorLinkChanged,
    /// A vendor's link was opened, or shows nothing any more.
    VendorLinkOpened,
    /// A token of the admin API was made or revoked.
    ApiTokenChanged,
    /// A signing key was made, retired or wrapped anew.
    KeyChanged,
    /// Tokens that a resource server asked about and was told of, counted.
    IntrospectionsCounted,
    /// Failures of strangers, counted over a minute.
    FailuresCounted,
}

impl Kind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Initialised,
        Self::ServerStarted,
        Self::ServerStopped,
        Self::TokenIssued,
        Self::TokenRefused,
        Self::ClientAuthenticationFailed,
        Self::CodeIssued,
        Self::AuthorizationRefused,
        Self::CodeReplayed,
        Self::RefreshReplayed,
        Self::RefreshRepeated,
        Self::TokenRevoked,
        Self::LoginSucceeded,
        Self::LoginFailed,
        Self::LoginLocked,
        Self::LoginUnlocked,
        Self::SessionEnded,
        Self::SecondFactorChanged,
        Self::PasswordChanged,
        Self::LinkIssued,
        Self::LinkUsed,
        Self::ConsentRevoked,
        Self::IdentityProviderChanged,
        Self::IdentityLinked,
        Self::LogoutNotified,
        Self::MailSent,
        Self::ConsentGiven,
        Self::ConsentDenied,
        Self::ConsoleRefused,
        Self::Exported,
        Self::AccessReviewed,
        Self::AuditRead,
        Self::AuditChecked,
        Self::ClientChanged,
        Self::ResourceServerChanged,
        Self::PersonChanged,
        Self::RolesChanged,
        Self::SecretChanged,
        Self::VendorLinkChanged,
        Self::VendorLinkOpened,
        Self::KeyChanged,
        Self::ApiTokenChanged,
        Self::IntrospectionsCounted,
        Self::FailuresCounted,
    ];

    /// The kind of that name in the record.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialised => "installation.initialised",
            Self::ServerStarted => "server.started",
            Self::ServerStopped => "server.stopped",
            Self::TokenIssued => "token.issued",
            Self::TokenRefused => "token.refused",
            Self::ClientAuthenticationFailed => "client_authentication.failed",
            Self::CodeIssued => "code.issued",
            Self::AuthorizationRefused => "authorization.refused",
            Self::CodeReplayed => "code.replayed",
            Self::RefreshReplayed => "refresh.replayed",
            Self::RefreshRepeated => "refresh.repeated",
            Self::TokenRevoked => "token.revoked",
            Self::LoginSucceeded => "login.succeeded",
            Self::LoginFailed => "login.failed",
            Self::LoginLocked => "login.locked",
            Self::LoginUnlocked => "login.unlocked",
            Self::SessionEnded => "session.ended",
            Self::SecondFactorChanged => "second_factor.changed",
            Self::PasswordChanged => "password.changed",
            Self::LinkIssued => "link.issued",
            Self::LinkUsed => "link.used",
            Self::ConsentRevoked => "consent.revoked",
            Self::IdentityProviderChanged => "identity_provider.changed",
            Self::IdentityLinked => "identity.linked",
            Self::LogoutNotified => "logout.notified",
            Self::MailSent => "mail.sent",
            Self::ConsentGiven => "consent.given",
            Self::ConsentDenied => "consent.denied",
            Self::ConsoleRefused => "console.refused",
            Self::Exported => "exported",
            Self::AccessReviewed => "access.reviewed",
            Self::AuditRead => "audit.read",
            Self::AuditChecked => "audit.checked",
            Self::ClientChanged => "client.changed",
            Self::ResourceServerChanged => "resource_server.changed",
            Self::PersonChanged => "person.changed",
            Self::RolesChanged => "person.roles_changed",
            Self::SecretChanged => "secret.changed",
            Self::VendorLinkChanged => "vendor_link.changed",
            Self::VendorLinkOpened => "vendor_link.opened",
            Self::ApiTokenChanged => "api_token.changed",
            Self::KeyChanged => "key.changed",
            Self::IntrospectionsCounted => "introspections.counted",
            Self::FailuresCounted => "failures.counted",
        }
    }
}

/// How it ended: the codes of FHIR R4 `AuditEvent.outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 0
    Success,
    /// 4: a refusal.
    MinorFailure,
    /// 8: a refusal that points to an attack or a theft.
    SeriousFailure,
}

impl Outcome {
    /// The code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "0",
            Self::MinorFailure => "4",
            Self::SeriousFailure => "8",
        }
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

/// One event, before it is bound into a chain.
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

/// An event bound into its chain: what the leaf is made of. The members stand in the order of their names, as canonical
/// JSON wants it.
#[derive(Debug, Serialize)]
pub struct Bound<'a> {
    actor: &'a str,
    actor_kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    at_ms: i64,
    chain: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    detail: &'a BTreeMap<&'static str, String>,
    kind: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<&'a str>,
    prev: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    purposes: &'a [String],
    seq: i64,
}

impl Event {
    /// Binds the event to its place: after the leaf `prev`, as number `seq` of `chain`.
    #[must_use]
    pub fn bind<'a>(&'a self, chain: i32, seq: i64, prev: &'a str) -> Bound<'a> {
        let (actor_kind, actor) = self.actor.parts();
        Bound {
            actor,
            actor_kind,
            address: self.address.as_deref(),
            at_ms: self.at_ms,
            chain,
            client_id: self.client_id.as_deref(),
            detail: &self.detail,
            kind: self.kind.as_str(),
            outcome: self.outcome.as_str(),
            person_id: self.person_id.as_deref(),
            prev,
            purposes: &self.purposes,
            seq,
        }
    }
}
