//! `/apply`: an apply file, all or nothing; `/export`: such a file of what is registered.

use serde::Serialize;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{Answered, Call, Group, Operation, Shape};
use super::problem::{MemberMistake, Problem};
use super::query::{Accepts, Parameter, parameter};
use super::reply::Reply;
use super::users::LinkView;
use crate::policy::console::Area;
use crate::registry::Registry;
use crate::registry::apply::{self, ApplyError, Outcome};
use crate::registry::export;
use crate::store::Tx;

/// What was done, or would be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Applied)]
struct View {
    /// Whether anything changes.
    changes: bool,
    /// One line an object: `+` new, `~` changed, `=` as it was.
    lines: Vec<String>,
    /// What is left to do.
    notes: Vec<String>,
    /// Secrets that were made: in this answer, and never again.
    secrets: Vec<MadeSecret>,
    /// Invitations of people who are new and have no password: in this answer, and never again.
    invitations: Vec<LinkView>,
}

/// A secret that was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeSecret {
    /// Whose it is.
    #[schema(examples("client lims-uf-tox"))]
    owner: String,
    /// The secret.
    secret: String,
}

const DRY_RUN: [Parameter; 1] = [parameter(
    "dry_run",
    Accepts::Flag,
    "Whether only to say what would change. Nothing is kept then.",
)];

const WITHOUT_USERS: [Parameter; 1] = [parameter(
    "without_users",
    Accepts::Flag,
    "Whether to leave people out.",
)];

/// What is registered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
struct ExportView {
    /// The apply file (TOML).
    file: String,
}

const EXAMPLE: &str = "[[client]]
client_id = \"lims-uf-tox\"
name = \"UF Forensic Toxicology LIMS\"
dataflow = \"lims-to-cms\"
resource_servers = [\"cms-fulton\"]
";

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::post("/apply", "apply", apply)
            .says(
                "Apply a file",
                "It merges and never deletes: what the file does not say stays. All or nothing.",
            )
            .queries(&DRY_RUN)
            .takes_file(Reads::File, "An apply file (TOML).", EXAMPLE)
            .answers(200, Shape::of::<View>()),
        Operation::get("/export", "export", export_file)
            .says(
                "Export what is registered",
                "An apply file without secrets. Applied to an empty server, it makes the same registration.",
            )
            .queries(&WITHOUT_USERS)
            .answers(200, Shape::of::<ExportView>()),
    ];
    let says = "Resource servers, clients, identity providers and people as a file says.";
    Group::new("Configuration", says, Area::Configuration, operations)
}

fn reply(outcome: &Outcome) -> Reply {
    let secret = |(owner, secret): &(String, crate::model::secret::Secret)| MadeSecret {
        owner: owner.clone(),
        secret: secret.reveal().to_owned(),
    };
    Reply::ok(&View {
        changes: outcome.changes,
        lines: outcome.lines.clone(),
        notes: outcome.notes.clone(),
        secrets: outcome.secrets.iter().map(secret).collect(),
        invitations: outcome.invitations.iter().map(LinkView::of).collect(),
    })
}

fn refused(lines: Vec<String>) -> Problem {
    let fault = |line| MemberMistake {
        pointer: None,
        parameter: None,
        detail: line,
    };
    Problem::invalid(lines.into_iter().map(fault).collect())
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Mistakes(lines) => refused(lines),
            ApplyError::Refused(cause) => cause.into(),
        }
    }
}

async fn apply(call: Call) -> Answered {
    let (file, dry_run) = (call.file()?, call.query.flag("dry_run").unwrap_or(false));
    let prepared = call
        .prepare(move |registry| apply::prepare(registry, &file, dry_run))
        .await?;
    if dry_run {
        return Ok(reply(&prepared.outcome));
    }
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        Ok(apply::perform(registry, tx, &prepared)?
            .map(|outcome| reply(&outcome))
            .map_err(refused))
    };
    call.change(job).await
}

async fn export_file(call: Call) -> Answered {
    let with_users = !call.query.flag("without_users").unwrap_or(false);
    let file = call
        .prepare(move |registry| export::export(registry, with_users))
        .await?;
    Ok(Reply::ok(&ExportView { file }))
}
