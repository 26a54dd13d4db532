//! Each page in one state: what a commit changes on a page is seen in its diff. What all pages of a kind share is told
//! apart once, so that a change of the navigation is one line.

use std::collections::BTreeMap;

use super::urls::registered;
use super::{Rich, normal};
use mdi_auth::registry::first_administrator;
use reqwest::Method;

use crate::console::import::settled;
use crate::console::{at_console, send};
use crate::harness::agent::{Agent, Page};
use crate::harness::{Harness, blocking};

/// A page without its shell, and its shell.
fn parted(text: &str) -> (String, String) {
    let (Some(start), Some(end)) = (text.find("<main"), text.find("</main>")) else {
        return (text.to_owned(), String::new());
    };
    let title = &text[text.find("<title>").unwrap()..text.find("</title>").unwrap() + "</title>".len()];
    let shell = format!("{}[main]{}", &text[..start], &text[end..]).replace(title, "[title]");
    let shell = shell.replace(" aria-current=\"page\"", "");
    (format!("{title}\n{}\n", &text[start..end]), shell)
}

/// Pages by name.
#[derive(Default)]
struct Seen {
    pages: BTreeMap<String, String>,
    shells: BTreeMap<String, Vec<String>>,
}

impl Seen {
    fn keep(&mut self, harness: &Harness, name: &str, text: &str) {
        let (main, shell) = parted(&normal(harness, text));
        assert!(
            self.pages.insert(name.to_owned(), main).is_none(),
            "two pages are called {name}"
        );
        self.shells.entry(shell).or_default().push(name.to_owned());
    }

    fn page(&mut self, harness: &Harness, name: &str, status: u16, page: &Page) {
        let answer = page.answer();
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        self.keep(harness, name, &answer.text);
    }

    fn compare(self, kind: &str) {
        for (name, text) in self.pages {
            insta::assert_snapshot!(format!("{kind}_{name}"), text);
        }
        let shells = self
            .shells
            .into_iter()
            .map(|(shell, names)| format!("{}\n\n{shell}", names.join(" ")));
        insta::assert_snapshot!(
            format!("{kind}_shells"),
            shells.collect::<Vec<_>>().join("\n\n\n")
        );
    }
}

/// A name for a file.
fn name_of(url: &str) -> String {
    url.trim_start_matches('/')
        .replace(['/', '.'], "-")
        .replace(['{', '}'], "")
}

#[tokio::test]
async fn pages_that_people_see() {
    let mut seen = Seen::default();
    let rich = Rich::start().await;
    for (name, html) in crate::pages::all() {
        seen.keep(&rich.harness, &name_of(&name.replace(' ', "-")), &html);
    }
    seen.compare("people");
}

#[tokio::test]
async fn pages_of_the_console() {
    let rich = Rich::start().await;
    let harness = &rich.harness;
    let mut seen = Seen::default();
    let mut admin = at_console(harness, "admin").await;
    for (url, methods) in registered() {
        let about = url.starts_with("/admin") || url == "/account";
        // An import is known to the session that began it: it comes below.
        if about && !url.contains("{import}") && methods.contains(&Method::GET) {
            let page = admin.get(&harness.url(&rich.fill(&url))).await;
            if page.answer().header("content-type").starts_with("text/html") {
                seen.page(harness, &name_of(&url), 200, &page);
            }
        }
    }
    assert!(seen.pages.len() > 40, "{:?}", seen.pages.keys());
    states(&rich, &mut admin, &mut seen).await;
    vendor_and_first(&rich, &mut seen).await;
    seen.compare("console");
}

