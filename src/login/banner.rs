//! The system-use notice (NIST SP 800-53 AC-8): where one is configured, it is acknowledged before anything else of a
//! sign-in is shown.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::app::App;
use crate::error::PageError;
use crate::web::browser::{self, Pending, PostedForm};
use crate::web::pages::{self, BannerPage, FormAction};

/// Where the notice is shown.
pub const PATH: &str = "/login/notice";

/// Whether the notice is still to be acknowledged.
pub fn is_due(app: &App, pending: &Pending) -> bool {
    app.config.server.banner.is_some() && !pending.banner_read
}

/// To the notice, and from there to the sign-in.
pub fn first(app: &App, pending: &Pending, browser_cookie: &str) -> HttpResponse {
    browser::see_other(
        &browser::page_url(PATH, &pending.seal(app, Some(browser_cookie))),
        &[],
    )
}

/// `GET /login/notice`
pub async fn get(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let (pending, browser_cookie) = match browser::carried(&app, &request) {
        Ok(carried) => carried,
        Err(error) => return browser::error_page(&app, &error),
    };
    let sealed = pending.seal(&app, Some(&browser_cookie));
    let Some(banner) = app.config.server.banner.as_deref() else {
        return browser::see_other(&browser::page_url("/login", &sealed), &[]);
    };
    let page = BannerPage {
        shell: browser::shell(&app),
        csrf: &browser::csrf_token(&app, &browser_cookie),
        pending: &sealed,
        banner,
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

/// `POST /login/notice`
pub async fn post(app: web::Data<App>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let acknowledged = async {
        let form = PostedForm::read(&app, &request, body).await?;
        let pending = Pending {
            banner_read: true,
            ..form.pending(&app)?
        };
        Ok(browser::see_other(
            &browser::page_url("/login", &pending.seal(&app, Some(&form.browser))),
            &[],
        ))
    };
    acknowledged
        .await
        .unwrap_or_else(|error: PageError| browser::error_page(&app, &error))
}
