//! Lists that grow without bound, a page at a time: each one query, in the order of an index, from the last row of the
//! page before.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::schema::{grants, session};
use super::{Conn, Stored, at_most, each, grants as stored_grants, people, sessions as stored_sessions};
use crate::model::grant::Grant;
use crate::model::session::Session;

/// Which sessions are looked for.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// Of one person.
    pub person: Option<String>,
    /// Of those who belong to one of these agencies; none: of everybody.
    pub homes: Option<BTreeSet<String>>,
    /// Begun after.
    pub begun_after: i64,
    /// Used after.
    pub used_after: i64,
}

/// Up to `limit` sessions that nobody has ended, the newest first, after a time and an id.
pub fn sessions(
    conn: &mut Conn,
    wanted: &Sessions,
    after: Option<(i64, &str)>,
    limit: usize,
) -> Stored<Vec<Session>> {
    let homes = wanted.homes.as_ref().map(people::home_terms);
    let rows: Vec<stored_sessions::Row> = each!(conn, c => {
        let mut query = session::table
            .filter(session::ended_at.is_null())
            .filter(session::created_at.gt(wanted.begun_after))
            .filter(session::last_seen_at.gt(wanted.used_after))
            .select(stored_sessions::Row::as_select())
            .into_boxed();
        if let Some(person) = &wanted.person {
            query = query.filter(session::person_id.eq(person));
        }
        if let Some(homes) = &homes {
            query = query.filter(session::person_id.eq_any(people::at_home(homes)));
        }
        if let Some((at, id)) = after {
            query = query.filter(session::created_at.le(at));
            query = query.filter(session::created_at.lt(at).or(session::id.lt(id)));
        }
        query.order((session::created_at.desc(), session::id.desc())).limit(at_most(limit)).load(c)
    })?;
    Ok(rows.into_iter().map(stored_sessions::Row::into_model).collect())
}

/// Which grants are looked for.
#[derive(Debug, Clone)]
pub struct Grants {
    /// Of one person.
    pub person: Option<String>,
    /// Of those who belong to one of these agencies; none: of everybody.
    pub homes: Option<BTreeSet<String>>,
    /// To one client.
    pub client: Option<String>,
    /// Whose rows stand after.
    pub kept_after: i64,
}

/// Up to `limit` grants that nobody has revoked, the newest first, after a time and an id.
pub fn grants(
    conn: &mut Conn,
    wanted: &Grants,
    after: Option<(i64, &str)>,
    limit: usize,
) -> Stored<Vec<Grant>> {
    let homes = wanted.homes.as_ref().map(people::home_terms);
    let rows: Vec<stored_grants::Row> = each!(conn, c => {
        let mut query = grants::table
            .filter(grants::revoked_at.is_null().and(grants::purge_at.gt(wanted.kept_after)))
            .select(stored_grants::Row::as_select())
            .into_boxed();
        if let Some(person) = &wanted.person {
            query = query.filter(grants::person_id.eq(person));
        }
        if let Some(homes) = &homes {
            query = query.filter(grants::person_id.eq_any(people::at_home(homes)));
        }
        if let Some(client) = &wanted.client {
            query = query.filter(grants::client_id.eq(client));
        }
        if let Some((at, id)) = after {
            query = query.filter(grants::created_at.le(at));
            query = query.filter(grants::created_at.lt(at).or(grants::id.lt(id)));
        }
        query.order((grants::created_at.desc(), grants::id.desc())).limit(at_most(limit)).load(c)
    })?;
    rows.into_iter().map(stored_grants::Row::into_model).collect()
}
