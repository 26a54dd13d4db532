//! The recovery codes of one's own account: shown while they are new, counted afterwards, and made anew.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;

use super::done::PATH;
use crate::app::App;
use crate::login::recovery_codes::{CODES_PATH, codes, make};
use crate::session::notices::{self, SecondFactor};
use crate::store::{people, recovery_codes, sessions};
use crate::web::browser::{self, Pending, PostedForm};
use crate::web::guard::SignedIn;
use crate::web::page::{Answered, Own};
use crate::web::pages;
use crate::web::pages::set_up::RecoveryCodesPage;
use crate::web::redirect_target::{self, RedirectTarget};

/// How long codes are shown, in seconds.
const SHOWN_SECONDS: i64 = 900;

/// The sign-in that a page of the account carries on with, if it came from one.
fn carried(app: &App, request: &HttpRequest) -> Option<Pending> {
    browser::carried(app, request).ok().map(|(pending, _)| pending)
}

/// `GET /account/recovery-codes`: the codes while they are to be shown, otherwise how many are left.
pub async fn get(own: Own) -> Answered {
    let app = &own.app;
    let SignedIn {
        session,
        person,
        browser: browser_cookie,
        ..
    } = own.signed_in;
    let pending = carried(app, &own.request);
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
        return Ok(browser::see_other(PATH, &[]));
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

/// `POST /account/recovery-codes/kept`: they are written down, and shown no more.
pub async fn keep(own: Own, form: PostedForm) -> Answered {
    let (app, id) = (&own.app, own.signed_in.session.id);
    app.store
        .write(move |tx| sessions::keep_recovery_nonce(tx.conn(), &id, None))
        .await?;
    let onward = match form.field("pending")? {
        "" => PATH.to_owned(),
        _ => form.pending(app)?.onward(app, &form.browser),
    };
    Ok(browser::see_other(&onward, &[]))
}

/// `POST /account/recovery-codes`: makes new codes.
pub async fn make_anew(own: Own, _: PostedForm) -> Answered {
    let app = &own.app;
    let SignedIn { session, person, .. } = own.signed_in;
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
