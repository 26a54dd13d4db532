//! Three kinds of error: [`OAuthError`] for a client's engineer, [`PageError`] for a person at a browser,
//! [`Broken`] for our own log.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use strum::IntoStaticStr;

use crate::clock::Entropy;

/// The error codes of the RFCs that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// RFC 6749 §5.2
    InvalidRequest,
    /// RFC 6749 §5.2
    InvalidClient,
    /// RFC 6749 §5.2
    InvalidGrant,
    /// RFC 6749 §5.2
    UnauthorizedClient,
    /// RFC 6749 §5.2
    UnsupportedGrantType,
    /// RFC 6749 §5.2
    InvalidScope,
    /// RFC 6749 §4.1.2.1
    AccessDenied,
    /// RFC 6749 §4.1.2.1
    UnsupportedResponseType,
    /// RFC 6749 §4.1.2.1
    ServerError,
    /// RFC 6749 §4.1.2.1
    TemporarilyUnavailable,
    /// RFC 8707 §2
    InvalidTarget,
    /// RFC 6750 §3.1
    InvalidToken,
    /// RFC 6750 §3.1
    InsufficientScope,
    /// RFC 7009 §2.2.1
    UnsupportedTokenType,
    /// OpenID Connect Core §3.1.2.6
    LoginRequired,
    /// OpenID Connect Core §3.1.2.6
    ConsentRequired,
    /// OpenID Connect Core §3.1.2.6
    InteractionRequired,
    /// OpenID Connect Core §3.1.2.6
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6
    RequestUriNotSupported,
    /// Too many failures from one address: 429 (RFC 6585 §4) under the nearest code.
    #[strum(serialize = "temporarily_unavailable")]
    Throttled,
    /// OpenID Connect Core Unmet Authentication Requirements 1.0 §2
    UnmetAuthenticationRequirements,
}

impl Code {
    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// How a caller is told to authenticate (`WWW-Authenticate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Client authentication by header (RFC 6749 §5.2).
    Basic,
    /// A bearer token that was not accepted (RFC 6750 §3).
    Bearer,
    /// No bearer token at all: then no error is named (RFC 6750 §3.1).
    BearerMissing,
}

/// An error on the wire (RFC 6749 §5.2): the code and the description go to the peer, the cause only to the log.
#[derive(Debug, Clone)]
pub struct OAuthError {
    /// What kind of error.
    pub code: Code,
    /// For the engineer at the other agency: which parameter, what was found, what to do.
    pub description: String,
    /// For our log alone.
    pub cause: Option<String>,
    /// Under what the log has it; the header `X-Reference`, made anew for an error without one.
    pub reference: Option<String>,
    /// The challenge, when the caller authenticated by header, or has to.
    pub challenge: Option<Challenge>,
}

impl OAuthError {
    /// An error with its description.
    pub fn new(code: Code, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            cause: None,
            reference: None,
            challenge: None,
        }
    }

    /// Adds what only the log may know, under a reference that the peer can quote. It goes into a header: the body must
    /// not tell an unknown client from a wrong secret.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self.reference = Some(reference());
        self
    }

    /// Adds the challenge for the scheme that the caller used.
    pub fn challenged(mut self, challenge: Challenge) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// `invalid_request` (RFC 6749 §5.2).
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    /// `invalid_grant` (RFC 6749 §5.2).
    pub fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new(Code::InvalidGrant, description)
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl std::error::Error for OAuthError {}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("Pragma", "no-cache"));
        if self.code == Code::TemporarilyUnavailable {
            answer.insert_header((RETRY_AFTER, "2"));
        }
        if self.code == Code::Throttled {
            answer.insert_header((RETRY_AFTER, "60"));
        }
        // RFC 9110 §15.5.2: every 401 says how to authenticate.
        let challenge = self
            .challenge
            .or((self.code == Code::InvalidClient).then_some(Challenge::Basic));
        if let Some(challenge) = challenge {
            let challenge = match challenge {
                Challenge::Basic => "Basic realm=\"mdi-auth\", charset=\"UTF-8\"".to_owned(),
                Challenge::BearerMissing => "Bearer realm=\"mdi-auth\"".to_owned(),
                Challenge::Bearer => format!(
                    "Bearer realm=\"mdi-auth\", error=\"{}\", error_description=\"{}\"",
                    self.code.as_str(),
                    wire_text(&self.description)
                ),
            };
            answer.insert_header((WWW_AUTHENTICATE, challenge));
        }
        // Much client software shows its operator the code alone: the log has the rest under what the header says.
        let reference = self.reference.clone().unwrap_or_else(reference);
        let (code, cause) = (self.code.as_str(), self.cause.as_deref().unwrap_or("-"));
        if self.cause.is_none() && matches!(self.code, Code::Throttled | Code::InvalidToken) {
            // What strangers cause any number of.
            tracing::debug!(%reference, code, description = %self.description, "refused");
        } else {
            tracing::info!(%reference, code, description = %self.description, %cause, "refused");
        }
        answer.insert_header(("X-Reference", reference));
        answer.json(ErrorBody {
            error: self.code.as_str(),
            error_description: &wire_text(&self.description),
        })
    }
}

