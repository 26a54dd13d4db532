//! Disabling, enabling and deleting: each asks first, and says what it affects.

use actix_web::HttpResponse;

use super::managed::{Managed, found, path_of};
use crate::admin::access::{AdminRequest, Answered, done};
use crate::admin::confirm::ConfirmPage;
use crate::admin::form::FieldMistake;
use crate::admin::lifecycle::Lifecycle;
use crate::model::registered::Registered;
use crate::registry::{Refused, noun};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction};

/// `GET`: asks.
pub async fn ask<S: Managed>(admin: AdminRequest, action: Lifecycle) -> Answered {
    let one = found::<S>(&admin).await?;
    let effects = S::effects(&admin, &one, action).await?;
    Ok(confirm(&admin, &one, action, effects, Vec::new()))
}

fn confirm<S: Managed>(
    admin: &AdminRequest,
    one: &Registered<S>,
    action: Lifecycle,
    effects: Vec<String>,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let status = FieldMistake::status(&wrong);
    let path = path_of::<S>(&one.id);
    let page = ConfirmPage {
        shell: admin.shell(),
        frame: admin.frame(S::AREA),
        question: format!("{} {}?", action.button(), one.name),
        effects,
        wrong,
        action: format!("{path}/{}", action.word()),
        button: action.button(),
        danger: action != Lifecycle::Enable,
        back: path,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST`: does it.
pub async fn act<S: Managed>(admin: AdminRequest, _: PostedForm, action: Lifecycle) -> Answered {
    let one = found::<S>(&admin).await?;
    let id = one.id.clone();
    let job = admin.registry();
    let acted = job.run(move |registry, tx| match action {
        Lifecycle::Disable => Ok(noun::set_enabled::<S>(registry, tx, &id, false)?.map(|_| ())),
        Lifecycle::Enable => Ok(noun::set_enabled::<S>(registry, tx, &id, true)?.map(|_| ())),
        Lifecycle::Delete => noun::delete::<S>(registry, tx, &id),
    });
    match (acted.await, action) {
        (Ok(()), Lifecycle::Disable) => Ok(done(&path_of::<S>(&one.id), S::WORDS.disabled)),
        (Ok(()), Lifecycle::Enable) => Ok(done(&path_of::<S>(&one.id), "enabled")),
        (Ok(()), Lifecycle::Delete) => Ok(done(S::PATH, "deleted")),
        (Err(Refused::Mistakes(mistakes)), _) => {
            // Somebody else may have deleted it a moment ago.
            let one = found::<S>(&admin).await?;
            let effects = S::effects(&admin, &one, action).await?;
            Ok(confirm(
                &admin,
                &one,
                action,
                effects,
                FieldMistake::of(&mistakes, &[]),
            ))
        }
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
