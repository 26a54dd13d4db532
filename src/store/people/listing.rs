//! People as the console lists them: searched, filtered, in an order, page by page. The number of queries depends on
//! what is looked for and never on how many people there are.
//!
//! Words, roles and states are terms ([`person_term`]). One query walks along the people in the order of the list and
//! keeps those who have every term: a term that no more than [`LISTED`] people have is a list that the database makes
//! once and sets out from, one that more have is looked up person by person, and met soon.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use diesel::dsl::exists;
use diesel::prelude::*;

use super::{AWAITED, DISABLED, Row, home_terms, role_term, role_there_term, terms};
use crate::model::person::Person;
use crate::store::schema::{person, person_role, person_term};
use crate::store::{Conn, Stored, at_most, each, snapshot};

/// How many people a list of those who have a term holds at most. Of 100,000 people SQLite lists and orders so many in a
/// few hundredths of a second; to find nobody by two terms that more have takes several times as long.
const LISTED: usize = 16_000;
/// How many words are looked for at most: the longest, which say most.
const MOST_WORDS: usize = 8;
/// When those were here last who never were, for an order that has them at its end.
const NEVER: i64 = 0;

/// Who may be in the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Everybody.
    #[default]
    Any,
    /// Those who may sign in.
    Enabled,
    /// Those who may not.
    Disabled,
    /// Those who have no password yet and were never here.
    Awaited,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By name.
    #[default]
    Name,
    /// Those who were added last first.
    Newest,
    /// Those who signed in last first; those who never did at the end.
    LastSignIn,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Beginnings of words: all of them must be there.
    pub words: String,
    /// A role.
    pub role: Option<String>,
    /// Those who belong to one of these agencies, and have the role at one of them; none: whoever they belong to.
    pub homes: Option<BTreeSet<String>>,
    /// A state.
    pub state: State,
    /// The order.
    pub order: Order,
    /// The sort key and the id of the last row before the page.
    pub after: Option<Place>,
}

/// A place in a list: the sort key and the id of a row.
pub type Place = (String, String);

/// The sort key of a person, for the page behind her.
pub fn sort_key(order: Order, model: &Person) -> String {
    match order {
        Order::Name => super::name_key(&model.name),
        Order::Newest => model.created_at.to_string(),
        Order::LastSignIn => model.last_login_at.unwrap_or(NEVER).to_string(),
    }
}

/// Terms that those who are looked for have one of: from here up to here.
struct Terms {
    from: String,
    to: String,
}

impl Terms {
    fn beginning_with(term: String) -> Self {
        // The digits of hexadecimal end before `g`.
        Self {
            to: format!("{term}g"),
            from: term,
        }
    }

    fn only(term: String) -> Self {
        Self {
            to: term.clone(),
            from: term,
        }
    }

    /// Whether more people have it than are listed; somebody with several words that begin so counts as often.
    fn are_common(&self, conn: &mut Conn) -> Stored<bool> {
        let one_more: Option<String> = each!(conn, c => person_term::table
            .filter(person_term::term.between(&self.from, &self.to))
            .select(person_term::person_id)
            .offset(at_most(LISTED))
            .first(c)
            .optional())?;
        Ok(one_more.is_some())
    }
}

impl Search {
    fn terms(&self) -> Vec<Terms> {
        let mut words: Vec<String> = terms(&self.words).into_iter().collect();
        words.sort_by_key(|word| Reverse(word.len()));
        let words = words.into_iter().take(MOST_WORDS).map(Terms::beginning_with);
        let state = match self.state {
            State::Disabled => Some(DISABLED),
            State::Awaited => Some(AWAITED),
            State::Any | State::Enabled => None,
        };
        // At agencies of one's own it is one of several; see [`Search::any_of`].
        let role = self
            .role
            .as_deref()
            .filter(|_| self.homes.is_none())
            .map(role_term);
        words
            .chain(role.into_iter().chain(state.map(str::to_owned)).map(Terms::only))
            .collect()
    }

