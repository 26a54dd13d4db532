//! Audit rows and the heads of their chains.

use diesel::prelude::*;

use super::schema::{audit_chain, audit_event};
use super::{Conn, StoreBroken, Stored, each};
use crate::audit::chain::{canonical, leaf};
use crate::audit::event::{Event, Kind};

/// A row of the record.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_event)]
pub struct AuditRow {
    /// The chain it stands in.
    pub chain: i32,
    /// Its number in the chain, from 1.
    pub seq: i64,
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
    /// Canonical JSON of the whole event.
    pub body: String,
    /// SHA-256 over the body.
    pub leaf: String,
    /// The person who acted, where it is another one than the person concerned.
    pub by_person: Option<String>,
}

/// The head of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_chain)]
pub struct Head {
    /// The chain.
    pub id: i32,
    /// The number of its last row.
    pub seq: i64,
    /// The leaf of its last row.
    pub head: String,
}

/// Appends events to a chain that this transaction takes for itself.
pub(super) fn append(conn: &mut Conn, events: &[Event]) -> Stored<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut head = take_chain(conn)?;
    for event in events {
        let seq = head.seq + 1;
        let body = canonical(&event.bind(head.id, seq, &head.head))
            .map_err(|cause| StoreBroken::stored("event", cause))?;
        let leaf = leaf(&body);
        let row = AuditRow {
            chain: head.id,
            seq,
            at_ms: event.at_ms,
            kind: event.kind.as_str().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            client_id: event.client_id.clone(),
            person_id: event.person_id.clone(),
            body,
            leaf: leaf.clone(),
            by_person: event.by_another_person().map(str::to_owned),
        };
        each!(conn, c => diesel::insert_into(audit_event::table).values(&row).execute(c))?;
        head.seq = seq;
        head.head = leaf;
    }
    each!(conn, c => diesel::update(audit_chain::table.find(head.id))
        .set((audit_chain::seq.eq(head.seq), audit_chain::head.eq(&head.head)))
        .execute(c))?;
    Ok(())
}

/// SQLite has one chain and one writer. On PostgreSQL a transaction takes a chain that nobody holds, so that writers do not wait for each other.
fn take_chain(conn: &mut Conn) -> Stored<Head> {
    match conn {
        Conn::Sqlite(c) => Ok(audit_chain::table.select(Head::as_select()).get_result(c)?),
        Conn::Pg(c) => {
            let free = audit_chain::table
                .select(Head::as_select())
                .limit(1)
                .for_update()
                .skip_locked()
                .get_result(c.as_mut())
                .optional()?;
            match free {
                Some(head) => Ok(head),
                None => Ok(audit_chain::table
                    .select(Head::as_select())
                    .limit(1)
                    .for_update()
                    .get_result(c.as_mut())?),
            }
        }
    }
}

/// Makes the chains of a new installation.
pub(super) fn create_chains(conn: &mut Conn) -> Stored<()> {
    let count = if conn.is_sqlite() { 1 } else { 16 };
    for id in 0..count {
        let head = Head {
            id,
            seq: 0,
            head: crate::audit::chain::GENESIS.to_owned(),
        };
        each!(conn, c => diesel::insert_into(audit_chain::table).values(&head).execute(c))?;
    }
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

/// The heads of all chains, in order.
pub fn heads(conn: &mut Conn) -> Stored<Vec<Head>> {
    Ok(each!(conn, c => audit_chain::table.order(audit_chain::id).select(Head::as_select()).load(c))?)
}

/// Up to `limit` rows of a chain after number `after`, in order.
pub fn rows_after(conn: &mut Conn, chain: i32, after: i64, limit: i64) -> Stored<Vec<AuditRow>> {
    Ok(each!(conn, c => audit_event::table
        .filter(audit_event::chain.eq(chain).and(audit_event::seq.gt(after)))
        .order(audit_event::seq)
        .limit(limit)
        .select(AuditRow::as_select())
        .load(c))?)
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
            .order((audit_event::at_ms.desc(), audit_event::seq.desc()))
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
        .order((audit_event::at_ms.desc(), audit_event::seq.desc()))
        .limit(limit)
        .select(AuditRow::as_select())
        .load(c))?)
}
