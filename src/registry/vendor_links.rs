//! Links by which the vendor of a client sees its hand-off sheet and checks its connection. They change nothing; only
//! the hash of a link is kept.

use super::{Decided, Registry, mistake, noun};
use crate::audit::event::Kind;
use crate::model::client::{Client, ClientSettings};
use crate::model::secret::Secret;
use crate::model::vendor_link::VendorLink;
use crate::store::{Conn, Stored, Tx, registered, vendor_links};

/// How many days a link holds, unless somebody says otherwise.
pub const DEFAULT_DAYS: i64 = 30;
/// How many days it holds at most.
pub const LONGEST_DAYS: i64 = 365;
/// Where the link leads; its secret follows.
pub const PATH: &str = "/vendor/";
const DAY_SECONDS: i64 = 86_400;

/// A link that was made: to be shown once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The whole URL.
    pub url: Secret,
    /// When it ends, in seconds since the epoch.
    pub expires_at: i64,
}

/// Makes a link for the vendor of a client; the one before it ends.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn issue(registry: &Registry, tx: &mut Tx<'_>, client_id: &str, days: i64) -> Decided<Issued> {
    let client = good!(noun::found::<ClientSettings>(tx.conn(), client_id)?);
    good!(noun::looked_after(registry, &client));
    if !(1..=LONGEST_DAYS).contains(&days) {
        return Ok(mistake(
            "days",
            format!("{days} must be from 1 to {LONGEST_DAYS}"),
        ));
    }
    if !client.enabled {
        return Ok(mistake(
            "client_id",
            format!("{client_id} is disabled, and so would be its link: enable it first"),
        ));
    }
    let secret = Secret::new(registry.app.entropy.secret());
    let now = registry.app.now();
    let link = VendorLink {
        client_id: client.id,
        hash: secret.hash().as_str().to_owned(),
        created_at: now,
        expires_at: now + days * DAY_SECONDS,
    };
    vendor_links::replace(tx.conn(), &link)?;
    let event = registry.event(Kind::VendorLinkChanged, "made").client(client_id);
    tx.audit(event.with("expires_at", link.expires_at.to_string()));
    let url = Secret::new(registry.app.url(&format!("{PATH}{}", secret.reveal())));
    Ok(Ok(Issued {
        url,
        expires_at: link.expires_at,
    }))
}

/// Ends the link of a client. Answers whether there was one that held.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn end(registry: &Registry, tx: &mut Tx<'_>, client_id: &str) -> Decided<bool> {
    let client = good!(noun::found::<ClientSettings>(tx.conn(), client_id)?);
    good!(noun::looked_after(registry, &client));
    let link = vendor_links::of_client(tx.conn(), client_id)?;
    if link.is_none_or(|link| link.expires_at <= registry.app.now()) {
        return Ok(Ok(false));
    }
    vendor_links::delete(tx.conn(), client_id)?;
    tx.audit(registry.event(Kind::VendorLinkChanged, "ended").client(client_id));
    Ok(Ok(true))
}

/// Why a link shows nothing. For the record: whoever comes with it is told one text for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRefused {
    /// The reason.
    pub reason: &'static str,
    /// Whose link it was, if it was one.
    pub client_id: Option<String>,
}

/// The client of a link that holds now.
///
/// # Errors
/// What the database says; why it does not hold is part of the answer.
pub fn open(conn: &mut Conn, hash: &str, now: i64) -> Stored<Result<Client, LinkRefused>> {
    let Some(link) = vendor_links::find(conn, hash)? else {
        return Ok(Err(LinkRefused {
            reason: "unknown link, or one that was ended or replaced",
            client_id: None,
        }));
    };
    let dead = |reason| {
        Ok(Err(LinkRefused {
            reason,
            client_id: Some(link.client_id.clone()),
        }))
    };
    if link.expires_at <= now {
        return dead("link has expired");
    }
    match registered::find::<ClientSettings>(conn, &link.client_id)?.filter(|client| client.enabled) {
        Some(client) if registered::is_open(conn, client.settings.agency.as_ref())? => Ok(Ok(client)),
        Some(_) => dead("the client's agency is disabled"),
        None => dead("client is disabled or gone"),
    }
}
