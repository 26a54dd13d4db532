//! What login, consent and authorization share of the browser: its cookies, the sealed request that it carries from
//! page to page, CSRF, and error pages.
//!
//! The two cookies of signing in: one tells browsers apart before anybody signs in (requests are sealed to it, CSRF tokens
//! derive from it), one is the session. Neither is stored in the clear; [`CookieKind`] has the others. On a loopback
//! issuer their names carry the port, because cookies do not tell ports apart.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::app::App;
use crate::error::PageError;
use crate::model::person::Person;
use crate::model::secret::SecretHash;
use crate::policy::console;
use crate::secrets::master_key::{Derivation, Purpose};
use crate::web::pages::{self, ErrorPage, FormAction, Shell, SignedInAs};
use crate::web::parameters::{LARGEST_BODY, Parameters};

/// How long a person may take from the application's request to the last page, in seconds.
const PENDING_SECONDS: i64 = 3600;

/// How long a browser stays known after a sign-in, in days.
const KNOWN_DAYS: i64 = 365;
/// The longest cookie that says whom a browser has signed in, in bytes.
const LONGEST_KNOWN: usize = 512;
/// How long a browser carries what is shown once, in seconds: from a redirect to the page behind it.
const ONCE_SECONDS: i64 = 60;
/// The longest cookie with something that is shown once, in bytes.
const LONGEST_ONCE: usize = 3000;
/// What is told where a page was made for another browser than the one that shows it.
pub const OTHER_BROWSER: &str = "This page belongs to another browser, or cookies are switched off.";

/// What the pages share.
pub fn shell(app: &App) -> Shell<'_> {
    Shell {
        service_name: &app.config.server.name,
        jurisdiction: app.config.server.jurisdiction.as_deref(),
        logo: app.logo.as_ref().map(|logo| logo.url.as_str()),
        account: None,
    }
}

/// The same for somebody who is signed in: with the name, and the button that signs out.
pub fn shell_of<'a>(app: &'a App, person: &'a Person, csrf: &'a str) -> Shell<'a> {
    let administers = console::is_administrative(&person.settings);
    Shell {
        account: Some(SignedInAs {
            name: &person.name,
            csrf,
            administers,
        }),
        ..shell(app)
    }
}

/// Which of our cookies.
#[derive(Debug, Clone, Copy)]
pub enum CookieKind {
    /// Tells browsers apart.
    Browser,
    /// The session.
    Session,
    /// Whom the browser has signed in before.
    Known,
    /// A secret that the next page shows, sealed.
    Once,
    /// The secret of the vendor's link that was opened last.
    Vendor,
}

fn cookie_name(app: &App, kind: CookieKind) -> String {
    let name = match kind {
        CookieKind::Browser => "__Host-mdi-browser",
        CookieKind::Session => "__Host-mdi-session",
        CookieKind::Known => "__Host-mdi-known",
        CookieKind::Once => "__Host-mdi-once",
        CookieKind::Vendor => "__Host-mdi-vendor",
    };
    let issuer = &app.config.server.issuer;
    if issuer.is_loopback() {
        format!("{name}-{}", issuer.port())
    } else {
        name.to_owned()
    }
}

/// The value of one of our cookies. A value that is not of our making counts as none.
pub fn cookie(app: &App, request: &HttpRequest, kind: CookieKind) -> Option<String> {
    let cookie = request.cookie(&cookie_name(app, kind))?;
    let fits = match kind {
        CookieKind::Browser | CookieKind::Session | CookieKind::Vendor => cookie.value().len() == 43,
        CookieKind::Known => cookie.value().len() <= LONGEST_KNOWN,
        CookieKind::Once => cookie.value().len() <= LONGEST_ONCE,
    };
    fits.then(|| cookie.value().to_owned())
}

/// One of our cookies, to be set.
pub fn set_cookie(app: &App, kind: CookieKind, value: &str) -> Cookie<'static> {
    let mut cookie = Cookie::build(cookie_name(app, kind), value.to_owned())
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    match kind {
        CookieKind::Browser | CookieKind::Session | CookieKind::Vendor => {}
        CookieKind::Known => cookie.set_max_age(Duration::days(KNOWN_DAYS)),
        CookieKind::Once => cookie.set_max_age(Duration::seconds(ONCE_SECONDS)),
    }
    cookie
}

/// One of our cookies, to be taken away.
pub fn clear_cookie(app: &App, kind: CookieKind) -> Cookie<'static> {
    let mut cookie = set_cookie(app, kind, "");
    cookie.set_max_age(Duration::ZERO);
    cookie
}

