//! The record at the console: searched, one event whole, checked, taken out.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use diesel::RunQueryDsl;
use mdi_auth::app::App;
use mdi_auth::audit::event::{Actor, Event, Kind, Outcome};
use mdi_auth::audit::leaf::leaf;
use mdi_auth::store::Conn;
use mdi_auth::store::audit::newest_bundle;
use serde_json::Value;

use crate::console::{STAFF, at_console, open};
use crate::harness::agent::{Agent, Page, unescape};
use crate::harness::{BEGIN, Db, Harness, LIMS, blocking};
use crate::on_both;
use crate::support::eventually;

const MARKUP: &str = "<script>alert('1')</script>";

/// Writes events as they are, in one transaction.
pub fn record(harness: &Harness, events: Vec<Event>) {
    let store = Arc::clone(&harness.app.store);
    blocking(move || {
        let write = move |tx: &mut mdi_auth::store::Tx<'_>| {
            events.iter().for_each(|event| tx.audit(event.clone()));
            Ok(())
        };
        store.write_blocking(write).unwrap();
    });
}

/// An event of a client `seconds` after the beginning.
pub fn event(seconds: i64, kind: Kind, client: &str) -> Event {
    Event::new((BEGIN + seconds) * 1000, kind, Actor::Client(client.to_owned()))
}

/// Runs SQL behind the server's back.
pub fn tamper(app: &Arc<App>, sql: &'static str) {
    let store = Arc::clone(&app.store);
    blocking(move || {
        let run = move |tx: &mut mdi_auth::store::Tx<'_>| {
            let query = diesel::sql_query(sql);
            Ok(match tx.conn() {
                Conn::Sqlite(c) => query.execute(c)?,
                Conn::Pg(c) => query.execute(c.as_mut())?,
            })
        };
        assert!(store.write_blocking(run).unwrap() > 0);
    });
}

fn person(harness: &Harness, username: &'static str) -> String {
    let store = Arc::clone(&harness.app.store);
    let find = move |conn: &mut Conn| mdi_auth::store::people::find_by_username(conn, username);
    blocking(move || store.read_blocking(find).unwrap().unwrap().id)
}

/// The addresses of the events that a list shows.
fn listed(page: &Page) -> Vec<String> {
    let rows = page.answer().text.split("<th scope=\"row\"><a href=\"").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned())
        .collect()
}

/// Where a link with this text leads.
fn link(page: &Page, text: &str) -> String {
    let (before, _) = page
        .answer()
        .text
        .split_once(&format!(">{text}</a>"))
        .unwrap_or_else(|| panic!("no {text}"));
    let tag = before.rsplit("<a ").next().unwrap();
    crate::harness::agent::attribute(&format!("<a {tag}"), "href").unwrap()
}

/// A server with its staff, in a time zone.
fn in_zone(db: Db, name: &str) -> Harness {
    let zone = jiff::tz::TimeZone::get(name).unwrap();
    let harness = Harness::start_with(db, |config| config.policy.time_zone = zone);
    harness.apply(STAFF);
    harness
}

async fn search(harness: &Harness, agent: &mut Agent<'_>, query: &str) -> Page {
    agent.get(&harness.url(&format!("/admin/audit?{query}"))).await
}

