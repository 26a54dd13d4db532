//! Each search finds those who are looked for and no others, each once and in order, whichever way it is gone about: led
//! by a rare word or by one that many have, among people who were read before, in the order of a role, or past everybody.

use std::sync::Arc;

use mdi_auth::model::person::{Person, PersonSettings};
use mdi_auth::store::people::listing::{self, Order, Search, State, sort_key};
use mdi_auth::store::people::{put, signed_in};

use crate::harness::{Harness, blocking};
use crate::on_both;

/// More than are put in order for a page.
const CROWD: usize = 8200;

/// The place `n` says what somebody has, so that each word, role and state comes with each other one.
fn member(n: usize) -> Person {
    let mut name = format!("Person {n:05}");
    for (word, one_in) in [
        ("half", 2),
        ("fourth", 4),
        ("tenth", 10),
        ("rare", 1000),
        ("dup duplicate dupe", 20),
    ] {
        if n.is_multiple_of(one_in) {
            name = format!("{name} {word}");
        }
    }
    let held = [
        ("data-clerk", !n.is_multiple_of(50)),
        ("registrar", n.is_multiple_of(3)),
    ];
    let roles = held
        .into_iter()
        .filter(|(_, held)| *held)
        .map(|(role, _)| role.to_owned())
        .collect();
    Person {
        id: format!("usr_{:05}", n * 7919 % 10_007),
        username: format!("u{n:05}"),
        name,
        password: n.is_multiple_of(5).then(|| "unused".to_owned()),
        settings: PersonSettings {
            roles,
            ..PersonSettings::default()
        },
        enabled: !n.is_multiple_of(7),
        created_at: (n * 31 % 5000) as i64,
        last_login_at: n.is_multiple_of(4).then(|| 1 + (n * 17 % 4000) as i64),
        ..Person::unknown()
    }
}

fn is_looked_for(search: &Search, person: &Person) -> bool {
    let name = person.name.to_lowercase();
    let has = |word: &str| {
        name.split(' ')
            .chain([person.username.as_str()])
            .any(|one| one.starts_with(word))
    };
    search.words.split(' ').filter(|word| !word.is_empty()).all(has)
        && search
            .role
            .as_ref()
            .is_none_or(|role| person.settings.roles.contains(role))
        && match search.state {
            State::Any => true,
            State::Enabled => person.enabled,
            State::Disabled => !person.enabled,
            State::Awaited => person.password.is_none() && person.last_login_at.is_none(),
        }
}

on_both! {
    async fn each_search_finds_those_who_are_looked_for_and_no_others(db) {
        let harness = Harness::empty(db, |_| {});
        let everybody: Vec<Person> = (0..CROWD).map(member).collect();
        let (store, people) = (Arc::clone(&harness.app.store), everybody.clone());
        let write = move |tx: &mut mdi_auth::store::Tx<'_>| {
            for person in &people {
                put(tx.conn(), &Person { last_login_at: None, ..person.clone() })?;
                if let Some(at) = person.last_login_at {
                    signed_in(tx.conn(), &person.id, at)?;
                }
            }
            Ok(())
        };
        blocking(move || store.write_blocking(write).unwrap());
        let words = ["", "person", "half", "tenth", "dup", "half tenth", "fourth half", "half dup person", "rare half", "nobody"];
        let others = [
            (None, State::Any),
            (Some("registrar"), State::Awaited),
            // More than are put in order, and not everybody.
            (Some("data-clerk"), State::Enabled),
            (None, State::Disabled),
        ];
        for (words, (role, state)) in words.iter().flat_map(|words| others.iter().map(move |other| (words, other))) {
            for order in [Order::Name, Order::Newest, Order::LastSignIn] {
                let role = role.map(str::to_owned);
                let search = Search { words: (*words).to_owned(), role, state: *state, order, homes: None, after: None };
                check(&harness, &everybody, search);
            }
        }
    }
}

fn check(harness: &Harness, everybody: &[Person], search: Search) {
    let mut expected: Vec<(String, &str)> = everybody
        .iter()
        .filter(|person| is_looked_for(&search, person))
        .map(|person| (sort_key(search.order, person), person.id.as_str()))
        .collect();
    match search.order {
        Order::Name => expected.sort(),
        Order::Newest | Order::LastSignIn => expected.sort_by_key(|(at, _)| -at.parse::<i64>().unwrap()),
    }
    let (store, shown) = (Arc::clone(&harness.app.store), format!("{search:?}"));
    let order = search.order;
    let read = move |conn: &mut mdi_auth::store::Conn| {
        let all = listing::page(conn, &search, CROWD + 1)?;
        // Two pages and what is behind them are the same as all at once.
        let (mut search, mut paged) = (search, Vec::new());
        for limit in [51, 51, CROWD] {
            let page = listing::page(conn, &search, limit)?;
            assert_eq!(
                page.len(),
                limit.min(all.len() - paged.len()),
                "{search:?}: as many as asked for"
            );
            paged.extend(page);
            search.after = paged.last().map(|last| (sort_key(order, last), last.id.clone()));
        }
        Ok((all, paged))
    };
    let (all, paged) = blocking(move || store.read_blocking(read).unwrap());
    let keys: Vec<String> = all.iter().map(|person| sort_key(order, person)).collect();
    assert!(
        keys.iter().eq(expected.iter().map(|(key, _)| key)),
        "{shown}: {} of {}",
        keys.len(),
        expected.len()
    );
    // How those of one time are ordered among each other is the database's affair.
    let mut ids: Vec<&str> = all.iter().map(|person| person.id.as_str()).collect();
    ids.sort_unstable();
    let mut wanted: Vec<&str> = expected.iter().map(|(_, id)| *id).collect();
    wanted.sort_unstable();
    assert_eq!(ids, wanted, "{shown}");
    assert_eq!(paged, all, "{shown}: page by page");
}
