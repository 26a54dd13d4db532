//! Secrets of clients and resource servers, as hashes.

use std::collections::HashMap;

use diesel::prelude::*;

use super::schema::client_secret;
use super::{Conn, Stored, each};
use crate::model::registered::StoredSecret;
use crate::model::secret::SecretHash;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = client_secret)]
struct Row {
    id: String,
    owner_id: String,
    hash: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl Row {
    fn into_model(self) -> StoredSecret {
        StoredSecret {
            id: self.id,
            hash: SecretHash::stored(self.hash),
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
        }
    }
}

/// All secrets by the id of their owner, oldest first.
pub(super) fn by_owner(conn: &mut Conn) -> Stored<HashMap<String, Vec<StoredSecret>>> {
    let rows: Vec<Row> = each!(conn, c => client_secret::table.order(client_secret::created_at).select(Row::as_select()).load(c))?;
    let mut owners: HashMap<String, Vec<StoredSecret>> = HashMap::new();
    for row in rows {
        owners
            .entry(row.owner_id.clone())
            .or_default()
            .push(row.into_model());
    }
    Ok(owners)
}

/// The secrets of one owner, oldest first.
pub fn of(conn: &mut Conn, owner: &str) -> Stored<Vec<StoredSecret>> {
    let rows: Vec<Row> = each!(conn, c => client_secret::table
        .filter(client_secret::owner_id.eq(owner))
        .order((client_secret::created_at, client_secret::id))
        .select(Row::as_select())
        .load(c))?;
    Ok(rows.into_iter().map(Row::into_model).collect())
}

/// Adds a secret.
pub fn add(conn: &mut Conn, owner: &str, secret: &StoredSecret) -> Stored<()> {
    let row = Row {
        id: secret.id.clone(),
        owner_id: owner.to_owned(),
        hash: secret.hash.as_str().to_owned(),
        created_at: secret.created_at,
        expires_at: secret.expires_at,
        last_used_at: secret.last_used_at,
    };
    each!(conn, c => diesel::insert_into(client_secret::table).values(&row).execute(c))?;
    Ok(())
}

/// Sets when a secret ends.
pub fn expire(conn: &mut Conn, id: &str, expires_at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(client_secret::table.find(id))
        .set(client_secret::expires_at.eq(expires_at))
        .execute(c))?;
    Ok(())
}

/// Notes when a secret was used.
pub fn used(conn: &mut Conn, id: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(client_secret::table.find(id))
        .set(client_secret::last_used_at.eq(at))
        .execute(c))?;
    Ok(())
}

/// Deletes all secrets of an owner.
pub fn delete_of(conn: &mut Conn, owner: &str) -> Stored<()> {
    each!(conn, c => diesel::delete(client_secret::table.filter(client_secret::owner_id.eq(owner))).execute(c))?;
    Ok(())
}
