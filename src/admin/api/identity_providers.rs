//! `/identity-providers`

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{Answered, Call, Group, Operation, Shape, settled, unchanged};
use super::problem::{Problem, Type};
use super::query::{CURSOR, LIMIT, Parameter, page};
use super::reply::{Reply, time};
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::policy::console::Area;
use crate::registry::Omitted;
use crate::registry::identity_providers::{self, IdentityProviderForm};
use crate::store::{Stored, Tx, identity_providers as stored};

/// A provider of an agency that people may sign in with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IdentityProvider)]
struct View {
    /// Its id, part of a path of ours.
    id: String,
    /// Its name for people.
    name: String,
    /// Whether people may sign in with it.
    enabled: bool,
    /// Whether we have a secret there.
    has_secret: bool,
    #[serde(flatten)]
    settings: IdentityProviderSettings,
    /// When it was registered.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    updated_at: String,
}

const LIST: [Parameter; 2] = [LIMIT, CURSOR];
/// Members of answers that forms do not have.
const READ_ONLY: [&str; 3] = ["has_secret", "created_at", "updated_at"];

/// The operations.
pub(super) fn group() -> Group {
    let example = json!({
        "id": "fulton",
        "name": "Fulton County",
        "issuer": "https://idp.fulton.example",
        "client_id": "mdi-auth",
        "auth_method": "none",
    });
    let operations = vec![
        Operation::get("/identity-providers", "listIdentityProviders", list)
            .says("List identity providers", "In the order of their ids.")
            .queries(&LIST)
            .answers_page(Shape::of::<View>()),
        Operation::post("/identity-providers", "registerIdentityProvider", register)
            .says(
                "Register an identity provider",
                "What is left out takes its default.",
            )
            .takes(Reads::Json, Shape::of::<IdentityProviderForm>(), example.clone())
            .answers(201, Shape::of::<View>())
            .versioned()
            .named_by_caller(),
        Operation::get("/identity-providers/{id}", "getIdentityProvider", get)
            .says("Look at an identity provider", "")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::put("/identity-providers/{id}", "replaceIdentityProvider", replace)
            .says(
                "Replace an identity provider",
                "What is left out takes its default; our secret there stays.",
            )
            .takes(Reads::Json, Shape::of::<IdentityProviderForm>(), example)
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::patch("/identity-providers/{id}", "changeIdentityProvider", patch)
            .says("Change an identity provider", "What is left out stays.")
            .takes(
                Reads::Patch,
                Shape::of::<IdentityProviderForm>(),
                json!({ "name": "Fulton County ME" }),
            )
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::delete("/identity-providers/{id}", "deleteIdentityProvider", delete)
            .says(
                "Delete an identity provider",
                "The accounts stay, but nobody signs in to them with it any more.",
            )
            .versioned(),
        Operation::post(
            "/identity-providers/{id}/disable",
            "disableIdentityProvider",
            disable,
        )
        .says("Let nobody sign in with it", "Sessions that began there go on.")
        .answers(200, Shape::of::<View>())
        .versioned(),
        Operation::post(
            "/identity-providers/{id}/enable",
            "enableIdentityProvider",
            enable,
        )
        .says("Let people sign in with it again", "")
        .answers(200, Shape::of::<View>())
        .versioned(),
    ];
    let says = "Providers of agencies that people may sign in with (OpenID Connect).";
    Group::new("Identity providers", says, Area::IdentityProviders, operations)
}

fn view(provider: &IdentityProvider) -> View {
    View {
        id: provider.id.clone(),
        name: provider.name.clone(),
        enabled: provider.enabled,
        has_secret: provider.secret.is_some(),
        settings: provider.settings.clone(),
        created_at: time(provider.created_at),
        updated_at: time(provider.updated_at),
    }
}

fn reply(provider: &IdentityProvider) -> Reply {
    Reply::ok(&view(provider)).version(identity_providers::version(provider))
}

fn found(tx: &mut Tx<'_>, id: &str) -> Stored<Result<IdentityProvider, Problem>> {
    Ok(stored::find(tx.conn(), id)?.ok_or_else(|| Problem::not_found("identity provider", id)))
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
        |provider| view(&provider),
    )))
}

async fn register(call: Call) -> Answered {
    let form: IdentityProviderForm = call.form(&[])?;
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let id = form.id.clone().unwrap_or_default();
        if stored::find(tx.conn(), &id)?.is_some() {
            let what = format!("an identity provider with the id {id:?} is registered already");
            return Ok(Err(Problem::new(Type::Exists, what)));
        }
        let provider = settled!(identity_providers::register(registry, tx, &form)?);
        Ok(Ok(reply(&provider)
            .created()
            .at(&format!("/identity-providers/{}", provider.id))))
    };
    call.change(job).await
}

async fn get(call: Call) -> Answered {
    let id = call.id.clone();
    let provider = call.read(move |conn| stored::find(conn, &id)).await?;
    provider
        .map(|provider| reply(&provider))
        .ok_or_else(|| Problem::not_found("identity provider", &call.id))
}

async fn replace(call: Call) -> Answered {
    alter(call, Omitted::TakesDefault).await
}

async fn patch(call: Call) -> Answered {
    alter(call, Omitted::Keeps).await
}

async fn alter(call: Call, manner: Omitted) -> Answered {
    let mut form: IdentityProviderForm = call.form(&READ_ONLY)?;
    form.id = call.named("id", form.id)?;
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before)));
        let provider = settled!(identity_providers::change(registry, tx, &form, manner, None)?);
        Ok(Ok(reply(&provider)))
    };
    call.change(job).await
}

async fn delete(call: Call) -> Answered {
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before)));
        settled!(identity_providers::delete(registry, tx, &id)?);
        Ok(Ok(Reply::done()))
    };
    call.change(job).await
}

async fn disable(call: Call) -> Answered {
    set_enabled(call, false).await
}

async fn enable(call: Call) -> Answered {
    set_enabled(call, true).await
}

async fn set_enabled(call: Call, enabled: bool) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found(tx, &id)?);
        settled!(identity_providers::set_enabled(registry, tx, &id, enabled)?);
        Ok(found(tx, &id)?.map(|provider| reply(&provider)))
    };
    call.change(job).await
}
