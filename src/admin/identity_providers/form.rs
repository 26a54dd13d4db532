//! `/admin/identity-providers/new` and `/admin/identity-providers/{id}/edit`: one form for both.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Map, Value};

use super::{found, path};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer, done};
use crate::admin::edit_conflict::{self, Changed};
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::app::App;
use crate::model::Organization;
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings, RoleMapping};
use crate::model::secret::Secret;
use crate::policy::console::Area;
use crate::registry::identity_providers::redirect_uri;
use crate::registry::said::{Merge, Said};
use crate::registry::{self, Refused, VERSION, noun};
use crate::store::audit::Concerned;
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// Fresh, for it decides who may come in.
const REQUIRES: Requires = Requires::change(Area::IdentityProviders).fresh();

/// What is typed and shown again: everything but the secret.
const FIELDS: [&str; 18] = [
    "name",
    "id",
    "issuer",
    "client_id",
    "auth_method",
    "scopes",
    "accounts",
    "username_claim",
    "organization",
    "organization_id",
    "jurisdiction",
    "roles",
    "manage_roles",
    "trusted_acr",
    "trusted_amr",
    "reauthenticate",
    "version",
    "shown",
];

/// The fields beside which a mistake is told.
fn told() -> Vec<&'static str> {
    FIELDS.into_iter().chain(["secret"]).collect()
}

const METHODS: [(&str, &str, &str); 3] = [
    (
        "client_secret_basic",
        "With a secret, in the header",
        "The usual way.",
    ),
    ("client_secret_post", "With a secret, in the form", ""),
    ("none", "With PKCE alone", "The provider gave us no secret."),
];
const ACCOUNTS: [(&str, &str, &str); 3] = [
    (
        "linked",
        "Only an account that an administrator has linked",
        "The safest choice.",
    ),
    (
        "invited",
        "The account that was added here for the person",
        "By verified e-mail address or username; only once, and only within the agency.",
    ),
    (
        "create",
        "A new account",
        "Made when somebody comes for the first time, with the roles that the claims stand for.",
    ),
];

const REAUTHENTICATE: [(&str, &str, &str); 3] = [
    (
        "max_age",
        "It asks again, and says when the person signed in",
        "The usual way (max_age and auth_time).",
    ),
    (
        "prompt_login",
        "It asks again, but does not say when the person signed in",
        "Only if you have seen it ask for the password again (prompt=login). Somebody at an open browser may get around it.",
    ),
    (
        "none",
        "It does not ask again",
        "People who sign certificates then need a password here as well.",
    ),
];

#[derive(Template)]
#[template(path = "../admin/identity_provider_form.html")]
struct FormPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    id: Option<&'a str>,
    has_secret: bool,
    redirect_uri: String,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    methods: Vec<Choice>,
    accounts: Vec<Choice>,
    manage: Vec<Choice>,
    reauthenticate: Vec<Choice>,
    /// What somebody else has changed since the form was shown.
    meanwhile: Option<Vec<Changed>>,
}

fn show(
    admin: &AdminRequest,
    before: Option<&IdentityProvider>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    show_with(admin, before, typed, wrong, None)
}

fn show_with(
    admin: &AdminRequest,
    before: Option<&IdentityProvider>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    meanwhile: Option<Vec<Changed>>,
) -> HttpResponse {
    let status = if wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = FormPage {
        shell: admin.shell(),
        frame: admin.frame(Area::IdentityProviders),
        id: before.map(|provider| provider.id.as_str()),
        has_secret: before.is_some_and(|provider| provider.sealed.is_some()),
        redirect_uri: redirect_uri(&admin.app, before.map_or("(its ID)", |provider| &provider.id)),
        typed,
        wrong,
        methods: form::choices(&METHODS),
        accounts: form::choices(&ACCOUNTS),
        manage: form::choices(&[(
            "yes",
            "Also decide about accounts that were made here",
            "Roles that were given here by hand are taken away at the next sign-in, but for those of this console.",
        )]),
        reauthenticate: form::choices(&REAUTHENTICATE),
        meanwhile,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `GET /admin/identity-providers/new`
pub async fn new_get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, new_page(&app, &request).await)
}

