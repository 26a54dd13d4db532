//! The lists of the console, drawn by one template (`admin/list.html`): searched, filtered, in an order, by pages.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Frame};
use super::card::Card;
use super::list_query::{Filter, ListQuery, PAGE};
use super::shown_once::Once;
use super::table::{Cell, Column, Table};
use crate::policy::console::Area;
use crate::web::pages::{self, FormAction, Shell};

/// The parameter that says by what a list is sorted.
pub const SORT: &str = "sort";
/// How many rows stand on the pages before.
const BEFORE: &str = "before";

/// A text that is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The parameter.
    pub name: &'static str,
    /// What it looks into.
    pub label: &'static str,
}

/// A filter of a list.
#[derive(Debug, Clone)]
pub struct ListFilter {
    /// The parameter.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// What can be chosen: what the address says, and what people read. The first filters nothing.
    pub choices: Vec<(String, String)>,
}

impl ListFilter {
    /// A filter whose first choice lets everything through.
    pub fn new<'a>(
        name: &'static str,
        label: &'static str,
        all: &'a str,
        choices: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let choices = std::iter::once(("", all)).chain(choices);
        Self {
            name,
            label,
            choices: choices
                .map(|(value, words)| (value.to_owned(), words.to_owned()))
                .collect(),
        }
    }
}

/// Something that a list offers beside its rows.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Where it leads.
    pub url: String,
    /// The id of the link.
    pub id: &'static str,
    /// What people read.
    pub words: String,
}

impl Offer {
    /// An offer.
    pub fn new(url: impl Into<String>, id: &'static str, words: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            id,
            words: words.into(),
        }
    }
}

/// A list.
#[derive(Default)]
pub struct List {
    /// What its rows are.
    pub title: &'static str,
    /// Its address.
    pub path: &'static str,
    /// The id of its table.
    pub id: &'static str,
    /// What its rows are, for who does not know.
    pub lead: &'static str,
    /// There is nothing at all: what it is for.
    pub empty: Option<&'static str>,
    /// Said where nothing is found.
    pub nothing: &'static str,
    /// How many are found in all, where that is known.
    pub count: Option<usize>,
    /// The one thing to do.
    pub action: Option<Offer>,
    /// What else is offered.
    pub offers: Vec<Offer>,
    /// What is shown once, and what it is called.
    pub once: Option<(Once, &'static str)>,
    /// Texts that are looked for.
    pub search: Vec<Search>,
    /// Filters.
    pub filters: Vec<ListFilter>,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows of the page.
    pub rows: Vec<Vec<Cell>>,
    /// What stands below it.
    pub cards: Vec<Card>,
    /// The place of the last row, where there are more: key and id.
    pub more: Option<(String, String)>,
}

struct Asked {
    search: Search,
    typed: String,
}

struct Choosing {
    name: &'static str,
    label: &'static str,
    choices: Vec<Filter>,
}

/// A filter that is in use: what it says, and the address without it.
struct Chip {
    text: String,
    without: String,
}

/// The head of a column.
struct Head {
    column: Column,
    /// Where its rows are sorted by it; none: they are, or cannot be.
    url: Option<String>,
    sorted: bool,
}

#[derive(Template)]
#[template(path = "../admin/list.html")]
struct ListPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    list: List,
    asked: Vec<Asked>,
    filters: Vec<Choosing>,
    sort: String,
    chips: Vec<Chip>,
    heads: Vec<Head>,
    table: Table,
    /// Which rows are shown, in words.
    shown: String,
    first: Option<String>,
    next: Option<String>,
}

/// The parameters of a list, as its addresses keep them.
fn names(list: &List) -> Vec<&'static str> {
    let own = list.search.iter().map(|search| search.name);
    let filters = list.filters.iter().map(|filter| filter.name);
    own.chain([SORT]).chain(filters).collect()
}

impl List {
    /// The page.
    pub fn answer(mut self, admin: &AdminRequest, area: Area, looked: &ListQuery) -> HttpResponse {
        let names = names(&self);
        let sort = looked.get(SORT).to_owned();
        let before: usize = looked.get(BEFORE).parse().unwrap_or_default();
        let next = self.more.take().map(|(key, id)| {
            let on = looked.page_after(&names, &key, &id);
            format!("{on}&{BEFORE}={}", before.saturating_add(PAGE))
        });
        let head = |column: &Column| Head {
            sorted: column.sort.is_some_and(|word| word == sort),
            url: column
                .sort
                .filter(|word| *word != sort)
                .map(|word| looked.with(&names, SORT, word)),
            column: column.clone(),
        };
        let shows_once = self.once.is_some();
        let page = ListPage {
            shell: admin.shell(),
            frame: admin.frame(area),
            chips: chips(&self, looked, &names),
            asked: asked(&self, looked),
            filters: choosing(std::mem::take(&mut self.filters), looked),
            heads: self.columns.iter().map(head).collect(),
            shown: shown(before, self.rows.len(), self.count),
            table: Table {
                id: self.id,
                columns: std::mem::take(&mut self.columns),
                rows: std::mem::take(&mut self.rows),
            },
            first: (!looked.is_first()).then(|| looked.first(&names)),
            next,
            sort,
            list: self,
        };
        let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
        if shows_once { admin.shown(answer) } else { answer }
    }
}

fn asked(list: &List, looked: &ListQuery) -> Vec<Asked> {
    let asked = |search: &Search| Asked {
        search: *search,
        typed: looked.get(search.name).to_owned(),
    };
    list.search.iter().map(asked).collect()
}

fn choosing(filters: Vec<ListFilter>, looked: &ListQuery) -> Vec<Choosing> {
    let choosing = |filter: ListFilter| {
        let choice = |(value, label): (String, String)| Filter {
            chosen: value == looked.get(filter.name),
            value,
            label,
        };
        Choosing {
            name: filter.name,
            label: filter.label,
            choices: filter.choices.into_iter().map(choice).collect(),
        }
    };
    filters.into_iter().map(choosing).collect()
}

/// Which rows are shown: "51 to 100 of 123".
fn shown(before: usize, rows: usize, count: Option<usize>) -> String {
    let to = before.saturating_add(rows);
    match count {
        Some(count) if rows == count => format!("All {count} shown"),
        Some(count) => format!("{} to {to} of {count}", before.saturating_add(1)),
        None => format!("{} to {to}", before.saturating_add(1)),
    }
}

fn chips(list: &List, looked: &ListQuery, names: &[&str]) -> Vec<Chip> {
    let chip = |name: &str, text: String| Chip {
        text,
        without: looked.with(names, name, ""),
    };
    let typed = |name: &str| Some(looked.get(name)).filter(|value| !value.is_empty());
    let searched = list.search.iter().filter_map(|search| {
        let words = typed(search.name)?;
        Some(chip(search.name, format!("Search: {words}")))
    });
    let filtered = list.filters.iter().filter_map(|filter| {
        let value = typed(filter.name)?;
        let chosen = filter.choices.iter().find(|(known, _)| known == value);
        let words = chosen.map_or(value, |(_, words)| words);
        Some(chip(filter.name, format!("{}: {words}", filter.label)))
    });
    searched.chain(filtered).collect()
}
