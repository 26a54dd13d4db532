//! The system-use notice (NIST SP 800-53 AC-8): where one is configured, it is acknowledged before anything else of a
//! sign-in is shown.

use actix_web::http::StatusCode;

use crate::web::browser::{self, PostedForm};
use crate::web::page::{Answered, Step};
use crate::web::pages::{self, BannerPage, FormAction};

/// Where the notice is shown.
pub const PATH: &str = "/login/notice";

/// Whether the notice is still to be acknowledged.
pub fn is_due(step: &Step) -> bool {
    step.app.config.server.banner.is_some() && !step.pending.banner_read
}

/// `GET /login/notice`
pub async fn get(step: Step) -> Answered {
    let app = &step.app;
    let Some(banner) = app.config.server.banner.as_deref() else {
        return Ok(step.on_to("/login"));
    };
    let page = BannerPage {
        shell: browser::shell(app),
        csrf: &browser::csrf_token(app, &step.browser),
        pending: &step.sealed(),
        banner,
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /login/notice`
pub async fn post(mut step: Step, _: PostedForm) -> Answered {
    step.pending.banner_read = true;
    Ok(step.on_to("/login"))
}
