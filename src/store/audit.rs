//! Events of the record, the logs that they stand in, and what was signed of those.

use std::ops::Range;

use diesel::prelude::*;

use super::schema::{audit_bundle, audit_checkpoint, audit_event, audit_key, audit_log, audit_node};
use super::{Conn, StoreBroken, Stored, at_most, each};
use crate::audit::event::{Event, Kind};
use crate::audit::leaf::{canonical, leaf};

/// How many logs a PostgreSQL database has: as many transactions record without waiting for each other.
const LOGS: i32 = 8;
/// The number in its log is the lower part of an event's id.
const NUMBER_BITS: u32 = 40;

/// The id of an event: its log, and its number there, from 1.
#[must_use]
pub fn id_of(log: i32, seq: i64) -> i64 {
    (i64::from(log) << NUMBER_BITS) + seq
}

/// The ids of the events of a log.
fn ids(log: i32) -> Range<i64> {
    id_of(log, 0) + 1..id_of(log + 1, 0) + 1
}

/// A row of the record.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_event)]
pub struct AuditRow {
    /// Its place: see [`id_of`].
    pub id: i64,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What happened.
    pub kind: String,
    /// How it ended.
    pub outcome: String,
    /// The client concerned.
    pub client_id: Option<String>,
    /// The person concerned.
    pub person_id: Option<String>,
    /// The person who acted, where it is another one than the person concerned.
    pub by_person: Option<String>,
    /// Canonical JSON of the whole event.
    pub body: String,
    /// SHA-256 over the body, as [`leaf`] makes it.
    pub leaf: Vec<u8>,
}

impl AuditRow {
    /// The log that it stands in.
    #[must_use]
    pub fn log(&self) -> i32 {
        i32::try_from((self.id - 1) >> NUMBER_BITS).unwrap_or(-1)
    }

    /// Its number in the log, from 1.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.id - id_of(self.log(), 0)
    }

    /// Its leaf for people, in hexadecimal.
    #[must_use]
    pub fn leaf_in_words(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.leaf)
    }
}

/// A log of the record (RFC 6962 §2).
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
pub struct Log {
    /// Its number.
    pub id: i32,
    /// What checkpoints call it.
    pub origin: String,
    /// How many events it has.
    pub size: i64,
    /// Since when, in seconds since the epoch.
    pub opened_at: i64,
    /// Since when nothing is written to it any more.
    pub closed_at: Option<i64>,
}

/// The hash of a whole subtree.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_node)]
pub struct Node {
    /// The log.
    pub log: i32,
    /// It stands for 256 to the power of the level events.
    pub level: i32,
    /// Its number on that level, from 0.
    pub number: i64,
    /// The hash.
    pub hash: Vec<u8>,
}

/// What was signed of a log.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_checkpoint)]
pub struct StoredCheckpoint {
    /// The log.
    pub log: i32,
    /// How many events the log had.
    pub size: i64,
    /// The signed note.
    pub note: String,
}

/// The checkpoints of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_bundle)]
pub struct StoredBundle {
    /// Its number, from 1.
    pub id: i64,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The signed note.
    pub note: String,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_key)]
pub struct StoredCheckpointKey {
    /// Its number.
    pub id: i32,
    /// The public key of Ed25519, in base64.
    pub public_key: String,
    /// The private one, wrapped by the master key.
    pub private_key: String,
    /// Since when, in seconds since the epoch.
    pub created_at: i64,
}

/// Appends events to a log that this transaction takes for itself.
pub(super) fn append(conn: &mut Conn, events: &[Event]) -> Stored<()> {
    if events.is_empty() {
        return Ok(());
    }
    let log = take_log(conn)?;
    let mut size = log.size;
    for event in events {
        size += 1;
        let body = canonical(event).map_err(|cause| StoreBroken::stored("event", cause))?;
        let row = AuditRow {
            id: id_of(log.id, size),
            at_ms: event.at_ms,
            kind: event.kind.as_str().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            client_id: event.client_id.clone(),
            person_id: event.person_id.clone(),
            by_person: event.by_another_person().map(str::to_owned),
            leaf: leaf(body.as_bytes()).to_vec(),
            body,
        };
        each!(conn, c => diesel::insert_into(audit_event::table).values(&row).execute(c))?;
    }
    each!(conn, c => diesel::update(audit_log::table.find(log.id)).set(audit_log::size.eq(size)).execute(c))?;
    Ok(())
}

/// SQLite has one log and one writer. On PostgreSQL a transaction takes a log that nobody holds, so that writers do not wait
/// for each other.
fn take_log(conn: &mut Conn) -> Stored<Log> {
    let open = audit_log::closed_at.is_null();
    match conn {
        Conn::Sqlite(c) => Ok(audit_log::table.filter(open).select(Log::as_select()).first(c)?),
        Conn::Pg(c) => {
            // The first that is free: where little happens, one log has it.
            let free = audit_log::table
                .filter(open)
                .order(audit_log::id)
                .select(Log::as_select())
                .limit(1)
                .for_update()
                .skip_locked()
                .get_result(c.as_mut())
                .optional()?;
            match free {
                Some(log) => Ok(log),
                None => Ok(audit_log::table
                    .filter(open)
                    .select(Log::as_select())
                    .limit(1)
                    .for_update()
                    .get_result(c.as_mut())?),
            }
        }
    }
}

