//! `/admin/users/{id}`: one person, what she may do, how she signs in, where she is signed in, and what can be done.

use std::sync::Arc;

use super::action::Action;
use super::{PATH, area_of, labels, path_of};
use crate::account::applications::{self, AllowedFacts};
use crate::admin::access::{AdminRequest, Answered};
use crate::admin::card::{Card, Fact, Group};
use crate::admin::detail::Detail;
use crate::admin::identity_providers::links as links_of_provider;
use crate::admin::list::Offer;
use crate::admin::list_query::encoded;
use crate::admin::table::{Cell, Column, Table, Tag};
use crate::admin::{events, sessions};
use crate::app::App;
use crate::clock::local_time::day_in_words;
use crate::issuance::licence_ends;
use crate::login::totp;
use crate::model::agency::Membership;
use crate::model::identity_provider::LinkedIdentity;
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::policy::console::{Area, Reach, Right};
use crate::session::lockout;
use crate::store::audit::Concerned;
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::{Conn, Stored, identity_providers, links, recovery_codes, sessions as stored_sessions};
use crate::web::pages::account::Allowed;

/// How many sessions are shown; the list of sessions has them all.
const SESSIONS: usize = 20;

/// What the database knows beside the person.
struct Facts {
    passkeys: Vec<StoredPasskey>,
    recovery_codes: i64,
    locked: bool,
    invited_until: Option<i64>,
    identities: Vec<LinkedIdentity>,
    sessions: Vec<Session>,
    allowed: AllowedFacts,
}

impl Facts {
    fn load(app: &App, conn: &mut Conn, person: &Person) -> Stored<Self> {
        let (id, now) = (person.id.as_str(), app.now());
        let invitation = links::youngest(conn, id, LinkKind::Invitation, now)?;
        Ok(Self {
            passkeys: passkeys::of_person(conn, id)?,
            recovery_codes: recovery_codes::left(conn, id)?.0,
            locked: lockout::is_person_locked(app, conn, person)?,
            invited_until: invitation
                .filter(|link| link.person_generation == person.generation)
                .map(|link| link.expires_at),
            identities: identity_providers::links_of_person(conn, id)?,
            sessions: stored_sessions::live(conn, sessions::alive(app), (Some(id), None), None, SESSIONS)?,
            allowed: AllowedFacts::load(conn, id)?,
        })
    }
}

/// `GET /admin/users/{id}`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, person) = (&admin.app, admin.about()?);
    let (job_app, about) = (Arc::clone(app), person.clone());
    let facts = app
        .store
        .read(move |conn| Facts::load(&job_app, conn, &about))
        .await?;
    let area = area_of(&person);
    let may_change = admin.may_somewhere(area, Right::Change);
    let at = |word: &str| format!("{}/{word}", path_of(&person.id));
    let mut actions = Vec::new();
    if may_change {
        actions.push(Offer::new(at("edit"), "edit", "Change"));
        actions.push(Offer::new(at("roles"), "change-roles", "Change the roles"));
        let all = Action::for_person(&person, facts.locked).into_iter();
        actions.extend(all.map(|action| Offer::new(at(action.path()), action.path(), action.heading())));
    }
    let off = |text| Tag { text, off: true };
    let states = [
        (!person.enabled).then(|| off("Disabled")),
        facts.locked.then(|| off("Locked")),
    ];
    let once = admin.once(&person.id);
    let mut cards = problems(&person, facts.locked, may_change);
    cards.extend([
        roles(app, &person),
        sessions_of(&admin, &facts, may_change),
        allowed(&admin, &person, &facts),
    ]);
    let detail = Detail {
        list: (PATH, "People"),
        name: person.name.clone(),
        states: states.into_iter().flatten().collect(),
        once: once.map(|once| (once, "Link for the person")),
        actions,
        facts: vec![
            (
                "About",
                known(&admin, &person, &admin.reach(Area::People, Right::Read)),
            ),
            ("How the person signs in", methods(&admin, &person, &facts)),
        ],
        cards,
        last: events::last_of(&admin, Concerned::Person(person.id.clone())).await?,
        all: format!("/admin/audit?person={}", person.id),
    };
    Ok(detail.answer(&admin, Area::People))
}

/// What whoever looks should know first.
fn problems(person: &Person, locked: bool, may_change: bool) -> Vec<Card> {
    let problem = |id, text: &str| Card {
        problem: true,
        texts: vec![text.to_owned()],
        ..Card::new(id, "")
    };
    let of_console = area_of(person) == Area::Administrators && !may_change;
    let of_console = of_console.then(|| {
        problem(
            "of-console",
            "This person has a role of the administration. Only an administrator may change the account.",
        )
    });
    let unlock = may_change.then(|| {
        (
            format!("{}/unlock", path_of(&person.id)),
            "unlock-now",
            "Unlock the account".to_owned(),
        )
    });
    let locked = locked.then(|| Card {
        links: unlock.into_iter().collect(),
        ..problem(
            "locked",
            "Too many wrong passwords or codes were entered, so signing in is refused for now.",
        )
    });
    of_console.into_iter().chain(locked).collect()
}

