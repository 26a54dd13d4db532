//! Passwords that a person had before the present one, as PHC strings.

use diesel::prelude::*;

use super::schema::password_history;
use super::{Conn, Stored, each};

/// The last `limit` passwords before the present one, newest first.
pub fn of(conn: &mut Conn, person_id: &str, limit: u32) -> Stored<Vec<String>> {
    Ok(each!(conn, c => password_history::table
        .filter(password_history::person_id.eq(person_id))
        .order((password_history::replaced_at.desc(), password_history::id.desc()))
        .limit(limit.into())
        .select(password_history::password)
        .load(c))?)
}

/// Adds the password that was just replaced, and forgets all but the last `keep`.
pub fn add(conn: &mut Conn, row: Replaced<'_>, keep: u32) -> Stored<()> {
    each!(conn, c => diesel::insert_into(password_history::table).values(&row).execute(c))?;
    prune(conn, row.person_id, keep)
}

/// A password that was replaced.
#[derive(Debug, Clone, Copy, Insertable)]
#[diesel(table_name = password_history)]
pub struct Replaced<'a> {
    /// Its row.
    pub id: &'a str,
    /// Whose it was.
    pub person_id: &'a str,
    /// As PHC string.
    pub password: &'a str,
    /// When, in seconds since the epoch.
    pub replaced_at: i64,
}

/// Forgets all but the last `keep`.
pub fn prune(conn: &mut Conn, person_id: &str, keep: u32) -> Stored<()> {
    let old: Vec<String> = each!(conn, c => password_history::table
        .filter(password_history::person_id.eq(person_id))
        .order((password_history::replaced_at.desc(), password_history::id.desc()))
        .offset(keep.into())
        .limit(1000)
        .select(password_history::id)
        .load(c))?;
    if !old.is_empty() {
        each!(conn, c => diesel::delete(password_history::table.filter(password_history::id.eq_any(&old))).execute(c))?;
    }
    Ok(())
}
