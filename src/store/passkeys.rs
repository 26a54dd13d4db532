//! Passkeys and security keys: WebAuthn credentials by their id in base64url.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::schema::passkey;
use super::{Conn, Stored, each};

/// A credential as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = passkey)]
pub struct StoredPasskey {
    /// The credential's id, in base64url.
    pub id: String,
    /// Whose it is.
    pub person_id: String,
    /// What the person calls it.
    pub name: String,
    /// Public key, counter and flags, as the library writes them (JSON).
    pub credential: String,
    /// When it was added, in seconds since the epoch.
    pub created_at: i64,
    /// When it was last used.
    pub last_used_at: Option<i64>,
}

/// A credential.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<StoredPasskey>> {
    Ok(each!(conn, c => passkey::table.find(id).select(StoredPasskey::as_select()).get_result(c).optional())?)
}

/// Those of a person, the oldest first.
pub fn of_person(conn: &mut Conn, person_id: &str) -> Stored<Vec<StoredPasskey>> {
    Ok(each!(conn, c => passkey::table
        .filter(passkey::person_id.eq(person_id))
        .order((passkey::created_at, passkey::id))
        .select(StoredPasskey::as_select())
        .load(c))?)
}

/// Whether a person has one.
pub fn any(conn: &mut Conn, person_id: &str) -> Stored<bool> {
    let first: Option<String> = each!(conn, c => passkey::table
        .filter(passkey::person_id.eq(person_id))
        .select(passkey::id)
        .limit(1)
        .get_result(c)
        .optional())?;
    Ok(first.is_some())
}

/// Adds a credential. Answers false when it is known already.
pub fn add(conn: &mut Conn, model: &StoredPasskey) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::insert_into(passkey::table).values(model).on_conflict_do_nothing().execute(c))?
            == 1,
    )
}

/// Notes a use, with the credential as it is after it. Answers false when it was removed, or used elsewhere since it was
/// read.
pub fn used(conn: &mut Conn, read: &StoredPasskey, credential: &str, at: i64) -> Stored<bool> {
    let unchanged = passkey::id
        .eq(&read.id)
        .and(passkey::credential.eq(&read.credential));
    Ok(each!(conn, c => diesel::update(passkey::table.filter(unchanged))
        .set((passkey::credential.eq(credential), passkey::last_used_at.eq(at)))
        .execute(c))?
        == 1)
}

/// Gives a credential of a person another name. Answers whether it was there.
pub fn rename(conn: &mut Conn, person_id: &str, id: &str, name: &str) -> Stored<bool> {
    let own = passkey::id.eq(id).and(passkey::person_id.eq(person_id));
    Ok(
        each!(conn, c => diesel::update(passkey::table.filter(own)).set(passkey::name.eq(name)).execute(c))?
            == 1,
    )
}

/// Who has one.
pub fn holders(conn: &mut Conn) -> Stored<BTreeSet<String>> {
    let all: Vec<String> = each!(conn, c => passkey::table.select(passkey::person_id).distinct().load(c))?;
    Ok(all.into_iter().collect())
}

/// Removes one credential of a person. Answers whether it was there.
pub fn remove(conn: &mut Conn, person_id: &str, id: &str) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::delete(passkey::table.filter(passkey::id.eq(id).and(passkey::person_id.eq(person_id))))
        .execute(c))?
            == 1,
    )
}

/// Removes all credentials of a person. Answers how many there were.
pub fn remove_all(conn: &mut Conn, person_id: &str) -> Stored<usize> {
    Ok(each!(conn, c => diesel::delete(passkey::table.filter(passkey::person_id.eq(person_id))).execute(c))?)
}