on_both! {
    async fn each_filter_finds_what_it_says_and_together_they_narrow(db) {
        let harness = in_zone(db, "America/New_York");
        let (ada, jane) = (person(&harness, "admin"), person(&harness, "jlehz"));
        // The test begins on November 20 there, at nine in the evening.
        let day = 86_400;
        record(&harness, vec![
            event(-9 * day, Kind::TokenIssued, "sys-a"),
            event(-8 * day, Kind::TokenIssued, "sys-a").person(&jane),
            event(-7 * day, Kind::TokenRefused, "sys-a").outcome(Outcome::MinorFailure).with("reason", "no such scope"),
            event(-6 * day, Kind::CodeReplayed, "sys-b").person(&jane).outcome(Outcome::SeriousFailure),
            Event::new((BEGIN - 5 * day) * 1000, Kind::PersonChanged, Actor::Person(ada.clone()))
                .person(&jane)
                .with("action", "changed"),
            event(-4 * day, Kind::ClientChanged, "sys-b"),
        ]);
        let mut agent = at_console(&harness, "auditor").await;
        let until = "to=2026-11-18&";
        #[rustfmt::skip]
        let rows: &[(&str, usize, &str)] = &[
            ("", 6, "sys-b"),
            ("client=sys-a", 3, "sys-a got a token for Jane Lehz, MD"),
            ("client=sys-b", 2, ""),
            ("client=sys-c", 0, "Nothing fits"),
            ("person=jlehz", 3, "Ada Administrator changed Jane Lehz, MD"),
            ("person=admin", 1, "Ada Administrator changed Jane Lehz, MD"),
            ("person=auditor", 0, "Nothing fits"),
            ("event=token", 2, "sys-a got a token"),
            ("event=token.issued", 2, "<option value=\"token.issued\" selected>"),
            ("event=refusal", 2, "sys-a was refused a token: no such scope."),
            ("event=system", 1, ""),
            ("event=key", 0, "Nothing fits"),
            ("outcome=worked", 4, ""),
            ("outcome=refused", 1, "no such scope"),
            ("outcome=serious", 1, "used a code twice"),
            ("from=2026-11-13&to=2026-11-14", 2, "no such scope"),
            ("from=2026-11-16", 1, ""),
            ("from=2026-11-17", 0, "Nothing fits"),
            ("client=sys-a&event=refusal", 1, ""),
            ("client=sys-a&event=refusal&outcome=serious", 0, ""),
            ("person=jlehz&client=sys-b", 1, "used a code twice"),
            ("person=jlehz&outcome=worked&event=token", 1, ""),
            ("event=refusal&outcome=serious&from=2026-11-14", 1, ""),
        ];
        for (query, count, text) in rows {
            let until = if query.contains("to=") { "" } else { until };
            let page = search(&harness, &mut agent, &format!("{until}{query}")).await;
            assert_eq!(page.answer().status, 200, "{query}");
            assert_eq!(listed(&page).len(), *count, "{query}: {}", page.answer().text);
            assert!(page.answer().text.contains(text), "{query}: {}", page.answer().text);
        }
        // By id as well.
        let page = search(&harness, &mut agent, &format!("{until}person={ada}")).await;
        assert_eq!(listed(&page).len(), 1);
        assert!(page.answer().text.contains(&format!("href=\"/admin/users/{ada}\"")));
    }
}

on_both! {
    async fn a_search_that_makes_no_sense_is_told_so_with_what_was_typed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        for (query, field, text) in [
            ("person=nobody", "person", "Nobody has this username or ID"),
            ("event=anything", "event", "There is no such event"),
            ("from=2026-02-30", "from", "This is not a day"),
            ("to=yesterday", "to", "This is not a day"),
            ("from=2026-11-02&to=2026-11-01", "to", "The last day is before the first"),
            ("person=%3Cscript%3Ealert(%271%27)%3C/script%3E", "person", "&#60;script&#62;"),
        ] {
            let page = search(&harness, &mut agent, query).await;
            let text_of_page = &page.answer().text;
            assert_eq!(page.answer().status, 422, "{query}");
            assert!(text_of_page.contains(&format!("href=\"#{field}\"")) && text_of_page.contains(text), "{text_of_page}");
            assert!(!text_of_page.contains(MARKUP));
            assert!(listed(&page).is_empty());
        }
    }
}

on_both! {
    async fn pages_follow_each_other_without_gap_or_repetition(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        // Several at the same moment, so that the order within it matters.
        for part in 0..4 {
            record(&harness, (0..30).map(|number| event(-number / 7 - part, Kind::TokenIssued, "sys-a")).collect());
        }
        let mut agent = at_console(&harness, "auditor").await;
        for query in ["client=sys-a", "client=sys-a&event=token", "event=token", "to=2026-11-21"] {
            let mut page = search(&harness, &mut agent, query).await;
            let mut seen = Vec::new();
            loop {
                seen.extend(listed(&page));
                if !page.answer().text.contains("id=\"next-page\"") {
                    break;
                }
                assert_eq!(listed(&page).len(), 50, "{query}");
                let next = link(&page, "Next page");
                page = agent.get(&harness.url(&next)).await;
            }
            let mut distinct = seen.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), seen.len(), "{query}");
            assert!(seen.len() == 120 || query.starts_with("to="), "{query}: {}", seen.len());
        }
    }
}

