//! URIs that somebody registers.

use url::{Host, Url};

use super::Registry;

/// The longest URI that is kept, in bytes.
const LONGEST: usize = 2000;

fn parse(text: &str) -> Result<Url, String> {
    let refuse = |what: &str| Err(format!("{text:?} {what}"));
    if text.len() > LONGEST {
        return Err(format!(
            "a URI of {} bytes is too long; at most {LONGEST} are kept",
            text.len()
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
        return refuse("holds a blank, a backslash or a character beyond ASCII; write it percent-encoded");
    }
    if text.contains('#') {
        return refuse("must not have a fragment (#…)");
    }
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            refuse("must not hold a user or a password")
        }
        Ok(url) => Ok(url),
        Err(cause) => Err(format!("{text:?} is not an absolute URI: {cause}")),
    }
}

/// Checks a redirect URI (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1).
///
/// # Errors
/// What is wrong and what is wanted.
pub(super) fn redirect(text: &str, public: bool) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("{text:?} {what}"));
    let url = parse(text)?;
    if text.contains('*') {
        return refuse(
            "holds a *: redirect URIs are compared exactly (RFC 9700 section 4.1.3), so register each one",
        );
    }
    match url.scheme() {
        "https" if text.starts_with("https://") => Ok(()),
        "http" => match url.host() {
            Some(Host::Ipv4(_))
                if text.starts_with("http://127.0.0.1") && url.host_str() == Some("127.0.0.1") =>
            {
                Ok(())
            }
            Some(Host::Ipv6(_)) if text.starts_with("http://[::1]") => Ok(()),
            Some(Host::Domain("localhost")) => {
                refuse("uses http to a name; write http://127.0.0.1 instead (RFC 8252 section 8.3)")
            }
            _ => refuse("must begin with https:// (http:// only to 127.0.0.1 or [::1])"),
        },
        // RFC 8252 §7.1: a domain name of the app's maker, backwards. javascript:, data: and their like have no dot.
        scheme if scheme.contains('.') && public => Ok(()),
        scheme if scheme.contains('.') => refuse(
            "has a scheme of its own: only public clients (auth_method none) may (RFC 8252 section 7.1)",
        ),
        _ => refuse(
            "must begin with https://; native apps may use a scheme with a dot, such as com.example.app:/callback",
        ),
    }
}

/// Checks an audience: the base of a FHIR server (RFC 8707 §2).
///
/// # Errors
/// What is wrong and what is wanted.
pub(super) fn audience(text: &str) -> Result<(), String> {
    let url = parse(text)?;
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if text.starts_with("https://") || (text.starts_with("http://") && loopback) {
        return Ok(());
    }
    Err(format!(
        "{text:?} must be an absolute https URL, the FHIR base of the server (http only on this machine)"
    ))
}

/// Checks the origin of browser code (RFC 6454 §6.1).
///
/// # Errors
/// What is wrong and what is wanted.
pub(super) fn origin(text: &str) -> Result<(), String> {
    let wanted = || {
        format!("{text:?} must be an https origin exactly as browsers send it, such as https://app.example")
    };
    let url = Url::parse(text).map_err(|_| wanted())?;
    if url.scheme() == "https" && url.origin().ascii_serialization() == text {
        Ok(())
    } else {
        Err(wanted())
    }
}

/// Checks where we send something ourselves (OpenID Connect Back-Channel Logout §2.2).
///
/// # Errors
/// What is wrong and what is wanted.
pub(super) fn told_by_us(registry: &Registry, text: &str) -> Result<(), String> {
    registry.check_reachable(&parse(text)?)
}

/// Whether two URLs are one place: letter case of the host, the usual port and one slash at the end make no difference.
pub(super) fn same_place(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let url = Url::parse(text).map_or_else(|_| text.to_owned(), |url| url.to_string());
        url.strip_suffix('/').map(str::to_owned).unwrap_or(url)
    };
    plain(one) == plain(other)
}
