//! What the console tells of the last days and of each client: counted from the record, behind it, so that whoever
//! issues a token writes nothing more. Several servers may do it: the position in a chain moves once, in the transaction
//! that counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::audit::event::Kind;
use crate::clock::{Clock, SharedClock};
use crate::error::Broken;
use crate::live::Live;
use crate::store::activity::{self, Batch, Count, Last};
use crate::store::audit::AuditRow;
use crate::store::{Conn, Store, Stored, Tx};

/// How often the record is looked at.
const PAUSE: Duration = Duration::from_secs(2);
/// How many events one transaction counts.
const BATCH: i64 = 250;
/// The length of an hour in seconds.
pub const HOUR: i64 = 3600;
/// How long counts are kept, in seconds.
const KEPT: i64 = 400 * 86_400;

/// Sign-ins that were completed.
pub const SIGN_IN: &str = "sign_in";
/// Sign-ins that failed.
pub const SIGN_IN_FAILED: &str = "sign_in_failed";
/// Tokens that were issued.
pub const TOKEN: &str = "token";
/// Token requests that were refused.
pub const TOKEN_REFUSED: &str = "token_refused";
/// Clients that could not prove who they are.
pub const CLIENT_FAILED: &str = "client_failed";
/// Tokens that resource servers asked about.
pub const INTROSPECTION: &str = "introspection";

/// Why something was refused, by its word in the counts, and as people read it. There are no others.
pub const REASONS: [(&str, &str); 28] = [
    ("unknown_username", "Unknown username"),
    ("wrong_password", "Wrong password"),
    ("wrong_code", "Wrong security code"),
    ("passkey", "Passkey not accepted"),
    ("locked", "Signing in was paused"),
    ("disabled", "Disabled"),
    ("dormant", "Not here for too long"),
    ("provider", "Refused at an agency's own sign-in"),
    ("repeated", "Repeated within a minute"),
    ("wrong_secret", "Wrong or ended secret"),
    ("unknown_client", "Unknown client"),
    ("wrong_method", "Another way to prove itself than registered"),
    ("unknown_key", "Signed with a key that is not registered"),
    ("keys_unreachable", "Its keys could not be fetched"),
    ("wrong_audience", "Assertion meant for another server"),
    ("wrong_time", "Assertion too old, or the clocks differ"),
    ("used_assertion", "Assertion used before"),
    ("bad_assertion", "Assertion not valid"),
    ("invalid_request", "Malformed request"),
    ("invalid_client", "Client not accepted"),
    ("invalid_grant", "Code or refresh token not valid any more"),
    ("invalid_scope", "Asked for more than it may"),
    ("invalid_target", "Named another resource server than its own"),
    ("unauthorized_client", "Not allowed to ask in this way"),
    ("unsupported_grant_type", "Unknown way to ask"),
    ("access_denied", "The person may not do this"),
    (
        "temporarily_unavailable",
        "Too many tries, or the server was busy",
    ),
    (OTHER, "Another reason"),
];
const OTHER: &str = "other";

/// A reason as people read it.
#[must_use]
pub fn in_words(reason: &str) -> &'static str {
    REASONS
        .iter()
        .find(|(known, _)| *known == reason)
        .map_or("Another reason", |(_, words)| words)
}

/// Counts what is new every few seconds, until it is ended.
pub async fn follow(store: Arc<Store>, live: Arc<Live>, clock: SharedClock) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Err(cause) = catch_up(&store, &live, clock.as_ref()).await {
            tracing::warn!(%cause, "the record could not be counted");
        }
    }
}

/// Counts all that is new. Answers how many events were counted here, and not by another server.
///
/// # Errors
/// What the store says.
pub async fn catch_up(store: &Store, live: &Live, clock: &dyn Clock) -> Result<usize, Broken> {
    let mut counted = 0;
    while let Some(batch) = store.read(|conn| activity::next(conn, BATCH)).await? {
        let tally = Tally::of(&batch.rows, clock.now(), &|id| {
            live.client(id).is_some() || live.resource_server(id).is_some()
        });
        let events = batch.rows.len();
        if store.write(move |tx| write(tx, &batch, &tally)).await? {
            counted += events;
        }
    }
    Ok(counted)
}

