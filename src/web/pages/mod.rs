//! The pages people see while they sign in: plain data in, an HTML answer out.
//!
//! The structs here hold what the templates of `templates/` show; [`respond`] turns each into an answer
//! with the headers that belong to it. Every text is escaped by askama. The pages work without scripts.

pub mod account;
mod form_error;
pub mod links;
pub mod passkeys;
pub mod set_up;
mod shell;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};
use askama::Template;

use self::passkeys::PasskeyForm;

pub use self::form_error::FormError;
pub use self::shell::{Account, Application, Shell, SignedInAs};

/// The system-use notice (NIST SP 800-53 AC-8); posts `csrf`, `pending` to `/login/notice`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "banner.html")]
pub struct BannerPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed sign-in.
    pub pending: &'a str,
    /// The notice; line breaks are kept.
    pub banner: &'a str,
}

/// Asks for username and password; posts `csrf`, `pending`, `username`, `password` to `/login`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "login.html")]
pub struct LoginPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed pending authorization.
    pub pending: &'a str,
    /// Where the person wants to go; `None` for this server's own pages.
    pub application: Option<Application<'a>>,
    /// The username typed before, or empty.
    pub username: &'a str,
    /// Why the person is asked (again), in plain words.
    pub notice: Option<&'a str>,
    /// Signing in with a passkey, where that is possible.
    pub passkey: Option<PasskeyForm<'a>>,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
    /// Where else the person may sign in.
    pub providers: &'a [Provider<'a>],
}

/// An identity provider of an agency: a button beside the password.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// It did not answer lately.
    pub silent: bool,
}

/// Asks for the second factor: a passkey (`csrf`, `pending`, `ceremony`, `credential` to `/login/second-factor/passkey`),
/// a one-time code (`csrf`, `pending`, `totp` to `/login/second-factor`), or either.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "second_factor.html")]
pub struct SecondFactorPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed pending authorization.
    pub pending: &'a str,
    /// The username whose password was accepted.
    pub username: &'a str,
    /// The passkeys of the account, if it has any.
    pub passkey: Option<PasskeyForm<'a>>,
    /// Whether the account has an authenticator app.
    pub has_app: bool,
    /// Path on this server that leads back to the login page.
    pub start_again: &'a str,
    /// Path on this server for those who have lost their second factor.
    pub recover: &'a str,
    /// What was wrong with the last attempt.
    pub errors: &'a [FormError],
}

/// A scope that the client asks for and may be given.
#[derive(Clone, Copy, Debug)]
pub struct ConsentScope<'a> {
    /// The scope as it is sent back in the form.
    pub scope: &'a str,
    /// What it allows, as a sentence.
    pub sentence: &'a str,
    /// More about it, such as that it is asked each time.
    pub hint: Option<&'a str>,
    /// The client cannot do without it, so it cannot be unticked.
    pub required: bool,
}

/// For the template: explains the mark only where it occurs.
fn some_required(scopes: &[ConsentScope<'_>]) -> bool {
    scopes.iter().any(|scope| scope.required)
}

/// A claim that the client asked for by its name (OpenID Connect Core §5.5).
#[derive(Clone, Copy, Debug)]
pub struct ConsentClaim<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means for the person, without a full stop.
    pub sentence: &'a str,
}

/// Something that the client asked for and will not be given.
#[derive(Clone, Copy, Debug)]
pub struct Withheld<'a> {
    /// What it would allow, as a sentence.
    pub sentence: &'a str,
    /// Why it is not given.
    pub reason: &'a str,
}

/// One thing that the client will learn about the person.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// What it is: "Roles", "Purpose of use".
    pub label: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// Asks whether a client may act for the person; posts `csrf`, `pending`, `scope`… and
/// `decision` (`approve` or `deny`) to `/consent`.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed pending authorization.
    pub pending: &'a str,
    /// Who asks.
    pub application: Application<'a>,
    /// Where the browser goes afterwards: names may lie, a registered address does not.
    pub returns_to: &'a str,
    /// Where the data is; `None` when only the sign-in itself is asked for.
    pub resource_server: Option<&'a str>,
    /// Who is signed in.
    pub account: Account<'a>,
    /// What the client may be allowed.
    pub scopes: &'a [ConsentScope<'a>],
    /// What it asked to be told by name.
    pub claims: &'a [ConsentClaim<'a>],
    /// What it asked for in vain.
    pub withheld: &'a [Withheld<'a>],
    /// What it will learn about the person.
    pub facts: &'a [Fact<'a>],
    /// Lifetime of an access token in minutes, rounded up.
    pub minutes: i64,
    /// `offline_access` is among `scopes`.
    pub offline_access: bool,
}

