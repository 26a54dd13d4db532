//! What the address of the record's list asks for, as a search.

use super::words;
use crate::admin::form::FieldMistake;
use crate::admin::list_query::ListQuery;
use crate::app::App;
use crate::clock::local_time::Zone;
use crate::error::Broken;
use crate::store::audit_search::{Place, Search};
use crate::store::people;

/// What the address may say.
pub const FILTERS: [&str; 6] = ["person", "client", "event", "outcome", "from", "to"];

/// How much of a filter is recorded, in characters: more than any of them has that finds something.
const LONGEST_IN_SHORT: usize = 200;

/// A search, or what is wrong with what was typed.
pub async fn search(
    app: &App,
    zone: &Zone,
    looked: &ListQuery,
) -> Result<Result<Search, Vec<FieldMistake>>, Broken> {
    let mut wrong = Vec::new();
    let person = match looked.get("person") {
        "" => None,
        typed => {
            let id = person_id(app, typed).await?;
            if id.is_none() {
                wrong.push(FieldMistake::field(
                    "person",
                    "nobody has this username or ID: check its spelling",
                ));
            }
            id
        }
    };
    let client = Some(looked.get("client"))
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    let kinds = words::kinds_of(looked.get("event"));
    if kinds.is_empty() && !looked.get("event").is_empty() {
        wrong.push(FieldMistake::field(
            "event",
            "there is no such event: choose one of the list",
        ));
    }
    let mut day = |name: &str, of: &dyn Fn(&str) -> Option<i64>| match looked.get(name) {
        "" => None,
        typed => {
            let found = of(typed);
            if found.is_none() {
                wrong.push(FieldMistake::field(
                    name,
                    "this is not a day: type it like 2027-03-31",
                ));
            }
            found
        }
    };
    let from = day("from", &|typed| zone.begins(typed));
    let to = day("to", &|typed| zone.ends(typed));
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        wrong.push(FieldMistake::field("to", "the last day is before the first"));
    }
    let search = Search {
        person,
        client,
        kinds,
        outcome: words::outcome_of(looked.get("outcome")),
        from_ms: from.unwrap_or(0).saturating_mul(1000),
        to_ms: to.map_or(i64::MAX, |to| to.saturating_mul(1000)),
        before: before(looked),
    };
    Ok(if wrong.is_empty() { Ok(search) } else { Err(wrong) })
}

/// The `sub` of somebody by username or `sub`.
async fn person_id(app: &App, typed: &str) -> Result<Option<String>, Broken> {
    let typed = typed.to_owned();
    let found = app
        .store
        .read(move |conn| match people::find_by_username(conn, &typed)? {
            None => people::find(conn, &typed),
            found => Ok(found),
        });
    Ok(found.await?.map(|person| person.id))
}

/// Where the page begins: `at_ms id`.
fn before(looked: &ListQuery) -> Place {
    let read = || {
        let (at_ms, place) = looked.after()?;
        Some(Place {
            at_ms: at_ms.parse().ok()?,
            id: place.parse().ok()?,
        })
    };
    read().unwrap_or(Place::END)
}

/// The address of the page behind a place.
pub fn page_before(looked: &ListQuery, place: Place) -> String {
    looked.page_after(&FILTERS, &place.at_ms.to_string(), &place.id.to_string())
}

/// The filters as the record tells them.
pub fn in_short(looked: &ListQuery) -> String {
    let said = FILTERS.iter().filter(|name| !looked.get(name).is_empty());
    let short = |text: &str| text.chars().take(LONGEST_IN_SHORT).collect::<String>();
    said.map(|name| format!("{name}={}", short(looked.get(name))))
        .collect::<Vec<_>>()
        .join(" ")
}
