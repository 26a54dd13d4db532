//! People.

pub mod listing;

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use diesel::dsl::{auto_type, exists, not};
use diesel::prelude::*;
use diesel::upsert::excluded;

use super::schema::{
    agency, link, linked_identity, passkey, password_history, person, person_role, person_term,
    recovery_code, session,
};
use super::{Conn, StoreBroken, Stored, each};
use crate::model::agency::Membership;
use crate::model::names::username_key;
use crate::model::person::{MUST_CHANGE, Person};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = person)]
pub(super) struct Row {
    id: String,
    username: String,
    username_key: String,
    name: String,
    password: Option<String>,
    totp_secret: Option<String>,
    totp_step: i64,
    settings: String,
    enabled: bool,
    generation: i64,
    created_at: i64,
    updated_at: i64,
    password_changed_at: i64,
    last_login_at: Option<i64>,
    idle_since: i64,
    name_key: String,
}

/// How many people of an older schema are indexed at once.
const INDEXED_AT_ONCE: i64 = 500;
/// The longest word that people are found by, in characters.
const LONGEST_TERM: usize = 64;

/// What stands between a role and the agency that it is held for.
pub const AT: char = '@';

/// How names are ordered: letter case ignored.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The words of a text as [`person_term`] keeps them, each once: in hexadecimal, so that every collation orders them alike.
pub fn terms(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(term).collect()
}

fn term(word: &str) -> String {
    HEXLOWER.encode(word.chars().take(LONGEST_TERM).collect::<String>().as_bytes())
}

/// The term of those who have a role: no word has a letter behind f.
fn role_term(role: &str) -> String {
    format!("role={role}")
}

/// The term of those who may not sign in.
const DISABLED: &str = "state=disabled";
/// The term of those who have no password yet and were never here.
const AWAITED: &str = "state=awaited";

/// The term of those who belong to an agency.
pub(super) fn home_term(agency: &str) -> String {
    format!("home={agency}")
}

/// The term of those who belong to another agency than one at which they may do something.
fn member_term(agency: &str) -> String {
    format!("member={agency}")
}

/// The term of those who have a National Provider Identifier.
fn npi_term(npi: &str) -> String {
    format!("npi={npi}")
}

/// The term of those whom a FHIR resource represents, on whatever server: its type and id.
fn fhir_term(reference: &str) -> String {
    let mut parts = reference.rsplitn(3, '/');
    let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("fhir={kind}/{id}")
}

/// The term of those who have a role at an agency.
fn role_there_term(agency: &str, role: &str) -> String {
    format!("at={agency} {role}")
}

/// Everything that a person is found by: the words of name, username, address and the agency's id, the whole username,
/// roles, agencies, identifiers and states.
fn terms_of(model: &Person, was_here: bool) -> BTreeSet<String> {
    let settings = &model.settings;
    let agency = settings.agency.as_deref().unwrap_or_default();
    let email = settings.email.as_deref().unwrap_or_default();
    let mut all = terms(&format!("{} {} {email} {agency}", model.name, model.username));
    all.insert(term(&username_key(&model.username)));
    all.extend(settings.all_roles().iter().map(|role| role_term(role)));
    if let Some(agency) = &settings.agency {
        all.insert(home_term(agency));
        all.extend(settings.roles.iter().map(|role| role_there_term(agency, role)));
    }
    for Membership { agency, roles } in &settings.memberships {
        all.extend(roles.iter().map(|role| role_there_term(agency, role)));
    }
    let others = settings.memberships.iter().map(|membership| &membership.agency);
    all.extend(
        others
            .filter(|other| settings.agency.as_ref() != Some(*other))
            .map(|other| member_term(other)),
    );
    all.extend(settings.npi.as_deref().map(npi_term));
    all.extend(settings.fhir_user.as_deref().map(fhir_term));
    if !model.enabled {
        all.insert(DISABLED.to_owned());
    }
    if model.password.is_none() && !was_here {
        all.insert(AWAITED.to_owned());
    }
    all
}

