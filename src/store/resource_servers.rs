//! Resource servers.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::schema::resource_server;
use super::{Conn, StoreBroken, Stored, each, secrets};
use crate::model::client::StoredSecret;
use crate::model::resource_server::ResourceServer;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = resource_server)]
struct Row {
    id: String,
    name: String,
    audience: String,
    settings: String,
    enabled: bool,
    generation: i64,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn into_model(self, secrets: Vec<StoredSecret>) -> Stored<ResourceServer> {
        Ok(ResourceServer {
            settings: serde_json::from_str(&self.settings)
                .map_err(|cause| StoreBroken::stored("resource server", cause))?,
            id: self.id,
            name: self.name,
            audience: self.audience,
            enabled: self.enabled,
            generation: self.generation,
            created_at: self.created_at,
            updated_at: self.updated_at,
            secrets,
        })
    }
}

/// All resource servers.
pub fn all(conn: &mut Conn) -> Stored<Vec<ResourceServer>> {
    let rows: Vec<Row> =
        each!(conn, c => resource_server::table.order(resource_server::id).select(Row::as_select()).load(c))?;
    let mut secrets = secrets::by_owner(conn)?;
    rows.into_iter()
        .map(|row| {
            let own = secrets.remove(&row.id).unwrap_or_default();
            row.into_model(own)
        })
        .collect()
}

/// One resource server.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<ResourceServer>> {
    let row: Option<Row> =
        each!(conn, c => resource_server::table.find(id).select(Row::as_select()).get_result(c).optional())?;
    row.map(|row| row.into_model(secrets::of(conn, id)?)).transpose()
}

/// Writes a resource server, new or changed; its secrets are written by [`super::secrets`].
pub fn put(conn: &mut Conn, model: &ResourceServer) -> Stored<()> {
    let row = Row {
        id: model.id.clone(),
        name: model.name.clone(),
        audience: model.audience.clone(),
        settings: serde_json::to_string(&model.settings)
            .map_err(|cause| StoreBroken::stored("resource server", cause))?,
        enabled: model.enabled,
        generation: model.generation,
        created_at: model.created_at,
        updated_at: model.updated_at,
    };
    each!(conn, c => diesel::insert_into(resource_server::table)
        .values(&row)
        .on_conflict(resource_server::id)
        .do_update()
        .set((
            resource_server::name.eq(excluded(resource_server::name)),
            resource_server::audience.eq(excluded(resource_server::audience)),
            resource_server::settings.eq(excluded(resource_server::settings)),
            resource_server::enabled.eq(excluded(resource_server::enabled)),
            resource_server::generation.eq(excluded(resource_server::generation)),
            resource_server::updated_at.eq(excluded(resource_server::updated_at)),
        ))
        .execute(c))?;
    Ok(())
}

/// Deletes a resource server with its secrets.
pub fn delete(conn: &mut Conn, id: &str) -> Stored<()> {
    secrets::delete_of(conn, id)?;
    each!(conn, c => diesel::delete(resource_server::table.find(id)).execute(c))?;
    Ok(())
}
