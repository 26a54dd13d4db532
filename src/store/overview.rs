//! What the first page of the console asks of several tables.

use diesel::prelude::*;

use super::schema::{installation, person, person_role};
use super::{Conn, Stored, each};

/// Up to `limit` people who hold a role and may sign in.
///
/// # Errors
/// What the database says.
pub fn holders(conn: &mut Conn, role: &str, limit: i64) -> Stored<usize> {
    let found: Vec<String> = each!(conn, c => person_role::table
        .inner_join(person::table)
        .filter(person_role::role.eq(role).and(person::enabled.eq(true)))
        .select(person::id)
        .limit(limit)
        .load(c))?;
    Ok(found.len())
}

/// When the installation was made, in seconds since the epoch.
///
/// # Errors
/// What the database says.
pub fn installed_at(conn: &mut Conn) -> Stored<i64> {
    let found: Option<i64> =
        each!(conn, c => installation::table.select(installation::created_at).get_result(c).optional())?;
    Ok(found.unwrap_or(0))
}
