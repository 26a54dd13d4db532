//! `/audit/events`, `/audit/logs`, `/audit/bundle` and the proofs: the record, to be read and proved.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::operation::{self, Answered, Call, Group, Operation, Shape};
use super::problem::{MemberMistake, Problem};
use super::query::{Accepts, CURSOR, LIMIT, Parameter, cursor, number, parameter};
use super::reply::{Page, Reply, millis, time};
use crate::app::App;
use crate::audit::check::State;
use crate::audit::checkpoint::PublicKeys;
use crate::audit::event::{Actor, Kind, Outcome};
use crate::audit::proof::{self, Consistency, Unproved};
use crate::error::Broken;
use crate::policy::console::Area;
use crate::registry::record_check;
use crate::store::audit::{self, AuditRow, Log, StoredCheckpoint};
use crate::store::audit_search::{self, Place, Rest, Search};

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct View {
    /// The log that it stands in.
    log: i32,
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
    /// All of it, as it is hashed.
    #[schema(value_type = Object)]
    event: Value,
    /// SHA-256 over a byte 0 and its canonical JSON, in hexadecimal (RFC 6962 section 2.1).
    leaf: String,
}

/// A log of the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordLog)]
struct LogView {
    /// Its number.
    log: i32,
    /// What checkpoints call it.
    origin: String,
    /// How many events it has.
    size: i64,
    /// Its newest checkpoint: a signed note (c2sp.org/tlog-checkpoint).
    checkpoint: Option<String>,
    /// The keys that verify its checkpoints, of now and of before (c2sp.org/signed-note).
    verifier_keys: Vec<String>,
}

/// What is signed of the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedRecord)]
struct SignedView {
    /// When it was signed.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// A signed note that names all logs and their checkpoints of that moment. None: nothing is signed yet.
    bundle: Option<String>,
}

/// A proof that an event stands in its log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InclusionProof)]
struct InclusionView {
    /// The proof, with the checkpoint that it leads to (c2sp.org/tlog-proof).
    proof: String,
}

/// A proof that a log only grew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsistencyProof)]
struct ConsistencyView {
    /// The hashes of the proof (RFC 6962 section 2.1.2), in base64.
    hashes: Vec<String>,
    /// The newest checkpoint of the log, to which it leads.
    checkpoint: String,
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

/// The largest number of an event in its log, and the largest of a log: what the id of an event has room for.
const LARGEST: i64 = (1 << 40) - 1;
const LARGEST_LOG: i64 = (1 << 22) - 1;

const INCLUSION: [Parameter; 2] = [
    parameter("log", Accepts::Number(LARGEST_LOG), "The log; none: 0."),
    parameter(
        "seq",
        Accepts::Number(LARGEST),
        "The number of the event there, from 1.",
    )
    .required(),
];

const CONSISTENCY: [Parameter; 2] = [
    parameter("log", Accepts::Number(LARGEST_LOG), "The log; none: 0."),
    parameter("size", Accepts::Number(LARGEST), "The size that it had.").required(),
];

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::get("/audit/events", "listEvents", events)
            .says("Search the record", "The newest first.")
            .queries(&EVENTS)
            .answers_page(Shape::of::<View>()),
        Operation::get("/audit/logs", "listLogs", list_logs)
            .says(
                "List the logs of the record",
                "Each with its newest checkpoint. Kept elsewhere, it shows later that nothing was changed.",
            )
            .answers_page(Shape::of::<LogView>()),
        Operation::get("/audit/bundle", "getSignedRecord", signed)
            .says(
                "Get what is signed of the record",
                "All logs and their checkpoints of one moment.",
            )
            .answers(200, Shape::of::<SignedView>()),
        Operation::get("/audit/inclusion-proof", "proveInclusion", inclusion)
            .says(
                "Prove that an event is in the record",
                "Against the newest checkpoint of its log, which comes within a minute.",
            )
            .queries(&INCLUSION)
            .answers(200, Shape::of::<InclusionView>()),
        Operation::get("/audit/consistency-proof", "proveConsistency", consistency)
            .says(
                "Prove that a log only grew",
                "From a size that it had, as a checkpoint says it, to its newest checkpoint.",
            )
            .queries(&CONSISTENCY)
            .answers(200, Shape::of::<ConsistencyView>()),
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
    let before = match query.after::<2>()? {
        Some([at, id]) => Place {
            at_ms: number(&at)?,
            id: number(&id)?,
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
        Rest::More(place) | Rest::NotLookedAt(place) => {
            Some(cursor(&[place.at_ms.to_string(), place.id.to_string()]))
        }
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
        log: row.log(),
        seq: row.seq(),
        leaf: row.leaf_in_words(),
        at: millis(row.at_ms),
        kind: row.kind,
        outcome: row.outcome,
        client_id: row.client_id,
        user_id: row.person_id,
        event: serde_json::from_str(&row.body).unwrap_or_default(),
    }
}

/// A number of the address; the query was checked.
fn asked<T: std::str::FromStr + Default>(call: &Call, name: &'static str) -> T {
    let said = call.query.text(name).and_then(|said| said.parse().ok());
    said.unwrap_or_default()
}

/// Why there is no proof, beside the parameter that asks for it.
fn unproved(of: &'static str, cause: Unproved) -> Problem {
    let parameter = match cause {
        Unproved::NoLog => "log",
        Unproved::NoEvent | Unproved::NotSigned | Unproved::NoSize => of,
    };
    Problem::invalid(vec![MemberMistake::parameter(parameter, cause.to_string())])
}

async fn inclusion(call: Call) -> Answered {
    let (log, seq) = (asked(&call, "log"), asked(&call, "seq"));
    let proof = call.read(move |conn| proof::inclusion(conn, log, seq)).await?;
    let proof = proof.map_err(|cause| unproved("seq", cause))?;
    Ok(Reply::ok(&InclusionView { proof }))
}

async fn consistency(call: Call) -> Answered {
    let (log, size) = (asked(&call, "log"), asked(&call, "size"));
    let proof = call.read(move |conn| proof::consistency(conn, log, size)).await?;
    let Consistency { hashes, checkpoint } = proof.map_err(|cause| unproved("size", cause))?;
    Ok(Reply::ok(&ConsistencyView { hashes, checkpoint }))
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

async fn list_logs(call: Call) -> Answered {
    let read = call.read(|conn| {
        let keys = audit::checkpoint_keys(conn)?;
        let mut all = Vec::new();
        for log in audit::logs(conn)? {
            let checkpoint = audit::newest_checkpoint(conn, log.id)?;
            all.push((log, checkpoint));
        }
        Ok((keys, all))
    });
    let (keys, all) = read.await?;
    let keys = PublicKeys::read(keys.iter().map(|key| key.public_key.as_str())).map_err(Broken::defect)?;
    let view = |(log, checkpoint): (Log, Option<StoredCheckpoint>)| LogView {
        log: log.id,
        size: log.size,
        checkpoint: checkpoint.map(|stored| stored.note),
        verifier_keys: keys.verifier_keys(&log.origin),
        origin: log.origin,
    };
    Ok(Reply::ok(&Page::whole(all.into_iter().map(view).collect())))
}

async fn signed(call: Call) -> Answered {
    let bundle = call.read(audit::newest_bundle).await?;
    let (at, bundle) = bundle.map(|bundle| (millis(bundle.at_ms), bundle.note)).unzip();
    Ok(Reply::ok(&SignedView { at, bundle }))
}
