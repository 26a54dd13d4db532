//! `/admin/users/new`, `/admin/users/{id}/edit` and `/admin/users/{id}/roles`: one form for who somebody is and which roles
//! she has. Whoever is registered has two of it: to give roles wants a younger sign-in than to correct a name.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use serde_json::{Map, Value};

use super::action::hand_over;
use super::path_of;
use crate::admin::access::{AdminRequest, Answered, Frame, done};
use crate::admin::agencies::suggested;
use crate::admin::edit_conflict::{self, Changed};
use crate::admin::form::{Choice as AgencyChoice, FieldMistake, Typed};
use crate::admin::list_query::{self, Filter};
use crate::clock::local_time::check_zone;
use crate::model::person::Person;
use crate::model::security_label::{Confidentiality, Integrity};
use crate::policy::Policy;
use crate::policy::console::{self, Area, Reach, Right};
use crate::policy::role::Role;
use crate::policy::vocabulary::PURPOSE_SYSTEM;
use crate::registry::people::{self, PersonForm};
use crate::registry::{Mistake, Omitted, Refused, VERSION, links};
use crate::store::audit::Concerned;
use crate::store::people as stored;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

/// The fields of the form, called as mistakes call them where they can.
const FIELDS: [&str; 17] = [
    "username",
    "name",
    "email",
    "email_verified",
    "agency",
    "roles",
    "npi",
    "fhir_user",
    "confidentiality",
    "integrity",
    "purposes",
    "license_expires",
    "claims",
    "hand_over",
    "role_search",
    VERSION,
    SHOWN,
];
/// When the form was shown, in milliseconds since the epoch.
const SHOWN: &str = "shown";
/// The button that looks for roles and saves nothing.
const FIND: &str = "find";
/// How many codes a search for roles shows.
const CODES_SHOWN: usize = 30;

/// What of the form is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it, of somebody new.
    All,
    /// All but the roles.
    Facts,
    /// The roles alone.
    Roles,
}

impl Part {
    fn has_roles(self) -> bool {
        self != Self::Facts
    }

    fn has_facts(self) -> bool {
        self != Self::Roles
    }

    /// The last part of its address.
    fn path(self) -> &'static str {
        match self {
            Self::All => "new",
            Self::Facts => "edit",
            Self::Roles => "roles",
        }
    }
}

#[derive(Template)]
#[template(path = "../admin/person_form.html")]
struct FormPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    /// Whom it changes; none: somebody new.
    person: Option<&'a Person>,
    part: Part,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    /// What somebody else saved meanwhile.
    meanwhile: Option<Vec<Changed>>,
    roles: Vec<Choice>,
    /// Whether roles of the console are among them.
    gives_console_roles: bool,
    /// The agencies that she may belong to.
    agencies: Vec<AgencyChoice>,
    purposes: Vec<Choice>,
    confidentiality: Vec<Filter>,
    integrity: Vec<Filter>,
    found: Option<Vec<Found>>,
    /// Whether links can be mailed.
    mails: bool,
    /// Whether it asks for the word that the address is the person's.
    asks_for_word: bool,
}

/// A box to tick.
struct Choice {
    value: String,
    label: String,
    hint: String,
}

/// A standard code that was looked for, and the roles that carry it: number of the box, and name.
struct Found {
    code: String,
    display: String,
    system: String,
    roles: Vec<(usize, String)>,
}

/// The standard codes of a role in words.
pub(super) fn codings(policy: &Policy, role: &Role) -> Vec<String> {
    let display = |system: &str, code: &str| policy.vocabulary().display(system, code).map(str::to_owned);
    role.codings
        .iter()
        .map(|coding| {
            let display = display(&coding.system, &coding.code).unwrap_or_else(|| coding.display.clone());
            format!("{display} ({})", coding.code)
        })
        .collect()
}

