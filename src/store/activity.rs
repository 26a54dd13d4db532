//! What is counted of the record: how often what happened in an hour, and what each client did last.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::audit::{AuditRow, logs, rows_after};
use super::schema::{activity, activity_position, client_activity};
use super::{Conn, Stored, each};

/// Events of one log that were not counted yet.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The log.
    pub log: i32,
    /// The number of the last event that was counted.
    pub after: i64,
    /// The events behind it, in order.
    pub rows: Vec<AuditRow>,
}

/// How far a log is counted: the log, and the number of its last event.
pub type Position = (i32, i64);

type Noted = (
    diesel::dsl::Eq<client_activity::noted_log, i32>,
    diesel::dsl::Eq<client_activity::noted_seq, i64>,
);

fn noted((log, seq): Position) -> Noted {
    (
        client_activity::noted_log.eq(log),
        client_activity::noted_seq.eq(seq),
    )
}

/// How often something happened in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = activity)]
pub struct Count {
    /// The beginning of the hour.
    pub hour: i64,
    /// What happened.
    pub what: String,
    /// Why, or how.
    pub reason: String,
    /// How often.
    pub count: i64,
    /// When nobody wants to know any more.
    pub purge_at: i64,
}

/// What a client or resource server did last. Times in seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = client_activity)]
pub struct Last {
    /// Its id.
    pub client_id: String,
    /// When it got a token.
    pub last_token_at: Option<i64>,
    /// When it was refused one, or could not prove who it is.
    pub last_failure_at: Option<i64>,
    /// Why.
    pub last_failure: Option<String>,
    /// When it asked about a token.
    pub last_introspection_at: Option<i64>,
}

/// How far each log was counted.
pub fn positions(conn: &mut Conn) -> Stored<BTreeMap<i32, i64>> {
    let counted: Vec<(i32, i64)> = each!(conn, c => activity_position::table
        .select((activity_position::log, activity_position::seq))
        .load(c))?;
    Ok(counted.into_iter().collect())
}

impl Last {
    /// Whether it did something from this time on: what was before may be somebody else's, who had the id.
    pub fn is_since(&self, time: i64) -> bool {
        [
            self.last_token_at,
            self.last_failure_at,
            self.last_introspection_at,
        ]
        .into_iter()
        .flatten()
        .any(|at| at >= time)
    }

    /// Whether it did nothing.
    pub fn is_empty(&self) -> bool {
        self.last_token_at
            .or(self.last_failure_at)
            .or(self.last_introspection_at)
            .is_none()
    }
}

/// Up to `limit` events of some log that were not counted yet.
pub fn next(conn: &mut Conn, limit: i64) -> Stored<Option<Batch>> {
    let counted = positions(conn)?;
    for log in logs(conn)? {
        let after = counted.get(&log.id).copied().unwrap_or(0);
        if log.size > after {
            let rows = rows_after(conn, log.id, after, limit)?;
            if !rows.is_empty() {
                return Ok(Some(Batch {
                    log: log.id,
                    after,
                    rows,
                }));
            }
        }
    }
    Ok(None)
}

/// Moves the position in a log, unless somebody else did so first.
pub fn advance(conn: &mut Conn, log: i32, from: i64, to: i64) -> Stored<bool> {
    use activity_position as position;
    let moved = each!(conn, c => {
        diesel::insert_into(position::table)
            .values((position::log.eq(log), position::seq.eq(0)))
            .on_conflict_do_nothing()
            .execute(c)?;
        diesel::update(position::table.filter(position::log.eq(log).and(position::seq.eq(from))))
            .set(position::seq.eq(to))
            .execute(c)?
    });
    Ok(moved == 1)
}

/// Adds to a count.
pub fn add(conn: &mut Conn, count: &Count) -> Stored<()> {
    each!(conn, c => diesel::insert_into(activity::table)
        .values(count)
        .on_conflict((activity::hour, activity::what, activity::reason))
        .do_update()
        .set(activity::count.eq(activity::count + excluded(activity::count)))
        .execute(c))?;
    Ok(())
}

/// Notes what a client did last, where it is later than what is known: logs are counted one after the other. `at` is
/// how far its log is counted by this.
pub fn note(conn: &mut Conn, at: Position, last: &Last) -> Stored<()> {
    use client_activity::{
        client_id, last_failure, last_failure_at, last_introspection_at, last_token_at, table,
    };
    let known = table.filter(client_id.eq(&last.client_id));
    let noted = noted(at);
    each!(conn, c => {
        let new = diesel::insert_into(table).values((last, noted)).on_conflict_do_nothing().execute(c)? == 1;
        if let (false, Some(at)) = (new, last.last_token_at) {
            diesel::update(known.filter(last_token_at.is_null().or(last_token_at.lt(at))))
                .set((last_token_at.eq(at), noted))
                .execute(c)?;
        }
        if let (false, Some(at)) = (new, last.last_failure_at) {
            diesel::update(known.filter(last_failure_at.is_null().or(last_failure_at.lt(at))))
                .set((last_failure_at.eq(at), last_failure.eq(last.last_failure.as_deref()), noted))
                .execute(c)?;
        }
        if let (false, Some(at)) = (new, last.last_introspection_at) {
            diesel::update(known.filter(last_introspection_at.is_null().or(last_introspection_at.lt(at))))
                .set((last_introspection_at.eq(at), noted))
                .execute(c)?;
        }
    });
    Ok(())
}

/// Forgets what a client did that was deleted: another one may get its id. The row stays, empty, so that whoever follows
/// hears of it.
pub fn forget(conn: &mut Conn, at: Position, id: &str) -> Stored<()> {
    use client_activity::{last_failure, last_failure_at, last_introspection_at, last_token_at};
    let (no_time, no_reason) = (None::<i64>, None::<String>);
    each!(conn, c => diesel::update(client_activity::table.find(id))
        .set((
            last_token_at.eq(no_time),
            last_failure_at.eq(no_time),
            last_failure.eq(no_reason),
            last_introspection_at.eq(no_time),
            noted(at),
        ))
        .execute(c))?;
    Ok(())
}

/// The counts of the hours from `since` on.
pub fn since(conn: &mut Conn, since: i64) -> Stored<Vec<Count>> {
    Ok(each!(conn, c => activity::table
        .filter(activity::hour.ge(since))
        .order((activity::hour, activity::what, activity::reason))
        .select(Count::as_select())
        .load(c))?)
}

/// What clients and resource servers did last of whom something was noted between two looks at the positions; `seen` is
/// none: all.
pub fn noted_since(
    conn: &mut Conn,
    seen: Option<&BTreeMap<i32, i64>>,
    positions: &BTreeMap<i32, i64>,
) -> Stored<Vec<Last>> {
    use client_activity::{noted_log, noted_seq};
    let Some(seen) = seen else {
        return Ok(each!(conn, c => client_activity::table.select(Last::as_select()).load(c))?);
    };
    // What was noted before there were positions has the number 0.
    let seen_of = |log: &i32| seen.get(log).copied().unwrap_or(-1);
    let moved: Vec<(i32, i64)> = positions
        .iter()
        .filter(|(log, seq)| **seq > seen_of(log))
        .map(|(log, _)| (*log, seen_of(log)))
        .collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    Ok(each!(conn, c => {
        let mut query = client_activity::table.select(Last::as_select()).into_boxed();
        for (log, seq) in &moved {
            query = query.or_filter(noted_log.eq(*log).and(noted_seq.gt(*seq)));
        }
        query.load(c)
    })?)
}
