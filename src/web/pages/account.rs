//! "My access": who somebody is here, how she signs in, where she is signed in, and what she allowed. A summary with a
//! page for each of the longer lists.

use askama::Template;

use super::{Account, Application, Shell};
use crate::clock::local_time::When;

/// `/account`
#[derive(Template, Clone, Debug)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// What was done just now.
    pub done: Option<&'a str>,
    /// Who it is.
    pub account: Account<'a>,
    /// The agency.
    pub agency: Option<&'a str>,
    /// The names of the roles.
    pub roles: Vec<&'a str>,
    /// The e-mail address.
    pub address: Option<Address<'a>>,
    /// Until when the licence holds.
    pub license: Option<License>,
    /// How the person signs in.
    pub methods: Methods,
    /// Where the person is signed in, the last used first.
    pub sessions: Vec<SignedInAt>,
    /// What the person allowed.
    pub applications: Vec<Allowed>,
    /// The last sign-ins, the newest first.
    pub sign_ins: Vec<SignIn>,
}

impl AccountPage<'_> {
    /// Whether the person is signed in with more than this browser.
    fn elsewhere(&self) -> bool {
        self.sessions.iter().any(|session| !session.current)
    }
}

/// An e-mail address.
#[derive(Clone, Debug)]
pub struct Address<'a> {
    /// The address.
    pub email: &'a str,
    /// Whether it is known to be the person's.
    pub confirmed: bool,
    /// Whether a link can be mailed that confirms it.
    pub can_confirm: bool,
}

/// A licence.
#[derive(Clone, Debug)]
pub struct License {
    /// Its last day in words.
    pub last_day: String,
    /// Whether that day is over.
    pub ended: bool,
}

/// What somebody can sign in with.
#[derive(Clone, Debug)]
pub struct Methods {
    /// When the password was set; none: there is no password.
    pub password: Option<When>,
    /// Whether there is an authenticator app.
    pub authenticator: bool,
    /// When a code of it was last used.
    pub authenticator_used: Option<When>,
    /// Passkeys and security keys.
    pub passkeys: Vec<PasskeyItem>,
    /// Whether passkeys are possible here.
    pub more_passkeys: bool,
    /// How many recovery codes are left.
    pub recovery_codes: i64,
    /// When they were made.
    pub recovery_codes_made: Option<When>,
    /// Identities at the agency's own provider.
    pub identities: Vec<IdentityItem>,
}

/// A passkey or security key.
#[derive(Clone, Debug)]
pub struct PasskeyItem {
    /// The credential's id.
    pub id: String,
    /// What the person calls it.
    pub name: String,
    /// When it was added.
    pub added: When,
    /// When it was last used.
    pub used: Option<When>,
}

/// An identity at the agency's own provider.
#[derive(Clone, Debug)]
pub struct IdentityItem {
    /// The provider's name.
    pub provider: String,
    /// Since when it is linked.
    pub linked: When,
    /// When it was last used.
    pub used: Option<When>,
}

/// A session.
#[derive(Clone, Debug)]
pub struct SignedInAt {
    /// Its id.
    pub id: String,
    /// The browser in words.
    pub device: String,
    /// The address that the person signed in from.
    pub address: String,
    /// How, in words.
    pub how: String,
    /// Since when.
    pub since: When,
    /// When it was last used.
    pub used: When,
    /// Whether it is the one that looks at the page.
    pub current: bool,
}

/// An application that somebody allowed to work for her.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The client's id.
    pub client_id: String,
    /// The client's name.
    pub name: String,
    /// The agency that runs it.
    pub organization: Option<String>,
    /// Where the page about ending it is.
    pub end_path: String,
    /// What it may do, in sentences.
    pub sentences: Vec<String>,
    /// Since when; none: never used, or over.
    pub since: Option<When>,
    /// How long it stays connected if it does nothing; none: it is not connected now.
    pub until: Option<When>,
    /// Whether it may connect again without asking.
    pub remembered: bool,
}

/// A sign-in, or an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// What happened, in words.
    pub what: String,
    /// Whether it was in vain.
    pub failed: bool,
    /// When.
    pub at: When,
    /// The address that it came from.
    pub address: Option<String>,
}

/// Asks whether an application shall lose what it was allowed; posts `csrf` and `client_id` to
/// `/account/applications/end`.
#[derive(Template, Clone, Debug)]
#[template(path = "account_end_application.html")]
pub struct EndApplicationPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// What it may do now.
    pub allowed: &'a Allowed,
    /// Whether an administrator vouches for it: it is not asked about when it connects again.
    pub vouched: bool,
}

impl<'a> EndApplicationPage<'a> {
    fn application(&self) -> Application<'a> {
        Application {
            name: &self.allowed.name,
            organization: self.allowed.organization.as_deref(),
        }
    }
}

/// Confirms the e-mail address: first offers to send a link there, then, where that leads, asks for the word; posts `csrf`
/// to `action`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "account_email.html")]
pub struct ConfirmAddressPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The address.
    pub email: &'a str,
    /// Where the form goes.
    pub action: &'a str,
    /// Whether the link was opened.
    pub opened: bool,
}

/// Asks whether to sign out everywhere, this browser included; posts `csrf` to `/account/sessions/end-all`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "account_end_sessions.html")]
pub struct EndSessionsPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
}
