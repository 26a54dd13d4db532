//! Where somebody is signed in, and signing out there. It needs no fresh sign-in: it only takes away.

use std::sync::Arc;

use actix_web::http::StatusCode;

use super::done::back;
use super::sign_ins::{methods_in_words, provider_name};
use crate::app::App;
use crate::audit::event::{Actor, Event, Kind, Outcome};
use crate::clock::local_time::Zone;
use crate::error::PageError;
use crate::login::device;
use crate::model::session::Session;
use crate::session::{self, Limits, client_address};
use crate::store::sessions;
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::guard::SignedIn;
use crate::web::page::{Answered, Own};
use crate::web::pages::account::{EndSessionsPage, SignedInAt};
use crate::web::pages::{self, FormAction};

/// Where everything is over: signing out when nobody is signed in.
const SIGNED_OUT: &str = "/oauth2/logout";

/// The sessions in which the person can do something, the one at hand first.
pub(super) fn listed(app: &App, signed_in: &SignedIn, sessions: &[Session], zone: &Zone) -> Vec<SignedInAt> {
    let (limits, now) = (Limits::of(app), app.now());
    let counts = |session: &&Session| {
        limits.hold(session, now)
            && session.person_generation == signed_in.person.generation
            && !session.second_factor_due
    };
    let mut listed: Vec<SignedInAt> = sessions
        .iter()
        .filter(counts)
        .map(|session| SignedInAt {
            id: session.id.clone(),
            device: device::in_words(&session.user_agent),
            address: session.address.clone(),
            how: match &session.identity_provider {
                Some(provider) => format!("with {}", provider_name(app, provider)),
                None => methods_in_words(session.amr.iter().map(String::as_str)),
            },
            since: zone.when(session.created_at),
            used: zone.when(session.last_seen_at),
            current: session.id == signed_in.session.id,
        })
        .collect();
    listed.sort_by_key(|session| !session.current);
    listed
}

fn event(own: &Own, reason: &str) -> Event {
    let actor = Actor::Person(own.signed_in.person.id.clone());
    own.app
        .event(Kind::SessionEnded, actor)
        .from(client_address::of(&own.app, &own.request).to_string())
        .with("reason", reason)
}

/// `POST /account/sessions/end`: signs out in one browser, named by `id`.
pub async fn end(own: Own, form: PostedForm) -> Answered {
    let app = &own.app;
    let id = form.field("id")?.to_owned();
    let ended = event(&own, "signed out on the account page");
    let refused = event(&own, "the session is somebody else's")
        .outcome(Outcome::SeriousFailure)
        .with("session", id.clone());
    let (job_app, me) = (Arc::clone(app), own.signed_in.person.id.clone());
    let hers = app.store.write(move |tx| {
        // One that has ended meanwhile is hers all the same: then it is done.
        match sessions::owner(tx.conn(), &id)? {
            None => Ok(false),
            Some(owner) if owner != me => {
                tx.audit(refused.clone());
                Ok(false)
            }
            Some(_) => {
                if let Some(session) = sessions::by_id(tx.conn(), &id)? {
                    session::end_with(&job_app, tx, &session, &ended)?;
                }
                Ok(true)
            }
        }
    });
    // Somebody else's session and none at all look the same.
    if hers.await? {
        Ok(back(app, &form.browser, Notice::SessionEnded))
    } else {
        Err(PageError::not_found().into())
    }
}

/// `POST /account/sessions/end-others`: signs out everywhere but here.
pub async fn end_others(own: Own, form: PostedForm) -> Answered {
    end_many(own, &form, false).await
}

/// `GET /account/sessions/end-all`: asks first.
pub async fn ask_end_all(own: Own) -> Answered {
    let csrf = browser::csrf_token(&own.app, &own.signed_in.browser);
    let page = EndSessionsPage {
        shell: browser::shell_of(&own.app, &own.signed_in.person, &csrf),
        csrf: &csrf,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /account/sessions/end-all`: signs out everywhere, here too.
pub async fn end_all(own: Own, form: PostedForm) -> Answered {
    end_many(own, &form, true).await
}

async fn end_many(own: Own, form: &PostedForm, here_too: bool) -> Answered {
    let reason = if here_too {
        "signed out everywhere"
    } else {
        "signed out everywhere else"
    };
    let ended = event(&own, reason);
    let Own { app, signed_in, .. } = &own;
    let (job_app, me, here) = (
        Arc::clone(app),
        signed_in.person.id.clone(),
        signed_in.session.id.clone(),
    );
    let written = app.store.write(move |tx| {
        for session in sessions::of_person(tx.conn(), &me)? {
            if here_too || session.id != here {
                session::end_with(&job_app, tx, &session, &ended)?;
            }
        }
        Ok(())
    });
    written.await?;
    Ok(if here_too {
        browser::see_other(SIGNED_OUT, &[])
    } else {
        back(app, &form.browser, Notice::OtherSessionsEnded)
    })
}
