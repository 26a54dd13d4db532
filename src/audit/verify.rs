//! Checks the record: each row is what it says, follows the one before it, and the last one is the head.
//!
//! This finds what was changed, dropped, inserted or put in another order. Whoever can write the whole table can also
//! write a new chain; so keep the heads that a check prints, elsewhere.

use serde_json::Value;

use super::chain::{GENESIS, leaf};
use crate::error::Broken;
use crate::store::Store;
use crate::store::audit::{AuditRow, Head, heads, rows_after};

/// How many rows are read at a time.
const PAGE: i64 = 1000;

/// A chain that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its number.
    pub id: i32,
    /// How many of its rows are sound, from the first.
    pub sound: i64,
    /// The leaf of the last sound row.
    pub head: String,
    /// The first row that is not sound, and why.
    pub finding: Option<BrokenRow>,
}

/// A row that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRow {
    /// The number that the row has, or should have.
    pub seq: i64,
    /// What is wrong with it.
    pub problem: String,
}

/// Checks all chains. Rows that are written meanwhile are checked too. Must not run where async tasks run.
///
/// # Errors
/// What the store says; findings are part of the answer.
pub fn verify(store: &Store) -> Result<Vec<Chain>, Broken> {
    verify_telling(store, |_| {})
}

/// The same, telling after each step how many rows it was.
pub fn verify_telling(store: &Store, mut tell: impl FnMut(usize)) -> Result<Vec<Chain>, Broken> {
    let heads = store.read_blocking(heads)?;
    heads
        .into_iter()
        .map(|head| verify_chain(store, head.id, &mut tell))
        .collect()
}

fn verify_chain(store: &Store, id: i32, tell: &mut impl FnMut(usize)) -> Result<Chain, Broken> {
    let mut chain = Chain {
        id,
        sound: 0,
        head: GENESIS.to_owned(),
        finding: None,
    };
    loop {
        let after = chain.sound;
        // The head first: what is written in between makes the rows longer, never shorter.
        let (head, rows) = store.read_blocking(move |conn| {
            let head = heads(conn)?.into_iter().find(|head| head.id == id);
            Ok((head, rows_after(conn, id, after, PAGE)?))
        })?;
        if rows.is_empty() {
            chain.finding = check_head(&chain, head.as_ref());
            return Ok(chain);
        }
        for row in &rows {
            if let Err(problem) = check_row(&chain, row) {
                chain.finding = Some(BrokenRow {
                    seq: row.seq,
                    problem,
                });
                return Ok(chain);
            }
            chain.sound = row.seq;
            chain.head.clone_from(&row.leaf);
        }
        tell(rows.len());
    }
}

fn check_head(chain: &Chain, head: Option<&Head>) -> Option<BrokenRow> {
    let problem = match head {
        None => "the head of the chain is missing".to_owned(),
        Some(head) if head.seq > chain.sound => {
            return Some(BrokenRow {
                seq: chain.sound + 1,
                problem: format!("it is missing: the head says that there are {} rows", head.seq),
            });
        }
        Some(head) if head.seq < chain.sound => {
            format!("it stands behind the head, which is row {}", head.seq)
        }
        Some(head) if head.head != chain.head => "the head has another hash than this last row".to_owned(),
        Some(_) => return None,
    };
    Some(BrokenRow {
        seq: chain.sound,
        problem,
    })
}

fn check_row(chain: &Chain, row: &AuditRow) -> Result<(), String> {
    if row.seq != chain.sound + 1 {
        return Err(format!("row {} is missing before it", chain.sound + 1));
    }
    if leaf(&row.body) != row.leaf {
        return Err("its hash does not fit its content: one of them was changed".to_owned());
    }
    let body: Value = serde_json::from_str(&row.body).map_err(|_| "its content is not JSON".to_owned())?;
    if body.get("prev").and_then(Value::as_str) != Some(&chain.head) {
        return Err(format!(
            "it does not follow row {}: rows were changed, dropped or put in another order",
            chain.sound
        ));
    }
    let number = |name: &str| body.get(name).and_then(Value::as_i64);
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let columns = [
        ("chain", number("chain") == Some(row.chain.into())),
        ("seq", number("seq") == Some(row.seq)),
        ("at_ms", number("at_ms") == Some(row.at_ms)),
        ("kind", text("kind") == Some(&row.kind)),
        ("outcome", text("outcome") == Some(&row.outcome)),
        ("client_id", text("client_id") == row.client_id.as_deref()),
        ("person_id", text("person_id") == row.person_id.as_deref()),
        // Rows of an older schema have none.
        (
            "by_person",
            row.by_person.is_none()
                || (text("actor_kind"), text("actor")) == (Some("person"), row.by_person.as_deref()),
        ),
    ];
    match columns.into_iter().find(|(_, fits)| !fits) {
        Some((column, _)) => Err(format!("its column {column} differs from its content")),
        None => Ok(()),
    }
}
