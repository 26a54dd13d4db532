//! Confirming the e-mail address of one's own account: a link goes there, and whoever opens it, signed in to the account,
//! says so. The mail alone is not enough: somebody else may have given the account an address of theirs.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::audit::event::Actor;
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::registry::links::{self, LinkRefused};
use crate::registry::{Refused, Registry, link_mails};
use crate::session::client_address;
use crate::session::notices::can_confirm;
use crate::web::browser::{self, Notice, PostedForm};
use crate::web::page::{Answered, Own, part};
use crate::web::pages::account::ConfirmAddressPage;
use crate::web::pages::links::NoticePage;
use crate::web::pages::{self, FormAction};

/// "My access", from where everything begins and where it ends.
const ACCOUNT: &str = "/account";
/// Where a link is asked for; one leads below it.
const PATH: &str = "/account/email";

fn registry(own: &Own) -> Registry {
    let actor = Actor::Person(own.signed_in.person.id.clone());
    Registry::new(Arc::clone(&own.app), actor).seen_at(client_address::of(&own.app, &own.request).to_string())
}

fn page(own: &Own, person: &Person, action: &str, opened: bool) -> HttpResponse {
    let csrf = browser::csrf_token(&own.app, &own.signed_in.browser);
    let page = ConfirmAddressPage {
        shell: browser::shell_of(&own.app, person, &csrf),
        csrf: &csrf,
        email: person.settings.email.as_deref().unwrap_or_default(),
        action,
        opened,
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// `GET /account/email`: says where the link will go.
pub async fn get(own: Own) -> Answered {
    let person = &own.signed_in.person;
    if !can_confirm(&own.app, person) {
        return Ok(browser::see_other(ACCOUNT, &[]));
    }
    Ok(page(&own, person, PATH, false))
}

/// `POST /account/email`: sends it.
pub async fn send(own: Own, form: PostedForm) -> Answered {
    let (app, person) = (&own.app, &own.signed_in.person);
    if !can_confirm(app, person) {
        return Ok(browser::see_other(ACCOUNT, &[]));
    }
    let (registry, me) = (registry(&own), person.id.clone());
    let made = registry.run(move |registry, tx| Ok(Ok(links::for_address(registry, tx, &me)?)));
    let issued = made.await.map_err(Refused::into_broken)?;
    let mail = issued.as_ref().and_then(|issued| link_mails::link(app, issued));
    if let (Some(mailer), Some(mail)) = (&app.mailer, mail) {
        mailer.post(mail);
    }
    let said = if issued.is_some() {
        Notice::AddressLinkSent
    } else {
        Notice::AddressLinkHeldBack
    };
    Ok(browser::done(app, ACCOUNT, &form.browser, said))
}

/// `GET /account/email/{secret}`: where the link leads. Looking at it uses nothing up.
pub async fn open(own: Own) -> Answered {
    let secret = part(&own.request, "secret").to_owned();
    let (registry, hash, me) = (
        registry(&own),
        SecretHash::of(&secret),
        own.signed_in.person.id.clone(),
    );
    let found = own
        .app
        .store
        .read(move |conn| links::own(&registry, conn, hash.as_str(), &me));
    match found.await? {
        Ok((_, person)) => Ok(page(&own, &person, &format!("{PATH}/{secret}"), true)),
        Err(dead) => refuse(&own, &dead).await,
    }
}

/// `POST /account/email/{secret}`: the address is confirmed.
pub async fn confirm(own: Own, form: PostedForm) -> Answered {
    let (hash, me) = (
        SecretHash::of(part(&own.request, "secret")),
        own.signed_in.person.id.clone(),
    );
    let registry = registry(&own);
    let confirmed =
        registry.run(move |registry, tx| Ok(Ok(links::confirm_address(registry, tx, hash.as_str(), &me)?)));
    match confirmed.await.map_err(Refused::into_broken)? {
        Ok(()) => Ok(browser::done(
            &own.app,
            ACCOUNT,
            &form.browser,
            Notice::AddressConfirmed,
        )),
        Err(dead) => refuse(&own, &dead).await,
    }
}

/// One text for all links that cannot be used; the reason is for the record.
async fn refuse(own: &Own, dead: &LinkRefused) -> Answered {
    let app = &own.app;
    let actor = Actor::Person(own.signed_in.person.id.clone());
    links::note_refused(app, actor, dead, client_address::of(app, &own.request)).await?;
    let csrf = browser::csrf_token(app, &own.signed_in.browser);
    let page = NoticePage {
        shell: browser::shell_of(app, &own.signed_in.person, &csrf),
        heading: "This link cannot be used",
        paragraphs: &[
            "It was used before, has expired, was replaced by a newer one, or was sent for another account.",
            "“My access” says whether your address is confirmed. If it is not, you can send yourself another link there.",
        ],
        link: Some((ACCOUNT, "To “My access”")),
    };
    Ok(pages::respond(
        &page,
        StatusCode::BAD_REQUEST,
        FormAction::SelfOnly,
    ))
}
