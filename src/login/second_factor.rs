//! The second factor at sign-in: a one-time code of an app (RFC 6238), or a recovery code. Each works once, tries are
//! limited, and the session gets a new cookie. [`complete`] is the one write that decides, for passkeys as well.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{lockout, passkey, recovery, totp};
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::browser::{self, CookieKind, Notice, Pending, PostedForm};
use crate::error::{Broken, PageError};
use crate::guard;
use crate::model::session::Session;
use crate::pages::passkeys::PasskeyForm;
use crate::pages::{self, FormError, SecondFactorPage};
use crate::return_to::{self, ReturnTo};
use crate::session::{self, Authentication, Loaded, Origin};
use crate::store::{Stored, Tx, logins, people};

/// The session whose second factor is awaited.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn awaited(app: &App, request: &HttpRequest) -> Result<Option<Loaded>, PageError> {
    let loaded = guard::session_of(app, request).await?;
    Ok(loaded.filter(|loaded| loaded.has_second_factor() && !loaded.session.has_second_factor()))
}

/// `GET /login/second-factor`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request).await.unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    let Some(loaded) = awaited(app, request).await? else {
        // The password is too old, or the code was already shown: where it goes on they know what comes next.
        return Ok(browser::see_other(&pending.onward(app, &browser_cookie), &[]));
    };
    let return_to = return_to::of(app, &pending)?;
    let errors: &[FormError] = match pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::CODE_MISSING],
        Some(Notice::PasskeyStale) => &[FormError::PASSKEY_STALE],
        Some(Notice::PasskeyNotAccepted) => &[FormError::PASSKEY_NOT_ACCEPTED],
        Some(_) => &[FormError::CODE_NOT_ACCEPTED],
    };
    let sealed = pending.seal(app, Some(&browser_cookie));
    let passkey = passkey::begin_second_factor(app, &loaded.person, &browser_cookie).await?;
    let page = SecondFactorPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &browser_cookie),
        pending: &sealed,
        username: &loaded.person.username,
        passkey: passkey.as_ref().map(|begun| PasskeyForm { options: &begun.options, state: &begun.state }),
        has_app: loaded.person.totp_secret.is_some(),
        start_again: &browser::page_url("/login", &sealed),
        recover: &browser::page_url(recovery::PATH, &sealed),
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

async fn verify(app: &Arc<App>, request: &HttpRequest, form: PostedForm) -> Result<HttpResponse, PageError> {
    let pending = form.pending(app)?;
    let Some(loaded) = awaited(app, request).await? else {
        return Ok(browser::see_other(&pending.onward(app, &form.browser), &[]));
    };
    let typed = totp::typed(form.field("totp")?);
    let back = |pending: Pending, notice| {
        let sealed = pending.saying(notice).seal(app, Some(&form.browser));
        Ok(browser::see_other(&browser::page_url("/login/second-factor", &sealed), &[]))
    };
    if typed.is_empty() {
        return back(pending, Notice::CodeMissing);
    }
    let step = totp::step_of_person(app, &loaded.person, &typed)?;
    let id = loaded.person.id.clone();
    let origin = Origin::of(app, request);
    let met = complete(app, &loaded, &origin, &["otp"], move |tx| {
        Ok(match step {
            None => Some("wrong one-time code"),
            Some(step) if people::use_totp_step(tx.conn(), &id, step)? => None,
            Some(_) => Some("one-time code was used before"),
        })
    });
    match met.await? {
        Met::Refused => back(pending, Notice::CodeNotAccepted),
        met => Ok(go_on(app, pending, &form.browser, met)),
    }
}

/// How a second factor was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// With the session's new cookie and its hash.
    Accepted {
        /// The value of the cookie.
        cookie: String,
        /// The session's new hash.
        hash: String,
    },
    /// Refused: tries are left.
    Refused,
    /// Too many wrong ones: the sign-in starts over.
    Locked,
}

/// Where it goes on after a second factor that was accepted, or was wrong too often.
#[must_use]
pub fn go_on(app: &App, mut pending: Pending, browser_cookie: &str, met: Met) -> HttpResponse {
    match met {
        Met::Accepted { cookie, hash } => {
            pending.authenticated = Some(hash);
            pending.notice = None;
            let cookie = browser::set_cookie(app, CookieKind::Session, &cookie);
            browser::see_other(&pending.onward(app, browser_cookie), &[cookie])
        }
        _ => {
            let sealed = pending.saying(Notice::CodesExhausted).seal(app, Some(browser_cookie));
            browser::see_other(&browser::page_url("/login", &sealed), &[])
        }
    }
}

/// What a session stands for after another method on top of what it had.
#[must_use]
pub fn on_top(app: &App, loaded: &Loaded, origin: &Origin, methods: &[&str]) -> (Session, String) {
    let before = loaded.session.amr.iter().map(String::as_str);
    let new = methods.iter().copied().filter(|method| !loaded.session.used(method));
    let amr: Vec<&str> = before.chain(new).collect();
    let how = Authentication {
        identity_provider: loaded.session.identity_provider.clone(),
        ..Authentication::by(&amr, true)
    };
    let (next, cookie) = session::begin(app, &loaded.person, origin, how);
    (Session { created_at: loaded.session.created_at, ..next }, cookie)
}

/// One write decides: whether tries are left, whether what was shown still counts, and the session's new cookie.
/// `use_up` uses it up, or says why it does not count.
///
/// # Errors
/// What the database says.
pub async fn complete(
    app: &Arc<App>,
    loaded: &Loaded,
    origin: &Origin,
    methods: &[&str],
    mut use_up: impl FnMut(&mut Tx<'_>) -> Stored<Option<&'static str>> + Send + 'static,
) -> Result<Met, Broken> {
    let (person, old) = (&loaded.person, loaded.session.clone());
    let (next, cookie) = on_top(app, loaded, origin, methods);
    let subject = lockout::totp_subject(app, &person.id);
    let event = |kind| app.event(kind, Actor::Person(person.id.clone())).from(origin.address.clone());
    let accepted = event(Kind::LoginSucceeded).with("amr", next.amr.join(" "));
    let failed = event(Kind::LoginFailed).outcome(Outcome::MinorFailure);
    let locked = event(Kind::LoginLocked).outcome(Outcome::SeriousFailure).with("reason", "too many wrong codes");
    let job_app = Arc::clone(app);
    let written = app.store.write(move |tx| {
        let now = job_app.now();
        if lockout::is_locked(tx.conn(), &subject, now)? {
            session::end(&job_app, tx, &old)?;
            tx.audit(failed.clone().with("reason", "locked after too many wrong codes"));
            return Ok(Met::Locked);
        }
        let refused = match use_up(tx)? {
            // Another request may have used the session up: its cookie is good for one second factor.
            None if session::record(&job_app, tx, &next, Some(&old))? => {
                logins::forget(tx.conn(), &subject)?;
                tx.audit(accepted.clone());
                return Ok(Met::Accepted { cookie: cookie.clone(), hash: next.hash.clone() });
            }
            None => "the sign-in was completed by another request",
            Some(reason) => reason,
        };
        tx.audit(failed.clone().with("reason", refused));
        let limit = lockout::Limit { threshold: job_app.config.login.totp_attempts, known: true };
        if lockout::fail(&job_app, tx, &subject, limit, now)? {
            session::end(&job_app, tx, &old)?;
            tx.audit(locked.clone());
            return Ok(Met::Locked);
        }
        Ok(Met::Refused)
    });
    written.await
}
