//! `/admin/resource-servers/{id}/disable`, `/enable` and `/delete`: each asks first and says what it affects.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{found, path};
use crate::admin::form::Wrong;
use crate::admin::state::{self, Deed, Subject};
use crate::admin::visit::{Visit, answer, done, enter};
use crate::app::App;
use crate::policy::console::Area;
use crate::registry::{Refused, resource_servers};
use crate::web::guard::Stop;

/// How many of its clients are named.
const NAMED: usize = 10;

fn effects(deed: Deed, users: &[String]) -> Vec<String> {
    let used = match users {
        [] => "No client uses it.".to_owned(),
        users if users.len() > NAMED => {
            let named = users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            format!("{} clients use it, among them {named}.", users.len())
        }
        users => format!("Clients that use it: {}.", users.join(", ")),
    };
    match deed {
        Deed::Disable => vec![
            "Clients get no tokens for it any more, and it learns nothing when it asks about tokens.".to_owned(),
            "Tokens that are signed (JWT) stay readable for the server until they expire, at most an hour.".to_owned(),
            used,
            "You can enable it again.".to_owned(),
        ],
        Deed::Enable => vec!["Clients get tokens for it again, and it may ask about tokens.".to_owned(), used],
        Deed::Delete => vec![
            "Its registration and its secrets are removed. The record keeps what was done.".to_owned(),
            used,
            "It cannot be deleted while clients use it. Disabling it ends everything at once and can be undone."
                .to_owned(),
        ],
    }
}

fn ask(visit: &Visit, id: &str, deed: Deed, wrong: Vec<Wrong>) -> HttpResponse {
    let roster = visit.app.directory.roster();
    let users: Vec<String> = roster
        .users_of(id)
        .iter()
        .map(|live| live.client.name.clone())
        .collect();
    let subject = Subject {
        area: Area::ResourceServers,
        name: id,
        path: &path(id),
    };
    state::ask(visit, subject, deed, effects(deed, &users), wrong)
}

/// `GET /admin/resource-servers/{id}/{deed}`
pub async fn get(
    app: web::Data<App>,
    request: HttpRequest,
    named: web::Path<(String, String)>,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &named).await)
}

async fn page(
    app: &Arc<App>,
    request: &HttpRequest,
    (id, word): &(String, String),
) -> Result<HttpResponse, Stop> {
    let deed = Deed::of(word)?;
    let visit = enter(app, request, deed.door(Area::ResourceServers)).await?;
    found(app, id)?;
    Ok(ask(&visit, id, deed, Vec::new()))
}

/// `POST /admin/resource-servers/{id}/{deed}`
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    named: web::Path<(String, String)>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, act(&app, &request, &named, body).await)
}

async fn act(
    app: &Arc<App>,
    request: &HttpRequest,
    (id, word): &(String, String),
    body: web::Payload,
) -> Result<HttpResponse, Stop> {
    let deed = Deed::of(word)?;
    let visit = enter(app, request, deed.door(Area::ResourceServers)).await?;
    visit.posted(request, body).await?;
    found(app, id)?;
    let owner = id.clone();
    let registry = visit.registry();
    let acted = registry.run(move |registry, tx| match deed {
        Deed::Disable => Ok(resource_servers::set_enabled(registry, tx, &owner, false)?.map(|_| ())),
        Deed::Enable => Ok(resource_servers::set_enabled(registry, tx, &owner, true)?.map(|_| ())),
        Deed::Delete => resource_servers::delete(registry, tx, &owner),
    });
    match (acted.await, deed) {
        (Ok(()), Deed::Disable) => Ok(done(&path(id), "disabled")),
        (Ok(()), Deed::Enable) => Ok(done(&path(id), "enabled")),
        (Ok(()), Deed::Delete) => Ok(done("/admin/resource-servers", "deleted")),
        (Err(Refused::Mistakes(mistakes)), _) => Ok(ask(&visit, id, deed, Wrong::of(&mistakes, &[]))),
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
