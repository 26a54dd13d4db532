//! People: the list, one person, what is done to her, and many at once from a file.

pub mod action;
pub mod edit;
pub mod import;
pub mod list;
pub mod show;

use crate::model::person::Person;
use crate::policy::Policy;
use crate::policy::console::{self, Area};

/// The list.
pub(super) const PATH: &str = "/admin/users";

/// The page of a person.
pub(super) fn path_of(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// Where a person belongs: those with a role of the console are administrators' affair.
pub(super) fn area_of(person: &Person) -> Area {
    let of_console = console::is_administrative(&person.settings);
    if of_console {
        Area::Administrators
    } else {
        Area::People
    }
}

/// The names of roles, for people.
pub fn labels(policy: &Policy, roles: &[String]) -> Vec<String> {
    roles
        .iter()
        .map(|code| {
            policy
                .role(code)
                .map_or_else(|| code.clone(), |role| role.label.clone())
        })
        .collect()
}
