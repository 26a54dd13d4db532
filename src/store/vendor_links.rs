//! The links of vendors, by client and by the hash of their secret.

use diesel::prelude::*;

use super::schema::vendor_link;
use super::{Conn, Stored, each};
use crate::model::vendor_link::VendorLink;

/// How long a row outlives its link, in seconds: so long the client's page can say that it has ended.
const ROW_OUTLIVES_LINK: i64 = 30 * 86_400;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = vendor_link)]
struct Row {
    client_id: String,
    hash: String,
    created_at: i64,
    expires_at: i64,
    purge_at: i64,
}

impl Row {
    fn into_model(self) -> VendorLink {
        VendorLink {
            client_id: self.client_id,
            hash: self.hash,
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

/// Puts a link in place of the one before it.
pub fn replace(conn: &mut Conn, model: &VendorLink) -> Stored<()> {
    let row = Row {
        client_id: model.client_id.clone(),
        hash: model.hash.clone(),
        created_at: model.created_at,
        expires_at: model.expires_at,
        purge_at: model.expires_at + ROW_OUTLIVES_LINK,
    };
    delete(conn, &model.client_id)?;
    each!(conn, c => diesel::insert_into(vendor_link::table).values(&row).execute(c))?;
    Ok(())
}

/// The link of a client, whether it holds or has ended.
pub fn of_client(conn: &mut Conn, client_id: &str) -> Stored<Option<VendorLink>> {
    let row: Option<Row> = each!(conn, c => vendor_link::table.find(client_id).select(Row::as_select()).get_result(c).optional())?;
    Ok(row.map(Row::into_model))
}

/// The link with that hash, whether it holds or has ended.
pub fn find(conn: &mut Conn, hash: &str) -> Stored<Option<VendorLink>> {
    let row: Option<Row> = each!(conn, c => vendor_link::table
        .filter(vendor_link::hash.eq(hash))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(Row::into_model))
}

/// Takes the link of a client away. Answers whether there was one.
pub fn delete(conn: &mut Conn, client_id: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::delete(vendor_link::table.find(client_id)).execute(c))? == 1)
}
