//! The authenticator app of one's own account: replacing and removing it.

use std::sync::Arc;

use actix_web::http::StatusCode;

use super::done::{self, back};
use crate::audit::event::{Actor, Kind};
use crate::login::set_up::APP_PATH;
use crate::session::notices::{self, SecondFactor};
use crate::store::{passkeys, people, recovery_codes};
use crate::web::browser::{self, Destination, Notice, Pending, PostedForm};
use crate::web::page::{Answered, Own};
use crate::web::pages::set_up::AuthenticatorPage;
use crate::web::pages::{self, FormAction};

/// `GET /account/authenticator`: what there is, and what can be done with it.
pub async fn get(own: Own) -> Answered {
    let (app, signed_in) = (&own.app, &own.signed_in);
    let person = &signed_in.person;
    if person.totp_secret.is_none() {
        let pending = Pending::new(Destination::Page(done::PATH.to_owned()), app.now());
        return Ok(browser::on_to(app, &own.request, APP_PATH, &pending));
    }
    let pending = Pending::new(Destination::Page(done::PATH.to_owned()), app.now());
    let csrf = browser::csrf_token(app, &signed_in.browser);
    let page = AuthenticatorPage {
        shell: browser::shell_of(app, person, &csrf),
        csrf: &csrf,
        replace: &browser::page_url(APP_PATH, &pending.seal(app, Some(&signed_in.browser))),
        removable: signed_in.has_passkey || !app.policy.requires_second_factor(&person.settings.all_roles()),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /account/authenticator`: removes the authenticator app, unless it is the last second factor of somebody whose
/// role needs one.
pub async fn post(own: Own, form: PostedForm) -> Answered {
    let (app, signed_in) = (&own.app, &own.signed_in);
    let required = app
        .policy
        .requires_second_factor(&signed_in.person.settings.all_roles());
    let (job_app, person) = (Arc::clone(app), signed_in.person.clone());
    let removed = app
        .store
        .write(move |tx| {
            // Locked: two requests at once must not take the last two away.
            let current = people::lock(tx.conn(), &person.id)?;
            let spare = passkeys::any(tx.conn(), &person.id)?;
            if (required && !spare)
                || current.is_none_or(|current| current.totp_secret.is_none())
                || !people::put_totp(tx.conn(), &person.id, person.generation, None, person.totp_step)?
            {
                return Ok(false);
            }
            if !spare {
                recovery_codes::remove_all(tx.conn(), &person.id)?;
                people::want_new_password(tx.conn(), &person.id)?;
            }
            let event = job_app.event(Kind::SecondFactorChanged, Actor::Person(person.id.clone()));
            tx.audit(event.with("action", "authenticator_app_removed"));
            Ok(true)
        })
        .await?;
    Ok(if removed {
        notices::second_factor_changed(app, &signed_in.person, SecondFactor::AppRemoved);
        back(app, &form.browser, Notice::AuthenticatorRemoved)
    } else {
        browser::see_other(done::PATH, &[])
    })
}
