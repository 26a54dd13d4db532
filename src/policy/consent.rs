//! What the consent page says about each scope, in words for a coroner's clerk.

use crate::model::{
    scope::{Level, Resource, Scope, ScopeSet, SmartScope},
    security_label::{CONFIDENTIALITY_SYSTEM, Confidentiality},
};

use super::data::{Policy, Words};

/// A scope and the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeSentence {
    /// The scope, as it would be granted.
    pub scope: String,
    /// What it allows, without a full stop.
    pub sentence: String,
}

/// What releasing a claim of OpenID Connect Core §5.1 means.
const CLAIM_SENTENCES: [(&str, &str); 19] = [
    ("name", "See your full name"),
    ("family_name", "See your family name"),
    ("given_name", "See your given name"),
    ("middle_name", "See your middle name"),
    ("nickname", "See your nickname"),
    ("preferred_username", "See your username"),
    ("profile", "See the address of your profile page"),
    ("picture", "See the address of your picture"),
    ("website", "See the address of your website"),
    ("gender", "See your gender"),
    ("birthdate", "See your date of birth"),
    ("zoneinfo", "See your time zone"),
    ("locale", "See your language"),
    ("updated_at", "See when your details were last changed"),
    ("email", "See your e-mail address"),
    ("email_verified", "See whether your e-mail address is verified"),
    ("address", "See your postal address"),
    ("phone_number", "See your telephone number"),
    (
        "phone_number_verified",
        "See whether your telephone number is verified",
    ),
];

/// What releasing a claim means, without a full stop.
pub fn claim_sentence(name: &str) -> String {
    CLAIM_SENTENCES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or_else(|| format!("See {name}"), |(_, sentence)| (*sentence).to_owned())
}

impl Policy {
    /// Whether the policy has words of its own for a scope: the name of any other is whatever somebody writes.
    pub fn has_words_for(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Smart(smart) => {
                *smart.resource() == Resource::Any
                    || self.words.resources.contains_key(&smart.resource().to_string())
            }
            Scope::Named(name) => self.named_scope(name).is_some(),
        }
    }

    /// A sentence for each scope, in order.
    pub fn sentences(&self, scopes: &ScopeSet) -> Vec<ScopeSentence> {
        let sentence = |scope: &Scope| match scope {
            Scope::Smart(smart) => self.words.sentence(smart),
            Scope::Named(name) => self
                .named_scope(name)
                .map_or_else(|| format!("Use {name}"), |named| named.sentence.clone()),
        };
        scopes
            .iter()
            .map(|scope| ScopeSentence {
                scope: scope.to_string(),
                sentence: sentence(scope),
            })
            .collect()
    }
}

impl Words {
    fn sentence(&self, scope: &SmartScope) -> String {
        let words = self.resources.get(&scope.resource().to_string());
        let create = words.and_then(|words| words.create.as_deref());
        let verb = |letter| match (letter, create) {
            ('c', Some(create)) => create,
            _ => self.verbs.get(&letter).map_or("use", String::as_str),
        };
        let verbs = join(
            &scope.permissions().letters().map(verb).collect::<Vec<_>>(),
            "and",
        );
        let what = match (scope.resource(), words) {
            (Resource::Any, words) => words
                .map_or("all records", |words| words.label.as_str())
                .to_owned(),
            (Resource::Type(name), Some(words)) => format!("{} ({name})", words.label),
            (Resource::Type(name), None) => format!("{name} records"),
        };
        let of_one = if scope.level() == Level::Patient {
            " of the decedent in question"
        } else {
            ""
        };
        let limit = scope.constraint().map_or_else(String::new, limit);
        capitalise(&format!("{verbs} {what}{of_one}{limit}"))
    }
}

/// `?category=http://…|laboratory` in words: `, only where category is laboratory`.
fn limit(query: &str) -> String {
    // As it is written: an escape that is decoded could write a sentence of its own.
    let pairs: Vec<String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let values: Vec<String> = value.split(',').map(value_in_words).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{} is {}", name.trim_start_matches('_'), join(&values, "or"))
        })
        .collect();
    format!(", only where {}", pairs.join(" and "))
}

/// The code of a `system|code` token; the word, if the system is that of confidentiality.
fn value_in_words(value: &str) -> String {
    match value.rsplit_once('|') {
        Some((CONFIDENTIALITY_SYSTEM, code)) => code
            .parse::<Confidentiality>()
            .map_or_else(|_| code.into(), |level| level.to_string()),
        Some((_, code)) => code.into(),
        None => value.into(),
    }
}

fn join(words: &[&str], last: &str) -> String {
    match words {
        [before @ .., end] if !before.is_empty() => format!("{} {last} {end}", before.join(", ")),
        _ => words.concat(),
    }
}

fn capitalise(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