/// Opens the logs of a database that has none. Their origins begin with `name`.
pub fn open_logs(conn: &mut Conn, name: &str, now: i64) -> Stored<bool> {
    let there: i64 = each!(conn, c => audit_log::table.count().get_result(c))?;
    if there > 0 {
        return Ok(false);
    }
    let count = if conn.is_sqlite() { 1 } else { LOGS };
    for id in 0..count {
        let log = Log {
            id,
            origin: format!("{name}/1/{id}"),
            size: 0,
            opened_at: now,
            closed_at: None,
        };
        each!(conn, c => diesel::insert_into(audit_log::table).values(&log).on_conflict_do_nothing().execute(c))?;
    }
    Ok(true)
}

/// All logs, in order, with their sizes at one moment.
pub fn logs(conn: &mut Conn) -> Stored<Vec<Log>> {
    Ok(each!(conn, c => audit_log::table.order(audit_log::id).select(Log::as_select()).load(c))?)
}

/// Up to `limit` rows of a log after number `after`, in order.
pub fn rows_after(conn: &mut Conn, log: i32, after: i64, limit: i64) -> Stored<Vec<AuditRow>> {
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::id.gt(id_of(log, after)).and(audit_event::id.lt(ids(log).end)))
        .order(audit_event::id)
        .limit(limit)
        .select(AuditRow::as_select())
        .load(c))?)
}

/// Ids of up to `limit` rows of a log after number `after`, in order: for rows that cannot be read.
pub fn ids_after(conn: &mut Conn, log: i32, after: i64, limit: i64) -> Stored<Vec<i64>> {
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::id.gt(id_of(log, after)).and(audit_event::id.lt(ids(log).end)))
        .order(audit_event::id)
        .limit(limit)
        .select(audit_event::id)
        .load(c))?)
}

