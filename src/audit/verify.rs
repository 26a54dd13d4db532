//! Checks the record: every event is where a log says it is and is what it says, nothing stands in the table that no log
//! covers, and each log grew only at its end since each checkpoint that was signed or that somebody noted elsewhere.
//!
//! What came after the newest checkpoint that somebody noted can be rewritten by whoever owns the database and its
//! checkpoints: such a rewrite is consistent in itself, and no check of the database alone can see it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use tlog_tiles::checkpoint::Checkpoint;
use tlog_tiles::tlog::Hash;

use super::checkpoint::{self, Bundle, PublicKeys};
use super::leaf::leaf;
use super::tree::{Edge, TILE, hash_of};
use crate::audit::event::Kind;
use crate::error::Broken;
use crate::store::audit::{self, AuditRow, Log, StoredBundle, StoredCheckpoint};
use crate::store::{Conn, Store, Stored};

/// How many rows are read at a time.
const PAGE: i64 = 1024;
/// How many findings are told in full; the others are counted.
pub const TOLD: usize = 100;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Each log.
    pub logs: Vec<CheckedLog>,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub found: usize,
    /// What could not be proved, and why.
    pub unproved: Vec<String>,
    /// How many notes of others were compared.
    pub compared: usize,
}

/// A log that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLog {
    /// Its number.
    pub id: i32,
    /// What checkpoints call it.
    pub origin: String,
    /// How many events it has.
    pub events: i64,
    /// Up to which event the newest checkpoint reaches that fits.
    pub signed: i64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The log.
    pub log: Option<i32>,
    /// The number of the event in the log, or of the first of several.
    pub seq: Option<i64>,
    /// The number of the last, where it is several.
    pub to: Option<i64>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.log, self.seq, self.to) {
            (Some(log), Some(from), Some(to)) if to > from => {
                write!(f, "log {log}, events {from} to {to}: ")?;
            }
            (Some(log), Some(seq), _) => write!(f, "log {log}, event {seq}: ")?,
            (Some(log), ..) => write!(f, "log {log}: ")?,
            _ => {}
        }
        f.write_str(&self.problem)
    }
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> i64 {
        self.logs.iter().map(|log| log.events).sum()
    }

    /// What was found, a sentence each: the first hundred, and how many more there are.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let more = self.found - self.findings.len();
        let told = self.findings.iter().map(|finding| format!("{finding}."));
        told.chain((more > 0).then(|| format!("{more} more findings.")))
            .collect()
    }

    fn find(&mut self, place: impl Into<Place>, problem: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < TOLD {
            let Place { log, seq, to } = place.into();
            self.findings.push(Finding {
                log,
                seq,
                to,
                problem: problem.into(),
            });
        }
    }
}

/// Where something is wrong.
struct Place {
    log: Option<i32>,
    seq: Option<i64>,
    to: Option<i64>,
}

impl From<()> for Place {
    fn from((): ()) -> Self {
        Self {
            log: None,
            seq: None,
            to: None,
        }
    }
}

impl From<i32> for Place {
    fn from(log: i32) -> Self {
        Self {
            log: Some(log),
            seq: None,
            to: None,
        }
    }
}

impl From<(i32, i64)> for Place {
    fn from((log, seq): (i32, i64)) -> Self {
        Self {
            log: Some(log),
            seq: Some(seq),
            to: None,
        }
    }
}

impl From<(i32, i64, i64)> for Place {
    fn from((log, seq, to): (i32, i64, i64)) -> Self {
        Self {
            log: Some(log),
            seq: Some(seq),
            to: Some(to),
        }
    }
}

/// Checks the whole record, and compares it with notes that somebody kept elsewhere: checkpoints and bundles, one or
/// several in a text. Rows that are written meanwhile are checked too. Must not run where async tasks run.
///
/// # Errors
/// What the store says; findings are part of the answer.
pub fn verify(store: &Store, noted: &[String]) -> Result<Report, Broken> {
    verify_telling(store, noted, |_| {})
}

