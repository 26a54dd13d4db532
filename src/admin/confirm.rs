//! The page that asks before something is done that cannot be taken back: what it affects, and one button.

use askama::Template;

use super::access::Frame;
use super::form::FieldMistake;
use crate::web::pages::Shell;

/// A question; its form posts to the page's own address.
#[derive(Template)]
#[template(path = "../admin/confirm.html")]
pub struct ConfirmPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Shared parts of the console.
    pub frame: Frame<'a>,
    /// The question.
    pub question: String,
    /// What the answer yes affects, a sentence each.
    pub effects: Vec<String>,
    /// What is in the way.
    pub wrong: Vec<FieldMistake>,
    /// Where the form posts to.
    pub action: String,
    /// What the button says.
    pub button: &'static str,
    /// Whether something ends.
    pub danger: bool,
    /// Where no leads.
    pub back: String,
}