on_both! {
    async fn a_search_looks_at_so_many_events_and_says_how_far_it_came(db) {
        let harness = in_zone(db, "UTC");
        let mut events = vec![event(-90_000, Kind::ClientChanged, "sys-a").with("action", "registered")];
        events.extend((0..2300).map(|number| event(-80_000 + number, Kind::TokenIssued, "sys-a")));
        record(&harness, events);
        let mut agent = at_console(&harness, "auditor").await;
        let page = search(&harness, &mut agent, "client=sys-a&event=system").await;
        let text = &page.answer().text;
        assert!(listed(&page).is_empty());
        assert!(text.contains("Nothing was found so far.") && !text.contains("id=\"nothing\""), "{text}");
        // 2,000 events were looked at: the oldest of them is number 300 of those a second apart.
        let oldest = jiff::Timestamp::from_second(BEGIN - 80_000 + 300).unwrap().strftime("%Y-%m-%dT%H:%M:%S").to_string();
        assert!(text.contains(&oldest), "{oldest}: {text}");
        let page = agent.get(&harness.url(&link(&page, "Look further back"))).await;
        assert_eq!(listed(&page).len(), 1);
        assert!(page.answer().text.contains("sys-a registered client sys-a."));
    }
}

on_both! {
    async fn an_event_shows_what_was_changed_and_escapes_what_was_typed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(&format!("[[client]]\nclient_id = \"lims-secret\"\nname = \"{MARKUP}\"\npurposes = [\"HDECD\"]"));
        let mut agent = at_console(&harness, "auditor").await;
        let list = search(&harness, &mut agent, "client=lims-secret&event=system").await;
        assert!(list.answer().text.contains("test at the command line changed client lims-secret."));
        let page = agent.get(&harness.url(&listed(&list)[0])).await;
        let text = &page.answer().text;
        assert_eq!(page.answer().status, 200);
        assert!(!text.contains(MARKUP));
        assert!(text.contains("<del><bdi>UF Forensic Toxicology LIMS (secret)</bdi></del>"), "{text}");
        assert!(text.contains("<ins><bdi>&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;</bdi></ins>"), "{text}");
        assert!(text.contains("Changed</span>") && text.contains("Added</span>"), "{text}");
        // What stayed the same stands apart and is not marked.
        let (changed, same) = text.split_once("What stayed the same").unwrap();
        assert!(!changed.contains("auth method") && same.contains("auth method"), "{text}");
        assert!(!same.contains("<del>") && !same.contains("<ins>"));
        // Its place: hash, the one before, and the links.
        let (_, stored) = text.split_once("aria-label=\"The event as it is stored\">").unwrap();
        let stored = unescape(stored.split("</div>").next().unwrap());
        assert!(text.contains(&HEXLOWER.encode(&leaf(stored.as_bytes()))), "{stored}");
        assert!(text.contains("href=\"/admin/clients/lims-secret\""));
        assert!(!text.contains("its hash does not fit"));
        for path in ["/admin/audit/0/99999", "/admin/audit/x/1", "/admin/audit/0/-1"] {
            assert_eq!(agent.get(&harness.url(path)).await.answer().status, 404, "{path}");
        }
    }
}

on_both! {
    async fn looking_is_recorded_once_a_minute_for_each_reader_and_search(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut auditor = at_console(&harness, "auditor").await;
        harness.clock.advance(60);
        let mut admin = at_console(&harness, "admin").await;
        for _ in 0..3 {
            search(&harness, &mut auditor, "client=lims-secret").await;
            search(&harness, &mut admin, "").await;
        }
        assert_eq!(harness.events("audit.read").len(), 2);
        // One look does not hide the next.
        search(&harness, &mut auditor, "client=fulton-cms").await;
        search(&harness, &mut auditor, "client=fulton-cms").await;
        assert_eq!(harness.events("audit.read").len(), 3);
        harness.clock.advance(60);
        search(&harness, &mut auditor, "").await;
        let read = harness.events("audit.read");
        assert_eq!(read.len(), 4);
        assert!(read.iter().any(|event| event["detail"]["path"] == "/admin/audit client=lims-secret"));
        assert_eq!(read[0]["actor_kind"], "person");
    }
}

