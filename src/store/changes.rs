//! What other processes must learn of: a log in commit order behind the installation's revision row.

use diesel::prelude::*;
use strum::{EnumString, IntoStaticStr};

use super::schema::{change, installation};
use super::{Conn, StoreBroken, Stored, each};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum ChangeKind {
    /// A client: load it again.
    Client,
    /// A resource server: load it again.
    ResourceServer,
    /// An identity provider: load it again.
    IdentityProvider,
    /// A person's generation or state: load it again.
    Person,
    /// A grant was revoked.
    GrantRevoked,
    /// A single access token was revoked, by its `jti`.
    TokenRevoked,
    /// The signing keys: load them again.
    Keys,
    /// Clients are to be told that a session has ended.
    LogoutNotice,
}

impl ChangeKind {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A change to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What kind.
    pub kind: ChangeKind,
    /// Whose: a client's id, a grant's id, a `jti`, ….
    pub subject: String,
    /// Until when others need to know, in seconds since the epoch.
    pub purge_at: i64,
}

/// Records changes. It takes the revision row last in a transaction, so that numbers come in commit order.
pub(super) fn record(conn: &mut Conn, changes: &[Change]) -> Stored<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(changes.len()).map_err(|cause| StoreBroken::Defect(cause.to_string()))?;
    let last: i64 = each!(conn, c => diesel::update(installation::table.find(1))
        .set(installation::revision.eq(installation::revision + count))
        .returning(installation::revision)
        .get_result(c))?;
    for (seq, item) in (last - count + 1..).zip(changes) {
        each!(conn, c => diesel::insert_into(change::table)
            .values((
                change::seq.eq(seq),
                change::kind.eq(item.kind.as_str()),
                change::subject.eq(&item.subject),
                change::purge_at.eq(item.purge_at),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// The number of the last change.
pub fn revision(conn: &mut Conn) -> Stored<i64> {
    Ok(each!(conn, c => installation::table.find(1).select(installation::revision).get_result(c))?)
}

/// The changes after a number, in order, each with its own.
pub fn after(conn: &mut Conn, seq: i64) -> Stored<Vec<(i64, Change)>> {
    let rows: Vec<(i64, String, String, i64)> =
        each!(conn, c => change::table.filter(change::seq.gt(seq)).order(change::seq).load(c))?;
    rows.into_iter()
        .map(|(seq, kind, subject, purge_at)| {
            let kind = kind.parse().map_err(|_| StoreBroken::stored("change", &kind))?;
            Ok((
                seq,
                Change {
                    kind,
                    subject,
                    purge_at,
                },
            ))
        })
        .collect()
}
