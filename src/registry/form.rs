//! How lists may be written.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Array, Object, OneOf, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A list of words as people write it: an array, or one text with spaces in between, as scopes stand in requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "ListOrText")]
pub struct Words(Vec<String>);

impl Words {
    /// The words, each once, in order.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for word in self.0.iter().flat_map(|text| text.split_whitespace()) {
            if !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        }
        words
    }
}

impl From<Vec<String>> for Words {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl PartialSchema for Words {
    fn schema() -> RefOr<Schema> {
        let text = || Object::with_type(Type::String);
        let either = OneOf::builder()
            .item(Schema::Array(Array::new(text())))
            .item(text());
        either
            .description(Some("A list, or one text with spaces in between."))
            .into()
    }
}

impl ToSchema for Words {}

/// The schema of what may be written as JSON text or as a table: a JWKS.
pub(super) fn text_or_table() -> Schema {
    let either = OneOf::builder()
        .item(Object::with_type(Type::String))
        .item(Object::with_type(Type::Object));
    either
        .description(Some(
            "A JSON Web Key Set (RFC 7517 section 5), as an object or as JSON text.",
        ))
        .into()
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "it must be a list of texts, or one text with spaces in between"
)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
}

impl From<ListOrText> for Words {
    fn from(written: ListOrText) -> Self {
        Self(match written {
            ListOrText::List(words) => words,
            ListOrText::Text(text) => vec![text],
        })
    }
}
