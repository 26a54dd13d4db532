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
use super::access::Requires;
use super::lifecycle::Lifecycle;
use super::page::{Page, page};
use crate::app::App;
use crate::registry::noun::Secrets;

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

/// Its pages.
pub fn pages<S: Managed>() -> Vec<Page> {
    let (read, change) = (Requires::read(S::AREA), Requires::change(S::AREA));
    let at = |rest: &str| format!("{}{rest}", S::PATH);
    let mut pages = vec![
        page(S::PATH, read, list::get::<S>).called(S::WORDS.many),
        page(at("/new"), change.recent(), edit::new::<S>)
            .form(edit::register::<S>)
            .keeps_what_is_typed(),
        page(at("/{id}"), read, show::get::<S>),
        page(at("/{id}/edit"), change.recent(), edit::edit::<S>)
            .form(edit::change::<S>)
            .keeps_what_is_typed(),
    ];
    if !matches!(S::NOUN.secrets, Secrets::Ours(_)) {
        pages.push(page(at("/{id}/secret"), change.recent(), secret::get::<S>).form(secret::post::<S>));
    }
    pages.extend(Lifecycle::ALL.map(|action| {
        let requires = action.requires(S::AREA);
        page(
            at(&format!("/{{id}}/{}", action.word())),
            requires,
            move |admin| lifecycle::ask::<S>(admin, action),
        )
        .form(move |admin, form| lifecycle::act::<S>(admin, form, action))
    }));
    pages
}
