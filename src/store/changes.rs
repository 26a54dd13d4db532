//! What other processes must learn of: a log in commit order behind the installation's revision row.

use diesel::prelude::*;
use strum::{EnumString, IntoStaticStr};

use super::schema::{change, installation};
use super::{Conn, StoreBroken, Stored, each};
use crate::clock::Entropy;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum ChangeKind {
    /// An agency: load it again, and what belongs to it.
    Agency,
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
    let id = Entropy.id("chg");
    let last: i64 = each!(conn, c => diesel::update(installation::table.find(1))
        .set((
            installation::revision.eq(installation::revision + count),
            installation::revision_id.eq(&id),
        ))
        .returning(installation::revision)
        .get_result(c))?;
    for (seq, item) in (last - count + 1..).zip(changes) {
        each!(conn, c => diesel::insert_into(change::table)
            .values((
                change::seq.eq(seq),
                change::kind.eq(item.kind.as_str()),
                change::subject.eq(&item.subject),
                change::purge_at.eq(item.purge_at),
                change::id.eq(&id),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// A place in the log of changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// The number of the last change; 0: there was none.
    pub seq: i64,
    /// The id of the transaction that made it: the same number with another one is another history.
    pub id: String,
}

/// The last change.
pub fn revision(conn: &mut Conn) -> Stored<Revision> {
    let (seq, id) = each!(conn, c => installation::table
        .find(1)
        .select((installation::revision, installation::revision_id))
        .get_result(c))?;
    Ok(Revision { seq, id })
}

/// The changes after the one that was read last, in order, each with its place. None where they do not follow it: it is
/// not there any more, it is another one, or some in between are gone.
pub fn since(conn: &mut Conn, seen: &Revision) -> Stored<Option<Vec<(Revision, Change)>>> {
    let mut rows = after(conn, seen.seq - 1)?.into_iter().peekable();
    if seen.seq > 0 && rows.next_if(|(at, _)| at == seen).is_none() {
        return Ok(None);
    }
    let new: Vec<_> = rows.collect();
    let follow = (seen.seq + 1..).zip(&new).all(|(seq, (at, _))| at.seq == seq);
    Ok((follow && !new.is_empty()).then_some(new))
}

/// The changes after a number, in order, each with its place.
pub fn after(conn: &mut Conn, seq: i64) -> Stored<Vec<(Revision, Change)>> {
    let rows: Vec<(i64, String, String, i64, String)> =
        each!(conn, c => change::table.filter(change::seq.gt(seq)).order(change::seq).load(c))?;
    rows.into_iter()
        .map(|(seq, kind, subject, purge_at, id)| {
            let kind = kind.parse().map_err(|_| StoreBroken::stored("change", &kind))?;
            Ok((
                Revision { seq, id },
                Change {
                    kind,
                    subject,
                    purge_at,
                },
            ))
        })
        .collect()
}
