//! `/admin/policy`: what the policy says, in plain words: roles, dataflows, scopes, the rights at this console, and the
//! code systems. To be read; the policy itself is a file.

use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame};
use super::list_query::ListQuery;
use super::resource_servers::kind_in_words;
use crate::app::App;
use crate::model::kind::Kind;
use crate::model::security_label::Confidentiality;
use crate::policy::Askers;
use crate::policy::consent::ScopeSentence;
use crate::policy::console::{Area, ROLES, Right, TABLE};
use crate::policy::role::Coding;
use crate::policy::vocabulary::{Concept, PURPOSE_SYSTEM};
use crate::web::pages::{self, FormAction, Shell};

/// How many codes are shown.
const MOST: usize = 100;

#[derive(Template)]
#[template(path = "../admin/policy.html")]
struct PolicyPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    file: Option<String>,
    roles: Vec<Role<'a>>,
    flows: Vec<Flow<'a>>,
    scopes: Vec<Scope<'a>>,
    columns: Vec<&'a str>,
    rights: Vec<(&'static str, Vec<&'static str>)>,
    looked: ListQuery,
    concepts: Vec<&'a Concept>,
    more: bool,
}

struct Role<'a> {
    code: &'a str,
    label: &'a str,
    codings: &'a [Coding],
    clearance: Option<&'static str>,
    purposes: Vec<String>,
    sentences: Vec<ScopeSentence>,
    second_factor: bool,
    console: bool,
}

struct Flow<'a> {
    id: &'a str,
    label: &'a str,
    client: &'a str,
    servers: String,
    for_systems: bool,
    as_written: bool,
    sentences: Vec<ScopeSentence>,
    purposes: Vec<String>,
    minutes: u32,
}

struct Scope<'a> {
    name: &'a str,
    sentence: &'a str,
    askers: &'static str,
    roles: Vec<&'a str>,
}

/// `GET /admin/policy`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let wanted = looked.get("q");
    let vocabulary = app.policy.vocabulary();
    let (concepts, more) = if wanted.is_empty() {
        (Vec::new(), false)
    } else {
        vocabulary.search(wanted, MOST)
    };
    let page = PolicyPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Policy),
        file: app
            .config
            .policy
            .file
            .as_ref()
            .map(|file| file.display().to_string()),
        roles: roles(app),
        flows: flows(app),
        scopes: scopes(app),
        columns: ROLES.iter().map(|code| label(app, code)).collect(),
        rights: TABLE
            .iter()
            .map(|(area, rights)| (area_in_words(*area), rights.map(right_in_words).to_vec()))
            .collect(),
        concepts,
        more,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// What a role is called; its code, if the policy does not have it.
fn label<'a>(app: &'a App, code: &'a str) -> &'a str {
    app.policy.role(code).map_or(code, |role| &role.label)
}

/// Purposes of use with what they mean.
fn purposes(app: &App, codes: &[String]) -> Vec<String> {
    let words = |code: &String| match app.policy.vocabulary().display(PURPOSE_SYSTEM, code) {
        Some(display) => format!("{display} ({code})"),
        None => code.clone(),
    };
    codes.iter().map(words).collect()
}

fn roles(app: &App) -> Vec<Role<'_>> {
    app.policy
        .roles()
        .iter()
        .map(|role| Role {
            code: &role.code,
            label: &role.label,
            codings: &role.codings,
            clearance: role.clearance.map(Confidentiality::word),
            purposes: purposes(app, &role.purposes),
            sentences: app
                .policy
                .sentences(&app.policy.may_hold(std::slice::from_ref(&role.code))),
            second_factor: role.second_factor,
            console: role.console,
        })
        .collect()
}

fn flows(app: &App) -> Vec<Flow<'_>> {
    let servers = |kinds: &[Kind]| {
        kinds
            .iter()
            .map(|kind| kind_in_words(*kind))
            .collect::<Vec<_>>()
            .join(", ")
    };
    app.policy
        .dataflows()
        .iter()
        .map(|flow| Flow {
            id: &flow.id,
            label: &flow.label,
            client: &flow.client,
            servers: servers(&flow.resource_servers),
            for_systems: flow.is_for_systems(),
            as_written: flow.as_written,
            sentences: app.policy.sentences(&flow.scopes),
            purposes: purposes(app, &flow.purposes),
            minutes: flow.access_seconds.div_ceil(60),
        })
        .collect()
}

fn scopes(app: &App) -> Vec<Scope<'_>> {
    app.policy
        .named_scopes()
        .iter()
        .map(|scope| Scope {
            name: &scope.name,
            sentence: &scope.sentence,
            askers: match scope.askers {
                Askers::People => "People who sign in",
                Askers::Systems => "Systems",
                Askers::Both => "People and systems",
                Askers::None => "No client",
            },
            roles: scope.roles.iter().map(|code| label(app, code)).collect(),
        })
        .collect()
}

fn area_in_words(area: Area) -> &'static str {
    match area {
        Area::Home => "Picture of the deployment",
        Area::Agencies => "Agencies",
        Area::Clients => "Clients",
        Area::ResourceServers => "Resource servers",
        Area::IdentityProviders => "Agency sign-in",
        Area::People => "People without a role here",
        Area::Administrators => "People with a role here",
        Area::Sessions => "Sessions",
        Area::Grants => "Grants",
        Area::Policy => "Policy",
        Area::Keys => "Keys",
        Area::Audit => "Audit",
        Area::AccessReview => "Access review",
        Area::Configuration => "Import and export",
        Area::ApiTokens => "Tokens of the admin API",
    }
}

fn right_in_words(right: Right) -> &'static str {
    match right {
        Right::None => "Nothing",
        Right::Read => "Looks",
        Right::Change => "Looks and changes",
    }
}