async fn new_page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let typed = Typed::default()
        .with("auth_method", "client_secret_basic")
        .with("scopes", "openid profile email")
        .with("accounts", "linked")
        .with("reauthenticate", "max_age");
    Ok(show(&admin, None, typed, Vec::new()))
}

/// `POST /admin/identity-providers/new`
pub async fn new_post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, register(&app, &request, body).await)
}

async fn register(
    app: &Arc<App>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let posted = admin.posted(request, body).await?;
    let typed = Typed::of(&posted, &FIELDS);
    let id = typed
        .some("id")
        .unwrap_or_else(|| registry::id_from(typed.get("name")));
    let wanted = match read(&posted, &typed, id) {
        Ok(wanted) => wanted,
        Err(wrong) => return Ok(show(&admin, None, typed, wrong)),
    };
    let registry = admin.registry();
    match registry
        .run(move |registry, tx| noun::register::<IdentityProviderSettings>(registry, tx, &wanted))
        .await
    {
        Ok((provider, _)) => Ok(done(&path(&provider.id), "provider-registered")),
        Err(Refused::Mistakes(mistakes)) => {
            Ok(show(&admin, None, typed, FieldMistake::of(&mistakes, &told())))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// `GET /admin/identity-providers/{id}/edit`
pub async fn edit_get(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, edit_page(&app, &request, &id).await)
}

async fn edit_page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let provider = found(app, id).await?;
    let typed = registered(&provider).with("shown", app.clock.now_millis().to_string());
    Ok(show(&admin, Some(&provider), typed, Vec::new()))
}

/// `POST /admin/identity-providers/{id}/edit`
pub async fn edit_post(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, change(&app, &request, &id, body).await)
}

