//! The form that asks for a new password, for whoever has a link and whoever changes the old one.
//!
//! The pages ask for it twice, and again when it is refused. What they carry from one to the other is sealed to the
//! browser, so that the secret of a link stands in one address alone, which answers with a redirect.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::app::App;
use crate::error::{Broken, PageError};
use crate::model::network;
use crate::model::person::Person;
use crate::model::secret::Secret;
use crate::secrets::master_key::Purpose;
use crate::secrets::password_rules::{PasswordRefused, Whose};
use crate::session::lockout;
use crate::store::password_history;
use crate::web::browser::{self, CookieKind, PostedForm};
use crate::web::pages::links::{FieldMistake, NewPasswordPage};
use crate::web::pages::{self, FormAction};
use crate::web::parameters::Parameters;

/// Where a password is changed that is good.
pub(super) const CHANGE_PATH: &str = "/account/password";
/// Where one is replaced that has expired, while signing in.
pub(super) const EXPIRED_PATH: &str = "/login/new-password";
/// The heading for somebody who is new.
pub(super) const INVITED: &str = "Choose your password";
/// How long a page may stay open, in seconds.
const OPEN_SECONDS: i64 = 3600;

/// What was wrong with a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PasswordMistake {
    CurrentMissing,
    CurrentWrong,
    TooMany,
    Missing,
    NotTheSame,
    /// What the rules say.
    Refused(String),
}

impl PasswordMistake {
    /// The field at fault, and what the person is told.
    fn wrong(&self) -> FieldMistake<'_> {
        let whole_form = matches!(self, Self::TooMany);
        let (field, text) = match self {
            Self::CurrentMissing => ("current", "Enter your current password"),
            Self::CurrentWrong => ("current", "That is not your current password"),
            Self::TooMany => (
                "password",
                "There were too many attempts. Wait a minute, then try again",
            ),
            Self::Missing => ("password", "Enter a new password"),
            Self::NotTheSame => (
                "again",
                "The two passwords are not the same. Enter the new password again",
            ),
            Self::Refused(text) => ("password", text.as_str()),
        };
        FieldMistake {
            field,
            text,
            whole_form,
        }
    }
}

/// What a page carries, sealed to the browser.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Carried {
    pub(super) at: i64,
    /// Secret of the link.
    pub(super) link: Option<String>,
    /// What was wrong with the last attempt.
    pub(super) problem: Option<PasswordMistake>,
    /// The password was changed.
    #[serde(default)]
    pub(super) done: bool,
    /// It stands in a form that asks for a password, which nobody sees without a link or a session that holds.
    #[serde(default)]
    pub(super) asks: bool,
}

impl Carried {
    pub(super) fn new(app: &App) -> Self {
        Self {
            at: app.now(),
            ..Self::default()
        }
    }

    pub(super) fn seal(&self, app: &App, browser: &str) -> String {
        let plain = serde_json::to_vec(self).unwrap_or_default();
        app.master.seal(
            Purpose::PendingAuthorization,
            &context(browser),
            &plain,
            app.entropy,
        )
    }

    pub(super) fn open(app: &App, sealed: &str, browser: &str) -> Result<Self, PageError> {
        let plain = app
            .master
            .open(Purpose::PendingAuthorization, &context(browser), sealed)
            .map_err(|cause| {
                PageError::new(
                    "This page belongs to another browser, or cookies are switched off. Parameter: state.",
                )
                .because(cause)
            })?;
        let carried: Self = serde_json::from_slice(&plain)
            .map_err(|cause| PageError::new("Parameter state cannot be read.").because(cause))?;
        if app.now() - carried.at > OPEN_SECONDS {
            return Err(PageError::new(
                "This page was open for too long. Parameter: state.",
            ));
        }
        Ok(carried)
    }

    /// What the query of a page carries, if anything.
    pub(super) fn of_query(
        app: &App,
        request: &HttpRequest,
        browser: &str,
    ) -> Result<Option<Self>, PageError> {
        let query = Parameters::parse(request.query_string().as_bytes())
            .map_err(|error| PageError::new(error.description))?;
        query
            .one("state")
            .ok()
            .flatten()
            .map(|sealed| Self::open(app, sealed, browser))
            .transpose()
    }
}

/// Sealed sign-ins have the browser alone as their context: neither opens as the other.
fn context(browser: &str) -> String {
    format!("new password {browser}")
}

/// The path of a page with what it carries.
pub(super) fn page_url(path: &str, carried: &[(&str, &str)]) -> String {
    format!(
        "{path}?{}",
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(carried)
            .finish()
    )
}

