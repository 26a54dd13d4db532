//! Tokens of the admin API, by the hash of their text.

use diesel::prelude::*;

use super::schema::api_token;
use super::{Conn, StoreBroken, Stored, at_most, each};
use crate::model::api_token::{ApiScope, ApiToken};
use crate::model::secret::SecretHash;

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_token)]
struct Row {
    id: String,
    name: String,
    role: String,
    created_by: String,
    created_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    person_id: Option<String>,
}

impl Row {
    fn into_model(self) -> Stored<ApiToken> {
        Ok(ApiToken {
            scope: ApiScope::of_role(&self.role)
                .ok_or_else(|| StoreBroken::stored("role of an API token", &self.role))?,
            id: self.id,
            name: self.name,
            person_id: self.person_id,
            created_by: self.created_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// Adds a token.
pub fn add(conn: &mut Conn, model: &ApiToken, hash: &SecretHash) -> Stored<()> {
    each!(conn, c => diesel::insert_into(api_token::table)
        .values((
            api_token::id.eq(&model.id),
            api_token::name.eq(&model.name),
            api_token::hash.eq(hash.as_str()),
            api_token::role.eq(model.scope.role()),
            api_token::person_id.eq(&model.person_id),
            api_token::created_by.eq(&model.created_by),
            api_token::created_at.eq(model.created_at),
            api_token::expires_at.eq(model.expires_at),
        ))
        .execute(c))?;
    Ok(())
}

/// A token by its text.
pub fn by_hash(conn: &mut Conn, hash: &SecretHash) -> Stored<Option<ApiToken>> {
    let row: Option<Row> = each!(conn, c => api_token::table
        .filter(api_token::hash.eq(hash.as_str()))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    row.map(Row::into_model).transpose()
}

/// A token by its id.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<ApiToken>> {
    let row: Option<Row> =
        each!(conn, c => api_token::table.find(id).select(Row::as_select()).get_result(c).optional())?;
    row.map(Row::into_model).transpose()
}

/// Up to `limit` tokens, the newest first, after one that is known by when it was made and its id.
pub fn page(conn: &mut Conn, after: Option<(i64, &str)>, limit: usize) -> Stored<Vec<ApiToken>> {
    let (at, id) = after.unwrap_or((i64::MAX, ""));
    let rows: Vec<Row> = each!(conn, c => api_token::table
        .filter(api_token::created_at.lt(at).or(api_token::created_at.eq(at).and(api_token::id.lt(id))))
        .order((api_token::created_at.desc(), api_token::id.desc()))
        .limit(at_most(limit))
        .select(Row::as_select())
        .load(c))?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Notes that a token was used.
pub fn used(conn: &mut Conn, id: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(api_token::table.find(id)).set(api_token::last_used_at.eq(at)).execute(c))?;
    Ok(())
}

/// The ids of the tokens of a person that hold.
pub fn live_of(conn: &mut Conn, person_id: &str, now: i64) -> Stored<Vec<String>> {
    Ok(each!(conn, c => api_token::table
        .filter(api_token::person_id.eq(person_id))
        .filter(api_token::revoked_at.is_null().and(api_token::expires_at.gt(now)))
        .select(api_token::id)
        .load(c))?)
}

/// Makes a token somebody else's; none: the installation's.
pub fn hand_over(conn: &mut Conn, id: &str, person_id: Option<&str>) -> Stored<()> {
    each!(conn, c => diesel::update(api_token::table.find(id)).set(api_token::person_id.eq(person_id)).execute(c))?;
    Ok(())
}

/// Revokes a token. Answers whether it had not been revoked yet.
pub fn revoke(conn: &mut Conn, id: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(api_token::table.filter(
            api_token::id.eq(id).and(api_token::revoked_at.is_null())))
        .set(api_token::revoked_at.eq(at))
        .execute(c))?
        == 1)
}
