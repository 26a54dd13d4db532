//! Who may see a page of ours that is for people who are signed in: it holds the session, what is due in it is done, and
//! the sign-in is as fresh as the page wants it. Everybody else is sent to sign in, and comes back.

use actix_web::{HttpRequest, HttpResponse};

use crate::app::App;
use crate::error::PageError;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::session::{self, Due, Limits, Loaded};
use crate::web::browser::{self, CookieKind, Destination, Pending};
use crate::web::refusals;

/// Somebody who is signed in and may see the page.
#[derive(Clone)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Who it is.
    pub person: Person,
    /// Whether the person has a passkey.
    pub has_passkey: bool,
    /// The cookie that tells the browser, which CSRF tokens derive from.
    pub browser: String,
}

/// Why the page is not shown.
#[derive(Debug)]
pub enum PageRefused {
    /// With another one, or with the way there: where the person signs in, or what does not work any more.
    Elsewhere(Box<HttpResponse>),
    /// With an error.
    Error(PageError),
}

impl<E: Into<PageError>> From<E> for PageRefused {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl PageRefused {
    /// The answer.
    pub fn answer(self, app: &App) -> HttpResponse {
        match self {
            Self::Elsewhere(answer) => *answer,
            Self::Error(error) => browser::error_page(app, &error),
        }
    }
}

/// The session of a browser, whatever is due in it.
///
/// # Errors
/// A page, when the database does not answer.
pub async fn session_of(app: &App, request: &HttpRequest) -> Result<Option<Loaded>, PageError> {
    let Some(hash) = browser::session_hash(app, request) else {
        return Ok(None);
    };
    let (limits, now) = (Limits::of(app), app.now());
    Ok(app
        .store
        .read(move |conn| session::load(conn, &hash, limits, now))
        .await?)
}

/// To a page where the person goes on, and from there to `page`, a path of ours.
pub fn elsewhere(
    app: &App,
    request: &HttpRequest,
    path: &str,
    page: &str,
    fresh: Option<i64>,
) -> PageRefused {
    let pending = Pending {
        fresh,
        ..Pending::new(Destination::Page(page.to_owned()), app.now())
    };
    PageRefused::Elsewhere(Box::new(browser::on_to(app, request, path, &pending)))
}

/// Lets the person see `page`, a path of ours; `fresh`: only if she signed in at most so many seconds ago.
///
/// # Errors
/// Where to go instead.
pub async fn signed_in(
    app: &App,
    request: &HttpRequest,
    page: &str,
    fresh: Option<i64>,
) -> Result<SignedIn, PageRefused> {
    let instead = |path: &str| Err(elsewhere(app, request, path, page, fresh));
    let (Some(loaded), Some(browser)) = (
        session_of(app, request).await?,
        browser::cookie(app, request, CookieKind::Browser),
    ) else {
        return instead("/login");
    };
    if let Some(due) = loaded.due(app) {
        return instead(due.path());
    }
    if let Some(seconds) = fresh {
        // What a fresh sign-in is asked for, the second factor is asked for as well.
        if loaded.has_second_factor() && !loaded.session.has_second_factor() {
            return instead(Due::SecondFactor.path());
        }
        let session = &loaded.session;
        if app.now() - session.auth_time > seconds || !session.factors_are_together() {
            return instead("/login");
        }
    }
    refusals::note_known(request);
    session::note_use(app, &loaded.session).await?;
    let Loaded {
        session,
        person,
        has_passkey,
    } = loaded;
    Ok(SignedIn {
        session,
        person,
        has_passkey,
        browser,
    })
}
