//! `/clients`

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{Answered, Call, Group, Operation, settled, unchanged};
use super::problem::{Problem, Type};
use super::query::{Accepts, CURSOR, LIMIT, Parameter, page, parameter};
use super::reply::{Page, Reply, time};
use crate::live::client_index::Order;
use crate::model::client::{Client, ClientSettings, StoredSecret};
use crate::model::secret::Secret;
use crate::policy::console::Area;
use crate::registry::clients::{self, ClientForm};
use crate::registry::secrets::{DEFAULT_OVERLAP_SECONDS, Rotated};
use crate::registry::{Omitted, vendor_links};
use crate::store::{Stored, Tx, clients as stored, vendor_links as stored_links};

/// A client.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
struct View {
    /// Its id.
    client_id: String,
    /// Its name for people.
    name: String,
    /// The dataflow that it takes part in.
    dataflow: String,
    /// Whether it is served.
    enabled: bool,
    #[serde(flatten)]
    settings: ClientSettings,
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

/// One of the secrets of a client or resource server, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredSecret)]
pub(super) struct SecretView {
    /// Its id.
    id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends, if it does.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl SecretView {
    /// Those of an owner.
    pub(super) fn all(secrets: Vec<StoredSecret>) -> Page<Self> {
        let view = |secret: StoredSecret| Self {
            id: secret.id,
            created_at: time(secret.created_at),
            expires_at: secret.expires_at.map(time),
            last_used_at: secret.last_used_at.map(time),
        };
        Page::whole(secrets.into_iter().map(view).collect())
    }
}

/// How a secret is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateForm {
    /// How long the old secret stays valid beside the new one; 604800 if nothing is said, 0 ends it at once.
    #[schema(minimum = 0, maximum = 7_776_000)]
    overlap_seconds: Option<i64>,
}

impl RotateForm {
    /// How long the old secret stays valid.
    pub(super) fn overlap(&self) -> i64 {
        self.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS)
    }
}

/// A secret that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewSecret)]
pub(super) struct RotatedView {
    /// The secret: it is shown this once.
    secret: String,
    /// When the old one ends, if there was one.
    #[schema(format = DateTime)]
    old_secret_ends_at: Option<String>,
}

impl RotatedView {
    /// What is shown of it.
    pub(super) fn of(rotated: &Rotated) -> Self {
        Self {
            secret: rotated.secret.reveal().to_owned(),
            old_secret_ends_at: rotated.old_ends_at.map(time),
        }
    }
}

/// How long a vendor's link holds.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VendorLinkForm {
    /// How many days; 30 if nothing is said.
    #[schema(minimum = 1, maximum = 365)]
    days: Option<i64>,
}

