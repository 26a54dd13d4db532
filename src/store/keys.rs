//! Signing keys, their private parts wrapped.

use diesel::prelude::*;

use super::schema::signing_key;
use super::{Conn, StoreBroken, Stored, each};
use crate::model::signing::{Algorithm, StoredKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_key)]
struct Row {
    kid: String,
    algorithm: String,
    private_key: String,
    public_jwk: String,
    created_at: i64,
    signs_from: i64,
    retires_at: Option<i64>,
    purge_at: Option<i64>,
}

/// All signing keys, oldest first; of keys made at once, by algorithm.
pub fn all(conn: &mut Conn) -> Stored<Vec<StoredKey>> {
    let rows: Vec<Row> = each!(conn, c => signing_key::table
        .order((signing_key::created_at, signing_key::algorithm, signing_key::kid))
        .select(Row::as_select())
        .load(c))?;
    rows.into_iter()
        .map(|row| {
            Ok(StoredKey {
                algorithm: Algorithm::parse(&row.algorithm)
                    .ok_or_else(|| StoreBroken::stored("signing key", &row.algorithm))?,
                kid: row.kid,
                private_key: row.private_key,
                public_jwk: row.public_jwk,
                created_at: row.created_at,
                signs_from: row.signs_from,
                retires_at: row.retires_at,
                purge_at: row.purge_at,
            })
        })
        .collect()
}

/// Adds a key.
pub fn add(conn: &mut Conn, model: &StoredKey) -> Stored<()> {
    let row = Row {
        kid: model.kid.clone(),
        algorithm: model.algorithm.as_str().to_owned(),
        private_key: model.private_key.clone(),
        public_jwk: model.public_jwk.clone(),
        created_at: model.created_at,
        signs_from: model.signs_from,
        retires_at: model.retires_at,
        purge_at: model.purge_at,
    };
    each!(conn, c => diesel::insert_into(signing_key::table).values(&row).execute(c))?;
    Ok(())
}

/// Sets when a key signs no more and when it leaves the JWKS.
pub fn retire(conn: &mut Conn, kid: &str, retires_at: i64, purge_at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(signing_key::table.find(kid))
        .set((signing_key::retires_at.eq(retires_at), signing_key::purge_at.eq(purge_at)))
        .execute(c))?;
    Ok(())
}

/// Deletes keys that have left the JWKS. Answers how many.
pub fn delete_gone(conn: &mut Conn, now: i64) -> Stored<usize> {
    Ok(each!(conn, c => diesel::delete(signing_key::table.filter(signing_key::purge_at.le(now))).execute(c))?)
}

/// Replaces the wrapped private part.
pub fn rewrap(conn: &mut Conn, kid: &str, private_key: &str) -> Stored<()> {
    each!(conn, c => diesel::update(signing_key::table.find(kid))
        .set(signing_key::private_key.eq(private_key))
        .execute(c))?;
    Ok(())
}
