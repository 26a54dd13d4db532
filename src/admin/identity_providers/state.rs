//! `/admin/identity-providers/{id}/disable`, `/enable` and `/delete`: each asks first and says what it affects.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{found, path};
use crate::admin::form::Wrong;
use crate::admin::state::{self, Deed, Subject};
use crate::admin::visit::{Visit, answer, done, enter};
use crate::app::App;
use crate::policy::console::Area;
use crate::registry::{Refused, identity_providers};
use crate::store::identity_providers as stored;
use crate::web::guard::Stop;

fn effects(deed: Deed, links: i64) -> Vec<String> {
    let linked = format!("Accounts that are linked with it: {links}.");
    let texts: &[&str] = match deed {
        Deed::Disable => &[
            "Nobody signs in with it any more. Who is signed in stays so; end sessions one by one if you must.",
            "You can enable it again.",
        ],
        Deed::Enable => &["People can sign in with it again."],
        Deed::Delete => &[
            "Nobody signs in with it any more, and all links between accounts and identities there are removed.",
            "The accounts stay. People without a password need an invitation to sign in again.",
            "This cannot be undone. Disabling it can.",
        ],
    };
    texts
        .iter()
        .map(|text| (*text).to_owned())
        .chain([linked])
        .collect()
}

async fn ask(visit: &Visit, id: &str, deed: Deed, wrong: Vec<Wrong>) -> Result<HttpResponse, Stop> {
    let owned = id.to_owned();
    let links = visit
        .app
        .store
        .read(move |conn| stored::count_links(conn, &owned))
        .await?;
    let subject = Subject {
        area: Area::IdentityProviders,
        name: id,
        path: &path(id),
    };
    Ok(state::ask(visit, subject, deed, effects(deed, links), wrong))
}

/// `GET /admin/identity-providers/{id}/{deed}`
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
    let visit = enter(app, request, deed.door(Area::IdentityProviders)).await?;
    found(app, id).await?;
    ask(&visit, id, deed, Vec::new()).await
}

/// `POST /admin/identity-providers/{id}/{deed}`
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
    let visit = enter(app, request, deed.door(Area::IdentityProviders)).await?;
    visit.posted(request, body).await?;
    found(app, id).await?;
    let owned = id.clone();
    let registry = visit.registry();
    let acted = registry.run(move |registry, tx| match deed {
        Deed::Disable => Ok(identity_providers::set_enabled(registry, tx, &owned, false)?.map(|_| ())),
        Deed::Enable => Ok(identity_providers::set_enabled(registry, tx, &owned, true)?.map(|_| ())),
        Deed::Delete => Ok(identity_providers::delete(registry, tx, &owned)?.map(|_| ())),
    });
    match (acted.await, deed) {
        (Ok(()), Deed::Disable) => Ok(done(&path(id), "provider-disabled")),
        (Ok(()), Deed::Enable) => Ok(done(&path(id), "enabled")),
        (Ok(()), Deed::Delete) => Ok(done("/admin/identity-providers", "deleted")),
        (Err(Refused::Mistakes(mistakes)), _) => ask(&visit, id, deed, Wrong::of(&mistakes, &[])).await,
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
