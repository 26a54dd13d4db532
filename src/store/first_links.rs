//! The one-time link with which the first administrator is made, by the hash of its secret. There is one at a time.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::schema::first_link;
use super::{Conn, Stored, each};

/// How long a row outlives its link, in seconds.
const ROW_OUTLIVES_LINK: i64 = 86_400;

/// Puts a link in place of those before it.
pub fn replace(conn: &mut Conn, hash: &str, now: i64, expires_at: i64) -> Stored<()> {
    each!(conn, c => {
        diesel::delete(first_link::table).execute(c)?;
        diesel::insert_into(first_link::table)
            .values((
                first_link::hash.eq(hash),
                first_link::created_at.eq(now),
                first_link::expires_at.eq(expires_at),
                first_link::purge_at.eq(expires_at + ROW_OUTLIVES_LINK),
            ))
            .execute(c)?;
    });
    Ok(())
}

/// Whether a link holds.
pub fn holds(conn: &mut Conn, hash: &str, now: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::select(exists(first_link::table.filter(
            first_link::hash.eq(hash).and(first_link::used_at.is_null()).and(first_link::expires_at.gt(now)))))
        .get_result(c))?)
}

/// Uses a link up. Answers false when it was used already, or has ended: the database decides the race.
pub fn use_up(conn: &mut Conn, hash: &str, now: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(first_link::table.filter(
            first_link::hash.eq(hash).and(first_link::used_at.is_null()).and(first_link::expires_at.gt(now))))
        .set(first_link::used_at.eq(now))
        .execute(c))?
        == 1)
}
