//! The check of the record finds what somebody with the database in his hands did to it.

use std::sync::{Arc, Mutex};

use diesel::RunQueryDsl;
use mdi_auth::audit::checkpoint::PublicKeys;
use mdi_auth::audit::event::{Actor, Kind};
use mdi_auth::audit::proof::{self, Unproved};
use mdi_auth::audit::verify::{Report, verify, verify_on};
use mdi_auth::store::audit::{self, id_of};
use mdi_auth::store::{Conn, StoreBroken};
use tlog_tiles::tlog::{Hash, check_record, check_tree, record_hash};

use crate::harness::{Db, Harness, blocking};
use crate::on_both;
use crate::support::{TempDir, eventually};

/// Records events of some kinds in the first log, until it has so many.
fn record(harness: &Harness, until: i64) {
    let app = Arc::clone(&harness.app);
    blocking(move || {
        let mut number = 0;
        while app.store.read_blocking(audit::logs).unwrap()[0].size < until {
            number += 1;
            let kind = [Kind::TokenIssued, Kind::LoginFailed, Kind::ClientChanged][number % 3];
            let event = app
                .event(kind, Actor::Person(format!("usr_{}", number % 7)))
                .with("number", number.to_string())
                .client("lims");
            let event = if number % 2 == 0 {
                event.person("usr_other")
            } else {
                event
            };
            app.store
                .write_blocking(move |tx| {
                    tx.audit(event.clone());
                    Ok(())
                })
                .unwrap();
        }
    });
}

/// A record of some events, of which the most are signed.
pub async fn signed(db: Db, first: i64, then: i64, unsigned: i64) -> Harness {
    let harness = Harness::empty(db, |_| {});
    // What the server signs when it starts.
    let read = async || harness.app.store.read(audit::newest_bundle).await.unwrap();
    eventually("first signature", read, Option::is_some).await;
    record(&harness, first);
    harness.app.sealer.seal().await.unwrap();
    record(&harness, then);
    harness.app.sealer.seal().await.unwrap();
    record(&harness, unsigned);
    harness
}

pub fn check(harness: &Harness, noted: &[String]) -> Report {
    let (app, noted) = (Arc::clone(&harness.app), noted.to_vec());
    blocking(move || verify(&app.store, &noted)).unwrap()
}

/// What a check finds after some SQL, which is undone again.
pub fn check_after(harness: &Harness, sql: &[String], noted: &[String]) -> Report {
    let found = Arc::new(Mutex::new(None));
    let (app, sql, noted, told) = (
        Arc::clone(&harness.app),
        sql.to_vec(),
        noted.to_vec(),
        Arc::clone(&found),
    );
    blocking(move || {
        let undone = app.store.write_blocking(move |tx| -> Result<(), StoreBroken> {
            // What was counted of a log hinders nobody who may drop it.
            for sql in std::iter::once(&"DELETE FROM activity_position".to_owned()).chain(&sql) {
                let done = match tx.conn() {
                    Conn::Sqlite(conn) => diesel::sql_query(sql).execute(conn),
                    Conn::Pg(conn) => diesel::sql_query(sql).execute(conn.as_mut()),
                };
                done.unwrap_or_else(|cause| panic!("{sql}: {cause}"));
            }
            *told.lock().unwrap() = Some(verify_on(tx.conn(), &noted, |_| {})?);
            Err(StoreBroken::Defect("undo it".to_owned()))
        });
        undone.unwrap_err();
    });
    let report = found.lock().unwrap().take();
    report.expect("the manipulation can be made")
}

/// The newest bundle, as somebody has noted it.
pub fn noted(harness: &Harness) -> String {
    let app = Arc::clone(&harness.app);
    blocking(move || app.store.read_blocking(audit::newest_bundle))
        .unwrap()
        .unwrap()
        .note
}