/// The link of a vendor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VendorLink)]
struct VendorLinkView {
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A vendor's link that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewVendorLink)]
struct NewVendorLinkView {
    /// The link: it is shown this once.
    url: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
}

const ENABLED: Parameter = parameter(
    "enabled",
    Accepts::Flag,
    "Only those that are served, or only those that are not.",
);
const LIST: [Parameter; 5] = [
    LIMIT,
    CURSOR,
    parameter(
        "q",
        Accepts::Text,
        "Part of the name, the id or the agency's name.",
    ),
    parameter("dataflow", Accepts::Text, "Only those of this dataflow."),
    ENABLED,
];
/// Members of answers that forms do not have.
const READ_ONLY: [&str; 2] = ["created_at", "updated_at"];

/// The operations.
pub(super) fn group() -> Group {
    let example = json!({
        "client_id": "lims-uf-tox",
        "name": "UF Forensic Toxicology LIMS",
        "dataflow": "lims-to-cms",
        "auth_method": "private_key_jwt",
        "jwks_uri": "https://lims.uf.example/jwks.json",
        "resource_servers": ["cms-fulton"],
    });
    let operations = vec![
        Operation::get("/clients", "listClients", list)
            .says("List clients", "In the order of their ids.")
            .queries(&LIST)
            .answers_page::<View>(),
        Operation::post("/clients", "registerClient", register)
            .says("Register a client", "What is left out takes the default of the dataflow. A secret that is made is in the answer, this once.")
            .takes::<ClientForm>(Reads::Json, example.clone())
            .answers::<View>(201)
            .versioned()
            .named_by_caller(),
        Operation::get("/clients/{id}", "getClient", get)
            .says("Look at a client", "")
            .answers::<View>(200)
            .versioned(),
        Operation::put("/clients/{id}", "replaceClient", replace)
            .says("Replace a client", "What is left out takes its default; secrets stay.")
            .takes::<ClientForm>(Reads::Json, example)
            .answers::<View>(200)
            .versioned(),
        Operation::patch("/clients/{id}", "changeClient", patch)
            .says("Change a client", "What is left out stays.")
            .takes::<ClientForm>(Reads::Patch, json!({ "name": "UF Toxicology" }))
            .answers::<View>(200)
            .versioned(),
        Operation::delete("/clients/{id}", "deleteClient", delete)
            .says("Delete a client", "Its tokens, grants and remembered consents end with it.")
            .versioned(),
        Operation::get("/clients/{id}/secrets", "listClientSecrets", list_secrets)
            .says("List the secrets of a client", "When each was made, ends and was last used; never the secret.")
            .answers_page::<SecretView>(),
        Operation::post("/clients/{id}/secrets", "rotateClientSecret", rotate)
            .says("Make a new secret", "The old one stays valid for a while, so that the client never stands still. At most two are valid at a time.")
            .takes::<RotateForm>(Reads::MaybeJson, json!({ "overlap_seconds": 604_800 }))
            .answers::<RotatedView>(201),
        Operation::get("/clients/{id}/vendor-link", "getVendorLink", vendor_link)
            .says("Look at the vendor’s link", "When it was made and when it ends; never the link itself. Not found: there is none.")
            .answers::<VendorLinkView>(200),
        Operation::post("/clients/{id}/vendor-link", "makeVendorLink", make_vendor_link)
            .says("Make a link for the vendor", "Whoever has it sees the client’s hand-off sheet and checks its connection, without an account. The one before it ends.")
            .takes::<VendorLinkForm>(Reads::MaybeJson, json!({ "days": 30 }))
            .answers::<NewVendorLinkView>(201),
        Operation::delete("/clients/{id}/vendor-link", "endVendorLink", end_vendor_link)
            .says("End the vendor’s link", "Not found: there is none."),
        Operation::post("/clients/{id}/disable", "disableClient", disable)
            .says("Disable a client", "It gets nothing any more, and its tokens are inactive at once.")
            .answers::<View>(200)
            .versioned(),
        Operation::post("/clients/{id}/enable", "enableClient", enable)
            .says("Enable a client", "Tokens from before it was disabled stay inactive.")
            .answers::<View>(200)
            .versioned(),
    ];
    Group::new(
        "Clients",
        "The systems that get tokens.",
        Area::Clients,
        operations,
    )
}

fn view(client: &Client, secret: Option<&Secret>) -> View {
    View {
        client_id: client.id.clone(),
        name: client.name.clone(),
        dataflow: client.dataflow.clone(),
        enabled: client.enabled,
        settings: client.settings.clone(),
        created_at: time(client.created_at),
        updated_at: time(client.updated_at),
        secret: secret.map(|secret| secret.reveal().to_owned()),
    }
}

fn reply(client: &Client, secret: Option<&Secret>) -> Reply {
    Reply::ok(&view(client, secret)).version(clients::version(client))
}

fn found(tx: &mut Tx<'_>, id: &str) -> Stored<Result<Client, Problem>> {
    Ok(stored::find(tx.conn(), id)?.ok_or_else(|| Problem::not_found("client", id)))
}

async fn list(call: Call) -> Answered {
    let query = &call.query;
    let after = query.after::<1>()?.map(|[id]| (String::new(), id));
    let is_wanted = |client: &Client| {
        query
            .flag("enabled")
            .is_none_or(|enabled| client.enabled == enabled)
            && query
                .text("dataflow")
                .is_none_or(|dataflow| client.dataflow == dataflow)
    };
    let client_index = call.app.live.client_index();
    let found = client_index.search(Order::Id, after, query.text("q").unwrap_or_default());
    let one_more = query.limit() + 1;
    let all: Vec<_> = found
        .filter(|live| is_wanted(&live.client))
        .take(one_more)
        .collect();
    Ok(Reply::ok(&page(
        all,
        query.limit(),
        |live| vec![live.client.id.clone()],
        |live| view(&live.client, None),
    )))
}

async fn register(call: Call) -> Answered {
    let form: ClientForm = call.form(&[])?;
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let id = form.client_id.clone().unwrap_or_default();
        if stored::find(tx.conn(), &id)?.is_some() {
            return Ok(Err(Problem::new(
                Type::Exists,
                format!("a client with the id {id:?} is registered already"),
            )));
        }
        let (client, secret) = settled!(clients::register(registry, tx, &form)?);
        Ok(Ok(reply(&client, secret.as_ref())
            .created()
            .at(&format!("/clients/{}", client.id))))
    };
    call.change(job).await
}

