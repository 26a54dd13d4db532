//! The console, through its pages: who may see which, and what each does.

pub mod access;
pub mod first;
pub mod import;
pub mod people;
pub mod people_pages;
pub mod review;
pub mod sessions;

use crate::harness::Harness;
use crate::harness::PASSWORD;
use crate::harness::agent::{Agent, Page};

/// One person for each role of the console; the TOTP secret is that of the personas.
pub const STAFF: &str = r#"
[[user]]
username = "admin"
name = "Ada Administrator"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["administrator"]

[[user]]
username = "clients"
name = "Clara Clients"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["client-manager"]

[[user]]
username = "users"
name = "Ulf Users"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["user-manager"]

[[user]]
username = "auditor"
name = "Audra Auditor"
password = "correct horse battery staple"
totp_secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
roles = ["auditor"]
"#;

/// A browser in which somebody opens a page of the console, signing in on the way, with the page.
pub async fn open<'a>(harness: &'a Harness, username: &str, path: &str) -> (Agent<'a>, Page) {
    let mut agent = Agent::new(harness);
    let page = agent.get(&harness.url(path)).await;
    assert_eq!(page.at(), "/login", "{page:?}");
    let page = agent.sign_in(page, username, PASSWORD).await;
    (agent, page)
}

/// The same, where all that matters is the browser.
pub async fn at_console<'a>(harness: &'a Harness, username: &str) -> Agent<'a> {
    let (agent, page) = open(harness, username, "/admin").await;
    assert_eq!((page.at(), page.answer().status), ("/admin", 200), "{page:?}");
    agent
}
