//! The passkeys of one's own account: adding one, renaming and removing. A change leaves the sessions that the person has
//! elsewhere alone.

use std::sync::Arc;

use super::done::{PATH, back};
use crate::error::Broken;
use crate::login::set_up::PASSKEY_PATH;
use crate::login::set_up_passkey::{changed, name_of, refused};
use crate::session::notices::{self, SecondFactor};
use crate::store::{passkeys, people, recovery_codes};
use crate::web::browser::{self, Destination, Notice, Pending, PostedForm};
use crate::web::page::{Answered, Own};

/// `GET /account/passkeys/add`: on to the page where passkeys are set up, and then back to the account.
pub async fn add(own: Own) -> Answered {
    let pending = Pending::new(Destination::Page(PATH.to_owned()), own.app.now());
    Ok(browser::on_to(&own.app, &own.request, PASSKEY_PATH, &pending))
}

/// `POST /account/passkeys/rename`: `id` and `name`.
pub async fn rename(own: Own, form: PostedForm) -> Answered {
    let (app, person) = (&own.app, own.signed_in.person);
    let Some(name) = name_of(form.field("name")?) else {
        return Ok(refused(
            app,
            "Enter another name",
            "The name of a passkey has 1 to 60 characters.",
        ));
    };
    let (job_app, id) = (Arc::clone(app), form.field("id")?.to_owned());
    let written = app.store.write(move |tx| {
        let hers = passkeys::rename(tx.conn(), &person.id, &id, &name)?;
        if hers {
            tx.audit(changed(&job_app, &person, "passkey_renamed", &name));
        }
        Ok(hers)
    });
    Ok(if written.await? {
        back(app, &form.browser, Notice::PasskeyRenamed)
    } else {
        browser::see_other(PATH, &[])
    })
}

/// What came of removing a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removed {
    Done,
    /// It was not there, or no longer.
    Gone,
    /// It is the last second factor of somebody whose role needs one.
    Needed,
}

/// `POST /account/passkeys/remove`: `id`.
pub async fn remove(own: Own, form: PostedForm) -> Answered {
    let (app, person) = (&own.app, own.signed_in.person);
    let (job_app, id, told) = (Arc::clone(app), form.field("id")?.to_owned(), person.clone());
    let written: Result<Removed, Broken> = app
        .store
        .write(move |tx| {
            // Locked: two requests at once must not take the last two away.
            let Some(person) = people::lock(tx.conn(), &person.id)? else {
                return Ok(Removed::Gone);
            };
            let own = passkeys::of_person(tx.conn(), &person.id)?;
            let Some(passkey) = own.iter().find(|passkey| passkey.id == id) else {
                return Ok(Removed::Gone);
            };
            let last = own.len() == 1 && person.totp_secret.is_none();
            if last
                && job_app
                    .policy
                    .requires_second_factor(&person.settings.all_roles())
            {
                return Ok(Removed::Needed);
            }
            passkeys::remove(tx.conn(), &person.id, &id)?;
            if last {
                recovery_codes::remove_all(tx.conn(), &person.id)?;
                people::want_new_password(tx.conn(), &person.id)?;
            }
            tx.audit(changed(&job_app, &person, "passkey_removed", &passkey.name));
            Ok(Removed::Done)
        })
        .await;
    let written = written?;
    if written == Removed::Needed {
        let text = "It is your only second factor, and your role needs one. Add another passkey or an authenticator app \
                    first.";
        return Ok(refused(app, "You cannot remove this passkey yet", text));
    }
    if written == Removed::Done {
        notices::second_factor_changed(app, &told, SecondFactor::PasskeyRemoved);
    }
    Ok(back(app, &form.browser, Notice::PasskeyRemoved))
}
