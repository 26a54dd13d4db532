//! `/roles`, `/scopes`, `/dataflows` and `/vocabulary`: what the policy says, to be read.

use serde::Serialize;
use utoipa::ToSchema;

use super::operation::{Answered, Call, Group, Operation, Shape};
use super::query::{Accepts, LIMIT, Parameter, parameter};
use super::reply::{Page, Reply};
use crate::model::kind::Kind;
use crate::policy::Askers;
use crate::policy::console::Area;
use crate::policy::role::Coding;

/// A code of a code system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Coding)]
struct CodingView {
    /// URI of the code system.
    system: String,
    /// The code.
    code: String,
    /// Its meaning in words.
    display: String,
    /// A sentence, where the code system may be quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<String>,
}

/// A role that a person may have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
struct RoleView {
    /// Its code.
    code: String,
    /// Its name for people.
    label: String,
    /// The nearest codes of public code systems.
    codings: Vec<CodingView>,
    /// What its holders may be granted at most.
    scopes: String,
    /// The purposes of use for which they may act.
    purposes: Vec<String>,
    /// The most confidential data that they may see.
    #[schema(examples("R"))]
    clearance: Option<String>,
    /// Whether it is a role of the console.
    console: bool,
}

/// A scope that can be granted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
struct ScopeView {
    /// The scope.
    name: String,
    /// What the consent page says.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<String>,
    /// Who may be granted it: people, systems, both or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    askers: Option<&'static str>,
}

/// A dataflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dataflow)]
struct DataflowView {
    /// Its id.
    id: String,
    /// Its name for people.
    label: String,
    /// What sort of party the client is.
    client: String,
    /// The kinds of resource servers that it goes to.
    resource_servers: Vec<Kind>,
    /// `grant_type` values.
    grants: Vec<String>,
    /// What its clients may be granted at most.
    scopes: String,
    /// Purposes of use.
    purposes: Vec<String>,
    /// Whether nothing is granted without a purpose of use.
    purpose_required: bool,
    /// The longest life of an access token, in seconds.
    access_seconds: u32,
}

const VOCABULARY: [Parameter; 2] = [
    LIMIT,
    parameter("q", Accepts::Text, "Part of the code or of its meaning."),
];

/// The operations.
pub(super) fn group() -> Group {
    let operations = vec![
        Operation::get("/roles", "listRoles", roles)
            .says("List the roles", "Those of the console last.")
            .answers_page(Shape::of::<RoleView>()),
        Operation::get("/scopes", "listScopes", scopes)
            .says("List the scopes", "Those that can be granted at all.")
            .answers_page(Shape::of::<ScopeView>()),
        Operation::get("/dataflows", "listDataflows", dataflows)
            .says("List the dataflows", "")
            .answers_page(Shape::of::<DataflowView>()),
        Operation::get("/vocabulary", "searchVocabulary", vocabulary)
            .says(
                "Search the code systems",
                "Purposes of use, security roles, confidentiality and the like.",
            )
            .queries(&VOCABULARY)
            .answers_page(Shape::of::<CodingView>()),
    ];
    Group::new(
        "Policy",
        "Who may be granted what; the policy file decides it.",
        Area::Policy,
        operations,
    )
}

fn coding(coding: &Coding) -> CodingView {
    CodingView {
        system: coding.system.clone(),
        code: coding.code.clone(),
        display: coding.display.clone(),
        definition: None,
    }
}

async fn roles(call: Call) -> Answered {
    let view = |role: &crate::policy::role::Role| RoleView {
        code: role.code.clone(),
        label: role.label.clone(),
        codings: role.codings.iter().map(coding).collect(),
        scopes: role.scopes.to_string(),
        purposes: role.purposes.clone(),
        clearance: role.clearance.map(|clearance| clearance.code().to_owned()),
        console: role.console,
    };
    Ok(Reply::ok(&Page::whole(
        call.app.policy.roles().iter().map(view).collect(),
    )))
}

async fn scopes(call: Call) -> Answered {
    let policy = &call.app.policy;
    let view = |scope: &crate::model::scope::Scope| {
        let name = scope.to_string();
        let named = policy.named_scope(&name);
        let askers = named.map(|named| match named.askers {
            Askers::People => "people",
            Askers::Systems => "systems",
            Askers::Both => "both",
            Askers::None => "none",
        });
        ScopeView {
            sentence: named.map(|named| named.sentence.clone()),
            askers,
            name,
        }
    };
    Ok(Reply::ok(&Page::whole(
        policy.scopes_supported().iter().map(view).collect(),
    )))
}

async fn dataflows(call: Call) -> Answered {
    let view = |flow: &crate::policy::dataflow::Dataflow| DataflowView {
        id: flow.id.clone(),
        label: flow.label.clone(),
        client: flow.client.clone(),
        resource_servers: flow.resource_servers.clone(),
        grants: flow.grants.clone(),
        scopes: flow.scopes.to_string(),
        purposes: flow.purposes.clone(),
        purpose_required: flow.purpose_required,
        access_seconds: flow.access_seconds,
    };
    Ok(Reply::ok(&Page::whole(
        call.app.policy.dataflows().iter().map(view).collect(),
    )))
}

async fn vocabulary(call: Call) -> Answered {
    let limit = call.query.limit();
    let (found, _) = call
        .app
        .policy
        .vocabulary()
        .search(call.query.text("q").unwrap_or_default(), limit);
    let view = |concept: &crate::policy::vocabulary::Concept| CodingView {
        system: concept.system.clone(),
        code: concept.code.clone(),
        display: concept.display.clone(),
        definition: concept.definition.clone(),
    };
    Ok(Reply::ok(&Page::whole(found.into_iter().map(view).collect())))
}
