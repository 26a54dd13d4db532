//! What an event says, in a sentence for people who know offices and systems, not protocols.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::audit::event::{Kind, Outcome};
use crate::store::audit::AuditRow;
use crate::store::{Conn, Stored, people};

/// The groups that events are searched by: the word in the address, and what people read.
pub const GROUPS: [(&str, &str); 10] = [
    ("sign-in", "Signing in and out"),
    ("token", "Tokens given"),
    ("refusal", "Systems and requests refused"),
    ("consent", "What people allowed applications"),
    ("person", "People, roles, passwords"),
    ("system", "Clients, resource servers, secrets"),
    ("key", "Signing keys"),
    ("console", "The console and the record"),
    ("message", "Mail and notices"),
    ("server", "The server itself"),
];

/// The group of a kind.
pub fn group(kind: Kind) -> &'static str {
    match kind {
        Kind::LoginSucceeded
        | Kind::LoginFailed
        | Kind::LoginLocked
        | Kind::LoginUnlocked
        | Kind::SessionEnded => "sign-in",
        Kind::TokenIssued | Kind::CodeIssued | Kind::RefreshRepeated | Kind::TokenRevoked => "token",
        Kind::TokenRefused
        | Kind::ClientAuthenticationFailed
        | Kind::AuthorizationRefused
        | Kind::CodeReplayed
        | Kind::RefreshReplayed => "refusal",
        Kind::ConsentGiven | Kind::ConsentDenied | Kind::ConsentRevoked => "consent",
        Kind::PersonChanged
        | Kind::RolesChanged
        | Kind::PasswordChanged
        | Kind::SecondFactorChanged
        | Kind::LinkIssued
        | Kind::LinkUsed
        | Kind::IdentityLinked => "person",
        Kind::AgencyChanged
        | Kind::ClientChanged
        | Kind::ResourceServerChanged
        | Kind::IdentityProviderChanged
        | Kind::SecretChanged
        | Kind::VendorLinkChanged
        | Kind::VendorLinkOpened => "system",
        Kind::KeyChanged => "key",
        Kind::ApiTokenChanged
        | Kind::ConsoleRefused
        | Kind::Exported
        | Kind::AccessReviewed
        | Kind::AuditRead
        | Kind::PeopleRead
        | Kind::AuditChecked => "console",
        Kind::LogoutNotified | Kind::MailSent => "message",
        Kind::Initialised
        | Kind::ServerStarted
        | Kind::ServerStopped
        | Kind::ConfigurationChanged
        | Kind::IntrospectionsCounted
        | Kind::FailuresCounted => "server",
    }
}

/// The kinds of a group, or the one kind of that name in the record.
pub fn kinds_of(event: &str) -> Vec<Kind> {
    let all = Kind::ALL.iter().copied();
    all.filter(|kind| group(*kind) == event || kind.as_str() == event)
        .collect()
}

/// How an event ended, in a word.
pub fn outcome(code: &str) -> &'static str {
    match code {
        "0" => "Worked",
        "8" => "Serious",
        _ => "Refused",
    }
}

/// The outcome that a word of the address asks for.
pub fn outcome_of(word: &str) -> Option<Outcome> {
    match word {
        "worked" => Some(Outcome::Success),
        "refused" => Some(Outcome::MinorFailure),
        "serious" => Some(Outcome::SeriousFailure),
        _ => None,
    }
}

/// What the body of an event says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    /// The kind of who acted.
    pub actor_kind: String,
    /// Who acted.
    pub actor: String,
    /// Where from.
    pub address: Option<String>,
    /// The client concerned.
    pub client_id: Option<String>,
    /// The person concerned.
    pub person_id: Option<String>,
    /// Purposes of use.
    pub purposes: Vec<String>,
    /// Everything else.
    pub detail: BTreeMap<String, String>,
}

impl Body {
    /// That of a row. One that cannot be read says nothing.
    pub fn of(row: &AuditRow) -> Self {
        serde_json::from_str(&row.body).unwrap_or_default()
    }

