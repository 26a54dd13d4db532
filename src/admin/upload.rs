//! A form with a file (`multipart/form-data`, RFC 7578): the other fields come first, the CSRF token among them.

use std::time::Duration;

use actix_multipart::{Field, Multipart};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use url::form_urlencoded;

use crate::app::App;
use crate::browser::PostedForm;
use crate::error::PageError;
use crate::parameters::Parameters;

/// The longest value of a field that is not the file, in bytes.
const LONGEST_VALUE: usize = 4096;
/// How many fields are read.
const MOST_FIELDS: usize = 20;
/// How much more than the limit is taken in, so that a browser that sends too much gets an answer to read.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
/// How long a file may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came with the form.
pub struct Upload {
    /// The fields that are no files.
    pub form: PostedForm,
    /// The file; none: it is larger than the limit.
    pub file: Option<Vec<u8>>,
}

/// Reads a form whose file, the field `file`, has at most `limit` bytes, and checks where it came from.
///
/// # Errors
/// A page for the person.
pub async fn read(app: &App, request: &HttpRequest, body: web::Payload, limit: usize) -> Result<Upload, PageError> {
    let broken = |what: &str| PageError::malformed(format!("The form could not be read: {what}."));
    let parts = tokio::time::timeout(PATIENCE, parts(request, body, limit));
    let (fields, file) = match parts.await {
        Ok(Ok(parts)) => parts,
        Ok(Err(cause)) => return Err(broken(&cause)),
        Err(_) => return Err(broken("it took too long to arrive")),
    };
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let fields = Parameters::parse(encoded.as_bytes()).map_err(|error| PageError::malformed(error.description))?;
    Ok(Upload { form: PostedForm::accept(app, request, fields)?, file })
}

type Parts = (Vec<(String, String)>, Option<Vec<u8>>);

async fn parts(request: &HttpRequest, body: web::Payload, limit: usize) -> Result<Parts, String> {
    let mut multipart = Multipart::new(request.headers(), body.into_inner());
    let (mut fields, mut file) = (Vec::new(), Some(Vec::new()));
    while let Some(field) = multipart.next().await {
        let mut field = field.map_err(|cause| cause.to_string())?;
        let name = field.name().unwrap_or_default().to_owned();
        if fields.len() >= MOST_FIELDS {
            return Err(format!("there are more than {MOST_FIELDS} fields"));
        }
        if name == "file" {
            file = bytes(&mut field, limit).await?;
        } else {
            let value = bytes(&mut field, LONGEST_VALUE).await?.ok_or(format!("the field {name:?} is too long"))?;
            fields.push((name, String::from_utf8(value).map_err(|_| "a field is not UTF-8".to_owned())?));
        }
    }
    Ok((fields, file))
}

/// The bytes of a field; none, when there are more than `limit`.
async fn bytes(field: &mut Field, limit: usize) -> Result<Option<Vec<u8>>, String> {
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    while let Some(chunk) = field.next().await {
        let chunk = chunk.map_err(|cause| cause.to_string())?;
        size += chunk.len();
        if size > limit + THROWN_AWAY {
            return Err(format!("it has more than {} bytes", limit + THROWN_AWAY));
        }
        if size <= limit {
            kept.extend_from_slice(&chunk);
        }
    }
    Ok((size <= limit).then_some(kept))
}
