//! How easy a password is to guess, while somebody chooses one. Nothing is stored or logged.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use serde_json::json;

use super::form::Carried;
use crate::error::PageError;
use crate::model::network;
use crate::model::secret::Secret;
use crate::secrets::password_rules::strength;
use crate::session::client_address;
use crate::web::browser::PostedForm;
use crate::web::page::{Answered, Visit};

/// How often an address may ask within a minute.
const PER_MINUTE: u32 = 120;
/// Under which name the questions are counted.
const SUBJECT: &str = "password strength";
/// How much of what the page knows about the person is looked at, in characters.
const LONGEST_WORDS: usize = 300;

/// `POST /password-strength` with `csrf`, the `state` of a page that asks for a password, `password` and, if the page
/// knows some, `words`. Answers JSON: `score` 0 to 4, `word`, `advice`.
pub async fn post(visit: Visit, form: PostedForm) -> Answered {
    let app = &visit.app;
    let address = client_address::of(app, &visit.request);
    if app.failure_counts.attempts(address, SUBJECT, app.now()) >= PER_MINUTE {
        let mut answer = refusal(
            StatusCode::TOO_MANY_REQUESTS,
            "too many questions from this address",
        );
        answer.headers_mut().insert(
            RETRY_AFTER,
            actix_web::http::header::HeaderValue::from_static("60"),
        );
        return Ok(answer);
    }
    let asked = || {
        let page = Carried::open(app, form.field("state")?, &form.browser)?;
        if !page.asks {
            return Err(PageError::malformed(
                "Parameter state is of no page that asks for a password.",
            ));
        }
        let words: String = form.field("words")?.chars().take(LONGEST_WORDS).collect();
        Ok::<_, PageError>((Secret::new(form.field("password")?), words))
    };
    let (password, words) = match asked() {
        Ok(asked) => asked,
        Err(error) => return Ok(refusal(StatusCode::BAD_REQUEST, &error.what)),
    };
    // Only what comes from our own pages: others behind the address must not use its questions up.
    app.failure_counts.attempt(address, SUBJECT, app.now());
    let known: Vec<String> = app
        .password_rules
        .words()
        .map(str::to_owned)
        .chain([words])
        .collect();
    let judged = app
        .hasher
        .judge(network::of(address), &form.browser, password, move |password| {
            strength(
                password.reveal(),
                &known.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        });
    Ok(match judged.await {
        Ok(strength) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(strength),
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "try again"),
    })
}

fn refusal(status: StatusCode, why: &str) -> HttpResponse {
    let body = json!({ "error": "invalid_request", "error_description": why });
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}
