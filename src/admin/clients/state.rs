//! `/admin/clients/{id}/disable`, `/enable` and `/delete`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::show::found;
use crate::admin::state::{self, Deed, Subject};
use crate::admin::visit::{answer, done, enter};
use crate::app::App;
use crate::error::PageError;
use crate::policy::console::Area;
use crate::registry::{Refused, clients};
use crate::store::grants;
use crate::web::guard::Stop;

fn effects(deed: Deed, allowed: i64) -> Vec<String> {
    let people = match allowed {
        0 => "Nobody has allowed it anything just now.".to_owned(),
        1 => "One person’s access through it ends.".to_owned(),
        several => format!("The access that people gave it ends: {several} in all."),
    };
    match deed {
        Deed::Disable => vec![
            "It gets no more tokens, and those it has stop working at once.".to_owned(),
            people,
            "Its settings stay. Enabling it again revives no old token.".to_owned(),
        ],
        Deed::Enable => vec![
            "It can get tokens again with its key or secret.".to_owned(),
            "Old tokens stay dead. People are asked again.".to_owned(),
        ],
        Deed::Delete => vec![
            "Its settings and secrets are deleted, and its tokens stop working at once.".to_owned(),
            people,
            "The record of what it did stays. This cannot be undone: disabling it can.".to_owned(),
        ],
    }
}

/// `GET /admin/clients/{id}/{deed}`: asks first, and says what it affects.
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
) -> Result<HttpResponse, Stop> {
    let deed = Deed::of(&word)?;
    let visit = enter(app, request, deed.door(Area::Clients)).await?;
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
    Ok(state::ask(
        &visit,
        subject,
        deed,
        effects(deed, allowed),
        Vec::new(),
    ))
}

/// `POST /admin/clients/{id}/{deed}`
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
) -> Result<HttpResponse, Stop> {
    let deed = Deed::of(&word)?;
    let visit = enter(app, request, deed.door(Area::Clients)).await?;
    visit.posted(request, body).await?;
    let id = found(app, id).await?.id;
    let page = format!("/admin/clients/{id}");
    let registry = visit.registry();
    let work = registry.run(move |registry, tx| match deed {
        Deed::Disable => Ok(clients::set_enabled(registry, tx, &id, false)?.map(|_| ())),
        Deed::Enable => Ok(clients::set_enabled(registry, tx, &id, true)?.map(|_| ())),
        Deed::Delete => clients::delete(registry, tx, &id),
    });
    match (work.await, deed) {
        (Ok(()), Deed::Disable) => Ok(done(&page, "disabled")),
        (Ok(()), Deed::Enable) => Ok(done(&page, "enabled")),
        (Ok(()), Deed::Delete) => Ok(done("/admin/clients", "deleted")),
        // It was there a moment ago: somebody else has deleted it.
        (Err(Refused::Mistakes(_)), _) => Err(PageError::not_found().into()),
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