impl Row {
    pub(super) fn into_model(self) -> Stored<Person> {
        Ok(Person {
            settings: serde_json::from_str(&self.settings)
                .map_err(|cause| StoreBroken::stored("person", cause))?,
            id: self.id,
            username: self.username,
            name: self.name,
            password: self.password,
            totp_secret: self.totp_secret,
            totp_step: self.totp_step,
            enabled: self.enabled,
            generation: self.generation,
            created_at: self.created_at,
            updated_at: self.updated_at,
            password_changed_at: self.password_changed_at,
            last_login_at: self.last_login_at,
            idle_since: self.idle_since,
        })
    }
}

/// A person by `sub`.
pub fn find(conn: &mut Conn, id: &str) -> Stored<Option<Person>> {
    let row: Option<Row> =
        each!(conn, c => person::table.find(id).select(Row::as_select()).get_result(c).optional())?;
    row.map(Row::into_model).transpose()
}

/// A person by what she types to sign in.
pub fn find_by_username(conn: &mut Conn, username: &str) -> Stored<Option<Person>> {
    let row: Option<Row> = each!(conn, c => person::table
        .filter(person::username_key.eq(username_key(username)))
        .select(Row::as_select())
        .get_result(c)
        .optional())?;
    row.map(Row::into_model).transpose()
}

/// Id, name and username of those among `ids` who exist.
pub fn names(conn: &mut Conn, ids: &[String]) -> Stored<Vec<(String, String, String)>> {
    Ok(each!(conn, c => person::table
        .filter(person::id.eq_any(ids))
        .select((person::id, person::name, person::username))
        .load(c))?)
}

