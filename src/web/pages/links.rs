//! The pages around a new password.

use askama::Template;

use super::{FormError, Shell};

/// What is wrong with a field, in words that may depend on what was typed.
#[derive(Clone, Copy, Debug)]
pub struct FieldMistake<'a> {
    /// Which field.
    pub field: &'static str,
    /// What the person is told.
    pub text: &'a str,
    /// Whether it concerns the form as a whole.
    pub whole_form: bool,
}

/// For the template: marks a field whose value is to be corrected.
fn is_wrong(errors: &[FieldMistake<'_>], field: &str) -> bool {
    errors
        .iter()
        .any(|error| error.field == field && !error.whole_form)
}

/// Asks for a new password, twice; posts `csrf`, `state`, `pending`, `current`, `password`, `again`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "new_password.html")]
pub struct NewPasswordPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// The system use notice, for those who have not acknowledged it on their way (NIST SP 800-53 AC-8).
    pub banner: Option<&'a str>,
    /// Heading and title.
    pub heading: &'a str,
    /// Path that the form is posted to.
    pub action: &'a str,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed state of the page.
    pub state: &'a str,
    /// The sealed sign-in that goes on afterwards.
    pub pending: Option<&'a str>,
    /// Whose password it is.
    pub username: &'a str,
    /// The person is new.
    pub welcome: bool,
    /// The current password is asked for.
    pub ask_current: bool,
    /// The old password has expired.
    pub expired: bool,
    /// The fewest characters.
    pub shortest: u32,
    /// What was wrong with the last attempt.
    pub errors: &'a [FieldMistake<'a>],
}

/// Asks for the username of somebody who forgot the password; posts `csrf`, `pending`, `username` to `/login/forgotten`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "forgotten.html")]
pub struct ForgottenPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in.
    pub pending: &'a str,
    /// The username typed before, or empty.
    pub username: &'a str,
    /// Path that leads back to the login page.
    pub back: &'a str,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// Tells something, and where to go on.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "notice.html")]
pub struct NoticePage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Heading and title.
    pub heading: &'a str,
    /// The text.
    pub paragraphs: &'a [&'a str],
    /// A path of ours, and what the link says.
    pub link: Option<(&'a str, &'a str)>,
}
