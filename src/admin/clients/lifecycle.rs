//! `/admin/clients/{id}/disable`, `/enable` and `/delete`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::show::found;
use crate::admin::access::{admit, answer, done};
use crate::admin::lifecycle::{self, Lifecycle, Subject};
use crate::app::App;
use crate::error::PageError;
use crate::model::client::ClientSettings;
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::noun;
use crate::store::grants;
use crate::web::guard::PageRefused;

fn effects(action: Lifecycle, allowed: i64) -> Vec<String> {
    let people = match allowed {
        0 => "Nobody has allowed it anything just now.".to_owned(),
        1 => "One person’s access through it ends.".to_owned(),
        several => format!("The access that people gave it ends: {several} in all."),
    };
    match action {
        Lifecycle::Disable => vec![
            "It gets no more tokens, and those it has stop working at once.".to_owned(),
            people,
            "Its settings stay. Enabling it again revives no old token.".to_owned(),
        ],
        Lifecycle::Enable => vec![
            "It can get tokens again with its key or secret.".to_owned(),
            "Old tokens stay dead. People are asked again.".to_owned(),
        ],
        Lifecycle::Delete => vec![
            "Its settings and secrets are deleted, and its tokens stop working at once.".to_owned(),
            people,
            "The record of what it did stays. This cannot be undone: disabling it can.".to_owned(),
        ],
    }
}

/// `GET /admin/clients/{id}/{action}`: asks first, and says what it affects.
pub async fn get(
    app: web::Data<App>,
    request: HttpRequest,
    named: web::Path<(String, String)>,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, named.into_inner()).await)
}

async fn page(
    app: &Arc<App>,
    request: &HttpRequest,
    (id, word): (String, String),
) -> Result<HttpResponse, PageRefused> {
    let action = Lifecycle::of(&word)?;
    let admin = admit(app, request, action.requires(Area::Clients)).await?;
    let client = found(app, id).await?;
    let (id, now) = (client.id.clone(), app.now());
    let allowed = app
        .store
        .read(move |conn| grants::count_of_client(conn, &id, now))
        .await?;
    let (name, path) = (
        format!("the client {}", client.name),
        format!("/admin/clients/{}", client.id),
    );
    let subject = Subject {
        area: Area::Clients,
        name: &name,
        path: &path,
    };
    Ok(lifecycle::confirm(
        &admin,
        subject,
        action,
        effects(action, allowed),
        Vec::new(),
    ))
}

/// `POST /admin/clients/{id}/{action}`
pub async fn post(
    app: web::Data<App>,
    request: HttpRequest,
    named: web::Path<(String, String)>,
    body: web::Payload,
) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, act(&app, &request, named.into_inner(), body).await)
}

async fn act(
    app: &Arc<App>,
    request: &HttpRequest,
    (id, word): (String, String),
    body: web::Payload,
) -> Result<HttpResponse, PageRefused> {
    let action = Lifecycle::of(&word)?;
    let admin = admit(app, request, action.requires(Area::Clients)).await?;
    admin.posted(request, body).await?;
    let id = found(app, id).await?.id;
    let page = format!("/admin/clients/{id}");
    let registry = admin.registry();
    let work = registry.run(move |registry, tx| match action {
        Lifecycle::Disable => Ok(noun::set_enabled::<ClientSettings>(registry, tx, &id, false)?.map(|_| ())),
        Lifecycle::Enable => Ok(noun::set_enabled::<ClientSettings>(registry, tx, &id, true)?.map(|_| ())),
        Lifecycle::Delete => noun::delete::<ClientSettings>(registry, tx, &id),
    });
    match (work.await, action) {
        (Ok(()), Lifecycle::Disable) => Ok(done(&page, "disabled")),
        (Ok(()), Lifecycle::Enable) => Ok(done(&page, "enabled")),
        (Ok(()), Lifecycle::Delete) => Ok(done("/admin/clients", "deleted")),
        // It was there a moment ago: somebody else has deleted it.
        (Err(Refused::Mistakes(_)), _) => Err(PageError::not_found().into()),
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