on_both! {
    async fn an_untouched_record_is_sound(db) {
        let harness = signed(db, 4, 300, 306).await;
        let report = check(&harness, &[]);
        assert!(report.is_sound(), "{report:?}");
        let log = &report.logs[0];
        assert_eq!((log.events, log.signed), (306, 300));
        assert!(report.unproved.iter().any(|what| what.contains("noted elsewhere")), "{report:?}");
        let note = noted(&harness);
        let report = check(&harness, std::slice::from_ref(&note));
        assert!(report.is_sound() && report.unproved.is_empty() && report.compared == 1, "{report:?}");
        // Nothing new: nothing is signed.
        harness.app.sealer.seal().await.unwrap();
        assert_eq!(harness.app.sealer.seal().await.unwrap(), 0);
    }
}

on_both! {
    async fn what_was_done_to_the_record_is_found_where_it_was_done(db) {
        let harness = signed(db, 4, 300, 306).await;
        let other = signed(Db::Sqlite, 4, 10, 10).await;
        let foreign = noted(&other);
        let blob = |hex: &str| if db == Db::Sqlite { format!("x'{hex}'") } else { format!("'\\x{hex}'::bytea") };
        let zero = blob(&"00".repeat(32));
        // What, how, and what is said of it.
        let rows: Vec<(&str, Vec<String>, &str)> = vec![
            ("a byte of a body", vec!["UPDATE audit_event SET body = replace(body, '\"kind\"', '\"kinx\"') WHERE id = 3".to_owned()], "event 3: its hash does not fit"),
            ("a body that is no JSON", vec!["UPDATE audit_event SET body = 'x' WHERE id = 3".to_owned()], "event 3: its hash does not fit"),
            ("a hash", vec![format!("UPDATE audit_event SET leaf = {zero} WHERE id = 3")], "event 3: its hash does not fit"),
            ("a hash that is none", vec![format!("UPDATE audit_event SET leaf = {} WHERE id = 3", blob("00"))], "event 3: its hash does not fit"),
            ("a column", vec!["UPDATE audit_event SET client_id = 'other' WHERE id = 3".to_owned()], "event 3: its column client_id"),
            ("an emptied column", vec!["UPDATE audit_event SET client_id = NULL WHERE id = 3".to_owned()], "event 3: its column client_id"),
            ("who acted, emptied", vec!["UPDATE audit_event SET by_person = NULL WHERE id = (SELECT min(id) FROM audit_event WHERE by_person IS NOT NULL)".to_owned()], "its column by_person"),
            ("who acted, invented", vec!["UPDATE audit_event SET by_person = 'usr_x' WHERE by_person IS NULL AND id = 1".to_owned()], "event 1: its column by_person"),
            ("a time", vec!["UPDATE audit_event SET at_ms = at_ms + 1 WHERE id = 2".to_owned()], "event 2: its column at_ms"),
            ("an outcome", vec!["UPDATE audit_event SET outcome = '8' WHERE id = 2".to_owned()], "event 2: its column outcome"),
            ("a kind", vec!["UPDATE audit_event SET kind = 'token.refused' WHERE id = 2".to_owned()], "event 2: its column kind"),
            ("a row dropped", vec!["DELETE FROM audit_event WHERE id = 3".to_owned()], "event 3: it is missing"),
            ("rows dropped", vec!["DELETE FROM audit_event WHERE id BETWEEN 3 AND 9".to_owned()], "events 3 to 9: they are missing"),
            ("the first row dropped", vec!["DELETE FROM audit_event WHERE id = 1".to_owned()], "event 1: it is missing"),
            ("all rows dropped", vec!["DELETE FROM audit_event".to_owned()], "events 1 to 306: missing"),
            ("all rows dropped, and the sizes", vec!["DELETE FROM audit_event".to_owned(), "UPDATE audit_log SET size = 0".to_owned()], "they were there when a checkpoint was signed"),
            ("two rows swapped", vec!["UPDATE audit_event SET id = -3 WHERE id = 3".to_owned(), "UPDATE audit_event SET id = 3 WHERE id = 4".to_owned(), "UPDATE audit_event SET id = 4 WHERE id = -3".to_owned()], "to 4: not what the checkpoint"),
            ("two signed rows swapped behind the first checkpoint", vec!["UPDATE audit_event SET id = -3 WHERE id = 30".to_owned(), "UPDATE audit_event SET id = 30 WHERE id = 40".to_owned(), "UPDATE audit_event SET id = 40 WHERE id = -3".to_owned()], "events 5 to 300: not what"),
            ("a row with a negative number", vec!["INSERT INTO audit_event SELECT -5, at_ms, kind, outcome, client_id, person_id, by_person, body, leaf FROM audit_event WHERE id = 3".to_owned()], "row -5 stands in no log"),
            ("a row in a log that is not there", vec![format!("INSERT INTO audit_event SELECT {}, at_ms, kind, outcome, client_id, person_id, by_person, body, leaf FROM audit_event WHERE id = 3", id_of(77, 1))], "stands in no log"),
            ("a row behind the last", vec!["INSERT INTO audit_event SELECT 307, at_ms, kind, outcome, client_id, person_id, by_person, body, leaf FROM audit_event WHERE id = 306".to_owned()], "event 307: the log does not say"),
            ("a row far behind the last", vec!["INSERT INTO audit_event SELECT 400, at_ms, kind, outcome, client_id, person_id, by_person, body, leaf FROM audit_event WHERE id = 306".to_owned()], "events 307 to 399: they are missing"),
            ("the tail cut", vec!["DELETE FROM audit_event WHERE id > 304 AND id < 1000".to_owned()], "events 305 to 306: missing"),
            ("the signed tail cut with its size", vec!["DELETE FROM audit_event WHERE id > 290 AND id < 1000".to_owned(), "UPDATE audit_log SET size = 290 WHERE id = 0".to_owned()], "events 291 to 300: missing: they were there"),
            ("a size", vec!["UPDATE audit_log SET size = 5 WHERE id = 0".to_owned()], "the log does not say"),
            ("a negative size", vec!["UPDATE audit_log SET size = -1 WHERE id = 0".to_owned()], "events 1 to 306: the log does not say"),
            ("a log dropped", vec!["DELETE FROM audit_log WHERE id = 0".to_owned()], "is missing, of which a checkpoint was signed"),
            ("a log dropped with its rows", vec!["DELETE FROM audit_log WHERE id = 0".to_owned(), "DELETE FROM audit_event WHERE id < 1000".to_owned()], "is missing, of which a checkpoint was signed"),
            ("a log added", vec!["INSERT INTO audit_log VALUES (77, 'x/audit/1/77', 0, 1, NULL)".to_owned()], "log 77: the newest bundle does not name this log"),
            ("a log renamed", vec!["UPDATE audit_log SET origin = 'x/audit/9/9' WHERE id = 0".to_owned()], "one of another size or log"),
            ("all logs dropped", vec!["DELETE FROM audit_log".to_owned(), "DELETE FROM audit_event".to_owned(), "DELETE FROM audit_checkpoint".to_owned(), "DELETE FROM audit_bundle".to_owned()], "there is no log"),
            ("a checkpoint of another server", vec![format!("UPDATE audit_bundle SET note = '{foreign}' WHERE id = (SELECT max(id) FROM audit_bundle)")], "newest bundle: it is not signed"),
            ("a checkpoint changed", vec!["UPDATE audit_checkpoint SET note = replace(note, '300', '301') WHERE log = 0 AND size = 300".to_owned()], "the checkpoint of this size: it is not signed"),
            ("a checkpoint moved", vec!["UPDATE audit_checkpoint SET size = 301 WHERE log = 0 AND size = 300".to_owned()], "one of another size or log"),
            ("a checkpoint dropped", vec!["DELETE FROM audit_checkpoint WHERE log = 0 AND size = 300".to_owned()], "log 0: the newest bundle says that 300 events were signed"),
            ("the bundles dropped", vec!["DELETE FROM audit_bundle".to_owned()], "no bundle that names all logs"),
            ("the newest bundle dropped", vec!["DELETE FROM audit_bundle WHERE id = (SELECT max(id) FROM audit_bundle)".to_owned()], "log 0: the newest bundle says that 4 events were signed"),
            ("the keys dropped", vec!["DELETE FROM audit_key".to_owned()], "it is not signed with the key of this server"),
            ("a key that is none", vec!["UPDATE audit_key SET public_key = 'x'".to_owned()], "the keys that verify checkpoints cannot be read"),
            ("the hash of a subtree", vec![format!("UPDATE audit_node SET hash = {zero} WHERE log = 0")], "event 256: the hash that is kept"),
            ("the hash of a subtree dropped", vec!["DELETE FROM audit_node WHERE log = 0".to_owned()], "event 256: the hash of the events up to this one is not kept"),
            ("a hash of no subtree", vec![format!("INSERT INTO audit_node VALUES (0, 1, 9, {zero})")], "log 0: hashes are kept of events that are not there"),
        ];
        for (what, sql, said) in rows {
            let report = check_after(&harness, &sql, &[]);
            let told = report.sentences().join("\n");
            assert!(told.contains(said), "{what}: {told:?}");
        }
        assert!(check(&harness, &[]).is_sound(), "all of it was undone");
    }
}

