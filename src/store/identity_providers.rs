//! Identity providers of agencies, and the accounts joined with identities there.

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::upsert::excluded;

use super::registered::Kept;
use super::schema::{identity_provider, linked_identity, person, person_term};
use super::{Conn, StoreBroken, Stored, each, people};
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings, LinkedIdentity};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = identity_provider)]
struct Row {
    id: String,
    name: String,
    settings: String,
    secret: Option<String>,
    enabled: bool,
    generation: i64,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn into_model(self) -> Stored<IdentityProvider> {
        Ok(IdentityProvider {
            settings: serde_json::from_str(&self.settings)
                .map_err(|cause| StoreBroken::stored("identity provider", cause))?,
            id: self.id,
            name: self.name,
            sealed: self.secret,
            secrets: Vec::new(),
            enabled: self.enabled,
            generation: self.generation,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = linked_identity)]
struct LinkRow {
    provider_id: String,
    subject: String,
    person_id: String,
    linked_at: i64,
    last_used_at: Option<i64>,
}

impl LinkRow {
    fn into_model(self) -> LinkedIdentity {
        LinkedIdentity {
            provider_id: self.provider_id,
            subject: self.subject,
            person_id: self.person_id,
            linked_at: self.linked_at,
            last_used_at: self.last_used_at,
        }
    }
}

diesel::define_sql_function! {
    /// Small letters, of ASCII at least.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

impl Kept for IdentityProviderSettings {
    fn all(conn: &mut Conn) -> Stored<Vec<IdentityProvider>> {
        let rows: Vec<Row> = each!(conn, c => identity_provider::table.order(identity_provider::id).select(Row::as_select()).load(c))?;
        rows.into_iter().map(Row::into_model).collect()
    }

    fn find(conn: &mut Conn, id: &str) -> Stored<Option<IdentityProvider>> {
        let row: Option<Row> = each!(conn, c => identity_provider::table.find(id).select(Row::as_select()).get_result(c).optional())?;
        row.map(Row::into_model).transpose()
    }

    fn put(conn: &mut Conn, model: &IdentityProvider) -> Stored<()> {
        let row = Row {
            id: model.id.clone(),
            name: model.name.clone(),
            settings: serde_json::to_string(&model.settings)
                .map_err(|cause| StoreBroken::stored("identity provider", cause))?,
            secret: model.sealed.clone(),
            enabled: model.enabled,
            generation: model.generation,
            created_at: model.created_at,
            updated_at: model.updated_at,
        };
        each!(conn, c => diesel::insert_into(identity_provider::table)
            .values(&row)
            .on_conflict(identity_provider::id)
            .do_update()
            .set((
                identity_provider::name.eq(excluded(identity_provider::name)),
                identity_provider::settings.eq(excluded(identity_provider::settings)),
                identity_provider::secret.eq(excluded(identity_provider::secret)),
                identity_provider::enabled.eq(excluded(identity_provider::enabled)),
                identity_provider::generation.eq(excluded(identity_provider::generation)),
                identity_provider::updated_at.eq(excluded(identity_provider::updated_at)),
            ))
            .execute(c))?;
        Ok(())
    }

    fn delete(conn: &mut Conn, id: &str) -> Stored<()> {
        each!(conn, c => diesel::delete(identity_provider::table.find(id)).execute(c))?;
        Ok(())
    }
}

/// Parts all accounts from the identities at a provider. Answers how many there were.
pub fn delete_links(conn: &mut Conn, id: &str) -> Stored<usize> {
    Ok(
        each!(conn, c => diesel::delete(linked_identity::table.filter(linked_identity::provider_id.eq(id))).execute(c))?,
    )
}

/// Replaces a wrapped secret by the same secret, wrapped anew.
pub fn rewrap(conn: &mut Conn, id: &str, wrapped: &str) -> Stored<()> {
    each!(conn, c => diesel::update(identity_provider::table.find(id))
        .set(identity_provider::secret.eq(wrapped))
        .execute(c))?;
    Ok(())
}

/// The account of an identity.
pub fn link(conn: &mut Conn, provider_id: &str, subject: &str) -> Stored<Option<LinkedIdentity>> {
    let row: Option<LinkRow> = each!(conn, c => linked_identity::table
        .find((provider_id, subject))
        .select(LinkRow::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(LinkRow::into_model))
}

/// The identities of a person, the oldest first.
pub fn links_of_person(conn: &mut Conn, person_id: &str) -> Stored<Vec<LinkedIdentity>> {
    let rows: Vec<LinkRow> = each!(conn, c => linked_identity::table
        .filter(linked_identity::person_id.eq(person_id))
        .order((linked_identity::linked_at, linked_identity::provider_id, linked_identity::subject))
        .select(LinkRow::as_select())
        .load(c))?;
    Ok(rows.into_iter().map(LinkRow::into_model).collect())
}

/// Up to `limit` identities at a provider, by the claim `sub` and behind `after`, each with the username of its account.
pub fn links_of_provider(
    conn: &mut Conn,
    provider_id: &str,
    after: &str,
    limit: usize,
) -> Stored<Vec<(LinkedIdentity, String)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<(LinkRow, String)> = each!(conn, c => linked_identity::table
        .inner_join(person::table.on(person::id.eq(linked_identity::person_id)))
        .filter(linked_identity::provider_id.eq(provider_id).and(linked_identity::subject.gt(after)))
        .order(linked_identity::subject)
        .limit(limit)
        .select((LinkRow::as_select(), person::username))
        .load(c))?;
    let rows = rows.into_iter();
    Ok(rows.map(|(row, username)| (row.into_model(), username)).collect())
}

/// Parts an account from the identities at providers of an agency. Answers how many there were.
pub fn unlink_of_agency(conn: &mut Conn, person_id: &str, agency: &str) -> Stored<usize> {
    let mut of_agency = IdentityProviderSettings::all(conn)?;
    of_agency.retain(|provider| provider.settings.agency.as_deref() == Some(agency));
    let ids: Vec<String> = of_agency.into_iter().map(|provider| provider.id).collect();
    Ok(each!(conn, c => diesel::delete(linked_identity::table
        .filter(linked_identity::person_id.eq(person_id))
        .filter(linked_identity::provider_id.eq_any(&ids)))
        .execute(c))?)
}

/// How many accounts are joined with identities at a provider.
pub fn count_links(conn: &mut Conn, provider_id: &str) -> Stored<i64> {
    Ok(each!(conn, c => linked_identity::table
        .filter(linked_identity::provider_id.eq(provider_id))
        .count()
        .get_result(c))?)
}

/// Joins an account with an identity. Answers false when the identity has an account already.
pub fn add_link(conn: &mut Conn, model: &LinkedIdentity) -> Stored<bool> {
    let row = LinkRow {
        provider_id: model.provider_id.clone(),
        subject: model.subject.clone(),
        person_id: model.person_id.clone(),
        linked_at: model.linked_at,
        last_used_at: model.last_used_at,
    };
    Ok(each!(conn, c => diesel::insert_into(linked_identity::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(c))?
        == 1)
}

/// Notes that somebody signed in by an identity.
pub fn link_used(conn: &mut Conn, provider_id: &str, subject: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(linked_identity::table.find((provider_id, subject)))
        .set(linked_identity::last_used_at.eq(at))
        .execute(c))?;
    Ok(())
}

/// Parts an account from an identity. Answers whether they were joined.
pub fn delete_link(conn: &mut Conn, provider_id: &str, subject: &str) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::delete(linked_identity::table.find((provider_id, subject))).execute(c))?
            == 1,
    )
}

/// Usernames of those of an agency in whose entry an address occurs, letter case ignored: candidates, to be looked at
/// closely.
pub fn usernames_with_email(conn: &mut Conn, email: &str, agency: Option<&str>) -> Stored<Vec<String>> {
    let Some(agency) = agency else {
        return Ok(Vec::new());
    };
    let home = people::home_term(agency);
    let pattern = format!("%\"email\":\"{}\"%", email.to_lowercase());
    Ok(each!(conn, c => person::table
        .filter(lower(person::settings).like(pattern))
        .filter(exists(person_term::table.filter(
            person_term::person_id.eq(person::id).and(person_term::term.eq(home)))))
        .order(person::username_key)
        .limit(10)
        .select(person::username)
        .load(c))?)
}
