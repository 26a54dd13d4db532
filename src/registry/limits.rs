//! How much may be said: the same limits by every door. A noun says where it needs others, and the API's document tells
//! them.

use serde_json::Value;

/// How large a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Bytes of a text.
    pub text: usize,
    /// Entries of a list or table.
    pub entries: usize,
}

impl Limit {
    /// Of what nothing else is said.
    pub const USUAL: Self = Self {
        text: 1000,
        entries: 100,
    };
    /// Of an address, or a list of them.
    pub const URI: Self = Self {
        text: 2000,
        entries: 100,
    };
    /// Of public keys (JWKS).
    pub const KEYS: Self = Self {
        text: 32 * 1024,
        entries: 300,
    };
    /// Of scopes, in a list or in one text.
    pub const SCOPES: Self = Self {
        text: 32 * 1024,
        entries: 300,
    };
}

/// How large all that is said of one thing may be, in bytes of JSON.
pub const ALL: usize = 64 * 1024;

/// What is too large in a value, if anything is.
pub(super) fn exceeded(value: &Value, limit: Limit) -> Option<String> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Some("it holds the character U+0000, which no text here may have".to_owned())
        }
        Value::String(text) if text.len() > limit.text => Some(format!(
            "a text has {} bytes; at most {} are kept",
            text.len(),
            limit.text
        )),
        Value::Array(values) => {
            too_many(values.len(), limit).or_else(|| values.iter().find_map(|value| exceeded(value, limit)))
        }
        Value::Object(members) => too_many(members.len(), limit).or_else(|| {
            members.iter().find_map(|(name, value)| {
                exceeded(&Value::String(name.clone()), limit).or_else(|| exceeded(value, limit))
            })
        }),
        _ => None,
    }
}

fn too_many(count: usize, limit: Limit) -> Option<String> {
    (count > limit.entries).then(|| format!("it has {count} entries; at most {} are kept", limit.entries))
}
