//! Refresh tokens, opaque access tokens, and the `jti` of assertions.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::schema::{assertion_jti, grants, opaque_token, refresh_token};
use super::{Conn, Stored, each};
use crate::model::grant::RefreshToken;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = refresh_token)]
struct RefreshRow {
    hash: String,
    grant_id: String,
    generation: i64,
    nonce: String,
    answered_scope: String,
    expires_at: i64,
    used_at: Option<i64>,
    purge_at: i64,
}

impl RefreshRow {
    fn into_model(self) -> RefreshToken {
        RefreshToken {
            hash: self.hash,
            grant_id: self.grant_id,
            generation: self.generation,
            nonce: self.nonce,
            answered_scope: self.answered_scope,
            expires_at: self.expires_at,
            used_at: self.used_at,
        }
    }
}

/// A refresh token, locked against other writers.
pub fn lock_refresh(conn: &mut Conn, hash: &str) -> Stored<Option<RefreshToken>> {
    let query = refresh_token::table.find(hash).select(RefreshRow::as_select());
    let row: Option<RefreshRow> = match conn {
        Conn::Sqlite(c) => query.get_result(c).optional()?,
        Conn::Pg(c) => refresh_token::table
            .find(hash)
            .select(RefreshRow::as_select())
            .for_update()
            .get_result(c.as_mut())
            .optional()?,
    };
    Ok(row.map(RefreshRow::into_model))
}

/// The `client_id` for which a refresh token was issued.
pub fn client_of_refresh(conn: &mut Conn, hash: &str) -> Stored<Option<String>> {
    Ok(each!(conn, c => refresh_token::table
        .inner_join(grants::table)
        .filter(refresh_token::hash.eq(hash))
        .select(grants::client_id)
        .first(c)
        .optional())?)
}

/// The member of a family at a place.
pub fn refresh_at(conn: &mut Conn, grant: &str, generation: i64) -> Stored<Option<RefreshToken>> {
    let row: Option<RefreshRow> = each!(conn, c => refresh_token::table
        .filter(refresh_token::grant_id.eq(grant).and(refresh_token::generation.eq(generation)))
        .select(RefreshRow::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(RefreshRow::into_model))
}

/// Adds a refresh token. Its row outlives it, so that a replay is known as one.
pub fn add_refresh(conn: &mut Conn, model: &RefreshToken, purge_at: i64) -> Stored<()> {
    let row = RefreshRow {
        hash: model.hash.clone(),
        grant_id: model.grant_id.clone(),
        generation: model.generation,
        nonce: model.nonce.clone(),
        answered_scope: model.answered_scope.clone(),
        expires_at: model.expires_at,
        used_at: model.used_at,
        purge_at,
    };
    each!(conn, c => diesel::insert_into(refresh_token::table).values(&row).execute(c))?;
    Ok(())
}

/// Uses a refresh token up. Answers false when it was used already.
pub fn use_refresh(conn: &mut Conn, hash: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(refresh_token::table
            .filter(refresh_token::hash.eq(hash).and(refresh_token::used_at.is_null())))
        .set(refresh_token::used_at.eq(at))
        .execute(c))?
        == 1)
}

/// A refresh token, unlocked, for introspection and revocation.
pub fn find_refresh(conn: &mut Conn, hash: &str) -> Stored<Option<RefreshToken>> {
    let row: Option<RefreshRow> = each!(conn, c => refresh_token::table.find(hash).select(RefreshRow::as_select()).get_result(c).optional())?;
    Ok(row.map(RefreshRow::into_model))
}

/// When the refresh tokens of a person's grants end, by grant; of those alone that were not used.
pub fn refresh_ends(conn: &mut Conn, person_id: &str) -> Stored<Vec<(String, i64)>> {
    Ok(each!(conn, c => refresh_token::table
        .inner_join(grants::table)
        .filter(grants::person_id.eq(person_id).and(grants::revoked_at.is_null()))
        .filter(refresh_token::used_at.is_null())
        .select((refresh_token::grant_id, refresh_token::expires_at))
        .load(c))?)
}

/// Keeps the claims of an opaque access token under its hash.
pub fn add_opaque(conn: &mut Conn, hash: &str, claims: &str, purge_at: i64) -> Stored<()> {
    each!(conn, c => diesel::insert_into(opaque_token::table)
        .values((opaque_token::hash.eq(hash), opaque_token::claims.eq(claims), opaque_token::purge_at.eq(purge_at)))
        .execute(c))?;
    Ok(())
}

/// The claims of an opaque access token.
pub fn find_opaque(conn: &mut Conn, hash: &str) -> Stored<Option<String>> {
    Ok(
        each!(conn, c => opaque_token::table.find(hash).select(opaque_token::claims).get_result(c).optional())?,
    )
}

/// Whether an assertion was used, by SHA-256 over client and `jti`.
pub fn jti_is_burned(conn: &mut Conn, hash: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::select(exists(assertion_jti::table.find(hash))).get_result(c))?)
}

/// Burns the `jti` of an assertion, by SHA-256 over client and `jti`. Answers false when it was burned already: the database decides the race.
pub fn burn_jti(conn: &mut Conn, hash: &str, purge_at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::insert_into(assertion_jti::table)
        .values((assertion_jti::hash.eq(hash), assertion_jti::purge_at.eq(purge_at)))
        .on_conflict_do_nothing()
        .execute(c))?
        == 1)
}
