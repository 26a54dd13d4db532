//! Forms with a file or a long text (`multipart/form-data`, RFC 7578).

use std::collections::BTreeMap;
use std::time::Duration;

use actix_multipart::{Field, Multipart};
use actix_web::web;
use futures_util::StreamExt;
use url::form_urlencoded;

use super::access::{AdminRequest, Requires};
use crate::error::{OAuthError, PageError};
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::parameters::Parameters;

/// How long a form may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much more than the limit is taken in, so that a browser that sends too much gets an answer to read.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
/// How many parts are read.
const MOST_PARTS: usize = 20;
/// The longest part that is not expected to be long, in bytes.
const SHORT: usize = 4096;

/// A form that was posted to a page, with its long parts apart.
#[derive(Debug)]
pub struct Uploaded {
    /// The other fields, which have been checked as those of any form.
    pub form: PostedForm,
    long: BTreeMap<String, Vec<u8>>,
    /// Whether a long part was longer than allowed; it counts as empty.
    pub too_long: bool,
}

impl Uploaded {
    /// A long part; empty when there was none.
    pub fn long(&self, name: &str) -> &[u8] {
        self.long.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads such a form of a page that takes `requires`. `long` names the parts that may have up to `limit` bytes.
///
/// # Errors
/// A page, when it came from elsewhere or cannot be read; back to the form, when the sign-in is too old for it.
pub async fn read(
    admin: &AdminRequest,
    requires: Requires,
    body: web::Payload,
    long: &[&str],
    limit: usize,
) -> Result<Uploaded, PageRefused> {
    let parts = Multipart::new(admin.request.headers(), body.into_inner());
    let read = tokio::time::timeout(PATIENCE, parts_of(parts, long, limit)).await;
    let mut parts = read.map_err(|_| {
        PageError::malformed(format!("The form took longer than {} s.", PATIENCE.as_secs()))
    })??;
    let malformed = |error: OAuthError| PageError::malformed(error.description);
    let fields = Parameters::parse(parts.short.finish().as_bytes()).map_err(malformed)?;
    let form = PostedForm::accept(&admin.app, &admin.request, fields)?;
    if !admin.is_in_time(requires, &form) {
        return Err(admin.begin_again(requires));
    }
    Ok(Uploaded {
        form,
        long: parts.long,
        too_long: parts.too_long,
    })
}

fn unreadable(cause: actix_multipart::MultipartError) -> PageError {
    PageError::malformed("The form cannot be read as multipart/form-data.").because(cause)
}

/// The bytes of a part; none, when there are more than `limit`.
async fn bytes_of(part: &mut Field, limit: usize) -> Result<Option<Vec<u8>>, PageError> {
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    while let Some(chunk) = part.next().await {
        let chunk = chunk.map_err(unreadable)?;
        size += chunk.len();
        if size > limit + THROWN_AWAY {
            return Err(PageError::malformed(format!(
                "The form has more than {} bytes.",
                limit + THROWN_AWAY
            )));
        }
        if size <= limit {
            kept.extend_from_slice(&chunk);
        }
    }
    Ok((size <= limit).then_some(kept))
}

struct Parts {
    short: form_urlencoded::Serializer<'static, String>,
    long: BTreeMap<String, Vec<u8>>,
    too_long: bool,
}

async fn parts_of(mut parts: Multipart, long: &[&str], limit: usize) -> Result<Parts, PageError> {
    let short = form_urlencoded::Serializer::new(String::new());
    let mut read = Parts {
        short,
        long: BTreeMap::new(),
        too_long: false,
    };
    let mut count = 0;
    while let Some(part) = parts.next().await {
        let mut part = part.map_err(unreadable)?;
        count += 1;
        let name = part.name().unwrap_or_default().to_owned();
        let is_long = long.contains(&name.as_str());
        let Some(bytes) = bytes_of(&mut part, if is_long { limit } else { SHORT }).await? else {
            if is_long {
                read.too_long = true;
                continue;
            }
            return Err(PageError::malformed("A field of the form is too long."));
        };
        if count > MOST_PARTS {
            return Err(PageError::malformed(format!(
                "The form has more than {MOST_PARTS} parts."
            )));
        }
        if is_long {
            read.long.insert(name, bytes);
        } else {
            read.short.append_pair(&name, &String::from_utf8_lossy(&bytes));
        }
    }
    Ok(read)
}
