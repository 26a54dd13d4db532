//! Who may see a page of the console: somebody who is signed in with two factors, whose roles have the right there. What
//! shows or makes secrets, keys and administrators wants a fresh sign-in besides.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::about::{About, Admitted};
use super::list_query::ListQuery;
use crate::app::App;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::failure_counts::{Failed, Noted};
use crate::clock::local_time::Zone;
use crate::error::{Broken, PageError};
use crate::model::person::Person;
use crate::policy::console::{self, Area, Authority, Reach, Right};
use crate::registry::{ActingCredential, Registry};
use crate::secrets::master_key::Purpose;
use crate::session::client_address;
use crate::store::people;
use crate::web::browser::{self, MARK, PostedForm};
use crate::web::guard::{self, PageRefused, SignedIn};
use crate::web::pages::Shell;
use crate::web::parameters::Parameters;

/// How old a sign-in may be for keys, roles, API tokens and what people sign in with, in seconds.
const FRESH: i64 = 5 * 60;
/// How old it may be for what is registered, in seconds.
const RECENT: i64 = 15 * 60;
/// Parameters that say nothing of what is looked for.
const OF_LISTS: [&str; 4] = ["after", "before", "sort", "done"];
/// How much of what is looked for is recorded, in characters.
const LONGEST_LOOK: usize = 200;
/// How long a form may be filled in, in seconds: what it asks for was judged when it was shown.
const FILLING_IN: i64 = 30 * 60;

/// What a handler of a page answers.
pub type Answered = Result<HttpResponse, PageRefused>;

/// What a page of the console is, for whoever decides whether it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Requires {
    /// Where it belongs.
    pub area: Area,
    /// What is needed there.
    pub right: Right,
    /// How old the sign-in may be, in seconds; none: as old as the session may get.
    pub age: Option<i64>,
    /// What it is about.
    pub about: About,
}

impl Requires {
    /// A page to look at.
    pub const fn read(area: Area) -> Self {
        Self {
            area,
            right: Right::Read,
            age: None,
            about: About::Everybody,
        }
    }

    /// A page that changes something.
    pub const fn change(area: Area) -> Self {
        Self {
            area,
            right: Right::Change,
            age: None,
            about: About::Everybody,
        }
    }

    /// The same for somebody who has just signed in.
    pub const fn fresh(self) -> Self {
        Self {
            age: Some(FRESH),
            ..self
        }
    }

    /// The same for somebody who signed in a short while ago.
    pub const fn recent(self) -> Self {
        Self {
            age: Some(RECENT),
            ..self
        }
    }

    /// The same about something that the address names, or about what whoever asks looks after.
    pub const fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// What it comes to for whom it is about: people with a role of the console are administrators' affair, and want
    /// somebody who has just signed in.
    fn of(self, about: Option<&Person>) -> Self {
        match about {
            Some(person) if console::is_administrative(&person.settings) => Self {
                area: Area::Administrators,
                age: if self.right == Right::Change {
                    Some(FRESH)
                } else {
                    self.age
                },
                ..self
            },
            _ => self,
        }
    }
}

/// Somebody at the console, who may be there.
pub struct AdminRequest {
    /// The application.
    pub app: Arc<App>,
    /// The request.
    pub request: HttpRequest,
    /// Who it is.
    pub signed_in: SignedIn,
    /// The CSRF token of her browser.
    pub csrf: String,
    /// Her time zone.
    pub zone: Zone,
    authority: Authority,
    address: IpAddr,
    done: Option<String>,
    parts: Parts,
    about: Option<Person>,
    /// The mark of the form that was sent: a form that is shown again was shown when the first one was.
    mark: OnceCell<String>,
}

