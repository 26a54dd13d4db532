//! The page that asks for the second factor at sign-in, and the one-time code of an app (RFC 6238) that was typed there.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::proof::{Met, Step, awaited, complete, go_on, not_awaited};
use super::{passkey, recovery, totp};
use crate::app::App;
use crate::audit::reason::Reason;
use crate::error::PageError;
use crate::session::Origin;
use crate::store::people;
use crate::web::browser::{self, Notice, Pending, PostedForm};
use crate::web::pages::passkeys::PasskeyForm;
use crate::web::pages::{self, FormError, SecondFactorPage};
use crate::web::redirect_target::{self, RedirectTarget};

/// `GET /login/second-factor`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    page(&app, &request)
        .await
        .unwrap_or_else(|error| browser::error_page(&app, &error))
}

async fn page(app: &App, request: &HttpRequest) -> Result<HttpResponse, PageError> {
    let (mut pending, browser_cookie) = browser::carried(app, request)?;
    let Some(loaded) = awaited(app, request, &pending).await? else {
        // The password is too old, or the code was already shown: where it goes on they know what comes next.
        return not_awaited(app, request, &pending, &browser_cookie).await;
    };
    let redirect_target = redirect_target::of(app, &pending)?;
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
        passkey: passkey.as_ref().map(|begun| PasskeyForm {
            options: &begun.options,
            state: &begun.state,
        }),
        has_app: loaded.person.totp_secret.is_some(),
        start_again: &browser::page_url("/login", &sealed),
        recover: &browser::page_url(recovery::PATH, &sealed),
        errors,
    };
    Ok(pages::respond(
        &page,
        StatusCode::OK,
        RedirectTarget::form_action(redirect_target.as_ref()),
    ))
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
    let Some(loaded) = awaited(app, request, &pending).await? else {
        return not_awaited(app, request, &pending, &form.browser).await;
    };
    let typed = totp::typed(form.field("totp")?);
    let back = |pending: Pending, notice| {
        let sealed = pending.saying(notice).seal(app, Some(&form.browser));
        Ok(browser::see_other(
            &browser::page_url("/login/second-factor", &sealed),
            &[],
        ))
    };
    if typed.is_empty() {
        return back(pending, Notice::CodeMissing);
    }
    let step = totp::step_of_person(app, &loaded.person, &typed)?;
    let id = loaded.person.id.clone();
    let origin = Origin::of(app, request);
    let met = complete(app, &loaded, &origin, (Step::Code, &["otp"]), move |tx| {
        Ok(match step {
            None => Some((Reason::WrongCode, "wrong one-time code")),
            Some(step) if people::use_totp_step(tx.conn(), &id, step)? => None,
            Some(_) => Some((Reason::UsedCode, "one-time code was used before")),
        })
    });
    match met.await? {
        Met::Refused => back(pending, Notice::CodeNotAccepted),
        met => Ok(go_on(app, pending, &form.browser, met)),
    }
}
