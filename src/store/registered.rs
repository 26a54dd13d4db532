//! What is registered: a table a noun, all of one shape.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::upsert::excluded;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{agency, client, consent, grants, resource_server};
use super::{Conn, StoreBroken, Stored, each, secrets, vendor_links};
use crate::model::agency::AgencySettings;
use crate::model::client::ClientSettings;
use crate::model::registered::{Registered, StoredSecret};
use crate::model::resource_server::ResourceServerSettings;

/// Settings that a table of their own keeps.
pub trait Kept: Serialize + DeserializeOwned {
    /// All that are registered, in the order of their ids.
    fn all(conn: &mut Conn) -> Stored<Vec<Registered<Self>>>;
    /// The one of an id.
    fn find(conn: &mut Conn, id: &str) -> Stored<Option<Registered<Self>>>;
    /// Writes one, new or changed; its secrets are written by [`super::secrets`].
    fn put(conn: &mut Conn, registered: &Registered<Self>) -> Stored<()>;
    /// Deletes one, with its secrets and all that stands on it.
    fn delete(conn: &mut Conn, id: &str) -> Stored<()>;
}

/// All that are registered, in the order of their ids.
pub fn all<S: Kept>(conn: &mut Conn) -> Stored<Vec<Registered<S>>> {
    S::all(conn)
}

/// Ids and names of all clients.
pub fn client_names(conn: &mut Conn) -> Stored<Vec<(String, String)>> {
    Ok(each!(conn, c => client::table.select((client::id, client::name)).load(c))?)
}

/// The one of an id.
pub fn find<S: Kept>(conn: &mut Conn, id: &str) -> Stored<Option<Registered<S>>> {
    S::find(conn, id)
}

/// Whether what belongs to an agency counts: it is enabled, or there is none.
pub fn is_open(conn: &mut Conn, id: Option<&String>) -> Stored<bool> {
    let Some(id) = id else { return Ok(true) };
    let enabled: Option<bool> =
        each!(conn, c => agency::table.find(id).select(agency::enabled).get_result(c).optional())?;
    Ok(enabled.unwrap_or(false))
}

/// A noun with the table that keeps it, and what goes with one that is deleted.
macro_rules! kept {
    ($settings:ty, $table:ident, $what:literal, has_secrets: $has_secrets:literal, $gone:expr) => {
        const _: () = {
            #[derive(Queryable, Selectable, Insertable)]
            #[diesel(table_name = $table)]
            struct Row {
                id: String,
                name: String,
                settings: String,
                enabled: bool,
                generation: i64,
                created_at: i64,
                updated_at: i64,
            }

            impl Row {
                fn into_model(self, secrets: Vec<StoredSecret>) -> Stored<Registered<$settings>> {
                    Ok(Registered {
                        settings: serde_json::from_str(&self.settings)
                            .map_err(|cause| StoreBroken::stored($what, cause))?,
                        id: self.id,
                        name: self.name,
                        enabled: self.enabled,
                        generation: self.generation,
                        created_at: self.created_at,
                        updated_at: self.updated_at,
                        secrets,
                        sealed: None,
                    })
                }
            }

            impl Kept for $settings {
                fn all(conn: &mut Conn) -> Stored<Vec<Registered<Self>>> {
                    let rows: Vec<Row> =
                        each!(conn, c => $table::table.order($table::id).select(Row::as_select()).load(c))?;
                    let mut secrets = if $has_secrets { secrets::by_owner(conn)? } else { HashMap::new() };
                    rows.into_iter()
                        .map(|row| {
                            let own = secrets.remove(&row.id).unwrap_or_default();
                            row.into_model(own)
                        })
                        .collect()
                }

                fn find(conn: &mut Conn, id: &str) -> Stored<Option<Registered<Self>>> {
                    let row: Option<Row> = each!(conn, c => $table::table
                                                .find(id)
                                                .select(Row::as_select())
                                                .get_result(c)
                                                .optional())?;
                    let Some(row) = row else { return Ok(None) };
                    // Ids of what has no secrets are no names of owners.
                    let secrets = if $has_secrets { secrets::of(conn, id)? } else { Vec::new() };
                    row.into_model(secrets).map(Some)
                }

                fn put(conn: &mut Conn, registered: &Registered<Self>) -> Stored<()> {
                    let row = Row {
                        id: registered.id.clone(),
                        name: registered.name.clone(),
                        settings: serde_json::to_string(&registered.settings)
                            .map_err(|cause| StoreBroken::stored($what, cause))?,
                        enabled: registered.enabled,
                        generation: registered.generation,
                        created_at: registered.created_at,
                        updated_at: registered.updated_at,
                    };
                    each!(conn, c => diesel::insert_into($table::table)
                                                .values(&row)
                                                .on_conflict($table::id)
                                                .do_update()
                                                .set((
                                                    $table::name.eq(excluded($table::name)),
                                                    $table::settings.eq(excluded($table::settings)),
                                                    $table::enabled.eq(excluded($table::enabled)),
                                                    $table::generation.eq(excluded($table::generation)),
                                                    $table::updated_at.eq(excluded($table::updated_at)),
                                                ))
                                                .execute(c))?;
                    Ok(())
                }

                fn delete(conn: &mut Conn, id: &str) -> Stored<()> {
                    let with_it: fn(&mut Conn, &str) -> Stored<()> = $gone;
                    if $has_secrets {
                        secrets::delete_of(conn, id)?;
                    }
                    with_it(conn, id)?;
                    each!(conn, c => diesel::delete($table::table.find(id)).execute(c))?;
                    Ok(())
                }
            }
        };
    };
}

kept!(
    ResourceServerSettings,
    resource_server,
    "resource server",
    has_secrets: true,
    |_, _| Ok(())
);
kept!(AgencySettings, agency, "agency", has_secrets: false, |_, _| Ok(()));
// Codes and refresh tokens go along with their grants.
kept!(ClientSettings, client, "client", has_secrets: true, |conn, id| {
    vendor_links::delete(conn, id)?;
    each!(conn, c => diesel::delete(grants::table.filter(grants::client_id.eq(id))).execute(c))?;
    each!(conn, c => diesel::delete(consent::table.filter(consent::client_id.eq(id))).execute(c))?;
    Ok(())
});
