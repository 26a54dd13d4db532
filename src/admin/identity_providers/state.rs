//! `/admin/identity-providers/{id}/disable`, `/enable` and `/delete`: each asks first and says what it affects.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{found, path};
use crate::admin::ask::AskPage;
use crate::admin::form::Wrong;
use crate::admin::visit::{Door, Visit, answer, done, enter};
use crate::app::App;
use crate::error::PageError;
use crate::guard::Stop;
use crate::pages::{self, FormAction};
use crate::policy::console::Area;
use crate::registry::{Refused, identity_providers};
use crate::store::identity_providers as stored;

const DOOR: Door = Door::change(Area::IdentityProviders);

/// What may be done, by the last part of the address.
#[derive(Clone, Copy)]
enum Deed {
    Disable,
    Enable,
    Delete,
}

impl Deed {
    fn read(word: &str) -> Result<Self, Stop> {
        match word {
            "disable" => Ok(Self::Disable),
            "enable" => Ok(Self::Enable),
            "delete" => Ok(Self::Delete),
            _ => Err(Stop::Error(PageError::not_found())),
        }
    }

    fn effects(self, links: i64) -> Vec<String> {
        let linked = format!("Accounts that are linked with it: {links}.");
        let texts: &[&str] = match self {
            Self::Disable => &[
                "Nobody signs in with it any more. Who is signed in stays so; end sessions one by one if you must.",
                "You can enable it again.",
            ],
            Self::Enable => &["People can sign in with it again."],
            Self::Delete => &[
                "Nobody signs in with it any more, and all links between accounts and identities there are removed.",
                "The accounts stay. People without a password need an invitation to sign in again.",
                "This cannot be undone. Disabling it can.",
            ],
        };
        texts.iter().map(|text| (*text).to_owned()).chain([linked]).collect()
    }
}

fn ask(visit: &Visit, id: &str, (word, deed): (&str, Deed), links: i64, wrong: Vec<Wrong>) -> HttpResponse {
    let (question, button, danger) = match deed {
        Deed::Disable => (format!("Disable {id}?"), "Disable", true),
        Deed::Enable => (format!("Enable {id}?"), "Enable", false),
        Deed::Delete => (format!("Delete {id}?"), "Delete", true),
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = AskPage {
        shell: visit.shell(),
        frame: visit.frame(Area::IdentityProviders),
        question,
        effects: deed.effects(links),
        wrong,
        action: format!("{}/{word}", path(id)),
        button,
        danger,
        back: path(id),
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

async fn links(app: &App, id: &str) -> Result<i64, Stop> {
    let id = id.to_owned();
    Ok(app.store.read(move |conn| stored::count_links(conn, &id)).await?)
}

/// `GET /admin/identity-providers/{id}/{deed}`
pub async fn get(app: web::Data<App>, request: HttpRequest, named: web::Path<(String, String)>) -> HttpResponse {
    let app = app.into_inner();
    answer(&app, page(&app, &request, &named).await)
}

async fn page(app: &Arc<App>, request: &HttpRequest, (id, word): &(String, String)) -> Result<HttpResponse, Stop> {
    let visit = enter(app, request, DOOR).await?;
    let deed = Deed::read(word)?;
    found(app, id).await?;
    Ok(ask(&visit, id, (word, deed), links(app, id).await?, Vec::new()))
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
    let visit = enter(app, request, DOOR).await?;
    visit.posted(request, body).await?;
    let deed = Deed::read(word)?;
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
        (Err(Refused::Mistakes(mistakes)), _) => {
            Ok(ask(&visit, id, (word, deed), links(app, id).await?, Wrong::of(&mistakes, &[])))
        }
        (Err(Refused::Broken(broken)), _) => Err(broken.into()),
    }
}
