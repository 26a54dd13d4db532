//! Recovery codes, by their keyed hash.

use diesel::prelude::*;

use super::schema::recovery_code;
use super::{Conn, Stored, each};

/// Replaces the codes of a person by these.
pub fn replace(conn: &mut Conn, person_id: &str, hashes: &[String], at: i64) -> Stored<()> {
    remove_all(conn, person_id)?;
    for hash in hashes {
        each!(conn, c => diesel::insert_into(recovery_code::table)
            .values((
                recovery_code::hash.eq(hash),
                recovery_code::person_id.eq(person_id),
                recovery_code::created_at.eq(at),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// Uses a code of a person up. Answers false when it is none, or was used: the database decides the race.
pub fn use_up(conn: &mut Conn, person_id: &str, hash: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(recovery_code::table.filter(
            recovery_code::hash.eq(hash)
                .and(recovery_code::person_id.eq(person_id))
                .and(recovery_code::used_at.is_null())))
        .set(recovery_code::used_at.eq(at))
        .execute(c))?
        == 1)
}

/// How many codes of a person are left, and when they were made.
pub fn left(conn: &mut Conn, person_id: &str) -> Stored<(i64, Option<i64>)> {
    let unused: Vec<i64> = each!(conn, c => recovery_code::table
        .filter(recovery_code::person_id.eq(person_id).and(recovery_code::used_at.is_null()))
        .select(recovery_code::created_at)
        .load(c))?;
    Ok((
        i64::try_from(unused.len()).unwrap_or(i64::MAX),
        unused.into_iter().max(),
    ))
}

/// Removes the codes of a person. Answers how many there were.
pub fn remove_all(conn: &mut Conn, person_id: &str) -> Stored<usize> {
    Ok(
        each!(conn, c => diesel::delete(recovery_code::table.filter(recovery_code::person_id.eq(person_id))).execute(c))?,
    )
}

/// Removes the codes of everybody. Answers how many there were.
pub fn clear(conn: &mut Conn) -> Stored<usize> {
    Ok(each!(conn, c => diesel::delete(recovery_code::table).execute(c))?)
}