    /// A detail; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.detail.get(name).map_or("", String::as_str)
    }

    /// The person who acted.
    pub fn acting_person(&self) -> Option<&str> {
        (self.actor_kind == "person").then_some(self.actor.as_str())
    }
}

/// The names of those whom some events name.
#[derive(Debug, Default)]
pub struct Names {
    people: HashMap<String, (String, String)>,
}

impl Names {
    /// Those of the people whom `rows` name, with one query.
    pub fn of(conn: &mut Conn, rows: &[AuditRow]) -> Stored<Self> {
        let bodies = rows.iter().map(Body::of);
        let mut ids: Vec<String> = bodies
            .flat_map(|body| {
                body.acting_person()
                    .map(str::to_owned)
                    .into_iter()
                    .chain(body.person_id)
            })
            .collect();
        ids.sort();
        ids.dedup();
        let found = if ids.is_empty() {
            Vec::new()
        } else {
            people::names(conn, &ids)?
        };
        Ok(Self {
            people: found
                .into_iter()
                .map(|(id, name, username)| (id, (name, username)))
                .collect(),
        })
    }

    /// The name of a person, or her id.
    pub fn person<'a>(&'a self, id: &'a str) -> &'a str {
        self.people.get(id).map_or(id, |(name, _)| name)
    }

    /// Name and username of a person.
    pub fn known(&self, id: &str) -> Option<(&str, &str)> {
        self.people
            .get(id)
            .map(|(name, username)| (name.as_str(), username.as_str()))
    }
}

/// Who acted, at the beginning of a sentence.
pub fn who(body: &Body, names: &Names) -> String {
    match body.actor_kind.as_str() {
        "person" => names.person(&body.actor).to_owned(),
        "client" => body.actor.clone(),
        "operator" => format!("{} at the command line", body.actor),
        "api_token" => format!("A program with the token {}", body.actor),
        "server" => "This server".to_owned(),
        _ => "Somebody".to_owned(),
    }
}

/// One sentence for an event.
pub fn sentence(row: &AuditRow, body: &Body, names: &Names) -> String {
    let Some(kind) = Kind::parse(&row.kind) else {
        return format!("{}.", row.kind);
    };
    let told = Telling {
        body,
        names,
        failed: row.outcome != Outcome::Success.as_str(),
    };
    let mut text = told.of(kind);
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

struct Telling<'a> {
    body: &'a Body,
    names: &'a Names,
    failed: bool,
}

