//! `/admin/api-tokens`: what programs administer with. A token is shown once, when it is made.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::form::{Typed, Wrong};
use super::listing::{self, Looked, PAGE};
use super::once::Once;
use super::visit::{Door, Frame, Visit, answer, done, enter};
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::model::api_token::{ApiScope, ApiToken};
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::api_tokens::{self, ApiTokenForm, DEFAULT_DAYS};
use crate::store::api_tokens as stored;
use crate::web::guard::Stop;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/api-tokens";
const FIELDS: [&str; 3] = ["name", "scope", "expires_days"];

#[derive(Template)]
#[template(path = "../admin/api_tokens.html")]
struct TokensPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    once: Option<Once>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    name: String,
    scope: &'static str,
    state: Option<&'static str>,
    created_by: String,
    expires: When,
    last_used: Option<When>,
}

#[derive(Template)]
#[template(path = "../admin/api_token_new.html")]
struct NewPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<Wrong>,
    scopes: Vec<Choice>,
}

struct Choice {
    value: &'static str,
    label: &'static str,
    hint: &'static str,
}

#[derive(Template)]
#[template(path = "../admin/api_token_revoke.html")]
struct RevokePage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    token: Row,
}

/// `GET /admin/api-tokens`
pub async fn list(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, list_page(&app, &request).await)
}

async fn list_page(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::read(Area::ApiTokens)).await?;
    let looked = Looked::of(request);
    let after = looked.after().and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let rows = app
        .store
        .read(move |conn| {
            stored::page(
                conn,
                after.as_ref().map(|(at, id): &(i64, String)| (*at, id.as_str())),
                PAGE + 1,
            )
        })
        .await?;
    let (rows, more) = listing::cut(rows);
    let next = rows.last().filter(|_| more);
    let next = next.map(|last| looked.page_after(&[], &last.created_at.to_string(), &last.id));
    let once = visit.once(request, PATH);
    let shows = once.is_some();
    let page = TokensPage {
        shell: visit.shell(),
        frame: visit.frame(Area::ApiTokens),
        may_change: visit.changes(Area::ApiTokens),
        once,
        rows: rows.iter().map(|token| row(&visit, token)).collect(),
        first: (!looked.is_first()).then(|| looked.first(&[])),
        next,
    };
    let answer = pages::respond(&page, StatusCode::OK, FormAction::SelfOnly);
    Ok(if shows { visit.shown(answer) } else { answer })
}

fn row(visit: &Visit, token: &ApiToken) -> Row {
    let state = match token.revoked_at {
        Some(_) => Some("Revoked"),
        None if !token.holds(visit.app.now()) => Some("Expired"),
        None => None,
    };
    Row {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: label(token.scope),
        state,
        created_by: token.created_by.clone(),
        expires: visit.zone.when(token.expires_at),
        last_used: token.last_used_at.map(|at| visit.zone.when(at)),
    }
}

fn label(scope: ApiScope) -> &'static str {
    match scope {
        ApiScope::Admin => "Everything",
        ApiScope::Clients => "Clients and resource servers",
        ApiScope::Users => "People",
        ApiScope::Audit => "Reading only",
    }
}

fn hint(scope: ApiScope) -> &'static str {
    match scope {
        ApiScope::Admin => "All that an administrator may do, other administrators and keys included.",
        ApiScope::Clients => "Register, change and delete the systems that get tokens.",
        ApiScope::Users => "Invite people, change their roles, sign them out. Not those who administer.",
        ApiScope::Audit => "See everything, the record too, and change nothing.",
    }
}

/// `GET /admin/api-tokens/new`
pub async fn new(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, ask_new(&app, &request).await)
}

async fn ask_new(app: &Arc<App>, request: &HttpRequest) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::change(Area::ApiTokens).fresh()).await?;
    let typed = Typed::default().with("expires_days", DEFAULT_DAYS.to_string());
    Ok(show_new(&visit, StatusCode::OK, typed, Vec::new()))
}

