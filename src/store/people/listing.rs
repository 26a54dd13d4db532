//! People as the console lists them: searched, filtered, in an order, page by page. The number of queries depends on
//! what is looked for and never on how many people there are.
//!
//! Words, roles and states are terms. One that not too many have leads to its people, in each order; roles and states
//! lead to any number of people in the order of their names. Otherwise all people are walked along, in their order, until
//! the page is full: soon, for what many have, unless those who have it stand together far down the list.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::{AWAITED, DISABLED, NEVER, Row, role_term, terms};
use crate::model::person::Person;
use crate::store::schema::{person, person_role, person_term};
use crate::store::{Conn, Stored, at_most, each, snapshot};

/// How many people are asked about all else that is looked for in the query that finds them. Of more, those on a page are
/// asked.
const FEW: usize = 1500;
/// Terms that no more people have than this are as rare as each other; if there are none, those that [`MOST_LED`] have.
const RARE: usize = 4000;
/// How many people a term may lead to, unless it has them in order. What more have is met soon enough by whoever walks
/// along all people, and costs more to put in order.
const MOST_LED: usize = 8000;
/// How many words are looked for at most: the longest, which say most.
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

    /// Whether it is one term, which has its people in the order of their names.
    fn is_one(&self) -> bool {
        self.from == self.to
    }

    /// Whether more than so many have it; somebody with several words that begin so counts as often.
    fn is_had_by_more_than(&self, conn: &mut Conn, count: usize) -> Stored<bool> {
        let one_more: Option<String> = each!(conn, c => person_term::table
            .filter(person_term::term.between(&self.from, &self.to))
            .select(person_term::person_id)
            .offset(at_most(count))
            .first(c)
            .optional())?;
        Ok(one_more.is_some())
    }

    /// Who has it, from one name up to another or of all.
    fn people(&self, conn: &mut Conn, names: Option<(&str, &str)>) -> Stored<HashSet<String>> {
        let those: Vec<String> = each!(conn, c => {
            let mut query = person_term::table
                .filter(person_term::term.between(&self.from, &self.to))
                .select(person_term::person_id)
                .into_boxed();
            if let Some((first, last)) = names {
                query = query.filter(person_term::name_key.between(first, last));
            }
            query.load(c)
        })?;
        Ok(those.into_iter().collect())
    }

    /// Which of some people have it.
    fn among(&self, conn: &mut Conn, ids: &[String]) -> Stored<HashSet<String>> {
        let those: Vec<String> = each!(conn, c => person_term::table
            .filter(person_term::person_id.eq_any(ids).and(person_term::term.between(&self.from, &self.to)))
            .select(person_term::person_id)
            .load(c))?;
        Ok(those.into_iter().collect())
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
        let role = self.role.as_deref().map(role_term);
        words
            .chain(role.into_iter().chain(state.map(str::to_owned)).map(Terms::only))
            .collect()
    }
}

/// The terms that are looked for, by what they are good for.
struct Plan {
    /// Leads to its people. None: everybody is walked along.
    lead: Option<Terms>,
    /// About as rare: their people are read.
    rare: Vec<Terms>,
    /// Looked for in the same query: roles and states that more have, or all else if the lead leads to few.
    beside: Vec<Terms>,
    /// Words that more have: whoever comes is asked.
    common: Vec<Terms>,
}

/// Which of some terms no more than so many people have, and which more.
fn split(conn: &mut Conn, terms: Vec<Terms>, count: usize) -> Stored<(Vec<Terms>, Vec<Terms>)> {
    let (mut rare, mut common) = (Vec::new(), Vec::new());
    for one in terms {
        let some = if one.is_had_by_more_than(conn, count)? {
            &mut common
        } else {
            &mut rare
        };
        some.push(one);
    }
    Ok((rare, common))
}