/// Up to `limit` people after a username, in its order.
pub fn page(conn: &mut Conn, after: &str, limit: i64) -> Stored<Vec<Person>> {
    let rows: Vec<Row> = each!(conn, c => person::table
        .filter(person::username_key.gt(username_key(after)))
        .order(person::username_key)
        .limit(limit)
        .select(Row::as_select())
        .load(c))?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Those whose generation was ever raised, or who are disabled: `(id, generation, enabled)`.
pub fn with_generation(conn: &mut Conn) -> Stored<Vec<(String, i64, bool)>> {
    Ok(each!(conn, c => person::table
        .filter(person::generation.gt(0).or(person::enabled.eq(false)))
        .select((person::id, person::generation, person::enabled))
        .load(c))?)
}

/// Generation and state of one person.
pub fn generation(conn: &mut Conn, id: &str) -> Stored<Option<(i64, bool)>> {
    Ok(each!(conn, c => person::table
        .find(id)
        .select((person::generation, person::enabled))
        .get_result(c)
        .optional())?)
}

/// Writes a person, new or changed. When she was added, the TOTP step and the last sign-in are only set on a new row: the
/// latter two move by [`use_totp_step`] and [`signed_in`] alone.
pub fn put(conn: &mut Conn, model: &Person) -> Stored<()> {
    let row = Row {
        id: model.id.clone(),
        username: model.username.clone(),
        username_key: username_key(&model.username),
        name: model.name.clone(),
        password: model.password.clone(),
        totp_secret: model.totp_secret.clone(),
        totp_step: model.totp_step,
        settings: serde_json::to_string(&model.settings)
            .map_err(|cause| StoreBroken::stored("person", cause))?,
        enabled: model.enabled,
        generation: model.generation,
        created_at: model.created_at,
        updated_at: model.updated_at,
        password_changed_at: model.password_changed_at,
        last_login_at: model.last_login_at,
        idle_since: model.idle_since,
        name_key: name_key(&model.name),
    };
    each!(conn, c => diesel::insert_into(person::table)
        .values(&row)
        .on_conflict(person::id)
        .do_update()
        .set((
            person::username.eq(excluded(person::username)),
            person::username_key.eq(excluded(person::username_key)),
            person::name.eq(excluded(person::name)),
            person::password.eq(excluded(person::password)),
            person::totp_secret.eq(excluded(person::totp_secret)),
            person::settings.eq(excluded(person::settings)),
            person::enabled.eq(excluded(person::enabled)),
            person::generation.eq(excluded(person::generation)),
            person::updated_at.eq(excluded(person::updated_at)),
            person::password_changed_at.eq(excluded(person::password_changed_at)),
            person::idle_since.eq(excluded(person::idle_since)),
            person::name_key.eq(excluded(person::name_key)),
        ))
        .execute(c))?;
    put_index(conn, model)
}

/// The roles of a person; behind those that are held at another agency, or for one alone, its id.
fn roles_with_places(model: &Person) -> Vec<String> {
    let settings = &model.settings;
    let there = settings.memberships.iter().flat_map(|membership| {
        let roles = membership.roles.iter();
        roles.map(|role| format!("{role}{AT}{}", membership.agency))
    });
    settings.roles.iter().cloned().chain(there).collect()
}

/// Writes what a person is listed and found by.
fn put_index(conn: &mut Conn, model: &Person) -> Stored<()> {
    let (id, name_key) = (model.id.as_str(), name_key(&model.name));
    // She may have signed in since the model was read.
    let was_here: bool = each!(conn, c => person::table
        .find(id)
        .select(person::last_login_at.is_not_null())
        .get_result(c))?;
    let terms = terms_of(model, was_here);
    let terms: Vec<_> = terms
        .iter()
        .map(|term| (person_term::person_id.eq(id), person_term::term.eq(term)))
        .collect();
    each!(conn, c => {
        let roles = &roles_with_places(model);
        diesel::delete(person_role::table.filter(person_role::person_id.eq(id).and(person_role::role.ne_all(roles))))
            .execute(c)?;
        for role in roles {
            let row = (
                person_role::person_id.eq(id),
                person_role::role.eq(role),
                person_role::name_key.eq(&name_key),
                person_role::given_at.eq(model.updated_at),
            );
            // Whoever has the role already keeps it since then.
            diesel::insert_into(person_role::table)
                .values(row)
                .on_conflict((person_role::person_id, person_role::role))
                .do_update()
                .set(person_role::name_key.eq(excluded(person_role::name_key)))
                .execute(c)?;
        }
        diesel::delete(person_term::table.filter(person_term::person_id.eq(id))).execute(c)?;
        diesel::insert_into(person_term::table).values(&terms).execute(c)?;
    });
    Ok(())
}

/// Writes what people of an older schema are listed and found by: of all or, when it is interrupted, of nobody.
///
/// # Errors
/// As [`find`]; the connection is of no use then.
pub(super) fn index_all(conn: &mut Conn) -> Stored<()> {
    let indexed: Option<bool> = each!(conn, c => person::table
        .select(exists(person_term::table.filter(person_term::person_id.eq(person::id))))
        .first(c)
        .optional())?;
    if indexed != Some(false) {
        return Ok(());
    }
    // A server that runs may write meanwhile: SQLite gives up where a transaction that has read begins to write.
    conn.execute_raw(if conn.is_sqlite() {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN"
    })?;
    let mut after = String::new();
    loop {
        let people = page(conn, &after, INDEXED_AT_ONCE)?;
        for model in &people {
            let key = name_key(&model.name);
            each!(conn, c => diesel::update(person::table.find(&model.id))
                .set(person::name_key.eq(&key))
                .execute(c))?;
            put_index(conn, model)?;
        }
        match people.last() {
            Some(last) => after.clone_from(&last.username),
            None => break,
        }
    }
    Ok(conn.execute_raw("COMMIT")?)
}

/// The terms of those who belong to one of some agencies.
pub(super) fn home_terms(agencies: &BTreeSet<String>) -> Vec<String> {
    agencies.iter().map(|agency| home_term(agency)).collect()
}

/// The ids of those who have one of these [`home_terms`], as the part of a query.
#[auto_type(no_type_alias)]
pub(super) fn at_home<'a>(homes: &'a [String]) -> _ {
    person_term::table
        .filter(person_term::term.eq_any(homes))
        .select(person_term::person_id)
}

