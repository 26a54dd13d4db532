//! `/admin/grants`: what people allowed clients, and taking it back.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame, done};
use super::form::FieldMistake;
use super::list::{List, Search};
use super::list_query::{self, PAGE};
use super::sessions::{Names, after, check_owner, names_of};
use super::table::{Cell, Column};
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::model::grant::Grant;
use crate::policy::console::{Area, Right};
use crate::registry::{Refused, sessions as registry};
use crate::store::grants::{self as stored, GrantFilter};
use crate::store::people;
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/grants";

struct Row {
    id: String,
    name: String,
    username: String,
    client_id: String,
    client: String,
    sentences: Vec<String>,
    stays: bool,
    since: When,
}

fn row(admin: &AdminRequest, grant: &Grant, names: &Names) -> Row {
    let app = &admin.app;
    let (name, username) = names.get(&grant.person_id).cloned().unwrap_or_default();
    let client = app.live.client(&grant.client_id);
    Row {
        id: grant.id.clone(),
        name,
        username,
        client: client.map_or_else(|| grant.client_id.clone(), |live| live.client.name.clone()),
        client_id: grant.client_id.clone(),
        sentences: app
            .policy
            .sentences(&grant.facts.scope)
            .into_iter()
            .map(|item| item.sentence)
            .collect(),
        stays: grant.facts.scope.contains("offline_access"),
        since: admin.zone.when(grant.created_at),
    }
}

/// `GET /admin/grants`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let (username, client, after) = (
        looked.get("person").to_owned(),
        looked.get("client").to_owned(),
        after(&looked),
    );
    let tokens = &app.config.tokens;
    let (now, made) = (app.now(), app.now() - tokens.code_seconds - tokens.access_seconds);
    let reach = admin.reach(Area::Grants, Right::Read);
    let read = app.store.read(move |conn| {
        let mut filter = GrantFilter {
            after,
            client_id: Some(client).filter(|id| !id.is_empty()),
            person_id: None,
            homes: reach.agencies().cloned(),
        };
        if !username.is_empty() {
            // Nobody has no id, and so no grants.
            filter.person_id =
                Some(people::find_by_username(conn, &username)?.map_or_else(String::new, |found| found.id));
        }
        let grants = stored::live(conn, &filter, now, made, PAGE + 1)?;
        let ids: Vec<String> = grants.iter().map(|grant| grant.person_id.clone()).collect();
        Ok((names_of(conn, &ids)?, grants))
    });
    let (names, grants) = read.await?;
    let (grants, more) = list_query::cut(grants);
    let may_change = admin.may_somewhere(Area::Grants, Right::Change);
    let is_whole = looked.get("person").is_empty() && looked.get("client").is_empty();
    let columns = ["Person", "Application", "May", "Since"].map(Column::new);
    let list = List {
        title: "Grants",
        path: PATH,
        id: "grants",
        lead: "What people allowed applications and is still valid, the newest first.",
        nothing: if is_whole {
            "No one has allowed an application anything that is still valid. A grant appears when a person signs in to an application."
        } else {
            "Nothing matches your search."
        },
        search: vec![
            Search {
                name: "person",
                label: "Username",
            },
            Search {
                name: "client",
                label: "Client ID",
            },
        ],
        columns: columns
            .into_iter()
            .chain(may_change.then_some(Column::new("End")))
            .collect(),
        more: grants
            .last()
            .filter(|_| more)
            .map(|last| (last.created_at.to_string(), last.id.clone())),
        rows: grants
            .iter()
            .map(|grant| cells(row(&admin, grant, &names), may_change))
            .collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, Area::Grants, &looked))
}

fn cells(row: Row, may_change: bool) -> Vec<Cell> {
    let end = Cell::text("End")
        .leads_to(Some(format!("{PATH}/{}/end", row.id)))
        .unseen(format!("what {} allowed {}", row.name, row.client));
    let cells = [
        Cell::text(row.name).behind(format!("({})", row.username)),
        Cell::text(row.client).behind(format!("({})", row.client_id)),
        Cell::text(row.sentences.join("; ")).tagged(row.stays.then_some("Stays connected"), false),
        Cell::when(Some(row.since), ""),
    ];
    cells.into_iter().chain(may_change.then_some(end)).collect()
}

#[derive(Template)]
#[template(path = "../admin/grant_end.html")]
struct EndPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    grant: Row,
    wrong: Vec<FieldMistake>,
}

/// The grant of the address, with the names of whose it is.
async fn found(admin: &AdminRequest) -> Result<(Grant, Names), PageRefused> {
    let filter = admin.part("id").to_owned();
    let read = admin.app.store.read(move |conn| {
        let grant = stored::find(conn, &filter)?.filter(|grant| grant.revoked_at.is_none());
        let owner = grant
            .as_ref()
            .map(|grant| people::find(conn, &grant.person_id))
            .transpose()?;
        Ok((grant, owner.flatten()))
    });
    let (grant, owner) = read.await?;
    check_owner(admin, owner.as_ref()).await?;
    let grant = grant.ok_or_else(PageError::not_found)?;
    let names = owner
        .map(|owner| (owner.id, (owner.name, owner.username)))
        .into_iter()
        .collect();
    Ok((grant, names))
}

/// `GET /admin/grants/{id}/end`: asks first.
pub async fn ask(admin: AdminRequest) -> Answered {
    let (grant, names) = found(&admin).await?;
    Ok(show(&admin, &grant, &names, StatusCode::OK, Vec::new()))
}

fn show(
    admin: &AdminRequest,
    grant: &Grant,
    names: &Names,
    status: StatusCode,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let grant = row(admin, grant, names);
    let page = EndPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Grants),
        grant,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/grants/{id}/end`
pub async fn end(admin: AdminRequest, _form: PostedForm) -> Answered {
    let (grant, names) = found(&admin).await?;
    let filter = grant.id.clone();
    match admin
        .registry()
        .run(move |job, tx| registry::revoke_grant(job, tx, &filter))
        .await
    {
        // One that has ended meanwhile has ended all the same.
        Ok(_) => Ok(done(PATH, "ended")),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &[]);
            Ok(show(
                &admin,
                &grant,
                &names,
                StatusCode::UNPROCESSABLE_ENTITY,
                wrong,
            ))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
