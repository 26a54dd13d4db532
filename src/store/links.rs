//! One-time links, by the hash of their secret.

use diesel::prelude::*;

use super::schema::link;
use super::{Conn, StoreBroken, Stored, each};
use crate::model::link::{Link, LinkKind};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = link)]
struct Row {
    hash: String,
    kind: String,
    person_id: String,
    person_generation: i64,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    purge_at: i64,
}

impl Row {
    fn into_model(self) -> Stored<Link> {
        Ok(Link {
            kind: LinkKind::read(&self.kind).ok_or_else(|| StoreBroken::stored("link", &self.kind))?,
            hash: self.hash,
            person_id: self.person_id,
            person_generation: self.person_generation,
            created_at: self.created_at,
            expires_at: self.expires_at,
            used_at: self.used_at,
        })
    }
}

/// Adds a link.
pub fn add(conn: &mut Conn, model: &Link, purge_at: i64) -> Stored<()> {
    let row = Row {
        hash: model.hash.clone(),
        kind: model.kind.as_str().to_owned(),
        person_id: model.person_id.clone(),
        person_generation: model.person_generation,
        created_at: model.created_at,
        expires_at: model.expires_at,
        used_at: model.used_at,
        purge_at,
    };
    each!(conn, c => diesel::insert_into(link::table).values(&row).execute(c))?;
    Ok(())
}

/// A link, whatever became of it.
pub fn find(conn: &mut Conn, hash: &str) -> Stored<Option<Link>> {
    let row: Option<Row> =
        each!(conn, c => link::table.find(hash).select(Row::as_select()).get_result(c).optional())?;
    row.map(Row::into_model).transpose()
}

/// The link of a person that was made last, of this kind, if it was not used and has not ended.
pub fn youngest(conn: &mut Conn, person_id: &str, kind: LinkKind, now: i64) -> Stored<Option<Link>> {
    let row: Option<Row> = each!(conn, c => link::table
        .filter(link::person_id.eq(person_id).and(link::kind.eq(kind.as_str())))
        .filter(link::used_at.is_null().and(link::expires_at.gt(now)))
        .order(link::created_at.desc())
        .select(Row::as_select())
        .first(c)
        .optional())?;
    row.map(Row::into_model).transpose()
}

/// Uses a link up. Answers false when it was used already, or has ended: the database decides the race.
pub fn use_up(conn: &mut Conn, hash: &str, at: i64) -> Stored<bool> {
    Ok(each!(conn, c => diesel::update(link::table.filter(
            link::hash.eq(hash).and(link::used_at.is_null()).and(link::expires_at.gt(at))))
        .set(link::used_at.eq(at))
        .execute(c))?
        == 1)
}

/// Ends the links of a person that are of these kinds.
pub fn end(conn: &mut Conn, person_id: &str, kinds: &[LinkKind], at: i64) -> Stored<()> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    each!(conn, c => diesel::update(link::table.filter(
            link::person_id.eq(person_id).and(link::kind.eq_any(&kinds)).and(link::expires_at.gt(at))))
        .set(link::expires_at.eq(at))
        .execute(c))?;
    Ok(())
}
