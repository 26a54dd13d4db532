//! The issuer identifier.

use std::fmt;
use std::net::IpAddr;

use url::Url;

/// The issuer identifier (RFC 8414 §2): an https origin, kept byte for byte as it was written, for clients compare it
/// so. Without a path, because the well-known documents of two issuers on one host would otherwise mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Reads an issuer.
    ///
    /// # Errors
    /// What is wanted instead, when the text is no https URL or is not written in the one form that URLs are
    /// compared in: lower-case host, no default port, no path, no slash at the end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "an https URL of host and, if need be, port, such as \"https://as.example\"";
        let url = Url::parse(text).map_err(|cause| format!("{wanted} ({cause})"))?;
        if url.scheme() != "https" {
            return Err(wanted.to_owned());
        }
        let origin = url.origin().ascii_serialization();
        if origin.ends_with('.') || origin.contains(".:") {
            return Err(format!("{wanted}; no dot at the end of the host"));
        }
        if origin == text {
            Ok(Self(origin))
        } else {
            Err(format!(
                "\"{origin}\": https, host in lower case, no user, default port, path, query, fragment or slash at the end"
            ))
        }
    }

    /// The exact text, for `iss` and for comparison.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host name or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let authority = self.0.strip_prefix("https://").unwrap_or_default();
        let (host, end) = match authority.strip_prefix('[') {
            Some(address) => (address, ']'),
            None => (authority, ':'),
        };
        host.split(end).next().unwrap_or_default()
    }

    /// The port that browsers connect to.
    pub fn port(&self) -> u16 {
        self.0
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(443)
    }

    /// Whether only this machine can reach it: no HSTS then, and cookies are told apart by port.
    pub fn is_loopback(&self) -> bool {
        self.host() == "localhost"
            || self
                .host()
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

/// `https://localhost:8443`.
impl Default for Issuer {
    fn default() -> Self {
        Self("https://localhost:8443".to_owned())
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