/// The roles that somebody may give: who looks after some agencies, those of their kinds.
fn offered(admin: &AdminRequest) -> impl Iterator<Item = &Role> {
    let all = admin.changes(Area::Administrators);
    let policy = &admin.app.policy;
    let (reach, agencies) = (
        admin.reach(Area::People, Right::Change),
        admin.app.live.agencies(),
    );
    let kinds: Option<Vec<String>> = reach.agencies().map(|own| {
        let own = own.iter().filter_map(|id| agencies.get(id));
        own.map(|agency| agency.settings.kind.clone()).collect()
    });
    let fits = move |role: &Role| {
        kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|kind| policy.may_have(kind, &role.code)))
    };
    let roles = policy.roles().iter();
    roles.filter(move |role| fits(role) && (all || !console::is_console_role(&role.code)))
}

/// The agencies whose people whoever asks may change.
fn own_agencies(admin: &AdminRequest) -> Vec<AgencyChoice> {
    suggested(&admin.app, &admin.reach(Area::People, Right::Change))
}

/// `GET /admin/users/new`
pub async fn new(admin: AdminRequest) -> Answered {
    let by = if admin.app.mailer.is_some() {
        "mail"
    } else {
        "show"
    };
    let mut typed = Typed::default().with("hand_over", by);
    // Who looks after one agency adds people there.
    if let Some(own) = admin.reach(Area::People, Right::Change).agencies()
        && let (1, Some(only)) = (own.len(), own.first())
    {
        typed = typed.with("agency", only);
    }
    Ok(Form::of_new(&admin).show(StatusCode::OK, typed))
}

/// `GET /admin/users/{id}/edit`
pub async fn get(admin: AdminRequest) -> Answered {
    shown(&admin, Part::Facts)
}

/// `GET /admin/users/{id}/roles`
pub async fn roles(admin: AdminRequest) -> Answered {
    shown(&admin, Part::Roles)
}

fn shown(admin: &AdminRequest, part: Part) -> Answered {
    let person = admin.about()?;
    let typed = registered(admin, &person);
    Ok(Form::of(admin, &person, part).show(StatusCode::OK, typed))
}

/// What is registered, as it would be typed.
fn registered(admin: &AdminRequest, person: &Person) -> Typed {
    let settings = &person.settings;
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    Typed::default()
        .with("username", &person.username)
        .with("name", &person.name)
        .with("email", text(settings.email.as_ref()))
        .with("email_verified", if settings.email_verified { "yes" } else { "" })
        .with("agency", text(settings.agency.as_ref()))
        .with_all("roles", settings.roles.clone())
        .with("npi", text(settings.npi.as_ref()))
        .with("fhir_user", text(settings.fhir_user.as_ref()))
        .with(
            "confidentiality",
            settings.confidentiality.map_or("", Confidentiality::code),
        )
        .with("integrity", settings.integrity.map_or("", Integrity::word))
        .with_all("purposes", settings.purposes.clone().unwrap_or_default())
        .with("license_expires", text(settings.license_expires.as_ref()))
        .with(
            "claims",
            settings
                .claims
                .get("zoneinfo")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
        .with(VERSION, people::version(person))
        .with(SHOWN, admin.app.clock.now_millis().to_string())
}

/// Whether the form asks for the word of whoever fills it in that the address is the person's: once she has taken the
/// account over, that word can only be taken back.
fn asks_for_word(before: Option<&Person>) -> bool {
    before.is_none_or(|person| !person.is_taken_over() || person.settings.email_verified)
}

/// That word. Given for an address that is another one now, it says nothing.
fn proved(typed: &Typed, before: Option<&Person>) -> Option<bool> {
    let other = |person: &Person| person.is_taken_over() && person.settings.email != typed.some("email");
    let asked = asks_for_word(before) && !before.is_some_and(other);
    asked.then(|| typed.has("email_verified", "yes"))
}

/// What is typed, as the registry takes it. What the form does not show stays as it is.
fn wanted(typed: &Typed, before: Option<&Person>, reach: &Reach) -> Result<PersonForm, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut claims: Map<String, Value> = before
        .map(|person| person.settings.claims.clone())
        .unwrap_or_default();
    claims.remove("zoneinfo");
    if let Some(zone) = typed.some("claims") {
        mistakes.extend(check_zone(&zone).err().map(|text| Mistake {
            key: "claims".into(),
            text,
        }));
        claims.insert("zoneinfo".to_owned(), Value::String(zone));
    }
    let agency = typed.some("agency");
    // What somebody looks after at the old agency ends with a move to another.
    let stays = |person: &Person| {
        let moves = person.settings.agency != agency;
        let mut memberships = reach.seen(&person.settings).memberships;
        memberships
            .retain(|membership| !moves || person.settings.agency.as_ref() != Some(&membership.agency));
        memberships
    };
    let purposes = typed.all("purposes");
    let username = before.map_or_else(
        || typed.get("username").to_owned(),
        |person| person.username.clone(),
    );
    let form = PersonForm {
        username: Some(username),
        name: Some(typed.get("name").to_owned()),
        email: typed.some("email"),
        email_verified: proved(typed, before),
        memberships: before.map(stays),
        agency,
        // Those of somebody who is registered have a form of their own.
        roles: Some(before.map_or_else(|| typed.all("roles"), |person| person.settings.roles.clone())),
        npi: typed.some("npi"),
        fhir_user: typed.some("fhir_user"),
        confidentiality: read("confidentiality", typed.get("confidentiality"), &mut mistakes),
        integrity: read("integrity", typed.get("integrity"), &mut mistakes),
        purposes: (!purposes.is_empty()).then(|| purposes.into()),
        license_expires: typed.some("license_expires"),
        claims: Some(claims),
        ..PersonForm::default()
    };
    if mistakes.is_empty() {
        Ok(form)
    } else {
        Err(mistakes)
    }
}