/// Moves the position and adds the counts; false, and nothing is written: another server was first.
fn write(tx: &mut Tx<'_>, batch: &Batch, tally: &Tally) -> Stored<bool> {
    let to = batch.rows.last().map_or(batch.after, |row| row.seq);
    if !activity::advance(tx.conn(), batch.chain, batch.after, to)? {
        return Ok(false);
    }
    for ((hour, what, reason), count) in &tally.counts {
        let (what, reason) = ((*what).to_owned(), (*reason).to_owned());
        activity::add(
            tx.conn(),
            &Count {
                hour: *hour,
                what,
                reason,
                count: *count,
                purge_at: hour + KEPT,
            },
        )?;
    }
    for (id, context) in &tally.parties {
        if context.deleted {
            activity::forget(tx.conn(), (batch.chain, to), id)?;
        }
        let seen = &context.last;
        if !seen.is_empty() {
            activity::note(
                tx.conn(),
                (batch.chain, to),
                &Last {
                    client_id: id.clone(),
                    ..seen.clone()
                },
            )?;
        }
    }
    Ok(true)
}

/// What each client and resource server did last, as it is known here: whoever asks reads only what was noted since.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Known>);

#[derive(Debug, Clone, Default)]
struct Known {
    /// How far each chain was counted when it was read; none: never.
    seen: Option<BTreeMap<i32, i64>>,
    lasts: Arc<BTreeMap<String, Last>>,
}

impl Latest {
    /// What all of them did last, by their ids.
    ///
    /// # Errors
    /// What the database says.
    pub fn read(&self, conn: &mut Conn) -> Stored<Arc<BTreeMap<String, Last>>> {
        // Not locked while the database is asked: one that hangs must not hold the others up.
        let Known { seen, mut lasts } = self.known().clone();
        // The positions first: what is noted while the rest is read is read again.
        let positions = activity::positions(conn)?;
        let noted = activity::noted_since(conn, seen.as_ref(), &positions)?;
        if !noted.is_empty() {
            let lasts = Arc::make_mut(&mut lasts);
            for last in noted {
                if last.is_empty() {
                    lasts.remove(&last.client_id);
                } else {
                    lasts.insert(last.client_id.clone(), last);
                }
            }
        }
        *self.known() = Known {
            seen: Some(positions),
            lasts: Arc::clone(&lasts),
        };
        Ok(lasts)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What some events add up to. In the order of keys, so that two servers never wait for each other's rows in turn.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<(i64, &'static str, &'static str), i64>,
    parties: BTreeMap<String, ClientContext>,
}

#[derive(Debug, Default)]
struct ClientContext {
    last: Last,
    deleted: bool,
}

/// What is counted of an event.
struct Read<'a> {
    row: &'a AuditRow,
    body: Value,
}