/// The characters that RFC 6749 §5.2 allows in `error_description`: printable ASCII without `"` and `\`.
pub fn wire_text(text: &str) -> String {
    text.replace('§', "section ")
        .chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

/// An error shown to a person in the browser: words of ours, a parameter's name, a reference. Never a redirect.
#[derive(Debug, Clone)]
pub struct PageError {
    /// What happened, in words for a clerk.
    pub what: String,
    /// The same for the engineer: which parameter is at fault, in words that stay the same.
    pub details: Option<String>,
    /// The HTTP status: 400 unless it is ours.
    pub status: StatusCode,
    /// What the person can read to the one who helps.
    pub reference: String,
    /// For our log alone.
    pub cause: Option<String>,
    /// The person wanted to sign out, and is offered to do so here.
    pub sign_out: bool,
    /// Where the browser goes instead, when that mends it: a path of ours.
    pub onward: Option<Box<str>>,
}

impl PageError {
    /// An error page with status 400.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            details: None,
            status: StatusCode::BAD_REQUEST,
            reference: reference(),
            cause: None,
            sign_out: false,
            onward: None,
        }
    }

    /// A request that an application or a browser made wrongly: the person is told that it is not hers to mend, the
    /// engineer what is wrong.
    pub fn malformed(details: impl Into<String>) -> Self {
        Self::new("The application sent something that this service cannot use. You did nothing wrong.")
            .details(details)
    }

    /// A page that does not exist, or not for this person.
    pub fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::new("There is no such page, or it is not yours to see.")
        }
    }

    /// Adds what the engineer must know.
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// Adds what only the log may know.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Sends the browser on instead of showing a page.
    pub fn leading(mut self, onward: String) -> Self {
        self.onward = Some(onward.into());
        self
    }

    /// Offers to sign out here.
    pub fn with_sign_out(mut self) -> Self {
        self.sign_out = true;
        self
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({})",
            self.details.as_ref().unwrap_or(&self.what),
            self.reference
        )
    }
}

/// A short number that ties an answer to a line in the log.
pub fn reference() -> String {
    data_encoding::BASE32_NOPAD.encode(&Entropy.bytes::<5>())
}

/// Something of ours broke. The log has the cause and a reference; the peer sees the reference alone.
#[derive(Debug)]
pub enum Broken {
    /// Too much to do: the queue of the store is full. 503 with Retry-After.
    Busy,
    /// The database cannot be reached, or did not say whether it committed. 503 with Retry-After.
    Unavailable(String),
    /// A defect or a damaged database. 500.
    Defect(String),
}

impl Broken {
    /// A defect, with its cause for the log.
    pub fn defect(cause: impl fmt::Display) -> Self {
        Self::Defect(cause.to_string())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the queue of the store is full"),
            Self::Unavailable(cause) => write!(f, "the database is unavailable: {cause}"),
            Self::Defect(cause) => write!(f, "defect: {cause}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Broken> for OAuthError {
    fn from(broken: Broken) -> Self {
        let reference = reference();
        tracing::error!(%reference, cause = %broken, "cannot answer");
        match broken {
            Broken::Busy | Broken::Unavailable(_) => Self::new(
                Code::TemporarilyUnavailable,
                format!("the server cannot do this just now; try again in 2 seconds (reference {reference})"),
            ),
            Broken::Defect(_) => Self::new(
                Code::ServerError,
                format!("the server failed; its log has the cause under reference {reference}"),
            ),
        }
    }
}

impl From<Broken> for PageError {
    fn from(broken: Broken) -> Self {
        let reference = reference();
        tracing::error!(%reference, cause = %broken, "cannot answer");
        let (what, status) = match broken {
            Broken::Busy | Broken::Unavailable(_) => (
                "The server is busy. Wait a moment, then try again.",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Broken::Defect(_) => (
                "Something went wrong on our side.",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
        };
        Self {
            what: what.to_owned(),
            details: None,
            status,
            reference,
            cause: None,
            sign_out: false,
            onward: None,
        }
    }
}
