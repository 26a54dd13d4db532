//! The parameters of an address: each operation says which it knows, all others are refused.

use actix_web::HttpRequest;
use data_encoding::BASE64URL_NOPAD;
use url::form_urlencoded;

use super::problem::{MemberMistake, Problem, Type};
use crate::audit::event::Kind;

/// How many rows a page has unless somebody says otherwise.
pub const PAGE: usize = 50;
/// How many rows a page has at the most.
pub const LARGEST_PAGE: usize = 200;
/// The longest text, in characters.
pub const LONGEST_TEXT: usize = 200;

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// How many rows.
    Limit,
    /// Where a page begins.
    Cursor,
    /// A time (RFC 3339).
    Time,
    /// A whole number from 0 to this.
    Number(i64),
    /// One of some words.
    Word(&'static [&'static str]),
    /// A kind of event.
    Kind,
}

/// A parameter that an operation knows.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub accepts: Accepts,
    /// What it does.
    pub says: &'static str,
    /// Whether a request without it is wrong.
    pub required: bool,
}

impl Parameter {
    /// The same, and a request without it is wrong.
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}

/// A parameter.
pub const fn parameter(name: &'static str, accepts: Accepts, says: &'static str) -> Parameter {
    Parameter {
        name,
        accepts,
        says,
        required: false,
    }
}

/// How many rows a page has.
pub const LIMIT: Parameter = parameter("limit", Accepts::Limit, "How many rows the page has.");
/// Where a page begins.
pub const CURSOR: Parameter = parameter(
    "cursor",
    Accepts::Cursor,
    "Where the page begins: `next_cursor` of the page before.",
);

/// Those that are served, or those that are not.
pub const ENABLED: Parameter = parameter(
    "enabled",
    Accepts::Flag,
    "Only those that are served, or only those that are not.",
);

/// The parameters of a request, checked.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads them.
    ///
    /// # Errors
    /// A token that stands there; all mistakes.
    pub fn read(request: &HttpRequest, known: &[Parameter]) -> Result<Self, Problem> {
        let (mut query, mut errors) = (Self::default(), Vec::new());
        for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                errors.push(MemberMistake::parameter(&name, unknown(known)));
                continue;
            };
            if query.text(parameter.name).is_some() {
                errors.push(MemberMistake::parameter(
                    parameter.name,
                    "it must not be repeated",
                ));
            } else if let Some(wrong) = wrong(parameter.accepts, &value) {
                errors.push(MemberMistake::parameter(parameter.name, wrong));
            }
            query.0.push((parameter.name, value.into_owned()));
        }
        for parameter in known.iter().filter(|parameter| parameter.required) {
            if query.text(parameter.name).is_none() {
                errors.push(MemberMistake::parameter(parameter.name, "it is missing"));
            }
        }
        if errors.is_empty() {
            Ok(query)
        } else {
            Err(Problem::invalid(errors))
        }
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// [`Query::text`] as one's own.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A parameter that is `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text == "true")
    }

    /// How many rows the page has.
    pub fn limit(&self) -> usize {
        self.text(LIMIT.name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(PAGE)
    }

    /// A time, in milliseconds since the epoch.
    pub fn time_ms(&self, name: &str) -> Option<i64> {
        Some(self.text(name)?.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    }

    /// Where the page begins: the key of the last row before it, in `N` parts.
    ///
    /// # Errors
    /// A cursor that this list did not make.
    pub fn after<const N: usize>(&self) -> Result<Option<[String; N]>, Problem> {
        let Some(text) = self.text(CURSOR.name) else {
            return Ok(None);
        };
        let parts = read_cursor(text).and_then(|parts| parts.try_into().ok());
        parts
            .map(Some)
            .ok_or_else(|| Problem::invalid(vec![MemberMistake::parameter(CURSOR.name, NO_CURSOR)]))
    }
}

const NO_CURSOR: &str = "it is not a cursor of this list; leave it out to begin";

/// A token must not stand in an address, which is written down in many places (RFC 6750 §5.3).
///
/// # Errors
/// When it does.
pub fn refuse_token(request: &HttpRequest) -> Result<(), Problem> {
    let named =
        form_urlencoded::parse(request.query_string().as_bytes()).any(|(name, _)| name == "access_token");
    if named {
        let what = "the token stands in the address, where it may be written down; revoke it, and send another in the \
                    Authorization header";
        return Err(Problem::new(Type::Malformed, what));
    }
    Ok(())
}

fn unknown(known: &[Parameter]) -> String {
    if known.is_empty() {
        return "this address takes no parameters".to_owned();
    }
    let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    format!("it is unknown; there are {}", names.join(", "))
}

fn wrong(accepts: Accepts, value: &str) -> Option<String> {
    let fits = match accepts {
        Accepts::Text => value.chars().count() <= LONGEST_TEXT && !value.contains(['\0', '\u{fffd}']),
        Accepts::Flag => ["true", "false"].contains(&value),
        Accepts::Limit => {
            // As JSON writes it, so that each number has one spelling.
            value
                .parse::<usize>()
                .is_ok_and(|limit| (1..=LARGEST_PAGE).contains(&limit) && limit.to_string() == value)
        }
        Accepts::Number(most) => {
            let number = value.parse::<i64>();
            number.is_ok_and(|number| (0..=most).contains(&number) && number.to_string() == value)
        }
        Accepts::Cursor => read_cursor(value).is_some(),
        Accepts::Time => value.parse::<jiff::Timestamp>().is_ok(),
        Accepts::Word(words) => words.contains(&value),
        Accepts::Kind => Kind::parse(value).is_some(),
    };
    if fits {
        return None;
    }
    Some(match accepts {
        Accepts::Text => format!("it must have up to {LONGEST_TEXT} characters of UTF-8"),
        Accepts::Flag => "it must be true or false".to_owned(),
        Accepts::Limit => format!("it must be a number from 1 to {LARGEST_PAGE}"),
        Accepts::Number(most) => format!("it must be a number from 0 to {most}"),
        Accepts::Cursor => NO_CURSOR.to_owned(),
        Accepts::Time => "it must be a time such as 2026-11-21T02:00:00Z (RFC 3339)".to_owned(),
        Accepts::Word(words) => format!("it must be one of {}", words.join(", ")),
        Accepts::Kind => {
            "it must be a kind of event, such as client.changed; the OpenAPI document has them all".to_owned()
        }
    })
}

/// A cursor, of the key of the last row of a page.
pub fn cursor(parts: &[String]) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(parts).unwrap_or_default())
}

/// A part of a cursor that is a number.
///
/// # Errors
/// A cursor that this list did not make.
pub fn number<T: std::str::FromStr>(part: &str) -> Result<T, Problem> {
    part.parse()
        .map_err(|_| Problem::invalid(vec![MemberMistake::parameter(CURSOR.name, NO_CURSOR)]))
}

fn read_cursor(text: &str) -> Option<Vec<String>> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let parts: Vec<String> = serde_json::from_slice(&bytes).ok()?;
    (!parts.iter().any(|part| part.contains('\0'))).then_some(parts)
}

/// A page of rows, of which there may be one more than `limit`; `key` is what a row is found by again.
pub fn page<R, T>(
    mut rows: Vec<R>,
    limit: usize,
    key: impl Fn(&R) -> Vec<String>,
    view: impl Fn(R) -> T,
) -> super::reply::Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor(&key(last)));
    super::reply::Page {
        items: rows.into_iter().map(view).collect(),
        next_cursor,
    }
}