/// The ids of those who have to do with an agency: they belong to it, or may do something there.
pub fn of_agency(conn: &mut Conn, agency: &str) -> Stored<Vec<String>> {
    let terms = [home_term(agency), member_term(agency)];
    Ok(each!(conn, c => person_term::table
        .filter(person_term::term.eq_any(&terms))
        .order(person_term::person_id)
        .select(person_term::person_id)
        .load(c))?)
}

/// Whether somebody else has a National Provider Identifier.
pub fn somebody_else_has_npi(conn: &mut Conn, npi: &str, id: &str) -> Stored<bool> {
    Ok(each!(conn, c => diesel::select(exists(person_term::table
        .filter(person_term::term.eq(npi_term(npi)))
        .filter(person_term::person_id.ne(id))))
        .get_result(c))?)
}

/// The FHIR resources that represent others and have the same type and id as one, on whatever server.
pub fn fhir_users_like(conn: &mut Conn, reference: &str, id: &str) -> Stored<Vec<String>> {
    let rows: Vec<Row> = each!(conn, c => person::table
        .inner_join(person_term::table)
        .filter(person_term::term.eq(fhir_term(reference)))
        .filter(person::id.ne(id))
        .select(Row::as_select())
        .load(c))?;
    let people = rows.into_iter().map(Row::into_model);
    people
        .filter_map(|person| person.map(|person| person.settings.fhir_user).transpose())
        .collect()
}

/// How many people belong to an agency.
pub fn count_of_agency(conn: &mut Conn, agency: &str) -> Stored<i64> {
    Ok(each!(conn, c => person_term::table
        .filter(person_term::term.eq(home_term(agency)))
        .count()
        .get_result(c))?)
}

