//! People: the list, one person, what is done to her, and many at once from a file.

pub mod action;
pub mod edit;
pub mod import;
pub mod list;
pub mod show;

use std::sync::Arc;

use actix_web::HttpRequest;

use super::access::{AdminRequest, Requires, admit};
use crate::app::App;
use crate::error::PageError;
use crate::model::person::Person;
use crate::policy::Policy;
use crate::policy::console::{self, Area, Right};
use crate::store::people;
use crate::web::guard::PageRefused;

/// The list.
pub(super) const PATH: &str = "/admin/users";

/// The page of a person.
pub(super) fn path_of(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// Where a person belongs: those with a role of the console are administrators' affair.
pub(super) fn area_of(person: &Person) -> Area {
    let of_console = console::is_of_console(&person.settings.roles);
    if of_console {
        Area::Administrators
    } else {
        Area::People
    }
}

/// The names of roles, for people.
pub(super) fn labels(policy: &Policy, roles: &[String]) -> Vec<String> {
    roles
        .iter()
        .map(|code| {
            policy
                .role(code)
                .map_or_else(|| code.clone(), |role| role.label.clone())
        })
        .collect()
}

/// Lets somebody do something about a person: who that is decides which right it needs, and whether the sign-in must be
/// fresh.
///
/// # Errors
/// To the sign-in, or a page that says whose this is or that there is no such person.
pub(super) async fn enter_about(
    app: &Arc<App>,
    request: &HttpRequest,
    id: &str,
    right: Right,
    fresh: bool,
) -> Result<(AdminRequest, Person), PageRefused> {
    let wanted = id.to_owned();
    let found = app.store.read(move |conn| people::find(conn, &wanted)).await?;
    let area = found.as_ref().map_or(Area::People, area_of);
    let fresh = fresh || (right == Right::Change && area == Area::Administrators);
    let admin = admit(app, request, Requires { area, right, fresh }).await?;
    Ok((admin, found.ok_or_else(PageError::not_found)?))
}
