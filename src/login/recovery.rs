//! Signing in with a recovery code, and the page of one's own codes.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::proof::{self, Met, Step};
use super::recovery_codes::{CODES_PATH, METHOD, codes, hash, make};
use super::set_up::{self, FRESH};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::error::PageError;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Loaded, Origin};
use crate::store::{people, recovery_codes, sessions};
use crate::web::browser::{self, Notice, Pending, PostedForm};
use crate::web::guard::{self, PageRefused, SignedIn};
use crate::web::pages::set_up::{RecoveredPage, RecoveryCodesPage, RecoveryPage};
use crate::web::pages::{self, FormAction, FormError};
use crate::web::redirect_target::{self, RedirectTarget};

/// Where somebody signs in with a recovery code.
pub const PATH: &str = "/login/recovery";
/// Where somebody learns how many codes are left.
pub const RECOVERED_PATH: &str = "/login/recovered";
/// How long codes are shown, in seconds.
const SHOWN_SECONDS: i64 = 900;

/// `GET /login/recovery`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request)
        .await
        .unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    if proof::awaited(app, request).await?.is_none() {
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
    let Some(loaded) = proof::awaited(app, request).await? else {
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
    let met = proof::complete(app, &loaded, &origin, (Step::Shown, &[METHOD]), move |tx| {
        if !recovery_codes::use_up(tx.conn(), &id, &hash, job_app.now())? {
            return Ok(Some("wrong recovery code, or one that was used before"));
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

/// The sign-in that a page of the account carries on with, if it came from one.
fn carried(app: &App, request: &HttpRequest) -> Option<Pending> {
    browser::carried(app, request).ok().map(|(pending, _)| pending)
}

/// `GET /account/recovery-codes`: the codes while they are to be shown, otherwise how many are left.
pub async fn codes_get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    codes_page(&app, &request)
        .await
        .unwrap_or_else(|stop| stop.answer(&app))
}

async fn codes_page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let SignedIn {
        session,
        person,
        browser: browser_cookie,
        ..
    } = guard::signed_in(app, request, CODES_PATH, None).await?;
    let pending = carried(app, request);
    let (session_id, person_id) = (session.id.clone(), person.id.clone());
    let (nonce, (left, made_at)) = app
        .store
        .read(move |conn| {
            Ok((
                sessions::recovery_nonce(conn, &session_id)?,
                recovery_codes::left(conn, &person_id)?,
            ))
        })
        .await?;
    // Who finds the browser open later does not find the codes on it.
    let young = made_at.is_some_and(|made_at| app.now() - made_at <= SHOWN_SECONDS);
    let codes = nonce
        .filter(|_| young)
        .map(|nonce| codes(app, &person.id, &nonce))
        .unwrap_or_default();
    if codes.is_empty()
        && let Some(pending) = &pending
    {
        return Ok(browser::see_other(&pending.onward(app, &browser_cookie), &[]));
    }
    if !session.has_second_factor() {
        return Ok(browser::see_other("/account", &[]));
    }
    let redirect_target = pending
        .as_ref()
        .map(|pending| redirect_target::of(app, pending))
        .transpose()?
        .flatten();
    let sealed = pending.map(|pending| pending.seal(app, Some(&browser_cookie)));
    let csrf = browser::csrf_token(app, &browser_cookie);
    let page = RecoveryCodesPage {
        shell: browser::shell_of(app, &person, &csrf),
        csrf: &csrf,
        pending: sealed.as_deref(),
        codes: &codes,
        left,
    };
    Ok(pages::respond(
        &page,
        StatusCode::OK,
        RedirectTarget::form_action(redirect_target.as_ref()),
    ))
}

/// `POST /account/recovery-codes`: makes new codes, or says that they are kept.
pub async fn codes_post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    codes_form(&app, &request, body)
        .await
        .unwrap_or_else(|stop| stop.answer(&app))
}

async fn codes_form(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let form = PostedForm::read(app, request, body).await?;
    let kept = form.field("do")? == "kept";
    let fresh = (!kept).then_some(FRESH);
    let SignedIn { session, person, .. } = guard::signed_in(app, request, CODES_PATH, fresh).await?;
    if kept {
        let id = session.id.clone();
        app.store
            .write(move |tx| sessions::keep_recovery_nonce(tx.conn(), &id, None))
            .await?;
        let onward = match form.field("pending")? {
            "" => "/account".to_owned(),
            _ => form.pending(app)?.onward(app, &form.browser),
        };
        return Ok(browser::see_other(&onward, &[]));
    }
    if session.has_second_factor() {
        let (job_app, hers) = (Arc::clone(app), person.clone());
        let made = app
            .store
            .write(move |tx| {
                let current = people::lock(tx.conn(), &person.id)?;
                let same =
                    current.is_some_and(|current| current.enabled && current.generation == person.generation);
                let holds = same && sessions::lock(tx.conn(), &session.hash)?.is_some();
                if holds {
                    make(&job_app, tx, &person, &session.id)?;
                }
                Ok(holds)
            })
            .await?;
        if made {
            notices::second_factor_changed(app, &hers, SecondFactor::RecoveryCodesMade);
        }
    }
    Ok(browser::see_other(CODES_PATH, &[]))
}
