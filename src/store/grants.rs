//! Grants, their codes, and remembered consents.

use std::collections::BTreeSet;

use diesel::dsl::exists;
use diesel::prelude::*;

use super::schema::{authorization_code, client, consent, grants, person, refresh_token, session};
use super::{Conn, StoreBroken, Stored, at_most, each, people};
use crate::model::grant::{AuthorizationCode, Grant, GrantFacts, RememberedConsent};
use crate::model::scope::ScopeSet;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = grants)]
pub(super) struct Row {
    id: String,
    client_id: String,
    person_id: String,
    client_generation: i64,
    person_generation: i64,
    facts: String,
    created_at: i64,
    revoked_at: Option<i64>,
    purge_at: i64,
    session_id: Option<String>,
}

impl Row {
    pub(super) fn into_model(self) -> Stored<Grant> {
        Ok(Grant {
            facts: serde_json::from_str(&self.facts).map_err(|cause| StoreBroken::stored("grant", cause))?,
            id: self.id,
            client_id: self.client_id,
            person_id: self.person_id,
            client_generation: self.client_generation,
            person_generation: self.person_generation,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
            purge_at: self.purge_at,
        })
    }
}

/// A grant.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<Grant>> {
    let row: Option<Row> =
        each!(conn, c => grants::table.find(id).select(Row::as_select()).get_result(c).optional())?;
    row.map(Row::into_model).transpose()
}

/// A grant as the end of its session sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeInSession {
    /// `grt_…`
    pub id: String,
    /// The client.
    pub client_id: String,
    /// Whether it stays when the session ends (`offline_access`). What cannot be read does not: a damaged row must keep
    /// nobody from signing out.
    pub stays: bool,
    /// Whether it was not revoked yet.
    pub alive: bool,
}

/// The grants that were made in a session.
pub fn of_session(conn: &mut Conn, session_id: &str) -> Stored<Vec<MadeInSession>> {
    let rows: Vec<(String, String, String, Option<i64>)> = each!(conn, c => grants::table
        .filter(grants::session_id.eq(session_id))
        .order(grants::id)
        .select((grants::id, grants::client_id, grants::facts, grants::revoked_at))
        .load(c))?;
    let stays = |facts: &str| {
        serde_json::from_str::<GrantFacts>(facts).is_ok_and(|facts| facts.scope.contains("offline_access"))
    };
    Ok(rows
        .into_iter()
        .map(|(id, client_id, facts, revoked_at)| MadeInSession {
            stays: stays(&facts),
            alive: revoked_at.is_none(),
            id,
            client_id,
        })
        .collect())
}

/// The ids of the grants, or of those of one person, that were not revoked and were made in sessions of an agency's identity
/// provider, ended ones too.
pub fn of_provider(conn: &mut Conn, provider_id: &str, person_id: Option<&str>) -> Stored<Vec<String>> {
    let sessions = session::table
        .filter(session::identity_provider.eq(provider_id))
        .select(session::id.nullable());
    Ok(each!(conn, c => {
        let mut query = grants::table
            .filter(grants::revoked_at.is_null().and(grants::session_id.eq_any(sessions)))
            .order(grants::id)
            .select(grants::id)
            .into_boxed();
        if let Some(person_id) = person_id {
            query = query.filter(grants::person_id.eq(person_id));
        }
        query.load(c)
    })?)
}

/// The grants of a person that were not revoked, the newest first. Some may have died in other ways.
pub fn of_person(conn: &mut Conn, person_id: &str) -> Stored<Vec<Grant>> {
    let rows: Vec<Row> = each!(conn, c => grants::table
        .filter(grants::person_id.eq(person_id).and(grants::revoked_at.is_null()))
        .order((grants::created_at.desc(), grants::id))
        .select(Row::as_select())
        .load(c))?;
    rows.into_iter().map(Row::into_model).collect()
}

/// How many grants of a client are alive.
pub fn count_of_client(conn: &mut Conn, client_id: &str, now: i64) -> Stored<i64> {
    Ok(each!(conn, c => grants::table
        .filter(grants::client_id.eq(client_id).and(grants::revoked_at.is_null()).and(grants::purge_at.gt(now)))
        .count()
        .get_result(c))?)
}

