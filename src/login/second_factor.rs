//! The page that asks for the second factor at sign-in, and the one-time code of an app (RFC 6238) that was typed there.

use actix_web::http::StatusCode;

use super::proof::{Met, Proof, awaited, complete, go_on, not_awaited};
use super::{passkey, recovery, totp};
use crate::audit::reason::Reason;
use crate::session::{Due, Origin};
use crate::store::people;
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::passkeys::PasskeyForm;
use crate::web::pages::{self, FormError, SecondFactorPage};
use crate::web::redirect_target::{self, RedirectTarget};

/// `GET /login/second-factor`
pub async fn get(mut step: Step) -> Answered {
    let Some(loaded) = awaited(&step).await? else {
        // The password is too old, or the code was already shown: where it goes on they know what comes next.
        return not_awaited(step).await;
    };
    let redirect_target = redirect_target::of(&step.app, &step.pending)?;
    let errors: &[FormError] = match step.pending.notice.take() {
        None => &[],
        Some(Notice::CodeMissing) => &[FormError::CODE_MISSING],
        Some(Notice::PasskeyStale) => &[FormError::PASSKEY_STALE],
        Some(Notice::PasskeyNotAccepted) => &[FormError::PASSKEY_NOT_ACCEPTED],
        Some(_) => &[FormError::CODE_NOT_ACCEPTED],
    };
    let (app, sealed) = (&step.app, step.sealed());
    let passkey = passkey::begin_second_factor(app, &loaded.person, &step.browser).await?;
    let page = SecondFactorPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
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
pub async fn post(step: Step, form: PostedForm) -> Answered {
    let Some(loaded) = awaited(&step).await? else {
        return not_awaited(step).await;
    };
    let typed = totp::typed(form.field("totp")?);
    if typed.is_empty() {
        return Ok(step.back_to(Due::SecondFactor.path(), Notice::CodeMissing));
    }
    let (app, id) = (&step.app, loaded.person.id.clone());
    let now = totp::step_of_person(app, &loaded.person, &typed)?;
    let origin = Origin::of(app, &step.request);
    let met = complete(app, &loaded, &origin, (Proof::Code, &["otp"]), move |tx| {
        Ok(match now {
            None => Some((Reason::WrongCode, "wrong one-time code")),
            Some(now) if people::use_totp_step(tx.conn(), &id, now)? => None,
            Some(_) => Some((Reason::UsedCode, "one-time code was used before")),
        })
    });
    match met.await? {
        Met::Refused => Ok(step.back_to(Due::SecondFactor.path(), Notice::CodeNotAccepted)),
        met => Ok(go_on(step, met)),
    }
}
