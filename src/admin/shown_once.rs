//! What is shown once: a secret or a link that was just made. The browser carries it, sealed to the session, from the
//! redirect to the page behind it; the page takes it away. So it stands in no address, no log and no database.

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};

use super::access::{AdminRequest, done};
use crate::secrets::master_key::Purpose;
use crate::web::browser::{self, CookieKind};

/// Something to be shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Once {
    /// Whose it is: the page of somebody else does not show it.
    pub subject: String,
    /// The secret or link.
    pub value: String,
    /// More to say, such as when the old secret ends.
    pub note: Option<String>,
}

impl AdminRequest {
    /// 303 to a page that says what was done and shows something once.
    pub fn show_once(&self, path: &str, word: &str, once: &Once) -> HttpResponse {
        let plain = serde_json::to_vec(once).unwrap_or_default();
        let context = self.once_context();
        let sealed = self
            .app
            .master
            .seal(Purpose::ShownOnce, &context, &plain, self.app.entropy);
        let mut answer = done(path, word);
        // A cookie that does not fit is one that is not shown: then another secret can be made.
        let _ = answer.add_cookie(&browser::set_cookie(&self.app, CookieKind::Once, &sealed));
        answer
    }

    /// What the page of `subject` has to show once.
    pub fn once(&self, subject: &str) -> Option<Once> {
        let sealed = browser::cookie(&self.app, &self.request, CookieKind::Once)?;
        let plain = self
            .app
            .master
            .open(Purpose::ShownOnce, &self.once_context(), &sealed)
            .ok()?;
        serde_json::from_slice::<Once>(&plain)
            .ok()
            .filter(|once| once.subject == subject)
    }

    /// Takes away what an answer has shown once.
    pub fn shown(&self, mut answer: HttpResponse) -> HttpResponse {
        let _ = answer.add_cookie(&browser::clear_cookie(&self.app, CookieKind::Once));
        answer
    }

    fn once_context(&self) -> String {
        format!("once {}", self.signed_in.session.id)
    }
}
