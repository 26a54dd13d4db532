//! `/agencies`

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::noun::{self, Words, view};
use super::operation::{About, Answered, Call, Group, Operation, Shape, settled};
use super::problem::{MemberMistake, Problem};
use super::query::{Accepts, CURSOR, ENABLED, LIMIT, Parameter, page, parameter};
use super::reply::{Page, Reply};
use crate::model::agency::{Agency, AgencySettings};
use crate::model::person::Person;
use crate::policy::console::Area;
use crate::registry::people;
use crate::store::{Tx, people as stored};

const LIST: [Parameter; 5] = [
    LIMIT,
    CURSOR,
    parameter("q", Accepts::Text, "Part of the name, the id or the identifier."),
    parameter("kind", Accepts::Text, "Only those of this kind."),
    ENABLED,
];

/// Somebody of another agency, as the agency where she may do something sees her.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberView {
    /// What she types to sign in.
    username: String,
    /// Full name.
    name: String,
    /// Codes of her roles there.
    roles: Vec<String>,
}

/// Who may do what at an agency beside the own one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberForm {
    /// What the person types to sign in.
    username: Option<String>,
    /// Codes of roles there, in the place of those that she has; none: she leaves it. `user-manager` and
    /// `client-manager` may look after this agency alone.
    roles: Option<Vec<String>>,
}

impl MemberView {
    fn of(person: Person, agency: &str) -> Self {
        let roles = person.settings.membership(agency);
        Self {
            roles: roles
                .map(|membership| membership.roles.clone())
                .unwrap_or_default(),
            username: person.username,
            name: person.name,
        }
    }
}

/// The operations.
pub(super) fn group() -> Group {
    let words = Words {
        path: "/agencies",
        one: "Agency",
        several: "Agencies",
        about: About::Agency,
        list: &LIST,
        example: json!({
            "id": "st-mary",
            "name": "St. Mary's Hospital",
            "kind": "hospital",
            "identifier": "urn:oid:2.16.840.1.113883.3.9999.12",
        }),
        change: json!({ "npi": "1234567893" }),
        says: [
            "What is left out takes its default.",
            "It cannot be deleted while something or somebody belongs to it.",
            "Nobody signs in who belongs to it, roles there do not count, and its clients and resource servers get nothing.",
            "Tokens, sessions and grants from before it was disabled stay ended.",
            "",
        ],
    };
    let mut operations = noun::operations::<AgencySettings, _>(&words, list);
    operations.extend([
        Operation::get("/agencies/{id}/members", "listMembers", list_members)
            .says(
                "List people of other agencies who have roles there",
                "By their names. Those who belong to it are in the list of users.",
            )
            .of(Area::People)
            .about(About::Agency)
            .answers_page(Shape::of::<MemberView>()),
        Operation::post("/agencies/{id}/members", "setMember", set_member)
            .says(
                "Give somebody roles at an agency beside her own",
                "A change of roles ends the person's sessions and grants.",
            )
            .of(Area::People)
            .about(About::Agency)
            .takes(
                Reads::Json,
                Shape::of::<MemberForm>(),
                json!({ "username": "jlehz", "roles": ["certifying-physician"] }),
            )
            .answers(200, Shape::of::<MemberView>()),
    ]);
    Group::new(
        "Agencies",
        "Offices, laboratories, funeral homes and hospitals: what systems and people belong to.",
        Area::Agencies,
        operations,
    )
}

async fn list(call: Call) -> Answered {
    let query = &call.query;
    let after = query.after::<1>()?.map(|[id]| id);
    let wanted = query.text("q").unwrap_or_default().to_lowercase();
    let kind = query.text("kind");
    let reach = &call.reach;
    let is_wanted = |agency: &Agency| {
        let identifier = agency.settings.identifier.as_deref().unwrap_or_default();
        let named = [agency.id.as_str(), agency.name.as_str(), identifier];
        reach.holds_for(Some(&agency.id))
            && after.as_ref().is_none_or(|after| agency.id > *after)
            && kind.is_none_or(|kind| agency.settings.kind == kind)
            && query
                .flag("enabled")
                .is_none_or(|enabled| agency.enabled == enabled)
            && named.iter().any(|text| text.to_lowercase().contains(&wanted))
    };
    let agencies = call.app.live.agencies();
    let mut all = agencies.by_name();
    all.retain(|agency| is_wanted(agency));
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Reply::ok(&page(
        all,
        query.limit(),
        |agency| vec![agency.id.clone()],
        |agency| view(agency, None),
    )))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found("agency", id)
}

async fn list_members(call: Call) -> Answered {
    let id = call.id.clone();
    if call.app.live.agencies().get(&id).is_none() {
        return Err(unknown(&id));
    }
    let agency = id.clone();
    let members = call
        .app
        .store
        .read(move |conn| stored::members_of(conn, &agency))
        .await?;
    let views = members.into_iter().map(|person| MemberView::of(person, &id));
    Ok(Reply::ok(&Page::whole(views.collect())))
}

async fn set_member(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<MemberForm>(&[])?);
    let missing = |member: &str, what: &str| Problem::invalid(vec![MemberMistake::member(member, what)]);
    let username = form
        .username
        .ok_or_else(|| missing("username", "it is missing"))?;
    let roles = form
        .roles
        .ok_or_else(|| missing("roles", "they are missing; an empty list takes all away"))?;
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(noun::found::<AgencySettings>(tx, &id)?);
        let person = settled!(people::set_membership(registry, tx, &id, &username, &roles)?);
        Ok(Ok(Reply::ok(&MemberView::of(person, &id))))
    };
    call.change(job).await
}
