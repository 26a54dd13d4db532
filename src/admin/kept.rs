//! A form whose sign-in got old while it was filled in, or that was shown to another session: it is not done, and what
//! was typed is not lost. The browser carries it, sealed to the person and the address, and the form is shown again.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::about::About;
use super::access::{AdminRequest, Answered, Frame, Mark, Requires, address_of};
use crate::app::App;
use crate::policy::console::Area;
use crate::secrets::master_key::Purpose;
use crate::web::browser::{self, PostedForm};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};
use crate::web::parameters::Parameters;

/// The field that carries it.
const KEPT: &str = "kept";
/// What is never carried.
const NEVER: [&str; 3] = ["csrf", "secret", KEPT];
/// The largest form that is read, in bytes: room for all that may be registered of one thing as it is encoded, and for
/// what is carried, which is a third longer than what was typed.
pub const LARGEST: usize = 256 * 1024;
/// Where somebody who confirms in another tab ends.
pub const CONFIRMED: &str = "/admin/confirmed";

#[derive(Template)]
#[template(path = "../admin/confirm_sign_in.html")]
struct ConfirmPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    action: &'a str,
    /// What was typed, sealed.
    kept: String,
    /// The button was pressed before, and the sign-in is as old as it was.
    not_yet: bool,
}

#[derive(Template)]
#[template(path = "../admin/confirmed.html")]
struct ConfirmedPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
}

fn context(person: &str, request: &HttpRequest) -> String {
    format!("{person} {}", address_of(request))
}

/// What was typed, sealed to a person and an address.
fn sealed(app: &App, request: &HttpRequest, person: &str, form: &PostedForm) -> String {
    let plain = serde_json::to_vec(&form.fields.without(&NEVER)).unwrap_or_default();
    let context = context(person, request);
    app.master.seal(Purpose::Typed, &context, &plain, app.entropy)
}

/// What a form carries of what was typed before, sealed.
fn carried(form: &PostedForm) -> Option<&str> {
    form.fields.all(KEPT).next()
}

/// Whether a form carries what was typed before.
pub fn is_carried(form: &PostedForm) -> bool {
    carried(form).is_some()
}

/// What was typed before, if the form carries it.
pub fn opened(admin: &AdminRequest, form: &PostedForm) -> Option<PostedForm> {
    let context = context(&admin.signed_in.person.id, &admin.request);
    let plain = admin.app.master.open(Purpose::Typed, &context, carried(form)?);
    let plain = plain.ok()?;
    let fields: Parameters = serde_json::from_slice(&plain).ok()?;
    Some(PostedForm {
        fields,
        browser: form.browser.clone(),
        mark: None,
        again: true,
    })
}

/// Asks to sign in anew, in another tab, and carries what was typed. `not_yet`: that was asked before.
pub fn ask(admin: &AdminRequest, form: &PostedForm, not_yet: bool) -> HttpResponse {
    let page = ConfirmPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Home),
        action: address_of(&admin.request),
        kept: sealed(&admin.app, &admin.request, &admin.signed_in.person.id, form),
        not_yet,
    };
    pages::respond(&page, StatusCode::FORBIDDEN, FormAction::SelfOnly)
}

/// The same for somebody whose session has ended meanwhile; `instead` is where she goes who has nothing to lose.
///
/// # Errors
/// A page, when the form came from elsewhere, or `instead`.
pub async fn after_session(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
    instead: PageRefused,
) -> Answered {
    let form = PostedForm::read_up_to(app, request, payload, LARGEST).await?;
    let (kept, not_yet) = match (carried(&form), Mark::of(app, request, &form)) {
        (Some(carried), _) => (carried.to_owned(), true),
        (None, Some(mark)) => (sealed(app, request, &mark.person, &form), false),
        (None, None) => return Err(instead),
    };
    let csrf = browser::csrf_token(app, &form.browser);
    let page = ConfirmPage {
        shell: browser::shell(app),
        frame: Frame {
            csrf: csrf.into(),
            nav: Vec::new(),
            done: None,
        },
        action: address_of(request),
        kept,
        not_yet,
    };
    Ok(pages::respond(&page, StatusCode::FORBIDDEN, FormAction::SelfOnly))
}

/// What the other tab shows in the end.
pub const CONFIRMED_REQUIRES: Requires = Requires::read(Area::Home).about(About::Own).fresh();

/// `GET /admin/confirmed`
pub async fn confirmed(admin: AdminRequest) -> Answered {
    let page = ConfirmedPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Home),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
