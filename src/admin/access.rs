//! Who may see a page of the console: somebody who is signed in with two factors, whose roles have the right there. What
//! shows or makes secrets, keys and administrators wants a fresh sign-in besides.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::clock::local_time::Zone;
use crate::error::{Broken, PageError};
use crate::policy::console::{self, Area, Right};
use crate::registry::{ActingCredential, Registry};
use crate::session::client_address;
use crate::web::browser::{self, PostedForm};
use crate::web::guard::{self, PageRefused, SignedIn};
use crate::web::pages::Shell;
use crate::web::parameters::Parameters;

/// How old a sign-in may be for pages with secrets, keys and administrators' rights, in seconds.
pub const FRESH: i64 = 300;
/// How much longer the form of such a page may be filled in.
const FILLING_IN: i64 = 600;

/// What a page of the console is, for whoever decides whether it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Requires {
    /// Where it belongs.
    pub area: Area,
    /// What is needed there.
    pub right: Right,
    /// Whether it wants a fresh sign-in.
    pub fresh: bool,
}

impl Requires {
    /// A page to look at.
    pub const fn read(area: Area) -> Self {
        Self {
            area,
            right: Right::Read,
            fresh: false,
        }
    }

    /// A page that changes something.
    pub const fn change(area: Area) -> Self {
        Self {
            area,
            right: Right::Change,
            fresh: false,
        }
    }

    /// The same for somebody who has just signed in.
    pub const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }
}

/// Somebody at the console.
pub struct AdminRequest {
    /// The application.
    pub app: Arc<App>,
    /// Who it is.
    pub signed_in: SignedIn,
    /// The CSRF token of her browser.
    pub csrf: String,
    /// Her time zone.
    pub zone: Zone,
    address: IpAddr,
    done: Option<String>,
}

/// A part of the console, in the navigation.
#[derive(Debug, Clone)]
pub struct NavItem {
    /// Where it is.
    pub path: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Whether the page belongs to it.
    pub current: bool,
}

/// What the pages of the console share, beside the shell of all pages.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// CSRF token.
    pub csrf: &'a str,
    /// The parts that this person may see.
    pub nav: Vec<NavItem>,
    /// What was done just now.
    pub done: Option<&'static str>,
}

/// The parts of the console, by noun: path, name, and which areas they are.
const NAV: &[(&str, &str, Area)] = &[
    ("/admin", "Home", Area::Home),
    ("/admin/clients", "Clients", Area::Clients),
    (
        "/admin/resource-servers",
        "Resource servers",
        Area::ResourceServers,
    ),
    (
        "/admin/identity-providers",
        "Agency sign-in",
        Area::IdentityProviders,
    ),
    ("/admin/users", "People", Area::People),
    ("/admin/sessions", "Sessions", Area::Sessions),
    ("/admin/grants", "Grants", Area::Grants),
    ("/admin/policy", "Policy", Area::Policy),
    ("/admin/keys", "Keys", Area::Keys),
    ("/admin/audit", "Audit", Area::Audit),
    ("/admin/access-review", "Access review", Area::AccessReview),
    ("/admin/settings", "Import and export", Area::Configuration),
    ("/admin/api-tokens", "API tokens", Area::ApiTokens),
];

/// What a page says that was done before it: the word in the address, and the text.
const DONE: &[(&str, &str)] = &[
    ("registered", "The client is registered."),
    ("saved", "Your changes are saved."),
    ("unchanged", "Nothing was different, so nothing was changed."),
    ("secret-made", "There is a new secret."),
    (
        "vendor-link-made",
        "The link is made. An older one does not work any more.",
    ),
    ("disabled", "Disabled. Everything it could do has ended."),
    ("enabled", "Enabled."),
    ("deleted", "Deleted."),
    ("ended", "Ended."),
    ("server-registered", "The resource server is registered."),
    ("provider-registered", "The identity provider is registered."),
    (
        "provider-disabled",
        "Disabled. Nobody can sign in with it any more, and everyone who did is signed out.",
    ),
    ("keys-made", "There are new signing keys."),
    ("check-begun", "The check has begun."),
    (
        "check-runs",
        "A check was running already, so no other one was begun.",
    ),
    ("token-made", "There is a new token."),
    ("token-revoked", "The token is revoked."),
    ("unlocked", "Unlocked. The next try counts from one again."),
    ("person-added", "The person is added."),
    ("link-made", "The link is made. Older links do not work any more."),
    (
        "mailed",
        "The link is on its way by mail. Older links do not work any more.",
    ),
    (
        "person-disabled",
        "Disabled. Nobody can sign in with this account, and everything it was used for has ended.",
    ),
    ("person-enabled", "Enabled. The person can sign in again."),
    (
        "factors-reset",
        "The second factors are gone. The next sign-in sets up a new one.",
    ),
    ("signed-out", "Signed out everywhere."),
    (
        "revoked",
        "Signed out everywhere, and everything that was allowed is taken back.",
    ),
    ("signed-off", "Your sign-off is recorded."),
];

