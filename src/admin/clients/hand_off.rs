//! `/admin/clients/{id}/hand-off`: everything that the vendor must enter on the other side, on one sheet without
//! secrets: to be printed, or downloaded as text.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use askama::Template;

use super::samples::{self, Sample};
use super::vendor_link::once_subject;
use super::words::{abilities, is_for_people, of_method};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::noun;
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::clock::local_time::{When, Zone};
use crate::error::{Broken, PageError};
use crate::model::client::{Client, ClientSettings};
use crate::model::person::PersonSettings;
use crate::policy::console::Area;
use crate::store::vendor_links;
use crate::tls::CA_FILE;
use crate::web::pages::{self, FormAction, Shell};

/// What the sheet says, for the pages and the text.
pub(super) struct Sheet {
    pub(super) made: When,
    pub(super) service: String,
    pub(super) method: &'static str,
    /// Name and value of what is entered on the other side.
    pub(super) values: Vec<(&'static str, String)>,
    pub(super) scopes: Vec<String>,
    pub(super) abilities: Vec<String>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) uses_secret: bool,
    pub(super) by_key: bool,
    pub(super) own_ca: bool,
    /// Where the certificate of our own authority is.
    pub(super) authority: &'static str,
    pub(super) for_people: bool,
    pub(super) samples: Vec<Sample>,
}

#[derive(Template)]
#[template(path = "../admin/hand_off.html")]
struct HandOffPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    client: &'a Client,
    sheet: Sheet,
    may_change: bool,
    once: Option<Once>,
    link: Option<LinkRow>,
}

/// The link of the vendor.
struct LinkRow {
    made: When,
    ends: When,
    holds: bool,
}

#[derive(Template)]
#[template(path = "../admin/hand_off.txt", escape = "none")]
struct HandOffText<'a> {
    client: &'a Client,
    sheet: Sheet,
}

/// `GET /admin/clients/{id}/hand-off`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, client) = (&admin.app, noun::managed::found::<ClientSettings>(&admin).await?);
    let id = client.id.clone();
    let link = app
        .store
        .read(move |conn| vendor_links::of_client(conn, &id))
        .await?;
    let link = link.map(|link| LinkRow {
        made: admin.zone.when(link.created_at),
        ends: admin.zone.when(link.expires_at),
        holds: link.expires_at > app.now(),
    });
    let page = HandOffPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        client: &client,
        sheet: sheet(app, &admin.zone, &client)?,
        may_change: admin.changes(Area::Clients),
        once: admin.once(&once_subject(&client)),
        link,
    };
    let (shows, page) = (
        page.once.is_some(),
        pages::respond(&page, StatusCode::OK, FormAction::SelfOnly),
    );
    Ok(if shows { admin.shown(page) } else { page })
}

/// `GET /admin/clients/{id}/hand-off.txt`
pub async fn text(admin: AdminRequest) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let sheet = sheet(&admin.app, &admin.zone, &client)?;
    Ok(as_text(&client, sheet)?)
}

/// `GET /admin/ca.pem`: the certificate of our own authority, which others must trust. It is no secret.
pub async fn authority(admin: AdminRequest) -> Answered {
    Ok(certificate(&admin.app).await?)
}

/// The sheet where nobody is signed in: the times are those of the installation.
pub(super) fn for_nobody(app: &App, client: &Client) -> Result<Sheet, PageError> {
    let zone = Zone::of(&PersonSettings::default(), &app.config.policy.time_zone);
    sheet(app, &zone, client)
}

/// The sheet as plain text, for a program.
pub(in crate::admin) fn plain(app: &App, client: &Client) -> Result<String, PageError> {
    Ok(render(client, for_nobody(app, client)?)?)
}

fn render(client: &Client, sheet: Sheet) -> Result<String, Broken> {
    HandOffText { client, sheet }.render().map_err(Broken::defect)
}

/// The sheet as a file.
pub(super) fn as_text(client: &Client, sheet: Sheet) -> Result<HttpResponse, Broken> {
    let text = render(client, sheet)?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"hand-off-{}.txt\"", client.id),
        ))
        .body(text))
}

/// The certificate of our own authority, if it is the one that we show.
pub(super) async fn certificate(app: &App) -> Result<HttpResponse, PageError> {
    let file = app.config.server.data_dir.join(CA_FILE);
    let read = web::block(move || std::fs::read(file)).await;
    let pem = read
        .ok()
        .and_then(Result::ok)
        .filter(|_| app.config.server.tls.is_none());
    let pem = pem.ok_or_else(PageError::not_found)?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/x-pem-file"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{CA_FILE}\"")))
        .body(pem))
}

/// The sheet of a client, with times as they are in a zone.
fn sheet(app: &App, zone: &Zone, client: &Client) -> Result<Sheet, PageError> {
    let settings = &client.settings;
    let flow = app
        .policy
        .dataflow(&client.settings.dataflow)
        .ok_or_else(PageError::not_found)?;
    let for_people = is_for_people(flow, &settings.grants);
    let mut values = vec![
        ("Issuer", app.issuer().to_owned()),
        ("Discovery document", app.url("/.well-known/openid-configuration")),
        ("Token endpoint", app.url("/oauth2/token")),
    ];
    if for_people {
        values.push(("Authorization endpoint", app.url("/oauth2/authorize")));
        values.push(("Sign-out endpoint", app.url("/oauth2/logout")));
    }
    values.push(("Our public keys (JWKS)", app.url("/oauth2/jwks")));
    values.push(("Client ID (client_id)", client.id.clone()));
    values.push(("Client authentication", settings.auth_method.as_str().to_owned()));
    for id in &settings.resource_servers {
        if let Some(live) = app.live.resource_server(id) {
            values.push((
                "FHIR base = audience (resource, aud)",
                live.server.settings.audience.clone(),
            ));
        }
    }
    let purposes = flow.purposes(settings.purposes.as_deref());
    if !purposes.is_empty() {
        values.push(("Purposes of use (purpose_of_use)", purposes.join(" ")));
    }
    Ok(Sheet {
        made: zone.when(app.now()),
        service: app.config.server.name.clone(),
        method: of_method(settings.auth_method),
        values,
        scopes: flow
            .ceiling(settings.scopes.as_ref())
            .without_doubles()
            .iter()
            .map(ToString::to_string)
            .collect(),
        abilities: abilities(app, flow, Some(client)),
        redirect_uris: settings.redirect_uris.clone(),
        uses_secret: settings.auth_method.uses_secret(),
        by_key: settings.auth_method == crate::model::client::AuthMethod::PrivateKeyJwt,
        own_ca: app.config.server.tls.is_none(),
        authority: "/admin/ca.pem",
        for_people,
        samples: samples::of(app, client, flow),
    })
}
