//! `/admin/access-review`: who holds which role, the list as a file, and that somebody has looked at it.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use askama::Template;
use serde_json::Value;

use super::access::{AdminRequest, Answered, Frame, done};
use super::card::Card;
use super::form::{FieldMistake, Typed};
use super::list::{List, ListFilter, Offer};
use super::list_query::{self, ListQuery, PAGE};
use super::noun::managed::path_of;
use super::sessions::{Names, names_of};
use super::table::{Cell, Column, Table};
use crate::app::App;
use crate::audit::event::Kind;
use crate::clock::local_time::When;
use crate::model::client::ClientSettings;
use crate::model::resource_server::ResourceServerSettings;
use crate::policy::console::Area;
use crate::registry::review::{self, Exported, FarReaching, far_reaching};
use crate::registry::{Mistake, Refused};
use crate::store::audit::{self, AuditRow};
use crate::store::people::listing::{self as stored, Holder};
use crate::web::browser::PostedForm;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/access-review";
const FIELDS: [&str; 2] = ["export", "note"];
/// How many sign-offs are shown.
const SIGN_OFFS: i64 = 10;

/// The page of a system that reaches far.
pub(super) fn page_of(system: &FarReaching) -> String {
    let list = match system.area {
        Area::Clients => path_of::<ClientSettings>,
        _ => path_of::<ResourceServerSettings>,
    };
    list(&system.id)
}

fn role_label(app: &App, code: &str) -> String {
    review::role_in_words(app, code)
}

fn row(admin: &AdminRequest, holder: &Holder) -> Vec<Cell> {
    let agency = holder.agency();
    vec![
        Cell::text(&holder.name)
            .leads_to(Some(format!("/admin/users/{}", holder.person_id)))
            .behind(format!("({})", holder.username))
            .tagged((!holder.enabled).then_some("Disabled"), true),
        Cell::text(role_label(&admin.app, &holder.role)),
        Cell::text(agency.map_or_else(String::new, |id| admin.app.live.agencies().name(&id).to_owned())),
        Cell::when(
            holder.last_login_at.map(|at| admin.zone.when(at)),
            "Has not signed in yet",
        ),
        Cell::when(Some(admin.zone.when(holder.given_at)), ""),
    ]
}

/// The systems about which only administrators decide, if there are any.
fn systems(app: &App) -> Option<Card> {
    let all = far_reaching(app);
    let row = |system: &FarReaching| {
        vec![
            Cell::text(&system.name).leads_to(Some(page_of(system))),
            Cell::text(system.what),
        ]
    };
    (!all.is_empty()).then(|| Card {
        texts: vec![
            "Only administrators decide about them. Signing off the review confirms that they should stay as they are.".to_owned(),
        ],
        table: Some(Table {
            id: "far-reaching",
            columns: ["System", "What it does"].map(Column::new).to_vec(),
            rows: all.iter().map(row).collect(),
        }),
        ..Card::new("far-reaching-systems", "Systems that reach far")
    })
}

fn sign_offs(admin: &AdminRequest, rows: &[AuditRow], names: &Names) -> Card {
    let card = Card::new("last-sign-offs", "Last sign-offs");
    if rows.is_empty() {
        return Card {
            texts: vec!["No one has signed off a list yet.".to_owned()],
            ..card
        };
    }
    let columns = ["When", "By", "Roles", "People", "Note", "SHA-256 of the list"];
    Card {
        table: Some(Table {
            id: "sign-offs",
            columns: columns.map(Column::new).to_vec(),
            rows: rows.iter().map(|row| sign_off_of(admin, row, names)).collect(),
        }),
        ..card
    }
}

fn sign_off_of(admin: &AdminRequest, row: &AuditRow, names: &Names) -> Vec<Cell> {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let detail = |name: &str| {
        let found = body.pointer(&format!("/detail/{name}")).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let by = row.person_id.clone().unwrap_or_default();
    let role = detail("role");
    vec![
        Cell::when(Some(admin.zone.when(row.at_ms.div_euclid(1000))), ""),
        Cell::text(names.get(&by).map_or(by, |(name, _)| name.clone())),
        Cell::text(if role.is_empty() {
            "All roles".to_owned()
        } else {
            role_label(&admin.app, &role)
        }),
        Cell::text(detail("people")),
        Cell::text(detail("note")),
        Cell::code(detail("sha256")),
    ]
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
    let (holders, names, signed) = read.await?;
    let (holders, more) = list_query::cut(holders);
    let roles = app.policy.roles().iter();
    let role = looked.get("role");
    let export = match role {
        "" => format!("{PATH}/export"),
        role => format!("{PATH}/export?role={}", list_query::encoded(role)),
    };
    let sign = admin.changes(Area::AccessReview).then(|| {
        Offer::new(
            format!("{PATH}/sign-off"),
            "sign-off",
            "Sign off a list that you have looked at",
        )
    });
    let list = List {
        title: "Access review",
        path: PATH,
        id: "holders",
        lead: "Who holds which role. Look at it regularly, and take away roles that are no longer needed.",
        nothing: if role.is_empty() {
            "No one holds a role yet. Give roles on the pages of people."
        } else {
            "No one holds this role."
        },
        action: Some(Offer::new(export, "export", "Download this list")),
        offers: sign.into_iter().collect(),
        filters: vec![ListFilter::new(
            "role",
            "Role",
            "All roles",
            roles.map(|role| (role.code.as_str(), role.label.as_str())),
        )],
        columns: ["Person", "Role", "Agency", "Last sign-in", "Holds it since"]
            .map(Column::new)
            .to_vec(),
        more: holders
            .last()
            .filter(|_| more)
            .map(|last| (format!("{} {}", last.role, last.name_key), last.person_id.clone())),
        rows: holders.iter().map(|holder| row(&admin, holder)).collect(),
        cards: systems(app)
            .into_iter()
            .chain([sign_offs(&admin, &signed, &names)])
            .collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, Area::AccessReview, &looked))
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
    far_reaching: Vec<FarReaching>,
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
        far_reaching: far_reaching(&admin.app),
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
