//! Proofs that others can check with the public key alone: that an event stands in a log (c2sp.org/tlog-proof), and that a
//! log only grew since a checkpoint (RFC 6962 §2.1.2).

use data_encoding::BASE64;
use tlog_tiles::checkpoint::Checkpoint;
use tlog_tiles::tlog::{Hash, prove_record, prove_tree};

use super::checkpoint::PublicKeys;
use super::tree::Tree;
use crate::store::audit::{self, StoredCheckpoint};
use crate::store::{Conn, StoreBroken, Stored};

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// There is no such event.
    #[error("there is no such event")]
    NoEvent,
    /// There is no such log.
    #[error("there is no such log")]
    NoLog,
    /// It is not signed yet.
    #[error("nothing that has it is signed yet: the server signs what is new every minute while it runs")]
    NotSigned,
    /// The log has no such size, as far as it is signed.
    #[error("the newest checkpoint of the log is of a smaller size")]
    NoSize,
}

fn number(size: i64) -> Stored<u64> {
    u64::try_from(size).map_err(|cause| StoreBroken::stored("number", cause))
}

/// The newest checkpoint of a log, read.
fn newest(conn: &mut Conn, log: i32) -> Stored<Result<(Checkpoint, StoredCheckpoint), Unproved>> {
    if !audit::logs(conn)?.iter().any(|known| known.id == log) {
        return Ok(Err(Unproved::NoLog));
    }
    let keys = audit::checkpoint_keys(conn)?;
    let keys = PublicKeys::read(keys.iter().map(|key| key.public_key.as_str()))
        .map_err(|cause| StoreBroken::stored("checkpoint key", cause))?;
    let Some(stored) = audit::newest_checkpoint(conn, log)? else {
        return Ok(Err(Unproved::NotSigned));
    };
    let read = keys
        .checkpoint(&stored.note)
        .map_err(|cause| StoreBroken::stored("checkpoint", cause))?;
    Ok(Ok((read, stored)))
}

fn lines(hashes: &[Hash]) -> String {
    hashes
        .iter()
        .map(|hash| format!("{}\n", BASE64.encode(&hash.0)))
        .collect()
}

/// Proves that an event stands in its log: a text of c2sp.org/tlog-proof, with the newest checkpoint. `seq` counts from 1.
///
/// # Errors
/// What the database says; that there is no proof is a part of the answer.
pub fn inclusion(conn: &mut Conn, log: i32, seq: i64) -> Stored<Result<String, Unproved>> {
    let (signed, stored) = match newest(conn, log)? {
        Ok(newest) => newest,
        Err(unproved) => return Ok(Err(unproved)),
    };
    if seq < 1 || audit::row(conn, audit::id_of(log, seq))?.is_none() {
        return Ok(Err(Unproved::NoEvent));
    }
    let index = number(seq - 1)?;
    if index >= signed.size() {
        return Ok(Err(Unproved::NotSigned));
    }
    let tree = Tree::new(conn, log);
    let proof = prove_record(signed.size(), index, &tree).map_err(|cause| tree.failure(&cause))?;
    Ok(Ok(format!(
        "c2sp.org/tlog-proof@v1\nindex {index}\n{}\n{}",
        lines(&proof),
        stored.note
    )))
}

/// That a log only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The hashes of the proof, in base64.
    pub hashes: Vec<String>,
    /// The newest checkpoint of the log.
    pub checkpoint: String,
}

/// Proves that a log only grew between a size that it had and its newest checkpoint.
///
/// # Errors
/// What the database says; that there is no proof is a part of the answer.
pub fn consistency(conn: &mut Conn, log: i32, size: i64) -> Stored<Result<Consistency, Unproved>> {
    let (signed, stored) = match newest(conn, log)? {
        Ok(newest) => newest,
        Err(unproved) => return Ok(Err(unproved)),
    };
    if size < 1 || number(size)? > signed.size() {
        return Ok(Err(Unproved::NoSize));
    }
    let tree = Tree::new(conn, log);
    let proof = prove_tree(signed.size(), number(size)?, &tree).map_err(|cause| tree.failure(&cause))?;
    Ok(Ok(Consistency {
        hashes: proof.iter().map(|hash| BASE64.encode(&hash.0)).collect(),
        checkpoint: stored.note,
    }))
}
