//! People as the console lists them: searched, filtered, in an order, page by page. The number of queries depends on
//! what is looked for and never on how many people there are.
//!
//! Whatever few people have (a rare word, a role, being disabled) is looked up first, and the others among those; a word
//! that is not rare leads to its people. Only what many have is looked for while walking along the order, where it is
//! soon found, unless it is two things that hardly anybody has together.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::{Row, terms};
use crate::model::person::Person;
use crate::store::schema::{person, person_role, person_term};
use crate::store::{Conn, Stored, each};

/// Up to how many people, or words of theirs, are few.
const FEW: i64 = 1000;
/// Up to how many words are ordered by the names of their people for a page, or their people by something else.
const ORDERED: i64 = 5000;
/// How many words are looked for at most.
const MOST_WORDS: usize = 8;

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
    /// A state.
    pub state: State,
    /// The order.
    pub order: Order,
    /// The sort key and the id of the last row before the page.
    pub after: Option<(String, String)>,
}

/// The sort key of those who never signed in.
const NEVER: &str = "never";

/// The sort key of a person, for the page behind her.
#[must_use]
pub fn sort_key(order: Order, model: &Person) -> String {
    match order {
        Order::Name => super::name_key(&model.name),
        Order::Newest => model.created_at.to_string(),
        Order::LastSignIn => model.last_login_at.map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
    }
}

/// One thing that those who are looked for have in common.
enum Having {
    /// A word that begins with this: from here, up to here.
    Word(String, String),
    Role(String),
    Disabled,
    Awaited,
}

impl Having {
    /// The ids of those who have it: so many, after so many others.
    fn ids(&self, conn: &mut Conn, offset: i64, limit: i64) -> Stored<Vec<String>> {
        Ok(each!(conn, c => match self {
            Self::Word(from, to) => person_term::table
                .filter(person_term::term.ge(from).and(person_term::term.lt(to)))
                .select(person_term::person_id)
                .offset(offset)
                .limit(limit)
                .load(c),
            Self::Role(role) => person_role::table
                .filter(person_role::role.eq(role))
                .select(person_role::person_id)
                .offset(offset)
                .limit(limit)
                .load(c),
            Self::Disabled => person::table
                .filter(person::enabled.eq(false))
                .select(person::id)
                .offset(offset)
                .limit(limit)
                .load(c),
            Self::Awaited => person::table
                .filter(person::password.is_null().and(person::last_login_at.is_null()))
                // The order of the index that has nobody else.
                .order((person::name_key, person::id))
                .select(person::id)
                .offset(offset)
                .limit(limit)
                .load(c),
        })?)
    }

    /// Whether more than so many have it; somebody with several words that begin so counts as often.
    fn is_had_by_more_than(&self, conn: &mut Conn, count: i64) -> Stored<bool> {
        Ok(!self.ids(conn, count, 1)?.is_empty())
    }
}

impl Search {
    fn having(&self) -> Vec<Having> {
        let words = terms(&self.words).into_iter().take(MOST_WORDS);
        // The digits of hexadecimal end before `g`.
        let words = words.map(|from| Having::Word(from.clone(), format!("{from}g")));
        let state = match self.state {
            State::Disabled => Some(Having::Disabled),
            State::Awaited => Some(Having::Awaited),
            State::Any | State::Enabled => None,
        };
        words.chain(self.role.clone().map(Having::Role)).chain(state).collect()
    }
}

/// The ids of the smallest group of people that all who are looked for are in, if one is small.
fn few(conn: &mut Conn, having: &[Having]) -> Stored<Option<Vec<String>>> {
    let mut fewest: Option<Vec<String>> = None;
    for one in having {
        if !one.is_had_by_more_than(conn, FEW)? {
            let mut ids = one.ids(conn, 0, FEW)?;
            ids.sort();
            ids.dedup();
            if fewest.as_ref().is_none_or(|fewest| ids.len() < fewest.len()) {
                fewest = Some(ids);
            }
        }
    }
    Ok(fewest)
}