/// A text of SQLite may hold bytes that are none; the check tells of that row, and of all others.
#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_end_the_check() {
    let harness = signed(Db::Sqlite, 4, 10, 12).await;
    let sql = [
        "UPDATE audit_event SET body = CAST(x'ff' AS TEXT) WHERE id = 3".to_owned(),
        "UPDATE audit_event SET kind = 'token.refused' WHERE id = 11".to_owned(),
    ];
    let told = check_after(&harness, &sql, &[]).sentences().join("\n");
    assert!(told.contains("event 3: it cannot be read"), "{told}");
    assert!(told.contains("event 11: its column kind"), "{told}");
}

on_both! {
    /// Whoever owns the database and drops what was signed can rewrite all of it consistently. What somebody noted
    /// elsewhere shows it; and what was not noted stays unproved, and the check says so.
    async fn a_consistent_rewrite_is_found_by_what_was_noted(db) {
        let harness = signed(db, 4, 10, 12).await;
        let note = noted(&harness);
        // He changes a body, makes its hash anew, and drops what was signed.
        let changed = {
            let app = Arc::clone(&harness.app);
            let rows = blocking(move || app.store.read_blocking(|conn| audit::rows_after(conn, 0, 7, 1))).unwrap();
            rows[0].body.replace("\"number\"", "\"numbex\"")
        };
        let leaf = data_encoding::HEXLOWER.encode(&mdi_auth::audit::leaf::leaf(changed.as_bytes()));
        let leaf = if db == Db::Sqlite { format!("x'{leaf}'") } else { format!("'\\x{leaf}'::bytea") };
        let rewrite = format!("UPDATE audit_event SET body = '{changed}', leaf = {leaf} WHERE id = 8");
        let with_what_was_signed = check_after(&harness, std::slice::from_ref(&rewrite), &[]);
        assert!(with_what_was_signed.sentences()[0].contains("events 5 to 10: not what the checkpoint in the database"), "{with_what_was_signed:?}");
        let dropped = [rewrite, "DELETE FROM audit_checkpoint".to_owned(), "DELETE FROM audit_bundle".to_owned(), "DELETE FROM audit_node".to_owned()];
        let alone = check_after(&harness, &dropped, &[]);
        assert!(alone.is_sound() && alone.unproved.len() == 2, "{alone:?}");
        let compared = check_after(&harness, &dropped, &[note]);
        assert!(compared.sentences()[0].contains("not what a checkpoint that was noted elsewhere of size 10 says"), "{compared:?}");
        // A note of another server proves nothing, and is told.
        let other = signed(Db::Sqlite, 4, 10, 10).await;
        let foreign = check(&harness, &[noted(&other)]);
        assert!(foreign.sentences()[0].contains("it is not signed with the key of this server"), "{foreign:?}");
    }
}

