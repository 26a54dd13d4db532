//! What users, vendors and scripts rely on, as snapshots: a commit that changes one of them shows what it changes.

mod commands;
mod documents;
mod pages;
mod urls;

use mdi_auth::registry::{identity_providers, links, vendor_links};

use crate::console::people::id_of;
use crate::console::providers::PROVIDER;
use crate::console::{STAFF, at_console};
use crate::harness::{Db, Harness, blocking, catch_up};
use crate::person_flow::{code_of, redeem};

/// A server on which everything that a page can show exists once, and where it is.
pub struct Rich {
    pub harness: Harness,
    pub person: String,
    pub session: String,
    pub grant: String,
    pub api_token: String,
    invitation: String,
    vendor: String,
}

/// The last part of a link.
fn secret_of(link: &str) -> String {
    link.rsplit('/').next().unwrap().to_owned()
}

/// The id of the first address in a text that begins and ends so.
fn id_in(text: &str, start: &str, end: &str) -> String {
    let addresses = text.match_indices(start).map(|(at, _)| &text[at + start.len()..]);
    let ids = addresses.map(|rest| {
        (
            rest,
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)),
        )
    });
    let mut ids = ids.filter_map(|(rest, until)| until.map(|until| rest.split_at(until)));
    let found = ids.find(|(_, behind)| behind.starts_with(end));
    found
        .unwrap_or_else(|| panic!("no {start}…{end} in {text}"))
        .0
        .to_owned()
}

impl Rich {
    async fn start() -> Self {
        Self::start_on(Db::Sqlite).await
    }

    pub async fn start_on(db: Db) -> Self {
        let harness = Harness::start_with(db, |config| {
            config.admin_api.requests_per_minute = 100_000;
            config.server.name = "Georgia MDI".to_owned();
        });
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        let code = code_of(&harness, "jlehz", &[]).await;
        assert_eq!(redeem(&harness, &code).await.status, 200);
        harness.clock.advance(60);
        let registry = harness.registry();
        let (invitation, vendor) = blocking(move || {
            let invited = registry
                .blocking(|registry, tx| links::reset_link(registry, tx, "clerk"))
                .unwrap();
            let vendor =
                registry.blocking(|registry, tx| vendor_links::issue(registry, tx, "lims-secret", 30));
            registry
                .blocking(|registry, tx| identity_providers::link(registry, tx, "fulton", "00u-1", "jlehz"))
                .unwrap();
            (
                secret_of(invited.url.reveal()),
                secret_of(vendor.unwrap().url.reveal()),
            )
        });
        crate::admin_api::token(&harness, "audit");
        let person = id_of(&harness, "jlehz");
        let mut admin = at_console(&harness, "admin").await;
        let sessions = admin.get(&harness.url("/admin/sessions?person=jlehz")).await;
        let grants = admin.get(&harness.url("/admin/grants")).await;
        let tokens = admin.get(&harness.url("/admin/api-tokens")).await;
        let rich = Self {
            person,
            session: id_in(&sessions.answer().text, "/admin/sessions/", "/end"),
            grant: id_in(&grants.answer().text, "/admin/grants/", "/end"),
            api_token: id_in(&tokens.answer().text, "/admin/api-tokens/", "/revoke"),
            invitation,
            vendor,
            harness,
        };
        rich.harness.clock.advance(60);
        // What is counted behind the requests stands on the first page.
        catch_up(&rich.harness.app).await.unwrap();
        rich.harness.app.sealer.seal().await.unwrap();
        rich
    }

    /// An address with what exists in place of its parameters.
    fn fill(&self, url: &str) -> String {
        let id = match url {
            _ if url.starts_with("/admin/agencies/") => "fulton-county-me",
            _ if url.starts_with("/admin/clients/") => "lims-secret",
            _ if url.starts_with("/admin/resource-servers/") => "edrs-ga",
            _ if url.starts_with("/admin/identity-providers/") => "fulton",
            _ if url.starts_with("/admin/users/") => &self.person,
            _ if url.starts_with("/admin/sessions/") => &self.session,
            _ if url.starts_with("/admin/grants/") => &self.grant,
            _ if url.starts_with("/admin/api-tokens/") => &self.api_token,
            _ => "nothing",
        };
        let secret = if url.starts_with("/vendor/") {
            &self.vendor
        } else {
            &self.invitation
        };
        // Whom a question is about that names nobody in its path.
        let whom = if url.ends_with("/unlink") {
            format!("?person={}", self.person)
        } else {
            String::new()
        };
        format!("{url}{whom}")
            .replace("{id}", id)
            .replace("{action}", "disable")
            .replace("{document}", "smart-configuration.json")
            .replace("{provider}", "fulton")
            .replace("{resource_server_id}", "edrs-ga")
            .replace("{log}/{seq}", "0/1")
            .replace("{import}", "nothing")
            .replace("{secret}", secret)
            .replace("{file}", "app.css")
    }
}

/// A text without what differs from run to run: the address of the server, ids, secrets, and the hashes of assets.
fn normal(harness: &Harness, text: &str) -> String {
    let text = text.replace(&harness.issuer, "https://as.example");
    let mut text = text.replace(&format!("localhost:{}", harness.port()), "as.example");
    // The page with the keys shows the beginnings of their names.
    let keys: serde_json::Value = serde_json::from_str(harness.app.live.keyring().jwks()).unwrap();
    for key in keys["keys"].as_array().unwrap() {
        text = text.replace(&key["kid"].as_str().unwrap()[..8], "RANDOM");
    }
    // Roots and signatures of the record are in base64, which has letters that end a word.
    let signed = |word: &&str| word.len() >= 40 && word.ends_with('=');
    let marks: Vec<String> = text
        .split(|c: char| c.is_whitespace() || "<>\"".contains(c))
        .filter(signed)
        .map(str::to_owned)
        .collect();
    for mark in marks {
        text = text.replace(&mark, "RANDOM");
    }
    let mut result = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "_-".contains(c) {
            word.push(c);
            continue;
        }
        result.push_str(if is_random(&word) { "RANDOM" } else { &word });
        word.clear();
        result.push(c);
    }
    // The one line end that was added.
    result.pop();
    result
}

/// Whether a word was drawn or computed: long, and neither a word of people nor a date.
fn is_random(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    let hexadecimal = word.chars().all(|c| c.is_ascii_hexdigit());
    let drawn = word
        .split(['_', '-'])
        .any(|part| part.len() >= 20 && part.contains(|c: char| c.is_ascii_digit()));
    let id = word.len() == 30 && word.as_bytes()[3] == b'_';
    id || drawn
        || word.len() >= 16 && ((digits > 0 && capitals > 0) || capitals > 3 || (hexadecimal && digits > 0))
}
