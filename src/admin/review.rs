//! `/admin/access-review`: who holds which role, the list as a file, and that somebody has looked at it.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use askama::Template;
use serde_json::Value;

use super::access::{AdminRequest, Answered, Frame, done};
use super::form::{FieldMistake, Typed};
use super::list_query::{self, Filter, ListQuery, PAGE};
use super::sessions::{Names, names_of};
use crate::app::App;
use crate::audit::event::Kind;
use crate::clock::local_time::When;
use crate::policy::console::Area;
use crate::registry::review::{self, Exported};
use crate::registry::{Mistake, Refused};
use crate::store::audit::{self, AuditRow};
use crate::store::people::listing::{self as stored, Holder};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/access-review";
const FILTERS: [&str; 1] = ["role"];
const FIELDS: [&str; 2] = ["export", "note"];
/// How many sign-offs are shown.
const SIGN_OFFS: i64 = 10;

#[derive(Template)]
#[template(path = "../admin/review.html")]
struct ReviewPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    looked: ListQuery,
    roles: Vec<Filter>,
    rows: Vec<Row>,
    sign_offs: Vec<SignOff>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    role: String,
    person_id: String,
    name: String,
    username: String,
    agency: String,
    enabled: bool,
    last_login: Option<When>,
    since: When,
}

struct SignOff {
    at: When,
    by: String,
    role: String,
    people: String,
    sha256: String,
    note: String,
}

fn role_label(app: &App, code: &str) -> String {
    review::role_in_words(app, code)
}

fn row(admin: &AdminRequest, holder: &Holder) -> Row {
    Row {
        role: role_label(&admin.app, &holder.role),
        person_id: holder.person_id.clone(),
        name: holder.name.clone(),
        username: holder.username.clone(),
        agency: holder
            .agency()
            .map_or_else(String::new, |id| admin.app.live.agencies().name(&id).to_owned()),
        enabled: holder.enabled,
        last_login: holder.last_login_at.map(|at| admin.zone.when(at)),
        since: admin.zone.when(holder.given_at),
    }
}

fn sign_off_of(admin: &AdminRequest, row: &AuditRow, names: &Names) -> SignOff {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let detail = |name: &str| {
        let found = body.pointer(&format!("/detail/{name}")).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let by = row.person_id.clone().unwrap_or_default();
    let role = detail("role");
    SignOff {
        at: admin.zone.when(row.at_ms.div_euclid(1000)),
        by: names.get(&by).map_or(by, |(name, _)| name.clone()),
        role: if role.is_empty() {
            "All roles".to_owned()
        } else {
            role_label(&admin.app, &role)
        },
        people: detail("people"),
        sha256: detail("sha256"),
        note: detail("note"),
    }
}

/// The place in the list, of an address: the role and the key of the name stand in one key, for the id has no blank and
/// a role has none either.
fn after(looked: &ListQuery) -> Option<stored::HolderPlace> {
    let (key, id) = looked.after()?;
    let (role, name) = key.split_once(' ')?;
    Some((role.to_owned(), name.to_owned(), id))
}

/// `GET /admin/access-review`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let (role, after) = (chosen_role(looked.get("role")), after(&looked));
    let read = app.store.read(move |conn| {
        let holders = stored::holders(conn, role.as_deref(), after.as_ref(), PAGE + 1)?;
        let sign_offs = audit::last_of_kind(conn, Kind::AccessReviewed, SIGN_OFFS)?;
        let by: Vec<String> = sign_offs.iter().filter_map(|row| row.person_id.clone()).collect();
        Ok((holders, names_of(conn, &by)?, sign_offs))
    });
    let (holders, names, sign_offs) = read.await?;
    let (holders, more) = list_query::cut(holders);
    let next = holders.last().filter(|_| more);
    let next = next.map(|last| {
        looked.page_after(
            &FILTERS,
            &format!("{} {}", last.role, last.name_key),
            &last.person_id,
        )
    });
    let mut roles = vec![("", "All roles")];
    roles.extend(
        app.policy
            .roles()
            .iter()
            .map(|role| (role.code.as_str(), role.label.as_str())),
    );
    let page = ReviewPage {
        shell: admin.shell(),
        frame: admin.frame(Area::AccessReview),
        may_change: admin.changes(Area::AccessReview),
        roles: list_query::filters(looked.get("role"), &roles),
        rows: holders.iter().map(|holder| row(&admin, holder)).collect(),
        sign_offs: sign_offs
            .iter()
            .map(|row| sign_off_of(&admin, row, &names))
            .collect(),
        first: (!looked.is_first()).then(|| looked.first(&FILTERS)),
        next,
        looked,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

fn chosen_role(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|role| !role.is_empty())
}

#[derive(Template)]
#[template(path = "../admin/review_export.html")]
struct ExportPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    role: String,
    label: String,
}