/// The ids of those who have a word that is not rare: by name those of the page, in other orders all. None: too many have
/// each word.
fn led(conn: &mut Conn, search: &Search, having: &[Having], limit: usize) -> Stored<Option<Vec<String>>> {
    for one in having {
        if let Having::Word(from, to) = one
            && !one.is_had_by_more_than(conn, ORDERED)?
        {
            return match search.order {
                Order::Name => led_by(conn, search, having, (from, to), limit),
                Order::Newest | Order::LastSignIn => one.ids(conn, 0, ORDERED),
            }
            .map(Some);
        }
    }
    Ok(None)
}

/// The ids of a page by name, led to by a word.
fn led_by(
    conn: &mut Conn,
    search: &Search,
    having: &[Having],
    (lead_from, lead_to): (&String, &String),
    limit: usize,
) -> Stored<Vec<String>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (after_name, after_id) = search.after.clone().unwrap_or_default();
    let lead = diesel::alias!(person_term as lead);
    let (term, name, id) = lead.fields((person_term::term, person_term::name_key, person_term::person_id));
    let page: Vec<(String, String)> = each!(conn, c => {
        let mut query = lead
            .filter(term.ge(lead_from).and(term.lt(lead_to)))
            .filter(name.ge(&after_name))
            .filter(name.gt(&after_name).or(id.gt(&after_id)))
            .select((name, id))
            .distinct()
            .order((name, id))
            .limit(limit)
            .into_boxed();
        let among = person::table.filter(person::id.eq(id));
        for one in having {
            query = match one {
                Having::Word(from, _) if from == lead_from => query,
                Having::Word(from, to) => query.filter(exists(person_term::table.filter(
                    person_term::person_id.eq(id)
                        .and(person_term::term.ge(from))
                        .and(person_term::term.lt(to))))),
                // In the order of the names, as the words are, and not wherever the random ids lie: so that no index
                // by id serves.
                Having::Role(role) => query.filter(exists(person_role::table.filter(
                    person_role::role.eq(role)
                        .and(person_role::name_key.eq(name))
                        .and(person_role::person_id.concat("").eq(id))))),
                Having::Disabled => query.filter(exists(among.filter(person::enabled.eq(false)))),
                Having::Awaited => query.filter(exists(
                    among.filter(person::password.is_null().and(person::last_login_at.is_null())))),
            };
        }
        if search.state == State::Enabled {
            query = query.filter(exists(among.filter(person::enabled.eq(true))));
        }
        query.load(c)
    })?;
    Ok(page.into_iter().map(|(_, id)| id).collect())
}

/// Up to `limit` people that are looked for.
///
/// # Errors
/// What the database says, or a row that cannot be read.
pub fn page(conn: &mut Conn, search: &Search, limit: usize) -> Stored<Vec<Person>> {
    let having = search.having();
    let few = match few(conn, &having)? {
        None => led(conn, search, &having, limit)?,
        few => few,
    };
    let mut rows = Vec::new();
    let never = search.after.as_ref().is_some_and(|(key, _)| key == NEVER);
    for part in parts(search.order, never) {
        let left = limit.saturating_sub(rows.len());
        if left > 0 {
            rows.extend(part_of(conn, search, &having, few.as_deref(), *part, left)?);
        }
    }
    rows.into_iter().map(Row::into_model).collect()
}

/// A stretch of a list that one index has in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    ByName,
    ByCreation,
    BySignIn,
    NeverHere,
}

/// The stretches of a list; `never`: the page begins among those who never signed in.
fn parts(order: Order, never: bool) -> &'static [Part] {
    match order {
        Order::Name => &[Part::ByName],
        Order::Newest => &[Part::ByCreation],
        // Neither database puts those without a time where the other does: they are a stretch of their own.
        Order::LastSignIn if never => &[Part::NeverHere],
        Order::LastSignIn => &[Part::BySignIn, Part::NeverHere],
    }
}

