//! `/admin/clients/{id}/check`: somebody pastes what the vendor's system sends or gets (an assertion, a redirect address,
//! an authorization request, an error) and reads, line by line, what is right and what is wrong with it. Nothing that is
//! pasted is kept, recorded or used up.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::findings::{self, Reader, Report};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::noun;
use crate::app::App;
use crate::error::Broken;
use crate::model::client::{Client, ClientSettings};
use crate::policy::console::Area;
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

/// The field with what is pasted.
pub(super) const FIELD: &str = "pasted";

#[derive(Template)]
#[template(path = "../admin/client_check.html")]
struct CheckPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    client: &'a Client,
    typed: Typed,
    wrong: Vec<FieldMistake>,
    report: Option<Report>,
}

/// `GET /admin/clients/{id}/check`
pub async fn get(admin: AdminRequest) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    Ok(show(
        &admin,
        &client,
        StatusCode::OK,
        Typed::default(),
        (Vec::new(), None),
    ))
}

/// `POST /admin/clients/{id}/check`: changes nothing, so it answers at once.
pub async fn post(admin: AdminRequest, form: PostedForm) -> Answered {
    let client = noun::managed::found::<ClientSettings>(&admin).await?;
    let typed = Typed::of(&form, &[FIELD]);
    let (status, wrong, report) = pasted(&admin.app, &client, Reader::Office, &typed).await?;
    Ok(show(&admin, &client, status, typed, (wrong, report)))
}

/// What is to be said of what was pasted: how the page ends, what is wrong with the form, and the findings.
pub(super) async fn pasted(
    app: &App,
    client: &Client,
    reader: Reader,
    typed: &Typed,
) -> Result<(StatusCode, Vec<FieldMistake>, Option<Report>), Broken> {
    let text = typed.get(FIELD);
    if text.is_empty() {
        let wrong = vec![FieldMistake::field(FIELD, "paste what the system sends or gets")];
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong, None));
    }
    Ok((
        StatusCode::OK,
        Vec::new(),
        Some(findings::of(app, client, reader, text).await?),
    ))
}

fn show(
    admin: &AdminRequest,
    client: &Client,
    status: StatusCode,
    typed: Typed,
    (wrong, report): (Vec<FieldMistake>, Option<Report>),
) -> HttpResponse {
    let (shell, frame) = (admin.shell(), admin.frame(Area::Clients));
    let page = CheckPage {
        shell,
        frame,
        client,
        typed,
        wrong,
        report,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}