/// What the last page has to say on the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Wrong username or password, locked or disabled: one text for all.
    NotAccepted,
    /// Too many attempts from this address.
    TooMany,
    /// The username is missing.
    UsernameMissing,
    /// The password is missing.
    PasswordMissing,
    /// The page was open for too long: the person begins anew, for the same application.
    PageStale,
    /// Too many wrong codes; the password was right.
    CodesExhausted,
    /// Too long after the first factor for a sign-in that has to be fresh.
    SecondFactorLate,
    /// The code is missing.
    CodeMissing,
    /// The code is wrong, or was used.
    CodeNotAccepted,
    /// Nothing was chosen.
    ChoiceMissing,
    /// The page with the passkey was open for too long.
    PasskeyStale,
    /// The passkey is unknown, or does not count.
    PasskeyNotAccepted,
    /// The name of the passkey is missing or too long.
    PasskeyName,
    /// One session was ended.
    SessionEnded,
    /// All other sessions were ended.
    OtherSessionsEnded,
    /// An application lost what it was allowed.
    ApplicationEnded,
    /// The agency's identity provider does not answer.
    ProviderSilent,
    /// The person turned back at the agency's identity provider.
    ProviderDenied,
    /// The agency's identity provider said something that is not accepted, or leads to no account.
    ProviderNotAccepted,
    /// The agency's identity provider cannot confirm anew who somebody is, which is wanted.
    ProviderCannotConfirm,
    /// Whoever has the account gets a link by mail, if mail may be sent.
    LinkRequested,
    /// A passkey has another name.
    PasskeyRenamed,
    /// A passkey is gone, or was already.
    PasskeyRemoved,
    /// The authenticator app is gone.
    AuthenticatorRemoved,
    /// A link that confirms the address is on its way.
    AddressLinkSent,
    /// No link was sent, because there was one a short while ago, or many.
    AddressLinkHeldBack,
    /// The address is confirmed.
    AddressConfirmed,
}

/// To a page of ours, which says what was done.
pub fn done(app: &App, path: &str, browser: &str, done: Notice) -> HttpResponse {
    let pending = Pending::new(Destination::Page(path.to_owned()), app.now()).saying(done);
    see_other(&page_url(path, &pending.seal(app, Some(browser))), &[])
}

/// What a person signs in for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Destination {
    /// An application: its authorization request as it came, validated anew at each step.
    Application(Parameters),
    /// A page of ours, by its path. Only our own handlers name it: there is no open redirect.
    Page(String),
}

/// A sign-in on its way from page to page. It is sealed and carried by the browser: strangers cause no writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// What the person signs in for.
    pub destination: Destination,
    /// When it came, in seconds since the epoch.
    pub created_at: i64,
    /// Hash of the session that the person made for this very request: then `prompt=login` is satisfied.
    #[serde(default)]
    pub authenticated: Option<String>,
    /// Hash of the session that the consent page was shown to.
    #[serde(default)]
    pub shown_to: Option<String>,
    /// What the next page has to say.
    #[serde(default)]
    pub notice: Option<Notice>,
    /// What was typed as username.
    #[serde(default)]
    pub username: Option<String>,
    /// Whether the system-use notice was acknowledged.
    #[serde(default)]
    pub banner_read: bool,
    /// How old the sign-in may be for our page, in seconds, if it says.
    #[serde(default)]
    pub fresh: Option<i64>,
}

impl Pending {
    /// A sign-in that begins now.
    pub fn new(destination: Destination, now: i64) -> Self {
        Self {
            destination,
            created_at: now,
            authenticated: None,
            shown_to: None,
            notice: None,
            username: None,
            banner_read: false,
            fresh: None,
        }
    }

    /// The authorization request, if an application sent the person.
    pub fn parameters(&self) -> Option<&Parameters> {
        match &self.destination {
            Destination::Application(parameters) => Some(parameters),
            Destination::Page(_) => None,
        }
    }

    /// Where it goes on when a step is done: to the authorization endpoint, which knows what comes next, or to our page,
    /// which knows as well.
    pub fn onward(&self, app: &App, browser: &str) -> String {
        match &self.destination {
            Destination::Application(_) => page_url("/oauth2/authorize", &self.seal(app, Some(browser))),
            Destination::Page(path) => path.clone(),
        }
    }

