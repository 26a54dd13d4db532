//! `/admin/resource-servers/{id}/disable`, `/enable` and `/delete`: each asks first and says what it affects.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{found, path};
use crate::admin::access::{AdminRequest, admit, answer, done};
use crate::admin::form::FieldMistake;
use crate::admin::lifecycle::{self, Lifecycle, Subject};
use crate::app::App;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::noun;
use crate::web::guard::PageRefused;

/// How many of its clients are named.
const NAMED: usize = 10;

fn effects(action: Lifecycle, users: &[String]) -> Vec<String> {
    let used = match users {
        [] => "No client uses it.".to_owned(),
        users if users.len() > NAMED => {
            let named = users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            format!("{} clients use it, among them {named}.", users.len())
        }
        users => format!("Clients that use it: {}.", users.join(", ")),
    };
    match action {
        Lifecycle::Disable => vec![
            "Clients get no tokens for it any more, and it learns nothing when it asks about tokens.".to_owned(),
            "Tokens that are signed (JWT) stay readable for the server until they expire, at most an hour.".to_owned(),
            used,
            "You can enable it again.".to_owned(),
        ],
        Lifecycle::Enable => vec!["Clients get tokens for it again, and it may ask about tokens.".to_owned(), used],
        Lifecycle::Delete => vec![
            "Its registration and its secrets are removed. The record keeps what was done.".to_owned(),
            used,
            "It cannot be deleted while clients use it. Disabling it ends everything at once and can be undone."
                .to_owned(),
        ],
    }
}

fn confirm(admin: &AdminRequest, id: &str, action: Lifecycle, wrong: Vec<FieldMistake>) -> HttpResponse {
    let client_index = admin.app.live.client_index();
    let users: Vec<String> = client_index
        .users_of(id)
        .iter()
        .map(|live| live.client.name.clone())
        .collect();
    let subject = Subject {
        area: Area::ResourceServers,
        name: id,
        path: &path(id),
    };
    lifecycle::confirm(admin, subject, action, effects(action, &users), wrong)
}

/// `GET /admin/resource-servers/{id}/{action}`
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
) -> Result<HttpResponse, PageRefused> {
    let action = Lifecycle::of(word)?;
    let admin = admit(app, request, action.requires(Area::ResourceServers)).await?;
    found(app, id)?;
    Ok(confirm(&admin, id, action, Vec::new()))
}

/// `POST /admin/resource-servers/{id}/{action}`
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
) -> Result<HttpResponse, PageRefused> {
    let action = Lifecycle::of(word)?;
    let admin = admit(app, request, action.requires(Area::ResourceServers)).await?;
    admin.posted(request, body).await?;
    found(app, id)?;
    let owner = id.clone();
    let registry = admin.registry();
    let acted = registry.run(move |registry, tx| match action {
        Lifecycle::Disable => {
            Ok(noun::set_enabled::<ResourceServerSettings>(registry, tx, &owner, false)?.map(|_| ()))
        }
        Lifecycle::Enable => {
            Ok(noun::set_enabled::<ResourceServerSettings>(registry, tx, &owner, true)?.map(|_| ()))
        }
        Lifecycle::Delete => noun::delete::<ResourceServerSettings>(registry, tx, &owner),
    });
    match (acted.await, action) {
        (Ok(()), Lifecycle::Disable) => Ok(done(&path(id), "disabled")),
        (Ok(()), Lifecycle::Enable) => Ok(done(&path(id), "enabled")),
        (Ok(()), Lifecycle::Delete) => Ok(done("/admin/resource-servers", "deleted")),
        (Err(Refused::Mistakes(mistakes)), _) => {
            Ok(confirm(&admin, id, action, FieldMistake::of(&mistakes, &[])))
        }
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
