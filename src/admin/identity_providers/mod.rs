//! `/admin/identity-providers`: the agencies whose people sign in with their own accounts.

pub mod form;
pub mod state;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::listing::{self, Filter, Looked};
use super::visit::{Door, Frame, answer, enter};
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::model::identity_provider::{Accounts, IdentityProvider};
use crate::outbound::upstream::Finding;
use crate::policy::console::Area;
use crate::registry::identity_providers::redirect_uri;
use crate::store::identity_providers as stored;
use crate::web::guard::Stop;
use crate::web::pages::{self, FormAction, Shell};

const FILTERS: [&str; 2] = ["q", "state"];

#[derive(Template)]
#[template(path = "../admin/identity-providers.html")]
struct ProvidersPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    some: bool,
    looked: Looked,
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

async fn list(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::IdentityProviders)).await?;
    let looked = Looked::of(request);
    // From the database, for the directory offers those alone that people can sign in with. There are few.
    let all = app.store.read(stored::all).await?;
    let some = !all.is_empty();
    let key = |provider: &IdentityProvider| (provider.name.to_lowercase(), provider.id.clone());
    let found = all
        .into_iter()
        .filter(|provider| is_looked_for(&looked, provider));
    let (rows, more) = listing::cut(listing::page_of(found, key, looked.after()));
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| looked.page_after(&FILTERS, &key(last).0, &last.id));
    let page = ProvidersPage {
        shell: visit.shell(),
        frame: visit.frame(Area::IdentityProviders),
        may_change: visit.changes(Area::IdentityProviders),
        some,
        states: listing::filters(
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

fn is_looked_for(looked: &Looked, provider: &IdentityProvider) -> bool {
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
#[must_use]
pub fn path(id: &str) -> String {
    format!("/admin/identity-providers/{id}")
}

async fn found(app: &App, id: &str) -> Result<IdentityProvider, Stop> {
    let id = id.to_owned();
    let provider = app.store.read(move |conn| stored::find(conn, &id)).await?;
    provider.ok_or_else(|| Stop::Error(PageError::not_found()))
}

#[derive(Template)]
#[template(path = "../admin/identity-provider.html")]
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

/// `GET /admin/identity-providers/{id}`; with `?try` the provider is asked for its documents.
pub async fn show(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &id).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, id: &str) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::IdentityProviders)).await?;
    let provider = found(app, id).await?;
    let owned = id.to_owned();
    let links = app
        .store
        .read(move |conn| stored::count_links(conn, &owned))
        .await?;
    let may_change = visit.changes(Area::IdentityProviders);
    let redirect_uri = redirect_uri(app, id);
    let tries = may_change && Looked::of(request).get("try") == "1";
    let findings = if tries {
        Some(app.upstream.examine(&provider, &redirect_uri).await)
    } else {
        None
    };
    let page = ProviderPage {
        shell: visit.shell(),
        frame: visit.frame(Area::IdentityProviders),
        may_change,
        lacks_secret: provider.enabled && !provider.is_ready(),
        accounts: accounts_in_words(provider.settings.accounts),
        redirect_uri,
        links,
        changed: visit.zone.when(provider.updated_at),
        findings,
        provider: &provider,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
