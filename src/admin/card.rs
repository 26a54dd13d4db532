//! Cards: what stands beside the facts of a page or below a list, drawn by one template (`admin/cards.html`).

use super::table::{Cell, Table};

/// What a page tells beside its facts or its rows.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// The id of its heading, and of what is in it.
    pub id: &'static str,
    /// The heading; empty: none.
    pub title: String,
    /// Something is wrong: it stands first.
    pub problem: bool,
    /// Texts.
    pub texts: Vec<String>,
    /// What stands in a list, with what is said of each in small.
    pub items: Vec<(String, String)>,
    /// What stands under headings of its own.
    pub groups: Vec<Group>,
    /// A table.
    pub table: Option<Table>,
    /// Where it leads: address, id and words.
    pub links: Vec<(String, &'static str, String)>,
    /// What is for engineers stands behind a summary.
    pub details: Vec<String>,
}

impl Card {
    /// A card with a heading.
    pub fn new(id: &'static str, title: impl Into<String>) -> Self {
        Self {
            id,
            title: title.into(),
            ..Self::default()
        }
    }
}

/// A part of a card.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The heading.
    pub title: String,
    /// Said in small.
    pub meta: String,
    /// A text before the items; empty: none.
    pub text: &'static str,
    /// What stands in a list.
    pub items: Vec<String>,
}

/// A fact: what it is, and what it says.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// Its values.
    pub values: Vec<Cell>,
}

impl Fact {
    /// A fact with one value.
    pub fn new(label: impl Into<String>, value: Cell) -> Self {
        Self {
            label: label.into(),
            values: vec![value],
        }
    }
}
