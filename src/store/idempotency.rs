//! Answers to requests of the admin API that may be sent again.

use diesel::prelude::*;

use super::schema::idempotency;
use super::{Conn, Stored, each};

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = idempotency)]
pub struct Kept {
    /// The hash of token and key.
    pub key: String,
    /// The hash of the request.
    pub request: String,
    /// The status of the answer.
    pub status: i32,
    /// The rest of the answer, sealed.
    pub answer: String,
    /// When its row may go.
    pub purge_at: i64,
}

/// The answer that was given under a key, unless its time is over.
pub fn find(conn: &mut Conn, key: &str, now: i64) -> Stored<Option<Kept>> {
    Ok(each!(conn, c => idempotency::table
        .filter(idempotency::key.eq(key).and(idempotency::purge_at.gt(now)))
        .select(Kept::as_select())
        .get_result(c)
        .optional())?)
}

/// Keeps an answer. One under the same key whose time is over goes.
///
/// # Errors
/// What the database says: of several who come with one key, one writes the row.
pub fn keep(conn: &mut Conn, kept: &Kept, now: i64) -> Stored<()> {
    each!(conn, c => {
        diesel::delete(idempotency::table.filter(
            idempotency::key.eq(&kept.key).and(idempotency::purge_at.le(now))))
            .execute(c)?;
        diesel::insert_into(idempotency::table).values(kept).execute(c)?;
    });
    Ok(())
}

/// Forgets all answers: the master key that sealed them is replaced.
pub fn clear(conn: &mut Conn) -> Stored<()> {
    each!(conn, c => diesel::delete(idempotency::table).execute(c))?;
    Ok(())
}