/// What the pages that ask for a new password have of their own.
pub(super) struct Ask<'a> {
    pub(super) heading: &'a str,
    pub(super) action: &'a str,
    pub(super) person: &'a Person,
    pub(super) has_passkey: bool,
    pub(super) browser: &'a str,
    pub(super) carried: &'a Carried,
    /// The sealed sign-in that goes on afterwards.
    pub(super) pending: Option<&'a str>,
    pub(super) form_action: FormAction<'a>,
}

/// Asks for a new password.
pub(super) fn ask(app: &App, ask: &Ask<'_>) -> HttpResponse {
    let errors: Vec<FieldMistake<'_>> = ask.carried.problem.iter().map(PasswordMistake::wrong).collect();
    let csrf = browser::csrf_token(app, ask.browser);
    let state = Carried {
        problem: None,
        asks: true,
        ..ask.carried.clone()
    }
    .seal(app, ask.browser);
    let (signed_in, expired) = (ask.action == CHANGE_PATH, ask.action == EXPIRED_PATH);
    let page = NewPasswordPage {
        shell: if signed_in {
            browser::shell_of(app, ask.person, &csrf)
        } else {
            browser::shell(app)
        },
        // Who comes by a link does not pass the page where others acknowledge it.
        banner: app
            .config
            .server
            .banner
            .as_deref()
            .filter(|_| ask.carried.link.is_some()),
        heading: ask.heading,
        action: ask.action,
        csrf: &csrf,
        state: &state,
        pending: ask.pending,
        username: &ask.person.username,
        welcome: ask.heading == INVITED,
        ask_current: signed_in || expired,
        expired,
        shortest: app
            .password_rules
            .shortest(Whose::of(ask.person, ask.has_passkey).second_factor),
        errors: &errors,
    };
    // Its script asks how easy the password is to guess.
    pages::respond_and_connect(&page, StatusCode::OK, ask.form_action)
}

/// The new password of a form, which asks for it twice.
pub(super) fn typed(form: &PostedForm) -> Result<Result<Secret, PasswordMistake>, PageError> {
    let (password, again) = (
        Secret::new(form.field("password")?),
        Secret::new(form.field("again")?),
    );
    Ok(if password.reveal().is_empty() {
        Err(PasswordMistake::Missing)
    } else if password.reveal() != again.reveal() {
        Err(PasswordMistake::NotTheSame)
    } else {
        Ok(password)
    })
}

/// Judges a new password and hashes it. Slow: outside of any transaction, and counted for the address as a sign-in is,
/// unless it succeeds.
pub(super) async fn judge(
    app: &Arc<App>,
    person: &Person,
    has_passkey: bool,
    password: &Secret,
    address: IpAddr,
) -> Result<Result<String, PasswordMistake>, Broken> {
    let refused = |refusal: &PasswordRefused| Ok(Err(PasswordMistake::Refused(refusal.for_person())));
    let (rules, whose, chosen) = (Arc::clone(app), person.clone(), password.clone());
    let checked = web::block(move || {
        rules
            .password_rules
            .check(&chosen, Whose::of(&whose, has_passkey))
    });
    if let Err(refusal) = checked.await.map_err(Broken::defect)? {
        return refused(&refusal);
    }
    if !app
        .failure_counts
        .reserve(address, app.config.login.address_attempts_per_minute, app.now())
    {
        return Ok(Err(PasswordMistake::TooMany));
    }
    let kept = app.password_rules.history();
    let mut earlier = Vec::new();
    if let Some(before) = kept.checked_sub(1) {
        let id = person.id.clone();
        earlier = app
            .store
            .read(move |conn| password_history::of(conn, &id, before))
            .await?;
        earlier.extend(person.password.clone());
    }
    match app
        .hasher
        .hash_unused(network::of(address), password.clone(), earlier)
        .await?
    {
        Some(hash) => {
            app.failure_counts.release(address, app.now());
            Ok(Ok(hash))
        }
        None => refused(&PasswordRefused::Used(kept)),
    }
}

/// The cookies of a session that goes on with a new password: the browser is known by the new one, too.
pub(super) fn cookies(
    app: &App,
    request: &HttpRequest,
    person: &Person,
    session: &str,
) -> Vec<Cookie<'static>> {
    let known = lockout::known_after(
        app,
        person,
        browser::cookie(app, request, CookieKind::Known).as_deref(),
    );
    let mut cookies = vec![browser::set_cookie(app, CookieKind::Session, session)];
    cookies.extend(known.map(|known| browser::set_cookie(app, CookieKind::Known, &known)));
    cookies
}