/// Those of other agencies who may do something at one, by their names.
pub fn members_of(conn: &mut Conn, agency: &str) -> Stored<Vec<Person>> {
    let rows: Vec<Row> = each!(conn, c => person::table
        .inner_join(person_term::table)
        .filter(person_term::term.eq(member_term(agency)))
        .order((person::name_key, person::id))
        .select(Row::as_select())
        .load(c))?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Ends what was issued to a person under the generation that she has.
pub fn raise_generation(conn: &mut Conn, id: &str) -> Stored<()> {
    each!(conn, c => diesel::update(person::table.find(id))
        .set(person::generation.eq(person::generation + 1))
        .execute(c))?;
    Ok(())
}

/// The ids of those who are enabled and have a role.
pub fn enabled_with_role(conn: &mut Conn, role: &str) -> Stored<Vec<String>> {
    Ok(each!(conn, c => person_role::table
        .inner_join(person::table)
        // A comparison that no index serves: SQLite would begin with everybody who is enabled.
        .filter(person_role::role.eq(role).and(person::enabled.ne(false)))
        .select(person_role::person_id)
        .load(c))?)
}

/// Who has a role and is enabled and can sign in: with a password, a passkey or an identity at an agency, and belongs to no
/// agency of `closed`, by the terms of those.
macro_rules! able_with_role {
    ($role:expr, $closed:expr) => {
        person_role::table
            .inner_join(person::table)
            .filter(person_role::role.eq($role))
            // A comparison that no index serves, as in enabled_with_role.
            .filter(person::enabled.ne(false))
            .filter(
                person::password
                    .is_not_null()
                    .or(exists(passkey::table.filter(passkey::person_id.eq(person::id))))
                    .or(exists(
                        linked_identity::table.filter(linked_identity::person_id.eq(person::id)),
                    )),
            )
            .filter(not(exists(
                person_term::table.filter(
                    person_term::person_id
                        .eq(person::id)
                        .and(person_term::term.eq_any($closed)),
                ),
            )))
    };
}

/// The terms of those who belong to agencies that are disabled.
fn closed(conn: &mut Conn) -> Stored<Vec<String>> {
    let ids: Vec<String> =
        each!(conn, c => agency::table.filter(agency::enabled.eq(false)).select(agency::id).load(c))?;
    Ok(ids.iter().map(|id| home_term(id)).collect())
}

/// How many who are enabled have a role and can sign in, and how many have it but have not begun yet: nobody has chosen a
/// password, nor can they come in another way.
pub fn count_with_role(conn: &mut Conn, role: &str) -> Stored<(i64, i64)> {
    let (all, closed) = (enabled_with_role(conn, role)?.len(), closed(conn)?);
    let able: i64 = each!(conn, c => able_with_role!(role, &closed).count().get_result(c))?;
    Ok((able, i64::try_from(all).unwrap_or(i64::MAX) - able))
}

/// Whether somebody else who can sign in has a role.
pub fn somebody_else_has(conn: &mut Conn, role: &str, except: &str) -> Stored<bool> {
    let closed = closed(conn)?;
    Ok(each!(conn, c => diesel::select(exists(
        able_with_role!(role, &closed).filter(person_role::person_id.ne(except)),
    ))
    .get_result(c))?)
}

/// Whether somebody who can sign in has a role, and would have it without an agency.
pub fn somebody_has_without(conn: &mut Conn, role: &str, agency: &str) -> Stored<bool> {
    let mut closed = closed(conn)?;
    closed.push(home_term(agency));
    Ok(each!(conn, c => diesel::select(exists(able_with_role!(role, &closed))).get_result(c))?)
}

/// Sets or takes away the wrapped TOTP secret, with the last time step that was used. Answers false when the person was
/// changed meanwhile.
pub fn put_totp(
    conn: &mut Conn,
    id: &str,
    generation: i64,
    wrapped: Option<&str>,
    step: i64,
) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::update(person::table.filter(person::id.eq(id).and(person::generation.eq(generation))))
        .set((person::totp_secret.eq(wrapped), person::totp_step.eq(step)))
        .execute(c))?
            == 1,
    )
}

/// Wants a new password at the next sign-in.
pub fn want_new_password(conn: &mut Conn, id: &str) -> Stored<()> {
    each!(conn, c => diesel::update(person::table.find(id)).set(person::password_changed_at.eq(MUST_CHANGE)).execute(c))?;
    Ok(())
}

/// A person, locked against other writers: for what is decided by counting what she has.
pub fn lock(conn: &mut Conn, id: &str) -> Stored<Option<Person>> {
    if let Conn::Pg(c) = conn {
        person::table
            .find(id)
            .select(person::id)
            .for_update()
            .get_result::<String>(c.as_mut())
            .optional()?;
    }
    find(conn, id)
}

/// [`lock`], by what the person types to sign in.
pub fn lock_by_username(conn: &mut Conn, username: &str) -> Stored<Option<Person>> {
    match find_by_username(conn, username)? {
        Some(person) => lock(conn, &person.id),
        None => Ok(None),
    }
}

/// Uses up a TOTP time step. Answers false when it, or a later one, was used already: a code works once.
pub fn use_totp_step(conn: &mut Conn, id: &str, step: i64) -> Stored<bool> {
    Ok(
        each!(conn, c => diesel::update(person::table.filter(person::id.eq(id).and(person::totp_step.lt(step))))
        .set(person::totp_step.eq(step))
        .execute(c))?
            == 1,
    )
}

