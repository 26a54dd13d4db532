//! The body of a request: its media type, its size, and what it says, member by member.

use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{MemberMistake, Problem, Type};
use crate::registry::import;

/// The largest JSON body, in bytes.
pub const LARGEST_JSON: usize = 256 * 1024;
/// The largest apply file, in bytes.
pub const LARGEST_FILE: usize = 1024 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Members whose values no message repeats.
const SECRET: [&str; 3] = ["secret", "password", "totp_secret"];

/// What an operation reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Nothing.
    Nothing,
    /// A JSON object.
    Json,
    /// A JSON object, or nothing at all, which is an empty one.
    MaybeJson,
    /// Part of a JSON object (RFC 7396).
    Patch,
    /// An apply file.
    File,
    /// Comma-separated values.
    Spreadsheet,
}

impl Reads {
    /// The media types that it takes.
    pub fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Json | Self::MaybeJson => &["application/json"],
            Self::Patch => &["application/merge-patch+json", "application/json"],
            Self::File => &["application/toml"],
            Self::Spreadsheet => &["text/csv"],
        }
    }
}

/// The bytes of a body.
///
/// # Errors
/// 415, 413, or a body that does not arrive.
pub async fn bytes(request: &HttpRequest, body: web::Payload, reads: Reads) -> Result<web::Bytes, Problem> {
    if reads == Reads::Nothing {
        return Ok(web::Bytes::new());
    }
    let header = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let named = header.map(|header| {
        header
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    });
    let fits = match named.as_deref() {
        Some(named) => reads.media_types().contains(&named),
        None => reads == Reads::MaybeJson,
    };
    if !fits {
        let wanted = reads.media_types().join(" or ");
        return Err(Problem::new(
            Type::MediaType,
            format!("Content-Type must be {wanted}"),
        ));
    }
    let limit = match reads {
        Reads::File => LARGEST_FILE,
        Reads::Spreadsheet => import::LARGEST,
        Reads::Nothing | Reads::Json | Reads::MaybeJson | Reads::Patch => LARGEST_JSON,
    };
    let Ok(read) = tokio::time::timeout(PATIENCE, body.to_bytes_limited(limit)).await else {
        return Err(Problem::new(
            Type::Malformed,
            format!("the body took longer than {} s", PATIENCE.as_secs()),
        ));
    };
    match read {
        Ok(Ok(bytes)) if named.is_none() && !bytes.is_empty() => Err(Problem::new(
            Type::MediaType,
            "Content-Type is missing; it must be application/json",
        )),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(Type::Malformed, "the body could not be read")),
        Err(_) => Err(Problem::new(
            Type::TooLarge,
            format!("the body is larger than {limit} bytes"),
        )),
    }
}

/// The members of a JSON object, but for those of `read_only`, which answers have.
///
/// # Errors
/// What is not a JSON object.
pub fn members(bytes: &[u8], read_only: &[&str]) -> Result<Map<String, Value>, Problem> {
    let mut members = object(bytes)?;
    members.retain(|name, _| !read_only.contains(&name.as_str()));
    Ok(members)
}

/// Reads a form out of a JSON object; members of `read_only`, which answers have, are passed over.
///
/// # Errors
/// What is not JSON; every member that is unknown or of the wrong type.
pub fn form<F: DeserializeOwned>(bytes: &[u8], read_only: &[&str]) -> Result<F, Problem> {
    let members = members(bytes, read_only)?;
    let mut errors = Vec::new();
    for (name, value) in &members {
        if let Some(wrong) = wrong::<F>(name, value) {
            errors.push(MemberMistake::member(name, wrong));
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    F::deserialize(Value::Object(members)).map_err(|cause| {
        Problem::invalid(vec![MemberMistake {
            pointer: Some("#".to_owned()),
            parameter: None,
            detail: cause.to_string(),
        }])
    })
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => {
            let wanted = "the body must be a JSON object".to_owned();
            Err(Problem::invalid(vec![MemberMistake {
                pointer: Some("#".to_owned()),
                parameter: None,
                detail: wanted,
            }]))
        }
        // Only the place: what stands there may be a secret.
        Err(cause) => Err(Problem::new(
            Type::Malformed,
            format!(
                "the body is not JSON: reading stopped at line {}, column {}",
                cause.line(),
                cause.column()
            ),
        )),
    }
}

/// What is wrong with a member by itself.
fn wrong<F: DeserializeOwned>(name: &str, value: &Value) -> Option<String> {
    if value.is_null() {
        return Some(
            "null is no value here; leave it out, or send the whole object with PUT without it".to_owned(),
        );
    }
    if has_nul(value) || name.contains('\0') {
        return Some("it holds the character U+0000, which no text here may have".to_owned());
    }
    let single = Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
    let cause = F::deserialize(single).err()?.to_string();
    // What serde says of a wrong type may quote the value.
    Some(if SECRET.contains(&name) {
        "it must be a text".to_owned()
    } else {
        cause
    })
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// The text of an apply file.
///
/// # Errors
/// What is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.map(str::to_owned)
        .ok_or_else(|| Problem::new(Type::Malformed, "the file is not UTF-8, or holds U+0000"))
}
