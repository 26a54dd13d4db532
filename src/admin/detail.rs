//! The pages of one: what it is, what can be done, facts on the left, cards on the right, and its last events. All are
//! drawn by one template (`admin/detail.html`).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Frame};
use super::card::{Card, Fact};
use super::events::Told;
use super::list::Offer;
use super::shown_once::Once;
use super::table::Tag;
use crate::policy::console::Area;
use crate::web::pages::{self, FormAction, Shell};

/// One, as its page tells it.
pub struct Detail {
    /// The list that it is of: address and words.
    pub list: (&'static str, &'static str),
    /// What it is called.
    pub name: String,
    /// Marks beside the name.
    pub states: Vec<Tag>,
    /// What is shown once, and what it is called.
    pub once: Option<(Once, &'static str)>,
    /// What can be done; the first most often.
    pub actions: Vec<Offer>,
    /// What is known of it, section by section.
    pub facts: Vec<(&'static str, Vec<Fact>)>,
    /// What stands beside the facts; what is a problem stands before them.
    pub cards: Vec<Card>,
    /// Its last events; none: not for whoever looks to see.
    pub last: Option<Vec<Told>>,
    /// Where all of them are.
    pub all: String,
}

#[derive(Template)]
#[template(path = "../admin/detail.html")]
struct DetailPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    once: Option<(Once, &'static str)>,
    first: Option<Offer>,
    others: Vec<Offer>,
    problems: Vec<Card>,
    cards: Vec<Card>,
    detail: Detail,
}

impl Detail {
    /// The page.
    pub fn answer(mut self, admin: &AdminRequest, area: Area) -> HttpResponse {
        let shows_once = self.once.is_some();
        let cards = std::mem::take(&mut self.cards).into_iter();
        let (problems, cards) = cards.partition(|card| card.problem);
        let mut actions = std::mem::take(&mut self.actions).into_iter();
        let page = DetailPage {
            shell: admin.shell(),
            frame: admin.frame(area),
            once: self.once.take(),
            first: actions.next(),
            others: actions.collect(),
            problems,
            cards,
            detail: self,
        };
        let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
        if shows_once { admin.shown(answer) } else { answer }
    }
}
