//! The console, through its pages: who may see which, and what each does.

pub mod access;
pub mod api_tokens;
mod attacks;
pub mod audit;
pub mod clients;
pub mod first;
mod forms;
pub mod home;
pub mod import;
mod journeys;
pub mod keys;
pub mod people;
pub mod people_pages;
pub mod policy;
pub mod providers;
pub mod resource_servers;
pub mod review;
mod scale;
pub mod sessions;
pub mod settings;
mod vendor;

use crate::harness::Harness;
use crate::harness::PASSWORD;
use crate::harness::agent::{Agent, Page, attribute, unescape};

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

/// Sends the form of a page that leads to `action` as a browser would: with what stands and is ticked in it. What is
/// given takes the place of all values of its fields.
pub async fn send(agent: &mut Agent<'_>, page: &Page, action: &str, given: &[(&str, &str)]) -> Page {
    let text = &page.answer().text;
    let start = text
        .find(&format!(" action=\"{action}\""))
        .unwrap_or_else(|| panic!("no form to {action}: {text}"));
    let form = &text[start..start + text[start..].find("</form>").unwrap()];
    let mut fields: Vec<(String, String)> = Vec::new();
    for rest in form.split("<input").skip(1) {
        let tag = &rest[..rest.find('>').unwrap()];
        let kind = attribute(tag, "type").unwrap_or_default();
        let ticked = !["checkbox", "radio"].contains(&kind.as_str())
            || tag.ends_with(" checked")
            || tag.contains(" checked ");
        if let (Some(name), true) = (attribute(tag, "name"), ticked) {
            fields.push((name, attribute(tag, "value").unwrap_or_default()));
        }
    }
    for rest in form.split("<textarea").skip(1) {
        let name = attribute(&rest[..rest.find('>').unwrap()], "name").unwrap();
        let value = &rest[rest.find('>').unwrap() + 1..rest.find("</textarea>").unwrap()];
        fields.push((name, unescape(value)));
    }
    for rest in form.split("<select").skip(1) {
        let name = attribute(&rest[..rest.find('>').unwrap()], "name").unwrap();
        let options: Vec<&str> = rest[..rest.find("</select>").unwrap()]
            .split("<option")
            .skip(1)
            .collect();
        let chosen = options
            .iter()
            .find(|option| option[..option.find('>').unwrap()].ends_with(" selected"));
        let chosen = chosen.or(options.first()).unwrap();
        fields.push((name, attribute(chosen, "value").unwrap()));
    }
    fields.retain(|(name, _)| given.iter().all(|(given, _)| given != name));
    fields.extend(
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    agent.post(&unescape(action), &fields).await
}

/// What stands in the element of an id, as text: without tags.
pub fn text_of(page: &Page, id: &str) -> String {
    let text = &page.answer().text;
    let start = text
        .find(&format!(" id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id} in {text}"));
    let inner = &text[start + text[start..].find('>').unwrap() + 1..];
    unescape(inner[..inner.find("</").unwrap()].trim())
}