/// The same, telling after each step how many rows it was.
///
/// # Errors
/// What the store says.
pub fn verify_telling(store: &Store, noted: &[String], tell: impl FnMut(usize)) -> Result<Report, Broken> {
    let mut conn = store
        .connect()
        .map_err(|cause| Broken::Unavailable(cause.to_string()))?;
    Ok(verify_on(&mut conn, noted, tell)?)
}

/// The same, on a connection.
///
/// # Errors
/// What the database says.
pub fn verify_on(conn: &mut Conn, noted: &[String], mut tell: impl FnMut(usize)) -> Stored<Report> {
    let mut report = Report::default();
    let signed = Signed::load(conn)?;
    let keys = PublicKeys::read(signed.keys.iter().map(String::as_str));
    let keys = keys.unwrap_or_else(|cause| {
        report.find(
            (),
            format!("the keys that verify checkpoints cannot be read: {cause}"),
        );
        PublicKeys::none()
    });
    let claims = Claims::of(&signed, &keys, noted, &mut report);
    let nothing = Said::new();
    if signed.logs.is_empty() {
        report.find(
            (),
            "there is no log: each database of this server has one from its first moment",
        );
    }
    for log in &signed.logs {
        let said = claims.0.get(&log.origin).unwrap_or(&nothing);
        check_log(conn, log.id, said, &mut report, &mut tell)?;
    }
    for origin in claims.0.keys() {
        if !signed.logs.iter().any(|log| log.origin == *origin) {
            report.find(
                (),
                format!("the log {origin} is missing, of which a checkpoint was signed"),
            );
        }
    }
    for id in audit::strays(conn, &signed.logs, TOLD)? {
        report.find((), format!("row {id} stands in no log"));
    }
    Ok(report)
}

/// What the database says was signed.
struct Signed {
    logs: Vec<Log>,
    checkpoints: Vec<StoredCheckpoint>,
    bundle: Option<StoredBundle>,
    keys: Vec<String>,
}

impl Signed {
    fn load(conn: &mut Conn) -> Stored<Self> {
        // With each signature comes a bundle: where that is the same before and after, both belong together.
        let mut bundle = audit::newest_bundle(conn)?;
        let mut checkpoints = audit::checkpoints(conn)?;
        loop {
            let now = audit::newest_bundle(conn)?;
            if now == bundle {
                break;
            }
            bundle = now;
            checkpoints = audit::checkpoints(conn)?;
        }
        let keys = audit::checkpoint_keys(conn)?;
        // The logs last: what is written in between makes them longer, never shorter.
        Ok(Self {
            checkpoints,
            bundle,
            keys: keys.into_iter().map(|key| key.public_key).collect(),
            logs: audit::logs(conn)?,
        })
    }
}

