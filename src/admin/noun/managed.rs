//! What a noun says of itself for its pages: its words, its fields, its columns, and what its page tells.

use std::future::Future;

use serde_json::{Map, Value};

use super::field::Section;
use crate::admin::about::About;
use crate::admin::access::AdminRequest;
use crate::admin::card::Card;
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::lifecycle::Lifecycle;
use crate::admin::list::{ListFilter, SORT};
use crate::admin::list_query::{self, ListQuery};
use crate::admin::table::{Cell, Column};
use crate::app::App;
use crate::error::PageError;
use crate::live::client_index::Order;
use crate::model::registered::Registered;
use crate::policy::console::{Area, Reach, Right};
use crate::registry::noun::Registrable;
use crate::store::audit::Concerned;
use crate::store::registered;
use crate::web::guard::PageRefused;

/// The filter by state, which every list has.
pub(super) const STATE: &str = "state";
/// The text that is looked for.
pub(super) const SEARCH: &str = "q";

/// What people read about a noun.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What many are called, as the navigation has it.
    pub many: &'static str,
    /// What one is called.
    pub one: &'static str,
    /// What they are, for who sees the list.
    pub lead: &'static str,
    /// What they are for, where there is none yet.
    pub empty: &'static str,
    /// What a search looks into.
    pub search: &'static str,
    /// Said after one was registered; see [`crate::admin::access`].
    pub registered: &'static str,
    /// Said after one was disabled.
    pub disabled: &'static str,
}

/// What a form is about.
pub struct Asking<'a, S> {
    /// The application.
    pub app: &'a App,
    /// What was chosen before the form: it decides what is asked.
    pub chosen: &'a str,
    /// As it is registered; none: a new one.
    pub before: Option<&'a Registered<S>>,
    /// Which agencies whoever asks may know of.
    pub agencies: Reach,
}

/// A box of a page that lets people choose what they register.
#[derive(Debug, Clone)]
pub struct Offered {
    /// What the address says.
    pub value: String,
    /// What people read.
    pub title: String,
    /// What it means.
    pub text: String,
    /// More about it, in small.
    pub meta: String,
    /// What has to be registered first: where, and what.
    pub missing: Option<(&'static str, String)>,
}

/// A noun at the console.
pub trait Managed: Registrable {
    /// Where it belongs.
    const AREA: Area;
    /// Its address.
    const PATH: &'static str;
    /// Its words.
    const WORDS: Words;
    /// What its pages are about: nouns that belong to agencies say so.
    const ABOUT: About = About::Everybody;
    /// The member that is chosen before the form; empty: none.
    const CHOSEN: &'static str = "";

    /// How the record names one.
    fn concerned(id: &str) -> Concerned {
        Concerned::Client(id.to_owned())
    }

    /// What can be chosen before the form.
    fn options(_: &App) -> Vec<Offered> {
        Vec::new()
    }

    /// What the form of what was chosen is called, and what it is for.
    fn form_title(asking: &Asking<'_, Self>) -> (String, String);

    /// The fields, in order.
    fn sections(asking: &Asking<'_, Self>) -> Vec<Section>;

    /// What is registered, or the defaults of a new one, where it is not typed as it is kept.
    fn typed(_: &Asking<'_, Self>, typed: Typed) -> Typed {
        typed
    }

    /// What was typed, where it is not kept as it is typed.
    ///
    /// # Errors
    /// What cannot be read.
    fn said(
        _: &Asking<'_, Self>,
        _: &Typed,
        members: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<FieldMistake>> {
        Ok(members)
    }

    /// What it will be able to do, in sentences, for the form; empty: nothing is said of that.
    fn abilities(_: &Asking<'_, Self>) -> Vec<String> {
        Vec::new()
    }

    /// Filters of the list, beside those that every list has.
    fn filters(_: &AdminRequest) -> Vec<ListFilter> {
        Vec::new()
    }

    /// Whether one is looked for by the filters of its own.
    fn fits(_: &Registered<Self>, _: &ListQuery) -> bool {
        true
    }

    /// Texts that a search looks into, beside id and name.
    fn texts(_: &Registered<Self>) -> Vec<&str> {
        Vec::new()
    }

    /// Those that are looked for, a page and one more.
    fn listed(
        admin: &AdminRequest,
        looked: &ListQuery,
    ) -> impl Future<Output = Result<Listed<Self>, PageRefused>> {
        from_database(admin, looked)
    }

    /// The columns of the list behind name and id.
    fn columns() -> Vec<Column>;

    /// The cells of one, as [`Managed::columns`] has them.
    fn cells(admin: &AdminRequest, one: &Registered<Self>) -> Vec<Cell>;

    /// What is in the way of its use, in a word for lists.
    fn lacks(_: &Registered<Self>) -> Option<&'static str> {
        None
    }

    /// What its page offers beside the form: the most used first, as path behind the noun's, id and words.
    fn actions(_: &AdminRequest, _: &Registered<Self>) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// What its page tells beside what is registered.
    fn cards(
        admin: &AdminRequest,
        one: &Registered<Self>,
    ) -> impl Future<Output = Result<Vec<Card>, PageRefused>>;

    /// What one of [`Lifecycle`] affects, a sentence each.
    fn effects(
        admin: &AdminRequest,
        one: &Registered<Self>,
        action: Lifecycle,
    ) -> impl Future<Output = Result<Vec<String>, PageRefused>>;
}

/// The page of one.
pub fn path_of<S: Managed>(id: &str) -> String {
    format!("{}/{id}", S::PATH)
}

/// The one that the address names, as it is in the database.
///
/// # Errors
/// There is none.
pub async fn found<S: Managed>(admin: &AdminRequest) -> Result<Registered<S>, PageRefused> {
    let id = admin.part("id").to_owned();
    let found = admin
        .app
        .store
        .read(move |conn| registered::find::<S>(conn, &id))
        .await?;
    found.ok_or_else(|| PageError::not_found().into())
}

/// Those of a list that are looked for.
pub struct Listed<S> {
    /// Whether there is any at all.
    pub some: bool,
    /// How many are looked for in all.
    pub count: usize,
    /// Those of the page, and one more.
    pub rows: Vec<Registered<S>>,
}

/// Whether one is looked for by the filters that all have.
pub fn is_looked_for<S: Managed>(one: &Registered<S>, looked: &ListQuery) -> bool {
    let state = match looked.get(STATE) {
        "enabled" => one.enabled,
        "disabled" => !one.enabled,
        _ => true,
    };
    state && S::fits(one, looked)
}

/// Those that are looked for, of a noun of which there are few.
///
/// # Errors
/// What the database says.
pub async fn from_database<S: Managed>(
    admin: &AdminRequest,
    looked: &ListQuery,
) -> Result<Listed<S>, PageRefused> {
    let mut all = admin.app.store.read(registered::all::<S>).await?;
    let reach = admin.reach(S::AREA, Right::Read);
    all.retain(|one| reach.holds_for(S::whose(one)));
    let (some, wanted) = (!all.is_empty(), looked.get(SEARCH).to_lowercase());
    let has_text = |one: &Registered<S>| {
        let texts = [one.id.as_str(), one.name.as_str()];
        let mut texts = texts.into_iter().chain(S::texts(one));
        texts.any(|text| text.to_lowercase().contains(&wanted))
    };
    let mut found = all;
    found.retain(|one| has_text(one) && is_looked_for(one, looked));
    let (count, order) = (found.len(), Order::of(looked.get(SORT)));
    let rows = list_query::page_of(found.into_iter(), |one| order.place(one), looked.after());
    Ok(Listed { some, count, rows })
}