/// Asks whether to sign out; posts `csrf` and `pending` to `/oauth2/logout` (OpenID Connect RP-Initiated Logout 1.0 §2).
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "logout.html")]
pub struct LogoutPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// CSRF token.
    pub csrf: &'a str,
    /// The sealed logout request.
    pub pending: &'a str,
    /// Who is signed in.
    pub account: Account<'a>,
}

/// Tells something and asks nothing.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "message.html")]
pub struct MessagePage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Heading and title.
    pub heading: &'a str,
    /// The text.
    pub paragraphs: &'a [&'a str],
}

/// The page after sign-out, with a way back in.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// This browser has forgotten the session, and nobody else could be told.
    pub here_only: bool,
}

/// Tells of a request that cannot be answered with a redirect (RFC 6749 §4.1.2.1) or of a failure of ours.
#[derive(Template, Clone, Copy, Debug)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Heading and title.
    pub heading: &'a str,
    /// What is wrong, in words for a clerk.
    pub text: &'a str,
    /// What the person can do.
    pub advice: &'a str,
    /// The same for the engineer: a stable text that names the parameter at fault.
    pub details: Option<&'a str>,
    /// The number under which the log has the details.
    pub reference: &'a str,
    /// Whether to offer the way to sign out here: the request that failed was one to sign out.
    pub sign_out: bool,
}

impl<'a> ErrorPage<'a> {
    /// An application's bad request: the usual heading and advice.
    pub fn new(shell: Shell<'a>, text: &'a str, reference: &'a str) -> Self {
        let heading = "You cannot continue from here";
        let advice = "Go back to the application and try again. \
                      If this keeps happening, give your IT contact this reference.";
        Self {
            shell,
            heading,
            text,
            advice,
            details: None,
            reference,
            sign_out: false,
        }
    }
}

/// Carries an authorization response to the client in a form (OAuth 2.0 Form Post Response Mode).
#[derive(Template, Clone, Copy)]
#[template(path = "form_post.html")]
pub struct FormPostPage<'a> {
    /// Shared parts.
    pub shell: Shell<'a>,
    /// Who receives it.
    pub application: Application<'a>,
    /// The registered redirect URI.
    pub redirect_uri: &'a str,
    /// The response parameters: name, value.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// Where the forms of a page may lead (CSP `form-action`).
#[derive(Clone, Copy, Debug)]
pub enum FormAction<'a> {
    /// This server only.
    SelfOnly,
    /// This server, which then redirects to this URI. Chromium checks each hop of that redirect
    /// and the client may redirect on, so any `https:` address is allowed, and the URI's own scheme.
    ThenRedirect(&'a str),
}

impl FormAction<'_> {
    fn sources(self) -> String {
        let mut sources = String::from("'self'");
        if let Self::ThenRedirect(redirect_uri) = self {
            sources.push_str(" https:");
            if let Some(scheme) = scheme(redirect_uri).filter(|scheme| scheme != "https") {
                sources.push(' ');
                sources.push_str(&scheme);
                sources.push(':');
            }
        }
        sources
    }
}

/// The scheme of `uri` in lower case, if it has one (RFC 3986 §3.1); so nothing else gets into the header.
fn scheme(uri: &str) -> Option<String> {
    let (scheme, _) = uri.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| scheme.to_ascii_lowercase())
}

/// Answers with `page`, never stored, under a content security policy that lets its forms lead to `form_action`.
/// The headers that all answers carry are set by the server.
pub fn respond(page: &impl Template, status: StatusCode, form_action: FormAction<'_>) -> HttpResponse {
    answer(page, status, form_action, "")
}

/// [`respond`] for a page whose script asks this server something.
pub fn respond_and_connect(
    page: &impl Template,
    status: StatusCode,
    form_action: FormAction<'_>,
) -> HttpResponse {
    answer(page, status, form_action, "connect-src 'self'; ")
}

fn answer(
    page: &impl Template,
    status: StatusCode,
    form_action: FormAction<'_>,
    connect: &str,
) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; {connect}\
         form-action {}; base-uri 'none'; frame-ancestors 'none'",
        form_action.sources()
    );
    match page.render() {
        Ok(html) => HttpResponse::build(status)
            .content_type(ContentType::html())
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((CONTENT_SECURITY_POLICY, policy))
            .body(html),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            HttpResponse::InternalServerError()
                .insert_header((CACHE_CONTROL, "no-store"))
                .finish()
        }
    }
}
