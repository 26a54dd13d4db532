//! Agencies at the console: the offices, laboratories, funeral homes and hospitals that systems and people belong to, and
//! who of other agencies has roles there.

use actix_web::http::StatusCode;
use askama::Template;

use super::about::About;
use super::access::{AdminRequest, Answered, Frame, done};
use super::card::Card;
use super::form::{Choice, FieldMistake, Typed};
use super::lifecycle::Lifecycle;
use super::list::ListFilter;
use super::list_query::ListQuery;
use super::list_query::encoded;
use super::noun::field::{Field, Kind, Section, field, section};
use super::noun::managed::{Asking, Managed, Words, found, path_of};
use super::people::labels;
use super::table::{Cell, Column, Table};
use crate::app::App;
use crate::audit::event::Kind as EventKind;
use crate::model::agency::{Agency, AgencySettings};
use crate::model::person::Person;
use crate::policy::Policy;
use crate::policy::console::{AGENCY_ROLES, Area, Reach, Right, is_agency_role};
use crate::registry::{Refused, people};
use crate::store::audit::Concerned;
use crate::store::people as stored;
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const PEOPLE: &str = "/admin/users";
const CLIENTS: &str = "/admin/clients";
/// How many agencies a form suggests.
const SUGGESTED: usize = 500;
/// How many clients, and people of other agencies, the page of an agency shows.
const SHOWN: usize = 100;
/// The fields of the form for somebody of another agency.
const FIELDS: [&str; 2] = ["username", "roles"];

/// A field that says to which agency something belongs.
pub fn agency_field<S>(asking: &Asking<'_, S>, label: &'static str, hint: &'static str) -> Field {
    let offered = suggested(asking.app, &asking.agencies);
    field("agency", Kind::Suggested(offered), label, hint).leads_to(AgencySettings::PATH)
}

/// The agencies that a field suggests, by their names, of those that somebody may know of.
pub fn suggested(app: &App, known: &Reach) -> Vec<Choice> {
    let agencies = app.live.agencies();
    let all = agencies.by_name().into_iter();
    let all = all
        .filter(|agency| known.holds_for(Some(&agency.id)))
        .take(SUGGESTED);
    all.map(|agency| Choice::new(&agency.id, &agency.name, ""))
        .collect()
}

/// A filter of a list by these agencies.
pub fn agency_filter(agencies: &[Choice]) -> ListFilter {
    let choices = agencies
        .iter()
        .map(|agency| (agency.value.as_str(), agency.label.as_str()));
    ListFilter::new("agency", "Agency", "All agencies", choices)
}

fn kinds(policy: &Policy) -> Vec<Choice> {
    let choice = |kind: &crate::policy::AgencyKind| Choice::new(&kind.code, &kind.label, "");
    policy.agency_kinds().iter().map(choice).collect()
}

/// What people call a kind.
fn kind_in_words<'a>(policy: &'a Policy, code: &'a str) -> &'a str {
    policy.agency_kind(code).map_or(code, |kind| kind.label.as_str())
}

impl Managed for AgencySettings {
    const AREA: Area = Area::Agencies;
    const ABOUT: About = About::Agency;
    const PATH: &'static str = "/admin/agencies";
    const WORDS: Words = Words {
        many: "Agencies",
        one: "an agency",
        lead: "The offices, laboratories, funeral homes and hospitals that people and systems belong to.",
        empty: "An agency tells the systems that read a token where its holder works. It can also have someone who looks after its own people. Register yours first.",
        search: "Name, ID or identifier",
        registered: "agency-registered",
        disabled: "agency-disabled",
    };

    fn concerned(id: &str) -> Concerned {
        Concerned::Agency(id.to_owned())
    }

    fn form_title(_: &Asking<'_, Self>) -> (String, String) {
        let lead = "Systems and people can belong to it once it is registered.";
        ("Register an agency".to_owned(), lead.to_owned())
    }

    fn sections(asking: &Asking<'_, Self>) -> Vec<Section> {
        let policy = &asking.app.policy;
        vec![section(
            "What it is",
            vec![
                field("name", Kind::Text, "Name", "As people know it, such as Fulton County Medical Examiner."),
                field("id", Kind::Text, "ID (optional)", "A short name for files and forms, such as fulton-me. Leave it empty to have one made from the name. It cannot be changed later.").only_new(),
                field("kind", Kind::Select(kinds(policy)), "Kind", "Decides which roles its people can have. If you change it, they are signed out."),
                field("identifier", Kind::Text, "Identifier (optional)", "Tokens name the agency by it: a URI, such as urn:oid:2.16.840.1.113883.3.9999.1."),
                field("npi", Kind::Text, "NPI (optional)", "National Provider Identifier, ten digits."),
                field("jurisdiction", Kind::Text, "Jurisdiction (optional)", "If it is not the jurisdiction of this service."),
                field("contacts", Kind::Lines, "E-mail addresses of those who look after it (optional)", "One a line."),
            ],
        )]
    }

