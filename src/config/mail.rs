//! The section `[mail]`: by whom mail is sent. Without it, none is.

use std::net::IpAddr;

use lettre::message::Mailbox;

use super::reader::{Section, from_str};
use crate::model::secret::Secret;

const MAILBOX: &str = "an address, such as \"no-reply@as.example\" or \"MDI Auth <no-reply@as.example>\"";

/// `[mail]`.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// The server that takes our mail.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// Who we are there; none: it knows us by our address.
    pub credentials: Option<Credentials>,
    /// Whom mail comes from.
    pub from: Mailbox,
    /// Where answers go; none: to `from`.
    pub reply_to: Option<Mailbox>,
}

/// Username and password at the mail server.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The username.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// It begins in the clear and turns to TLS before anything is said; a server that cannot is refused (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314 §3.3).
    Tls,
    /// Not at all: only to this machine.
    None,
}

impl MailTls {
    fn usual_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

impl MailConfig {
    /// Reads the section. No key at all means no mail.
    pub(super) fn read(section: &mut Section) -> Option<Self> {
        let present = section.is_present();
        let host = section.parsed("host", |text| {
            let fits =
                !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '/' || c == '@');
            if fits {
                Ok(text.to_owned())
            } else {
                Err("the name of the mail server, such as \"smtp.agency.example\"".to_owned())
            }
        });
        let tls = section.parsed("tls", |text| match text {
            "starttls" => Ok(MailTls::StartTls),
            "tls" => Ok(MailTls::Tls),
            "none" => Ok(MailTls::None),
            _ => Err("\"starttls\", \"tls\" or \"none\"".to_owned()),
        });
        let tls = tls.unwrap_or(MailTls::StartTls);
        let port = section.integer("port", tls.usual_port().into(), 1..=65_535);
        let credentials = read_credentials(section);
        let from = section.parsed("from", from_str(MAILBOX));
        let reply_to = section.parsed("reply_to", from_str(MAILBOX));
        if !present {
            return None;
        }
        if !section.has_mistake() {
            for (key, missing) in [("host", host.is_none()), ("from", from.is_none())] {
                if missing {
                    section.clash(
                        key,
                        "nothing beside the other keys of [mail]",
                        if key == "host" {
                            "the name of the mail server, or no key at all"
                        } else {
                            MAILBOX
                        },
                    );
                }
            }
        }
        let host = host?;
        if tls == MailTls::None && !is_loopback(&host) {
            section.clash(
                "tls",
                format!("\"none\" with host = {host:?}"),
                "\"starttls\" or \"tls\": links and passwords never leave the machine in the clear",
            );
        }
        let port = u16::try_from(port).unwrap_or(tls.usual_port());
        Some(Self {
            host,
            port,
            tls,
            credentials,
            from: from?,
            reply_to,
        })
    }
}

/// Both or none. The password is never shown, not even in a mistake.
fn read_credentials(section: &mut Section) -> Option<Credentials> {
    let username = section.parsed("username", |text| {
        if text.is_empty() {
            Err("a username".to_owned())
        } else {
            Ok(text.to_owned())
        }
    });
    let password = section.take("password").and_then(|setting| match setting.text() {
        Some(text) if !text.is_empty() => Some(Secret::new(text)),
        _ => {
            section.mistake(setting.at, "no text", "the password in quotes");
            None
        }
    });
    match (username, password) {
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (None, None) => None,
        _ if section.has_mistake() => None,
        (Some(_), None) => {
            section.clash(
                "password",
                "nothing beside username",
                "the password, here or as MDI_AUTH_MAIL__PASSWORD",
            );
            None
        }
        (None, Some(_)) => {
            section.clash(
                "username",
                "nothing beside password",
                "the username at the mail server",
            );
            None
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