fn plan(conn: &mut Conn, mut terms: Vec<Terms>, order: Order) -> Stored<Plan> {
    // The longest word is the first, and as a rule the rarest.
    for (place, one) in terms.iter().enumerate() {
        if !one.is_had_by_more_than(conn, FEW)? {
            let lead = Some(terms.remove(place));
            if terms.len() > 1 {
                // Whoever lacks what is rarer isn't asked for the rest.
                let (rare, common) = split(conn, terms, RARE)?;
                terms = rare.into_iter().chain(common).collect();
            }
            return Ok(Plan {
                lead,
                rare: Vec::new(),
                beside: terms,
                common: Vec::new(),
            });
        }
    }
    let (mut rare, mut common) = split(conn, terms, RARE)?;
    if rare.is_empty() {
        (rare, common) = split(conn, common, MOST_LED)?;
    }
    let (mut beside, common): (Vec<_>, Vec<_>) = common.into_iter().partition(Terms::is_one);
    let in_order = order == Order::Name && common.is_empty();
    let lead = match rare.is_empty() {
        false => Some(rare.remove(0)),
        true if in_order => beside.pop(),
        true => None,
    };
    Ok(Plan {
        lead,
        rare,
        beside,
        common,
    })
}

/// Up to `limit` people that are looked for.
pub fn page(conn: &mut Conn, search: &Search, limit: usize) -> Stored<Vec<Person>> {
    snapshot(conn, |conn| found(conn, search, limit))
}

fn found(conn: &mut Conn, search: &Search, limit: usize) -> Stored<Vec<Person>> {
    let plan = plan(conn, search.terms(), search.order)?;
    let ids = match &plan.lead {
        Some(lead) => led(conn, search, lead, &plan, limit)?,
        None => walked(conn, search, plan.beside.iter().chain(&plan.common), limit)?,
    };
    let rows: Vec<Row> =
        each!(conn, c => person::table.filter(person::id.eq_any(&ids)).select(Row::as_select()).load(c))?;
    let mut rows: HashMap<String, Row> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    ids.iter()
        .filter_map(|id| rows.remove(id))
        .map(Row::into_model)
        .collect()
}

/// The ids of a page, led to by a term.
fn led(conn: &mut Conn, search: &Search, lead: &Terms, plan: &Plan, limit: usize) -> Stored<Vec<String>> {
    let (mut ids, mut after): (Vec<String>, _) = (Vec::new(), search.after.clone());
    // More than a page: those with several words that begin alike come as often, and not everybody has the other words.
    let mut asked = if plan.rare.is_empty() {
        limit.saturating_mul(2)
    } else {
        MOST_LED
    };
    loop {
        let found = stretch(conn, search, lead, plan, (after.as_ref(), asked))?;
        let last = found.len() < asked;
        after = found.last().cloned();
        let names = found
            .first()
            .zip(found.last())
            .map(|((first, _), (last, _))| (first.as_str(), last.as_str()));
        let names = names.filter(|_| search.order == Order::Name);
        let mut rare = Vec::new();
        for one in &plan.rare {
            rare.push(one.people(conn, names)?);
        }
        let mut found: Vec<String> = found.into_iter().map(|(_, id)| id).collect();
        found.dedup();
        found.retain(|id| rare.iter().all(|those| those.contains(id)));
        for word in &plan.common {
            let those = word.among(conn, &found)?;
            found.retain(|id| those.contains(id));
        }
        ids.extend(found);
        if last || ids.len() >= limit {
            ids.truncate(limit);
            return Ok(ids);
        }
        asked = asked.saturating_mul(4).min(MOST_LED);
    }
}