async fn get(call: Call) -> Answered {
    let id = call.id.clone();
    let client = call.read(move |conn| stored::find(conn, &id)).await?;
    client
        .map(|client| reply(&client, None))
        .ok_or_else(|| Problem::not_found("client", &call.id))
}

async fn replace(call: Call) -> Answered {
    alter(call, Omitted::TakesDefault).await
}

async fn patch(call: Call) -> Answered {
    alter(call, Omitted::Keeps).await
}

async fn alter(call: Call, manner: Omitted) -> Answered {
    let mut form: ClientForm = call.form(&READ_ONLY)?;
    form.client_id = call.named("client_id", form.client_id)?;
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        let (client, secret) = settled!(clients::change(registry, tx, &form, manner, None)?);
        Ok(Ok(reply(&client, secret.as_ref())))
    };
    call.change(job).await
}

async fn delete(call: Call) -> Answered {
    let (id, seen) = (call.id.clone(), call.seen.clone());
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id)?);
        settled!(unchanged(&seen, &reply(&before, None)));
        settled!(clients::delete(registry, tx, &id)?);
        Ok(Ok(Reply::done()))
    };
    call.change(job).await
}

async fn list_secrets(call: Call) -> Answered {
    let id = call.id.clone();
    let client = call.read(move |conn| stored::find(conn, &id)).await?;
    let client = client.ok_or_else(|| Problem::not_found("client", &call.id))?;
    Ok(Reply::ok(&SecretView::all(client.secrets)))
}

async fn rotate(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<RotateForm>(&[])?);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found(tx, &id)?);
        let rotated = settled!(clients::rotate_secret(registry, tx, &id, form.overlap())?);
        Ok(Ok(Reply::ok(&RotatedView::of(&rotated)).created()))
    };
    call.change(job).await
}

fn no_link(client_id: &str) -> Problem {
    Problem::not_found("vendor’s link of the client", client_id)
}

async fn vendor_link(call: Call) -> Answered {
    let (id, now) = (call.id.clone(), call.app.now());
    let link = call.read(move |conn| stored_links::of_client(conn, &id)).await?;
    let link = link
        .filter(|link| link.expires_at > now)
        .ok_or_else(|| no_link(&call.id))?;
    Ok(Reply::ok(&VendorLinkView {
        created_at: time(link.created_at),
        expires_at: time(link.expires_at),
    }))
}

async fn make_vendor_link(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<VendorLinkForm>(&[])?);
    let days = form.days.unwrap_or(vendor_links::DEFAULT_DAYS);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found(tx, &id)?);
        let issued = settled!(vendor_links::issue(registry, tx, &id, days)?);
        let view = NewVendorLinkView {
            url: issued.url.reveal().to_owned(),
            expires_at: time(issued.expires_at),
        };
        Ok(Ok(Reply::ok(&view).created()))
    };
    call.change(job).await
}

async fn end_vendor_link(call: Call) -> Answered {
    let id = call.id.clone();
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(found(tx, &id)?);
        let ended = settled!(vendor_links::end(registry, tx, &id)?);
        Ok(if ended {
            Ok(Reply::done())
        } else {
            Err(no_link(&id))
        })
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
        settled!(clients::set_enabled(registry, tx, &id, enabled)?);
        Ok(found(tx, &id)?.map(|client| reply(&client, None)))
    };
    call.change(job).await
}
