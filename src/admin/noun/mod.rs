//! The pages of what is registered, once for every noun: a list, a page of each, one form, a new secret, and disabling,
//! enabling and deleting. A noun says its words and its fields ([`managed::Managed`]).

pub mod edit;
pub mod field;
pub mod lifecycle;
pub mod list;
pub mod managed;
pub mod secret;
pub mod show;

use std::collections::BTreeSet;

use self::managed::{Asking, Managed};
use super::about::About;
use super::access::Requires;
use super::lifecycle::Lifecycle;
use super::page::{Page, page};
use crate::app::App;
use crate::policy::console::Reach;

/// The members that the forms of a noun ask for, whatever was chosen before.
pub fn asked_for<S: Managed>(app: &App) -> BTreeSet<String> {
    let mut chosen: Vec<String> = S::options(app).into_iter().map(|offered| offered.value).collect();
    if chosen.is_empty() {
        chosen.push(String::new());
    }
    let sections = chosen.iter().flat_map(|chosen| {
        S::sections(&Asking {
            app,
            chosen,
            before: None,
            agencies: Reach::Everybody,
        })
    });
    let fields = sections.flat_map(|section| section.fields);
    let mut members: BTreeSet<String> = fields
        .filter_map(|field| field.key.split('.').next().map(str::to_owned))
        .collect();
    members.extend(
        [S::CHOSEN]
            .iter()
            .filter(|member| !member.is_empty())
            .map(|member| (*member).to_owned()),
    );
    members
}

/// Who looks after agencies of their own see those of them.
fn of_list<S: Managed>(requires: Requires) -> Requires {
    match S::ABOUT {
        About::Everybody => requires,
        _ => requires.about(About::Own),
    }
}

/// Its pages.
pub fn pages<S: Managed>() -> Vec<Page> {
    let (read, change) = (Requires::read(S::AREA), Requires::change(S::AREA));
    let about = |requires: Requires| requires.about(S::ABOUT);
    let at = |rest: &str| format!("{}{rest}", S::PATH);
    let one = page(at("/{id}"), about(read), show::get::<S>);
    // That of an agency tells of people, and is recorded.
    let one = if S::ABOUT == About::Agency {
        one.felt()
    } else {
        one
    };
    let mut pages = vec![
        page(S::PATH, of_list::<S>(read), list::get::<S>).called(S::WORDS.many),
        page(at("/new"), change.recent(), edit::new::<S>)
            .form(edit::register::<S>)
            .keeps_what_is_typed(),
        one,
        page(at("/{id}/edit"), about(change).recent(), edit::edit::<S>)
            .form(edit::change::<S>)
            .keeps_what_is_typed(),
    ];
    if S::NOUN.secrets.are_theirs() {
        pages
            .push(page(at("/{id}/secret"), about(change).recent(), secret::get::<S>).form(secret::post::<S>));
    }
    pages.extend(Lifecycle::ALL.map(|action| {
        let requires = about(action.requires(S::AREA));
        page(
            at(&format!("/{{id}}/{}", action.word())),
            requires,
            move |admin| lifecycle::ask::<S>(admin, action),
        )
        .form(move |admin, form| lifecycle::act::<S>(admin, form, action))
    }));
    pages
}