    /// Terms of which one is wanted, for each of these.
    fn any_of(&self) -> Vec<Vec<String>> {
        let Some(homes) = &self.homes else {
            return Vec::new();
        };
        let role = self.role.as_deref();
        let there = role.map(|role| homes.iter().map(|home| role_there_term(home, role)).collect());
        std::iter::once(home_terms(homes)).chain(there).collect()
    }

    /// The time of the last row before the page. An address that somebody made up begins at the beginning.
    fn behind(&self) -> Option<(i64, &str)> {
        let (key, id) = self.after.as_ref()?;
        let at = key.parse().ok().filter(|at| *at >= NEVER)?;
        Some((at, id))
    }
}

/// Up to `limit` people that are looked for.
pub fn page(conn: &mut Conn, search: &Search, limit: usize) -> Stored<Vec<Person>> {
    snapshot(conn, |conn| found(conn, search, limit))
}

fn found(conn: &mut Conn, search: &Search, limit: usize) -> Stored<Vec<Person>> {
    let (mut common, mut listed) = (Vec::new(), Vec::new());
    for terms in search.terms() {
        let some = if terms.are_common(conn)? {
            &mut common
        } else {
            &mut listed
        };
        some.push(terms);
    }
    let mut ids = Vec::new();
    for stretch in stretches(search) {
        let left = limit.saturating_sub(ids.len());
        if left > 0 {
            ids.extend(walk(conn, search, &listed, &common, *stretch, left)?);
        }
    }
    let rows: Vec<Row> =
        each!(conn, c => person::table.filter(person::id.eq_any(&ids)).select(Row::as_select()).load(c))?;
    let mut rows: HashMap<String, Row> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    ids.iter()
        .filter_map(|id| rows.remove(id))
        .map(Row::into_model)
        .collect()
}

/// A stretch of a list that one index has in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stretch {
    ByName,
    ByCreation,
    BySignIn,
    NeverHere,
}

/// The stretches of a list.
fn stretches(search: &Search) -> &'static [Stretch] {
    let never_here = search.state == State::Awaited || search.behind().is_some_and(|(at, _)| at == NEVER);
    match search.order {
        Order::Name => &[Stretch::ByName],
        Order::Newest => &[Stretch::ByCreation],
        // Neither database puts those without a time where the other does: they are a stretch of their own.
        Order::LastSignIn if never_here => &[Stretch::NeverHere],
        Order::LastSignIn => &[Stretch::BySignIn, Stretch::NeverHere],
    }
}

/// The ids of up to `limit` people of a stretch who have all terms.
fn walk(
    conn: &mut Conn,
    search: &Search,
    listed: &[Terms],
    common: &[Terms],
    stretch: Stretch,
    limit: usize,
) -> Stored<Vec<String>> {
    let after = search.after.as_ref();
    let at = search.behind();
    let any = search.any_of();
    Ok(each!(conn, c => {
        let mut query = person::table.select(person::id).limit(at_most(limit)).into_boxed();
        for Terms { from, to } in listed {
            query = query.filter(person::id.eq_any(
                person_term::table.filter(person_term::term.between(from, to)).select(person_term::person_id)));
        }
        for Terms { from, to } in common {
            query = query.filter(exists(person_term::table.filter(
                person_term::person_id.eq(person::id).and(person_term::term.between(from, to)))));
        }
        for terms in &any {
            query = query.filter(person::id.eq_any(
                person_term::table.filter(person_term::term.eq_any(terms)).select(person_term::person_id)));
        }
        if search.state == State::Enabled {
            // No reason to leave the order of the list and sort everybody: a comparison that no index serves.
            query = query.filter(person::enabled.ne(false));
        }
        // The first comparison is what an index can begin at, the others are those of the pair.
        query = match stretch {
            Stretch::ByName => {
                let query = query.order((person::name_key, person::id));
                match after {
                    Some((key, id)) => query
                        .filter(person::name_key.ge(key))
                        .filter(person::name_key.gt(key).or(person::id.gt(id))),
                    None => query,
                }
            }
            Stretch::ByCreation => {
                let query = query.order((person::created_at.desc(), person::id.desc()));
                match at {
                    Some((at, id)) => query
                        .filter(person::created_at.le(at))
                        .filter(person::created_at.lt(at).or(person::id.lt(id))),
                    None => query,
                }
            }
            Stretch::BySignIn => {
                let query = query
                    .filter(person::last_login_at.is_not_null())
                    .order((person::last_login_at.desc(), person::id.desc()));
                match at {
                    Some((at, id)) => query
                        .filter(person::last_login_at.le(at))
                        .filter(person::last_login_at.assume_not_null().lt(at).or(person::id.lt(id))),
                    None => query,
                }
            }
            Stretch::NeverHere => {
                let query = query.filter(person::last_login_at.is_null()).order(person::id.desc());
                match at {
                    Some((NEVER, id)) => query.filter(person::id.lt(id)),
                    _ => query,
                }
            }
        };
        query.load(c)
    })?)
}