async fn change(
    app: &Arc<App>,
    request: &HttpRequest,
    id: &str,
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, REQUIRES).await?;
    let posted = admin.posted(request, body).await?;
    let provider = found(app, id).await?;
    let typed = Typed::of(&posted, &FIELDS);
    let wanted = match read(&posted, &typed, id.to_owned()) {
        Ok(wanted) => wanted,
        Err(wrong) => return Ok(show(&admin, Some(&provider), typed, wrong)),
    };
    let (registry, seen) = (admin.registry(), typed.get("version").to_owned());
    let changed = registry.run(move |registry, tx| {
        noun::change::<IdentityProviderSettings>(registry, tx, &wanted, Some(&seen))
    });
    match changed.await {
        Ok((now, _)) => Ok(done(
            &path(id),
            if now == provider { "unchanged" } else { "saved" },
        )),
        Err(Refused::Mistakes(mistakes)) if mistakes.iter().any(|mistake| mistake.key == VERSION) => {
            // Whoever saves now has seen what the other one changed.
            let now = app.clock.now_millis();
            let since = typed.get("shown").parse().unwrap_or(now);
            let subject = Concerned::Provider(id.to_owned());
            let meanwhile = edit_conflict::since(app, &subject, since, &admin.zone).await?;
            let provider = found(app, id).await?;
            let typed = typed
                .without(VERSION)
                .with(VERSION, noun::version(&provider))
                .without("shown")
                .with("shown", now.to_string());
            let wrong = FieldMistake::of(&mistakes, &told());
            Ok(show_with(&admin, Some(&provider), typed, wrong, Some(meanwhile)))
        }
        Err(Refused::Mistakes(mistakes)) => Ok(show(
            &admin,
            Some(&provider),
            typed,
            FieldMistake::of(&mistakes, &told()),
        )),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// What is registered, as it would be typed.
fn registered(provider: &IdentityProvider) -> Typed {
    let settings = &provider.settings;
    let agency = settings.organization.as_ref();
    let mapping = |mapping: &RoleMapping| {
        let console = if mapping.console { " | console" } else { "" };
        format!(
            "{} | {} | {}{console}",
            mapping.claim, mapping.value, mapping.role
        )
    };
    let typed = Typed::default()
        .with("name", &provider.name)
        .with("issuer", &settings.issuer)
        .with("client_id", &settings.client_id)
        .with("auth_method", settings.auth_method.as_str())
        .with("scopes", settings.scopes.join(" "))
        .with("accounts", settings.accounts.as_str())
        .with(
            "username_claim",
            settings.username_claim.as_deref().unwrap_or_default(),
        )
        .with("organization", agency.map_or("", |agency| &agency.name))
        .with(
            "organization_id",
            agency.and_then(|agency| agency.id.as_deref()).unwrap_or_default(),
        )
        .with(
            "jurisdiction",
            agency
                .and_then(|agency| agency.jurisdiction.as_deref())
                .unwrap_or_default(),
        )
        .with(
            "roles",
            settings.roles.iter().map(mapping).collect::<Vec<_>>().join("\n"),
        )
        .with("trusted_acr", settings.trusted_acr.join("\n"))
        .with("trusted_amr", settings.trusted_amr.join("\n"))
        .with("reauthenticate", settings.reauthenticate.as_str())
        .with("version", noun::version(provider));
    if settings.manage_roles {
        typed.with("manage_roles", "yes")
    } else {
        typed
    }
}

fn read(posted: &PostedForm, typed: &Typed, id: String) -> Result<Said, Vec<FieldMistake>> {
    let mut wrong = Vec::new();
    let chosen = [
        "issuer",
        "client_id",
        "auth_method",
        "accounts",
        "username_claim",
        "reauthenticate",
    ];
    let words = ["scopes", "trusted_acr", "trusted_amr"];
    let secret = posted.field("secret").unwrap_or_default();
    let said = Said::new(Map::new(), Merge::Whole)
        .with("id", id)
        .with("name", typed.get("name"))
        .with_some("organization", agency(typed, &mut wrong))
        .with("roles", roles(typed, &mut wrong))
        .with("manage_roles", typed.has("manage_roles", "yes"))
        // An empty field keeps the secret that is known.
        .with_secret(Some(secret).filter(|secret| !secret.is_empty()).map(Secret::new));
    let said = chosen
        .into_iter()
        .fold(said, |said, field| said.with_some(field, typed.some(field)));
    let said = words
        .into_iter()
        .fold(said, |said, field| said.with(field, typed.get(field)));
    if wrong.is_empty() { Ok(said) } else { Err(wrong) }
}

fn agency(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Option<Value> {
    let (name, id, jurisdiction) = (
        typed.some("organization"),
        typed.some("organization_id"),
        typed.some("jurisdiction"),
    );
    if name.is_none() && (id.is_some() || jurisdiction.is_some()) {
        wrong.push(FieldMistake::field(
            "organization",
            "enter the name of the agency too",
        ));
    }
    let name = name?;
    serde_json::to_value(Organization {
        name,
        id,
        jurisdiction,
    })
    .ok()
}

/// A line for each: `claim | value | role`, and `| console` behind a role of the console. The value may hold a `|`.
fn roles(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Value {
    let read = |line: &str| {
        let (line, console) = line
            .strip_suffix("| console")
            .map_or((line, false), |line| (line, true));
        let (claim, rest) = line.split_once('|')?;
        let (value, role) = rest.rsplit_once('|')?;
        let text = |text: &str| text.trim().to_owned();
        Some(RoleMapping {
            claim: text(claim),
            value: text(value),
            role: text(role),
            console,
        })
    };
    let mut roles = Vec::new();
    for line in typed.lines("roles") {
        match read(&line) {
            Some(mapping) => roles.push(mapping),
            None => wrong.push(FieldMistake::field(
                "roles",
                format!("{line:?} must be: claim | value | role"),
            )),
        }
    }
    serde_json::to_value(roles).unwrap_or_default()
}