/// `GET /admin/access-review/export`: says what the file holds.
pub async fn ask_export(admin: AdminRequest) -> Answered {
    let role = admin.query().get("role").to_owned();
    let label = if role.is_empty() {
        "all roles".to_owned()
    } else {
        role_label(&admin.app, &role)
    };
    let page = ExportPage {
        shell: admin.shell(),
        frame: admin.frame(Area::AccessReview),
        role,
        label,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/access-review/export`: the list as a file.
pub async fn export(admin: AdminRequest, form: PostedForm) -> Answered {
    let app = &admin.app;
    let role = chosen_role(form.field("role")?);
    let reader = Arc::clone(app);
    let list = Arc::new(
        app.store
            .read(move |conn| review::list(&reader, conn, role))
            .await?,
    );
    let taken = Arc::clone(&list);
    match admin
        .registry()
        .run(move |registry, tx| review::export(registry, tx, &taken))
        .await
    {
        Ok(()) => Ok(csv_file("access-review.csv", list.file.clone())),
        Err(Refused::Mistakes(mistakes)) => Err(refusal(&mistakes).into()),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

fn refusal(mistakes: &[Mistake]) -> crate::error::PageError {
    crate::error::PageError::new(
        mistakes
            .iter()
            .map(|mistake| mistake.text.clone())
            .collect::<Vec<_>>()
            .join(". "),
    )
}

/// A file of comma-separated values, to be kept by whoever asked for it and by nobody on the way.
pub(super) fn csv_file(name: &str, bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(bytes)
}

#[derive(Template)]
#[template(path = "../admin/review_sign_off.html")]
struct SignOffPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    exported: Option<ExportedItem>,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

struct ExportedItem {
    at: When,
    role: String,
    people: usize,
    sha256: String,
}

/// `GET /admin/access-review/sign-off`
pub async fn ask_sign_off(admin: AdminRequest) -> Answered {
    show_sign_off(&admin, StatusCode::OK, (Typed::default(), Vec::new())).await
}

async fn show_sign_off(
    admin: &AdminRequest,
    status: StatusCode,
    (typed, wrong): (Typed, Vec<FieldMistake>),
) -> Answered {
    let (me, now) = (admin.signed_in.person.id.clone(), admin.app.now());
    let exported = admin
        .app
        .store
        .read(move |conn| review::last_export(conn, &me, now))
        .await?;
    let item = |exported: Exported| ExportedItem {
        at: admin.zone.when(exported.at_ms.div_euclid(1000)),
        role: exported
            .role
            .map_or_else(|| "All roles".to_owned(), |role| role_label(&admin.app, &role)),
        people: exported.people,
        sha256: exported.sha256,
    };
    let page = SignOffPage {
        shell: admin.shell(),
        frame: admin.frame(Area::AccessReview),
        exported: exported.map(item),
        typed,
        wrong,
    };
    Ok(pages::respond(&page, status, FormAction::SelfOnly))
}

/// `POST /admin/access-review/sign-off`
pub async fn sign_off(admin: AdminRequest, form: PostedForm) -> Answered {
    let typed = Typed::of(&form, &FIELDS);
    let (fingerprint, note) = (typed.get("export").to_owned(), typed.get("note").to_owned());
    let job = admin.registry();
    match job
        .run(move |registry, tx| review::sign_off(registry, tx, &fingerprint, &note))
        .await
    {
        Ok(()) => Ok(done(PATH, "signed-off")),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            show_sign_off(&admin, StatusCode::UNPROCESSABLE_ENTITY, (typed, wrong)).await
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
