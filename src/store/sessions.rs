//! Sessions.

use std::collections::BTreeSet;

use diesel::dsl::exists;
use diesel::prelude::*;

use super::schema::{person, session};
use super::{Conn, Stored, at_most, each, people};
use crate::model::session::Session;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = session)]
#[diesel(treat_none_as_null = true)]
pub(super) struct Row {
    id: String,
    hash: String,
    person_id: String,
    person_generation: i64,
    created_at: i64,
    auth_time: i64,
    last_seen_at: i64,
    acr: String,
    amr: String,
    second_factor_due: bool,
    identity_provider: Option<String>,
    address: String,
    user_agent: String,
    ended_at: Option<i64>,
    purge_at: i64,
    second_factor_at: Option<i64>,
}

impl Row {
    fn of(model: &Session, purge_at: i64) -> Self {
        Self {
            id: model.id.clone(),
            hash: model.hash.clone(),
            person_id: model.person_id.clone(),
            person_generation: model.person_generation,
            created_at: model.created_at,
            auth_time: model.auth_time,
            last_seen_at: model.last_seen_at,
            acr: model.acr.clone(),
            amr: model.amr.join(" "),
            second_factor_due: model.second_factor_due,
            identity_provider: model.identity_provider.clone(),
            address: model.address.clone(),
            user_agent: model.user_agent.clone(),
            ended_at: None,
            purge_at,
            second_factor_at: model.second_factor_at,
        }
    }

    pub(super) fn into_model(self) -> Session {
        Session {
            id: self.id,
            hash: self.hash,
            person_id: self.person_id,
            person_generation: self.person_generation,
            created_at: self.created_at,
            auth_time: self.auth_time,
            last_seen_at: self.last_seen_at,
            acr: self.acr,
            amr: self
                .amr
                .split(' ')
                .filter(|method| !method.is_empty())
                .map(str::to_owned)
                .collect(),
            second_factor_due: self.second_factor_due,
            second_factor_at: self.second_factor_at,
            identity_provider: self.identity_provider,
            address: self.address,
            user_agent: self.user_agent,
        }
    }
}

/// A session that has not ended, by the hash of its cookie.
pub fn find(conn: &mut Conn, hash: &str) -> Stored<Option<Session>> {
    let row: Option<Row> = each!(conn, c => session::table
        .filter(session::hash.eq(hash).and(session::ended_at.is_null()))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(Row::into_model))
}

/// A session that has not ended, by the hash of its cookie, locked: it neither ends nor gets another cookie meanwhile.
pub fn lock(conn: &mut Conn, hash: &str) -> Stored<Option<Session>> {
    if let Conn::Pg(c) = conn {
        let query = session::table
            .filter(session::hash.eq(hash))
            .select(session::id)
            .for_update();
        query.get_result::<String>(c.as_mut()).optional()?;
    }
    find(conn, hash)
}

/// A session that has not ended, by its id.
pub fn by_id(conn: &mut Conn, id: &str) -> Stored<Option<Session>> {
    let row: Option<Row> = each!(conn, c => session::table
        .filter(session::id.eq(id).and(session::ended_at.is_null()))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    Ok(row.map(Row::into_model))
}

/// The sessions of a person that have not ended, the last used first; some of them may be too old.
pub fn of_person(conn: &mut Conn, person_id: &str) -> Stored<Vec<Session>> {
    let rows: Vec<Row> = each!(conn, c => session::table
        .filter(session::person_id.eq(person_id).and(session::ended_at.is_null()))
        .order((session::last_seen_at.desc(), session::id))
        .select(Row::as_select())
        .load(c))?;
    Ok(rows.into_iter().map(Row::into_model).collect())
}

/// The sessions, or those of one person, that began at an agency's identity provider and have not ended; some of them may
/// be too old.
pub fn of_provider(conn: &mut Conn, provider_id: &str, person_id: Option<&str>) -> Stored<Vec<Session>> {
    let rows: Vec<Row> = each!(conn, c => {
        let mut query = session::table
            .filter(session::identity_provider.eq(provider_id).and(session::ended_at.is_null()))
            .order(session::id)
            .select(Row::as_select())
            .into_boxed();
        if let Some(person_id) = person_id {
            query = query.filter(session::person_id.eq(person_id));
        }
        query.load(c)
    })?;
    Ok(rows.into_iter().map(Row::into_model).collect())
}

/// Up to `limit` sessions that nobody ended and whose rows may go at `purge_at` or before.
pub fn forgotten(conn: &mut Conn, purge_at: i64, limit: i64) -> Stored<Vec<Session>> {
    let rows: Vec<Row> = each!(conn, c => session::table
        .filter(session::purge_at.le(purge_at).and(session::ended_at.is_null()))
        .order(session::id)
        .limit(limit)
        .select(Row::as_select())
        .load(c))?;
    Ok(rows.into_iter().map(Row::into_model).collect())
}

/// Adds a session.
pub fn add(conn: &mut Conn, model: &Session, purge_at: i64) -> Stored<()> {
    let row = Row::of(model, purge_at);
    each!(conn, c => diesel::insert_into(session::table).values(&row).execute(c))?;
    Ok(())
}

/// Gives a session another cookie and what it now stands for. Answers false when the old cookie holds no more: it is
/// good for one change.
pub fn renew(conn: &mut Conn, old_hash: &str, model: &Session, purge_at: i64) -> Stored<bool> {
    let row = Row::of(model, purge_at);
    Ok(each!(conn, c => diesel::update(session::table.filter(
            session::id.eq(&row.id).and(session::hash.eq(old_hash)).and(session::ended_at.is_null())))
        .set(&row)
        .execute(c))?
        == 1)
}

/// Forgets what was being set up in a session: somebody signs in anew.
pub fn forget_set_up(conn: &mut Conn, id: &str) -> Stored<()> {
    keep_totp_set_up(conn, id, None)?;
    keep_recovery_nonce(conn, id, None)
}

/// Notes that a session was used.
pub fn seen(conn: &mut Conn, id: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(session::table.find(id)).set(session::last_seen_at.eq(at)).execute(c))?;
    Ok(())
}

