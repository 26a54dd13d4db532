//! The list of a noun: searched, filtered, in an order, by pages.

use actix_web::http::StatusCode;
use askama::Template;

use super::managed::{ListFilter, Listed, Managed, SEARCH, SORT, STATE, Words, path_of, place};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::list_query::{self, Filter, ListQuery, PAGE};
use crate::admin::table::{Cell, Column, Table};
use crate::model::registered::Registered;
use crate::web::pages::{self, FormAction, Shell};

/// A filter of the list.
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
#[template(path = "../admin/noun_list.html")]
struct ListPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    words: Words,
    path: &'static str,
    /// Whether one may be registered here.
    may_change: bool,
    /// Whether there is any at all.
    some: bool,
    count: usize,
    /// The first and last of the page, counted from one.
    from: usize,
    to: usize,
    query: String,
    sort: String,
    filters: Vec<Choosing>,
    chips: Vec<Chip>,
    heads: Vec<Head>,
    table: Table,
    first: Option<String>,
    next: Option<String>,
}

/// How many rows stand on the pages before.
const BEFORE: &str = "before";

/// `GET` of the list.
pub async fn get<S: Managed>(admin: AdminRequest) -> Answered {
    let looked = admin.query();
    let Listed { some, count, rows } = S::listed(&admin, &looked).await?;
    let (rows, more) = list_query::cut(rows);
    let mut offered = S::filters(&admin.app);
    offered.push(ListFilter::new(
        STATE,
        "State",
        "Enabled or not",
        [("enabled", "Enabled"), ("disabled", "Disabled")],
    ));
    let names: Vec<&str> = [SEARCH, SORT]
        .into_iter()
        .chain(offered.iter().map(|filter| filter.name))
        .collect();
    let sort = looked.get(SORT).to_owned();
    let before: usize = looked.get(BEFORE).parse().unwrap_or_default();
    let next = rows.last().filter(|_| more).map(|last| {
        let (key, id) = place(&sort, last);
        let on = looked.page_after(&names, &key, &id);
        format!("{on}&{BEFORE}={}", before.saturating_add(PAGE))
    });
    let chips = chips(&looked, &names, &offered);
    let filters = offered.into_iter().map(|filter| {
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
    });
    let filters = filters.collect();
    let own = [Column::new("Name").sorts(""), Column::new("ID").sorts("id")];
    let columns: Vec<Column> = own
        .into_iter()
        .chain(S::columns())
        .chain([Column::new("Registered").sorts("newest")])
        .collect();
    let head = |column: &Column| Head {
        sorted: column.sort.is_some_and(|word| word == sort),
        url: column
            .sort
            .filter(|word| *word != sort)
            .map(|word| looked.with(&names, SORT, word)),
        column: column.clone(),
    };
    let page = ListPage {
        shell: admin.shell(),
        frame: admin.frame(S::AREA),
        words: S::WORDS,
        path: S::PATH,
        may_change: admin.changes(S::AREA),
        some,
        count,
        from: before.saturating_add(1),
        to: before.saturating_add(rows.len()),
        query: looked.get(SEARCH).to_owned(),
        filters,
        chips,
        heads: columns.iter().map(head).collect(),
        table: Table {
            id: "list",
            rows: rows.iter().map(|one| row(&admin, one)).collect(),
            columns,
        },
        first: (!looked.is_first()).then(|| looked.first(&names)),
        next,
        sort,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn chips(looked: &ListQuery, names: &[&str], offered: &[ListFilter]) -> Vec<Chip> {
    let said = offered.iter().filter_map(|filter| {
        let value = Some(looked.get(filter.name)).filter(|value| !value.is_empty())?;
        let chosen = filter.choices.iter().find(|(known, _)| known == value);
        let words = chosen.map_or(value, |(_, words)| words);
        Some(Chip {
            text: format!("{}: {words}", filter.label),
            without: looked.with(names, filter.name, ""),
        })
    });
    let searched = Some(looked.get(SEARCH)).filter(|words| !words.is_empty());
    let searched = searched.map(|words| Chip {
        text: format!("Search: {words}"),
        without: looked.with(names, SEARCH, ""),
    });
    searched.into_iter().chain(said).collect()
}

fn row<S: Managed>(admin: &AdminRequest, one: &Registered<S>) -> Vec<Cell> {
    let name = Cell::text(&one.name)
        .leads_to(Some(path_of::<S>(&one.id)))
        .tagged((!one.enabled).then_some("Disabled"), true)
        .tagged(S::lacks(one).filter(|_| one.enabled), false);
    [name, Cell::code(&one.id)]
        .into_iter()
        .chain(S::cells(admin, one))
        .chain([Cell::when(Some(admin.zone.date(one.created_at)), "")])
        .collect()
}
