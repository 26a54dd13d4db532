//! `/keys`

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{Answered, Call, Group, Operation, Shape};
use super::reply::{Page, Reply, time};
use crate::model::signing::{Algorithm, StoredKey};
use crate::policy::console::Area;
use crate::registry::Registry;
use crate::registry::keys::{self, State};
use crate::store::{Tx, keys as stored};

/// A signing key, without its private part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
struct View {
    /// Its id in tokens and in the JWKS.
    kid: String,
    /// What it signs with.
    alg: Algorithm,
    /// published, signing or retired.
    state: &'static str,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// From when it signs.
    #[schema(format = DateTime)]
    signs_from: String,
    /// From when it signs no more.
    #[schema(format = DateTime)]
    retires_at: Option<String>,
    /// When it leaves the JWKS.
    #[schema(format = DateTime)]
    leaves_at: Option<String>,
}

/// Which keys are replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RotateKeysForm)]
#[serde(deny_unknown_fields)]
struct Form {
    /// Only the key of this algorithm; all that there are if nothing is said.
    alg: Option<Algorithm>,
    /// Whether the new keys sign at once, before everybody has fetched them: for a key that others know. What the old
    /// ones signed counts no more.
    at_once: Option<bool>,
}

/// The operations.
pub(super) fn group() -> Group {
    let operations =
        vec![
        Operation::get("/keys", "listKeys", list)
            .says("List the signing keys", "The oldest first; never their private parts.")
            .answers_page(Shape::of::<View>()),
        Operation::post("/keys", "rotateKeys", rotate)
            .says(
                "Replace signing keys",
                "The old ones retire when the new ones sign, so that everybody has fetched those by then.",
            )
            .takes(Reads::MaybeJson, Shape::of::<Form>(), json!({ "alg": "ES256" }))
            .answers(201, Shape::of::<NewKeys>()),
    ];
    Group::new("Keys", "What tokens are signed with.", Area::Keys, operations)
}

/// The keys that were made.
#[derive(Debug, Serialize, ToSchema)]
struct NewKeys {
    /// Each of them.
    items: Vec<View>,
}

fn view(key: &StoredKey, now: i64) -> View {
    View {
        kid: key.kid.clone(),
        alg: key.algorithm,
        state: State::of(key, now).as_str(),
        created_at: time(key.created_at),
        signs_from: time(key.signs_from),
        retires_at: key.retires_at.map(time),
        leaves_at: key.purge_at.map(time),
    }
}

async fn list(call: Call) -> Answered {
    let now = call.app.now();
    let keys = call.read(stored::all).await?;
    Ok(Reply::ok(&Page::whole(
        keys.iter().map(|key| view(key, now)).collect(),
    )))
}

async fn rotate(call: Call) -> Answered {
    let Form { alg, at_once } = call.form(&[])?;
    let at_once = at_once.unwrap_or(false);
    let new = call
        .prepare(move |registry| keys::successors(registry, alg, at_once))
        .await?;
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        keys::replace_by(registry, tx, &new, at_once)?;
        let now = registry.app().now();
        Ok(Ok(Reply::ok(&NewKeys {
            items: new.iter().map(|key| view(key, now)).collect(),
        })
        .created()))
    };
    call.change(job).await
}
