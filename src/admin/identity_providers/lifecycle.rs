//! `/admin/identity-providers/{id}/disable`, `/enable` and `/delete`: each asks first and says what it affects.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{found, path};
use crate::admin::access::{AdminRequest, admit, answer, done};
use crate::admin::form::FieldMistake;
use crate::admin::lifecycle::{self, Lifecycle, Subject};
use crate::app::App;
use crate::model::identity_provider::IdentityProviderSettings;
use crate::policy::console::Area;
use crate::registry::{Refused, noun};
use crate::store::identity_providers as stored;
use crate::web::guard::PageRefused;

fn effects(action: Lifecycle, links: i64) -> Vec<String> {
    let linked = format!("Accounts that are linked with it: {links}.");
    let texts: &[&str] = match action {
        Lifecycle::Disable => &[
            "Nobody can sign in with it any more. Everyone who signed in with it is signed out, you too if you did, and applications lose the access they were given then.",
            "You can enable it again.",
        ],
        Lifecycle::Enable => &["People can sign in with it again."],
        Lifecycle::Delete => &[
            "Nobody can sign in with it any more. Everyone who signed in with it is signed out, you too if you did, and all links between accounts and identities there are removed.",
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

async fn confirm(
    admin: &AdminRequest,
    id: &str,
    action: Lifecycle,
    wrong: Vec<FieldMistake>,
) -> Result<HttpResponse, PageRefused> {
    let owned = id.to_owned();
    let links = admin
        .app
        .store
        .read(move |conn| stored::count_links(conn, &owned))
        .await?;
    let subject = Subject {
        area: Area::IdentityProviders,
        name: id,
        path: &path(id),
    };
    Ok(lifecycle::confirm(
        admin,
        subject,
        action,
        effects(action, links),
        wrong,
    ))
}

/// `GET /admin/identity-providers/{id}/{action}`
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
    let admin = admit(app, request, action.requires(Area::IdentityProviders)).await?;
    found(app, id).await?;
    confirm(&admin, id, action, Vec::new()).await
}

/// `POST /admin/identity-providers/{id}/{action}`
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
    let admin = admit(app, request, action.requires(Area::IdentityProviders)).await?;
    admin.posted(request, body).await?;
    found(app, id).await?;
    let owned = id.clone();
    let registry = admin.registry();
    let acted = registry.run(move |registry, tx| match action {
        Lifecycle::Disable => {
            Ok(noun::set_enabled::<IdentityProviderSettings>(registry, tx, &owned, false)?.map(|_| ()))
        }
        Lifecycle::Enable => {
            Ok(noun::set_enabled::<IdentityProviderSettings>(registry, tx, &owned, true)?.map(|_| ()))
        }
        Lifecycle::Delete => noun::delete::<IdentityProviderSettings>(registry, tx, &owned),
    });
    match (acted.await, action) {
        (Ok(()), Lifecycle::Disable) => Ok(done(&path(id), "provider-disabled")),
        (Ok(()), Lifecycle::Enable) => Ok(done(&path(id), "enabled")),
        (Ok(()), Lifecycle::Delete) => Ok(done("/admin/identity-providers", "deleted")),
        (Err(Refused::Mistakes(mistakes)), _) => {
            confirm(&admin, id, action, FieldMistake::of(&mistakes, &[])).await
        }
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
