//! `/resource-servers`

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::noun::{self, Words, view};
use super::operation::{self, About, Answered, Call, Group, Operation, Shape};
use super::problem::{MemberMistake, Problem};
use super::query::{Accepts, CURSOR, ENABLED, LIMIT, Parameter, page, parameter};
use super::reply::Reply;
use crate::admin::resource_servers::preview::{self, Asked};
use crate::audit::event::Kind;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings};
use crate::policy::console::{Area, Right};

const LIST: [Parameter; 4] = [
    LIMIT,
    CURSOR,
    parameter("q", Accepts::Text, "Part of the name, the id or the audience."),
    ENABLED,
];

/// A token as it would be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenPreview)]
struct PreviewView {
    /// The header of a signed token; none: the token is opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    header: Option<Value>,
    /// The claims of the token.
    #[schema(value_type = Object)]
    claims: Value,
    /// What introspection answers.
    #[schema(value_type = Object)]
    introspection: Value,
    /// What was asked for and would not be granted.
    narrowed: Vec<String>,
}

const PREVIEW: [Parameter; 4] = [
    parameter("client", Accepts::Text, "The client that asks, by its id."),
    parameter(
        "username",
        Accepts::Text,
        "Who signs in; for programs that may look at people.",
    ),
    parameter(
        "role",
        Accepts::Text,
        "The role of an example person who signs in, if nobody is named.",
    ),
    parameter("scope", Accepts::Text, "The scopes that are asked for."),
];

/// The operations.
pub(super) fn group() -> Group {
    let words = Words {
        path: "/resource-servers",
        one: "ResourceServer",
        several: "ResourceServers",
        about: About::Everybody,
        list: &LIST,
        example: json!({
            "id": "cms-fulton",
            "name": "Fulton County MDI CMS",
            "audience": "https://cms.fulton.example/fhir",
            "kind": "cms",
            "signing_alg": "RS256",
        }),
        change: json!({ "name": "Fulton County CMS" }),
        says: [
            "What is left out takes its default. A secret that is made is in the answer, this once.",
            "It cannot be deleted while clients use it; they are named.",
            "Nobody gets a token for it any more, and it gets no answers.",
            "Tokens from before it was disabled stay inactive.",
            "The old one stays valid for a while, so that the server never stands still. At most two are valid at a time.",
        ],
    };
    let mut operations = noun::operations::<ResourceServerSettings, _>(&words, list);
    operations.push(
        Operation::get("/resource-servers/{id}/preview", "previewToken", preview)
            .says(
                "Preview a token",
                "What a token of a client for this server would say, without issuing one.",
            )
            .queries(&PREVIEW)
            .answers(200, Shape::of::<PreviewView>()),
    );
    Group::new(
        "Resource servers",
        "The FHIR servers that accept our tokens.",
        Area::ResourceServers,
        operations,
    )
}

async fn preview(call: Call) -> Answered {
    let server = noun::read::<ResourceServerSettings>(&call).await?;
    let said = |name: &str| call.query.text(name).unwrap_or_default().to_owned();
    let asked = Asked {
        client: said("client"),
        username: said("username"),
        role: said("role"),
        scope: said("scope"),
    };
    let refuse = |parameter: &'static str, detail: String| {
        Problem::invalid(vec![MemberMistake {
            pointer: None,
            parameter: Some(parameter.into()),
            detail,
        }])
    };
    if asked.client.is_empty() {
        return Err(refuse("client", "say which client asks".to_owned()));
    }
    if !asked.username.is_empty() {
        if !call.caller.may(Area::People, Right::Read) {
            let what = "this token may not look at people: name a role instead";
            return Err(refuse("username", what.to_owned()));
        }
        let at = format!(
            "/admin/api/v1/resource-servers/{}/preview username={}",
            call.id, asked.username
        );
        operation::note_look(&call.app, &call.caller, Kind::PeopleRead, at).await?;
    }
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_default();
    match preview::of(&call.app, &server, &asked).await? {
        Err(why) => Err(refuse(why.parameter, why.text)),
        Ok(preview) => Ok(Reply::ok(&PreviewView {
            header: preview.header.as_deref().map(parsed),
            claims: parsed(&preview.claims),
            introspection: parsed(&preview.introspection),
            narrowed: preview.narrowed,
        })),
    }
}

async fn list(call: Call) -> Answered {
    let query = &call.query;
    let after = query.after::<1>()?.map(|[id]| id);
    let wanted = query.text("q").unwrap_or_default().to_lowercase();
    let is_wanted = |server: &ResourceServer| {
        let named = [&server.id, &server.name, &server.settings.audience];
        after.as_ref().is_none_or(|after| server.id > *after)
            && query
                .flag("enabled")
                .is_none_or(|enabled| server.enabled == enabled)
            && named.iter().any(|text| text.to_lowercase().contains(&wanted))
    };
    let mut all = call.app.live.resource_servers();
    all.retain(|live| is_wanted(&live.server));
    all.sort_by(|one, other| one.server.id.cmp(&other.server.id));
    Ok(Reply::ok(&page(
        all,
        query.limit(),
        |live| vec![live.server.id.clone()],
        |live| view(&live.server, None),
    )))
}
