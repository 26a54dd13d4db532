//! What is answered when all went well, and how it tells its version.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::BASE;

/// An answer. It can be kept and given again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The status.
    pub status: u16,
    version: Option<String>,
    location: Option<String>,
    body: Option<Value>,
    #[serde(skip)]
    replayed: bool,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; the last page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that is always whole.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

impl Reply {
    /// 200 with what a view shows; members without a value are left out.
    #[must_use]
    pub fn ok(view: &impl Serialize) -> Self {
        let mut body = serde_json::to_value(view).unwrap_or_default();
        if let Value::Object(members) = &mut body {
            members.retain(|_, value| !value.is_null());
        }
        Self {
            status: 200,
            version: None,
            location: None,
            body: Some(body),
            replayed: false,
        }
    }

    /// 204
    #[must_use]
    pub fn done() -> Self {
        Self {
            status: 204,
            version: None,
            location: None,
            body: None,
            replayed: false,
        }
    }

    /// The same as 201.
    #[must_use]
    pub fn created(self) -> Self {
        Self { status: 201, ..self }
    }

    /// The same, with where it is.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self {
            location: Some(format!("{BASE}{path}")),
            ..self
        }
    }

    /// The same, with the version of the object.
    #[must_use]
    pub fn version(self, version: String) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// The same, as it was given before.
    #[must_use]
    pub fn replayed(self) -> Self {
        Self {
            replayed: true,
            ..self
        }
    }

    /// The entity tag.
    #[must_use]
    pub fn etag(&self) -> Option<String> {
        self.version.as_ref().map(|version| format!("\"{version}\""))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    /// The answer; `if_none_match` is the header of a GET.
    #[must_use]
    pub fn answer(&self, if_none_match: Option<&str>) -> HttpResponse {
        let mut status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let known = |tag: &str| if_none_match.is_some_and(|header| names(header, tag));
        let etag = self.etag();
        if etag.as_deref().is_some_and(known) {
            status = StatusCode::NOT_MODIFIED;
        }
        let mut answer = HttpResponse::build(status);
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(etag) = etag {
            answer.insert_header((ETAG, etag));
        }
        if let Some(location) = &self.location {
            answer.insert_header((LOCATION, location.as_str()));
        }
        if self.replayed {
            answer.insert_header(("Idempotency-Replayed", "true"));
        }
        match &self.body {
            Some(body) if status != StatusCode::NOT_MODIFIED => answer.json(body),
            _ => answer.finish(),
        }
    }
}

/// Whether `If-None-Match` names a tag: weak comparison (RFC 9110 §13.1.2).
fn names(header: &str, tag: &str) -> bool {
    header.trim() == "*"
        || header
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
}

/// The versions that a caller has seen (`If-Match`, RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is said.
    Unsaid,
    /// Any.
    Any,
    /// One of these tags.
    Tags(Vec<String>),
}

impl Seen {
    /// Reads the header. Weak tags never match: the comparison is strong.
    #[must_use]
    pub fn read(header: Option<&str>) -> Self {
        match header.map(str::trim) {
            None => Self::Unsaid,
            Some("*") => Self::Any,
            Some(tags) => Self::Tags(tags.split(',').map(|tag| tag.trim().to_owned()).collect()),
        }
    }

    /// Whether the caller has seen what is there now.
    #[must_use]
    pub fn includes(&self, now: &Reply) -> bool {
        match self {
            Self::Unsaid | Self::Any => true,
            Self::Tags(tags) => now.etag().is_some_and(|etag| tags.contains(&etag)),
        }
    }
}

/// A time for programs (RFC 3339), from seconds since the epoch.
#[must_use]
pub fn time(seconds: i64) -> String {
    millis(seconds.saturating_mul(1000))
}

/// [`time`] from milliseconds.
#[must_use]
pub fn millis(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| time.to_string())
}
