//! What is answered instead of what was asked for: problem details (RFC 9457), each of a type that the documentation
//! explains.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, ETag, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::address::DOCS;
use super::reply::Reply;
use crate::app::App;
use crate::error::{self, Broken, wire_text};
use crate::registry::apply::MOST_TOLD as MOST_MISTAKES;
use crate::registry::{Mistake, Refused, VERSION};

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// How long a caller waits who comes too often or too early, in seconds.
const BUSY_SECONDS: i64 = 2;
/// How many mistakes are told: those of a file, and how many more there are.
const MOST_TOLD: usize = MOST_MISTAKES + 1;

/// The types of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 400
    Malformed,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    Method,
    /// 409
    Exists,
    /// 409: something else uses it.
    InUse,
    /// 409: what the same request made before is not there any more.
    Gone,
    /// 412
    Changed,
    /// 413
    TooLarge,
    /// 415
    MediaType,
    /// 422
    Invalid,
    /// 422: an idempotency key that stands for another request.
    KeyReused,
    /// 428
    PreconditionRequired,
    /// 429
    TooMany,
    /// 500
    Failed,
    /// 503
    Unavailable,
}

/// What a type of problem is, for the documentation and the answers.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The type.
    pub kind: Type,
    /// Its anchor in the documentation.
    pub anchor: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// The title of the answer.
    pub title: &'static str,
    /// What happened.
    pub explanation: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn about(
    kind: Type,
    anchor: &'static str,
    status: u16,
    title: &'static str,
    [explanation, remedy]: [&'static str; 2],
) -> About {
    About {
        kind,
        anchor,
        status,
        title,
        explanation,
        remedy,
    }
}

/// All types, by status.
#[rustfmt::skip]
pub const TYPES: [About; 17] = [
    about(Type::Malformed, "malformed", 400, "The request cannot be read", [
        "The body is not JSON, or the request breaks a rule of HTTP or of RFC 6750, such as a token in the address.",
        "Read the detail: it says where reading stopped. Send the token in the Authorization header alone."]),
    about(Type::Unauthorized, "unauthorized", 401, "A token is needed", [
        "There is no bearer token, or it is unknown, expired or revoked.",
        "Send `Authorization: Bearer mdi_api_…`. `mdi-auth api-token create` makes a token; the console lists them."]),
    about(Type::Forbidden, "forbidden", 403, "The token is not for this", [
        "The token is good, but its scope does not include this. `GET /me` says what it may do.",
        "Use a token with the scope that the operation names, or have an administrator make one."]),
    about(Type::NotFound, "not-found", 404, "There is no such thing", [
        "Nothing has this address or this id; it may have been deleted or ended.",
        "Look for it with the list of its kind."]),
    about(Type::Method, "method", 405, "The address does not know this method", [
        "The address exists, but not for this method.",
        "The header `Allow` lists the methods that it knows."]),
    about(Type::Exists, "exists", 409, "It exists already", [
        "Something with this id or username is registered already. Nothing was changed.",
        "Choose another, or change the existing one with PUT or PATCH."]),
    about(Type::InUse, "in-use", 409, "Something else uses it", [
        "It cannot be deleted while others use it. Nothing was changed.",
        "The detail names them: change or delete them first. Disabling it ends everything at once."]),
    about(Type::Gone, "gone", 409, "It was deleted meanwhile", [
        "The same request, under the same `Idempotency-Key`, has made it before, and it was deleted since.",
        "Make a new key to make it anew."]),
    about(Type::Changed, "changed", 412, "Somebody else has changed it", [
        "The version in `If-Match` is not the present one. Nothing was changed.",
        "`current` is what it is now, and `ETag` its version. Make your change to that, and send it again."]),
    about(Type::TooLarge, "too-large", 413, "The body is too large", [
        "Bodies may have 256 KB, apply files 1 MB.",
        "Split an apply file: it never deletes what it does not name."]),
    about(Type::MediaType, "media-type", 415, "The body has the wrong media type", [
        "`Content-Type` is missing or names something else than the operation reads.",
        "Send application/json (PATCH: application/merge-patch+json as well; apply: application/toml)."]),
    about(Type::Invalid, "invalid", 422, "Something in the request is wrong", [
        "The request can be read, but may not be done as it stands. Nothing was changed.",
        "`errors` names each member or parameter with what was found and what is wanted. Correct all, send it again."]),
    about(Type::KeyReused, "key-reused", 422, "The idempotency key stands for another request", [
        "The same `Idempotency-Key` came with another request within 24 hours. Nothing was changed.",
        "Make a new key for each request; send the same key only with the same request."]),
    about(Type::PreconditionRequired, "precondition-required", 428, "Say which version you have seen", [
        "PUT and PATCH need `If-Match`, so that nobody's change is lost unseen.",
        "Send the `ETag` of the GET that you started from, or `*` to overwrite whatever is there."]),
    about(Type::TooMany, "too-many-requests", 429, "Too many requests", [
        "The token has made as many requests within a minute as it may, or the address failed to authenticate too often.",
        "Wait as long as `Retry-After` says. `[admin_api] requests_per_minute` is the limit."]),
    about(Type::Failed, "failed", 500, "The server failed", [
        "A defect, or a damaged database.",
        "The server's log has the cause under the number in `instance`."]),
    about(Type::Unavailable, "unavailable", 503, "The server cannot do this just now", [
        "Too much to do, or the database does not answer. A change may or may not have been made.",
        "Wait as long as `Retry-After` says, then send it again, with the same `Idempotency-Key`."]),
];

impl Type {
    /// What the type is.
    pub fn about(self) -> About {
        let [first, ..] = TYPES;
        TYPES
            .into_iter()
            .find(|about| about.kind == self)
            .unwrap_or(first)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Fault)]
pub struct MemberMistake {
    /// The member of the body, as a JSON pointer (RFC 6901 section 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("#/redirect_uris"))]
    pub pointer: Option<String>,
    /// The parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What was found and what is wanted.
    pub detail: String,
}

impl MemberMistake {
    /// A member of the body.
    pub fn member(name: &str, detail: impl Into<String>) -> Self {
        // RFC 6901 §3.
        let name = name.replace('~', "~0").replace('/', "~1");
        Self {
            pointer: Some(format!("#/{name}")),
            parameter: None,
            detail: detail.into(),
        }
    }

    /// A parameter or header.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail: detail.into(),
        }
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// What sort of problem: the address where it is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    kind: String,
    /// The sort of problem in a few words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// A number under which the server's log has this answer.
    #[schema(format = "uri-reference")]
    instance: &'a str,
    /// Each thing that is wrong.
    #[serde(skip_serializing_if = "<[MemberMistake]>::is_empty")]
    errors: &'a [MemberMistake],
    /// What it is now, where somebody else has changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    current: Option<&'a Value>,
}

