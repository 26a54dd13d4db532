//! What the forms of the console share: typed values that are kept, and what is wrong with them, field by field.

use actix_web::http::StatusCode;

use crate::registry::{Mistake, VERSION};
use crate::web::browser::PostedForm;

/// The part of a page that says that somebody else was quicker.
pub const MEANWHILE: &str = "meanwhile";

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMistake {
    /// The field, by its id.
    pub field: String,
    /// What was found and what is wanted.
    pub text: String,
    /// It concerns the form as a whole.
    pub whole_form: bool,
}

impl FieldMistake {
    /// The status of a page that shows a form with these mistakes (RFC 9110 §15.5.21).
    pub fn status(wrong: &[Self]) -> StatusCode {
        if wrong.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }

    /// What is wrong with a field.
    pub fn field(field: &str, text: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            text: sentence(&text.into()),
            whole_form: false,
        }
    }

    /// Mistakes of the registry, beside the fields of a form; those that have no field there are the whole form's.
    pub fn of(mistakes: &[Mistake], fields: &[&str]) -> Vec<Self> {
        let wrong = |mistake: &Mistake| {
            let known = mistake.key != VERSION && fields.contains(&mistake.key.as_ref());
            let field = match mistake.key.as_ref() {
                VERSION => MEANWHILE,
                key if known => key,
                _ => "main",
            };
            let named = if known || mistake.key == VERSION {
                mistake.text.clone()
            } else {
                format!("{}: {}", mistake.key, mistake.text)
            };
            Self {
                field: field.to_owned(),
                text: sentence(&named),
                whole_form: !known,
            }
        };
        mistakes.iter().map(wrong).collect()
    }
}

/// Mistakes begin in lower case, for they stand behind a key elsewhere.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// For the templates: marks a field whose value is to be corrected.
pub fn is_wrong(wrong: &[FieldMistake], field: &str) -> bool {
    wrong
        .iter()
        .any(|wrong| wrong.field == field && !wrong.whole_form)
}

/// For the templates: what is wrong with a field.
pub fn beside<'a>(wrong: &'a [FieldMistake], field: &str) -> Vec<&'a FieldMistake> {
    wrong
        .iter()
        .filter(|wrong| wrong.field == field && !wrong.whole_form)
        .collect()
}

/// The values of a form as they were typed.
#[derive(Debug, Clone, Default)]
pub struct Typed(Vec<(String, String)>);

impl Typed {
    /// Those of a form that was posted.
    pub fn of(form: &PostedForm, fields: &[&str]) -> Self {
        let values = fields
            .iter()
            .flat_map(|field| form.fields.all(field).map(|value| ((*field).to_owned(), value)));
        Self(
            values
                .map(|(field, value)| (field, value.replace("\r\n", "\n")))
                .collect(),
        )
    }

    /// Puts a value, of what is registered.
    pub fn with(mut self, field: &str, value: impl Into<String>) -> Self {
        self.0.push((field.to_owned(), value.into()));
        self
    }

    /// Takes a field away.
    pub fn without(mut self, field: &str) -> Self {
        self.0.retain(|(known, _)| known != field);
        self
    }

    /// Puts several values of one field.
    pub fn with_all<T: Into<String>>(self, field: &str, values: impl IntoIterator<Item = T>) -> Self {
        values
            .into_iter()
            .fold(self, |typed, value| typed.with(field, value))
    }

    /// The value of a field, without surrounding blanks; empty when there is none.
    pub fn get(&self, field: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == field)
            .map_or("", |(_, value)| value.trim())
    }

    /// The value, if there is one.
    pub fn some(&self, field: &str) -> Option<String> {
        Some(self.get(field))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    /// Whether a box of a field is ticked.
    pub fn has(&self, field: &str, value: &str) -> bool {
        self.0.iter().any(|(known, kept)| known == field && kept == value)
    }

    /// All values of a field.
    pub fn all(&self, field: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(known, _)| known == field)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// The lines of a field, without those that are empty.
    pub fn lines(&self, field: &str) -> Vec<String> {
        self.get(field)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// A box or button of a field with several: see `choices` in `admin/fields.html`.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What people read.
    pub label: String,
    /// What it means.
    pub hint: String,
}

impl Choice {
    /// A choice with a hint.
    pub fn new(value: impl Into<String>, label: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            label: label.into(),
            hint: hint.into(),
        }
    }
}

/// The choices of a field: value, label and hint of each.
pub fn choices(listed: &[(&str, &str, &str)]) -> Vec<Choice> {
    let choice = |&(value, label, hint): &(&str, &str, &str)| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        hint: hint.to_owned(),
    };
    listed.iter().map(choice).collect()
}
