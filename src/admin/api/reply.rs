//! What is answered when all went well, and how it tells its version.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, ETag, EntityTag, Header, IF_MATCH, IfMatch, IfNoneMatch, LOCATION,
};
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
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

impl Reply {
    /// 200 with what a view shows; members without a value are left out.
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
    pub fn created(self) -> Self {
        Self { status: 201, ..self }
    }

    /// The same as 202.
    pub fn accepted(self) -> Self {
        Self { status: 202, ..self }
    }

    /// The same, with where it is.
    pub fn at(self, path: &str) -> Self {
        Self {
            location: Some(format!("{BASE}{path}")),
            ..self
        }
    }

    /// The same, with the version of the object.
    pub fn version(self, version: String) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// The same, as it was given before.
    pub fn replayed(self) -> Self {
        Self {
            replayed: true,
            ..self
        }
    }

    /// The entity tag.
    pub fn etag(&self) -> Option<EntityTag> {
        self.version.clone().map(EntityTag::new_strong)
    }

    /// The body.
    pub fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    /// The answer; `if_none_match` is the header of a GET.
    pub fn answer(&self, if_none_match: Option<&IfNoneMatch>) -> HttpResponse {
        let mut status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let known = |tag: &EntityTag| match if_none_match {
            None => false,
            Some(IfNoneMatch::Any) => true,
            Some(IfNoneMatch::Items(tags)) => tags.iter().any(|one| one.weak_eq(tag)),
        };
        let etag = self.etag();
        if etag.as_ref().is_some_and(known) {
            status = StatusCode::NOT_MODIFIED;
        }
        let mut answer = HttpResponse::build(status);
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(etag) = etag {
            answer.insert_header(ETag(etag));
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

/// The versions that a caller has seen (`If-Match`, RFC 9110 §13.1.1); none: nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen(Option<IfMatch>);

impl Seen {
    /// Reads the header; none: what it says is no tag.
    pub fn read(request: &HttpRequest) -> Option<Self> {
        if !request.headers().contains_key(IF_MATCH) {
            return Some(Self(None));
        }
        let said = IfMatch::parse(request).ok();
        let said = said.filter(|said| !matches!(said, IfMatch::Items(tags) if tags.is_empty()));
        said.map(|said| Self(Some(said)))
    }

    /// Whether the caller says something.
    pub fn is_said(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the caller has seen what is there now. A tag is a hash of the content, so it counts also where a proxy that
    /// compresses answers has made it weak.
    pub fn includes(&self, now: &Reply) -> bool {
        match &self.0 {
            None | Some(IfMatch::Any) => true,
            Some(IfMatch::Items(tags)) => now
                .etag()
                .is_some_and(|etag| tags.iter().any(|tag| tag.weak_eq(&etag))),
        }
    }
}

/// A time for programs (RFC 3339), from seconds since the epoch.
pub fn time(seconds: i64) -> String {
    millis(seconds.saturating_mul(1000))
}

/// [`time`] from milliseconds.
pub fn millis(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| time.to_string())
}
