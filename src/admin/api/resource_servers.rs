//! `/resource-servers`

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::clients::{RotateForm, RotatedView, SecretView};
use super::operation::{Answered, Call, Group, Operation, settled, unchanged};
use super::problem::{Problem, Type};
use super::query::{Accepts, CURSOR, LIMIT, Parameter, page, parameter};
use super::reply::{Reply, time};
use crate::model::resource_server::{ResourceServer, ResourceServerSettings, TokenFormat};
use crate::model::secret::Secret;
use crate::model::signing::Algorithm;
use crate::policy::console::Area;
use crate::registry::keys::{self, Spare};
use crate::registry::resource_servers::{self, ResourceServerForm};
use crate::registry::{Omitted, Refused};
use crate::store::{Stored, Tx, resource_servers as stored};

/// A resource server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResourceServer)]
struct View {
    /// Its id, and its `client_id` for introspection.
    id: String,
    /// Its name for people.
    name: String,
    /// Its FHIR base: what `aud` says.
    audience: String,
    /// Whether it is served.
    enabled: bool,
    #[serde(flatten)]
    settings: ResourceServerSettings,
    /// When it was registered.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The secret that was made: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

const ENABLED: Parameter = parameter(
    "enabled",
    Accepts::Flag,
    "Only those that are served, or only those that are not.",
);
const LIST: [Parameter; 4] = [
    LIMIT,
    CURSOR,
    parameter("q", Accepts::Text, "Part of the name, the id or the audience."),
    ENABLED,
];
/// The `typ` of tokens unless somebody says otherwise.
const DEFAULT_TYP: &str = "at+jwt";
/// Members of answers that forms do not have.
const READ_ONLY: [&str; 2] = ["created_at", "updated_at"];

/// The operations.
pub(super) fn group() -> Group {
    let example = json!({
        "id": "cms-fulton",
        "name": "Fulton County MDI CMS",
        "audience": "https://cms.fulton.example/fhir",
        "kind": "cms",
        "signing_alg": "RS256",
    });
    let operations = vec![
        Operation::get("/resource-servers", "listResourceServers", list)
            .says("List resource servers", "In the order of their ids.")
            .queries(&LIST)
            .answers_page::<View>(),
        Operation::post("/resource-servers", "registerResourceServer", register)
            .says("Register a resource server", "What is left out takes its default. A secret that is made is in the answer, this once.")
            .takes::<ResourceServerForm>(Reads::Json, example.clone())
            .answers::<View>(201)
            .versioned()
            .named_by_caller(),
        Operation::get("/resource-servers/{id}", "getResourceServer", get)
            .says("Look at a resource server", "")
            .answers::<View>(200)
            .versioned(),
        Operation::put("/resource-servers/{id}", "replaceResourceServer", replace)
            .says("Replace a resource server", "What is left out takes its default; secrets and keys stay.")
            .takes::<ResourceServerForm>(Reads::Json, example)
            .answers::<View>(200)
            .versioned(),
        Operation::patch("/resource-servers/{id}", "changeResourceServer", patch)
            .says("Change a resource server", "What is left out stays.")
            .takes::<ResourceServerForm>(Reads::Patch, json!({ "name": "Fulton County CMS" }))
            .answers::<View>(200)
            .versioned(),
        Operation::delete("/resource-servers/{id}", "deleteResourceServer", delete)
            .says("Delete a resource server", "Clients that use it stand in the way; they are named.")
            .versioned(),
        Operation::get("/resource-servers/{id}/secrets", "listResourceServerSecrets", list_secrets)
            .says("List the secrets of a resource server", "When each was made, ends and was last used; never the secret.")
            .answers_page::<SecretView>(),
        Operation::post("/resource-servers/{id}/secrets", "rotateResourceServerSecret", rotate)
            .says("Make a new secret", "The old one stays valid for a while, so that the server never stands still. At most two are valid at a time.")
            .takes::<RotateForm>(Reads::MaybeJson, json!({ "overlap_seconds": 604_800 }))
            .answers::<RotatedView>(201),
        Operation::post("/resource-servers/{id}/disable", "disableResourceServer", disable)
            .says("Disable a resource server", "Nobody gets a token for it any more, and it gets no answers.")
            .answers::<View>(200)
            .versioned(),
        Operation::post("/resource-servers/{id}/enable", "enableResourceServer", enable)
            .says("Enable a resource server", "Tokens from before it was disabled stay inactive.")
            .answers::<View>(200)
            .versioned(),
    ];
    Group::new(
        "Resource servers",
        "The FHIR servers that accept our tokens.",
        Area::ResourceServers,
        operations,
    )
}

fn view(server: &ResourceServer, secret: Option<&Secret>) -> View {
    View {
        id: server.id.clone(),
        name: server.name.clone(),
        audience: server.audience.clone(),
        enabled: server.enabled,
        settings: server.settings.clone(),
        created_at: time(server.created_at),
        updated_at: time(server.updated_at),
        secret: secret.map(|secret| secret.reveal().to_owned()),
    }
}

fn reply(server: &ResourceServer, secret: Option<&Secret>) -> Reply {
    Reply::ok(&view(server, secret)).version(resource_servers::version(server))
}

fn found(tx: &mut Tx<'_>, id: &str) -> Stored<Result<ResourceServer, Problem>> {
    Ok(stored::find(tx.conn(), id)?.ok_or_else(|| Problem::not_found("resource server", id)))
}

async fn list(call: Call) -> Answered {
    let query = &call.query;
    let after = query.after::<1>()?.map(|[id]| id);
    let accepts = query.text("q").unwrap_or_default().to_lowercase();
    let is_wanted = |server: &ResourceServer| {
        let named = [server.id.as_str(), server.name.as_str(), server.audience.as_str()];
        after.as_ref().is_none_or(|after| server.id > *after)
            && query
                .flag("enabled")
                .is_none_or(|enabled| server.enabled == enabled)
            && named.iter().any(|text| text.to_lowercase().contains(&accepts))
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

/// The signing key that a server's tokens will need, if there is none.
async fn spare(call: &Call, form: &ResourceServerForm) -> Result<Spare, Problem> {
    let accepts = form.signing_alg.unwrap_or(Algorithm::ES256);
    let signs =
        form.token_format.unwrap_or_default() == TokenFormat::Jwt && Algorithm::SIGNING.contains(&accepts);
    if !signs {
        return Ok(Spare::default());
    }
    call.prepare::<_, Refused>(move |registry| keys::spare(registry, &[accepts]))
        .await
}

async fn register(call: Call) -> Answered {
    let form: ResourceServerForm = call.form(&[])?;
    let spare = spare(&call, &form).await?;
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let id = form.id.clone().unwrap_or_default();
        if stored::find(tx.conn(), &id)?.is_some() {
            return Ok(Err(Problem::new(
                Type::Exists,
                format!("a resource server with the id {id:?} is registered already"),
            )));
        }
        let (server, secret) = settled!(resource_servers::register(registry, tx, &form, &spare)?);
        Ok(Ok(reply(&server, secret.as_ref())
            .created()
            .at(&format!("/resource-servers/{}", server.id))))
    };
    call.change(job).await
}

async fn get(call: Call) -> Answered {
    let id = call.id.clone();
    let server = call.read(move |conn| stored::find(conn, &id)).await?;
    server
        .map(|server| reply(&server, None))
        .ok_or_else(|| Problem::not_found("resource server", &call.id))
}

async fn replace(call: Call) -> Answered {
    alter(call, Omitted::TakesDefault).await
}

async fn patch(call: Call) -> Answered {
    alter(call, Omitted::Keeps).await
}

async fn alter(call: Call, manner: Omitted) -> Answered {
    let mut form: ResourceServerForm = call.form(&READ_ONLY)?;
    form.id = call.named("id", form.id)?;
    // Answers show it of opaque tokens too, which have none; what was read can be put back.
    let opaque = form.token_format == Some(TokenFormat::Opaque);
    form.token_typ.take_if(|typ| opaque && typ == DEFAULT_TYP);
    let spare = spare(&call, &form).await?;
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        let (server, secret) = settled!(resource_servers::change(
            registry, tx, &form, manner, None, &spare
        )?);
        Ok(Ok(reply(&server, secret.as_ref())))
    };
    call.change(job).await
}

async fn delete(call: Call) -> Answered {
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        settled!(resource_servers::delete(registry, tx, &id)?);
        Ok(Ok(Reply::done()))
    };
    call.change(job).await
}

async fn list_secrets(call: Call) -> Answered {
    let id = call.id.clone();
    let server = call.read(move |conn| stored::find(conn, &id)).await?;
    let server = server.ok_or_else(|| Problem::not_found("resource server", &call.id))?;
    Ok(Reply::ok(&SecretView::all(server.secrets)))
}

async fn rotate(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<RotateForm>(&[])?);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found(tx, &id)?);
        let rotated = settled!(resource_servers::rotate_secret(
            registry,
            tx,
            &id,
            form.overlap()
        )?);
        Ok(Ok(Reply::ok(&RotatedView::of(&rotated)).created()))
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
        settled!(resource_servers::set_enabled(registry, tx, &id, enabled)?);
        Ok(found(tx, &id)?.map(|server| reply(&server, None)))
    };
    call.change(job).await
}
