//! What somebody who owns the database could do to the record, made up at random: whatever touches what was noted is found,
//! and of the rest all but a rewrite that is consistent in itself.

use mdi_auth::audit::leaf::leaf;
use mdi_auth::store::audit::{AuditRow, id_of, rows_after};

use crate::audit::{check, check_after, noted, signed};
use crate::harness::{Db, blocking};
use crate::on_both;

/// How many are made up, unless the environment says another number: each kind once.
const MADE_UP: usize = KINDS.len();
/// How many events there are, and how many of them are signed and noted.
const EVENTS: i64 = 306;
const NOTED: i64 = 300;

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 2).unwrap() % limit
    }

    fn among<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(i64::try_from(all.len()).unwrap())).unwrap()]
    }
}

/// The record as it is, and what a database writes bytes as.
struct World {
    db: Db,
    rows: Vec<AuditRow>,
    random: Random,
}

impl World {
    fn blob(&self, bytes: &[u8]) -> String {
        let hex = data_encoding::HEXLOWER.encode(bytes);
        match self.db {
            Db::Sqlite => format!("x'{hex}'"),
            Db::Postgres => format!("'\\x{hex}'::bytea"),
        }
    }

    /// The number of any event, and the event.
    fn any(&mut self) -> (i64, AuditRow) {
        let row = self.random.among(&self.rows).clone();
        (row.id, row)
    }

    /// The number of an event that is noted, behind the first ones.
    fn signed(&mut self) -> i64 {
        5 + self.random.below(NOTED - 10)
    }

    /// Two events.
    fn two(&mut self) -> (AuditRow, AuditRow) {
        loop {
            let (one, other) = (self.any().1, self.any().1);
            if one.body != other.body && one.id != other.id {
                return (one, other);
            }
        }
    }

    /// A text with another letter somewhere.
    fn another(&mut self, text: &str) -> String {
        let letters: Vec<usize> = text
            .char_indices()
            .filter(|(_, c)| c.is_ascii_alphanumeric())
            .map(|(at, _)| at)
            .collect();
        let at = *self.random.among(&letters);
        let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    }

    /// Replaces an event by another one whose hash and columns fit.
    fn rewrite(&mut self) -> String {
        let id = self.signed();
        let body = self.rows[usize::try_from(id - 1).unwrap()]
            .body
            .replace("\"number\"", "\"numbex\"");
        let hash = self.blob(&leaf(body.as_bytes()));
        format!("UPDATE audit_event SET body = '{body}', leaf = {hash} WHERE id = {id}")
    }
}

fn set(column: &str, value: &str, id: i64) -> Vec<String> {
    vec![format!(
        "UPDATE audit_event SET {column} = {value} WHERE id = {id}"
    )]
}

fn forget_what_was_signed() -> Vec<String> {
    ["audit_checkpoint", "audit_bundle", "audit_node"]
        .map(|table| format!("DELETE FROM {table}"))
        .to_vec()
}

/// Inserts a copy of an event with another id.
fn copy(from: i64, to: i64) -> String {
    format!(
        "INSERT INTO audit_event SELECT {to}, at_ms, kind, outcome, client_id, person_id, by_person, body, leaf FROM audit_event WHERE id = {from}"
    )
}

/// Moves all events of the first log from one on.
fn moved(from: i64, by: i64) -> Vec<String> {
    // In two steps, for no two may have the same number on the way.
    let far = 1_000_000;
    vec![
        format!("UPDATE audit_event SET id = id + {far} WHERE id >= {from} AND id < {far}"),
        format!(
            "UPDATE audit_event SET id = id - {far} + {by} WHERE id >= {far} AND id < {}",
            id_of(1, 0)
        ),
    ]
}

/// Which checkpoint is the newest: the server may sign meanwhile.
const NEWEST: &str = "size = (SELECT max(size) FROM audit_checkpoint WHERE log = 0)";

type Make = fn(&mut World) -> Vec<String>;

