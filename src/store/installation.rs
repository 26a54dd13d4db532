//! The one row that says whose database this is.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::schema::{installation, probe};
use super::{Conn, Stored, each};

/// The fingerprint of the master key, if the installation is initialised.
pub fn key_fingerprint(conn: &mut Conn) -> Stored<Option<String>> {
    Ok(
        each!(conn, c => installation::table.find(1).select(installation::key_fingerprint).get_result(c).optional())?,
    )
}

/// When the installation was made, in seconds since the epoch.
pub fn installed_at(conn: &mut Conn) -> Stored<i64> {
    let found: Option<i64> = each!(conn, c => installation::table.find(1).select(installation::created_at).get_result(c).optional())?;
    Ok(found.unwrap_or(0))
}

/// Initialises the installation unless it is. Answers whether this call did it.
pub fn initialise(conn: &mut Conn, fingerprint: &str, now: i64) -> Stored<bool> {
    let made = each!(conn, c => diesel::insert_into(installation::table)
        .values((
            installation::id.eq(1),
            installation::created_at.eq(now),
            installation::key_fingerprint.eq(fingerprint),
            installation::revision.eq(0_i64),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(made == 1)
}

/// Writes more than the largest token needs, in the place of what was written before: proves that the database takes
/// writes, also those that take room.
pub fn prove(conn: &mut Conn, padding: &str) -> Stored<()> {
    let row = (probe::id.eq(1), probe::padding.eq(padding));
    each!(conn, c => diesel::insert_into(probe::table)
        .values(&row)
        .on_conflict(probe::id)
        .do_update()
        .set(probe::padding.eq(padding))
        .execute(c))?;
    Ok(())
}

/// Takes the installation's row for this transaction: what administrators do is done one after the other, on every
/// server, so that a name that was found free stays free. SQLite has one writer anyway.
pub fn lock(conn: &mut Conn) -> Stored<()> {
    if let Conn::Pg(c) = conn {
        installation::table
            .find(1)
            .select(installation::id)
            .for_update()
            .get_result::<i32>(c.as_mut())?;
    }
    Ok(())
}

/// Replaces the fingerprint, in the transaction that wraps everything under another master key.
pub fn set_key_fingerprint(conn: &mut Conn, fingerprint: &str) -> Stored<()> {
    each!(conn, c => diesel::update(installation::table.find(1))
        .set(installation::key_fingerprint.eq(fingerprint))
        .execute(c))?;
    Ok(())
}

#[derive(QueryableByName)]
struct Milliseconds {
    #[diesel(sql_type = BigInt)]
    ms: i64,
}

/// The time of a database on another machine, in milliseconds since the epoch; none for SQLite, which has no clock.
pub fn clock_millis(conn: &mut Conn) -> Stored<Option<i64>> {
    let Conn::Pg(c) = conn else { return Ok(None) };
    let now: Milliseconds =
        diesel::sql_query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms")
            .get_result(c.as_mut())?;
    Ok(Some(now.ms))
}

/// What was told of people who are about to be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DormancyNotice {
    /// When, in seconds since the epoch.
    pub at: i64,
    /// Of how many.
    pub of: i64,
}

/// What was last told, if it still stands.
pub fn dormancy_notice(conn: &mut Conn) -> Stored<Option<DormancyNotice>> {
    let (at, of) = each!(conn, c => installation::table
        .find(1)
        .select((installation::dormancy_told_at, installation::dormancy_told_of))
        .get_result(c))?;
    Ok((of > 0).then_some(DormancyNotice { at, of }))
}

/// Remembers what was told; none: nothing stands any more.
pub fn set_dormancy_notice(conn: &mut Conn, notice: Option<DormancyNotice>) -> Stored<()> {
    let (at, of) = notice.map_or((0, 0), |notice| (notice.at, notice.of));
    each!(conn, c => diesel::update(installation::table.find(1))
        .set((installation::dormancy_told_at.eq(at), installation::dormancy_told_of.eq(of)))
        .execute(c))?;
    Ok(())
}