/// The parts of the console: path, name, and what it takes to look at it.
pub type Parts = Rc<[(String, &'static str, Requires)]>;

/// When a form was shown, and to whom. It counts for the browser and the address that it was shown for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mark {
    session: String,
    /// Who filled it in.
    pub person: String,
    /// In seconds since the epoch.
    shown: i64,
    /// When that person had signed in then.
    signed_in: i64,
}

impl Mark {
    /// That of a form that was sent.
    pub fn of(app: &App, request: &HttpRequest, form: &PostedForm) -> Option<Self> {
        let context = Self::context(&form.browser, request.path());
        let plain = app
            .master
            .open(Purpose::FormShown, &context, form.mark.as_deref()?);
        serde_json::from_slice(&plain.ok()?).ok()
    }

    fn seal(&self, app: &App, browser: &str, path: &str) -> String {
        let plain = serde_json::to_vec(self).unwrap_or_default();
        let context = Self::context(browser, path);
        app.master.seal(Purpose::FormShown, &context, &plain, app.entropy)
    }

    fn context(browser: &str, path: &str) -> String {
        format!("{browser} {path}")
    }
}

/// A part of the console, in the navigation.
#[derive(Debug, Clone)]
pub struct NavItem {
    /// Where it is.
    pub path: String,
    /// What it is called.
    pub label: &'static str,
    /// Whether the page belongs to it.
    pub current: bool,
}

/// What the pages of the console share, beside the shell of all pages.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// CSRF token, with the mark of when the page was shown.
    pub csrf: Cow<'a, str>,
    /// The parts that this person may see.
    pub nav: Vec<NavItem>,
    /// What was done just now.
    pub done: Option<&'static str>,
}

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
    ("agency-registered", "The agency is registered."),
    (
        "agency-disabled",
        "Disabled. Its people are signed out, and its systems get nothing any more.",
    ),
    ("provider-registered", "The identity provider is registered."),
    (
        "provider-disabled",
        "Disabled. No one can sign in with it any more, and everyone who did is signed out.",
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
    (
        "linked",
        "Linked. Whoever signs in at the agency as this user is let into this account.",
    ),
    (
        "unlinked",
        "Unlinked. What was begun with that sign-in has ended.",
    ),
    ("signed-off", "Your sign-off is recorded."),
];

/// Lets somebody in, or answers where she goes instead. How old the sign-in is, is asked of a page that is shown; of a
/// form that comes back, [`AdminRequest::is_in_time`] asks it.
///
/// # Errors
/// To the sign-in, or a page that says whose this is.
pub async fn admit(
    app: &Arc<App>,
    request: &HttpRequest,
    requires: Requires,
    parts: &Parts,
) -> Result<AdminRequest, PageRefused> {
    // A form that was posted goes back to the page that has it: those have one address.
    let page = address_of(request);
    let asked = |requires: Requires| requires.age.filter(|_| request.method() != Method::POST);
    let mut signed_in = guard::signed_in(app, request, page, asked(requires)).await?;
    let mut about = None;
    if requires.about == About::Person {
        let id = request.match_info().get("id").unwrap_or_default().to_owned();
        about = app.store.read(move |conn| people::find(conn, &id)).await?;
    }
    // Whom it is about may ask for more; that is told to nobody who is not signed in.
    let of_page = asked(requires);
    let requires = requires.of(about.as_ref());
    if asked(requires) != of_page {
        signed_in = guard::signed_in(app, request, page, asked(requires)).await?;
    }
    let address = client_address::of(app, request);
    let authority = Authority::of_person(&signed_in.person.settings, &app.live.agencies());
    let id = request.match_info().get("id").unwrap_or_default();
    let wanted = (requires.area, requires.right);
    match requires.about.admits(app, &authority, wanted, id).await? {
        // A role counts with two factors alone, whatever the policy says of it.
        Admitted::Yes if signed_in.session.has_second_factor() => {}
        Admitted::Hidden if signed_in.session.has_second_factor() => {
            // Recorded like any other reach for what is not hers.
            refused(app, &signed_in, address, page, requires).await?;
            return Err(PageError::not_found().into());
        }
        _ => {
            return Err(PageRefused::Error(
                refused(app, &signed_in, address, page, requires).await?,
            ));
        }
    }
    let query = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    Ok(AdminRequest {
        csrf: browser::csrf_token(app, &signed_in.browser),
        zone: Zone::of(&signed_in.person.settings, &app.config.policy.time_zone),
        app: Arc::clone(app),
        request: request.clone(),
        done: query.one("done").ok().flatten().map(str::to_owned),
        parts: Rc::clone(parts),
        signed_in,
        authority,
        address,
        about,
        mark: OnceCell::new(),
    })
}

