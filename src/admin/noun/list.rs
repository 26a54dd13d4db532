//! The list of a noun.

use super::managed::{Listed, Managed, SEARCH, STATE, path_of};
use crate::admin::access::{AdminRequest, Answered};
use crate::admin::list::{List, ListFilter, Offer, SORT, Search};
use crate::admin::list_query;
use crate::admin::table::{Cell, Column};
use crate::live::client_index::Order;
use crate::model::registered::Registered;

/// `GET` of the list.
pub async fn get<S: Managed>(admin: AdminRequest) -> Answered {
    let looked = admin.query();
    let Listed { some, count, rows } = S::listed(&admin, &looked).await?;
    let (rows, more) = list_query::cut(rows);
    let sort = looked.get(SORT);
    let mut filters = S::filters(&admin);
    filters.push(ListFilter::new(
        STATE,
        "State",
        "Enabled or not",
        [("enabled", "Enabled"), ("disabled", "Disabled")],
    ));
    let own = [Column::new("Name").sorts(""), Column::new("ID").sorts("id")];
    let columns = own
        .into_iter()
        .chain(S::columns())
        .chain([Column::new("Registered").newest_by("newest")]);
    let words = S::WORDS;
    let register = Offer::new(
        format!("{}/new", S::PATH),
        "register",
        format!("Register {}", words.one),
    );
    let list = List {
        title: words.many,
        path: S::PATH,
        id: "list",
        lead: words.lead,
        empty: (!some).then_some(words.empty),
        nothing: "Nothing matches your search.",
        count: Some(count),
        action: admin.changes(S::AREA).then_some(register),
        search: vec![Search {
            name: SEARCH,
            label: words.search,
        }],
        filters,
        columns: columns.collect(),
        more: rows
            .last()
            .filter(|_| more)
            .map(|last| Order::of(sort).place(last)),
        rows: rows.iter().map(|one| row(&admin, one)).collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, S::AREA, &looked))
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
