//! Revoking a grant: what ends tokens at the next introspection, wherever it is decided.

use crate::model::token::LONGEST_LIFE;
use crate::store::changes::{Change, ChangeKind};
use crate::store::{Stored, Tx, grants};

/// How much longer than the longest access token a revocation is told, in seconds.
pub const TOLD_LONGER: i64 = 3600;

/// Revokes a grant with all its tokens. Answers whether it was alive.
pub fn revoke_grant(tx: &mut Tx<'_>, id: &str, now: i64) -> Stored<bool> {
    let alive = grants::revoke(tx.conn(), id, now)?;
    if alive {
        // Not the configured lifetime: it may have been longer when the tokens were issued.
        let purge_at = now + LONGEST_LIFE + TOLD_LONGER;
        tx.changed(Change {
            kind: ChangeKind::GrantRevoked,
            subject: id.to_owned(),
            purge_at,
        });
    }
    Ok(alive)
}