/// A problem on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Type,
    detail: String,
    errors: Vec<MemberMistake>,
    current: Option<Box<Reply>>,
    /// For our log alone.
    cause: Option<String>,
    retry_after: Option<i64>,
    header: Option<Box<(HeaderName, String)>>,
}

impl Problem {
    /// A problem of a type.
    pub fn new(kind: Type, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            current: None,
            cause: None,
            retry_after: None,
            header: None,
        }
    }

    /// Things that are wrong in the request.
    pub fn invalid(mut errors: Vec<MemberMistake>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.detail.clone(),
            several if several.len() > MOST_TOLD => {
                format!(
                    "{} things are wrong; errors lists the first {MOST_TOLD}",
                    several.len()
                )
            }
            several => format!("{} things are wrong; errors lists them", several.len()),
        };
        errors.truncate(MOST_TOLD);
        Self {
            errors,
            ..Self::new(Type::Invalid, detail)
        }
    }

    /// No bearer token, or one that does not count (RFC 6750 §3).
    pub fn unauthorized(detail: &str, error: Option<&str>) -> Self {
        let error = error.map_or_else(String::new, |error| {
            format!(", error=\"{error}\", error_description=\"{}\"", wire_text(detail))
        });
        let challenge = format!("Bearer realm=\"mdi-auth admin API\"{error}");
        Self::new(Type::Unauthorized, detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// The token's scope does not include it (RFC 6750 §3.1).
    pub fn forbidden(detail: &str) -> Self {
        let challenge = format!(
            "Bearer realm=\"mdi-auth admin API\", error=\"insufficient_scope\", error_description=\"{}\"",
            wire_text(detail)
        );
        Self::new(Type::Forbidden, detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// Nothing has this id.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(Type::NotFound, format!("no {what} has the id {id:?}"))
    }

    /// The address knows other methods.
    pub fn method(allow: &str) -> Self {
        Self::new(Type::Method, format!("this address answers {allow} alone")).with(ALLOW, allow.to_owned())
    }

    fn with(self, name: HeaderName, value: String) -> Self {
        Self {
            header: Some(Box::new((name, value))),
            ..self
        }
    }

    /// The version that was seen is not the present one; `current` is.
    pub fn changed(current: Reply) -> Self {
        let what = "somebody else has changed it since you read it; current is what it is now";
        Self {
            current: Some(Box::new(current)),
            ..Self::new(Type::Changed, what)
        }
    }

    /// Too many; to be tried again after some seconds.
    pub fn too_many(detail: &str, retry_after: i64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Type::TooMany, detail)
        }
    }

    /// The answer.
    pub fn answer(&self, app: &App) -> HttpResponse {
        let about = self.kind.about();
        let reference = error::reference();
        match &self.cause {
            Some(cause) => tracing::error!(%reference, %cause, "cannot answer"),
            None => tracing::debug!(%reference, status = about.status, detail = %self.detail, "refused"),
        }
        let status = StatusCode::from_u16(about.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = HttpResponse::build(status);
        answer
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type(MEDIA_TYPE);
        if let Some((name, value)) = self.header.as_deref() {
            answer.insert_header((name, value.as_str()));
        }
        if let Some(seconds) = self.retry_after {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(etag) = self.current.as_ref().and_then(|current| current.etag()) {
            answer.insert_header(ETag(etag));
        }
        let body = Body {
            kind: app.url(&format!("{DOCS}#problem-{}", about.anchor)),
            title: about.title,
            status: about.status,
            detail: &self.detail,
            instance: &reference,
            errors: &self.errors,
            current: self.current.as_ref().and_then(|current| current.body()),
        };
        answer.body(serde_json::to_string(&body).unwrap_or_default())
    }
}

impl From<Vec<Mistake>> for Problem {
    fn from(mistakes: Vec<Mistake>) -> Self {
        if let Some(changed) = mistakes.iter().find(|mistake| mistake.key == VERSION) {
            return Self::new(Type::Changed, &changed.text);
        }
        Self::invalid(
            mistakes
                .into_iter()
                .map(|mistake| MemberMistake::member(&mistake.key, mistake.text))
                .collect(),
        )
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        let cause = Some(broken.to_string());
        match broken {
            Broken::Busy | Broken::Unavailable(_) => Self {
                cause,
                retry_after: Some(BUSY_SECONDS),
                ..Self::new(
                    Type::Unavailable,
                    "the server cannot do this just now; try again in 2 seconds",
                )
            },
            Broken::Defect(_) => Self {
                cause,
                ..Self::new(
                    Type::Failed,
                    "the server failed; its log has the cause under the number in instance",
                )
            },
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Mistakes(mistakes) => mistakes.into(),
            Refused::Broken(broken) => broken.into(),
        }
    }
}