/// Lets somebody in, or answers where she goes instead.
///
/// # Errors
/// To the sign-in, or a page that says whose this is.
pub async fn admit(
    app: &Arc<App>,
    request: &HttpRequest,
    requires: Requires,
) -> Result<AdminRequest, PageRefused> {
    // A form that was posted goes back to the page that has it: those have one address.
    let page = request
        .uri()
        .path_and_query()
        .map_or("/admin", |path| path.as_str());
    let posted = request.method() == Method::POST;
    let age = if posted { FRESH + FILLING_IN } else { FRESH };
    let signed_in = guard::signed_in(app, request, page, requires.fresh.then_some(age)).await?;
    let address = client_address::of(app, request);
    let roles = &signed_in.person.settings.roles;
    // A role counts with two factors alone, whatever the policy says of it.
    if !signed_in.session.has_second_factor() || console::right(roles, requires.area) < requires.right {
        return Err(PageRefused::Error(
            refused(app, &signed_in, address, page, requires).await?,
        ));
    }
    let query = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    Ok(AdminRequest {
        csrf: browser::csrf_token(app, &signed_in.browser),
        zone: Zone::of(&signed_in.person.settings, &app.config.policy.time_zone),
        app: Arc::clone(app),
        done: query.one("done").ok().flatten().map(str::to_owned),
        signed_in,
        address,
    })
}

/// Says whose the page is, and records that somebody reached for it.
async fn refused(
    app: &App,
    signed_in: &SignedIn,
    address: IpAddr,
    page: &str,
    requires: Requires,
) -> Result<PageError, PageError> {
    let person = &signed_in.person;
    if app.failure_counts.note(
        address,
        Failed::Known(&format!("console {:?} {}", requires.area, person.id)),
        app.now(),
    ) == Noted::First
    {
        let event = app
            .event(Kind::ConsoleRefused, Actor::Person(person.id.clone()))
            .outcome(Outcome::MinorFailure)
            .from(address.to_string())
            .with("path", page.split('?').next().unwrap_or_default())
            .with("roles", person.settings.roles.join(" "));
        let written = app.store.write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        written.await?;
    }
    let is_of_console = console::is_of_console(&person.settings.roles);
    let what = if is_of_console {
        "Your role does not include this part of the administration. Ask an administrator if you need it."
    } else {
        "This part is for administrators. Your account has no role in it."
    };
    Ok(PageError {
        status: StatusCode::FORBIDDEN,
        ..PageError::new(what)
    })
}

impl AdminRequest {
    /// Whether this person may do something.
    pub fn may(&self, area: Area, right: Right) -> bool {
        console::right(&self.signed_in.person.settings.roles, area) >= right
    }

    /// Whether this person may change something there: for the templates.
    pub fn changes(&self, area: Area) -> bool {
        self.may(area, Right::Change)
    }

    /// The registry, as this person uses it.
    pub fn registry(&self) -> Registry {
        let person = &self.signed_in.person;
        let warrant = ActingCredential::Session {
            id: self.signed_in.session.id.clone(),
            person_id: person.id.clone(),
            generation: person.generation,
        };
        Registry::new(Arc::clone(&self.app), Actor::Person(person.id.clone())).bounded(
            console::Authority::of(&person.settings.roles),
            warrant,
            self.address.to_string(),
        )
    }
    /// An event that this person causes.
    pub fn event(&self, kind: Kind) -> crate::audit::event::Event {
        self.app
            .event(kind, Actor::Person(self.signed_in.person.id.clone()))
            .from(self.address.to_string())
    }

    /// The shell of the page.
    pub fn shell(&self) -> Shell<'_> {
        browser::shell_of(&self.app, &self.signed_in.person, &self.csrf)
    }

    /// What the page shares with the others of the console; it belongs to `area`.
    pub fn frame(&self, area: Area) -> Frame<'_> {
        let seen = NAV.iter().filter(|(_, _, listed)| self.may(*listed, Right::Read));
        let nav = seen
            .map(|&(path, label, listed)| NavItem {
                path,
                label,
                current: listed == area,
            })
            .collect();
        let done = self
            .done
            .as_deref()
            .and_then(|word| DONE.iter().find(|(known, _)| *known == word));
        Frame {
            csrf: &self.csrf,
            nav,
            done: done.map(|(_, text)| *text),
        }
    }

    /// Reads a form that was posted to the page.
    ///
    /// # Errors
    /// A page, when it came from elsewhere.
    pub async fn posted(&self, request: &HttpRequest, body: web::Payload) -> Result<PostedForm, PageError> {
        PostedForm::read(&self.app, request, body).await
    }
}

/// Does what takes long away from the threads that run async tasks.
///
/// # Errors
/// When the work panicked.
pub async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    web::block(work).await.map_err(Broken::defect)
}

/// Answers what a handler made, or the page that stopped it.
pub fn answer(app: &App, outcome: Result<HttpResponse, PageRefused>) -> HttpResponse {
    outcome.unwrap_or_else(|stop| stop.answer(app))
}

/// 303 to a page that says what was done.
pub fn done(path: &str, word: &str) -> HttpResponse {
    let mark = if path.contains('?') { '&' } else { '?' };
    browser::see_other(&format!("{path}{mark}done={word}"), &[])
}
