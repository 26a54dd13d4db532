//! What somebody says of something that is registered: an object in the words of the apply file, by whatever door it comes.

use std::fmt;

use serde_json::{Map, Value};

use super::keys::Spare;
use super::{Mistake, Mistakes};
use crate::model::secret::Secret;

/// How what is said meets what is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// Each member that is said takes the place of the old one, and what is left out stays (the apply file).
    #[default]
    Members,
    /// The same, and so within members that are objects (RFC 7396).
    Patch,
    /// What is left out takes its default, but for the secret (PUT, a form).
    Whole,
}

/// What is said.
#[derive(Clone, Default)]
pub struct Said {
    members: Map<String, Value>,
    /// Out of the object before anything else sees it.
    secret: Option<Secret>,
    mistakes: Vec<Mistake>,
    pub(super) merge: Merge,
    pub(super) spare: Spare,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Said {
    /// The members of an object.
    pub fn new(mut members: Map<String, Value>, merge: Merge) -> Self {
        let (mut secret, mut mistakes) = (None, Mistakes::default());
        match members.remove("secret") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => secret = Some(Secret::new(text)),
            // Without the value, which may be one all the same.
            Some(_) => mistakes.add("secret", "it must be a text"),
        }
        Self {
            members,
            secret,
            mistakes: mistakes.0,
            merge,
            spare: Spare::default(),
        }
    }

    /// The same with another member.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The same with another member, if there is a value.
    pub fn with_some(self, member: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    /// The same with a secret.
    pub fn with_secret(self, secret: Option<Secret>) -> Self {
        Self { secret, ..self }
    }

    /// Whether it says a member, and not merely takes it away.
    pub fn says(&self, member: &str) -> bool {
        self.member(member).is_some()
    }

    /// Whether it says this of a member.
    pub fn says_that(&self, member: &str, value: impl Into<Value>) -> bool {
        self.members.get(member) == Some(&value.into())
    }

    /// Whether it says that there is to be no such member.
    pub fn takes_away(&self, member: &str) -> bool {
        self.members.get(member).is_some_and(Value::is_null)
    }

    /// A member.
    pub fn member(&self, member: &str) -> Option<&Value> {
        self.members.get(member).filter(|value| !value.is_null())
    }

    /// A member that is a text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.member(member)?.as_str()
    }

    /// All members.
    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The secret.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// What is wrong with how it is said.
    pub(super) fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// Puts what is said over an object, by the rule of [`Merge`]. An object that is to be replaced whole is empty.
    pub(super) fn over(&self, object: &mut Map<String, Value>) {
        match self.merge {
            Merge::Patch => patch(object, &self.members),
            Merge::Members | Merge::Whole => {
                for (member, value) in &self.members {
                    if value.is_null() {
                        object.remove(member);
                    } else {
                        object.insert(member.clone(), value.clone());
                    }
                }
            }
        }
    }
}

/// RFC 7396 §2.
fn patch(object: &mut Map<String, Value>, said: &Map<String, Value>) {
    for (member, value) in said {
        match value {
            Value::Null => {
                object.remove(member);
            }
            Value::Object(inner) => {
                let mut merged = match object.remove(member) {
                    Some(Value::Object(old)) => old,
                    _ => Map::new(),
                };
                patch(&mut merged, inner);
                object.insert(member.clone(), Value::Object(merged));
            }
            other => {
                object.insert(member.clone(), other.clone());
            }
        }
    }
}