impl Telling<'_> {
    fn of(&self, kind: Kind) -> String {
        match kind {
            Kind::Initialised => "This installation was set up".to_owned(),
            Kind::ServerStarted => format!("The server started, version {}", self.body.get("version")),
            Kind::ServerStopped => "The server stopped".to_owned(),
            Kind::ConfigurationChanged => format!(
                "The server started with changes to: {}",
                self.body.get("changed").replace(' ', ", ")
            ),
            Kind::IntrospectionsCounted => {
                format!(
                    "{} asked about tokens {} times within a minute",
                    self.client(),
                    self.body.get("count")
                )
            }
            Kind::FailuresCounted => {
                let body = self.body;
                let (count, from) = (body.get("count"), body.address.as_deref().unwrap_or("strangers"));
                match body.get("accounts") {
                    "" => format!("{count} failed attempts from {from} were counted"),
                    "1" => format!("{count} failed attempts from {from} were counted, against 1 account"),
                    accounts => {
                        format!(
                            "{count} failed attempts from {from} were counted, against {accounts} accounts"
                        )
                    }
                }
            }
            Kind::LogoutNotified if self.failed => self.because(format!(
                "{} could not be told that {} has signed out",
                self.client(),
                self.person()
            )),
            Kind::LogoutNotified => {
                format!("{} was told that {} has signed out", self.client(), self.person())
            }
            Kind::MailSent if self.failed => self.because("A message could not be sent".to_owned()),
            Kind::MailSent => {
                format!(
                    "A message about {} was sent to {}",
                    spaced(self.body.get("about")),
                    self.person()
                )
            }
            Kind::TokenIssued
            | Kind::TokenRefused
            | Kind::ClientAuthenticationFailed
            | Kind::CodeIssued
            | Kind::AuthorizationRefused
            | Kind::CodeReplayed
            | Kind::RefreshReplayed
            | Kind::RefreshRepeated
            | Kind::TokenRevoked => self.of_tokens(kind),
            Kind::LoginSucceeded
            | Kind::LoginFailed
            | Kind::LoginLocked
            | Kind::LoginUnlocked
            | Kind::SessionEnded
            | Kind::ConsentGiven
            | Kind::ConsentDenied
            | Kind::ConsentRevoked => self.of_people(kind),
            Kind::SecondFactorChanged
            | Kind::PasswordChanged
            | Kind::LinkIssued
            | Kind::LinkUsed
            | Kind::IdentityLinked
            | Kind::PersonChanged
            | Kind::RolesChanged => self.of_accounts(kind),
            Kind::ConsoleRefused
            | Kind::Exported
            | Kind::AccessReviewed
            | Kind::AuditRead
            | Kind::PeopleRead
            | Kind::AuditChecked
            | Kind::AgencyChanged
            | Kind::ClientChanged
            | Kind::ResourceServerChanged
            | Kind::IdentityProviderChanged
            | Kind::SecretChanged
            | Kind::VendorLinkChanged
            | Kind::VendorLinkOpened
            | Kind::ApiTokenChanged
            | Kind::KeyChanged => self.of_console(kind),
        }
    }

    fn of_tokens(&self, kind: Kind) -> String {
        let (client, person) = (self.client(), self.for_person());
        match kind {
            Kind::TokenIssued => format!("{client} got a token{person}"),
            Kind::TokenRefused => self.because(format!("{client} was refused a token{person}")),
            Kind::ClientAuthenticationFailed => match &self.body.client_id {
                Some(_) => self.because(format!("Somebody could not prove to be {client}")),
                None => self.because("Somebody could not prove to be a registered client".to_owned()),
            },
            Kind::CodeIssued => format!("{client} was let in{person}"),
            Kind::AuthorizationRefused => self.because(format!("{client} was refused access{person}")),
            Kind::CodeReplayed => {
                format!("{client} used a code twice{person}: what it had given was taken back")
            }
            Kind::RefreshReplayed => {
                format!(
                    "{client} used an old refresh token again{person}: all that came of it was taken back"
                )
            }
            Kind::RefreshRepeated => format!("{client} repeated a refresh{person} and got the same answer"),
            _ if self.failed => self.because(format!("{client} was refused to take a token back")),
            _ => format!("{client} gave a token back{person}"),
        }
    }

    fn of_people(&self, kind: Kind) -> String {
        let (client, person) = (self.client(), self.person());
        match kind {
            Kind::LoginSucceeded if self.body.get("second_factor") == "due" => {
                format!("{person} began to sign in; the second step was due")
            }
            Kind::LoginSucceeded => format!("{person} signed in"),
            Kind::LoginFailed => self.because(format!("{person} failed to sign in")),
            Kind::LoginLocked => self.because(format!("Signing in was paused for {person}")),
            Kind::LoginUnlocked => format!("{} let {person} sign in again", self.who()),
            Kind::SessionEnded => self.because(format!("{person} was signed out")),
            Kind::ConsentGiven => format!("{person} allowed {client} to act for her or him"),
            Kind::ConsentDenied => format!("{person} refused {client}"),
            _ => format!("{} took back what {person} had allowed {client}", self.who()),
        }
    }

    fn of_accounts(&self, kind: Kind) -> String {
        let (who, account, action) = (self.who(), self.account(), self.body.get("action"));
        match kind {
            Kind::SecondFactorChanged => {
                format!("{who} changed how to sign in to {account}: {}", spaced(action))
            }
            Kind::PasswordChanged => format!("{who} set the password of {account}"),
            Kind::LinkIssued if self.failed => self.because(format!("{who} asked for a link in vain")),
            Kind::LinkIssued => format!("{who} made a link for {}: {}", self.person(), spaced(action)),
            Kind::LinkUsed if self.failed => {
                self.because("Somebody opened a link that cannot be used".to_owned())
            }
            Kind::LinkUsed => format!("{} used a link: {}", self.person(), spaced(action)),
            Kind::IdentityLinked => format!(
                "{who} {} {account} and the sign-in of {}",
                if action == "unlinked" { "parted" } else { "joined" },
                self.body.get("provider")
            ),
            Kind::RolesChanged => format!("{who} changed the roles of {}", self.person()),
            _ => match action {
                "password_set" => format!("{who} set the password of {account}"),
                "second_factor_reset" => format!("{who} reset the second factor of {account}"),
                "disabled_dormant" => format!(
                    "{} was disabled, for nobody had signed in for long",
                    self.person()
                ),
                _ => format!("{who} {} {}", spaced(action), self.person()),
            },
        }
    }

    fn of_console(&self, kind: Kind) -> String {
        let (who, body, action) = (self.who(), self.body, self.body.get("action"));
        match kind {
            Kind::ConsoleRefused => format!(
                "{who} reached for {}, which is not for her or his role",
                body.get("path")
            ),
            Kind::Exported => format!("{who} took out {}", body.get("what")),
            Kind::AccessReviewed => format!("{who} reviewed who holds which role"),
            Kind::AuditRead => format!("{who} looked at the record"),
            Kind::PeopleRead => format!("{who} looked at {}", body.get("path")),
            Kind::AuditChecked if self.failed => format!("{who} had the record checked: it is not sound"),
            Kind::AuditChecked => format!("{who} had the record checked: it is sound"),
            Kind::AgencyChanged => format!("{who} {} agency {}", spaced(action), body.get("agency")),
            Kind::ClientChanged => format!("{who} {} client {}", spaced(action), self.client()),
            Kind::ResourceServerChanged => {
                format!("{who} {} resource server {}", spaced(action), self.client())
            }
            Kind::IdentityProviderChanged => {
                format!(
                    "{who} {} identity provider {}",
                    spaced(action),
                    body.get("provider")
                )
            }
            Kind::ApiTokenChanged => format!("{who} {} the API token {}", spaced(action), body.get("token")),
            Kind::SecretChanged => format!("{who} changed the secrets of {}", self.client()),
            Kind::VendorLinkChanged => format!(
                "{who} {} the link for the vendor of {}",
                spaced(action),
                self.client()
            ),
            Kind::VendorLinkOpened if self.failed => {
                self.because("Somebody opened a vendor’s link that shows nothing".to_owned())
            }
            Kind::VendorLinkOpened => format!(
                "Somebody with the vendor’s link opened the sheet of {}",
                self.client()
            ),
            _ => format!("Signing key {}: {}", body.get("kid"), spaced(action)),
        }
    }

    fn who(&self) -> String {
        who(self.body, self.names)
    }

    fn client(&self) -> &str {
        self.body.client_id.as_deref().unwrap_or("an unknown client")
    }

    fn person(&self) -> String {
        match (&self.body.person_id, self.body.get("provider")) {
            (Some(id), _) => self.names.person(id).to_owned(),
            (None, "") => "Somebody unknown".to_owned(),
            (None, provider) => format!("Somebody from {provider}"),
        }
    }

    fn for_person(&self) -> String {
        self.body
            .person_id
            .as_ref()
            .map_or_else(String::new, |id| format!(" for {}", self.names.person(id)))
    }

    fn is_own(&self) -> bool {
        self.body.acting_person().is_some() && self.body.acting_person() == self.body.person_id.as_deref()
    }

    fn account(&self) -> String {
        if self.is_own() {
            "this account".to_owned()
        } else {
            format!("the account of {}", self.person())
        }
    }

    /// With the reason that is recorded.
    fn because(&self, what: String) -> String {
        match self.body.get("reason") {
            "" => what,
            reason => format!("{what}: {reason}"),
        }
    }
}

fn spaced(word: &str) -> String {
    word.replace('_', " ")
}
