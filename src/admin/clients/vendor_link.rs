//! `/admin/clients/{id}/vendor-link` and `/end-vendor-link`: the link by which the vendor sees the hand-off sheet and
//! checks the connection.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, done};
use crate::admin::confirm::ConfirmPage;
use crate::admin::form::{Choice, FieldMistake, Typed};
use crate::admin::noun;
use crate::admin::shown_once::Once;
use crate::app::App;
use crate::error::PageError;
use crate::model::client::{Client, ClientSettings};
use crate::policy::console::Area;
use crate::registry::Refused;
use crate::registry::vendor_links::{self, DEFAULT_DAYS};
use crate::store::vendor_links as stored;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const FIELDS: [&str; 1] = ["days"];

#[derive(Template)]
#[template(path = "../admin/vendor_link.html")]
struct LinkPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    client: &'a Client,
    replaces: bool,
    periods: Vec<Choice>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

fn periods() -> Vec<Choice> {
    vec![
        Choice::new("7", "7 days", ""),
        Choice::new(
            DEFAULT_DAYS.to_string(),
            "30 days",
            "Long enough to connect a system and see it work.",
        ),
        Choice::new("180", "180 days", "For a vendor who looks after the system."),
    ]
}

fn sheet_of(client: &Client) -> String {
    format!("/admin/clients/{}/hand-off", client.id)
}

/// As whose the link is shown once: no page takes it for a secret of the client, nor that for a link.
pub(super) fn once_subject(client: &Client) -> String {
    format!("vendor-link {}", client.id)
}

async fn has_link(app: &App, client: &Client) -> Result<bool, PageError> {
    let (id, now) = (client.id.clone(), app.now());
    let link = app.store.read(move |conn| stored::of_client(conn, &id)).await?;
    Ok(link.is_some_and(|link| link.expires_at > now))
}

/// `GET /admin/clients/{id}/vendor-link`
pub async fn get(admin: AdminRequest) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let typed = Typed::default().with("days", DEFAULT_DAYS.to_string());
    let replaces = has_link(&admin.app, &client).await?;
    Ok(show(&admin, &client, replaces, typed, Vec::new()))
}

fn show(
    admin: &AdminRequest,
    client: &Client,
    replaces: bool,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let status = FieldMistake::status(&wrong);
    let (shell, frame) = (admin.shell(), admin.frame(Area::Clients));
    let page = LinkPage {
        shell,
        frame,
        client,
        replaces,
        periods: periods(),
        typed,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/clients/{id}/vendor-link`
pub async fn post(admin: AdminRequest, form: PostedForm) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let typed = Typed::of(&form, &FIELDS);
    let wrong = match typed.get("days").parse::<i64>() {
        Err(_) => vec![FieldMistake::field("days", "choose how long the link works")],
        Ok(days) => {
            let (id, registry) = (client.id.clone(), admin.registry());
            match registry
                .run(move |registry, tx| vendor_links::issue(registry, tx, &id, days))
                .await
            {
                Ok(issued) => {
                    let note = format!("It works until {}.", admin.zone.when(issued.expires_at).words);
                    let value = issued.url.reveal().to_owned();
                    let once = Once {
                        subject: once_subject(&client),
                        value,
                        note: Some(note),
                    };
                    return Ok(admin.show_once(&sheet_of(&client), "vendor-link-made", &once));
                }
                Err(Refused::Mistakes(mistakes)) => FieldMistake::of(&mistakes, &FIELDS),
                Err(Refused::Broken(broken)) => return Err(broken.into()),
            }
        }
    };
    let replaces = has_link(&admin.app, &client).await?;
    Ok(show(&admin, &client, replaces, typed, wrong))
}

/// `GET /admin/clients/{id}/end-vendor-link`: asks first.
pub async fn ask_end(admin: AdminRequest) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let page = ConfirmPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Clients),
        question: format!("End the link for the vendor of {}?", client.name),
        effects: vec![
            "Whoever has the link sees the sheet and the connection check no more.".to_owned(),
            "What the system can do stays as it is.".to_owned(),
        ],
        wrong: Vec::new(),
        action: format!("/admin/clients/{}/end-vendor-link", client.id),
        button: "End the link",
        danger: true,
        back: sheet_of(&client),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/clients/{id}/end-vendor-link`
pub async fn end(admin: AdminRequest, _form: PostedForm) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let (id, registry) = (client.id.clone(), admin.registry());
    match registry
        .run(move |registry, tx| vendor_links::end(registry, tx, &id))
        .await
    {
        Ok(_) => Ok(done(&sheet_of(&client), "ended")),
        // It was there a moment ago: somebody else has deleted it.
        Err(Refused::Mistakes(_)) => Err(PageError::not_found().into()),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
