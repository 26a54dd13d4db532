//! Sessions.

use diesel::prelude::*;

use super::schema::session;
use super::{Conn, Stored, each};
use crate::model::session::Session;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = session)]
struct Row {
    hash: String,
    person_id: String,
    person_generation: i64,
    created_at: i64,
    auth_time: i64,
    last_seen_at: i64,
    amr: String,
    second_factor_due: bool,
    ended_at: Option<i64>,
    purge_at: i64,
}

/// A session that has not ended, by the hash of its cookie.
///
/// # Errors
/// What the database says.
pub fn find(conn: &mut Conn, hash: &str) -> Stored<Option<Session>> {
    let row: Option<Row> = each!(conn, c => session::table
        .filter(session::hash.eq(hash).and(session::ended_at.is_null()))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(|row| Session {
        hash: row.hash,
        person_id: row.person_id,
        person_generation: row.person_generation,
        created_at: row.created_at,
        auth_time: row.auth_time,
        last_seen_at: row.last_seen_at,
        amr: row.amr.split(' ').filter(|method| !method.is_empty()).map(str::to_owned).collect(),
        second_factor_due: row.second_factor_due,
    }))
}

/// Adds a session.
///
/// # Errors
/// What the database says.
pub fn add(conn: &mut Conn, model: &Session, purge_at: i64) -> Stored<()> {
    let row = Row {
        hash: model.hash.clone(),
        person_id: model.person_id.clone(),
        person_generation: model.person_generation,
        created_at: model.created_at,
        auth_time: model.auth_time,
        last_seen_at: model.last_seen_at,
        amr: model.amr.join(" "),
        second_factor_due: model.second_factor_due,
        ended_at: None,
        purge_at,
    };
    each!(conn, c => diesel::insert_into(session::table).values(&row).execute(c))?;
    Ok(())
}

/// Notes that a session was used.
///
/// # Errors
/// What the database says.
pub fn seen(conn: &mut Conn, hash: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(session::table.find(hash)).set(session::last_seen_at.eq(at)).execute(c))?;
    Ok(())
}

/// Removes a session that another one replaces: its id changes when its assurance does.
///
/// # Errors
/// What the database says.
pub fn replace(conn: &mut Conn, hash: &str) -> Stored<()> {
    each!(conn, c => diesel::delete(session::table.find(hash)).execute(c))?;
    Ok(())
}

/// Whether the person ended a session, in contrast to one that was replaced or has expired.
///
/// # Errors
/// What the database says.
pub fn was_ended(conn: &mut Conn, hash: &str) -> Stored<bool> {
    let ended: Option<Option<i64>> =
        each!(conn, c => session::table.find(hash).select(session::ended_at).get_result(c).optional())?;
    Ok(ended.flatten().is_some())
}

/// Ends a session. Answers whether it was alive.
///
/// # Errors
/// What the database says.
pub fn end(conn: &mut Conn, hash: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(session::table.filter(session::hash.eq(hash).and(session::ended_at.is_null())))
        .set(session::ended_at.eq(at))
        .execute(c))?
        == 1)
}
