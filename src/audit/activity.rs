//! What the console tells of the last days and of each client: counted from the record, behind it, so that whoever
//! issues a token writes nothing more. Several servers may do it: the position in a log moves once, in the transaction
//! that counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::audit::event::Kind;
use crate::audit::reason::Reason;
use crate::clock::{Clock, SharedClock};
use crate::error::Broken;
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

/// A reason of the counts as people read it.
pub fn in_words(reason: &str) -> &'static str {
    reason.parse().unwrap_or(Reason::Other).in_words()
}

/// Counts what is new every few seconds, until it is ended.
pub async fn follow(store: Arc<Store>, clock: SharedClock) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Err(cause) = catch_up(&store, clock.as_ref()).await {
            tracing::warn!(%cause, "the record could not be counted");
        }
    }
}

/// Counts all that is new. Answers how many events were counted here, and not by another server.
pub async fn catch_up(store: &Store, clock: &dyn Clock) -> Result<usize, Broken> {
    let mut counted = 0;
    while let Some(batch) = store.read(|conn| activity::next(conn, BATCH)).await? {
        let tally = Tally::of(&batch.rows, clock.now());
        let events = batch.rows.len();
        if store.write(move |tx| write(tx, &batch, &tally)).await? {
            counted += events;
        }
    }
    Ok(counted)
}

/// Moves the position and adds the counts; false, and nothing is written: another server was first.
fn write(tx: &mut Tx<'_>, batch: &Batch, tally: &Tally) -> Stored<bool> {
    let to = batch.rows.last().map_or(batch.after, |row| row.seq());
    if !activity::advance(tx.conn(), batch.log, batch.after, to)? {
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
    for (id, seen) in &tally.seen {
        if seen.deleted {
            activity::forget(tx.conn(), (batch.log, to), id)?;
        }
        let last = &seen.last;
        if !last.is_empty() {
            activity::note(
                tx.conn(),
                (batch.log, to),
                &Last {
                    client_id: id.clone(),
                    ..last.clone()
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
    /// How far each log was counted when it was read; none: never.
    seen: Option<BTreeMap<i32, i64>>,
    lasts: Arc<BTreeMap<String, Last>>,
}

impl Latest {
    /// What all of them did last, by their ids.
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
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
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
    fn of(rows: &[AuditRow], now: i64) -> Self {
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
                );
            }
        }
        tally
    }

    fn take(&mut self, kind: Kind, event: &Read<'_>) {
        let at = event.row.at_ms.div_euclid(1000);
        match kind {
            Kind::LoginSucceeded if event.detail("second_factor") != "due" => self.add(at, SIGN_IN, "", 1),
            Kind::LoginFailed => self.add(at, SIGN_IN_FAILED, reason_of(event), 1),
            Kind::TokenIssued => {
                self.add(at, TOKEN, "", 1);
                self.note(event, |last| {
                    last.last_token_at = last.last_token_at.max(Some(at))
                });
            }
            Kind::TokenRefused => self.fail(at, TOKEN_REFUSED, reason_of(event), event),
            Kind::ClientAuthenticationFailed => self.fail(at, CLIENT_FAILED, reason_of(event), event),
            Kind::IntrospectionsCounted => {
                self.add(at, INTROSPECTION, "", event.count());
                self.note(event, |last| {
                    last.last_introspection_at = last.last_introspection_at.max(Some(at))
                });
            }
            Kind::FailuresCounted => {
                let told = |name| event.detail(name).parse().unwrap_or(0);
                self.add(at, SIGN_IN_FAILED, Reason::Repeated.as_str(), told("sign_ins"));
                self.add(at, CLIENT_FAILED, Reason::Repeated.as_str(), told("clients"));
            }
            Kind::ClientChanged | Kind::ResourceServerChanged if event.detail("action") == "deleted" => {
                if let Some(id) = &event.row.client_id {
                    self.seen.insert(
                        id.clone(),
                        Seen {
                            deleted: true,
                            ..Seen::default()
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
        self.note(event, |last| {
            if last.last_failure_at <= Some(at) {
                (last.last_failure_at, last.last_failure) = (Some(at), Some(reason.to_owned()));
            }
        });
    }

    fn note(&mut self, event: &Read<'_>, seen: impl FnOnce(&mut Last)) {
        if let Some(id) = &event.row.client_id {
            seen(&mut self.seen.entry(id.clone()).or_default().last);
        }
    }
}

/// Why it failed, as the event says; else by the error that an application was told (RFC 6749 §5.2).
fn reason_of(event: &Read<'_>) -> &'static str {
    let said = event.detail("reason_code").parse();
    let told = || event.detail("error").parse();
    let reason: Reason = said.or_else(|_| told()).unwrap_or(Reason::Other);
    reason.counted().as_str()
}
