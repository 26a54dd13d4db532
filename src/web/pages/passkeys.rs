//! Pages about passkeys. `static/passkey.js` does the browser's part; where it cannot, its forms stay hidden.

use askama::Template;

use super::{FormError, Shell};

/// A ceremony that a page carries.
#[derive(Clone, Copy, Debug)]
pub struct PasskeyForm<'a> {
    /// What the script passes to the browser (JSON).
    pub options: &'a str,
    /// Our sealed state, posted as `ceremony`.
    pub state: &'a str,
}

/// Adds a passkey; posts `csrf`, `pending`, `ceremony`, `name` and `credential` to `/login/set-up/passkey`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "add_passkey.html")]
pub struct AddPasskeyPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in that goes on afterwards.
    pub pending: &'a str,
    /// The ceremony.
    pub passkey: PasskeyForm<'a>,
    /// The name typed before, or empty.
    pub name: &'a str,
    /// Where somebody goes who would rather not.
    pub back: &'a str,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// Says why something about a passkey was not done, with the way back to the account.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "passkey_refused.html")]
pub struct PasskeyRefusedPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Heading and title.
    pub heading: &'a str,
    /// What is in the way, and what helps.
    pub text: &'a str,
}
