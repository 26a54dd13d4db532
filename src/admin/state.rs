//! What is done with a registration as a whole: it is disabled, enabled or deleted. Each is asked first, on a page that
//! says what it affects.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::ask::AskPage;
use super::form::Wrong;
use super::visit::{Door, Visit};
use crate::error::PageError;
use crate::policy::console::Area;
use crate::web::pages::{self, FormAction};

/// What may be done, by the last part of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It gets nothing any more, and can be enabled again.
    Disable,
    /// It gets what it got before.
    Enable,
    /// It goes for good.
    Delete,
}

impl Deed {
    /// The one that the address names.
    ///
    /// # Errors
    /// There is no such page.
    pub fn of(word: &str) -> Result<Self, PageError> {
        let all = [Self::Disable, Self::Enable, Self::Delete];
        all.into_iter()
            .find(|deed| deed.word() == word)
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
    #[must_use]
    pub fn door(self, area: Area) -> Door {
        let door = Door::change(area);
        if self == Self::Enable { door.fresh() } else { door }
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
#[must_use]
pub fn ask(
    visit: &Visit,
    subject: Subject<'_>,
    deed: Deed,
    effects: Vec<String>,
    wrong: Vec<Wrong>,
) -> HttpResponse {
    let status = if wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = AskPage {
        shell: visit.shell(),
        frame: visit.frame(subject.area),
        question: format!("{} {}?", deed.button(), subject.name),
        effects,
        wrong,
        action: format!("{}/{}", subject.path, deed.word()),
        button: deed.button(),
        danger: deed != Deed::Enable,
        back: subject.path.to_owned(),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}
