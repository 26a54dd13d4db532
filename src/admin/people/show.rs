//! `/admin/users/{id}`: one person, what she may do, how she signs in, where she is signed in, and what can be done.

use std::sync::Arc;

use actix_web::http::StatusCode;
use askama::Template;

use super::action::Action;
use super::{area_of, labels};
use crate::account::applications::{self, AllowedFacts};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::sessions::{self, SessionItem};
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::clock::local_time::{When, day_in_words};
use crate::issuance::licence_ends;
use crate::login::totp;
use crate::model::agency::Membership;
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::policy::console::{Area, Reach, Right};
use crate::session::lockout;
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::{Conn, Stored, identity_providers, links, recovery_codes, sessions as stored_sessions};
use crate::web::pages::account::Allowed;
use crate::web::pages::{self, FormAction, Shell};

/// How many sessions are shown; the list of sessions has them all.
const SESSIONS: usize = 20;

#[derive(Template)]
#[template(path = "../admin/person.html")]
struct PersonPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    once: Option<Once>,
    person: &'a Person,
    may_change: bool,
    /// Only an administrator may change this person.
    of_console: bool,
    facts: Vec<(&'static str, String)>,
    roles: Vec<RoleItem>,
    methods: Vec<(&'static str, String)>,
    locked: bool,
    invited_until: Option<When>,
    last_login: Option<When>,
    added: When,
    sessions: Vec<SessionItem>,
    applications: Vec<Allowed>,
    actions: Vec<Action>,
}

/// A role, with what it lets its holder do.
struct RoleItem {
    label: String,
    code: String,
    codings: Vec<String>,
    sentences: Vec<String>,
    console: bool,
}

/// What the database knows beside the person.
struct Facts {
    passkeys: Vec<StoredPasskey>,
    recovery_codes: i64,
    locked: bool,
    invited_until: Option<i64>,
    providers: Vec<String>,
    sessions: Vec<crate::model::session::Session>,
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
            providers: identity_providers::links_of_person(conn, id)?
                .into_iter()
                .map(|link| link.provider_id)
                .collect(),
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
    let once = admin.once(&person.id);
    let something_shown = once.is_some();
    let may_change = admin.may_somewhere(area_of(&person), Right::Change);
    let page = PersonPage {
        shell: admin.shell(),
        frame: admin.frame(Area::People),
        once,
        may_change,
        of_console: area_of(&person) == Area::Administrators,
        facts: known(app, &person, &admin.reach(Area::People, Right::Read)),
        roles: person.settings.roles.iter().map(|code| role(app, code)).collect(),
        methods: methods(&admin, &person, &facts),
        locked: facts.locked,
        invited_until: facts.invited_until.map(|at| admin.zone.when(at)),
        last_login: person.last_login_at.map(|at| admin.zone.when(at)),
        added: admin.zone.when(person.created_at),
        sessions: facts
            .sessions
            .iter()
            .map(|session| sessions::item(&admin, session, None))
            .collect(),
        applications: applications::listed(app, &person, &facts.allowed, &admin.zone),
        actions: if may_change {
            Action::for_person(&person, facts.locked)
        } else {
            Vec::new()
        },
        person: &person,
    };
    let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
    Ok(if something_shown {
        admin.shown(answer)
    } else {
        answer
    })
}

/// What is registered, in the order of the form; what is not there is left out.
fn known(app: &App, person: &Person, reach: &Reach) -> Vec<(&'static str, String)> {
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
        ("Person ID", Some(person.id.clone())),
    ];
    all.into_iter()
        .filter_map(|(label, value)| Some((label, value?)))
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

fn role(app: &App, code: &str) -> RoleItem {
    let Some(role) = app.policy.role(code) else {
        return RoleItem {
            label: code.to_owned(),
            code: code.to_owned(),
            codings: Vec::new(),
            sentences: vec!["Nothing: the policy does not know this role any more".to_owned()],
            console: false,
        };
    };
    RoleItem {
        label: role.label.clone(),
        code: code.to_owned(),
        codings: super::edit::codings(&app.policy, role),
        sentences: app
            .policy
            .sentences(&role.scopes)
            .into_iter()
            .map(|item| item.sentence)
            .collect(),
        console: role.console,
    }
}

fn methods(admin: &AdminRequest, person: &Person, facts: &Facts) -> Vec<(&'static str, String)> {
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
    for provider in &facts.providers {
        let name = app
            .live
            .identity_provider(provider)
            .map_or_else(|| provider.clone(), |known| known.name.clone());
        methods.push(("Agency’s sign-in", name));
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
    methods
}