    fn filters(admin: &AdminRequest) -> Vec<ListFilter> {
        let kinds = admin.app.policy.agency_kinds().iter();
        let kinds = kinds.map(|kind| (kind.code.as_str(), kind.label.as_str()));
        vec![ListFilter::new("kind", "Kind", "All kinds", kinds)]
    }

    fn fits(agency: &Agency, looked: &ListQuery) -> bool {
        let kind = looked.get("kind");
        kind.is_empty() || agency.settings.kind == kind
    }

    fn texts(agency: &Agency) -> Vec<&str> {
        agency.settings.identifier.iter().map(String::as_str).collect()
    }

    fn columns() -> Vec<Column> {
        vec![Column::new("Kind"), Column::new("Identifier")]
    }

    fn cells(admin: &AdminRequest, agency: &Agency) -> Vec<Cell> {
        vec![
            Cell::text(kind_in_words(&admin.app.policy, &agency.settings.kind)),
            Cell::code(agency.settings.identifier.as_deref().unwrap_or_default()),
        ]
    }

    fn actions(admin: &AdminRequest, agency: &Agency) -> Vec<(&'static str, &'static str)> {
        let people = admin.reach(Area::People, Right::Change);
        if people.holds_for(Some(&agency.id)) {
            vec![("members", "Give someone a role here")]
        } else {
            Vec::new()
        }
    }

    async fn cards(admin: &AdminRequest, agency: &Agency) -> Result<Vec<Card>, PageRefused> {
        let mut cards = Vec::new();
        if admin.reach(Area::People, Right::Read).holds_for(Some(&agency.id)) {
            cards.extend(its_people(admin, agency).await?);
        }
        if admin
            .reach(Area::Clients, Right::Read)
            .holds_for(Some(&agency.id))
        {
            cards.push(its_clients(admin, agency));
        }
        Ok(cards)
    }

    async fn effects(_: &AdminRequest, _: &Agency, action: Lifecycle) -> Result<Vec<String>, PageRefused> {
        let texts: &[&str] = match action {
            Lifecycle::Disable => &[
                "No one who belongs to it can sign in, and they are signed out now. Roles that others have there no longer count.",
                "Its clients and FHIR servers get nothing any more.",
                "You can enable it again.",
            ],
            Lifecycle::Enable => {
                &["Its people can sign in again, and its clients and FHIR servers are served."]
            }
            Lifecycle::Delete => &[
                "The record keeps what was done.",
                "It cannot be deleted while a client, a FHIR server, an identity provider or a person belongs to it. Disabling it ends everything at once, and you can undo it.",
            ],
        };
        Ok(texts.iter().map(|text| (*text).to_owned()).collect())
    }
}

/// Who belongs to it, and who of other agencies has roles there.
async fn its_people(admin: &AdminRequest, agency: &Agency) -> Result<Vec<Card>, PageRefused> {
    let id = agency.id.clone();
    let read = move |conn: &mut crate::store::Conn| {
        Ok((
            stored::count_of_agency(conn, &id)?,
            stored::members_of(conn, &id)?,
        ))
    };
    let (count, members) = admin.app.store.read(read).await?;
    admin.note_look(EventKind::PeopleRead, admin.looked_at()).await?;
    let change = admin
        .reach(Area::People, Right::Change)
        .holds_for(Some(&agency.id));
    let words = match count {
        0 => "No one belongs to it yet.".to_owned(),
        1 => "1 person belongs to it.".to_owned(),
        count => format!("{count} people belong to it."),
    };
    let own = Card {
        texts: vec![words],
        links: vec![(
            format!("{PEOPLE}?agency={}", agency.id),
            "its-people",
            "Show its people".to_owned(),
        )],
        ..Card::new("people", "Its people")
    };
    let policy = &admin.app.policy;
    let row = |person: &Person| {
        let path = format!(
            "{}/members?username={}",
            path_of::<AgencySettings>(&agency.id),
            encoded(&person.username)
        );
        let roles = person.settings.membership(&agency.id);
        let roles = roles
            .map(|membership| labels(policy, &membership.roles))
            .unwrap_or_default();
        vec![
            Cell::text(&person.name),
            Cell::text(&person.username).leads_to(change.then_some(path)),
            Cell::text(roles.join(", ")),
        ]
    };
    let table = Table {
        id: "its-members",
        columns: ["Name", "Username", "Roles here"].map(Column::new).to_vec(),
        rows: members.iter().take(SHOWN).map(row).collect(),
    };
    let others = Card::new("members", "People of other agencies");
    let others = if members.is_empty() {
        Card {
            texts: vec!["No one of another agency has a role here.".to_owned()],
            ..others
        }
    } else {
        let more = members.len().saturating_sub(SHOWN);
        Card {
            table: Some(table),
            texts: (more > 0)
                .then(|| format!("And {more} more."))
                .into_iter()
                .collect(),
            ..others
        }
    };
    Ok(vec![own, others])
}

