//! `/resource-servers`

use serde_json::json;

use super::noun::{self, Words, view};
use super::operation::{About, Answered, Call, Group};
use super::query::{Accepts, CURSOR, ENABLED, LIMIT, Parameter, page, parameter};
use super::reply::Reply;
use crate::model::resource_server::{ResourceServer, ResourceServerSettings};
use crate::policy::console::Area;

const LIST: [Parameter; 4] = [
    LIMIT,
    CURSOR,
    parameter("q", Accepts::Text, "Part of the name, the id or the audience."),
    ENABLED,
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
    Group::new(
        "Resource servers",
        "The FHIR servers that accept our tokens.",
        Area::ResourceServers,
        noun::operations::<ResourceServerSettings, _>(&words, list),
    )
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
