//! The second factor: a one-time code (RFC 6238). A code works once, tries are limited, and the session gets a new id.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::lockout;
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::browser::{self, CookieKind, Notice, Pending, PostedForm};
use crate::error::{Broken, PageError};
use crate::guard;
use crate::master_key::Purpose;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::pages::{self, FormError, SecondFactorPage};
use crate::peer;
use crate::return_to::{self, ReturnTo};
use crate::session::{self, Authentication, Loaded, Origin};
use crate::store::{logins, people, sessions};

/// A code is good for its own 30 seconds and the step before and after.
pub(crate) fn totp(secret: Vec<u8>) -> Result<totp_rs::Totp, Broken> {
    totp_rs::Builder::new()
        .with_secret(secret)
        .build()
        .map_err(|cause| Broken::defect(format!("stored TOTP secret: {cause}")))
}

/// The session whose second factor is awaited.
async fn awaited(app: &App, request: &HttpRequest) -> Result<Option<Loaded>, PageError> {
    let loaded = guard::session_of(app, request).await?;
    Ok(loaded.filter(|loaded| loaded.has_second_factor() && !loaded.session.has_second_factor()))
}

/// `GET /login/second-factor`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request).await.unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    let Some(Loaded { person, .. }) = awaited(app, request).await? else {
        // The password is too old, or the code was already shown: where it goes on they know what comes next.
        return Ok(browser::see_other(&pending.onward(app, &browser_cookie), &[]));
    };
    let return_to = return_to::of(app, &pending)?;
    let errors: &[FormError] = match pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::CODE_MISSING],
        Some(_) => &[FormError::CODE_NOT_ACCEPTED],
    };
    let sealed = pending.seal(app, Some(&browser_cookie));
    let page = SecondFactorPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &browser_cookie),
        pending: &sealed,
        username: &person.username,
        start_again: &browser::page_url("/login", &sealed),
        errors,
    };
    Ok(pages::respond(&page, StatusCode::OK, ReturnTo::form_action(return_to.as_ref())))
}

/// `POST /login/second-factor`
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    let outcome = match PostedForm::read(&app, &request, body).await {
        Ok(form) => verify(&app, &request, form).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| browser::error_page(&app, &error))
}

/// How a code was met.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Met {
    Accepted,
    Refused,
    /// Too many wrong codes: the sign-in starts over.
    Locked,
}

async fn verify(app: &Arc<App>, request: &HttpRequest, form: PostedForm) -> Result<HttpResponse, PageError> {
    let mut pending = form.pending(app)?;
    let on = |path: &str, pending: &Pending| browser::page_url(path, &pending.seal(app, Some(&form.browser)));
    let Some(Loaded { session, person, .. }) = awaited(app, request).await? else {
        return Ok(browser::see_other(&pending.onward(app, &form.browser), &[]));
    };
    let typed: String = form.field("totp")?.chars().filter(|c| !c.is_whitespace()).collect();
    if typed.is_empty() {
        return Ok(browser::see_other(&on("/login/second-factor", &pending.saying(Notice::CodeMissing)), &[]));
    }
    let address = peer::address(app, request);
    let step = matching_step(app, &person, &typed)?;
    let how = after(&session, "otp");
    let (next, cookie) = session::begin(app, &person, &Origin::of(app, request), how);
    let next = Session { created_at: session.created_at, ..next };
    let hash = next.hash.clone();
    match record(app, &session, &person, next, step, address).await? {
        Met::Accepted => {
            pending.authenticated = Some(hash);
            pending.notice = None;
            let cookie = browser::set_cookie(app, CookieKind::Session, &cookie);
            Ok(browser::see_other(&pending.onward(app, &form.browser), &[cookie]))
        }
        Met::Refused => {
            Ok(browser::see_other(&on("/login/second-factor", &pending.saying(Notice::CodeNotAccepted)), &[]))
        }
        Met::Locked => Ok(browser::see_other(&on("/login", &pending.saying(Notice::CodesExhausted)), &[])),
    }
}

/// What the session stands for after a second factor on top of what it had.
fn after(session: &Session, method: &str) -> Authentication {
    let methods: Vec<&str> = session.amr.iter().map(String::as_str).chain([method]).collect();
    Authentication { identity_provider: session.identity_provider.clone(), ..Authentication::by(&methods, true) }
}

/// The time step that a code belongs to, if it is one of now.
fn matching_step(app: &App, person: &Person, typed: &str) -> Result<Option<i64>, Broken> {
    let Some(wrapped) = &person.totp_secret else {
        return Ok(None);
    };
    let secret = app.master.open(Purpose::TotpSecret, &person.id, wrapped).map_err(Broken::defect)?;
    let now = u64::try_from(app.now()).unwrap_or_default();
    Ok(totp(secret.to_vec())?.check(typed, now).and_then(|step| i64::try_from(step).ok()))
}

/// One write decides: whether tries are left, whether the step is fresh, and the session's new id.
async fn record(
    app: &Arc<App>,
    session: &Session,
    person: &Person,
    next: Session,
    step: Option<i64>,
    address: IpAddr,
) -> Result<Met, Broken> {
    let subject = lockout::totp_subject(app, &person.id);
    let event = |kind| app.event(kind, Actor::Person(person.id.clone())).from(address.to_string());
    let accepted = event(Kind::LoginSucceeded).with("amr", next.amr.join(" "));
    let failed = event(Kind::LoginFailed).outcome(Outcome::MinorFailure);
    let locked =
        event(Kind::LoginLocked).outcome(Outcome::SeriousFailure).with("reason", "too many wrong one-time codes");
    let (job_app, old, id) = (Arc::clone(app), session.clone(), person.id.clone());
    app.store
        .write(move |tx| {
            let now = job_app.now();
            if lockout::is_locked(tx.conn(), &subject, now)? {
                sessions::end(tx.conn(), &old.id, now)?;
                tx.audit(failed.clone().with("reason", "locked after too many wrong one-time codes"));
                return Ok(Met::Locked);
            }
            let fresh = match step {
                Some(step) => people::use_totp_step(tx.conn(), &id, step)?,
                None => false,
            };
            // Another request may have used the session up: its id is good for one second factor.
            if fresh && session::record(&job_app, tx, &next, Some(&old))? {
                logins::forget(tx.conn(), &subject)?;
                tx.audit(accepted.clone());
                return Ok(Met::Accepted);
            }
            let reason = if step.is_some() { "one-time code was used before" } else { "wrong one-time code" };
            tx.audit(failed.clone().with("reason", reason));
            let limit = lockout::Limit { threshold: job_app.config.login.totp_attempts, known: true };
            if lockout::fail(&job_app, tx, &subject, limit, now)? {
                sessions::end(tx.conn(), &old.id, now)?;
                tx.audit(locked.clone());
                return Ok(Met::Locked);
            }
            Ok(Met::Refused)
        })
        .await
}
