//! Tables: of lists and of pages, drawn by one template (`admin/table.html`).

use crate::clock::local_time::When;

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it is called.
    pub label: &'static str,
    /// The word that sorts by it, in the address; none: it does not sort.
    pub sort: Option<&'static str>,
    /// Numbers stand at the right.
    pub number: bool,
    /// Sorted by it, the last comes first.
    pub descending: bool,
}

impl Column {
    /// A column of texts.
    pub const fn new(label: &'static str) -> Self {
        Self {
            label,
            sort: None,
            number: false,
            descending: false,
        }
    }

    /// A column of numbers.
    pub const fn number(self) -> Self {
        Self { number: true, ..self }
    }

    /// The same, the last first.
    pub const fn newest_by(self, word: &'static str) -> Self {
        Self {
            sort: Some(word),
            descending: true,
            ..self
        }
    }

    /// Says which word sorts by it.
    pub const fn sorts(self, word: &'static str) -> Self {
        Self {
            sort: Some(word),
            ..self
        }
    }
}

/// A mark beside a text.
#[derive(Debug, Clone)]
pub struct Tag {
    /// What it says.
    pub text: &'static str,
    /// Whether something is switched off or broken, and not merely worth knowing.
    pub off: bool,
}

/// What stands in a cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// Where it leads.
    pub url: Option<String>,
    /// A moment in the place of a text.
    pub when: Option<When>,
    /// Whether the text is for machines.
    pub code: bool,
    /// Whether it has a button that copies it.
    pub copied: bool,
    /// Said to those who do not see the row.
    pub unseen: String,
    /// What stands behind it.
    pub behind: String,
    /// Marks behind it.
    pub tags: Vec<Tag>,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A text for machines.
    pub fn code(text: impl Into<String>) -> Self {
        Self {
            code: true,
            ..Self::text(text)
        }
    }

    /// The same, with a button that copies it.
    pub fn copied(self) -> Self {
        Self { copied: true, ..self }
    }

    /// A moment; none: the text.
    pub fn when(when: Option<When>, none: &str) -> Self {
        Self {
            when,
            ..Self::text(none)
        }
    }

    /// Where it leads, if that is to be said.
    pub fn leads_to(self, url: Option<String>) -> Self {
        Self { url, ..self }
    }

    /// Says more to those who do not see the row.
    pub fn unseen(self, unseen: impl Into<String>) -> Self {
        Self {
            unseen: unseen.into(),
            ..self
        }
    }

    /// Puts a text behind it.
    pub fn behind(self, behind: impl Into<String>) -> Self {
        Self {
            behind: behind.into(),
            ..self
        }
    }

    /// Marks it, if there is something to say.
    pub fn tagged(mut self, text: Option<&'static str>, off: bool) -> Self {
        self.tags.extend(text.map(|text| Tag { text, off }));
        self
    }
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// The id of the element.
    pub id: &'static str,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows; the first cell names what the row is about.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The label of the column of a cell, for cards on a phone.
    pub fn label(&self, place: &usize) -> &'static str {
        self.columns.get(*place).map_or("", |column| column.label)
    }

    /// Whether a column has numbers.
    pub fn is_number(&self, place: &usize) -> bool {
        self.columns.get(*place).is_some_and(|column| column.number)
    }
}
