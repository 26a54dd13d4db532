//! What is done with a registration as a whole: it is disabled, enabled or deleted. Each is asked first, on a page that
//! says what it affects.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::access::{AdminRequest, Requires};
use super::confirm::ConfirmPage;
use super::form::FieldMistake;
use crate::error::PageError;
use crate::policy::console::Area;
use crate::web::pages::{self, FormAction};

/// What may be done, by the last part of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It gets nothing any more, and can be enabled again.
    Disable,
    /// It gets what it got before.
    Enable,
    /// It goes for good.
    Delete,
}

impl Lifecycle {
    /// The one that the address names.
    ///
    /// # Errors
    /// There is no such page.
    pub fn of(word: &str) -> Result<Self, PageError> {
        let all = [Self::Disable, Self::Enable, Self::Delete];
        all.into_iter()
            .find(|action| action.word() == word)
            .ok_or_else(PageError::not_found)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
        }
    }

    fn button(self) -> &'static str {
        match self {
            Self::Disable => "Disable",
            Self::Enable => "Enable",
            Self::Delete => "Delete",
        }
    }

    /// What ends something is not held up; what opens something wants a fresh sign-in.
    pub fn requires(self, area: Area) -> Requires {
        let requires = Requires::change(area);
        if self == Self::Enable {
            requires.fresh()
        } else {
            requires
        }
    }
}

/// A registration.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Where it belongs.
    pub area: Area,
    /// What the question calls it.
    pub name: &'a str,
    /// Its page.
    pub path: &'a str,
}

/// The page that asks; after a try, with what is in the way.
pub fn confirm(
    admin: &AdminRequest,
    subject: Subject<'_>,
    action: Lifecycle,
    effects: Vec<String>,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let status = if wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = ConfirmPage {
        shell: admin.shell(),
        frame: admin.frame(subject.area),
        question: format!("{} {}?", action.button(), subject.name),
        effects,
        wrong,
        action: format!("{}/{}", subject.path, action.word()),
        button: action.button(),
        danger: action != Lifecycle::Enable,
        back: subject.path.to_owned(),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}