/// Which grants are looked for.
#[derive(Debug, Clone, Default)]
pub struct GrantFilter {
    /// Of a person, by id.
    pub person_id: Option<String>,
    /// Of those who belong to one of these agencies; none: of everybody.
    pub homes: Option<BTreeSet<String>>,
    /// To a client.
    pub client_id: Option<String>,
    /// The time and the id of the last one before the page.
    pub after: Option<(i64, String)>,
}

/// Up to `limit` grants with which a client can do something `now`, the newest first. One without a refresh token is
/// alive if it was made after `made`.
pub fn live(conn: &mut Conn, filter: &GrantFilter, now: i64, made: i64, limit: usize) -> Stored<Vec<Grant>> {
    let homes = filter.homes.as_ref().map(people::home_terms);
    let rows: Vec<Row> = each!(conn, c => {
        let mut query = grants::table
            .filter(grants::revoked_at.is_null())
            // Not joins: those would be free to begin with everybody.
            .filter(exists(person::table.filter(
                person::id.eq(grants::person_id)
                    .and(person::enabled.eq(true))
                    .and(person::generation.eq(grants::person_generation)))))
            .filter(exists(client::table.filter(
                client::id.eq(grants::client_id)
                    .and(client::enabled.eq(true))
                    .and(client::generation.eq(grants::client_generation)))))
            .filter(grants::created_at.gt(made).or(exists(refresh_token::table.filter(
                refresh_token::grant_id.eq(grants::id)
                    .and(refresh_token::used_at.is_null())
                    .and(refresh_token::expires_at.gt(now))))))
            .order((grants::created_at.desc(), grants::id.desc()))
            .limit(at_most(limit))
            .select(Row::as_select())
            .into_boxed();
        if let Some(person_id) = &filter.person_id {
            query = query.filter(grants::person_id.eq(person_id));
        }
        if let Some(homes) = &homes {
            query = query.filter(grants::person_id.eq_any(people::at_home(homes)));
        }
        if let Some(client_id) = &filter.client_id {
            query = query.filter(grants::client_id.eq(client_id));
        }
        if let Some((at, id)) = &filter.after {
            query = query
                .filter(grants::created_at.le(at))
                .filter(grants::created_at.lt(at).or(grants::id.lt(id)));
        }
        query.load(c)
    })?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Adds a grant.
pub fn add(conn: &mut Conn, model: &Grant) -> Stored<()> {
    let row = Row {
        id: model.id.clone(),
        client_id: model.client_id.clone(),
        person_id: model.person_id.clone(),
        client_generation: model.client_generation,
        person_generation: model.person_generation,
        facts: serde_json::to_string(&model.facts).map_err(|cause| StoreBroken::stored("grant", cause))?,
        created_at: model.created_at,
        revoked_at: model.revoked_at,
        purge_at: model.purge_at,
        session_id: Some(model.facts.session.clone()),
    };
    each!(conn, c => diesel::insert_into(grants::table).values(&row).execute(c))?;
    Ok(())
}

/// Revokes a grant. Answers whether it was alive.
pub fn revoke(conn: &mut Conn, id: &str, at: i64) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::update(grants::table.filter(grants::id.eq(id).and(grants::revoked_at.is_null())))
        .set(grants::revoked_at.eq(at))
        .execute(c))?
            == 1,
    )
}

/// Keeps a grant's row at least until `purge_at`.
pub fn keep_until(conn: &mut Conn, id: &str, purge_at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(grants::table.filter(grants::id.eq(id).and(grants::purge_at.lt(purge_at))))
        .set(grants::purge_at.eq(purge_at))
        .execute(c))?;
    Ok(())
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = authorization_code)]
struct CodeRow {
    hash: String,
    grant_id: String,
    redirect_uri: String,
    code_challenge: Option<String>,
    expires_at: i64,
    redeemed_at: Option<i64>,
    purge_at: i64,
}

/// Adds a code. Its row outlives it, so that a replay is known as one.
pub fn add_code(conn: &mut Conn, model: &AuthorizationCode, purge_at: i64) -> Stored<()> {
    let row = CodeRow {
        hash: model.hash.clone(),
        grant_id: model.grant_id.clone(),
        redirect_uri: model.redirect_uri.clone(),
        code_challenge: model.code_challenge.clone(),
        expires_at: model.expires_at,
        redeemed_at: model.redeemed_at,
        purge_at,
    };
    each!(conn, c => diesel::insert_into(authorization_code::table).values(&row).execute(c))?;
    Ok(())
}