fn its_clients(admin: &AdminRequest, agency: &Agency) -> Card {
    let index = admin.app.live.client_index();
    let clients = index.of_agency(&agency.id);
    let row = |live: &&std::sync::Arc<crate::live::LiveClient>| {
        let client = &live.client;
        vec![
            Cell::text(&client.name)
                .leads_to(Some(format!("{CLIENTS}/{}", client.id)))
                .tagged((!client.enabled).then_some("Disabled"), true),
            Cell::code(&client.id),
        ]
    };
    let card = Card::new("clients", "Its clients");
    if clients.is_empty() {
        return Card {
            texts: vec!["None yet.".to_owned()],
            ..card
        };
    }
    Card {
        table: Some(Table {
            id: "its-clients",
            columns: ["Name", "Client ID"].map(Column::new).to_vec(),
            rows: clients.iter().take(SHOWN).map(row).collect(),
        }),
        links: vec![(
            format!("{CLIENTS}?agency={}", agency.id),
            "all-clients",
            "Show them in the list".to_owned(),
        )],
        ..card
    }
}

#[derive(Template)]
#[template(path = "../admin/agency_member.html")]
struct MemberPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    agency: &'a Agency,
    path: String,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    roles: Vec<Choice>,
}

/// `GET /admin/agencies/{id}/members`: who is to have which roles there.
pub async fn members(admin: AdminRequest) -> Answered {
    let agency = found::<AgencySettings>(&admin).await?;
    let username = admin.query().get("username").to_owned();
    let mut typed = Typed::default().with("username", &username);
    if !username.is_empty() {
        let member = admin
            .app
            .store
            .read(move |conn| stored::find_by_username(conn, &username))
            .await?;
        // Of others no more is shown than what they are here.
        if let Some(membership) = member
            .as_ref()
            .and_then(|person| person.settings.membership(&agency.id))
        {
            typed = typed.with_all("roles", membership.roles.clone());
        }
    }
    Ok(show(&admin, &agency, StatusCode::OK, typed, Vec::new()))
}

fn show(
    admin: &AdminRequest,
    agency: &Agency,
    status: StatusCode,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> actix_web::HttpResponse {
    let policy = &admin.app.policy;
    let looks_after = admin.changes(Area::Administrators);
    let may_have =
        |code: &str| policy.may_have(&agency.settings.kind, code) || (looks_after && is_agency_role(code));
    let hint = |code: &str| match code {
        _ if code == AGENCY_ROLES[1] => "Looks after the people of this agency, and no others.",
        _ if code == AGENCY_ROLES[0] => "Looks after the clients of this agency, and no others.",
        _ => "",
    };
    let roles = policy.roles().iter().filter(|role| may_have(&role.code));
    let page = MemberPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Agencies),
        path: path_of::<AgencySettings>(&agency.id),
        agency,
        typed,
        wrong,
        roles: roles
            .map(|role| Choice::new(&role.code, &role.label, hint(&role.code)))
            .collect(),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/agencies/{id}/members`
pub async fn set_member(admin: AdminRequest, form: PostedForm) -> Answered {
    let agency = found::<AgencySettings>(&admin).await?;
    let typed = Typed::of(&form, &FIELDS);
    if form.again {
        return Ok(show(&admin, &agency, StatusCode::OK, typed, Vec::new()));
    }
    let (id, username, roles) = (
        agency.id.clone(),
        typed.get("username").to_owned(),
        typed.all("roles"),
    );
    let job = admin.registry();
    let set = job.run(move |registry, tx| people::set_membership(registry, tx, &id, &username, &roles));
    match set.await {
        Ok(_) => Ok(done(&path_of::<AgencySettings>(&agency.id), "saved")),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(show(&admin, &agency, status, typed, wrong))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