fn part_of(
    conn: &mut Conn,
    search: &Search,
    having: &[Having],
    few: Option<&[String]>,
    part: Part,
    limit: usize,
) -> Stored<Vec<Row>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (key, id) = search.after.clone().unzip();
    let (key, id) = (key.unwrap_or_default(), id.unwrap_or_default());
    // An address that somebody made up begins at the beginning.
    let at: Option<i64> = key.parse().ok();
    let first = search.after.is_none();
    Ok(each!(conn, c => {
        let mut query = person::table.select(Row::as_select()).limit(limit).into_boxed();
        if search.state == State::Enabled {
            // No reason to leave the order of the list and sort everybody: a comparison that no index serves.
            query = query.filter(person::enabled.ne(false));
        }
        if let Some(few) = few {
            query = query.filter(person::id.eq_any(few));
        }
        for one in having {
            query = match one {
                Having::Word(from, to) => query.filter(exists(person_term::table.filter(
                    person_term::person_id.eq(person::id)
                        .and(person_term::term.ge(from))
                        .and(person_term::term.lt(to))))),
                Having::Role(role) => query.filter(exists(person_role::table.filter(
                    person_role::person_id.eq(person::id).and(person_role::role.eq(role))))),
                Having::Disabled if part == Part::ByName => query.filter(person::enabled.eq(false)),
                // As above.
                Having::Disabled => query.filter(person::enabled.ne(true)),
                Having::Awaited =>
                    query.filter(person::password.is_null().and(person::last_login_at.is_null())),
            };
        }
        // The first comparison is what an index can begin at, the others are those of the pair.
        query = match part {
            Part::ByName if first => query.order((person::name_key, person::id)),
            Part::ByName => query
                .filter(person::name_key.ge(&key))
                .filter(person::name_key.gt(&key).or(person::id.gt(&id)))
                .order((person::name_key, person::id)),
            Part::ByCreation => {
                let query = query.order((person::created_at.desc(), person::id.desc()));
                match at {
                    Some(at) => query
                        .filter(person::created_at.le(at))
                        .filter(person::created_at.lt(at).or(person::id.lt(&id))),
                    None => query,
                }
            }
            Part::BySignIn => {
                let query = query
                    .filter(person::last_login_at.is_not_null())
                    .order((person::last_login_at.desc(), person::id.desc()));
                match at {
                    Some(at) => query
                        .filter(person::last_login_at.le(at))
                        .filter(person::last_login_at.assume_not_null().lt(at).or(person::id.lt(&id))),
                    None => query,
                }
            }
            Part::NeverHere => {
                let query = query.filter(person::last_login_at.is_null()).order(person::id);
                if key == NEVER { query.filter(person::id.gt(&id)) } else { query }
            }
        };
        query.load(c)
    })?)
}

/// Whether there is anybody at all.
///
/// # Errors
/// What the database says.
pub fn any(conn: &mut Conn) -> Stored<bool> {
    Ok(each!(conn, c => diesel::select(exists(person::table.select(person::id))).get_result(c))?)
}

/// What several people are called, by their ids: `(id, username, name)`.
///
/// # Errors
/// What the database says.
pub fn names(conn: &mut Conn, ids: &[String]) -> Stored<Vec<(String, String, String)>> {
    Ok(each!(conn, c => person::table
        .filter(person::id.eq_any(ids))
        .select((person::id, person::username, person::name))
        .load(c))?)
}

/// Which of these keys of usernames are taken.
///
/// # Errors
/// What the database says.
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
    /// The agency that the person works for.
    #[must_use]
    pub fn agency(&self) -> Option<String> {
        let settings: Option<crate::model::person::PersonSettings> = serde_json::from_str(&self.settings).ok();
        Some(settings?.organization?.name)
    }
}

/// The place in the list of those who hold roles: role, key of the name, id.
pub type HolderPlace = (String, String, String);

/// Up to `limit` people who hold roles, by role and name, behind a place.
///
/// # Errors
/// What the database says.
pub fn holders(conn: &mut Conn, role: Option<&str>, after: Option<&HolderPlace>, limit: usize) -> Stored<Vec<Holder>> {
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
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
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
            .limit(limit)
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