/// A code, locked against other writers.
pub fn lock_code(conn: &mut Conn, hash: &str) -> Stored<Option<AuthorizationCode>> {
    let query = authorization_code::table.find(hash).select(CodeRow::as_select());
    let row: Option<CodeRow> = match conn {
        Conn::Sqlite(c) => query.get_result(c).optional()?,
        Conn::Pg(c) => authorization_code::table
            .find(hash)
            .select(CodeRow::as_select())
            .for_update()
            .get_result(c.as_mut())
            .optional()?,
    };
    Ok(row.map(|row| AuthorizationCode {
        hash: row.hash,
        grant_id: row.grant_id,
        redirect_uri: row.redirect_uri,
        code_challenge: row.code_challenge,
        expires_at: row.expires_at,
        redeemed_at: row.redeemed_at,
    }))
}

/// Redeems a code. Answers false when it was redeemed already.
pub fn redeem_code(conn: &mut Conn, hash: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(authorization_code::table
            .filter(authorization_code::hash.eq(hash).and(authorization_code::redeemed_at.is_null())))
        .set(authorization_code::redeemed_at.eq(at))
        .execute(c))?
        == 1)
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = consent, treat_none_as_null = true)]
struct ConsentRow {
    person_id: String,
    client_id: String,
    person_generation: i64,
    client_generation: i64,
    resource_server: Option<String>,
    purposes: String,
    scope: String,
    updated_at: i64,
    claims: String,
}

impl ConsentRow {
    fn into_model(self) -> Stored<RememberedConsent> {
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(RememberedConsent {
            person_generation: self.person_generation,
            client_generation: self.client_generation,
            target: self.resource_server,
            purposes: words(&self.purposes),
            claims: words(&self.claims),
            scope: self
                .scope
                .parse::<ScopeSet>()
                .map_err(|cause| StoreBroken::stored("consent", cause))?,
        })
    }
}

/// What a person allowed a client before.
pub fn consent(conn: &mut Conn, person: &str, client: &str) -> Stored<Option<RememberedConsent>> {
    let row: Option<ConsentRow> = each!(conn, c => consent::table
        .find((person, client))
        .select(ConsentRow::as_select())
        .get_result(c)
        .optional())?;
    row.map(ConsentRow::into_model).transpose()
}

/// All that a person allowed clients before, by client, with when.
pub fn consents_of_person(conn: &mut Conn, person: &str) -> Stored<Vec<(String, RememberedConsent, i64)>> {
    let rows: Vec<ConsentRow> = each!(conn, c => consent::table
        .filter(consent::person_id.eq(person))
        .order(consent::client_id)
        .select(ConsentRow::as_select())
        .load(c))?;
    rows.into_iter()
        .map(|row| {
            let (client, at) = (row.client_id.clone(), row.updated_at);
            Ok((client, row.into_model()?, at))
        })
        .collect()
}

/// Forgets what a person allowed a client. Answers whether there was something.
pub fn forget_consent(conn: &mut Conn, person: &str, client: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::delete(consent::table.find((person, client))).execute(c))? == 1)
}

/// Remembers what a person allowed a client.
pub fn remember_consent(
    conn: &mut Conn,
    person: &str,
    client: &str,
    allowed: &RememberedConsent,
    at: i64,
) -> Stored<()> {
    let row = ConsentRow {
        person_id: person.to_owned(),
        client_id: client.to_owned(),
        person_generation: allowed.person_generation,
        client_generation: allowed.client_generation,
        resource_server: allowed.target.clone(),
        purposes: allowed.purposes.join(" "),
        scope: allowed.scope.to_string(),
        updated_at: at,
        claims: allowed.claims.join(" "),
    };
    each!(conn, c => diesel::insert_into(consent::table)
        .values(&row)
        .on_conflict((consent::person_id, consent::client_id))
        .do_update()
        .set(&row)
        .execute(c))?;
    Ok(())
}