/// Whether somebody ended a session, in contrast to one that has expired.
pub fn was_ended(conn: &mut Conn, id: &str) -> Stored<bool> {
    let ended: Option<Option<i64>> =
        each!(conn, c => session::table.find(id).select(session::ended_at).get_result(c).optional())?;
    Ok(ended.flatten().is_some())
}

/// Whose session it is, or was, as long as its row stands.
pub fn owner(conn: &mut Conn, id: &str) -> Stored<Option<String>> {
    Ok(each!(conn, c => session::table.find(id).select(session::person_id).get_result(c).optional())?)
}

/// Ends a session. Answers whether it was alive.
pub fn end(conn: &mut Conn, id: &str, at: i64) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::update(session::table.filter(session::id.eq(id).and(session::ended_at.is_null())))
        .set((
            session::ended_at.eq(at),
            session::totp_set_up.eq(None::<String>),
            session::recovery_nonce.eq(None::<String>),
        ))
        .execute(c))?
            == 1,
    )
}

/// The wrapped TOTP secret that is being set up in a session.
pub fn totp_set_up(conn: &mut Conn, id: &str) -> Stored<Option<String>> {
    let found: Option<Option<String>> =
        each!(conn, c => session::table.find(id).select(session::totp_set_up).get_result(c).optional())?;
    Ok(found.flatten())
}

/// Keeps, or with none forgets, the wrapped TOTP secret that is being set up in a session.
pub fn keep_totp_set_up(conn: &mut Conn, id: &str, wrapped: Option<&str>) -> Stored<()> {
    each!(conn, c => diesel::update(session::table.find(id)).set(session::totp_set_up.eq(wrapped)).execute(c))?;
    Ok(())
}

/// What the recovery codes derive from that are still to be shown in a session.
pub fn recovery_nonce(conn: &mut Conn, id: &str) -> Stored<Option<String>> {
    let found: Option<Option<String>> =
        each!(conn, c => session::table.find(id).select(session::recovery_nonce).get_result(c).optional())?;
    Ok(found.flatten())
}

/// Keeps, or with none forgets, what the recovery codes derive from that are shown in a session.
pub fn keep_recovery_nonce(conn: &mut Conn, id: &str, nonce: Option<&str>) -> Stored<()> {
    each!(conn, c => diesel::update(session::table.find(id)).set(session::recovery_nonce.eq(nonce)).execute(c))?;
    Ok(())
}

/// Which sessions are alive: begun after `begun`, used after `seen`.
#[derive(Debug, Clone, Copy)]
pub struct Alive {
    /// In seconds since the epoch.
    pub begun: i64,
    /// In seconds since the epoch.
    pub seen: i64,
}

/// Up to `limit` sessions in which somebody can do something, the newest first, behind a place: of one person, or of all.
pub fn live(
    conn: &mut Conn,
    alive: Alive,
    (person_id, homes): (Option<&str>, Option<&BTreeSet<String>>),
    after: Option<&(i64, String)>,
    limit: usize,
) -> Stored<Vec<Session>> {
    let homes = homes.map(people::home_terms);
    let rows: Vec<Row> = each!(conn, c => {
        let mut query = session::table
            // Not a join: that would be free to begin with everybody.
            .filter(exists(person::table.filter(
                person::id.eq(session::person_id)
                    .and(person::enabled.eq(true))
                    .and(person::generation.eq(session::person_generation)))))
            .filter(session::ended_at.is_null().and(session::second_factor_due.eq(false)))
            .filter(session::created_at.gt(alive.begun).and(session::last_seen_at.gt(alive.seen)))
            .order((session::created_at.desc(), session::id.desc()))
            .limit(at_most(limit))
            .select(Row::as_select())
            .into_boxed();
        if let Some(person_id) = person_id {
            query = query.filter(session::person_id.eq(person_id));
        }
        if let Some(homes) = &homes {
            query = query.filter(session::person_id.eq_any(people::at_home(homes)));
        }
        if let Some((at, id)) = after {
            query = query
                .filter(session::created_at.le(at))
                .filter(session::created_at.lt(at).or(session::id.lt(id)));
        }
        query.load(c)
    })?;
    Ok(rows.into_iter().map(Row::into_model).collect())
}

/// Whether a session has not ended.
pub fn is_alive(conn: &mut Conn, id: &str) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::select(exists(session::table.filter(session::id.eq(id).and(session::ended_at.is_null()))))
        .get_result(c))?,
    )
}