/// What can be done, and whether only what was noted elsewhere can show it.
#[rustfmt::skip]
const KINDS: &[(&str, Make, bool)] = &[
    ("a letter of a body", |w| { let (id, row) = w.any(); let body = w.another(&row.body); set("body", &format!("'{body}'"), id) }, false),
    ("a letter more in a body", |w| { let (id, row) = w.any(); set("body", &format!("'{} '", row.body), id) }, false),
    ("a letter less in a body", |w| { let (id, row) = w.any(); set("body", &format!("'{}'", &row.body[..row.body.len() - 1]), id) }, false),
    ("an empty body", |w| { let (id, _) = w.any(); set("body", "''", id) }, false),
    ("the body of another event", |w| { let (one, other) = w.two(); set("body", &format!("'{}'", other.body), one.id) }, false),
    ("a byte of a hash", |w| { let (id, mut row) = w.any(); row.leaf[7] ^= 1; let hash = w.blob(&row.leaf); set("leaf", &hash, id) }, false),
    ("the hash of another event", |w| { let (one, other) = w.two(); let hash = w.blob(&other.leaf); set("leaf", &hash, one.id) }, false),
    ("a short hash", |w| { let (id, row) = w.any(); let hash = w.blob(&row.leaf[1..]); set("leaf", &hash, id) }, false),
    ("no hash", |w| { let (id, _) = w.any(); let hash = w.blob(&[]); set("leaf", &hash, id) }, false),
    ("body and hash of another event", |w| { let (id, (_, other)) = (w.signed(), w.two()); let other = if other.id == id { w.rows[0].clone() } else { other }; let hash = w.blob(&other.leaf); vec![format!("UPDATE audit_event SET body = '{}', leaf = {hash} WHERE id = {id}", other.body)] }, false),
    ("a time", |w| { let (id, _) = w.any(); set("at_ms", "at_ms - 3600000", id) }, false),
    ("a negative time", |w| { let (id, _) = w.any(); set("at_ms", "-1", id) }, false),
    ("a kind", |w| { let (id, _) = w.any(); set("kind", "'grant.revoked'", id) }, false),
    ("an outcome", |w| { let (id, _) = w.any(); set("outcome", "'8'", id) }, false),
    ("a client", |w| { let (id, _) = w.any(); set("client_id", "'another'", id) }, false),
    ("no client", |w| { let id = w.signed(); set("client_id", "NULL", id) }, false),
    ("a person", |w| { let (id, _) = w.any(); set("person_id", "'usr_another'", id) }, false),
    ("no person", |w| { let id = w.signed(); set("person_id", "NULL", id) }, false),
    ("who acted", |w| { let (id, _) = w.any(); set("by_person", "'usr_another'", id) }, false),
    ("an event dropped", |w| { let id = w.signed(); vec![format!("DELETE FROM audit_event WHERE id = {id}")] }, false),
    ("events dropped", |w| { let id = w.signed(); vec![format!("DELETE FROM audit_event WHERE id BETWEEN {id} AND {}", id + 9)] }, false),
    ("an event dropped, the others moved up", |w| { let id = w.signed(); let mut all = vec![format!("DELETE FROM audit_event WHERE id = {id}")]; all.extend(moved(id + 1, -1)); all.push("UPDATE audit_log SET size = size - 1 WHERE id = 0".to_owned()); all }, false),
    ("two events exchanged", |w| { let id = w.signed(); vec![format!("UPDATE audit_event SET id = -9 WHERE id = {id}"), format!("UPDATE audit_event SET id = {id} WHERE id = {}", id + 3), format!("UPDATE audit_event SET id = {} WHERE id = -9", id + 3)] }, false),
    ("an event moved to the end", |w| { let id = w.signed(); let mut all = vec![copy(id, EVENTS + 1), format!("DELETE FROM audit_event WHERE id = {id}")]; all.extend(moved(id + 1, -1)); all }, false),
    ("an event moved behind the end", |w| { let id = w.signed(); vec![format!("UPDATE audit_event SET id = {} WHERE id = {id}", EVENTS + 50)] }, false),
    ("room made for one", |w| { let id = w.signed(); moved(id, 1) }, false),
    ("an event inserted", |w| { let id = w.signed(); let mut all = moved(id, 1); all.extend([copy(id - 1, id), "UPDATE audit_log SET size = size + 1 WHERE id = 0".to_owned()]); all }, false),
    ("an event behind the end", |w| { let (id, _) = w.any(); vec![copy(id, EVENTS + 1)] }, false),
    ("an event with a negative number", |w| { let (id, _) = w.any(); vec![copy(id, -id)] }, false),
    ("an event in a log that is not there", |w| { let (id, _) = w.any(); vec![copy(id, id_of(50, id))] }, false),
    ("a size", |w| { let size = w.random.below(EVENTS); vec![format!("UPDATE audit_log SET size = {size} WHERE id = 0")] }, false),
    ("a larger size", |w| { let more = 1 + w.random.below(50); vec![format!("UPDATE audit_log SET size = size + {more} WHERE id = 0")] }, false),
    ("the tail cut", |w| { let id = w.signed(); vec![format!("DELETE FROM audit_event WHERE id > {id} AND id < 10000")] }, false),
    ("the tail cut with the size", |w| { let id = w.signed(); vec![format!("DELETE FROM audit_event WHERE id > {id} AND id < 10000"), format!("UPDATE audit_log SET size = {id} WHERE id = 0")] }, false),
    ("the log dropped", |_| vec!["DELETE FROM audit_log WHERE id = 0".to_owned()], false),
    ("the log dropped with its events", |_| vec!["DELETE FROM audit_log WHERE id = 0".to_owned(), "DELETE FROM audit_event WHERE id < 10000".to_owned()], false),
    ("a log added", |w| { let id = 20 + w.random.below(50); vec![format!("INSERT INTO audit_log VALUES ({id}, 'x/audit/1/{id}', 0, 1, NULL)")] }, false),
    ("another origin", |_| vec!["UPDATE audit_log SET origin = origin || 'x' WHERE id = 0".to_owned()], false),
    ("a checkpoint of another root", |_| vec!["UPDATE audit_checkpoint SET note = replace(note, 'a', 'b') WHERE log = 0".to_owned()], false),
    ("a checkpoint of another size", |w| { let more = 1 + w.random.below(5); vec![format!("UPDATE audit_checkpoint SET size = size + {more} WHERE log = 0 AND {NEWEST}")] }, false),
    ("the newest checkpoint dropped", |_| vec![format!("DELETE FROM audit_checkpoint WHERE log = 0 AND {NEWEST}")], false),
    ("all checkpoints dropped", |_| vec!["DELETE FROM audit_checkpoint".to_owned()], false),
    ("the newest bundle dropped", |_| vec!["DELETE FROM audit_bundle WHERE id = (SELECT max(id) FROM audit_bundle)".to_owned()], false),
    ("all bundles dropped", |_| vec!["DELETE FROM audit_bundle".to_owned()], false),
    ("a bundle of another time", |_| vec!["UPDATE audit_bundle SET at_ms = at_ms + 1".to_owned()], false),
    ("a bundle changed", |_| vec!["UPDATE audit_bundle SET note = replace(note, '/audit', '/audjt')".to_owned()], false),
    ("the keys dropped", |_| vec!["DELETE FROM audit_key".to_owned()], false),
    ("another key", |_| vec!["UPDATE audit_key SET public_key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='".to_owned()], false),
    ("the hash of a subtree", |w| { let hash = w.blob(&[7; 32]); vec![format!("UPDATE audit_node SET hash = {hash}")] }, false),
    ("the hash of a subtree dropped", |_| vec!["DELETE FROM audit_node".to_owned()], false),
    ("the hash of no subtree", |w| { let (number, hash) = (2 + w.random.below(90), w.blob(&[7; 32])); vec![format!("INSERT INTO audit_node VALUES (0, 1, {number}, {hash})")] }, false),
    ("an event rewritten consistently", |w| vec![w.rewrite()], false),
    ("an event rewritten consistently, and what was signed dropped", |w| { let mut all = vec![w.rewrite()]; all.extend(forget_what_was_signed()); all }, true),
    ("the tail cut consistently, and what was signed dropped", |w| { let id = w.signed(); let mut all = vec![format!("DELETE FROM audit_event WHERE id > {id} AND id < 10000"), format!("UPDATE audit_log SET size = {id} WHERE id = 0")]; all.extend(forget_what_was_signed()); all }, true),
    ("an event inserted consistently, and what was signed dropped", |w| { let id = w.signed(); let mut all = moved(id, 1); all.extend([copy(id - 1, id), "UPDATE audit_log SET size = size + 1 WHERE id = 0".to_owned()]); all.extend(forget_what_was_signed()); all }, true),
    ("all events dropped, and what was signed", |_| { let mut all = vec!["DELETE FROM audit_event".to_owned(), "UPDATE audit_log SET size = 0".to_owned()]; all.extend(forget_what_was_signed()); all }, true),
];