/// The roles, each with what it lets its holder do.
fn roles(app: &App, person: &Person) -> Card {
    let card = Card::new("roles", "Roles, and what they allow");
    if person.settings.roles.is_empty() {
        return Card {
            texts: vec![
                "No role. Without a role, applications learn who the person is, and no more.".to_owned(),
            ],
            ..card
        };
    }
    Card {
        groups: person.settings.roles.iter().map(|code| role(app, code)).collect(),
        ..card
    }
}

fn role(app: &App, code: &str) -> Group {
    let Some(role) = app.policy.role(code) else {
        return Group {
            title: code.to_owned(),
            text: "Nothing: the policy does not know this role any more.",
            ..Group::default()
        };
    };
    let codes = std::iter::once(code.to_owned()).chain(super::edit::codings(&app.policy, role));
    let group = Group {
        title: role.label.clone(),
        meta: codes.collect::<Vec<_>>().join("; "),
        ..Group::default()
    };
    if role.console {
        return Group {
            text: "Administers this service. It opens no death data.",
            ..group
        };
    }
    let sentences = app.policy.sentences(&role.scopes).into_iter();
    Group {
        text: "With an application that asks for it, in the words that the person reads:",
        items: sentences.map(|item| item.sentence).collect(),
        ..group
    }
}

fn sessions_of(admin: &AdminRequest, facts: &Facts, may_change: bool) -> Card {
    let card = Card::new("its-sessions", "Signed in now");
    if facts.sessions.is_empty() {
        return Card {
            texts: vec!["Nowhere.".to_owned()],
            ..card
        };
    }
    let row = |session: &Session| {
        let item = sessions::item(admin, session, None);
        let end = Cell::text("End")
            .unseen(format!(
                "the session of {}, since {}",
                item.device, item.since.words
            ))
            .leads_to(Some(format!("/admin/sessions/{}/end", item.id)));
        [
            Cell::text(item.device),
            Cell::text(item.address),
            Cell::when(Some(item.since), ""),
            Cell::when(Some(item.used), ""),
        ]
        .into_iter()
        .chain(may_change.then_some(end))
        .collect()
    };
    let columns = ["Browser", "Address", "Since", "Last used"].map(Column::new);
    Card {
        table: Some(Table {
            id: "sessions",
            columns: columns
                .into_iter()
                .chain(may_change.then_some(Column::new("End")))
                .collect(),
            rows: facts.sessions.iter().map(row).collect(),
        }),
        ..card
    }
}

fn allowed(admin: &AdminRequest, person: &Person, facts: &Facts) -> Card {
    let card = Card::new("applications", "Applications the person allowed");
    let all = applications::listed(&admin.app, person, &facts.allowed, &admin.zone);
    if all.is_empty() {
        return Card {
            texts: vec!["None.".to_owned()],
            ..card
        };
    }
    let group = |application: Allowed| Group {
        title: application.name,
        meta: application
            .since
            .map(|since| format!("Since {}", since.words))
            .unwrap_or_default(),
        items: application.sentences,
        ..Group::default()
    };
    Card {
        texts: vec!["In the words that the person read.".to_owned()],
        groups: all.into_iter().map(group).collect(),
        links: vec![(
            format!("/admin/grants?person={}", encoded(&person.username)),
            "its-grants",
            "All that was allowed, one by one".to_owned(),
        )],
        ..card
    }
}

