//! The console with nearly nothing in the database, and with a state's worth: each page must answer within five times.

use std::fmt::Write;
use std::time::{Duration, Instant};

use mdi_auth::app::App;
use mdi_auth::audit::event::{Actor, Event, Kind, Outcome};
use mdi_auth::clock::{Clock, SystemClock};
use mdi_auth::config::{Config, Issuer};
use mdi_auth::registry::{Registry, apply};
use mdi_auth::store::people;

use crate::http::{Connection, get};
use crate::scene::Scene;
use crate::{Options, browser};

const CLIENTS: usize = 10_000;
const PEOPLE: usize = 100_000;
const EVENTS: usize = 1_000_000;
/// How many are written in one transaction.
const AT_ONCE: usize = 5_000;
/// How often each page is asked for; the median counts.
const TIMES: usize = 101;

/// The pages: as they open, searched, filtered, in another order, and some way down.
const PAGES: &[&str] = &[
    "/admin",
    "/admin?span=30d",
    "/admin/clients",
    "/admin/clients?q=9999",
    "/admin/clients?sort=id",
    "/admin/clients?sort=newest",
    "/admin/clients?state=disabled",
    "/admin/clients?after=lab%20500%20lab-500",
    "/admin/clients/secret-es256",
    "/admin/clients/secret-es256/edit",
    "/admin/clients/secret-es256/hand-off",
    "/admin/clients/new",
    "/admin/resource-servers",
    "/admin/resource-servers/cms-rs256",
    "/admin/resource-servers/cms-rs256/documents",
    "/admin/users",
    "/admin/users?q=family4711",
    "/admin/users?q=given12",
    "/admin/users?q=given",
    "/admin/users?q=given12&role=registrar",
    "/admin/users?q=given123",
    "/admin/users?q=given12&sort=newest",
    "/admin/users?q=given12&sort=last-sign-in",
    "/admin/users?q=family47&sort=newest",
    "/admin/users?q=given1&sort=newest",
    "/admin/users?q=given1&sort=last-sign-in",
    "/admin/users?q=agency%207&sort=last-sign-in",
    "/admin/users?q=given12%20agency%207",
    "/admin/users?q=given12%20family4",
    "/admin/users?q=given&role=coroner",
    "/admin/users?role=coroner",
    "/admin/users?role=coroner&sort=last-sign-in",
    "/admin/users?role=registrar",
    "/admin/users?state=disabled",
    "/admin/users?sort=newest",
    "/admin/users?sort=last-sign-in",
    "{person}",
    "{person}/edit",
    "/admin/users/new",
    "/admin/sessions",
    "/admin/grants",
    "/admin/access-review",
    "/admin/access-review?role=registrar",
    "/admin/policy",
    "/admin/keys",
    "/admin/identity-providers",
    "/admin/settings",
    "/admin/audit",
    "/admin/audit?client=lab-77",
    "/admin/audit?event=sign-in",
    "/admin/audit?outcome=refused",
    "/admin/audit?client=lab-77&outcome=refused",
    "/admin/audit?person=certifier",
    "/admin/api-tokens",
];

