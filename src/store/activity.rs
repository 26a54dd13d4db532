//! What is counted of the record: how often what happened in an hour, and what each client did last.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::audit::{AuditRow, heads, rows_after};
use super::schema::{activity, activity_position, client_activity};
use super::{Conn, Stored, each};

/// Events of one chain that were not counted yet.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The chain.
    pub chain: i32,
    /// The number of the last event that was counted.
    pub after: i64,
    /// The events behind it, in order.
    pub rows: Vec<AuditRow>,
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

/// Up to `limit` events of some chain that were not counted yet.
///
/// # Errors
/// What the database says.
pub fn next(conn: &mut Conn, limit: i64) -> Stored<Option<Batch>> {
    let counted: Vec<(i32, i64)> = each!(conn, c => activity_position::table
        .select((activity_position::chain, activity_position::seq))
        .load(c))?;
    for head in heads(conn)? {
        let after = counted.iter().find(|(chain, _)| *chain == head.id).map_or(0, |(_, seq)| *seq);
        if head.seq > after {
            let rows = rows_after(conn, head.id, after, limit)?;
            if !rows.is_empty() {
                return Ok(Some(Batch { chain: head.id, after, rows }));
            }
        }
    }
    Ok(None)
}

/// Moves the position in a chain, unless somebody else did so first.
///
/// # Errors
/// What the database says.
pub fn advance(conn: &mut Conn, chain: i32, from: i64, to: i64) -> Stored<bool> {
    use activity_position as position;
    let moved = each!(conn, c => {
        diesel::insert_into(position::table)
            .values((position::chain.eq(chain), position::seq.eq(0)))
            .on_conflict_do_nothing()
            .execute(c)?;
        diesel::update(position::table.filter(position::chain.eq(chain).and(position::seq.eq(from))))
            .set(position::seq.eq(to))
            .execute(c)?
    });
    Ok(moved == 1)
}

/// Adds to a count.
///
/// # Errors
/// What the database says.
pub fn add(conn: &mut Conn, count: &Count) -> Stored<()> {
    each!(conn, c => diesel::insert_into(activity::table)
        .values(count)
        .on_conflict((activity::hour, activity::what, activity::reason))
        .do_update()
        .set(activity::count.eq(activity::count + excluded(activity::count)))
        .execute(c))?;
    Ok(())
}

/// Notes what a client did last, where it is later than what is known: chains are counted one after the other.
///
/// # Errors
/// What the database says.
pub fn note(conn: &mut Conn, last: &Last) -> Stored<()> {
    use client_activity::{client_id, last_failure, last_failure_at, last_introspection_at, last_token_at, table};
    let known = table.filter(client_id.eq(&last.client_id));
    each!(conn, c => {
        let new = diesel::insert_into(table).values(last).on_conflict_do_nothing().execute(c)? == 1;
        if let (false, Some(at)) = (new, last.last_token_at) {
            diesel::update(known.filter(last_token_at.is_null().or(last_token_at.lt(at))))
                .set(last_token_at.eq(at))
                .execute(c)?;
        }
        if let (false, Some(at)) = (new, last.last_failure_at) {
            diesel::update(known.filter(last_failure_at.is_null().or(last_failure_at.lt(at))))
                .set((last_failure_at.eq(at), last_failure.eq(last.last_failure.as_deref())))
                .execute(c)?;
        }
        if let (false, Some(at)) = (new, last.last_introspection_at) {
            diesel::update(known.filter(last_introspection_at.is_null().or(last_introspection_at.lt(at))))
                .set(last_introspection_at.eq(at))
                .execute(c)?;
        }
    });
    Ok(())
}

/// Forgets a client that was deleted: another one may get its id.
///
/// # Errors
/// What the database says.
pub fn forget(conn: &mut Conn, id: &str) -> Stored<()> {
    each!(conn, c => diesel::delete(client_activity::table.find(id)).execute(c))?;
    Ok(())
}

/// The counts of the hours from `since` on.
///
/// # Errors
/// What the database says.
pub fn since(conn: &mut Conn, since: i64) -> Stored<Vec<Count>> {
    Ok(each!(conn, c => activity::table
        .filter(activity::hour.ge(since))
        .order((activity::hour, activity::what, activity::reason))
        .select(Count::as_select())
        .load(c))?)
}

/// What each client and resource server did last.
///
/// # Errors
/// What the database says.
pub fn all_last(conn: &mut Conn) -> Stored<Vec<Last>> {
    Ok(each!(conn, c => client_activity::table.select(Last::as_select()).load(c))?)
}

/// What one client or resource server did last.
///
/// # Errors
/// What the database says.
pub fn last(conn: &mut Conn, id: &str) -> Stored<Option<Last>> {
    Ok(each!(conn, c => client_activity::table.find(id).select(Last::as_select()).get_result(c).optional())?)
}