/// What is registered, in the order of the form; what is not there is left out.
fn known(admin: &AdminRequest, person: &Person, reach: &Reach) -> Vec<Fact> {
    let app = &admin.app;
    let settings = &person.settings;
    let agencies = app.live.agencies();
    let seen = reach.seen(settings);
    let there = |membership: &Membership| {
        let roles = labels(&app.policy, &membership.roles).join(", ");
        format!("{}: {roles}", agencies.name(&membership.agency))
    };
    let elsewhere: Vec<String> = seen.memberships.iter().map(there).collect();
    let agency = settings.agency.as_deref().map(|id| agencies.name(id).to_owned());
    let email = settings.email.as_ref().map(|email| {
        format!(
            "{email} ({})",
            if settings.email_verified {
                "verified"
            } else {
                "not verified"
            }
        )
    });
    let purposes = settings.purposes.as_ref().map(|codes| purposes(app, codes));
    let license = settings.license_expires.as_deref().map(|day| {
        let ended = licence_ends(&app.config.policy.time_zone, person).is_some_and(|ends| app.now() >= ends);
        format!(
            "{} {}",
            if ended { "Ended on" } else { "Good through" },
            day_in_words(day)
        )
    });
    let zone = settings
        .claims
        .get("zoneinfo")
        .and_then(|zone| zone.as_str())
        .map(str::to_owned);
    let all = [
        ("Username", Some(person.username.clone())),
        ("E-mail address", email),
        ("Agency", agency),
        (
            "At agencies",
            (!elsewhere.is_empty()).then(|| elsewhere.join("; ")),
        ),
        ("NPI", settings.npi.clone()),
        ("FHIR resource", settings.fhir_user.clone()),
        (
            "Clearance",
            settings
                .confidentiality
                .map(|level| format!("{level} ({})", level.code())),
        ),
        ("Integrity", settings.integrity.map(|level| level.to_string())),
        ("Purposes of use", purposes),
        ("License", license),
        ("Time zone", zone),
        ("Made for the sign-in of", settings.provisioned_by.clone()),
    ];
    let when = |at: Option<i64>, none| Cell::when(at.map(|at| admin.zone.when(at)), none);
    let told = all
        .into_iter()
        .filter_map(|(label, value)| Some(Fact::new(label, Cell::text(value?))));
    told.chain([
        Fact::new("Person ID", Cell::code(&person.id).copied()),
        Fact::new("Added", when(Some(person.created_at), "")),
        Fact::new("Last sign-in", when(person.last_login_at, "Never")),
    ])
    .collect()
}

fn purposes(app: &App, codes: &[String]) -> String {
    let vocabulary = app.policy.vocabulary();
    let display = |code: &String| {
        let known = vocabulary.display(crate::policy::vocabulary::PURPOSE_SYSTEM, code);
        known.map_or_else(|| code.clone(), |display| format!("{display} ({code})"))
    };
    codes.iter().map(display).collect::<Vec<_>>().join(", ")
}

fn methods(admin: &AdminRequest, person: &Person, facts: &Facts) -> Vec<Fact> {
    let app = &admin.app;
    let used = |at: Option<i64>| {
        at.map_or_else(
            || "not used yet".to_owned(),
            |at| format!("last used {}", admin.zone.when(at).words),
        )
    };
    let password = match &person.password {
        Some(_) if person.password_changed_at > 0 => {
            format!("Set {}", admin.zone.when(person.password_changed_at).words)
        }
        Some(_) => "To be changed at the next sign-in".to_owned(),
        None => "None".to_owned(),
    };
    let mut methods = vec![("Password", password)];
    if person.totp_secret.is_some() {
        methods.push((
            "Authenticator app",
            format!("Set up, {}", used(totp::used_at(person.totp_step))),
        ));
    }
    for passkey in &facts.passkeys {
        methods.push((
            "Passkey",
            format!("{}, {}", passkey.name, used(passkey.last_used_at)),
        ));
    }
    if !person.has_second_factor(!facts.passkeys.is_empty()) {
        let text = if app.policy.requires_second_factor(&person.settings.all_roles()) {
            "None; the next sign-in sets one up, because the roles need it"
        } else {
            "None"
        };
        methods.push(("Second factor", text.to_owned()));
    }
    methods.push(("Recovery codes", format!("{} left", facts.recovery_codes)));
    if let Some(until) = facts.invited_until {
        let words = admin.zone.when(until).words;
        methods.push(("Invitation", format!("Works until {words}")));
    }
    let methods = methods.into_iter();
    methods
        .map(|(label, words)| Fact::new(label, Cell::text(words)))
        .chain(agency_sign_ins(admin, person, &facts.identities, used))
        .collect()
}

/// With which providers the account is linked; those who may part them are led there.
fn agency_sign_ins(
    admin: &AdminRequest,
    person: &Person,
    identities: &[LinkedIdentity],
    used: impl Fn(Option<i64>) -> String,
) -> Vec<Fact> {
    let fact = |identity: &LinkedIdentity| {
        let provider = &identity.provider_id;
        let known = admin.app.live.identity_provider(provider);
        let name = known.map_or_else(|| provider.clone(), |known| known.name.clone());
        let words = format!("{name}, {}", used(identity.last_used_at));
        let unlink = Cell::text("Unlink")
            .unseen(format!("from {name}"))
            .leads_to(Some(links_of_provider::unlink_path(provider, &person.id)));
        let values = std::iter::once(Cell::text(words));
        Fact {
            label: "Agency’s sign-in".to_owned(),
            values: values
                .chain(admin.changes(Area::IdentityProviders).then_some(unlink))
                .collect(),
        }
    };
    identities.iter().map(fact).collect()
}
