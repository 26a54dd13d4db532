//! `/admin/sessions`: where people are signed in now, and ending it.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame, Requires, done};
use super::form::FieldMistake;
use super::list::{List, Search};
use super::list_query::{self, ListQuery, PAGE};
use super::people::{area_of, path_of};
use super::table::{Cell, Column};
use crate::account::sign_ins::methods_in_words;
use crate::app::App;
use crate::clock::local_time::When;
use crate::error::PageError;
use crate::login::device;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::policy::console::{Area, Right};
use crate::registry::{Refused, sessions as registry};
use crate::store::sessions::{self as stored, Alive};
use crate::store::{Stored, people};
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const PATH: &str = "/admin/sessions";

/// A session, as the console shows it.
pub(super) struct SessionItem {
    pub(super) id: String,
    pub(super) person_id: String,
    pub(super) name: String,
    pub(super) username: String,
    pub(super) device: String,
    pub(super) address: String,
    pub(super) how: String,
    pub(super) since: When,
    pub(super) used: When,
    pub(super) current: bool,
}

/// The name and username of people, by id.
pub(super) type Names = HashMap<String, (String, String)>;

/// Reads what people are called.
pub(super) fn names_of(conn: &mut crate::store::Conn, ids: &[String]) -> Stored<Names> {
    Ok(people::names(conn, ids)?
        .into_iter()
        .map(|(id, name, username)| (id, (name, username)))
        .collect())
}

/// Which sessions are alive now.
pub(super) fn alive(app: &App) -> Alive {
    let (login, now) = (&app.config.login, app.now());
    Alive {
        begun: now - login.session_seconds,
        seen: now - login.session_idle_seconds,
    }
}

/// A session, with the names of its person where they are shown.
pub(super) fn item(admin: &AdminRequest, session: &Session, names: Option<&Names>) -> SessionItem {
    let provider = session.identity_provider.as_ref().map(|id| {
        let known = admin.app.live.identity_provider(id);
        format!(
            "with {}",
            known.map_or_else(|| id.clone(), |known| known.name.clone())
        )
    });
    let (name, username) = names
        .and_then(|names| names.get(&session.person_id))
        .cloned()
        .unwrap_or_default();
    SessionItem {
        id: session.id.clone(),
        person_id: session.person_id.clone(),
        name,
        username,
        device: device::in_words(&session.user_agent),
        address: session.address.clone(),
        how: provider.unwrap_or_else(|| methods_in_words(session.amr.iter().map(String::as_str))),
        since: admin.zone.when(session.created_at),
        used: admin.zone.when(session.last_seen_at),
        current: session.id == admin.signed_in.session.id,
    }
}

/// The place behind which a page begins, in a list by time.
pub(super) fn after(looked: &ListQuery) -> Option<(i64, String)> {
    let (at, id) = looked.after()?;
    Some((at.parse().ok()?, id))
}

/// `GET /admin/sessions`
pub async fn get(admin: AdminRequest) -> Answered {
    let (app, looked) = (&admin.app, admin.query());
    let (alive, username, after) = (alive(app), looked.get("person").to_owned(), after(&looked));
    let reach = admin.reach(Area::Sessions, Right::Read);
    let read = app.store.read(move |conn| {
        let person = if username.is_empty() {
            None
        } else {
            Some(people::find_by_username(conn, &username)?)
        };
        if matches!(person, Some(None)) {
            return Ok(None);
        }
        let person = person.flatten();
        if person
            .as_ref()
            .is_some_and(|person| !reach.holds_for(person.settings.agency.as_deref()))
        {
            return Ok(None);
        }
        let whose = (person.as_ref().map(|person| person.id.as_str()), reach.agencies());
        let sessions = stored::live(conn, alive, whose, after.as_ref(), PAGE + 1)?;
        let ids: Vec<String> = sessions.iter().map(|session| session.person_id.clone()).collect();
        Ok(Some((names_of(conn, &ids)?, sessions)))
    });
    let read = read.await?;
    let nothing = match (&read, looked.get("person")) {
        (None, _) => "No one has this username.",
        (Some(_), "") => "No one is signed in.",
        _ => "No one is signed in with this username.",
    };
    let (names, sessions) = read.unwrap_or_default();
    let (sessions, more) = list_query::cut(sessions);
    let may_change = admin.may_somewhere(Area::Sessions, Right::Change);
    let columns = ["Person", "Browser", "Address", "Signed in", "Last used"].map(Column::new);
    let list = List {
        title: "Sessions",
        path: PATH,
        id: "sessions",
        lead: "Where people are signed in now, the newest sign-in first.",
        nothing,
        search: vec![Search {
            name: "person",
            label: "Username",
        }],
        columns: columns
            .into_iter()
            .chain(may_change.then_some(Column::new("End")))
            .collect(),
        more: sessions
            .last()
            .filter(|_| more)
            .map(|last| (last.created_at.to_string(), last.id.clone())),
        rows: sessions
            .iter()
            .map(|session| row(item(&admin, session, Some(&names)), may_change))
            .collect(),
        ..List::default()
    };
    Ok(list.answer(&admin, Area::Sessions, &looked))
}

