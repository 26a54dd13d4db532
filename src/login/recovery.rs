//! Signing in with a recovery code, and the page that says so and how many are left.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::proof::{self, Met, Step};
use super::recovery_codes::{METHOD, hash};
use super::set_up;
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::audit::reason::Reason;
use crate::error::PageError;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Loaded, Origin};
use crate::store::recovery_codes;
use crate::web::browser::{self, Notice, Pending, PostedForm};
use crate::web::guard;
use crate::web::pages::set_up::{RecoveredPage, RecoveryPage};
use crate::web::pages::{self, FormAction, FormError};
use crate::web::redirect_target::{self, RedirectTarget};

/// Where somebody signs in with a recovery code.
pub const PATH: &str = "/login/recovery";
/// Where somebody learns how many codes are left.
pub const RECOVERED_PATH: &str = "/login/recovered";
/// `GET /login/recovery`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request)
        .await
        .unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    if proof::awaited(app, request, &pending).await?.is_none() {
        return proof::not_awaited(app, request, &pending, &browser_cookie).await;
    }
    let redirect_target = redirect_target::of(app, &pending)?;
    let errors: &[FormError] = match pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::RECOVERY_CODE_MISSING],
        Some(_) => &[FormError::RECOVERY_CODE_NOT_ACCEPTED],
    };
    let sealed = pending.seal(app, Some(&browser_cookie));
    let page = RecoveryPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &browser_cookie),
        pending: &sealed,
        back: &browser::page_url("/login/second-factor", &sealed),
        errors,
    };
    Ok(pages::respond(
        &page,
        StatusCode::OK,
        RedirectTarget::form_action(redirect_target.as_ref()),
    ))
}

/// `POST /login/recovery`
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    let outcome = match PostedForm::read(&app, &request, body).await {
        Ok(form) => verify(&app, &request, form).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn verify(app: &Arc<App>, request: &HttpRequest, form: PostedForm) -> Result<HttpResponse, PageError> {
    let mut pending = form.pending(app)?;
    let Some(loaded) = proof::awaited(app, request, &pending).await? else {
        return proof::not_awaited(app, request, &pending, &form.browser).await;
    };
    let typed = form.field("recovery_code")?.trim();
    let on = |path: &str, pending: &Pending| browser::page_url(path, &pending.seal(app, Some(&form.browser)));
    if typed.is_empty() {
        return Ok(browser::see_other(
            &on(PATH, &pending.saying(Notice::CodeMissing)),
            &[],
        ));
    }
    let (id, hash, job_app) = (
        loaded.person.id.clone(),
        hash(app, &loaded.person.id, typed),
        Arc::clone(app),
    );
    let origin = Origin::of(app, request);
    let met = proof::complete(app, &loaded, &origin, (Step::Code, &[METHOD]), move |tx| {
        if !recovery_codes::use_up(tx.conn(), &id, &hash, job_app.now())? {
            return Ok(Some((
                Reason::RecoveryCode,
                "wrong recovery code, or one that was used before",
            )));
        }
        let event = job_app.event(Kind::SecondFactorChanged, Actor::Person(id.clone()));
        tx.audit(event.with("action", "recovery_code_used"));
        Ok(None)
    });
    match met.await? {
        Met::Accepted { cookie, hash } => {
            notices::second_factor_changed(app, &loaded.person, SecondFactor::RecoveryCodeUsed);
            pending.authenticated = Some(hash);
            pending.notice = None;
            let cookie = browser::set_cookie(app, browser::CookieKind::Session, &cookie);
            Ok(browser::see_other(&on(RECOVERED_PATH, &pending), &[cookie]))
        }
        Met::Refused => Ok(browser::see_other(
            &on(PATH, &pending.saying(Notice::CodeNotAccepted)),
            &[],
        )),
        Met::Locked => Ok(proof::go_on(app, pending, &form.browser, Met::Locked)),
    }
}

/// `GET /login/recovered`: how many codes are left, and the way to a new second factor.
pub async fn recovered(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let shown = async {
        let (pending, browser_cookie) = browser::carried(&app, &request)?;
        let onward = pending.onward(&app, &browser_cookie);
        let loaded = guard::session_of(&app, &request).await?;
        let recovered = |loaded: &Loaded| loaded.session.has_second_factor() && loaded.session.used(METHOD);
        let Some(loaded) = loaded.filter(recovered) else {
            return Ok(browser::see_other(&onward, &[]));
        };
        let id = loaded.person.id;
        let (left, _) = app
            .store
            .read(move |conn| recovery_codes::left(conn, &id))
            .await?;
        let sealed = pending.seal(&app, Some(&browser_cookie));
        let page = RecoveredPage {
            shell: browser::shell(&app),
            left,
            set_up: &browser::page_url(set_up::PATH, &sealed),
            onward: &onward,
        };
        Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| browser::error_page(&app, &error))
}
