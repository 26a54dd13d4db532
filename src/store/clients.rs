//! Clients.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::schema::{client, consent, grants};
use super::{Conn, StoreBroken, Stored, each, secrets, vendor_links};
use crate::model::client::{Client, StoredSecret};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = client)]
struct Row {
    id: String,
    name: String,
    dataflow: String,
    settings: String,
    enabled: bool,
    generation: i64,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn into_model(self, secrets: Vec<StoredSecret>) -> Stored<Client> {
        Ok(Client {
            settings: serde_json::from_str(&self.settings)
                .map_err(|cause| StoreBroken::stored("client", cause))?,
            id: self.id,
            name: self.name,
            dataflow: self.dataflow,
            enabled: self.enabled,
            generation: self.generation,
            created_at: self.created_at,
            updated_at: self.updated_at,
            secrets,
        })
    }
}

/// All clients.
pub fn all(conn: &mut Conn) -> Stored<Vec<Client>> {
    let rows: Vec<Row> = each!(conn, c => client::table.order(client::id).select(Row::as_select()).load(c))?;
    let mut secrets = secrets::by_owner(conn)?;
    rows.into_iter()
        .map(|row| {
            let own = secrets.remove(&row.id).unwrap_or_default();
            row.into_model(own)
        })
        .collect()
}

/// One client.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<Client>> {
    let row: Option<Row> =
        each!(conn, c => client::table.find(id).select(Row::as_select()).get_result(c).optional())?;
    row.map(|row| row.into_model(secrets::of(conn, id)?)).transpose()
}

/// Writes a client, new or changed; its secrets are written by [`super::secrets`].
pub fn put(conn: &mut Conn, model: &Client) -> Stored<()> {
    let row = Row {
        id: model.id.clone(),
        name: model.name.clone(),
        dataflow: model.dataflow.clone(),
        settings: serde_json::to_string(&model.settings)
            .map_err(|cause| StoreBroken::stored("client", cause))?,
        enabled: model.enabled,
        generation: model.generation,
        created_at: model.created_at,
        updated_at: model.updated_at,
    };
    each!(conn, c => diesel::insert_into(client::table)
        .values(&row)
        .on_conflict(client::id)
        .do_update()
        .set((
            client::name.eq(excluded(client::name)),
            client::dataflow.eq(excluded(client::dataflow)),
            client::settings.eq(excluded(client::settings)),
            client::enabled.eq(excluded(client::enabled)),
            client::generation.eq(excluded(client::generation)),
            client::updated_at.eq(excluded(client::updated_at)),
        ))
        .execute(c))?;
    Ok(())
}

/// Deletes a client with its secrets, the vendor's link, grants (their codes and refresh tokens go along) and remembered
/// consents.
pub fn delete(conn: &mut Conn, id: &str) -> Stored<()> {
    secrets::delete_of(conn, id)?;
    vendor_links::delete(conn, id)?;
    each!(conn, c => diesel::delete(grants::table.filter(grants::client_id.eq(id))).execute(c))?;
    each!(conn, c => diesel::delete(consent::table.filter(consent::client_id.eq(id))).execute(c))?;
    each!(conn, c => diesel::delete(client::table.find(id)).execute(c))?;
    Ok(())
}
