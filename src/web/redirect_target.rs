//! Where the answer to an authorization request goes: a registered client and one of its redirect URIs. Until both
//! hold, an error is a page; after that it goes back by redirect.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use url::{Host, Url, form_urlencoded};

use crate::app::App;
use crate::error::{OAuthError, PageError};
use crate::live::LiveClient;
use crate::model::client;
use crate::web::browser::{self, Pending};
use crate::web::pages::{self, Application, FormAction, FormPostPage};
use crate::web::parameters::{Parameters, shown};

/// How the answer goes back (OAuth 2.0 Multiple Response Type Encoding Practices §2.1, Form Post Response Mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// Where an answer may go: a registered redirect URI, and what the client wants back with it.
#[derive(Debug, Clone)]
pub struct RedirectTarget {
    /// The client, registered and enabled.
    pub client: Arc<LiveClient>,
    /// Exactly as sent.
    pub redirect_uri: String,
    /// How.
    pub mode: ResponseMode,
    /// Given back as it came.
    pub state: Option<String>,
}

/// Client and redirect URI: until both hold, an error is a page (RFC 6749 §4.1.2.1).
///
/// # Errors
/// A page that names the parameter at fault.
pub fn find(app: &App, parameters: &Parameters) -> Result<RedirectTarget, PageError> {
    let one = |name: &str| {
        parameters
            .one(name)
            .map_err(|error| PageError::malformed(error.description))
    };
    let Some(id) = one("client_id")? else {
        return Err(PageError::malformed("Parameter client_id is missing."));
    };
    let client = app
        .live
        .client(id)
        .filter(|live| live.is_served())
        .ok_or_else(|| {
            PageError::malformed("Parameter client_id names no application that is registered here.")
                .because(format!("client_id {}", shown(id)))
        })?;
    let Some(redirect_uri) = one("redirect_uri")? else {
        return Err(PageError::malformed("Parameter redirect_uri is missing."));
    };
    if !redirect_uri_matches(&client, redirect_uri) {
        return Err(
            PageError::malformed("Parameter redirect_uri is not registered for this application.").because(
                format!(
                    "client {id}: received {}, registered {:?}",
                    shown(redirect_uri),
                    client.client.settings.redirect_uris
                ),
            ),
        );
    }
    // An unknown response_mode is an error of its own, told by query.
    let mode = match one("response_mode")? {
        Some("form_post") => ResponseMode::FormPost,
        _ => ResponseMode::Query,
    };
    let state = parameters.one("state").ok().flatten().map(str::to_owned);
    Ok(RedirectTarget {
        client: Arc::clone(&client),
        redirect_uri: redirect_uri.to_owned(),
        mode,
        state,
    })
}

/// Where the answer goes when an application sent the person; none when the sign-in is for a page of ours.
pub fn of(app: &App, pending: &Pending) -> Result<Option<RedirectTarget>, PageError> {
    pending
        .parameters()
        .map(|parameters| find(app, parameters))
        .transpose()
}

impl RedirectTarget {
    /// Where the browser goes, as a person reads it: the host, or that it is a program on the same device.
    pub fn host_in_words(&self) -> String {
        let url = Url::parse(&self.redirect_uri).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        match url.as_ref().map(Url::scheme) {
            Some("https") => host.to_owned(),
            Some("http") => "a program on this computer".to_owned(),
            Some(scheme) => format!("an app on this device ({scheme})"),
            None => self.redirect_uri.clone(),
        }
    }

    /// The application as pages show it.
    pub fn application(&self) -> Application<'_> {
        let client = &self.client.client;
        Application {
            name: &client.name,
            organization: self.client.agency.as_ref().map(|agency| agency.name.as_str()),
        }
    }

    /// Whether the answer goes to a program on the person's own machine.
    pub fn is_native(&self) -> bool {
        client::is_native(&self.redirect_uri)
    }

    /// Where forms on the way there may lead.
    pub fn form_action(redirect_target: Option<&Self>) -> FormAction<'_> {
        redirect_target.map_or(FormAction::SelfOnly, |redirect_target| {
            FormAction::ThenRedirect(&redirect_target.redirect_uri)
        })
    }
}