/// Notes a sign-in that is complete.
pub fn signed_in(conn: &mut Conn, id: &str, at: i64) -> Stored<()> {
    each!(conn, c => diesel::update(person::table.find(id))
        .set((person::last_login_at.eq(at), person::idle_since.eq(at)))
        .execute(c))?;
    each!(conn, c => diesel::delete(person_term::table.find((id, AWAITED))).execute(c))?;
    Ok(())
}

/// Replaces the stored password hash, when the hashing parameters changed; a password that was set meanwhile stays.
pub fn rehashed(conn: &mut Conn, id: &str, generation: i64, password: &str) -> Stored<()> {
    each!(conn, c => diesel::update(person::table.filter(person::id.eq(id).and(person::generation.eq(generation))))
        .set(person::password.eq(password))
        .execute(c))?;
    Ok(())
}

/// A stored password hash that begins with none of `prefixes`, if there is one.
pub fn password_unlike(conn: &mut Conn, prefixes: &[String]) -> Stored<Option<String>> {
    Ok(each!(conn, c => {
        let mut query = person::table
            .filter(person::password.is_not_null())
            .select(person::password.assume_not_null())
            .limit(1)
            .into_boxed();
        for prefix in prefixes {
            query = query.filter(person::password.not_like(format!("{prefix}%")));
        }
        query.get_result(c).optional()
    })?)
}

/// Those who were not here since `before`, and may still sign in: up to `limit` ids.
pub fn idle_since(conn: &mut Conn, before: i64, limit: i64) -> Stored<Vec<String>> {
    Ok(each!(conn, c => person::table
        .filter(person::enabled.eq(true).and(person::idle_since.le(before)))
        .order(person::idle_since)
        .limit(limit)
        .select(person::id)
        .load(c))?)
}

/// How many were not here since `before` and may still sign in, and how many may in all.
pub fn count_idle_since(conn: &mut Conn, before: i64) -> Stored<(i64, i64)> {
    let enabled = || person::table.filter(person::enabled.eq(true));
    let idle = each!(conn, c => enabled().filter(person::idle_since.le(before)).count().get_result(c))?;
    let all = each!(conn, c => enabled().count().get_result(c))?;
    Ok((idle, all))
}

/// The wrapped TOTP secrets: `(id, secret)`.
pub fn totp_secrets(conn: &mut Conn) -> Stored<Vec<(String, String)>> {
    Ok(each!(conn, c => person::table
        .filter(person::totp_secret.is_not_null())
        .select((person::id, person::totp_secret.assume_not_null()))
        .load(c))?)
}

/// Replaces a wrapped TOTP secret by the same secret, wrapped anew.
pub fn rewrap_totp_secret(conn: &mut Conn, id: &str, wrapped: &str) -> Stored<()> {
    each!(conn, c => diesel::update(person::table.find(id)).set(person::totp_secret.eq(wrapped)).execute(c))?;
    Ok(())
}

/// Deletes a person who was never here, with all that was written of her but the record. Whatever else refers to her
/// makes it fail: such a person is disabled instead.
pub fn delete(conn: &mut Conn, id: &str) -> Stored<()> {
    each!(conn, c => {
        diesel::delete(person_role::table.filter(person_role::person_id.eq(id))).execute(c)?;
        diesel::delete(person_term::table.filter(person_term::person_id.eq(id))).execute(c)?;
        diesel::delete(link::table.filter(link::person_id.eq(id))).execute(c)?;
        diesel::delete(linked_identity::table.filter(linked_identity::person_id.eq(id))).execute(c)?;
        diesel::delete(session::table.filter(session::person_id.eq(id))).execute(c)?;
        diesel::delete(passkey::table.filter(passkey::person_id.eq(id))).execute(c)?;
        diesel::delete(recovery_code::table.filter(recovery_code::person_id.eq(id))).execute(c)?;
        diesel::delete(password_history::table.filter(password_history::person_id.eq(id))).execute(c)?;
        diesel::delete(person::table.find(id)).execute(c)?;
    });
    Ok(())
}
