//! Clients that still have to be told that a session has ended. Servers that share the database share the list: who
//! claims a notice tells the client, and claiming puts the next try off, so that a notice outlives whoever claimed it.

use diesel::prelude::*;

use super::schema::logout_notice;
use super::{Conn, Stored, each};
use crate::model::logout_notice::LogoutNotice;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = logout_notice)]
struct Row {
    id: String,
    client_id: String,
    person_id: String,
    session_id: String,
    attempts: i64,
    next_at: i64,
    purge_at: i64,
}

/// Adds a notice, due at `now`.
pub fn add(conn: &mut Conn, model: &LogoutNotice, now: i64, purge_at: i64) -> Stored<()> {
    let row = Row {
        id: model.id.clone(),
        client_id: model.client_id.clone(),
        person_id: model.person_id.clone(),
        session_id: model.session_id.clone(),
        attempts: model.attempts,
        next_at: now,
        purge_at,
    };
    each!(conn, c => diesel::insert_into(logout_notice::table).values(&row).execute(c))?;
    Ok(())
}

/// Up to `limit` notices that are due, those that were tried least first: a client that does not answer must not keep
/// the others waiting.
pub fn due(conn: &mut Conn, now: i64, limit: i64) -> Stored<Vec<LogoutNotice>> {
    let rows: Vec<Row> = each!(conn, c => logout_notice::table
        .filter(logout_notice::next_at.le(now))
        .order((logout_notice::attempts, logout_notice::next_at, logout_notice::id))
        .limit(limit)
        .select(Row::as_select())
        .load(c))?;
    Ok(rows
        .into_iter()
        .map(|row| LogoutNotice {
            id: row.id,
            client_id: row.client_id,
            person_id: row.person_id,
            session_id: row.session_id,
            attempts: row.attempts,
        })
        .collect())
}

/// Claims a notice for one more attempt; the next one is due at `next_at`. Answers false when another server was faster.
pub fn claim(conn: &mut Conn, model: &LogoutNotice, next_at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(logout_notice::table
            .filter(logout_notice::id.eq(&model.id).and(logout_notice::attempts.eq(model.attempts))))
        .set((logout_notice::attempts.eq(model.attempts + 1), logout_notice::next_at.eq(next_at)))
        .execute(c))?
        == 1)
}

/// Takes a notice off the list. Answers false when it was not there any more.
pub fn delete(conn: &mut Conn, id: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::delete(logout_notice::table.find(id)).execute(c))? == 1)
}
