//! `/admin/identity-providers/new` and `/admin/identity-providers/{id}/edit`: one form for both.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{found, path};
use crate::admin::access::{AdminRequest, Frame, Requires, admit, answer, done};
use crate::admin::form::{self, Choice, FieldMistake, Typed, word};
use crate::app::App;
use crate::model::Organization;
use crate::model::identity_provider::{IdentityProvider, RoleMapping};
use crate::model::secret::Secret;
use crate::policy::console::Area;
use crate::registry::identity_providers::{self, IdentityProviderForm, redirect_uri};
use crate::registry::{self, Omitted, Refused, Words};
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

/// Fresh, for it decides who may come in.
const REQUIRES: Requires = Requires::change(Area::IdentityProviders).fresh();

/// What is typed and shown again: everything but the secret.
const FIELDS: [&str; 17] = [
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
}

fn show(
    admin: &AdminRequest,
    before: Option<&IdentityProvider>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
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
        has_secret: before.is_some_and(|provider| provider.secret.is_some()),
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
        .run(move |registry, tx| identity_providers::register(registry, tx, &wanted))
        .await
    {
        Ok(provider) => Ok(done(&path(&provider.id), "provider-registered")),
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
    Ok(show(&admin, Some(&provider), registered(&provider), Vec::new()))
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
        identity_providers::change(registry, tx, &wanted, Omitted::TakesDefault, Some(&seen))
    });
    match changed.await {
        Ok(now) => Ok(done(
            &path(id),
            if now == provider { "unchanged" } else { "saved" },
        )),
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
        .with("version", identity_providers::version(provider));
    if settings.manage_roles {
        typed.with("manage_roles", "yes")
    } else {
        typed
    }
}

fn read(posted: &PostedForm, typed: &Typed, id: String) -> Result<IdentityProviderForm, Vec<FieldMistake>> {
    let mut wrong = Vec::new();
    let words = |field: &str| Words::from(vec![typed.get(field).to_owned()]);
    let secret = posted.field("secret").unwrap_or_default();
    let form = IdentityProviderForm {
        id: Some(id),
        name: Some(typed.get("name").to_owned()),
        issuer: typed.some("issuer"),
        client_id: typed.some("client_id"),
        // An empty field keeps the secret that is known.
        secret: Some(secret).filter(|secret| !secret.is_empty()).map(Secret::new),
        secret_later: None,
        auth_method: word(typed, "auth_method", &mut wrong),
        scopes: Some(words("scopes")),
        accounts: word(typed, "accounts", &mut wrong),
        username_claim: typed.some("username_claim"),
        organization: agency(typed, &mut wrong),
        roles: Some(roles(typed, &mut wrong)),
        manage_roles: Some(typed.has("manage_roles", "yes")),
        trusted_acr: Some(words("trusted_acr")),
        trusted_amr: Some(words("trusted_amr")),
        reauthenticate: word(typed, "reauthenticate", &mut wrong),
        enabled: None,
    };
    if wrong.is_empty() { Ok(form) } else { Err(wrong) }
}

fn agency(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Option<Organization> {
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
    name.map(|name| Organization {
        name,
        id,
        jurisdiction,
    })
}

/// A line for each: `claim | value | role`, and `| console` behind a role of the console. The value may hold a `|`.
fn roles(typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Vec<RoleMapping> {
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
    roles
}
