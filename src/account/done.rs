//! Back to "My access" when something was done there, and what the page says of it.

use actix_web::HttpResponse;

use crate::app::App;
use crate::web::browser::{self, Destination, Notice, Pending};

/// The page's path.
pub const PATH: &str = "/account";

/// Back to "My access", which says what was done.
pub fn back(app: &App, browser: &str, done: Notice) -> HttpResponse {
    let pending = Pending::new(Destination::Page(PATH.to_owned()), app.now()).saying(done);
    browser::see_other(&browser::page_url(PATH, &pending.seal(app, Some(browser))), &[])
}

/// What the page says has been done.
pub(super) fn in_words(done: Notice) -> Option<&'static str> {
    match done {
        Notice::SessionEnded => Some("That browser is signed out."),
        Notice::OtherSessionsEnded => Some("You are signed out everywhere else."),
        Notice::ApplicationEnded => Some("The application can do nothing for you any more."),
        Notice::PasskeyRenamed => Some("The passkey has its new name."),
        Notice::PasskeyRemoved => Some("The passkey is removed. It cannot sign in any more."),
        Notice::AuthenticatorRemoved => {
            Some("The authenticator app is removed. Its codes cannot sign in any more.")
        }
        _ => None,
    }
}
