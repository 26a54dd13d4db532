//! `/admin/identity-providers`: the agencies whose people sign in with their own accounts.

pub mod form;
pub mod lifecycle;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::access::{Frame, Requires, admit, answer};
use super::list_query::{self, Filter, ListQuery};
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::model::identity_provider::{Accounts, IdentityProvider, IdentityProviderSettings, Reauthenticate};
use crate::outbound::identity_provider::Finding;
use crate::policy::console::Area;
use crate::registry::identity_providers::redirect_uri;
use crate::store::{identity_providers as stored, registered};
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const FILTERS: [&str; 2] = ["q", "state"];

#[derive(Template)]
#[template(path = "../admin/identity_providers.html")]
struct ProvidersPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    some: bool,
    looked: ListQuery,
    states: Vec<Filter>,
    rows: Vec<IdentityProvider>,
    first: Option<String>,
    next: Option<String>,
}

/// `GET /admin/identity-providers`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, list(&app, &request).await)
}

async fn list(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::IdentityProviders)).await?;
    let looked = ListQuery::of(request);
    // From the database, for those alone are live that people can sign in with. There are few.
    let all = app
        .store
        .read(registered::all::<IdentityProviderSettings>)
        .await?;
    let some = !all.is_empty();
    let key = |provider: &IdentityProvider| (provider.name.to_lowercase(), provider.id.clone());
    let found = all
        .into_iter()
        .filter(|provider| is_looked_for(&looked, provider));
    let (rows, more) = list_query::cut(list_query::page_of(found, key, looked.after()));
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| looked.page_after(&FILTERS, &key(last).0, &last.id));
    let page = ProvidersPage {
        shell: admin.shell(),
        frame: admin.frame(Area::IdentityProviders),
        may_change: admin.changes(Area::IdentityProviders),
        some,
        states: list_query::filters(
            looked.get("state"),
            &[
                ("", "Enabled or not"),
                ("enabled", "Enabled"),
                ("disabled", "Disabled"),
            ],
        ),
        rows,
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn is_looked_for(looked: &ListQuery, provider: &IdentityProvider) -> bool {
    let wanted = looked.get("q").to_lowercase();
    let state = match looked.get("state") {
        "enabled" => provider.enabled,
        "disabled" => !provider.enabled,
        _ => true,
    };
    let texts = [&provider.id, &provider.name, &provider.settings.issuer];
    state && (wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted)))
}

/// The page of a provider.
pub fn path(id: &str) -> String {
    format!("/admin/identity-providers/{id}")
}

async fn found(app: &App, id: &str) -> Result<IdentityProvider, PageRefused> {
    let id = id.to_owned();
    let provider = app
        .store
        .read(move |conn| registered::find::<IdentityProviderSettings>(conn, &id))
        .await?;
    provider.ok_or_else(|| PageRefused::Error(PageError::not_found()))
}

#[derive(Template)]
#[template(path = "../admin/identity_provider.html")]
struct ProviderPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    provider: &'a IdentityProvider,
    lacks_secret: bool,
    accounts: &'static str,
    redirect_uri: String,
    links: i64,
    changed: When,
    reauthenticate: &'static str,
    findings: Option<Vec<Finding>>,
}

/// What a first sign-in leads to.
fn accounts_in_words(accounts: Accounts) -> &'static str {
    match accounts {
        Accounts::Linked => "Only accounts that an administrator has linked",
        Accounts::Invited => {
            "The account that an administrator has added for the person, and nobody has used"
        }
        Accounts::Create => "A new account",
    }
}

/// How a sign-in gets fresh.
fn reauthenticate_in_words(reauthenticate: Reauthenticate) -> &'static str {
    match reauthenticate {
        Reauthenticate::MaxAge => "It asks again, and says when the person signed in (max_age)",
        Reauthenticate::PromptLogin => {
            "It asks again, but does not say when the person signed in (prompt=login)"
        }
        Reauthenticate::None => {
            "It does not ask again: people who sign certificates need a password here as well"
        }
    }
}

/// `GET /admin/identity-providers/{id}`; with `?try` the provider is asked for its documents.
pub async fn show(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &id).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, PageRefused> {
    let admin = admit(app, request, Requires::read(Area::IdentityProviders)).await?;
    let provider = found(app, id).await?;
    let owned = id.to_owned();
    let links = app
        .store
        .read(move |conn| stored::count_links(conn, &owned))
        .await?;
    let may_change = admin.changes(Area::IdentityProviders);
    let redirect_uri = redirect_uri(app, id);
    let tries = may_change && ListQuery::of(request).get("try") == "1";
    let findings = if tries {
        Some(app.identity_providers.examine(&provider, &redirect_uri).await)
    } else {
        None
    };
    let page = ProviderPage {
        shell: admin.shell(),
        frame: admin.frame(Area::IdentityProviders),
        may_change,
        lacks_secret: provider.enabled && !provider.is_ready(),
        accounts: accounts_in_words(provider.settings.accounts),
        redirect_uri,
        links,
        changed: admin.zone.when(provider.updated_at),
        reauthenticate: reauthenticate_in_words(provider.settings.reauthenticate),
        findings,
        provider: &provider,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