/// What was said of a log: sizes, each with the roots that it is said to have had, and who says so.
type Said = BTreeMap<u64, Vec<(Hash, &'static str)>>;

/// What was said of the logs, by origin.
#[derive(Default)]
struct Claims(BTreeMap<String, Said>);

const OURS: &str = "the checkpoint in the database";
const OUR_BUNDLE: &str = "the newest bundle in the database";
const NOTED: &str = "a checkpoint that was noted elsewhere";

impl Claims {
    fn of(signed: &Signed, keys: &PublicKeys, noted: &[String], report: &mut Report) -> Self {
        let mut claims = Self::default();
        claims.read_checkpoints(signed, keys, report);
        match &signed.bundle {
            None if signed.checkpoints.is_empty() => report.unproved.push(
                "No checkpoint was signed yet: the server signs one every minute while it runs.".to_owned(),
            ),
            None => report.find((), "there are checkpoints, and no bundle that names all logs"),
            Some(stored) => match keys.bundle(&stored.note) {
                Err(cause) => report.find((), format!("the newest bundle: {cause}")),
                Ok(bundle) if bundle.at_ms != stored.at_ms => {
                    report.find((), "the newest bundle is one of another time");
                }
                Ok(bundle) => {
                    compare_bundle(&bundle, signed, report);
                    claims.add_bundle(&bundle, OUR_BUNDLE);
                }
            },
        }
        claims.read_notes(keys, noted, report);
        claims
    }

    /// What the checkpoints of the database say.
    fn read_checkpoints(&mut self, signed: &Signed, keys: &PublicKeys, report: &mut Report) {
        for stored in &signed.checkpoints {
            let place = (stored.log, stored.size);
            let log = signed.logs.iter().find(|log| log.id == stored.log);
            match keys.checkpoint(&stored.note) {
                Err(cause) => report.find(place, format!("the checkpoint of this size: {cause}")),
                Ok(signed)
                    if i64::try_from(signed.size()) != Ok(stored.size)
                        || log.is_none_or(|log| log.origin != signed.origin()) =>
                {
                    report.find(place, "the checkpoint of this size is one of another size or log");
                }
                Ok(signed) => self.add(&signed, OURS),
            }
        }
    }

    /// What somebody noted elsewhere.
    fn read_notes(&mut self, keys: &PublicKeys, noted: &[String], report: &mut Report) {
        for note in noted {
            report.compared += 1;
            let read = if checkpoint::is_bundle(note) {
                keys.bundle(note).map(|bundle| self.add_bundle(&bundle, NOTED))
            } else {
                keys.checkpoint(note).map(|signed| self.add(&signed, NOTED))
            };
            if let Err(cause) = read {
                let first = note.lines().next().unwrap_or_default();
                report.find((), format!("the note that begins with {first:?}: {cause}"));
            }
        }
        if noted.is_empty() {
            report.unproved.push("No checkpoint that was noted elsewhere was given: whoever owns the database and could sign checkpoints could have rewritten all of it consistently.".to_owned());
        }
    }

    fn add(&mut self, signed: &Checkpoint, says: &'static str) {
        self.put(signed.origin(), signed.size(), *signed.hash(), says);
    }

    fn add_bundle(&mut self, bundle: &Bundle, says: &'static str) {
        for (origin, size, root) in &bundle.logs {
            self.put(origin, *size, *root, says);
        }
    }

    fn put(&mut self, origin: &str, size: u64, root: Hash, says: &'static str) {
        let sizes = self.0.entry(origin.to_owned()).or_default();
        let said = sizes.entry(size).or_default();
        if !said.contains(&(root, says)) {
            said.push((root, says));
        }
    }
}

/// Each checkpoint came with a bundle: the newest bundle names each log, with its newest checkpoint.
fn compare_bundle(bundle: &Bundle, signed: &Signed, report: &mut Report) {
    for log in &signed.logs {
        let of_log = signed.checkpoints.iter().filter(|stored| stored.log == log.id);
        let newest = of_log.map(|stored| stored.size).max().unwrap_or(0);
        let named = bundle.logs.iter().find(|(origin, ..)| *origin == log.origin);
        match named {
            None => report.find(log.id, "the newest bundle does not name this log"),
            Some((_, size, _)) if i64::try_from(*size) != Ok(newest) => report.find(
                log.id,
                format!(
                    "the newest bundle says that {size} events were signed, the newest checkpoint {newest}"
                ),
            ),
            Some(_) => {}
        }
    }
}

/// A page of a log; none in the place of a row that cannot be read.
type Page = Vec<(i64, Option<AuditRow>)>;

fn read_page(conn: &mut Conn, log: i32, after: i64) -> Stored<Page> {
    match audit::rows_after(conn, log, after, PAGE) {
        Ok(rows) => Ok(rows.into_iter().map(|row| (row.id, Some(row))).collect()),
        // One of them has what no text of ours has: each alone, so that the others are checked.
        Err(_) => {
            let ids = audit::ids_after(conn, log, after, PAGE)?;
            Ok(ids
                .into_iter()
                .map(|id| (id, audit::row(conn, id).ok().flatten()))
                .collect())
        }
    }
}

/// Goes through a log from its first event to its last.
fn check_log(
    conn: &mut Conn,
    id: i32,
    claims: &Said,
    report: &mut Report,
    tell: &mut impl FnMut(usize),
) -> Stored<()> {
    let mut walk = Walk {
        log: id,
        last: 0,
        edge: Some(Edge::default()),
        whole: Vec::new(),
        signed: 0,
        claims,
    };
    walk.compare(report);
    loop {
        // The log first: what is written in between makes the rows longer, never shorter.
        let log = audit::logs(conn)?.into_iter().find(|log| log.id == id);
        let rows = read_page(conn, id, walk.last)?;
        if rows.is_empty() {
            walk.end(log.as_ref(), report);
            check_last_nodes(conn, id, report)?;
            report.logs.push(CheckedLog {
                id,
                origin: log.map(|log| log.origin).unwrap_or_default(),
                events: walk.last,
                signed: walk.signed,
            });
            return Ok(());
        }
        let count = rows.len();
        for (row_id, row) in rows {
            walk.take(row_id, row.as_ref(), report);
        }
        let whole = std::mem::take(&mut walk.whole);
        let newest = i64::try_from(walk.newest_claim()).unwrap_or(i64::MAX);
        compare_nodes(conn, id, &whole, newest, report)?;
        tell(count);
    }
}

/// Compares with the hashes of whole subtrees that are kept. Up to the newest checkpoint all of them must be there.
fn compare_nodes(
    conn: &mut Conn,
    log: i32,
    whole: &[(u8, u64, Hash)],
    newest: i64,
    report: &mut Report,
) -> Stored<()> {
    for (level, number, hash) in whole {
        let at = i64::try_from(*number).unwrap_or(i64::MAX - 1);
        let stored = audit::nodes(conn, log, (*level).into(), at..at + 1)?.pop();
        let last = last_under((*level).into(), at);
        match stored {
            Some(node) if hash_of(&node.hash).ok() != Some(*hash) => report.find(
                (log, last),
                format!(
                    "the hash that is kept of the {} events up to this one is another than theirs",
                    TILE.pow((*level).into())
                ),
            ),
            None if last <= newest => report.find(
                (log, last),
                "the hash of the events up to this one is not kept, though they were signed",
            ),
            _ => {}
        }
    }
    Ok(())
}

/// The number of the last event under a whole subtree.
fn last_under(level: i32, number: i64) -> i64 {
    let bits = u32::try_from(level)
        .unwrap_or(u32::MAX)
        .saturating_mul(TILE.trailing_zeros());
    let events = 1_i64.checked_shl(bits).filter(|events| *events > 0);
    let last = events.and_then(|events| number.saturating_add(1).checked_mul(events));
    last.unwrap_or(i64::MAX)
}

/// Whether hashes are kept of events that are not there.
fn check_last_nodes(conn: &mut Conn, id: i32, report: &mut Report) -> Stored<()> {
    let last = audit::last_nodes(conn, id)?;
    // The log behind them: what is signed in between is of events that it has.
    let size = audit::logs(conn)?
        .into_iter()
        .find(|log| log.id == id)
        .map_or(0, |log| log.size);
    for (level, number) in last {
        if number.is_none_or(|number| number < 0 || level < 1 || last_under(level, number) > size) {
            report.find(id, "hashes are kept of events that are not there");
        }
    }
    Ok(())
}

/// On its way through a log.
struct Walk<'a> {
    log: i32,
    /// The number of the last event that was looked at.
    last: i64,
    /// The tree so far; none: events are missing, so nothing behind them can be compared with what was signed.
    edge: Option<Edge>,
    /// Whole subtrees since the last page.
    whole: Vec<(u8, u64, Hash)>,
    /// Up to where a checkpoint fits.
    signed: i64,
    claims: &'a Said,
}

