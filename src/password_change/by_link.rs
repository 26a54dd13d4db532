//! A password chosen by a one-time link. The address with the secret answers with a redirect to a page that carries it
//! sealed; looking at either uses nothing up.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::form::{Ask, Carried, INVITED, PasswordMistake, ask, cookies, judge, page_url, typed};
use crate::app::App;
use crate::audit::event::{Actor, Kind};
use crate::error::{Broken, PageError};
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::model::secret::{Secret, SecretHash};
use crate::policy::console;
use crate::registry::Registry;
use crate::registry::links::{self, LinkRefused};
use crate::session::{self, Authentication, Origin, client_address, notices};
use crate::store::passkeys;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::page::{Answered, Visit, part};
use crate::web::pages::links::NoticePage;
use crate::web::pages::{self, FormAction};

/// The page behind the links.
const PATH: &str = "/new-password";
/// Its heading for somebody who had a password before.
const NEW: &str = "Choose a new password";

/// `GET /invitation/{secret}` and `GET /new-password/{secret}`
pub async fn open(visit: Visit) -> Answered {
    let app = &visit.app;
    let (browser, fresh) = browser::browser_cookie(app, &visit.request);
    let carried = Carried {
        link: Some(part(&visit.request, "secret").to_owned()),
        ..Carried::new(app)
    };
    Ok(browser::see_other(
        &page_url(PATH, &[("state", &carried.seal(app, &browser))]),
        &fresh,
    ))
}

/// Who may choose a password.
struct Holder {
    kind: LinkKind,
    person: Person,
    has_passkey: bool,
}

async fn holder(
    app: &Arc<App>,
    hash: &str,
    address: IpAddr,
) -> Result<Result<Holder, HttpResponse>, PageError> {
    let (registry, hash) = (Registry::new(Arc::clone(app), Actor::Stranger), hash.to_owned());
    let found = app.store.read(
        move |conn| match links::find(&registry, conn, &hash, LinkKind::PASSWORD)? {
            Ok((link, person)) => {
                let has_passkey = passkeys::any(conn, &person.id)?;
                Ok(Ok(Holder {
                    kind: link.kind,
                    person,
                    has_passkey,
                }))
            }
            Err(dead) => Ok(Err(dead)),
        },
    );
    match found.await? {
        Ok(holder) => Ok(Ok(holder)),
        Err(dead) => Ok(Err(refuse(app, &dead, address).await?)),
    }
}

/// One text for all links that cannot be used; the reason is for the record.
async fn refuse(app: &App, dead: &LinkRefused, address: IpAddr) -> Result<HttpResponse, Broken> {
    links::note_refused(app, Actor::Stranger, dead, address).await?;
    let page = NoticePage {
        shell: browser::shell(app),
        heading: "This link cannot be used",
        paragraphs: &[
            "It was used before, has expired, or was replaced by a newer one.",
            "If you have chosen your password already, open your application and sign in. Otherwise ask your administrator for a new link.",
        ],
        link: None,
    };
    Ok(pages::respond(
        &page,
        StatusCode::BAD_REQUEST,
        FormAction::SelfOnly,
    ))
}

fn secret_of(carried: &Carried) -> Result<SecretHash, PageError> {
    let secret = carried
        .link
        .as_deref()
        .ok_or_else(|| PageError::new("Open the link that you were sent. Parameter: state."))?;
    Ok(SecretHash::of(secret))
}

/// `GET /new-password`
pub async fn get(visit: Visit) -> Answered {
    let (app, request) = (&visit.app, &visit.request);
    let missing = || {
        PageError::new(
            "Open the link that you were sent again, in this browser, with cookies switched on. Parameter: state.",
        )
    };
    let browser = browser::cookie(app, request, CookieKind::Browser).ok_or_else(missing)?;
    let carried = Carried::of_query(app, request, &browser)?.ok_or_else(missing)?;
    let hash = secret_of(&carried)?;
    Ok(
        match holder(app, hash.as_str(), client_address::of(app, request)).await? {
            Err(refused) => refused,
            Ok(holder) => ask(
                app,
                &Ask {
                    heading: if holder.kind == LinkKind::Invitation {
                        INVITED
                    } else {
                        NEW
                    },
                    action: PATH,
                    person: &holder.person,
                    has_passkey: holder.has_passkey,
                    browser: &browser,
                    carried: &carried,
                    pending: None,
                    form_action: FormAction::SelfOnly,
                },
            ),
        },
    )
}