/// Whether there is anybody at all.
pub fn any(conn: &mut Conn) -> Stored<bool> {
    Ok(each!(conn, c => diesel::select(exists(person::table.select(person::id))).get_result(c))?)
}

/// Which of these keys of usernames are taken.
pub fn taken(conn: &mut Conn, keys: &[String]) -> Stored<Vec<String>> {
    Ok(each!(conn, c => person::table
        .filter(person::username_key.eq_any(keys))
        .select(person::username_key)
        .load(c))?)
}

/// A person who holds a role.
#[derive(Debug, Clone, Queryable)]
pub struct Holder {
    /// The role.
    pub role: String,
    /// Since when, in seconds since the epoch.
    pub given_at: i64,
    /// How the name is ordered.
    pub name_key: String,
    /// The person's id.
    pub person_id: String,
    /// What she types to sign in.
    pub username: String,
    /// Her name.
    pub name: String,
    /// Whether she may sign in.
    pub enabled: bool,
    /// When she last signed in.
    pub last_login_at: Option<i64>,
    /// Her settings, as they are stored.
    settings: String,
}

impl Holder {
    /// The agency that the person belongs to, by its id.
    pub fn agency(&self) -> Option<String> {
        let settings: Option<crate::model::person::PersonSettings> =
            serde_json::from_str(&self.settings).ok();
        settings?.agency
    }
}

/// The place in the list of those who hold roles: role, key of the name, id.
pub type HolderPlace = (String, String, String);

/// Up to `limit` people who hold roles, by role and name, behind a place.
pub fn holders(
    conn: &mut Conn,
    role: Option<&str>,
    after: Option<&HolderPlace>,
    limit: usize,
) -> Stored<Vec<Holder>> {
    let Some((last, name, id)) = after else {
        return holders_of(conn, role.map_or(Roles::All, Roles::One), None, limit);
    };
    // The rest of the role at hand, then the roles behind it: an index begins each where it begins.
    let mut found = holders_of(conn, Roles::One(last), Some((name, id)), limit)?;
    if role.is_none() && found.len() < limit {
        found.extend(holders_of(conn, Roles::Behind(last), None, limit - found.len())?);
    }
    Ok(found)
}

/// Whose holders are wanted.
#[derive(Clone, Copy)]
enum Roles<'a> {
    All,
    One(&'a str),
    Behind(&'a str),
}

fn holders_of(
    conn: &mut Conn,
    roles: Roles<'_>,
    after: Option<(&String, &String)>,
    limit: usize,
) -> Stored<Vec<Holder>> {
    Ok(each!(conn, c => {
        let mut query = person_role::table
            .inner_join(person::table)
            .select((
                person_role::role,
                person_role::given_at,
                person_role::name_key,
                person::id,
                person::username,
                person::name,
                person::enabled,
                person::last_login_at,
                person::settings,
            ))
            .order((person_role::role, person_role::name_key, person_role::person_id))
            .limit(at_most(limit))
            .into_boxed();
        match roles {
            Roles::All => {}
            Roles::One(role) => query = query.filter(person_role::role.eq(role)),
            Roles::Behind(role) => query = query.filter(person_role::role.gt(role)),
        }
        if let Some((name, id)) = after {
            query = query
                .filter(person_role::name_key.ge(name))
                .filter(person_role::name_key.gt(name).or(person_role::person_id.gt(id)));
        }
        query.load(c)
    })?)
}