/// Path and query of a request.
pub fn address_of(request: &HttpRequest) -> &str {
    request
        .uri()
        .path_and_query()
        .map_or("/admin", |path| path.as_str())
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
            .with("roles", person.settings.all_roles().join(" "));
        let written = app.store.write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        written.await?;
    }
    let is_of_console = console::is_administrative(&person.settings);
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
    /// A part of the address, by its name in the list of pages.
    pub fn part(&self, name: &str) -> &str {
        self.request.match_info().get(name).unwrap_or_default()
    }

    /// What the address says behind the path.
    pub fn query(&self) -> ListQuery {
        ListQuery::of(&self.request)
    }

    /// The person whom the page is about.
    ///
    /// # Errors
    /// There is no such person.
    pub fn about(&self) -> Result<Person, PageError> {
        self.about.clone().ok_or_else(PageError::not_found)
    }

    /// Records that somebody looks at this, once a minute.
    ///
    /// # Errors
    /// What the database says.
    pub async fn note_look(&self, kind: Kind, at: String) -> Result<(), Broken> {
        if !self
            .app
            .readers
            .is_first(&self.signed_in.person.id, &at, self.app.now())
        {
            return Ok(());
        }
        let mut event = self.event(kind).with("path", at);
        if let Some(person) = &self.about {
            event = event.person(person.id.clone());
        }
        let written = self.app.store.write(move |tx| {
            tx.audit(event.clone());
            Ok(())
        });
        written.await
    }

    /// What is looked at, by its address: the path, and what is looked for. Where a page of a list begins is not said.
    pub fn looked_at(&self) -> String {
        let query = Parameters::parse(self.request.query_string().as_bytes()).unwrap_or_default();
        let asked = query.without(&OF_LISTS).in_short(LONGEST_LOOK);
        format!("{} {asked}", self.request.path()).trim_end().to_owned()
    }

    /// The page for somebody who has not the right that something turns out to need; that is recorded.
    pub async fn refuse(&self, requires: Requires) -> PageRefused {
        let page = address_of(&self.request);
        match refused(&self.app, &self.signed_in, self.address, page, requires).await {
            Ok(page) | Err(page) => PageRefused::Error(page),
        }
    }

    /// Whether a form was shown to this session at this address while the sign-in was young enough, and not too long ago.
    pub fn is_in_time(&self, requires: Requires, form: &PostedForm) -> bool {
        let Some(age) = requires.of(self.about.as_ref()).age else {
            return true;
        };
        let mark = Mark::of(&self.app, &self.request, form);
        let session = &self.signed_in.session;
        let is_in_time = mark.is_some_and(|mark| {
            mark.session == session.id
                && mark.shown - mark.signed_in <= age
                && self.app.now() - mark.shown <= FILLING_IN
                && session.factors_are_together()
        });
        if let (true, Some(mark)) = (is_in_time, &form.mark) {
            self.mark.get_or_init(|| mark.clone());
        }
        is_in_time
    }

    /// To the page again, where that is due by way of the sign-in.
    pub fn begin_again(&self, requires: Requires) -> PageRefused {
        if self.is_young(requires) {
            let page = browser::see_other(address_of(&self.request), &[]);
            return PageRefused::Elsewhere(Box::new(page));
        }
        let age = requires.of(self.about.as_ref()).age;
        guard::elsewhere(&self.app, &self.request, "/login", address_of(&self.request), age)
    }

    /// Whether the sign-in is young enough now.
    pub fn is_young(&self, requires: Requires) -> bool {
        let session = &self.signed_in.session;
        requires
            .of(self.about.as_ref())
            .age
            .is_none_or(|age| self.app.now() - session.auth_time <= age && session.factors_are_together())
    }

    /// The CSRF token of a form that is sent to a path, with the mark of when it was shown.
    pub fn form_token(&self, path: &str) -> String {
        if let Some(mark) = self.mark.get().filter(|_| path == self.request.path()) {
            return format!("{}{MARK}{mark}", self.csrf);
        }
        let mark = Mark {
            session: self.signed_in.session.id.clone(),
            person: self.signed_in.person.id.clone(),
            shown: self.app.now(),
            signed_in: self.signed_in.session.auth_time,
        };
        let sealed = mark.seal(&self.app, &self.signed_in.browser, path);
        format!("{}{MARK}{sealed}", self.csrf)
    }

    /// Whether this person may do something, whoever it is about.
    pub fn may(&self, area: Area, right: Right) -> bool {
        self.authority.may(area, right)
    }

    /// Whether this person may do something about one agency at least.
    pub fn may_somewhere(&self, area: Area, right: Right) -> bool {
        self.authority.may_somewhere(area, right)
    }

    /// For whose affairs something may be done.
    pub fn reach(&self, area: Area, right: Right) -> Reach {
        self.authority.reach(area, right)
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
            self.authority.clone(),
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
        let seen = self.parts.iter().filter(|(_, _, requires)| {
            if requires.about == About::Own {
                self.may_somewhere(requires.area, requires.right)
            } else {
                self.may(requires.area, requires.right)
            }
        });
        let nav = seen
            .map(|(path, label, requires)| NavItem {
                path: path.clone(),
                label,
                current: requires.area == area,
            })
            .collect();
        let done = self
            .done
            .as_deref()
            .and_then(|word| DONE.iter().find(|(known, _)| *known == word));
        Frame {
            csrf: self.form_token(self.request.path()).into(),
            nav,
            done: done.map(|(_, text)| *text),
        }
    }
}

/// Does what takes long away from the threads that run async tasks.
///
/// # Errors
/// When the work panicked.
pub async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    web::block(work).await.map_err(Broken::defect)
}

/// 303 to a page that says what was done.
pub fn done(path: &str, word: &str) -> HttpResponse {
    let mark = if path.contains('?') { '&' } else { '?' };
    browser::see_other(&format!("{path}{mark}done={word}"), &[])
}