/// Pages that answer a form, or that only a query shows.
async fn states(rich: &Rich, admin: &mut Agent<'_>, seen: &mut Seen) {
    let harness = &rich.harness;
    for (name, path) in [
        ("client-new-dataflow", "/admin/clients/new?dataflow=lims-to-cms"),
        (
            "resource-server-new-kind",
            "/admin/resource-servers/new?kind=edrs",
        ),
        ("clients-none", "/admin/clients?q=nothing-like-it"),
        ("users-none", "/admin/users?q=nothing-like-it"),
        ("audit-none", "/admin/audit?q=nothing-like-it"),
        ("client-delete", "/admin/clients/lims-secret/delete"),
        ("resource-server-delete", "/admin/resource-servers/edrs-ga/delete"),
        (
            "identity-provider-delete",
            "/admin/identity-providers/fulton/delete",
        ),
    ] {
        let page = admin.get(&harness.url(path)).await;
        seen.page(harness, name, 200, &page);
    }
    for action in [
        "reset-factors",
        "revoke",
        "link",
        "invite",
        "enable",
        "unlock",
        "delete",
    ] {
        let page = admin
            .get(&harness.url(&format!("/admin/users/{}/{action}", rich.person)))
            .await;
        if page.answer().status == 200 {
            seen.page(harness, &format!("user-{action}"), 200, &page);
        }
    }
    // Forms with mistakes.
    for (name, path, field) in [
        ("user-mistakes", "/admin/users/new", ("username", "")),
        (
            "client-mistakes",
            "/admin/clients/new?dataflow=lims-user-to-cms",
            ("name", ""),
        ),
        (
            "resource-server-mistakes",
            "/admin/resource-servers/new?kind=cms",
            ("audience", ""),
        ),
        (
            "identity-provider-mistakes",
            "/admin/identity-providers/new",
            ("issuer", ""),
        ),
    ] {
        let page = admin.get(&harness.url(path)).await;
        let page = send(admin, &page, path, &[field]).await;
        seen.page(harness, name, 422, &page);
    }
    // Somebody else was quicker.
    let edit = "/admin/clients/lims-secret/edit";
    let page = admin.get(&harness.url(edit)).await;
    harness.apply("[[client]]\nclient_id = \"lims-secret\"\nname = \"Renamed meanwhile\"");
    let page = send(admin, &page, edit, &[("name", "Renamed at the console")]).await;
    seen.page(harness, "client-edit-conflict", 422, &page);
    let check = "/admin/clients/lims-secret/check";
    let page = admin.get(&harness.url(check)).await;
    let page = send(
        admin,
        &page,
        check,
        &[("pasted", "https://lims.example/cb?error=invalid_client")],
    )
    .await;
    seen.page(harness, "client-check-report", 200, &page);
    let secret = "/admin/clients/lims-secret/secret";
    let page = admin.get(&harness.url(secret)).await;
    let page = send(admin, &page, secret, &[]).await;
    seen.page(harness, "client-secret-made", 200, &page);
    let apply = "/admin/settings/apply";
    let page = admin.get(&harness.url(apply)).await;
    let file = b"[[client]]\nclient_id = \"tox\"\nname = \"Tox\"\ndataflow = \"lims-to-cms\"\n";
    let page = admin.upload(&page, apply, file).await;
    seen.page(harness, "settings-apply-plan", 200, &page);
    let action = "/admin/users/import";
    let form = admin.get(&harness.url(action)).await;
    let page = admin
        .upload(&form, action, b"username,name,npi\nanna,Anna,1\nberta,\n")
        .await;
    let page = settled(admin, harness, page).await;
    seen.page(harness, "import-findings", 200, &page);
    let page = admin
        .upload(&form, action, b"username,name\nanna,Anna\nberta,Berta\n")
        .await;
    let page = settled(admin, harness, page).await;
    seen.page(harness, "import-ready", 200, &page);
    let page = admin.submit_to(&page, page.at(), &[]).await;
    let page = settled(admin, harness, page).await;
    seen.page(harness, "import-done", 200, &page);
}

/// What is shown without an account.
async fn vendor_and_first(rich: &Rich, seen: &mut Seen) {
    let harness = &rich.harness;
    let mut vendor = Agent::new(harness);
    let sheet = vendor
        .get(&harness.url(&format!("/vendor/{}", rich.vendor)))
        .await;
    seen.page(harness, "vendor", 200, &sheet);
    let check = vendor.get(&harness.url("/vendor/check")).await;
    seen.page(harness, "vendor-check", 200, &check);
    let text = vendor.get(&harness.url("/vendor/hand-off.txt")).await;
    seen.page(harness, "vendor-hand-off-txt", 200, &text);
    let empty = Harness::empty(crate::harness::Db::Sqlite, |_| {});
    let registry = empty.registry();
    let link = blocking(move || {
        registry
            .blocking(first_administrator::issue)
            .unwrap()
            .unwrap()
            .reveal()
            .to_owned()
    });
    let page = Agent::new(&empty).get(&link).await;
    seen.page(&empty, "first", 200, &page);
}
