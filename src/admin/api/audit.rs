//! `/audit/events` and `/audit/heads`: the record, to be read.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::operation::{self, Answered, Call, Group, Operation, Shape};
use super::problem::Problem;
use super::query::{Accepts, CURSOR, LIMIT, Parameter, cursor, number, parameter};
use super::reply::{Page, Reply, millis, time};
use crate::app::App;
use crate::audit::check::State;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::policy::console::Area;
use crate::registry::record_check;
use crate::store::audit::{AuditRow, Head, heads};
use crate::store::audit_search::{self, Place, Rest, Search};

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct View {
    /// The chain that it stands in.
    chain: i32,
    /// Its number there, from 1.
    seq: i64,
    /// When it happened.
    #[schema(format = DateTime)]
    at: String,
    /// What happened.
    #[schema(examples("client.changed"))]
    kind: String,
    /// How it ended: 0 well, 4 refused, 8 refused and alarming (FHIR AuditEvent.outcome).
    outcome: String,
    /// The client concerned.
    client_id: Option<String>,
    /// The person concerned.
    user_id: Option<String>,
    /// All of it, as the chain commits to it.
    #[schema(value_type = Object)]
    event: Value,
    /// SHA-256 over it, in base64url or hexadecimal as the chain has it.
    leaf: String,
}

/// Where a chain ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChainHead)]
struct HeadView {
    /// The chain.
    chain: i32,
    /// The number of its last event.
    seq: i64,
    /// The hash that stands for all of it.
    head: String,
}

/// The check of the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordCheck)]
struct CheckView {
    /// Whether one runs.
    running: bool,
    /// How many events it has looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<usize>,
    /// The last one that ended on this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<LastCheckView>,
}

/// A check that has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedRecordCheck)]
struct LastCheckView {
    /// When it ended.
    #[schema(format = DateTime)]
    at: String,
    /// Whether the record is sound.
    sound: bool,
    /// How many events are sound.
    events: i64,
    /// What was found.
    findings: Vec<String>,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

const EVENTS: [Parameter; 8] = [
    LIMIT,
    CURSOR,
    parameter(
        "user",
        Accepts::Text,
        "Only those that concern this person, by id.",
    ),
    parameter("client", Accepts::Text, "Only those that concern this client."),
    parameter(
        "kind",
        Accepts::Kind,
        "Only those of this kind, such as `client.changed`.",
    ),
    parameter(
        "outcome",
        Accepts::Word(&["0", "4", "8"]),
        "Only those that ended so.",
    ),
    parameter("from", Accepts::Time, "Only those from this time on."),
    parameter("to", Accepts::Time, "Only those before this time."),
];

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::get("/audit/events", "listEvents", events)
            .says("Search the record", "The newest first.")
            .queries(&EVENTS)
            .answers_page(Shape::of::<View>()),
        Operation::get("/audit/heads", "listChainHeads", chain_heads)
            .says(
                "Say where the chains end",
                "Kept elsewhere, they show later that nothing was changed.",
            )
            .answers_page(Shape::of::<HeadView>()),
        Operation::get("/audit/check", "getRecordCheck", shown_check)
            .says("Look at the check of the record", "Whether one runs, and what the last one found.")
            .answers(200, Shape::of::<CheckView>()),
        Operation::post("/audit/check", "checkRecord", begin_check)
            .only_looks()
            .says(
                "Check the record",
                "Looks in the background whether anything in the record was changed; one check at a time. What it finds is recorded.",
            )
            .answers(202, Shape::of::<CheckView>()),
    ];
    Group::new("Audit", "The record of what happened.", Area::Audit, operations)
}

async fn events(call: Call) -> Answered {
    let (query, limit) = (&call.query, call.query.limit());
    let before = match query.after::<3>()? {
        Some([at, chain, seq]) => Place {
            at_ms: number(&at)?,
            chain: number(&chain)?,
            seq: number(&seq)?,
        },
        None => Place::END,
    };
    let search = Search {
        person: query.owned("user"),
        client: query.owned("client"),
        kinds: query.text("kind").and_then(Kind::parse).into_iter().collect(),
        outcome: query.text("outcome").and_then(outcome),
        from_ms: query.time_ms("from").unwrap_or(0),
        to_ms: query.time_ms("to").unwrap_or(i64::MAX),
        before,
    };
    note_look(&call).await?;
    let found = call
        .read(move |conn| audit_search::find(conn, &search, limit))
        .await?;
    // Where few of many fit, a page may have none of them and still go on: no call looks at all of the record.
    let next = match found.rest {
        Rest::Nothing => None,
        Rest::More(place) | Rest::NotLookedAt(place) => Some(cursor(&[
            place.at_ms.to_string(),
            place.chain.to_string(),
            place.seq.to_string(),
        ])),
    };
    Ok(Reply::ok(&Page {
        items: found.rows.into_iter().map(view).collect(),
        next_cursor: next,
    }))
}

/// The outcome of a code of FHIR AuditEvent.outcome.
fn outcome(code: &str) -> Option<Outcome> {
    [Outcome::Success, Outcome::MinorFailure, Outcome::SeriousFailure]
        .into_iter()
        .find(|known| known.as_str() == code)
}

/// Records that a program reads this part of the record, once a minute.
async fn note_look(call: &Call) -> Result<(), Problem> {
    let filters = EVENTS
        .iter()
        .filter(|query| !matches!(query.accepts, Accepts::Limit | Accepts::Cursor));
    let said = filters.filter_map(|query| Some(format!(" {}={}", query.name, call.query.text(query.name)?)));
    let at = format!("/admin/api/v1/audit/events{}", said.collect::<String>());
    operation::note_look(&call.app, &call.caller, Kind::AuditRead, at).await
}

fn view(row: AuditRow) -> View {
    View {
        chain: row.chain,
        seq: row.seq,
        at: millis(row.at_ms),
        kind: row.kind,
        outcome: row.outcome,
        client_id: row.client_id,
        user_id: row.person_id,
        event: serde_json::from_str(&row.body).unwrap_or_default(),
        leaf: row.leaf,
    }
}

fn check_of(app: &App) -> CheckView {
    let State { running_since, last } = app.check.state();
    CheckView {
        running: running_since.is_some(),
        looked_at: running_since.map(|_| app.check.rows()),
        last: last.map(|ended| {
            let findings = ended.findings();
            LastCheckView {
                at: time(ended.at),
                sound: ended.outcome.is_ok() && findings.is_empty(),
                events: ended.events(),
                findings,
                failed: ended.outcome.as_ref().err().cloned(),
            }
        }),
    }
}

async fn shown_check(call: Call) -> Answered {
    let at = "/admin/api/v1/audit/check".to_owned();
    operation::note_look(&call.app, &call.caller, Kind::AuditRead, at).await?;
    Ok(Reply::ok(&check_of(&call.app)))
}

async fn begin_check(call: Call) -> Answered {
    let event = call
        .app
        .event(Kind::AuditChecked, Actor::ApiToken(call.caller.token.id.clone()));
    record_check::begin(&call.app, event.from(call.caller.address.to_string()))?;
    Ok(Reply::ok(&check_of(&call.app)).accepted())
}

async fn chain_heads(call: Call) -> Answered {
    let view = |head: Head| HeadView {
        chain: head.id,
        seq: head.seq,
        head: head.head,
    };
    let heads = call.read(heads).await?;
    Ok(Reply::ok(&Page::whole(heads.into_iter().map(view).collect())))
}
