//! Before and after of a change, side by side: which settings differ, and what in them.

use std::collections::BTreeMap;

use serde_json::Value;

/// A setting before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What became of it: "Added", "Removed" or "Changed"; none: it stayed.
    pub became: Option<&'static str>,
    /// Its values before.
    pub before: Vec<Piece>,
    /// Its values after.
    pub after: Vec<Piece>,
}

/// One of the values of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As people read it.
    pub text: String,
    /// Whether the other side lacks it.
    pub differs: bool,
}

/// The settings of two views, in the order of their names. What was not there before, or is not afterwards, is empty.
pub fn between(before: &str, after: &str) -> Vec<Setting> {
    let (before, after) = (flat(before), flat(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| setting(name, before.get(name), after.get(name)))
        .collect()
}

fn setting(name: &str, before: Option<&Vec<String>>, after: Option<&Vec<String>>) -> Setting {
    let became = match (before, after) {
        (None, _) => Some("Added"),
        (_, None) => Some("Removed"),
        (before, after) => (before != after).then_some("Changed"),
    };
    let pieces = |own: Option<&Vec<String>>, other: Option<&Vec<String>>| {
        let differs = |text: &String| other.is_none_or(|other| !other.contains(text));
        own.into_iter()
            .flatten()
            .map(|text| Piece {
                text: text.clone(),
                differs: differs(text),
            })
            .collect()
    };
    Setting {
        name: name.replace('_', " "),
        became,
        before: pieces(before, after),
        after: pieces(after, before),
    }
}

/// The values of a view by name. Objects in it are opened, lists are several values; nothing that says nothing.
fn flat(view: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    if !view.is_empty() {
        let value = serde_json::from_str(view).unwrap_or_else(|_| Value::String(view.to_owned()));
        open("", &value, &mut found);
    }
    found
}

fn open(name: &str, value: &Value, found: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() {
                    member.clone()
                } else {
                    format!("{name}: {member}")
                };
                open(&name, value, found);
            }
        }
        Value::Null => {}
        Value::Array(values) if values.is_empty() => {}
        Value::Array(values) => {
            found.insert(named(name), values.iter().map(text).collect());
        }
        value => {
            found.insert(named(name), vec![text(value)]);
        }
    }
}

fn named(name: &str) -> String {
    if name.is_empty() {
        "value".to_owned()
    } else {
        name.to_owned()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}
