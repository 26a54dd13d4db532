//! A forgotten password. The page answers the same to every name, and at once: what is done about it is done after the
//! answer, so that neither words nor time tell which accounts exist.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;

use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::registry::links::{self, Issued};
use crate::registry::{Decided, Registry, link_mails};
use crate::session::client_address;
use crate::session::lockout::{is_locked_until_admin, login_subject, may_sign_in};
use crate::store::{Stored, Tx, people};
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::links::{ForgottenPage, NoticePage};
use crate::web::pages::{self, FormAction, FormError};

const PATH: &str = "/login/forgotten";
/// The longest username that is looked at, in bytes.
const LONGEST_USERNAME: usize = 255;

/// `GET /login/forgotten`
pub async fn get(mut step: Step) -> Answered {
    let notice = step.pending.notice.take();
    let sealed = step.sealed();
    let username = step.pending.username.take().unwrap_or_default();
    let app = &step.app;
    let back = browser::page_url("/login", &sealed);
    if notice == Some(Notice::LinkRequested) || app.mailer.is_none() {
        let (heading, paragraphs): (&str, &[&str]) = if app.mailer.is_some() {
            (
                "Check your mail",
                &[
                    "If there is an account with that username and we may write to its e-mail address, we have sent a link there. It works once and for a short time.",
                    "If nothing comes within a few minutes, look into your junk folder, then ask your administrator for a link.",
                ],
            )
        } else {
            (
                "Ask your administrator for a new password",
                &[
                    "This service sends no mail. Call the administrator of this service in your office or agency: they can give you a link with which you choose a new password.",
                ],
            )
        };
        let link = Some((back.as_str(), "Back to sign in"));
        let page = NoticePage {
            shell: browser::shell(app),
            heading,
            paragraphs,
            link,
        };
        return Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly));
    }
    let errors: &[FormError] = match notice {
        None => &[],
        Some(Notice::TooMany) => &[FormError::TOO_MANY_ATTEMPTS],
        Some(_) => &[FormError::USERNAME_MISSING],
    };
    let page = ForgottenPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
        pending: &sealed,
        username: &username,
        back: &back,
        errors,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /login/forgotten`
pub async fn post(mut step: Step, form: PostedForm) -> Answered {
    let username: String = form
        .field("username")?
        .trim()
        .chars()
        .take(LONGEST_USERNAME)
        .collect();
    step.pending.username = Some(username.clone());
    if username.is_empty() {
        return Ok(step.back_to(PATH, Notice::UsernameMissing));
    }
    let app = &step.app;
    let address = client_address::of(app, &step.request);
    if !app
        .failure_counts
        .reserve(address, app.config.login.address_attempts_per_minute, app.now())
    {
        return Ok(step.back_to(PATH, Notice::TooMany));
    }
    if app.mailer.is_some() {
        actix_web::rt::spawn(send_link(Arc::clone(app), username, address));
    }
    step.pending.notice = Some(Notice::LinkRequested);
    Ok(step.on_to(PATH))
}

/// Makes a link and posts it, if the account may have one. Nobody waits for it.
async fn send_link(app: Arc<App>, username: String, address: IpAddr) {
    let registry = Registry::new(Arc::clone(&app), Actor::Stranger);
    let made = registry
        .run(move |registry, tx| make(registry, tx, &username, address))
        .await;
    match made {
        Ok(Some(issued)) => {
            if let (Some(mailer), Some(mail)) = (&app.mailer, link_mails::link(&app, &issued)) {
                mailer.post(mail);
            }
        }
        Ok(None) => {}
        Err(cause) => tracing::error!(%cause, "a link for a new password could not be made"),
    }
}

/// Decides whether the account gets a link, and records why not.
fn make(registry: &Registry, tx: &mut Tx<'_>, username: &str, address: IpAddr) -> Decided<Option<Issued>> {
    let (app, now) = (registry.app(), registry.app().now());
    let person = people::find_by_username(tx.conn(), username)?;
    let reason = match &person {
        None => "unknown username",
        Some(person) => match why_not(registry, tx, person)? {
            Some(reason) => reason,
            None => return Ok(Ok(Some(links::issue(registry, tx, person, LinkKind::Forgotten)?))),
        },
    };
    let subject = format!(
        "link for {}",
        person.as_ref().map_or("nobody", |person| &person.id)
    );
    if app.failure_counts.note(address, Failed::Other(&subject), now) == Noted::First {
        let event = app
            .event(Kind::LinkIssued, Actor::Stranger)
            .outcome(Outcome::MinorFailure);
        let event = event
            .from(address.to_string())
            .with("action", LinkKind::Forgotten.as_str())
            .with("reason", reason);
        // A username that nobody has is recorded as its keyed hash: people type passwords there.
        tx.audit(match &person {
            Some(person) => event.person(&person.id),
            None => event.with("username_hash", login_subject(app, username)),
        });
    }
    Ok(Ok(None))
}

/// Why an account gets no link. If it gets one, it is counted.
fn why_not(registry: &Registry, tx: &mut Tx<'_>, person: &Person) -> Stored<Option<&'static str>> {
    let (app, now) = (registry.app(), registry.app().now());
    if !may_sign_in(app, person, now) {
        return Ok(Some("account disabled or dormant"));
    }
    // Whom an agency's identity provider brought has no password here, and gets none by the provider's word.
    if person.password.is_none() && person.settings.provisioned_by.is_some() {
        return Ok(Some("account of an identity provider"));
    }
    if person.settings.email.is_none() || !person.settings.email_verified {
        return Ok(Some("no e-mail address that was verified"));
    }
    if is_locked_until_admin(app, tx.conn(), person)? {
        return Ok(Some("account is locked until an administrator unlocks it"));
    }
    links::held_back(registry, tx, person, LinkKind::Forgotten)
}
