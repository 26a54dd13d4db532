//! `/admin/settings`: the whole registration as a file, out and in.

pub mod apply;
pub mod export;

use actix_web::http::StatusCode;
use askama::Template;

use super::access::{AdminRequest, Answered, Frame};
use crate::policy::console::{Area, Right};
use crate::web::pages::{self, FormAction, Shell};

#[derive(Template)]
#[template(path = "../admin/settings.html")]
struct SettingsPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    may_change: bool,
    sees_providers: bool,
}

/// `GET /admin/settings`
pub async fn get(admin: AdminRequest) -> Answered {
    let page = SettingsPage {
        shell: admin.shell(),
        frame: admin.frame(Area::Configuration),
        may_change: admin.changes(Area::Configuration),
        sees_providers: admin.may(Area::IdentityProviders, Right::Read),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}