/// Reads CSV without the library that wrote it: fields in quotes, or plain.
fn csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let (mut quoted, mut letters) = (false, text.chars().peekable());
    while let Some(letter) = letters.next() {
        let row = rows.last_mut().unwrap();
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                row.last_mut().unwrap().push(letters.next().unwrap())
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\n' if !quoted => rows.push(vec![String::new()]),
            other => row.last_mut().unwrap().push(other),
        }
    }
    rows.pop();
    rows
}

on_both! {
    async fn an_export_has_all_that_fits_as_it_is_stored(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut events: Vec<Event> = (0..1300).map(|number| event(-5000 + number, Kind::TokenIssued, "sys-a")).collect();
        // Far more that does not fit than is looked at for one piece.
        events.extend((0..4500).map(|number| event(-50_000 + number, Kind::TokenRefused, "sys-a")));
        events.push(event(-90_000, Kind::TokenIssued, "sys-a").with("scope", "=HYPERLINK(\"http://evil.example\")"));
        record(&harness, events);
        let mut agent = at_console(&harness, "auditor").await;
        let page = agent.get(&harness.url("/admin/audit/export?format=ndjson&client=sys-a&event=token")).await;
        let answer = page.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"audit-2026-11-2"));
        assert_eq!(answer.text.lines().count(), 1301);
        for line in answer.text.lines() {
            let (body, hash) = line.split_once(",\"body\":").unwrap().1.rsplit_once(",\"leaf\":\"").unwrap();
            assert_eq!(HEXLOWER.encode(&leaf(body.as_bytes())), hash.strip_suffix("\"}").unwrap());
            assert_eq!(serde_json::from_str::<Value>(line).unwrap()["body"]["kind"], "token.issued");
        }
        let page = agent.get(&harness.url("/admin/audit/export?format=csv&client=sys-a&event=token")).await;
        let rows = csv(&page.answer().text);
        assert_eq!(rows.len(), 1302);
        assert_eq!(rows[0][..3], ["time", "event", "what"]);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        assert_eq!(rows[1301][2], "sys-a got a token.");
        let exported = harness.events("exported");
        let told: Vec<(&str, &str)> = exported
            .iter()
            .map(|event| (event["detail"]["format"].as_str().unwrap(), event["detail"]["filters"].as_str().unwrap()))
            .collect();
        assert_eq!(told, [("ndjson", "client=sys-a event=token"), ("csv", "client=sys-a event=token")]);
    }
}

on_both! {
    async fn no_cell_is_taken_for_a_formula(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain"];
        record(&harness, starts.iter().map(|start| event(-10, Kind::TokenIssued, start)).collect());
        let mut agent = at_console(&harness, "auditor").await;
        let page = agent.get(&harness.url("/admin/audit/export?format=csv&event=token")).await;
        let rows = csv(&page.answer().text);
        let mut clients: Vec<&str> = rows[1..].iter().map(|row| row[6].as_str()).collect();
        clients.sort_unstable();
        assert_eq!(clients, ["'\t=1", "'+1", "'-1", "'=1+1", "'@SUM(A1)", "plain"]);
        for cell in rows.iter().flatten() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell}");
        }
    }
}

on_both! {
    async fn an_export_wants_a_fresh_sign_in_and_a_format(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "auditor").await;
        for query in ["?format=pdf", "?format=csv&person=nobody"] {
            let page = agent.get(&harness.url(&format!("/admin/audit/export{query}"))).await;
            assert_eq!(page.answer().status, 400, "{query}");
        }
        harness.clock.advance(301);
        let page = agent.get(&harness.url("/admin/audit/export?format=csv")).await;
        assert_eq!(page.at(), "/login");
        assert!(harness.events("exported").is_empty());
    }
}

/// Waits until the check that was begun has ended.
async fn checked(harness: &Harness, agent: &mut Agent<'_>) -> Page {
    let look = async || agent.get(&harness.url("/admin/audit/check")).await;
    eventually("end of the check", look, |page| {
        !page.answer().text.contains("id=\"running\"")
    })
    .await
}