impl Walk<'_> {
    fn newest_claim(&self) -> u64 {
        self.claims.keys().next_back().copied().unwrap_or(0)
    }

    fn take(&mut self, id: i64, row: Option<&AuditRow>, report: &mut Report) {
        let seq = id - audit::id_of(self.log, 0);
        if seq > self.last + 1 {
            let problem = if seq == self.last + 2 {
                "it is missing"
            } else {
                "they are missing"
            };
            report.find((self.log, self.last + 1, seq - 1), problem);
            self.edge = None;
        }
        self.last = seq;
        let Some(row) = row else {
            report.find((self.log, seq), "it cannot be read: it holds what is no text");
            self.edge = None;
            return;
        };
        let made = leaf(row.body.as_bytes());
        if made.as_slice() != row.leaf {
            report.find(
                (self.log, seq),
                "its hash does not fit its content: one of them was changed",
            );
        } else if let Err(problem) = check_columns(row) {
            report.find((self.log, seq), problem);
        }
        if seq == 1 && self.log == 0 && row.kind != Kind::Initialised.as_str() {
            report.find(
                (self.log, seq),
                "the first event of a record is that it was begun",
            );
        }
        // The stored hash: a changed body is told of its row, and does not hide what is right behind it.
        match (hash_of(&row.leaf), &mut self.edge) {
            (Ok(hash), Some(edge)) => {
                let whole = &mut self.whole;
                edge.push(hash, |level, number, hash| whole.push((level, number, hash)));
            }
            _ => self.edge = None,
        }
        self.compare(report);
    }

    /// Compares with what was signed of this size.
    fn compare(&mut self, report: &mut Report) {
        let Some(edge) = &self.edge else { return };
        let Some(said) = self.claims.get(&edge.size()) else {
            return;
        };
        let root = edge.root();
        for (signed, says) in said {
            if *signed == root {
                self.signed = self.last;
            } else {
                report.find(
                    (self.log, self.signed + 1, self.last),
                    format!(
                        "not what {says} of size {} says: something among them was changed",
                        edge.size()
                    ),
                );
                // What was changed there is told once, and not again by each later checkpoint.
                self.edge = None;
                return;
            }
        }
    }

    fn end(&mut self, log: Option<&Log>, report: &mut Report) {
        let newest = i64::try_from(self.newest_claim()).unwrap_or(i64::MAX);
        match log {
            None => report.find(self.log, "the log is missing"),
            Some(log) if log.size > self.last => {
                report.find(
                    (self.log, self.last + 1, log.size),
                    "missing: the log says that they are there",
                );
            }
            Some(log) if log.size < self.last => {
                report.find(
                    (self.log, log.size.max(0) + 1, self.last),
                    "the log does not say that they are there",
                );
            }
            Some(log) if newest > log.size => {
                report.find(
                    (self.log, log.size + 1, newest),
                    "missing: they were there when a checkpoint was signed",
                );
            }
            Some(_) => {}
        }
        if self.edge.is_none() && newest > self.signed {
            report.unproved.push(format!(
                "Log {}: events after {} could not be compared with what was signed, for what stands before is broken.",
                self.log, self.signed
            ));
        }
    }
}

/// Whether the columns by which the record is searched say what the body says.
fn check_columns(row: &AuditRow) -> Result<(), String> {
    let body: Value = serde_json::from_str(&row.body).map_err(|_| "its content is not JSON".to_owned())?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let actor = (text("actor_kind") == Some("person"))
        .then(|| text("actor"))
        .flatten();
    let by_person = actor.filter(|actor| text("person_id") != Some(actor));
    let columns = [
        (
            "at_ms",
            body.get("at_ms").and_then(Value::as_i64) == Some(row.at_ms),
        ),
        ("kind", text("kind") == Some(&row.kind)),
        ("outcome", text("outcome") == Some(&row.outcome)),
        ("client_id", text("client_id") == row.client_id.as_deref()),
        ("person_id", text("person_id") == row.person_id.as_deref()),
        ("by_person", by_person == row.by_person.as_deref()),
    ];
    match columns.into_iter().find(|(_, fits)| !fits) {
        Some((column, _)) => Err(format!("its column {column} differs from its content")),
        None => Ok(()),
    }
}