/// So many places behind another of those who have the leading term and what is beside it.
fn stretch(
    conn: &mut Conn,
    search: &Search,
    lead: &Terms,
    plan: &Plan,
    (after, limit): (Option<&Place>, usize),
) -> Stored<Vec<Place>> {
    let table = diesel::alias!(person_term as lead);
    let (term, id) = table.fields((person_term::term, person_term::person_id));
    let (name, created, last_login) = table.fields((
        person_term::name_key,
        person_term::created_at,
        person_term::last_login_at,
    ));
    let numbers = |rows: Vec<(i64, String)>| rows.into_iter().map(|(at, id)| (at.to_string(), id)).collect();
    Ok(each!(conn, c => {
        let mut query = table.limit(at_most(limit)).into_boxed();
        // Only so does SQLite see that an index has them in order.
        query = if lead.is_one() {
            query.filter(term.eq(&lead.from))
        } else {
            query.filter(term.between(&lead.from, &lead.to))
        };
        // A range of one id, so that the index is the one that has the names in order, as the leading term has, and not
        // that of the ids, which are anywhere.
        let of_lead = |one: &str| person_term::table.filter(
            person_term::term.eq(one.to_owned())
                .and(person_term::name_key.eq(name))
                .and(person_term::person_id.between(id, id)));
        for one in &plan.beside {
            query = if one.is_one() {
                query.filter(exists(of_lead(&one.from)))
            } else {
                query.filter(exists(person_term::table.filter(
                    person_term::person_id.eq(id).and(person_term::term.between(&one.from, &one.to)))))
            };
        }
        if search.state == State::Enabled {
            query = query.filter(not(exists(of_lead(DISABLED))));
        }
        match search.order {
            Order::Name => {
                if let Some((after, last)) = after {
                    query = query.filter(name.ge(after)).filter(name.gt(after).or(id.gt(last)));
                }
                query.order((name, id)).select((name, id)).load(c)
            }
            Order::Newest => {
                if let Some((at, last)) = numbered(after) {
                    query = query.filter(created.lt(at).or(created.eq(at).and(id.lt(last))));
                }
                query.order((created.desc(), id.desc())).select((created, id)).load(c).map(numbers)
            }
            Order::LastSignIn => {
                if let Some((at, last)) = numbered(after) {
                    query = query.filter(last_login.lt(at).or(last_login.eq(at).and(id.lt(last))));
                }
                query.order((last_login.desc(), id.desc())).select((last_login, id)).load(c).map(numbers)
            }
        }
    })?)
}

/// The terms of the person at hand that are among some.
#[diesel::dsl::auto_type]
fn of_person<'a>(some: &'a Terms) -> _ {
    let (from, to): (&'a str, &'a str) = (&some.from, &some.to);
    person_term::table.filter(
        person_term::person_id
            .eq(person::id)
            .and(person_term::term.between(from, to)),
    )
}

/// A place in an order of times. An address that somebody made up begins at the beginning.
fn numbered(after: Option<&Place>) -> Option<(i64, &str)> {
    let (key, id) = after?;
    let at = key.parse().ok().filter(|at| *at >= NEVER)?;
    Some((at, id))
}

/// The ids of a page, found while walking along all people.
fn walked<'a>(
    conn: &mut Conn,
    search: &Search,
    terms: impl Iterator<Item = &'a Terms> + Clone,
    limit: usize,
) -> Stored<Vec<String>> {
    let mut ids = Vec::new();
    let never =
        search.state == State::Awaited || numbered(search.after.as_ref()).is_some_and(|(at, _)| at == NEVER);
    for stretch in stretches(search.order, never) {
        let left = limit.saturating_sub(ids.len());
        if left > 0 {
            ids.extend(walk(conn, search, terms.clone(), *stretch, left)?);
        }
    }
    Ok(ids)
}

/// A stretch of a list that one index has in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stretch {
    ByName,
    ByCreation,
    BySignIn,
    NeverHere,
}

/// The stretches of a list; `never`: the page has none but those who never signed in.
fn stretches(order: Order, never: bool) -> &'static [Stretch] {
    match order {
        Order::Name => &[Stretch::ByName],
        Order::Newest => &[Stretch::ByCreation],
        // Neither database puts those without a time where the other does: they are a stretch of their own.
        Order::LastSignIn if never => &[Stretch::NeverHere],
        Order::LastSignIn => &[Stretch::BySignIn, Stretch::NeverHere],
    }
}

fn walk<'a>(
    conn: &mut Conn,
    search: &Search,
    terms: impl Iterator<Item = &'a Terms>,
    stretch: Stretch,
    limit: usize,
) -> Stored<Vec<String>> {
    let after = search.after.as_ref();
    let at = numbered(after);
    Ok(each!(conn, c => {
        let mut query = person::table.select(person::id).limit(at_most(limit)).into_boxed();
        for one in terms {
            query = query.filter(exists(of_person(one)));
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
    /// The agency that the person works for.
    pub fn agency(&self) -> Option<String> {
        let settings: Option<crate::model::person::PersonSettings> =
            serde_json::from_str(&self.settings).ok();
        Some(settings?.organization?.name)
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