    /// Seals it to a browser; none: to nobody, for the step from a form of another site to our own GET.
    pub fn seal(&self, app: &App, browser: Option<&str>) -> String {
        let plain = serde_json::to_vec(self).unwrap_or_default();
        app.master.seal(
            Purpose::PendingAuthorization,
            browser.unwrap_or_default(),
            &plain,
            app.entropy,
        )
    }

    /// Opens what [`Pending::seal`] made.
    ///
    /// # Errors
    /// A page for the person when it was made for another browser, altered, or is too old.
    pub fn open(app: &App, sealed: &str, browser: Option<&str>) -> Result<Self, PageError> {
        let opened = app
            .master
            .open(Purpose::PendingAuthorization, browser.unwrap_or_default(), sealed);
        let plain = opened.map_err(|cause| {
            PageError::new(OTHER_BROWSER)
                .details("Parameter: pending.")
                .because(cause)
        })?;
        let pending: Self = serde_json::from_slice(&plain)
            .map_err(|cause| PageError::malformed("Parameter pending cannot be read.").because(cause))?;
        if app.now() - pending.created_at > PENDING_SECONDS {
            // Whatever was asked for is asked for anew: only what the page itself had reached is lost.
            let anew = Self {
                username: pending.username,
                fresh: pending.fresh,
                ..Self::new(pending.destination, app.now())
            };
            let onward = anew
                .saying(Notice::PageStale)
                .onward(app, browser.unwrap_or_default());
            return Err(PageError::new("This page was open for too long.")
                .details("Parameter: pending.")
                .leading(onward));
        }
        Ok(pending)
    }

    /// Somebody signed in for it: the session with this hash was made for this very request.
    pub fn signed_in(&mut self, session_hash: String) {
        self.authenticated = Some(session_hash);
        self.username = None;
        self.notice = None;
    }

    /// The same request, with nothing to say on the next page.
    pub fn saying_nothing(&self) -> Self {
        Self {
            notice: None,
            ..self.clone()
        }
    }

    /// The same request with something to say on the next page.
    pub fn saying(mut self, notice: Notice) -> Self {
        self.notice = Some(notice);
        self
    }
}

/// The CSRF token of a browser.
pub fn csrf_token(app: &App, browser: &str) -> String {
    app.master.derive(Derivation::Csrf, &[browser])
}

/// A form that was posted to one of our pages: from our own page, in the browser that the request is sealed to.
#[derive(Debug)]
pub struct PostedForm {
    /// Its fields.
    pub fields: Parameters,
    /// The cookie that tells the browser.
    pub browser: String,
    /// What stands behind the CSRF token, where a page says more there.
    pub mark: Option<String>,
    /// It is only to be shown again, with what was typed.
    pub again: bool,
}

/// Between the CSRF token and what a page says more.
pub const MARK: char = '~';

impl PostedForm {
    /// Reads a form and checks where it came from.
    ///
    /// # Errors
    /// A page for the person.
    pub async fn read(app: &App, request: &HttpRequest, body: web::Payload) -> Result<Self, PageError> {
        Self::read_up_to(app, request, body, LARGEST_BODY).await
    }

    /// The same for a form of at most so many bytes.
    ///
    /// # Errors
    /// A page for the person.
    pub async fn read_up_to(
        app: &App,
        request: &HttpRequest,
        body: web::Payload,
        largest: usize,
    ) -> Result<Self, PageError> {
        let fields = Parameters::from_body_of(request, body, largest)
            .await
            .map_err(|error| PageError::malformed(error.description))?;
        Self::accept(app, request, fields)
    }

    /// Checks where fields came from that were read already.
    ///
    /// # Errors
    /// A page for the person.
    pub fn accept(app: &App, request: &HttpRequest, fields: Parameters) -> Result<Self, PageError> {
        let foreign = request
            .headers()
            .get(ORIGIN)
            .is_some_and(|origin| origin.as_bytes() != app.issuer().as_bytes());
        let browser = cookie(app, request, CookieKind::Browser);
        let Some(browser) = browser.filter(|_| !foreign) else {
            return Err(
                PageError::new("This form came from another site, or cookies are switched off.")
                    .details("Parameter: csrf."),
            );
        };
        let one = |name: &str| fields.one(name).ok().flatten().unwrap_or_default().to_owned();
        let (expected, sent) = (csrf_token(app, &browser), one("csrf"));
        let (token, mark) = sent
            .split_once(MARK)
            .map_or((sent.as_str(), None), |(token, mark)| (token, Some(mark)));
        if verify_slices_are_equal(expected.as_bytes(), token.as_bytes()).is_err() {
            return Err(PageError::new(OTHER_BROWSER).details("Parameter: csrf."));
        }
        Ok(Self {
            mark: mark.map(str::to_owned),
            fields,
            browser,
            again: false,
        })
    }

