//! Back to "My access" when something was done there, and what the page says of it.

use actix_web::HttpResponse;

use crate::app::App;
use crate::web::browser::{self, Notice};

/// The page's path.
pub const PATH: &str = "/account";

/// Back to "My access", which says what was done.
pub fn back(app: &App, browser: &str, done: Notice) -> HttpResponse {
    browser::done(app, PATH, browser, done)
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
        Notice::AddressLinkSent => {
            Some("We have sent a link to your e-mail address. Open it in this browser.")
        }
        Notice::AddressLinkHeldBack => Some(
            "We sent you a link a short while ago, so no other one is sent now. Look in your mail, and in the junk folder. If nothing has come, try again in an hour.",
        ),
        Notice::AddressConfirmed => Some("Your e-mail address is confirmed."),
        _ => None,
    }
}