on_both! {
    async fn the_check_runs_in_the_background_and_finds_what_was_changed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "auditor").await;
        let page = agent.get(&harness.url("/admin/audit/check")).await;
        assert!(page.answer().text.contains("id=\"never\""));
        harness.app.sealer.seal().await.unwrap();
        let page = agent.get(&harness.url("/admin/audit/check")).await;
        let signed = harness.app.store.read(newest_bundle).await.unwrap().unwrap().note;
        assert!(unescape(&page.answer().text).contains(&signed), "what is signed is there to be kept elsewhere");
        let page = agent.submit_to(&page, "/admin/audit/check", &[]).await;
        assert!(page.answer().text.contains("The check has begun."));
        let page = checked(&harness, &mut agent).await;
        assert!(page.answer().text.contains("The record is sound."), "{}", page.answer().text);
        let event = harness.events("audit.checked").pop().unwrap();
        assert_eq!(event["outcome"], "0");

        tamper(&harness.app, "UPDATE audit_event SET body = replace(body, 'installation', 'installatiom') WHERE kind = 'installation.initialised'");
        let page = agent.submit_to(&page, "/admin/audit/check", &[]).await;
        assert_eq!(page.answer().status, 200);
        let page = checked(&harness, &mut agent).await;
        let text = &page.answer().text;
        assert!(text.contains("The record is not sound") && text.contains("its hash does not fit its content"), "{text}");
        let event = harness.events("audit.checked").into_iter().find(|event| event["outcome"] == "8").unwrap();
        assert!(event["detail"]["findings"].as_str().unwrap().contains("event 1"));
        // The event itself says so too.
        let list = search(&harness, &mut agent, "event=installation.initialised").await;
        let page = agent.get(&harness.url(&listed(&list)[0])).await;
        assert!(page.answer().text.contains("its hash does not fit"));
    }
}

on_both! {
    async fn one_check_runs_at_a_time(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/audit/check")).await;
        assert!(harness.app.check.begin(harness.now()));
        harness.app.check.tell(7);
        let again = agent.submit_to(&page, "/admin/audit/check", &[]).await;
        let text = &again.answer().text;
        assert!(text.contains("A check was running already") && text.contains("Checked so far: 7 of"), "{text}");
        assert!(text.contains(">Refresh</a>") && !text.contains("id=\"check\""));
        assert!(harness.events("audit.checked").is_empty());
    }
}

on_both! {
    async fn whoever_may_not_see_the_record_cannot_have_it_checked(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let (mut agent, page) = open(&harness, "clients", "/admin").await;
        let csrf = crate::harness::agent::attribute(page.answer().text.split("id=\"sign-out\"").nth(1).unwrap(), "value").unwrap();
        let page = agent.post("/admin/audit/check", &[("csrf".to_owned(), csrf)]).await;
        assert_eq!(page.answer().status, 403);
        harness.clock.advance(60);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.post("/admin/audit/check", &[("csrf".to_owned(), "forged".to_owned())]).await;
        assert_eq!(page.answer().status, 400);
        assert!(harness.app.check.state().running_since.is_none() && harness.app.check.state().last.is_none());
    }
}

#[test]
fn every_name_of_the_record_is_one_that_can_be_searched_for() {
    // The list is made of all variants; what could go wrong is a name that stands twice.
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
    }
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
}

on_both! {
    async fn every_kind_of_event_is_told_in_words(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let jane = person(&harness, "jlehz");
        let made = |kind: &Kind| event(-10, *kind, LIMS.0).person(&jane).with("action", "changed").with("reason", MARKUP);
        record(&harness, Kind::ALL.iter().map(made).collect());
        let mut agent = at_console(&harness, "auditor").await;
        for kind in Kind::ALL {
            let list = search(&harness, &mut agent, &format!("client={}&event={}", LIMS.0, kind.as_str())).await;
            let page = agent.get(&harness.url(&listed(&list)[0])).await;
            let text = &page.answer().text;
            assert_eq!(page.answer().status, 200, "{kind:?}");
            let sentence = text.split("<h1><bdi>").nth(1).unwrap().split("</bdi>").next().unwrap();
            assert!(sentence.contains(' ') && sentence.ends_with('.'), "{kind:?}: {sentence}");
            assert!(!text.contains(MARKUP) && !list.answer().text.contains(MARKUP), "{kind:?}");
        }
    }
}
