//! Signing in with a recovery code, and the page that says so and how many are left.

use std::sync::Arc;

use actix_web::http::StatusCode;

use super::proof::{self, Met, Proof};
use super::recovery_codes::{METHOD, hash};
use super::set_up;
use crate::audit::event::{Actor, Kind};
use crate::audit::reason::Reason;
use crate::session::notices::{self, SecondFactor};
use crate::session::{Loaded, Origin};
use crate::store::recovery_codes;
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::guard;
use crate::web::page::{Answered, Step};
use crate::web::pages::set_up::{RecoveredPage, RecoveryPage};
use crate::web::pages::{self, FormAction, FormError};
use crate::web::redirect_target::{self, RedirectTarget};

/// Where somebody signs in with a recovery code.
pub const PATH: &str = "/login/recovery";
/// Where somebody learns how many codes are left.
pub const RECOVERED_PATH: &str = "/login/recovered";

/// `GET /login/recovery`
pub async fn get(mut step: Step) -> Answered {
    if proof::awaited(&step).await?.is_none() {
        return proof::not_awaited(step).await;
    }
    let redirect_target = redirect_target::of(&step.app, &step.pending)?;
    let errors: &[FormError] = match step.pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::RECOVERY_CODE_MISSING],
        Some(_) => &[FormError::RECOVERY_CODE_NOT_ACCEPTED],
    };
    let (app, sealed) = (&step.app, step.sealed());
    let page = RecoveryPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
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
pub async fn post(mut step: Step, form: PostedForm) -> Answered {
    let Some(loaded) = proof::awaited(&step).await? else {
        return proof::not_awaited(step).await;
    };
    let typed = form.field("recovery_code")?.trim();
    if typed.is_empty() {
        return Ok(step.back_to(PATH, Notice::CodeMissing));
    }
    let app = &step.app;
    let (id, hash, job_app) = (
        loaded.person.id.clone(),
        hash(app, &loaded.person.id, typed),
        Arc::clone(app),
    );
    let origin = Origin::of(app, &step.request);
    let met = proof::complete(app, &loaded, &origin, (Proof::Code, &[METHOD]), move |tx| {
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
            let cookie = browser::set_cookie(app, browser::CookieKind::Session, &cookie);
            step.pending.authenticated = Some(hash);
            step.pending.notice = None;
            Ok(step.on_to_with(RECOVERED_PATH, &[cookie]))
        }
        Met::Refused => Ok(step.back_to(PATH, Notice::CodeNotAccepted)),
        Met::Locked => Ok(proof::go_on(step, Met::Locked)),
    }
}

/// `GET /login/recovered`: how many codes are left, and the way to a new second factor.
pub async fn recovered(step: Step) -> Answered {
    let app = &step.app;
    let loaded = guard::session_of(app, &step.request).await?;
    let recovered = |loaded: &Loaded| loaded.session.has_second_factor() && loaded.session.used(METHOD);
    let Some(loaded) = loaded.filter(recovered) else {
        return Ok(step.onward(&[]));
    };
    let id = loaded.person.id;
    let (left, _) = app
        .store
        .read(move |conn| recovery_codes::left(conn, &id))
        .await?;
    let page = RecoveredPage {
        shell: browser::shell(app),
        left,
        set_up: &browser::page_url(set_up::PATH, &step.sealed()),
        onward: &step.pending.onward(app, &step.browser),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
