//! How lists and keys may be written: for people who write files and for programs that send objects.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Array, Object, OneOf, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::model::scope::ScopeSet;

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

/// Yes, unless somebody says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usually(pub bool);

impl Default for Usually {
    fn default() -> Self {
        Self(true)
    }
}

/// A list of words that may be left out; see [`Words`].
///
/// # Errors
/// What is neither a list of texts nor a text.
pub fn list<'de, D: Deserializer<'de>>(written: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Option::<Words>::deserialize(written)?.map(|words| words.words()))
}

/// A list of words, each once; see [`Words`].
///
/// # Errors
/// What is neither a list of texts nor a text.
pub fn every<'de, D: Deserializer<'de>>(written: D) -> Result<Vec<String>, D::Error> {
    Ok(Words::deserialize(written)?.words())
}

/// A list of words that mean something, each once.
///
/// # Errors
/// The first word that means nothing.
pub fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(written: D) -> Result<Vec<T>, D::Error> {
    let words = Words::deserialize(written)?.words();
    let known = |word| serde_json::from_value(Value::String(word)).map_err(D::Error::custom);
    words.into_iter().map(known).collect()
}

/// Scopes, as a list or as the one text of RFC 6749 §3.3.
///
/// # Errors
/// What is no scope.
pub fn scopes<'de, D: Deserializer<'de>>(written: D) -> Result<Option<ScopeSet>, D::Error> {
    let Some(words) = Option::<Words>::deserialize(written)? else {
        return Ok(None);
    };
    words
        .words()
        .join(" ")
        .parse()
        .map(Some)
        .map_err(D::Error::custom)
}

/// Scopes as the list that programs compare with what they sent.
///
/// # Errors
/// What the format says.
pub fn as_list<S: Serializer>(scopes: &Option<ScopeSet>, serializer: S) -> Result<S::Ok, S::Error> {
    match scopes {
        Some(scopes) => serializer.collect_seq(scopes.iter().map(ToString::to_string)),
        None => serializer.serialize_none(),
    }
}

/// A JWKS as JSON text, or as a table; kept as text.
///
/// # Errors
/// Never: what is in it is looked at where it is registered.
pub fn text_or_table<'de, D: Deserializer<'de>>(written: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(written)? {
        Some(Value::String(text)) => Some(text),
        table => table.map(|table| table.to_string()),
    })
}

/// The schema of a JWKS that may be written as JSON text or as a table.
pub fn text_or_table_schema() -> Schema {
    let either = OneOf::builder()
        .item(Object::with_type(Type::String))
        .item(Object::with_type(Type::Object));
    either
        .description(Some(
            "Its public keys: a JSON Web Key Set (RFC 7517 section 5), as an object or as JSON text.",
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