/// Fills the database of a scene, by the same code that the server runs.
fn fill(scene: &Scene) {
    let mut config = Config::default_with(scene.dir.0.join("data"));
    config.server.issuer = Issuer::parse(&scene.issuer).unwrap();
    let app = App::open(config, std::sync::Arc::new(SystemClock), false).unwrap();
    let registry = Registry::new(std::sync::Arc::clone(&app), Actor::Operator("bench".to_owned()));
    let apply = |from: usize, table: &dyn Fn(usize) -> String| {
        let text: String = (from..from + AT_ONCE).map(table).collect();
        apply::apply(&registry, &text, false).unwrap_or_else(|cause| panic!("{cause}"));
    };
    for from in (0..CLIENTS).step_by(AT_ONCE) {
        apply(from, &|n| {
            let state = if n % 100 == 7 { "enabled = false\n" } else { "" };
            format!(
                "[[client]]\nclient_id = \"lab-{n}\"\nname = \"Lab {n}\"\ndataflow = \"lims-to-cms\"\n{state}"
            )
        });
    }
    let roles = [
        "data-clerk",
        "registrar",
        "funeral-director",
        "medical-examiner",
        "lab-analyst",
    ];
    for from in (0..PEOPLE).step_by(AT_ONCE) {
        apply(from, &|n| {
            let mut user = format!(
                "[[user]]\nusername = \"person{n}\"\nname = \"Given{} Family{n}\"\nroles = [\"{}\"]\n",
                n % 977,
                // One in two hundred.
                if n % 200 == 3 {
                    "coroner"
                } else {
                    roles[n % roles.len()]
                }
            );
            writeln!(user, "organization = {{ name = \"Agency {}\" }}", n % 300).unwrap();
            if n % 1000 == 7 {
                user + "enabled = false\n"
            } else {
                user
            }
        });
        eprint!(".");
    }
    let year = 365 * 86_400_000 / EVENTS as i64;
    let begin = SystemClock.now_millis() - 365 * 86_400_000;
    // A third of the people were here, in no order of theirs.
    app.store
        .write_blocking(move |tx| {
            let mut after = String::new();
            loop {
                let some = people::page(tx.conn(), &after, AT_ONCE as i64)?;
                for (n, person) in some.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
                    people::signed_in(
                        tx.conn(),
                        &person.id,
                        begin / 1000 + (n as i64 * 7919) % 30_000_000,
                    )?;
                }
                match some.last() {
                    Some(last) => after.clone_from(&last.username),
                    None => return Ok(()),
                }
            }
        })
        .unwrap();
    for from in (0..EVENTS).step_by(AT_ONCE) {
        let write = move |tx: &mut mdi_auth::store::Tx<'_>| {
            for n in from..from + AT_ONCE {
                let at = begin + n as i64 * year;
                let client = Actor::Client(format!("lab-{}", n % CLIENTS));
                tx.audit(match n % 50 {
                    0 => Event::new(at, Kind::TokenRefused, client)
                        .outcome(Outcome::MinorFailure)
                        .with("reason", "invalid_scope"),
                    1 => Event::new(
                        at,
                        Kind::LoginSucceeded,
                        Actor::Person(format!("usr_{}", n % PEOPLE)),
                    ),
                    _ => Event::new(at, Kind::TokenIssued, client)
                        .with("jti", format!("at_{n}"))
                        .with("scope", "x"),
                });
            }
            Ok(())
        };
        app.store.write_blocking(write).unwrap();
    }
    // What follows the record reads all of it before the clock starts.
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(mdi_auth::audit::activity::catch_up(
            &app.store,
            app.clock.as_ref(),
        ))
        .unwrap();
    eprintln!(" filled");
    app.stop();
}

/// Opens a page; answers how long it took and how many bytes it has.
fn open(connection: &mut Connection, path: &str, cookies: &str) -> (Duration, usize) {
    let request = get(path, &[("Cookie", cookies)]);
    let begun = Instant::now();
    let answer = connection.call(&request).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.shown());
    (begun.elapsed(), answer.body.len())
}

/// The page of the certifier: her id is another one in each database.
fn page_of_certifier(connection: &mut Connection, cookies: &str) -> String {
    let request = get("/admin/users?q=certifier", &[("Cookie", cookies)]);
    let answer = connection.call(&request).unwrap();
    let id = answer
        .body
        .split("/admin/users/usr_")
        .nth(1)
        .unwrap_or_else(|| panic!("{}", answer.shown()));
    format!("/admin/users/usr_{}", id.split('"').next().unwrap())
}

/// Measures the pages whose address holds the text of `--only`, or all, and prints the table.
pub fn run(options: &Options) {
    let (few, many) = (Scene::set(), Scene::set());
    fill(&many);
    let servers = [few.serve().0, many.serve().0];
    let mut sessions: Vec<(Connection, String, String)> = [&few, &many]
        .into_iter()
        .map(|scene| {
            let peer = scene.peer(scene.port).unwrap();
            let cookies = browser::at_console(scene, &peer);
            let mut connection = peer.connect().unwrap();
            let person = page_of_certifier(&mut connection, &cookies);
            (connection, cookies, person)
        })
        .collect();
    println!(
        "\n| page | empty, ms | {CLIENTS} clients, {PEOPLE} people, {EVENTS} events, ms | times | met |\n|---|---:|---:|---:|---|"
    );
    let mut all = true;
    for page in PAGES.iter().filter(|page| options.wants(page)) {
        let mut taken: [Vec<Duration>; 2] = Default::default();
        // In turn, so that both meet the same machine.
        for _ in 0..TIMES {
            for (place, (connection, cookies, person)) in sessions.iter_mut().enumerate() {
                taken[place].push(open(connection, &page.replace("{person}", person), cookies).0);
            }
        }
        let [one, other] = taken.map(|mut times| {
            times.sort();
            times[TIMES / 2].as_secs_f64() * 1000.0
        });
        let factor = other / one;
        all &= factor <= 5.0;
        println!(
            "| `{page}` | {one:.2} | {other:.2} | {factor:.1} | {} |",
            if factor <= 5.0 { "yes" } else { "**no**" }
        );
    }
    println!(
        "\nEvery page within five times: {}",
        if all { "yes" } else { "**no**" }
    );
    drop(servers);
}
