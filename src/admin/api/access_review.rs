//! `/access-review`: who holds which role, to be read. Who signs for it does so at the console: that is a person's affair.

use serde::Serialize;
use utoipa::ToSchema;

use super::operation::{Answered, Call, Group, Operation, Shape};
use super::query::{Accepts, Parameter, parameter};
use super::reply::Reply;
use crate::policy::console::Area;
use crate::registry::{Registry, review};
use crate::store::Tx;

/// Who holds which role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessReview)]
struct View {
    /// Comma-separated values, a line for each role of a person.
    file: String,
    /// SHA-256 of the file, as the record has it.
    sha256: String,
    /// How many people are in it.
    people: usize,
}

const ROLE: [Parameter; 1] = [parameter(
    "role",
    Accepts::Text,
    "Only who holds this role, by its code.",
)];

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::get("/access-review", "getAccessReview", export)
            .says(
                "List who holds which role",
                "Recorded as an export, with the fingerprint of the file.",
            )
            .queries(&ROLE)
            .answers(200, Shape::of::<View>()),
    ];
    let says = "Who holds which role, for those who answer for it.";
    Group::new("Access review", says, Area::AccessReview, operations)
}

async fn export(call: Call) -> Answered {
    let (app, role) = (std::sync::Arc::clone(&call.app), call.query.owned("role"));
    let list = call.read(move |conn| review::list(&app, conn, role)).await?;
    let view = View {
        file: String::from_utf8_lossy(&list.file).into_owned(),
        sha256: list.sha256(),
        people: list.people(),
    };
    call.change(move |registry: &Registry, tx: &mut Tx<'_>| {
        Ok(match review::export(registry, tx, &list)? {
            Ok(()) => Ok(Reply::ok(&view)),
            Err(mistakes) => Err(mistakes.into()),
        })
    })
    .await
}