/// `POST /new-password`
pub async fn post(visit: Visit, form: PostedForm) -> Answered {
    let (app, request) = (&visit.app, &visit.request);
    let carried = Carried::open(app, form.field("state")?, &form.browser)?;
    let hash = secret_of(&carried)?;
    let address = client_address::of(app, request);
    let holder = match holder(app, hash.as_str(), address).await? {
        Ok(holder) => holder,
        Err(refused) => return Ok(refused),
    };
    let back = |problem: PasswordMistake| {
        let carried = Carried {
            problem: Some(problem),
            ..carried.clone()
        };
        browser::see_other(
            &page_url(PATH, &[("state", &carried.seal(app, &form.browser))]),
            &[],
        )
    };
    let password = match typed(&form)? {
        Ok(password) => password,
        Err(problem) => return Ok(back(problem)),
    };
    let hashed = match judge(app, &holder.person, holder.has_passkey, &password, address).await? {
        Ok(hashed) => hashed,
        Err(problem) => return Ok(back(problem)),
    };
    let at = (Origin::of(app, request), browser::session_hash(app, request));
    let (replaces_one, has_passkey) = (holder.person.password.is_some(), holder.has_passkey);
    match redeem(app, hash, holder, (password, hashed), at).await? {
        Err(dead) => Ok(refuse(app, &dead, address).await?),
        Ok((person, cookie)) => {
            if replaces_one {
                notices::password_changed(app, &person, has_passkey);
            }
            // What is due next, the page there knows: the second factor, or setting one up.
            let administers = console::is_administrative(&person.settings);
            let page = if administers { "/admin" } else { "/account" };
            Ok(browser::see_other(page, &cookies(app, request, &person, &cookie)))
        }
    }
}

/// One write decides about the link, sets the password, ends what stood on the old one, and signs the person in.
async fn redeem(
    app: &Arc<App>,
    link: SecretHash,
    holder: Holder,
    (password, hashed): (Secret, String),
    (origin, replaced): (Origin, Option<String>),
) -> Result<Result<(Person, String), LinkRefused>, PageError> {
    let id = holder.person.id;
    let registry = Registry::new(Arc::clone(app), Actor::Person(id.clone()));
    let signed_in = app
        .event(Kind::LoginSucceeded, Actor::Person(id))
        .from(&origin.address)
        .with("by", "link");
    let signed_in = if app.config.server.banner.is_some() {
        signed_in.with("notice", "acknowledged")
    } else {
        signed_in
    };
    let done = registry.run(move |registry, tx| {
        let app = registry.app();
        let person = match links::redeem(registry, tx, link.as_str(), &password, &hashed)? {
            Ok(person) => person,
            Err(dead) => return Ok(Ok(Err(dead))),
        };
        let due = session::has_second_factor(tx.conn(), &person)?;
        let how = Authentication::by(&["pwd"], false).with_second_factor_due(due);
        let (session, cookie) = session::begin(app, &person, &origin, how);
        // Whoever was signed in with this browser is signed in no longer.
        // Where another request has used its session up, the password is set and nobody is signed in.
        if session::record_anew(app, tx, &session, replaced.as_deref())? {
            let event = signed_in
                .clone()
                .with("amr", "pwd")
                .with("second_factor", if due { "due" } else { "none" });
            tx.audit(event);
        }
        Ok(Ok(Ok((person, cookie))))
    });
    done.await.map_err(|refused| refused.into_broken().into())
}