impl Read<'_> {
    fn detail(&self, name: &str) -> &str {
        self.body
            .get("detail")
            .and_then(|detail| detail.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn count(&self) -> i64 {
        self.detail("count").parse().unwrap_or(0)
    }
}

impl Tally {
    fn of(rows: &[AuditRow], now: i64, is_client: &dyn Fn(&str) -> bool) -> Self {
        let mut tally = Self::default();
        for row in rows {
            // What would be deleted at once is not counted: a record that is years old is read to its end once.
            if row.at_ms.div_euclid(1000) > now - KEPT
                && let Some(kind) = Kind::parse(&row.kind)
            {
                tally.take(
                    kind,
                    &Read {
                        row,
                        body: serde_json::from_str(&row.body).unwrap_or_default(),
                    },
                    is_client,
                );
            }
        }
        tally
    }

    fn take(&mut self, kind: Kind, event: &Read<'_>, is_client: &dyn Fn(&str) -> bool) {
        let at = event.row.at_ms.div_euclid(1000);
        match kind {
            Kind::LoginSucceeded if event.detail("second_factor") != "due" => self.add(at, SIGN_IN, "", 1),
            Kind::LoginFailed => self.add(at, SIGN_IN_FAILED, sign_in_reason(event), 1),
            Kind::TokenIssued => {
                self.add(at, TOKEN, "", 1);
                self.context(event, |last| {
                    last.last_token_at = last.last_token_at.max(Some(at))
                });
            }
            Kind::TokenRefused => self.fail(at, TOKEN_REFUSED, refusal_reason(event), event),
            Kind::ClientAuthenticationFailed => {
                self.fail(at, CLIENT_FAILED, proof_reason(event.detail("reason")), event)
            }
            Kind::IntrospectionsCounted => {
                self.add(at, INTROSPECTION, "", event.count());
                self.context(event, |last| {
                    last.last_introspection_at = last.last_introspection_at.max(Some(at))
                });
            }
            // The first of them was recorded by itself.
            Kind::FailuresCounted => match event.detail("subject") {
                "unknown client" => self.add(at, CLIENT_FAILED, "repeated", event.count() - 1),
                subject if is_client(subject) => self.add(at, CLIENT_FAILED, "repeated", event.count() - 1),
                subject if is_account(subject) => self.add(at, SIGN_IN_FAILED, "repeated", event.count() - 1),
                _ => {}
            },
            Kind::ClientChanged | Kind::ResourceServerChanged if event.detail("action") == "deleted" => {
                if let Some(id) = &event.row.client_id {
                    self.parties.insert(
                        id.clone(),
                        ClientContext {
                            deleted: true,
                            ..ClientContext::default()
                        },
                    );
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, at: i64, what: &'static str, reason: &'static str, count: i64) {
        if count > 0 {
            *self
                .counts
                .entry((at - at.rem_euclid(HOUR), what, reason))
                .or_default() += count;
        }
    }

    fn fail(&mut self, at: i64, what: &'static str, reason: &'static str, event: &Read<'_>) {
        self.add(at, what, reason, 1);
        self.context(event, |last| {
            if last.last_failure_at <= Some(at) {
                (last.last_failure_at, last.last_failure) = (Some(at), Some(reason.to_owned()));
            }
        });
    }

    fn context(&mut self, event: &Read<'_>, seen: impl FnOnce(&mut Last)) {
        if let Some(id) = &event.row.client_id {
            seen(&mut self.parties.entry(id.clone()).or_default().last);
        }
    }
}

/// Whether sign-ins are counted under this subject: the id of a person, or the keyed hash of a name that nobody has.
fn is_account(subject: &str) -> bool {
    subject.starts_with("usr_") || (subject.len() >= 40 && !subject.contains(' '))
}

fn sign_in_reason(event: &Read<'_>) -> &'static str {
    let reason = event.detail("reason");
    let has = |part: &str| reason.contains(part);
    match reason {
        _ if !event.detail("provider").is_empty() => "provider",
        "unknown username" => "unknown_username",
        "wrong password" => "wrong_password",
        _ if has("locked") || has("too many") => "locked",
        _ if has("disabled") => "disabled",
        _ if has("dormant") => "dormant",
        _ if has("passkey") => "passkey",
        _ if has("code") => "wrong_code",
        _ => OTHER,
    }
}

fn refusal_reason(event: &Read<'_>) -> &'static str {
    if event.detail("reason").contains("was used before") && event.detail("error") == "invalid_client" {
        return "used_assertion";
    }
    let error = event.detail("error");
    REASONS
        .iter()
        .find(|(known, _)| *known == error)
        .map_or(OTHER, |(known, _)| known)
}

/// The reasons of `oauth::client_authentication`, which name what was sent.
fn proof_reason(reason: &str) -> &'static str {
    let has = |part: &str| reason.contains(part);
    match reason {
        _ if reason.starts_with("wrong or ended secret") => "wrong_secret",
        _ if reason.starts_with("unknown client") || has("is unknown, disabled") => "unknown_client",
        _ if reason.starts_with("client ") && has("is disabled") => "disabled",
        _ if has("is not registered for") => "wrong_method",
        _ if reason.starts_with("no key has the kid") || has("no keys are registered") => "unknown_key",
        _ if reason.starts_with("the keys at ") => "keys_unreachable",
        _ if has("used before") => "used_assertion",
        _ if reason.starts_with("aud of") => "wrong_audience",
        _ if has("server time is") => "wrong_time",
        _ if has("assertion") || has("signature") => "bad_assertion",
        _ => OTHER,
    }
}
