//! Request parameters: `application/x-www-form-urlencoded`, UTF-8, each at most once (RFC 6749 §3.1, §3.2).

use std::collections::HashSet;
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::error::{Code, OAuthError};
use crate::model::scope::ScopeSet;

/// The largest body that is read, in bytes.
pub const LARGEST_BODY: usize = 32 * 1024;
/// How many parameters are read.
const MOST_PARAMETERS: usize = 200;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest value of a parameter, in bytes; assertions and tokens have their own limits below it.
const LONGEST_VALUE: usize = 16 * 1024;

/// The parameters of one request, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses a query or a form.
    ///
    /// # Errors
    /// When it is not UTF-8 or a value is too long.
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        Self::parse_up_to(encoded, LONGEST_VALUE)
    }

    fn parse_up_to(encoded: &[u8], longest: usize) -> Result<Self, OAuthError> {
        let mut pairs = Vec::new();
        if encoded.iter().filter(|byte| **byte == b'&').count() >= MOST_PARAMETERS {
            return Err(OAuthError::invalid_request(format!(
                "there are more than {MOST_PARAMETERS} parameters"
            )));
        }
        for (name, value) in form_urlencoded::parse(encoded) {
            // The parser puts U+FFFD for what is not UTF-8; nobody sends that character on purpose.
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                return Err(OAuthError::invalid_request(
                    "the parameters are not UTF-8 (RFC 6749 appendix B)",
                ));
            }
            if value.contains('\0') {
                return Err(OAuthError::invalid_request(format!(
                    "parameter {} holds a NUL character",
                    shown(&name)
                )));
            }
            if value.len() > longest {
                return Err(OAuthError::invalid_request(format!(
                    "parameter {} is longer than {longest} bytes",
                    shown(&name)
                )));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// Reads the form of a POST.
    ///
    /// # Errors
    /// When the content type is another one, or the body too large.
    pub async fn from_body(request: &HttpRequest, body: web::Payload) -> Result<Self, OAuthError> {
        Self::from_body_of(request, body, LARGEST_BODY).await
    }

    /// The same for a body of at most so many bytes.
    ///
    /// # Errors
    /// When the content type is another one, or the body too large.
    pub async fn from_body_of(
        request: &HttpRequest,
        body: web::Payload,
        largest: usize,
    ) -> Result<Self, OAuthError> {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request(format!(
                "Content-Type must be application/x-www-form-urlencoded; found '{}'",
                shown(media_type)
            )));
        }
        let Ok(read) = tokio::time::timeout(PATIENCE, body.to_bytes_limited(largest)).await else {
            return Err(OAuthError::invalid_request(format!(
                "the body took longer than {} s",
                PATIENCE.as_secs()
            )));
        };
        match read {
            // A form of ours that may be larger has larger fields.
            Ok(Ok(bytes)) if largest > LARGEST_BODY => Self::parse_up_to(&bytes, largest),
            Ok(Ok(bytes)) => Self::parse(&bytes),
            Ok(Err(_)) => Err(OAuthError::invalid_request("the body could not be read")),
            Err(_) => Err(OAuthError::invalid_request(format!(
                "the body is larger than {largest} bytes"
            ))),
        }
    }

    /// All of them, shortened to so many characters.
    pub fn in_short(&self, longest: usize) -> String {
        let pairs = self.0.iter().filter(|(_, value)| !value.is_empty());
        let words: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        words.join(" ").chars().take(longest).collect()
    }

    /// The parameters but for some.
    pub fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Self(kept.cloned().collect())
    }

    /// The one value of a parameter. An empty value counts as none (RFC 6749 §3.1).
    ///
    /// # Errors
    /// When it stands there twice.
    pub fn one(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(OAuthError::invalid_request(format!(
                "parameter {name} must not be repeated"
            )));
        }
        Ok(first
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty()))
    }

    /// The one value of a parameter that must be there.
    ///
    /// # Errors
    /// When it is missing or stands there twice.
    pub fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.one(name)?
            .ok_or_else(|| OAuthError::invalid_request(format!("parameter {name} is missing")))
    }

    /// All values of a parameter that may be repeated (`resource`, RFC 8707 §2).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The first parameter that stands there twice, apart from those that may.
    pub fn repeated(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        let names = self
            .0
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| *name != "resource");
        names.into_iter().find(|name| !seen.insert(*name))
    }

    /// The values of `resource` (RFC 8707), `aud` (SMART App Launch) and `audience`: what the token is for.
    ///
    /// # Errors
    /// When `aud` or `audience` stands there twice.
    pub fn targets(&self) -> Result<Vec<String>, OAuthError> {
        let mut named: Vec<String> = self.all("resource").map(str::to_owned).collect();
        for name in ["aud", "audience"] {
            named.extend(self.one(name)?.map(str::to_owned));
        }
        Ok(named)
    }

    /// `scope` (RFC 6749 §3.3); blank is none.
    ///
    /// # Errors
    /// `invalid_scope`, with the scope that does not parse.
    pub fn scope(&self) -> Result<Option<ScopeSet>, OAuthError> {
        self.one("scope")?
            .filter(|text| !text.trim().is_empty())
            .map(|text| {
                text.parse::<ScopeSet>()
                    .map_err(|cause| OAuthError::new(Code::InvalidScope, cause.to_string()))
            })
            .transpose()
    }

    /// How many bytes names and values have together.
    pub fn size(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum()
    }

    /// The codes of `purpose_of_use`, separated by spaces.
    ///
    /// # Errors
    /// When it stands there twice.
    pub fn purposes(&self) -> Result<Vec<String>, OAuthError> {
        Ok(self
            .one("purpose_of_use")?
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect())
    }
}

/// A name or value as a message may show it: short, printable.
pub fn shown(text: &str) -> String {
    let mut short: String = text
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(80)
        .collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
