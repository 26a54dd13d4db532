//! Failed sign-ins, by keyed hash of what was typed: known accounts and others alike.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::schema::login_failure;
use super::{Conn, Stored, each};

/// What is remembered about a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = login_failure)]
pub struct Failures {
    /// Keyed hash of what was typed.
    pub subject: String,
    /// Failures in the window.
    pub failures: i64,
    /// When the window began, in seconds since the epoch.
    pub window_started_at: i64,
    /// Until when nothing is tried.
    pub locked_until: i64,
    /// When the row may go.
    pub purge_at: i64,
    /// Failures since the last success, however long ago.
    pub consecutive: i64,
}

/// What is remembered about a subject.
pub fn find(conn: &mut Conn, subject: &str) -> Stored<Option<Failures>> {
    Ok(
        each!(conn, c => login_failure::table.find(subject).select(Failures::as_select()).get_result(c).optional())?,
    )
}

/// What is remembered about a subject, or else `empty`, locked against other writers. The row is made first: what does
/// not exist cannot be locked, and many first failures at once would all count as one.
pub fn lock(conn: &mut Conn, empty: &Failures) -> Stored<Failures> {
    each!(conn, c => diesel::insert_into(login_failure::table).values(empty).on_conflict_do_nothing().execute(c))?;
    let subject = &empty.subject;
    match conn {
        Conn::Sqlite(c) => Ok(login_failure::table
            .find(subject)
            .select(Failures::as_select())
            .get_result(c)?),
        Conn::Pg(c) => Ok(login_failure::table
            .find(subject)
            .select(Failures::as_select())
            .for_update()
            .get_result(c.as_mut())?),
    }
}

/// Remembers.
pub fn put(conn: &mut Conn, row: &Failures) -> Stored<()> {
    each!(conn, c => diesel::insert_into(login_failure::table)
        .values(row)
        .on_conflict(login_failure::subject)
        .do_update()
        .set((
            login_failure::failures.eq(excluded(login_failure::failures)),
            login_failure::window_started_at.eq(excluded(login_failure::window_started_at)),
            login_failure::locked_until.eq(excluded(login_failure::locked_until)),
            login_failure::purge_at.eq(excluded(login_failure::purge_at)),
            login_failure::consecutive.eq(excluded(login_failure::consecutive)),
        ))
        .execute(c))?;
    Ok(())
}

/// Forgets, after a success or when an administrator unlocks. Answers whether there was something.
pub fn forget(conn: &mut Conn, subject: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::delete(login_failure::table.find(subject)).execute(c))? > 0)
}

/// Forgets a subject and all that begin with it and a full stop. Answers whether there was something.
pub fn forget_all(conn: &mut Conn, subject: &str) -> Stored<bool> {
    // An underscore in a pattern stands for any character; 43 characters of a keyed hash match no other's by that.
    let below = format!("{subject}.%");
    Ok(each!(conn, c => diesel::delete(
        login_failure::table.filter(login_failure::subject.eq(subject).or(login_failure::subject.like(&below)))
    )
    .execute(c))?
        > 0)
}

/// Forgets everything.
pub fn clear(conn: &mut Conn) -> Stored<()> {
    each!(conn, c => diesel::delete(login_failure::table).execute(c))?;
    Ok(())
}