fn show_new(visit: &Visit, status: StatusCode, typed: Typed, wrong: Vec<Wrong>) -> HttpResponse {
    let choice = |scope: ApiScope| Choice {
        value: scope.as_str(),
        label: label(scope),
        hint: hint(scope),
    };
    let page = NewPage {
        shell: visit.shell(),
        frame: visit.frame(Area::ApiTokens),
        typed,
        wrong,
        scopes: ApiScope::ALL.into_iter().rev().map(choice).collect(),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/api-tokens/new`
pub async fn create(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, make(&app, &request, body).await)
}

async fn make(app: &Arc<App>, request: &HttpRequest, body: web::Payload) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::change(Area::ApiTokens).fresh()).await?;
    let form = visit.posted(request, body).await?;
    let typed = Typed::of(&form, &FIELDS);
    let form = match read(&typed) {
        Ok(form) => form,
        Err(wrong) => return Ok(show_new(&visit, StatusCode::UNPROCESSABLE_ENTITY, typed, wrong)),
    };
    match visit
        .registry()
        .run(move |registry, tx| api_tokens::create(registry, tx, &form))
        .await
    {
        Ok((token, text)) => {
            let note = format!(
                "It is for {}, and is called {}.",
                label(token.scope).to_lowercase(),
                token.name
            );
            let once = Once {
                subject: PATH.to_owned(),
                value: text.reveal().to_owned(),
                note: Some(note),
            };
            Ok(visit.show_once(PATH, "token-made", &once))
        }
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = Wrong::of(&mistakes, &FIELDS);
            Ok(show_new(&visit, StatusCode::UNPROCESSABLE_ENTITY, typed, wrong))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

fn read(typed: &Typed) -> Result<ApiTokenForm, Vec<Wrong>> {
    let mut wrong = Vec::new();
    if typed.get("name").is_empty() {
        wrong.push(Wrong::field(
            "name",
            "enter a name, such as the program that will use it",
        ));
    }
    let scope = ApiScope::parse(typed.get("scope"));
    if scope.is_err() {
        wrong.push(Wrong::field("scope", "choose what it is good for"));
    }
    let days = typed.get("expires_days").parse::<i64>();
    if days.is_err() {
        wrong.push(Wrong::field(
            "expires_days",
            "enter a number of days, such as 365",
        ));
    }
    match (scope, days) {
        (Ok(scope), Ok(days)) if wrong.is_empty() => Ok(ApiTokenForm {
            scope: Some(scope),
            name: typed.some("name"),
            expires_days: Some(days),
        }),
        _ => Err(wrong),
    }
}

/// `GET /admin/api-tokens/{id}/revoke`
pub async fn ask(app: web::Data<App>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, ask_page(&app, &request, id.into_inner()).await)
}

async fn ask_page(app: &Arc<App>, request: &HttpRequest, id: String) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::change(Area::ApiTokens).fresh()).await?;
    let token = app.store.read(move |conn| stored::find(conn, &id)).await?;
    let token = token
        .filter(|token| token.revoked_at.is_none())
        .ok_or_else(PageError::not_found)?;
    let page = RevokePage {
        shell: visit.shell(),
        frame: visit.frame(Area::ApiTokens),
        token: row(&visit, &token),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/api-tokens/{id}/revoke`
pub async fn revoke(
    app: web::Data<App>,
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, end(&app, &request, id.into_inner(), body).await)
}

async fn end(
    app: &Arc<App>,
    request: &HttpRequest,
    id: String,
    body: web::Payload,
) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, Door::change(Area::ApiTokens).fresh()).await?;
    visit.posted(request, body).await?;
    match visit
        .registry()
        .run(move |registry, tx| api_tokens::revoke(registry, tx, &id))
        .await
    {
        Ok(_) => Ok(done(PATH, "token-revoked")),
        Err(Refused::Mistakes(_)) => Err(PageError::not_found().into()),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