on_both! {
    /// Many servers may sign at once: the same size has one checkpoint, and every one of them fits.
    async fn signing_at_once_signs_each_size_once(db) {
        let harness = Harness::empty(db, |_| {});
        for round in 1..6 {
            record(&harness, round * 60);
            // Others write meanwhile, on PostgreSQL to several logs.
            let writers = (0..40).map(|number| {
                let event = harness.app.event(Kind::LoginFailed, Actor::Stranger).with("number", number.to_string());
                let store = Arc::clone(&harness.app.store);
                tokio::spawn(async move {
                    let write = store.write(move |tx| {
                        tx.audit(event.clone());
                        Ok(())
                    });
                    write.await.unwrap();
                })
            });
            let writers: Vec<_> = writers.collect();
            let all = (0..8).map(|_| {
                let sealer = harness.app.sealer.clone();
                tokio::spawn(async move { sealer.seal().await.unwrap() })
            });
            let signed: Vec<usize> = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
            assert!(signed.iter().sum::<usize>() >= 1, "{signed:?}");
            let report = check(&harness, &[noted(&harness)]);
            assert!(report.is_sound(), "{report:?}");
            futures_util::future::join_all(writers).await;
        }
        harness.app.sealer.seal().await.unwrap();
        let report = check(&harness, &[noted(&harness)]);
        assert!(report.is_sound() && report.unproved.is_empty(), "{report:?}");
        assert_eq!(report.logs[0].signed, report.logs[0].events);
    }
}