    /// A field, empty when it is absent.
    ///
    /// # Errors
    /// A page for the person when it was sent twice.
    pub fn field(&self, name: &str) -> Result<&str, PageError> {
        let found = self
            .fields
            .one(name)
            .map_err(|error| PageError::malformed(error.description))?;
        Ok(found.unwrap_or_default())
    }

    /// The sign-in that it carries.
    pub fn pending(&self, app: &App) -> Result<Pending, PageError> {
        Pending::open(app, self.field("pending")?, Some(&self.browser))
    }
}

/// The sealed request of a page's query, opened, with the browser's cookie.
///
/// # Errors
/// A page for the person.
pub fn carried(app: &App, request: &HttpRequest) -> Result<(Pending, String), PageError> {
    let query = Parameters::parse(request.query_string().as_bytes())
        .map_err(|error| PageError::malformed(error.description))?;
    let sealed = query.one("pending").ok().flatten().ok_or_else(|| {
        PageError::new("This address is a step of signing in and leads nowhere by itself. Open your application and sign in there.").details("Parameter: pending is missing.")
    })?;
    let browser = cookie(app, request, CookieKind::Browser)
        .ok_or_else(|| PageError::new(OTHER_BROWSER).details("Parameter: pending."))?;
    Ok((Pending::open(app, sealed, Some(&browser))?, browser))
}

/// 303 to a step of signing in, sealed to this browser, which gets its cookie now if it has none.
pub fn on_to(app: &App, request: &HttpRequest, path: &str, pending: &Pending) -> HttpResponse {
    let (browser, fresh) = browser_cookie(app, request);
    see_other(&page_url(path, &pending.seal(app, Some(&browser))), &fresh)
}

/// The cookie that tells the browser, and that cookie to be set if it is new.
pub fn browser_cookie(app: &App, request: &HttpRequest) -> (String, Vec<Cookie<'static>>) {
    match cookie(app, request, CookieKind::Browser) {
        Some(known) => (known, Vec::new()),
        None => {
            let new = app.entropy.secret();
            let set = set_cookie(app, CookieKind::Browser, &new);
            (new, vec![set])
        }
    }
}

/// The path of one of our pages with the request it carries.
pub fn page_url(path: &str, sealed: &str) -> String {
    format!(
        "{path}?{}",
        form_urlencoded::Serializer::new(String::new())
            .append_pair("pending", sealed)
            .finish()
    )
}

/// 303 to somewhere, never stored.
pub fn see_other(location: &str, cookies: &[Cookie<'_>]) -> HttpResponse {
    let mut answer = HttpResponse::SeeOther();
    answer
        .insert_header((LOCATION, location))
        .insert_header((CACHE_CONTROL, "no-store"));
    for cookie in cookies {
        answer.cookie(cookie.clone());
    }
    answer.finish()
}

/// The hash under which the database knows a session.
pub fn session_hash(app: &App, request: &HttpRequest) -> Option<String> {
    cookie(app, request, CookieKind::Session).map(|value| SecretHash::of(&value).as_str().to_owned())
}

/// An error page.
pub fn error_page(app: &App, error: &PageError) -> HttpResponse {
    tracing::info!(reference = %error.reference, what = %error.details.as_ref().unwrap_or(&error.what), cause = error.cause.as_deref().unwrap_or("-"), "error page");
    if let Some(onward) = &error.onward {
        return see_other(onward, &[]);
    }
    let mut page = ErrorPage::new(shell(app), &error.what, &error.reference);
    page.details = error.details.as_deref();
    page.sign_out = error.sign_out;
    if error.status == StatusCode::NOT_FOUND {
        page.heading = "Page not found";
        page.advice = "Check the address, or go back to where you came from.";
    }
    if error.status.is_server_error() {
        page.heading = "We cannot do this just now";
        page.advice = "Nothing was lost. Try again in a moment. If this keeps happening, give your IT contact this reference.";
    }
    let mut answer = pages::respond(&page, error.status, FormAction::SelfOnly);
    if error.status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(
            actix_web::http::header::RETRY_AFTER,
            actix_web::http::header::HeaderValue::from_static("2"),
        );
    }
    answer
}