fn row(item: SessionItem, may_change: bool) -> Vec<Cell> {
    let end = Cell::text("End")
        .leads_to(Some(format!("{PATH}/{}/end", item.id)))
        .unseen(format!("the session of {} with {}", item.name, item.device));
    let cells = [
        Cell::text(item.name)
            .leads_to(Some(path_of(&item.person_id)))
            .behind(format!("({})", item.username))
            .tagged(item.current.then_some("This browser"), false),
        Cell::text(item.device),
        Cell::text(item.address),
        Cell::when(Some(item.since), "").behind(item.how),
        Cell::when(Some(item.used), ""),
    ];
    cells.into_iter().chain(may_change.then_some(end)).collect()
}

#[derive(Template)]
#[template(path = "../admin/session_end.html")]
struct EndPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    session: SessionItem,
    wrong: Vec<FieldMistake>,
}

/// Refuses to end what is a person's to somebody who may not: whose it is decides who may.
///
/// # Errors
/// A page that says whose this is.
pub(super) async fn check_owner(admin: &AdminRequest, owner: Option<&Person>) -> Result<(), PageRefused> {
    // Whoever may not change administrators may not sign them out either.
    let of_console = owner.is_some_and(|person| area_of(person) == Area::Administrators);
    if of_console && !admin.changes(Area::Administrators) {
        return Err(admin.refuse(Requires::change(Area::Administrators)).await);
    }
    Ok(())
}

/// The session of the address, with the names of whose it is.
async fn found(admin: &AdminRequest) -> Result<(Session, Names), PageRefused> {
    let wanted = admin.part("id").to_owned();
    let read = admin.app.store.read(move |conn| {
        let session = stored::by_id(conn, &wanted)?;
        let owner = session
            .as_ref()
            .map(|session| people::find(conn, &session.person_id))
            .transpose()?;
        Ok((session, owner.flatten()))
    });
    let (session, owner) = read.await?;
    check_owner(admin, owner.as_ref()).await?;
    let session = session.ok_or_else(PageError::not_found)?;
    let names = owner
        .map(|owner| (owner.id, (owner.name, owner.username)))
        .into_iter()
        .collect();
    Ok((session, names))
}

/// `GET /admin/sessions/{id}/end`: asks first.
pub async fn ask(admin: AdminRequest) -> Answered {
    let (session, names) = found(&admin).await?;
    Ok(show(&admin, &session, &names, StatusCode::OK, Vec::new()))
}

fn show(
    admin: &AdminRequest,
    session: &Session,
    names: &Names,
    status: StatusCode,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let session = item(admin, session, Some(names));
    let page = EndPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Sessions),
        session,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/sessions/{id}/end`
pub async fn end(admin: AdminRequest, _form: PostedForm) -> Answered {
    let (session, names) = found(&admin).await?;
    let wanted = session.id.clone();
    match admin
        .registry()
        .run(move |job, tx| registry::end(job, tx, &wanted))
        .await
    {
        // One that has ended meanwhile has ended all the same.
        Ok(_) => Ok(done(PATH, "ended")),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &[]);
            Ok(show(
                &admin,
                &session,
                &names,
                StatusCode::UNPROCESSABLE_ENTITY,
                wrong,
            ))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