on_both! {
    /// By the command line: what is signed, with which key, a proof, and notes that were kept elsewhere, good and bad.
    async fn an_auditor_keeps_compares_and_proves_by_the_command_line(db) {
        let harness = signed(db, 4, 10, 12).await;
        let dir = TempDir::new();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (done, bundle) = harness.command(&["audit", "bundle"]);
        assert!(done && bundle == noted(&harness), "{bundle}");
        let checkpoint = harness.app.store.read(|conn| audit::newest_checkpoint(conn, 0)).await.unwrap().unwrap().note;
        let (done, keys) = harness.command(&["audit", "keys"]);
        let logs = if db == Db::Sqlite { 1 } else { 8 };
        assert!(done && keys.lines().count() == logs && keys.contains("/audit/1/0+"), "{keys}");
        let (done, proof) = harness.command(&["audit", "prove", "3"]);
        assert!(done && proof.starts_with("c2sp.org/tlog-proof@v1\nindex 2\n"), "{proof}");
        for (arguments, said) in [
            (&["audit", "prove", "0"][..], "there is no such event"),
            (&["audit", "prove", "13"], "there is no such event"),
            (&["audit", "prove", "11"], "signed yet"),
            (&["audit", "prove", "3", "--log", "99"], "there is no such log"),
            (&["audit", "prove", "x"], "invalid value 'x'"),
        ] {
            let (done, told) = harness.command(arguments);
            assert!(!done && told.contains(said), "{arguments:?}: {told}");
        }
        // One after the other, with what a mail has around them, and with the line ends of Windows.
        let several = file("several", &format!("Dear auditor,\n\nthis is it:\n\n{bundle}{checkpoint}\nYours\n"));
        let windows = file("windows", &bundle.replace('\n', "\r\n"));
        let (done, told) = harness.command(&["audit", "verify", "--expect", &several, "--expect", &windows]);
        assert!(done && told.contains("compared: 3") && told.contains("the record is sound"), "{told}");
        assert!(!told.contains("not proved"), "{told}");
        let other = signed(Db::Sqlite, 4, 10, 10).await;
        for (text, said) in [
            (String::new(), "there is no signed note in it"),
            ("nothing".to_owned(), "there is no signed note in it"),
            (noted(&other), "it is not signed with the key of this server"),
            (bundle.replace(" 10 ", " 9 "), "it is not signed with the key of this server"),
            ("one\n\n\u{2014} two\n".to_owned(), "it is not a signed note"),
        ] {
            let (done, told) = harness.command(&["audit", "verify", "--expect", &file("wrong", &text)]);
            assert!(!done && told.contains(said), "{text:?}: {told}");
        }
        let (done, told) = harness.command(&["audit", "verify", "--expect", "/nowhere"]);
        assert!(!done && told.contains("/nowhere"), "{told}");
        let (done, told) = harness.command(&["audit", "verify", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert!(done && report["sound"] == true && report["logs"][0]["signed"] == 10, "{told}");
    }
}

on_both! {
    /// Each signed event can be proved, each older size leads to the newest, and nothing else is proved.
    async fn what_is_signed_can_be_proved(db) {
        let harness = signed(db, 4, 300, 302).await;
        let store = Arc::clone(&harness.app.store);
        let (keys, rows) = blocking(move || {
            store.read_blocking(|conn| Ok((audit::checkpoint_keys(conn)?, audit::rows_after(conn, 0, 0, 1000)?))).unwrap()
        });
        let keys = PublicKeys::read(keys.iter().map(|key| key.public_key.as_str())).unwrap();
        let inclusion = async |seq| harness.app.store.read(move |conn| proof::inclusion(conn, 0, seq)).await.unwrap();
        let hashes = |text: &str| text.lines().map(|line| Hash::parse_hash(line).unwrap()).collect::<Vec<_>>();
        for row in rows.iter().filter(|row| row.seq() <= 300) {
            let proof = inclusion(row.seq()).await.unwrap();
            let (head, note) = proof.split_once("\n\n").unwrap();
            let signed = keys.checkpoint(note).unwrap();
            let mut lines = head.splitn(3, '\n');
            assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
            assert_eq!(lines.next(), Some(format!("index {}", row.seq() - 1).as_str()));
            let (proof, index) = (hashes(lines.next().unwrap()), u64::try_from(row.seq() - 1).unwrap());
            let proves = |body: &str| check_record(&proof, signed.size(), *signed.hash(), index, record_hash(body.as_bytes()));
            proves(&row.body).unwrap();
            assert!(proves("{}").is_err());
        }
        assert_eq!(inclusion(301).await, Err(Unproved::NotSigned));
        assert_eq!(inclusion(303).await, Err(Unproved::NoEvent));
        assert_eq!(inclusion(0).await, Err(Unproved::NoEvent));
        let other = harness.app.store.read(|conn| proof::inclusion(conn, 99, 1)).await.unwrap();
        assert_eq!(other, Err(Unproved::NoLog));
        let checkpoints = harness.app.store.read(audit::checkpoints).await.unwrap();
        for old in checkpoints.iter().filter(|old| old.log == 0) {
            let (size, before) = (old.size, keys.checkpoint(&old.note).unwrap());
            let grown = harness.app.store.read(move |conn| proof::consistency(conn, 0, size)).await.unwrap().unwrap();
            let newest = keys.checkpoint(&grown.checkpoint).unwrap();
            let proof = hashes(&grown.hashes.join("\n"));
            check_tree(&proof, newest.size(), *newest.hash(), before.size(), *before.hash()).unwrap();
        }
        let too_large = harness.app.store.read(|conn| proof::consistency(conn, 0, 301)).await.unwrap();
        assert_eq!(too_large, Err(Unproved::NoSize));
        // Beside the database, for whoever copies it elsewhere.
        let published = std::fs::read_to_string(harness.app.config.server.data_dir.join("record/newest-bundle")).unwrap();
        assert_eq!(published, noted(&harness));
    }
}

/// Hundreds of findings: the first hundred are told, the others are counted.
#[tokio::test]
async fn of_many_findings_the_first_are_told() {
    let harness = signed(Db::Sqlite, 4, 300, 300).await;
    let sql = ["UPDATE audit_event SET outcome = '8'".to_owned()];
    let report = check_after(&harness, &sql, &[]);
    assert_eq!((report.findings.len(), report.found), (100, 300));
    assert_eq!(report.sentences().last().unwrap(), "200 more findings.");
}

/// RFC 8785: what the server writes is what a library that sorts would write, for every character and member.
#[test]
fn events_are_canonical_json() {
    use mdi_auth::audit::event::{Event, Outcome};
    use mdi_auth::audit::leaf::canonical;
    let strange = "quote \" backslash \\ slash / tab \t newline \n return \r feed \u{c} back \u{8} null \u{0} unit \u{1f} delete \u{7f} é 漢 \u{2028} \u{1f600} <&>";
    let full = Event::new(
        1_795_226_400_123,
        Kind::TokenIssued,
        Actor::Client(strange.to_owned()),
    )
    .outcome(Outcome::SeriousFailure)
    .person(strange)
    .from("::1")
    .purposes(&["HDECD".to_owned(), strange.to_owned()])
    .with("scope", strange)
    .with("alg", "ES256")
    .with("zone", "z");
    let empty = Event::new(-1, Kind::ServerStarted, Actor::Server);
    for event in [full, empty] {
        let ours = canonical(&event).unwrap();
        let value: serde_json::Value = serde_json::from_str(&ours).unwrap();
        assert_eq!(ours, serde_json_canonicalizer::to_string(&value).unwrap());
    }
}