on_both! {
    async fn whatever_touches_what_was_noted_is_found(db) {
        let harness = signed(db, 4, NOTED, EVENTS).await;
        let note = noted(&harness);
        let store = std::sync::Arc::clone(&harness.app.store);
        let rows = blocking(move || store.read_blocking(|conn| rows_after(conn, 0, 0, 10_000))).unwrap();
        assert_eq!(i64::try_from(rows.len()).unwrap(), EVENTS);
        let mut world = World { db, rows, random: Random(0x9e37_79b9_7f4a_7c15) };
        let made_up = std::env::var("MANIPULATIONS").ok().map_or(MADE_UP, |said| said.parse().unwrap());
        for number in 0..made_up {
            let (what, make, only_by_note) = KINDS[number % KINDS.len()];
            let sql = make(&mut world);
            let with_note = check_after(&harness, &sql, std::slice::from_ref(&note));
            assert!(!with_note.is_sound(), "{number}, {what}: {sql:?}");
            // Without the note the same is found, but for what is consistent in itself.
            if only_by_note {
                let alone = check_after(&harness, &sql, &[]);
                assert!(!alone.unproved.is_empty(), "{number}, {what}: it must say that this is not proved");
            } else {
                let alone = check_after(&harness, &sql, &[]);
                assert!(!alone.is_sound(), "{number}, {what}: {sql:?}");
            }
        }
        let report = check(&harness, &[note]);
        assert!(report.is_sound() && report.unproved.is_empty(), "{report:?}");
    }
}
