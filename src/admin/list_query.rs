//! What the lists of the console share: how an address says what is looked for, and which page of it.

use actix_web::HttpRequest;
use url::form_urlencoded;

use crate::web::parameters::Parameters;

/// How many rows a page of a list has.
pub const PAGE: usize = 50;

/// What the address of a list says.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    path: String,
    query: Parameters,
}

/// The parameter that says after which row a page begins.
const AFTER: &str = "after";

impl ListQuery {
    /// That of a request. An address that cannot be read is the list from its beginning.
    pub fn of(request: &HttpRequest) -> Self {
        let query = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
        Self {
            path: request.path().to_owned(),
            query,
        }
    }

    /// What a filter says, without surrounding blanks; empty when it says nothing.
    pub fn get(&self, name: &str) -> &str {
        self.query.one(name).ok().flatten().unwrap_or_default().trim()
    }

    /// Where the page begins: the sort key and the id of the last row before it.
    pub fn after(&self) -> Option<(String, String)> {
        // As it is: a key may be empty.
        let (key, id) = self.query.one(AFTER).ok().flatten()?.rsplit_once(' ')?;
        Some((key.to_owned(), id.to_owned()))
    }

    /// Whether it is the first page.
    pub fn is_first(&self) -> bool {
        self.get(AFTER).is_empty()
    }

    /// The address of the page behind a row, with the same filters.
    pub fn page_after(&self, filters: &[&str], key: &str, id: &str) -> String {
        self.address(filters, Some(&format!("{key} {id}")))
    }

    /// The address of the first page, with the same filters.
    pub fn first(&self, filters: &[&str]) -> String {
        self.address(filters, None)
    }

    /// The address of the first page, with the same filters but for one.
    pub fn with(&self, filters: &[&str], name: &str, value: &str) -> String {
        let others: Vec<&str> = filters.iter().copied().filter(|known| *known != name).collect();
        let others = self.first(&others);
        if value.is_empty() {
            return others;
        }
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair(name, value)
            .finish();
        let mark = if others.contains('?') { '&' } else { '?' };
        format!("{others}{mark}{pair}")
    }

    fn address(&self, filters: &[&str], after: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in filters {
            if !self.get(name).is_empty() {
                query.append_pair(name, self.get(name));
            }
        }
        if let Some(after) = after {
            query.append_pair(AFTER, after);
        }
        let query = query.finish();
        if query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{query}", self.path)
        }
    }
}

/// A choice of a filter.
#[derive(Debug, Clone)]
pub struct Filter {
    /// What the address says.
    pub value: String,
    /// What people read.
    pub label: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// The choices of a filter, with the one that is chosen marked.
pub fn filters(chosen: &str, choices: &[(&str, &str)]) -> Vec<Filter> {
    let filter = |&(value, label): &(&str, &str)| Filter {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen: value == chosen,
    };
    choices.iter().map(filter).collect()
}

/// The rows of a page, and whether there are more: `rows` are up to one more than [`PAGE`].
pub fn cut<T>(mut rows: Vec<T>) -> (Vec<T>, bool) {
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    (rows, more)
}

/// Of all rows that are in memory, those of a page and one more: in the order of their keys, after the last row of the
/// page before.
pub fn page_of<T>(
    rows: impl Iterator<Item = T>,
    key: impl Fn(&T) -> (String, String),
    after: Option<(String, String)>,
) -> Vec<T> {
    let mut keyed: Vec<((String, String), T)> = rows
        .map(|row| (key(&row), row))
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .collect();
    if keyed.len() > PAGE + 1 {
        keyed.select_nth_unstable_by(PAGE, |(one, _), (other, _)| one.cmp(other));
        keyed.truncate(PAGE + 1);
    }
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// A value as the query of an address has it.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
