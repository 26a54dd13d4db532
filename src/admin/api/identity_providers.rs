//! `/identity-providers`

use serde_json::json;

use super::noun::{self, Words, view};
use super::operation::{About, Answered, Call, Group};
use super::query::{CURSOR, LIMIT, Parameter, page};
use super::reply::Reply;
use crate::model::identity_provider::IdentityProviderSettings;
use crate::policy::console::Area;

const LIST: [Parameter; 2] = [LIMIT, CURSOR];

/// The operations.
pub(super) fn group() -> Group {
    let words = Words {
        path: "/identity-providers",
        one: "IdentityProvider",
        several: "IdentityProviders",
        about: About::Everybody,
        list: &LIST,
        example: json!({
            "id": "fulton",
            "name": "Fulton County",
            "issuer": "https://idp.fulton.example",
            "client_id": "mdi-auth",
            "auth_method": "none",
        }),
        change: json!({ "name": "Fulton County ME" }),
        says: [
            "What is left out takes its default. `secret` is ours there; it is never answered.",
            "The accounts stay, but nobody signs in to them with it any more. Who signed in with it is signed out.",
            "Nobody can sign in with it any more, and who did is signed out.",
            "People can sign in with it again.",
            "",
        ],
    };
    Group::new(
        "Identity providers",
        "Providers of agencies that people may sign in with (OpenID Connect).",
        Area::IdentityProviders,
        noun::operations::<IdentityProviderSettings, _>(&words, list),
    )
}

async fn list(call: Call) -> Answered {
    let after = call.query.after::<1>()?.map(|[id]| id);
    let mut all = call.app.live.identity_providers();
    all.retain(|provider| after.as_ref().is_none_or(|after| provider.id > *after));
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Reply::ok(&page(
        all,
        call.query.limit(),
        |provider| vec![provider.id.clone()],
        |provider| view(&provider, None),
    )))
}