fn read<T: std::str::FromStr>(key: &'static str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return None;
    }
    text.parse()
        .map_err(|cause: T::Err| {
            mistakes.push(Mistake {
                key: key.into(),
                text: cause.to_string(),
            })
        })
        .ok()
}

/// `POST /admin/users/new`
pub async fn add(admin: AdminRequest, form: PostedForm) -> Answered {
    let typed = Typed::of(&form, &FIELDS);
    if !form.field(FIND)?.is_empty() {
        return Ok(Form::of_new(&admin).searched(typed));
    }
    if form.again {
        return Ok(Form::of_new(&admin).show(StatusCode::OK, typed));
    }
    let outcome = match wanted(&typed, None, &admin.reach(Area::People, Right::Change)) {
        Ok(wanted) => {
            admin
                .registry()
                .run(move |registry, tx| links::add_and_invite(registry, tx, &wanted))
                .await
        }
        Err(mistakes) => Err(Refused::Mistakes(mistakes)),
    };
    match outcome {
        Ok(issued) => Ok(hand_over(
            &admin,
            &issued,
            typed.has("hand_over", "mail"),
            "person-added",
        )),
        Err(Refused::Mistakes(mistakes)) => Ok(Form::of_new(&admin).refused(typed, &mistakes)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// `POST /admin/users/{id}/edit`
pub async fn post(admin: AdminRequest, form: PostedForm) -> Answered {
    let person = admin.about()?;
    let typed = Typed::of(&form, &FIELDS);
    let reach = admin.reach(Area::People, Right::Change);
    let wanted = wanted(&typed, Some(&person), &reach);
    save(admin, person, Part::Facts, &form, typed, wanted).await
}

/// `POST /admin/users/{id}/roles`
pub async fn post_roles(admin: AdminRequest, form: PostedForm) -> Answered {
    let person = admin.about()?;
    let typed = Typed::of(&form, &FIELDS);
    let wanted = PersonForm {
        username: Some(person.username.clone()),
        roles: Some(typed.all("roles")),
        ..PersonForm::default()
    };
    save(admin, person, Part::Roles, &form, typed, Ok(wanted)).await
}

async fn save(
    admin: AdminRequest,
    person: Person,
    part: Part,
    form: &PostedForm,
    typed: Typed,
    wanted: Result<PersonForm, Vec<Mistake>>,
) -> Answered {
    if !form.field(FIND)?.is_empty() {
        return Ok(Form::of(&admin, &person, part).searched(typed));
    }
    if form.again {
        // The version that was typed stays, so that a change of somebody else is still noticed.
        let typed = if typed.get(VERSION).is_empty() {
            as_of_now(&admin, &person, typed)
        } else {
            typed
        };
        return Ok(Form::of(&admin, &person, part).show(StatusCode::OK, typed));
    }
    let expected = typed.get(VERSION).to_owned();
    let manner = match part {
        Part::Roles => Omitted::Keeps,
        Part::All | Part::Facts => Omitted::TakesDefault,
    };
    let outcome = match wanted {
        Ok(wanted) => {
            let job = admin.registry();
            job.run(move |registry, tx| people::change(registry, tx, &wanted, manner, Some(&expected)))
                .await
        }
        Err(mistakes) => Err(Refused::Mistakes(mistakes)),
    };
    match outcome {
        Ok(after) => {
            let word = if after == person { "unchanged" } else { "saved" };
            Ok(done(&path_of(&person.id), word))
        }
        Err(Refused::Mistakes(mistakes)) if mistakes.iter().any(|mistake| mistake.key == VERSION) => {
            too_late(&admin, person, part, typed, &mistakes).await
        }
        Err(Refused::Mistakes(mistakes)) => Ok(Form::of(&admin, &person, part).refused(typed, &mistakes)),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// What was typed, as a change of what is registered now.
fn as_of_now(admin: &AdminRequest, person: &Person, typed: Typed) -> Typed {
    typed
        .without(VERSION)
        .with(VERSION, people::version(person))
        .without(SHOWN)
        .with(SHOWN, admin.app.clock.now_millis().to_string())
}

/// Somebody else has saved meanwhile: what was typed stays, and what the other one changed is told. Whoever saves now
/// has seen it.
async fn too_late(
    admin: &AdminRequest,
    seen: Person,
    part: Part,
    typed: Typed,
    mistakes: &[Mistake],
) -> Answered {
    let (app, id) = (&admin.app, seen.id.clone());
    let reach = admin.reach(Area::People, Right::Read);
    let person = app
        .store
        .read(move |conn| stored::find(conn, &id))
        .await?
        .unwrap_or(seen);
    let shown = typed
        .get(SHOWN)
        .parse()
        .unwrap_or_else(|_| app.clock.now_millis());
    let meanwhile = edit_conflict::since(
        app,
        &Concerned::Person(person.id.clone()),
        shown,
        (&admin.zone, &reach),
    )
    .await?;
    let typed = as_of_now(admin, &person, typed);
    let form = Form {
        meanwhile: Some(meanwhile),
        ..Form::of(admin, &person, part)
    };
    Ok(form.refused(typed, mistakes))
}

/// The form, for one person or nobody yet.
struct Form<'a> {
    admin: &'a AdminRequest,
    person: Option<&'a Person>,
    part: Part,
    meanwhile: Option<Vec<Changed>>,
}

impl<'a> Form<'a> {
    fn of_new(admin: &'a AdminRequest) -> Self {
        Self {
            admin,
            person: None,
            part: Part::All,
            meanwhile: None,
        }
    }

    fn of(admin: &'a AdminRequest, person: &'a Person, part: Part) -> Self {
        Self {
            person: Some(person),
            part,
            ..Self::of_new(admin)
        }
    }

    fn show(self, status: StatusCode, typed: Typed) -> HttpResponse {
        self.page(status, typed, Vec::new(), None)
    }

    fn refused(self, typed: Typed, mistakes: &[Mistake]) -> HttpResponse {
        let in_words = |mistake: &Mistake| match mistake.key.as_ref() {
            "name" if typed.get("name").is_empty() => Mistake {
                text: "enter the full name".to_owned(),
                ..mistake.clone()
            },
            "username" if self.person.is_none() && typed.get("username").is_empty() => Mistake {
                text: "enter a username".to_owned(),
                ..mistake.clone()
            },
            _ => mistake.clone(),
        };
        let wrong = FieldMistake::of(&mistakes.iter().map(in_words).collect::<Vec<_>>(), &FIELDS);
        self.page(StatusCode::UNPROCESSABLE_ENTITY, typed, wrong, None)
    }

    fn searched(self, typed: Typed) -> HttpResponse {
        let found = found(self.admin, typed.get("role_search"));
        self.page(StatusCode::OK, typed, Vec::new(), Some(found))
    }

    fn page(
        self,
        status: StatusCode,
        typed: Typed,
        wrong: Vec<FieldMistake>,
        found: Option<Vec<Found>>,
    ) -> HttpResponse {
        let admin = self.admin;
        let policy = &admin.app.policy;
        let role = |role: &Role| Choice {
            value: role.code.clone(),
            label: role.label.clone(),
            hint: codings(policy, role).join(", "),
        };
        let levels: Vec<(&str, String)> = Confidentiality::ALL
            .iter()
            .map(|level| (level.code(), format!("{level} ({})", level.code())))
            .collect();
        let mut clearances = vec![("", "As the roles have it")];
        clearances.extend(levels.iter().map(|(code, label)| (*code, label.as_str())));
        let integrities = [
            ("", "Not said"),
            ("High", "High"),
            ("Medium", "Medium"),
            ("Low", "Low"),
        ];
        let page = FormPage {
            shell: admin.shell(),
            frame: admin.frame(Area::People),
            person: self.person,
            part: self.part,
            wrong,
            meanwhile: self.meanwhile,
            roles: offered(admin).map(role).collect(),
            gives_console_roles: admin.changes(Area::Administrators),
            agencies: own_agencies(admin),
            purposes: purposes(policy, &typed.all("purposes")),
            confidentiality: list_query::filters(typed.get("confidentiality"), &clearances),
            integrity: list_query::filters(typed.get("integrity"), &integrities),
            found,
            mails: admin.app.mailer.is_some(),
            asks_for_word: asks_for_word(self.person),
            typed,
        };
        pages::respond(&page, status, FormAction::SelfOnly)
    }
}

/// The purposes of use that roles have, and those that are ticked.
fn purposes(policy: &Policy, ticked: &[String]) -> Vec<Choice> {
    let used = |code: &str| {
        ticked.iter().any(|ticked| ticked == code)
            || policy
                .roles()
                .iter()
                .any(|role| role.purposes.iter().any(|purpose| purpose == code))
    };
    let all = policy
        .vocabulary()
        .purposes_of_use()
        .iter()
        .filter(|concept| used(&concept.code));
    let choice = |code: &str, display: &str| Choice {
        value: code.to_owned(),
        label: format!("{display} ({code})"),
        hint: String::new(),
    };
    all.map(|concept| choice(&concept.code, &concept.display))
        .collect()
}

/// The standard codes that fit, those first that a role carries.
fn found(admin: &AdminRequest, text: &str) -> Vec<Found> {
    let offered: Vec<&Role> = offered(admin).collect();
    let (concepts, _) = admin.app.policy.vocabulary().search(text, usize::MAX);
    let concepts = concepts
        .into_iter()
        .filter(|concept| concept.system != PURPOSE_SYSTEM);
    let mut found: Vec<Found> = concepts
        .map(|concept| {
            let carries = |role: &Role| {
                role.codings
                    .iter()
                    .any(|own| own.system == concept.system && own.code == concept.code)
            };
            let roles = offered.iter().enumerate().filter(|(_, role)| carries(role));
            Found {
                code: concept.code.clone(),
                display: concept.display.clone(),
                system: concept.system.clone(),
                roles: roles
                    .map(|(place, role)| (place + 1, role.label.clone()))
                    .collect(),
            }
        })
        .collect();
    found.sort_by_key(|found| found.roles.is_empty());
    found.truncate(CODES_SHOWN);
    found
}
