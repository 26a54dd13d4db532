//! `/clients`

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::noun::{self, Words, found, view};
use super::operation::{About, Answered, Call, Group, Operation, Shape, settled};
use super::problem::{MemberMistake, Problem};
use super::query::{Accepts, CURSOR, ENABLED, LIMIT, Parameter, page, parameter};
use super::reply::{Reply, time};
use crate::admin::clients::findings::{self, Reader};
use crate::admin::clients::hand_off;
use crate::error::Broken;
use crate::live::client_index::Order;
use crate::model::client::{Client, ClientSettings};
use crate::policy::console::Area;
use crate::registry::vendor_links;
use crate::store::{Tx, vendor_links as stored_links};

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

/// What an integrator of the client needs to know.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HandOffSheet)]
struct SheetView {
    /// The sheet as plain text, without secrets.
    text: String,
}

/// What the client's system sends or gets.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConnectionCheckForm {
    /// An assertion, a redirect address, a whole authorization request, or an error. It is not kept.
    #[schema(min_length = 1)]
    pasted: String,
}

/// What is right and what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionReport)]
struct ReportView {
    /// What it was taken for.
    kind: String,
    /// Whether nothing has to be mended.
    good: bool,
    /// Line by line.
    findings: Vec<FindingView>,
}

/// A line of the report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionFinding)]
struct FindingView {
    /// What was looked at.
    what: String,
    /// `Good`, `Wrong` or `Note`.
    verdict: String,
    /// What was found, and what is wanted.
    text: String,
}

const LIST: [Parameter; 6] = [
    LIMIT,
    CURSOR,
    parameter(
        "q",
        Accepts::Text,
        "Part of the name, the id or the agency's name.",
    ),
    parameter("dataflow", Accepts::Text, "Only those of this dataflow."),
    parameter("agency", Accepts::Text, "Only those of this agency, by its id."),
    ENABLED,
];

/// The operations.
pub(super) fn group() -> Group {
    let words = Words {
        path: "/clients",
        one: "Client",
        several: "Clients",
        about: About::Client,
        list: &LIST,
        example: json!({
            "client_id": "lims-uf-tox",
            "name": "UF Forensic Toxicology LIMS",
            "dataflow": "lims-to-cms",
            "auth_method": "private_key_jwt",
            "jwks_uri": "https://lims.uf.example/jwks.json",
            "resource_servers": ["cms-fulton"],
        }),
        change: json!({ "name": "UF Toxicology" }),
        says: [
            "What is left out takes the default of the dataflow. A secret that is made is in the answer, this once.",
            "Its tokens, grants and remembered consents end with it.",
            "It gets nothing any more, and its tokens are inactive at once.",
            "Tokens from before it was disabled stay inactive.",
            "The old one stays valid for a while, so that the client never stands still. At most two are valid at a time.",
        ],
    };
    let mut operations = noun::operations::<ClientSettings, _>(&words, list);
    operations.extend([
        Operation::get("/clients/{id}/hand-off", "getHandOffSheet", hand_off_sheet)
            .about(About::Client)
            .says("Get the hand-off sheet", "What the vendor needs to connect the client, with samples; times are those of the installation.")
            .answers(200, Shape::of::<SheetView>()),
        Operation::post("/clients/{id}/check", "checkConnection", check)
            .about(About::Client)
            .only_looks()
            .says("Check the connection", "Says line by line what is right and wrong with what the client’s system sends or gets. Nothing is kept, recorded or used up.")
            .takes(Reads::Json, Shape::of::<ConnectionCheckForm>(), json!({ "pasted": "https://cms.example/callback" }))
            .answers(200, Shape::of::<ReportView>()),
        Operation::get("/clients/{id}/vendor-link", "getVendorLink", vendor_link)
            .about(About::Client)
            .says("Look at the vendor’s link", "When it was made and when it ends; never the link itself. Not found: there is none.")
            .answers(200, Shape::of::<VendorLinkView>()),
        Operation::post("/clients/{id}/vendor-link", "makeVendorLink", make_vendor_link)
            .about(About::Client)
            .says("Make a link for the vendor", "Whoever has it sees the client’s hand-off sheet and checks its connection, without an account. The one before it ends.")
            .takes(Reads::MaybeJson, Shape::of::<VendorLinkForm>(), json!({ "days": 30 }))
            .answers(201, Shape::of::<NewVendorLinkView>()),
        Operation::delete("/clients/{id}/vendor-link", "endVendorLink", end_vendor_link)
            .about(About::Client)
            .says("End the vendor’s link", "Not found: there is none."),
    ]);
    Group::new(
        "Clients",
        "The systems that get tokens.",
        Area::Clients,
        operations,
    )
}

async fn list(call: Call) -> Answered {
    let query = &call.query;
    let after = query.after::<1>()?.map(|[id]| (String::new(), id));
    let is_wanted = |client: &Client| {
        call.reach.holds_for(client.settings.agency.as_deref())
            && query
                .flag("enabled")
                .is_none_or(|enabled| client.enabled == enabled)
            && query
                .text("agency")
                .is_none_or(|agency| client.settings.agency.as_deref() == Some(agency))
            && query
                .text("dataflow")
                .is_none_or(|dataflow| client.settings.dataflow == dataflow)
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

async fn hand_off_sheet(call: Call) -> Answered {
    let client = noun::read::<ClientSettings>(&call).await?;
    let text = hand_off::plain(&call.app, &client).map_err(|error| Broken::defect(error.what))?;
    Ok(Reply::ok(&SheetView { text }))
}

async fn check(call: Call) -> Answered {
    let client = noun::read::<ClientSettings>(&call).await?;
    let form = call.form::<ConnectionCheckForm>(&[])?;
    if form.pasted.trim().is_empty() {
        let what = "it is empty: send what the system sends or gets";
        return Err(Problem::invalid(vec![MemberMistake::member("pasted", what)]));
    }
    let report = findings::of(&call.app, &client, Reader::Office, &form.pasted).await?;
    Ok(Reply::ok(&ReportView {
        kind: report.kind.to_owned(),
        good: report.is_good(),
        findings: report
            .findings
            .iter()
            .map(|finding| FindingView {
                what: finding.what.to_owned(),
                verdict: finding.verdict.word().to_owned(),
                text: finding.text.clone(),
            })
            .collect(),
    }))
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
        settled!(found::<ClientSettings>(tx, &id)?);
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
        settled!(found::<ClientSettings>(tx, &id)?);
        let ended = settled!(vendor_links::end(registry, tx, &id)?);
        Ok(if ended {
            Ok(Reply::done())
        } else {
            Err(no_link(&id))
        })
    };
    call.change(job).await
}