/// The row with an id.
pub fn row(conn: &mut Conn, id: i64) -> Stored<Option<AuditRow>> {
    Ok(each!(conn, c => audit_event::table
        .find(id)
        .select(AuditRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The leaves of the events of a log with these numbers, from 0, in order; of those that are there.
pub fn leaves(conn: &mut Conn, log: i32, numbers: Range<u64>) -> Stored<Vec<(i64, Vec<u8>)>> {
    let seq = |number: u64| i64::try_from(number).unwrap_or(i64::MAX >> 20).saturating_add(1);
    let (from, to) = (id_of(log, seq(numbers.start)), id_of(log, seq(numbers.end)));
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::id.ge(from).and(audit_event::id.lt(to)))
        .order(audit_event::id)
        .select((audit_event::id, audit_event::leaf))
        .load(c))?)
}

/// Ids of up to `limit` rows that stand in none of these logs, in order.
pub fn strays(conn: &mut Conn, known: &[Log], limit: usize) -> Stored<Vec<i64>> {
    Ok(each!(conn, c => {
        let mut rows = audit_event::table
            .order(audit_event::id)
            .limit(at_most(limit))
            .select(audit_event::id)
            .into_boxed();
        for log in known {
            let ids = ids(log.id);
            rows = rows.filter(audit_event::id.lt(ids.start).or(audit_event::id.ge(ids.end)));
        }
        rows.load(c)
    })?)
}

/// The hashes of subtrees of a log on a level, by their numbers.
pub fn nodes(conn: &mut Conn, log: i32, level: i32, numbers: Range<i64>) -> Stored<Vec<Node>> {
    Ok(each!(conn, c => audit_node::table
        .filter(audit_node::log.eq(log).and(audit_node::level.eq(level)))
        .filter(audit_node::number.ge(numbers.start).and(audit_node::number.lt(numbers.end)))
        .order(audit_node::number)
        .select(Node::as_select())
        .load(c))?)
}

/// The last hash of a subtree of a log on each level: level and number.
pub fn last_nodes(conn: &mut Conn, log: i32) -> Stored<Vec<(i32, Option<i64>)>> {
    Ok(each!(conn, c => audit_node::table
        .filter(audit_node::log.eq(log))
        .group_by(audit_node::level)
        .order(audit_node::level)
        .select((audit_node::level, diesel::dsl::max(audit_node::number)))
        .load(c))?)
}

/// Keeps the hash of a subtree.
pub fn add_node(conn: &mut Conn, node: &Node) -> Stored<()> {
    each!(conn, c => diesel::insert_into(audit_node::table)
        .values(node)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// Keeps a checkpoint. Answers false where that size has one already.
pub fn add_checkpoint(conn: &mut Conn, checkpoint: &StoredCheckpoint) -> Stored<bool> {
    Ok(each!(conn, c => diesel::insert_into(audit_checkpoint::table)
        .values(checkpoint)
        .on_conflict_do_nothing()
        .execute(c))?
        == 1)
}

/// All checkpoints, by log and size.
pub fn checkpoints(conn: &mut Conn) -> Stored<Vec<StoredCheckpoint>> {
    Ok(each!(conn, c => audit_checkpoint::table
        .order((audit_checkpoint::log, audit_checkpoint::size))
        .select(StoredCheckpoint::as_select())
        .load(c))?)
}

/// The newest checkpoint of a log.
pub fn newest_checkpoint(conn: &mut Conn, log: i32) -> Stored<Option<StoredCheckpoint>> {
    Ok(each!(conn, c => audit_checkpoint::table
        .filter(audit_checkpoint::log.eq(log))
        .order(audit_checkpoint::size.desc())
        .select(StoredCheckpoint::as_select())
        .first(c)
        .optional())?)
}

/// Keeps the bundle of a moment, behind those that there are.
pub fn add_bundle(conn: &mut Conn, at_ms: i64, note: &str) -> Stored<()> {
    let newest: Option<i64> =
        each!(conn, c => audit_bundle::table.select(diesel::dsl::max(audit_bundle::id)).get_result(c))?;
    let bundle = StoredBundle {
        id: newest.unwrap_or(0) + 1,
        at_ms,
        note: note.to_owned(),
    };
    each!(conn, c => diesel::insert_into(audit_bundle::table).values(&bundle).execute(c))?;
    Ok(())
}

/// The newest bundle.
pub fn newest_bundle(conn: &mut Conn) -> Stored<Option<StoredBundle>> {
    Ok(each!(conn, c => audit_bundle::table
        .order(audit_bundle::id.desc())
        .select(StoredBundle::as_select())
        .first(c)
        .optional())?)
}

/// All keys that have signed checkpoints, the oldest first.
pub fn checkpoint_keys(conn: &mut Conn) -> Stored<Vec<StoredCheckpointKey>> {
    Ok(each!(conn, c => audit_key::table
        .order(audit_key::id)
        .select(StoredCheckpointKey::as_select())
        .load(c))?)
}

/// Adds the first key that signs checkpoints, unless there is one.
pub fn add_first_checkpoint_key(conn: &mut Conn, key: &StoredCheckpointKey) -> Stored<()> {
    each!(conn, c => diesel::insert_into(audit_key::table)
        .values(key)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}

/// Replaces the wrapped private part of a key by the same, wrapped anew.
pub fn rewrap_checkpoint_key(conn: &mut Conn, id: i32, private_key: &str) -> Stored<()> {
    each!(conn, c => diesel::update(audit_key::table.find(id))
        .set(audit_key::private_key.eq(private_key))
        .execute(c))?;
    Ok(())
}

/// When the newest event was recorded, in milliseconds since the epoch.
pub fn newest_millis(conn: &mut Conn) -> Stored<Option<i64>> {
    Ok(each!(conn, c => audit_event::table.select(diesel::dsl::max(audit_event::at_ms)).get_result(c))?)
}

/// The newest event of a kind.
pub fn newest_of(conn: &mut Conn, kind: Kind) -> Stored<Option<AuditRow>> {
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::kind.eq(kind.as_str()))
        .order(audit_event::at_ms.desc())
        .select(AuditRow::as_select())
        .first(c)
        .optional())?)
}

/// Whom events concern.
#[derive(Debug, Clone)]
pub enum Concerned {
    /// A person, by id.
    Person(String),
    /// A client or resource server, by id.
    Client(String),
    /// An identity provider, by id.
    Provider(String),
    /// An agency, by id.
    Agency(String),
}

/// The last events of these kinds that concern somebody, the newest first, from `since_ms` (milliseconds) on: a record
/// grows for ever, and most of it is tokens.
pub fn last_of(
    conn: &mut Conn,
    concerned: &Concerned,
    kinds: &[Kind],
    since_ms: i64,
    limit: i64,
) -> Stored<Vec<AuditRow>> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    Ok(each!(conn, c => {
        let events = audit_event::table
            .filter(audit_event::at_ms.ge(since_ms).and(audit_event::kind.eq_any(&kinds)))
            .order((audit_event::at_ms.desc(), audit_event::id.desc()))
            .limit(limit)
            .select(AuditRow::as_select())
            .into_boxed();
        match concerned {
            Concerned::Person(id) => events.filter(audit_event::person_id.eq(id)).load(c),
            Concerned::Client(id) => events.filter(audit_event::client_id.eq(id)).load(c),
            // Few events are of providers, and no column has them.
            Concerned::Provider(id) => {
                events.filter(audit_event::body.like(format!("%\"provider\":\"{id}\"%"))).load(c)
            }
            Concerned::Agency(id) => {
                events.filter(audit_event::body.like(format!("%\"agency\":\"{id}\"%"))).load(c)
            }
        }
    })?)
}

/// The last events of a kind, whomever they concern, the newest first.
pub fn last_of_kind(conn: &mut Conn, kind: Kind, limit: i64) -> Stored<Vec<AuditRow>> {
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::kind.eq(kind.as_str()))
        .order((audit_event::at_ms.desc(), audit_event::id.desc()))
        .limit(limit)
        .select(AuditRow::as_select())
        .load(c))?)
}
