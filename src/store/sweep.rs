//! The sweeper's queries: deletes what has passed its `purge_at`, in small batches. Signing keys go by rotation, audit events never.

use diesel::prelude::*;

use super::schema::{
    activity, assertion_jti, authorization_code, change, first_link, grants, idempotency, link,
    login_failure, logout_notice, opaque_token, refresh_token, session, vendor_link,
};
use super::{Conn, Stored, each};

/// How long after its time a change stays, in seconds: other servers may just be about to read it.
const READ_BY_ALL: i64 = 60;

/// Deletes up to `limit` rows a table that may go. Answers how many went.
pub fn sweep(conn: &mut Conn, now: i64, limit: i64) -> Stored<usize> {
    // Keys first, then the rows: both databases know this form, neither a DELETE with LIMIT.
    macro_rules! purge {
        ($table:ident, $key:ident: $type:ty) => {{
            let keys: Vec<$type> = each!(conn, c => $table::table
                .filter($table::purge_at.le(now))
                .select($table::$key)
                .limit(limit)
                .load(c))?;
            if keys.is_empty() {
                0
            } else {
                each!(conn, c => diesel::delete($table::table.filter($table::$key.eq_any(&keys))).execute(c))?
            }
        }};
    }
    let mut gone = 0;
    gone += purge!(opaque_token, hash: String);
    gone += purge!(refresh_token, hash: String);
    gone += purge!(authorization_code, hash: String);
    gone += purge!(grants, id: String);
    gone += purge!(session, id: String);
    gone += purge!(link, hash: String);
    gone += purge!(first_link, hash: String);
    gone += purge!(vendor_link, hash: String);
    gone += purge!(idempotency, key: String);
    gone += purge!(logout_notice, id: String);
    gone += purge!(login_failure, subject: String);
    gone += purge!(assertion_jti, hash: String);
    gone += forget_changes(conn, now, limit)?;
    gone += purge!(activity, hour: i64);
    Ok(gone)
}

/// Changes that nobody needs to know of any more, but for the last: by it others see that they have missed none.
fn forget_changes(conn: &mut Conn, now: i64, limit: i64) -> Stored<usize> {
    let last = super::changes::revision(conn)?.seq;
    let old: Vec<i64> = each!(conn, c => change::table
        .filter(change::purge_at.le(now - READ_BY_ALL).and(change::seq.lt(last)))
        .select(change::seq)
        .limit(limit)
        .load(c))?;
    if old.is_empty() {
        return Ok(0);
    }
    Ok(each!(conn, c => diesel::delete(change::table.filter(change::seq.eq_any(&old))).execute(c))?)
}