/// Exact comparison (RFC 9700 §4.1.3); for public native clients the port of a loopback redirect is free (RFC 8252 §7.3).
fn redirect_uri_matches(live: &LiveClient, sent: &str) -> bool {
    let registered = &live.client.settings.redirect_uris;
    if registered.iter().any(|uri| uri == sent) {
        return true;
    }
    let Some(sent) = live
        .client
        .is_public()
        .then(|| loopback_without_port(sent))
        .flatten()
    else {
        return false;
    };
    registered
        .iter()
        .filter_map(|uri| loopback_without_port(uri))
        .any(|uri| uri == sent)
}

/// A loopback `http` URI without its port, if it is one and is written plainly.
fn loopback_without_port(uri: &str) -> Option<(String, String)> {
    let url = Url::parse(uri).ok()?;
    // As it is written, but for what the parser adds or drops: an empty path and the default port.
    let written = uri.strip_suffix('/').unwrap_or(uri).replacen(":80/", "/", 1);
    let written = written.strip_suffix(":80").unwrap_or(&written);
    if url.as_str().strip_suffix('/').unwrap_or(url.as_str()) != written {
        return None;
    }
    let loopback = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(_) => false,
    };
    let plain = url.scheme() == "http"
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    (loopback && plain).then(|| {
        (
            url.host_str().unwrap_or_default().to_owned(),
            format!("{}?{}", url.path(), url.query().unwrap_or_default()),
        )
    })
}

/// Sends an answer to the client (RFC 6749 §4.1.2, RFC 9207).
pub fn redirect(app: &App, redirect_target: &RedirectTarget, parameters: &[(&str, &str)]) -> HttpResponse {
    let state = redirect_target.state.as_deref().map(|state| ("state", state));
    let all: Vec<(&str, &str)> = parameters
        .iter()
        .copied()
        .chain(state)
        .chain([("iss", app.issuer())])
        .collect();
    if redirect_target.mode == ResponseMode::FormPost {
        let page = FormPostPage {
            shell: browser::shell(app),
            application: redirect_target.application(),
            redirect_uri: &redirect_target.redirect_uri,
            parameters: &all,
        };
        return pages::respond(
            &page,
            StatusCode::OK,
            FormAction::ThenRedirect(&redirect_target.redirect_uri),
        );
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(all)
        .finish();
    let joint = if redirect_target.redirect_uri.contains('?') {
        '&'
    } else {
        '?'
    };
    browser::see_other(&format!("{}{joint}{query}", redirect_target.redirect_uri), &[])
}

/// The longest description that goes back by redirect, in bytes of the query: with all else it fits where proxies and
/// applications keep 500.
const LONGEST_DESCRIPTION: usize = 350;

fn encoded_bytes(text: &str) -> usize {
    form_urlencoded::byte_serialize(text.as_bytes())
        .map(str::len)
        .sum()
}

/// Sends an error to the client (RFC 6749 §4.1.2.1).
pub fn redirect_error(app: &App, redirect_target: &RedirectTarget, error: &OAuthError) -> HttpResponse {
    let mut description = crate::error::wire_text(&error.description);
    let mut reference = error.reference.clone();
    if encoded_bytes(&description) > LONGEST_DESCRIPTION {
        // ASCII, so that each character has one byte, or more in the query.
        description.truncate(LONGEST_DESCRIPTION);
        let reference = reference.get_or_insert_with(crate::error::reference);
        let rest = format!(" ... The server's log has the rest under {reference}");
        while encoded_bytes(&description) + encoded_bytes(&rest) > LONGEST_DESCRIPTION {
            description.pop();
        }
        description.push_str(&rest);
    }
    tracing::info!(
        client = %redirect_target.client.client.id,
        %error,
        cause = error.cause.as_deref().unwrap_or("-"),
        reference = reference.as_deref().unwrap_or("-"),
        "authorization refused"
    );
    redirect(
        app,
        redirect_target,
        &[
            ("error", error.code.as_str()),
            ("error_description", &description),
        ],
    )
}
