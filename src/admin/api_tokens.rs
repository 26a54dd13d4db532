//! `/admin/api-tokens`: what programs administer with. A token is shown once, when it is made.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame, done};
use super::api::DOCS;
use super::form::{FieldMistake, Typed};
use super::list::{List, Offer};
use super::list_query::{self, PAGE};
use super::shown_once::Once;
use super::table::{Cell, Column};
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::model::api_token::{ApiScope, ApiToken};
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::api_tokens::{self, ApiTokenForm, DEFAULT_DAYS};
use crate::store::{Conn, Stored, api_tokens as stored, people};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/api-tokens";
const FIELDS: [&str; 3] = ["name", "scope", "expires_days"];

struct Row {
    id: String,
    name: String,
    scope: &'static str,
    state: Option<&'static str>,
    owner: Option<Owner>,
    expires: When,
    last_used: Option<When>,
}

/// The person whose a token is.
struct Owner {
    id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "../admin/api_token_new.html")]
struct NewPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
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
pub async fn list(admin: AdminRequest) -> Answered {
    let looked = admin.query();
    let after = looked.after().and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let rows = admin
        .app
        .store
        .read(move |conn| {
            let after = after.as_ref().map(|(at, id): &(i64, String)| (*at, id.as_str()));
            let tokens = stored::page(conn, after, PAGE + 1)?;
            let owners = owners(conn, &tokens)?;
            Ok((tokens, owners))
        })
        .await?;
    let (rows, owners) = rows;
    let (rows, more) = list_query::cut(rows);
    let may_change = admin.changes(Area::ApiTokens);
    let columns = ["Name", "Good for", "Ends", "Last used", "Belongs to"].map(Column::new);
    let list = List {
        title: "API tokens",
        path: PATH,
        id: "tokens",
        lead: "What programs administer this server with, in place of a person. A token can do no more than the person it belongs to, and stops working when that person is disabled. Tokens of the installation are made at the command line.",
        empty: (rows.is_empty() && looked.is_first()).then_some(
            "No one needs one to work in this console. Make one for a program that registers systems or people by itself.",
        ),
        nothing: "There are no more.",
        action: may_change.then(|| Offer::new("/admin/api-tokens/new", "make", "Make a token")),
        offers: vec![Offer::new(DOCS, "docs", "What they can do, and how")],
        once: admin.once(PATH).map(|once| (once, "The new token")),
        columns: columns
            .into_iter()
            .chain(may_change.then_some(Column::new("Revoke")))
            .collect(),
        more: rows
            .last()
            .filter(|_| more)
            .map(|last| (last.created_at.to_string(), last.id.clone())),
        rows: rows
            .iter()
            .map(|token| cells(row(&admin, token, &owners), may_change))
            .collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, Area::ApiTokens, &looked))
}

fn cells(row: Row, may_change: bool) -> Vec<Cell> {
    let revoke = if row.state == Some("Revoked") {
        Cell::default()
    } else {
        Cell::text("Revoke")
            .leads_to(Some(format!("{PATH}/{}/revoke", row.id)))
            .unseen(&row.name)
    };
    let owner = row.owner.map_or_else(
        || Cell::text("The installation"),
        |owner| Cell::text(owner.name).leads_to(Some(format!("/admin/users/{}", owner.id))),
    );
    let cells = [
        Cell::text(row.name).tagged(row.state, true),
        Cell::text(row.scope),
        Cell::when(Some(row.expires), ""),
        Cell::when(row.last_used, "Never"),
        owner,
    ];
    cells.into_iter().chain(may_change.then_some(revoke)).collect()
}

/// The names of those whose some tokens are, by id.
fn owners(conn: &mut Conn, tokens: &[ApiToken]) -> Stored<HashMap<String, String>> {
    let ids: Vec<String> = tokens
        .iter()
        .filter_map(|token| token.person_id.clone())
        .collect();
    let names = people::names(conn, &ids)?;
    Ok(names.into_iter().map(|(id, name, _)| (id, name)).collect())
}

fn row(admin: &AdminRequest, token: &ApiToken, owners: &HashMap<String, String>) -> Row {
    let state = match token.revoked_at {
        Some(_) => Some("Revoked"),
        None if !token.holds(admin.app.now()) => Some("Expired"),
        None => None,
    };
    Row {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: label(token.scope),
        state,
        owner: token.person_id.as_ref().map(|id| Owner {
            name: owners.get(id).unwrap_or(id).clone(),
            id: id.clone(),
        }),
        expires: admin.zone.when(token.expires_at),
        last_used: token.last_used_at.map(|at| admin.zone.when(at)),
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
pub async fn new(admin: AdminRequest) -> Answered {
    let typed = Typed::default().with("expires_days", DEFAULT_DAYS.to_string());
    Ok(show_new(&admin, StatusCode::OK, typed, Vec::new()))
}

fn show_new(
    admin: &AdminRequest,
    status: StatusCode,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let choice = |scope: ApiScope| Choice {
        value: scope.as_str(),
        label: label(scope),
        hint: hint(scope),
    };
    let page = NewPage {
        shell: admin.shell(),
        frame: admin.frame(Area::ApiTokens),
        typed,
        wrong,
        scopes: ApiScope::ALL.into_iter().rev().map(choice).collect(),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/api-tokens/new`
pub async fn create(admin: AdminRequest, form: PostedForm) -> Answered {
    let typed = Typed::of(&form, &FIELDS);
    if form.again {
        return Ok(show_new(&admin, StatusCode::OK, typed, Vec::new()));
    }
    let form = match read(&typed) {
        Ok(form) => form,
        Err(wrong) => return Ok(show_new(&admin, StatusCode::UNPROCESSABLE_ENTITY, typed, wrong)),
    };
    match admin
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
            Ok(admin.show_once(PATH, "token-made", &once))
        }
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            Ok(show_new(&admin, StatusCode::UNPROCESSABLE_ENTITY, typed, wrong))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

fn read(typed: &Typed) -> Result<ApiTokenForm, Vec<FieldMistake>> {
    let mut wrong = Vec::new();
    if typed.get("name").is_empty() {
        wrong.push(FieldMistake::field(
            "name",
            "enter a name, such as the program that will use it",
        ));
    }
    let scope = ApiScope::parse(typed.get("scope"));
    if scope.is_err() {
        wrong.push(FieldMistake::field("scope", "choose what it is good for"));
    }
    let days = typed.get("expires_days").parse::<i64>();
    if days.is_err() {
        wrong.push(FieldMistake::field(
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
pub async fn ask(admin: AdminRequest) -> Answered {
    let id = admin.part("id").to_owned();
    let found = admin.app.store.read(move |conn| {
        let token = stored::find(conn, &id)?.filter(|token| token.revoked_at.is_none());
        let owners = owners(conn, token.as_slice())?;
        Ok((token, owners))
    });
    let (token, owners) = found.await?;
    let token = token.ok_or_else(PageError::not_found)?;
    let page = RevokePage {
        shell: admin.shell(),
        frame: admin.frame(Area::ApiTokens),
        token: row(&admin, &token, &owners),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/api-tokens/{id}/revoke`
pub async fn revoke(admin: AdminRequest, _form: PostedForm) -> Answered {
    let id = admin.part("id").to_owned();
    match admin
        .registry()
        .run(move |registry, tx| api_tokens::revoke(registry, tx, &id))
        .await
    {
        Ok(_) => Ok(done(PATH, "token-revoked")),
        Err(Refused::Mistakes(_)) => Err(PageError::not_found().into()),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
