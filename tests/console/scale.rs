//! Each page of the console keeps a constant number of queries, however many clients, people and events there are.

use std::fmt::Write;

use mdi_auth::audit::event::{Actor, Event, Kind};

use crate::console::access::PAGES;
use crate::console::providers::PROVIDER;
use crate::console::{STAFF, at_console};
use crate::harness::{Harness, blocking, catch_up};
use crate::on_both;

/// More rows of everything than a page of a list has.
fn fill(harness: &Harness) {
    let mut file = String::new();
    for n in 0..150 {
        write!(
            file,
            "[[client]]\nclient_id = \"many-{n}\"\nname = \"Client {n}\"\ndataflow = \"lims-to-cms\"\n"
        )
        .unwrap();
        write!(
            file,
            "[[user]]\nusername = \"many-{n}\"\nname = \"Person {n}\"\nroles = [\"data-clerk\"]\n"
        )
        .unwrap();
    }
    harness.apply(&file);
    let (store, now) = (std::sync::Arc::clone(&harness.app.store), harness.now() * 1000);
    let write = move |tx: &mut mdi_auth::store::Tx<'_>| {
        for n in 0..600 {
            let client = format!("many-{}", n % 150);
            tx.audit(Event::new(now, Kind::TokenIssued, Actor::Client(client)).with("jti", n.to_string()));
        }
        Ok(())
    };
    blocking(move || store.write_blocking(write).unwrap());
}

/// How many queries each page makes for an administrator.
async fn queries(harness: &Harness) -> Vec<(&'static str, u64)> {
    let mut agent = at_console(harness, "admin").await;
    // What counts the record behind it has nothing left to read.
    catch_up(&harness.app).await.unwrap();
    let mut counted = Vec::new();
    // A file of all events is read and sent piece by piece: it is no page.
    for (path, _) in PAGES
        .iter()
        .filter(|(path, _)| *path != "/admin/audit/export" && !path.contains(char::is_uppercase))
    {
        // What recurs in the background reads as well, now and then: the fewest count.
        let mut fewest = u64::MAX;
        for _ in 0..8 {
            let before = harness.app.store.queries();
            let page = agent.get(&harness.url(path)).await;
            assert!(page.answer().status == 200, "{path}: {page:?}");
            fewest = fewest.min(harness.app.store.queries() - before);
        }
        counted.push((*path, fewest));
    }
    counted
}

on_both! {
    async fn pages_make_as_many_queries_for_many_rows_as_for_few(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let few = queries(&harness).await;
        fill(&harness);
        harness.clock.advance(60);
        let many = queries(&harness).await;
        assert_eq!(few, many);
        assert!(few.iter().all(|(_, count)| *count > 0), "{few:?}");
    }
}
