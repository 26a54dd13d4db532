//! `/admin/audit/{log}/{seq}`: one event whole.

use actix_web::http::StatusCode;
use askama::Template;

use super::difference::{self, Setting};
use super::words::{Body, Names};
use crate::admin::access::{AdminRequest, Answered, Frame};
use crate::admin::events::{Told, told};
use crate::audit::event::Kind;
use crate::audit::leaf;
use crate::error::PageError;
use crate::policy::console::Area;
use crate::store::audit::{self, AuditRow};
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/audit_event.html")]
struct EventPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    told: Told,
    row: &'a AuditRow,
    purposes: String,
    details: Vec<(String, String)>,
    changed: Vec<Setting>,
    same: Vec<Setting>,
    /// Whether the hash is that of the body.
    fits: bool,
}

/// `GET /admin/audit/{log}/{seq}`
pub async fn get(admin: AdminRequest) -> Answered {
    let (Ok(log), Ok(seq)) = (admin.part("log").parse(), admin.part("seq").parse()) else {
        return Err(PageError::not_found().into());
    };
    let found = admin.app.store.read(move |conn| {
        let Some(row) = audit::row(conn, audit::id_of(log, seq))? else {
            return Ok(None);
        };
        let rows = vec![row];
        let names = Names::of(conn, &rows)?;
        Ok(Some((rows, names)))
    });
    let Some((rows, names)) = found.await? else {
        return Err(PageError::not_found().into());
    };
    admin
        .note_look(Kind::AuditRead, format!("/admin/audit/{log}/{seq}"))
        .await?;
    let (Some(row), Some(told)) = (rows.first(), told(&admin, &rows, &names).pop()) else {
        return Err(PageError::not_found().into());
    };
    let body = Body::of(row);
    let (same, changed) = difference::between(body.get("before"), body.get("after"))
        .into_iter()
        .partition(|setting| setting.became.is_none());
    let page = EventPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Audit),
        told,
        fits: leaf::leaf(row.body.as_bytes()).as_slice() == row.leaf,
        purposes: body.purposes.join(", "),
        details: details(body),
        changed,
        same,
        row,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// All details but those that are shown side by side.
fn details(body: Body) -> Vec<(String, String)> {
    let shown = body
        .detail
        .into_iter()
        .filter(|(name, _)| name != "before" && name != "after");
    shown
        .map(|(name, value)| (name.replace('_', " "), value))
        .collect()
}
