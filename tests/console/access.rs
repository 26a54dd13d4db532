//! Who may see which page: the one table of rights, at the door.

use mdi_auth::admin::access::Requires;
use mdi_auth::admin::page::Page;
use mdi_auth::admin::pages::pages;
use mdi_auth::policy::console::Right;

use crate::console::open;
use crate::console::people::id_of;
use crate::harness::Harness;
use crate::on_both;
use crate::promises::Rich;

/// A page, and whether administrator, client manager, user manager and auditor may see it.
#[rustfmt::skip]
pub const PAGES: &[(&str, [bool; 4])] = &[
    ("/admin",         [true, true,  true,  true]),
    ("/admin/agencies", [true, true, true, true]),
    ("/admin/agencies/new", [true, false, false, false]),
    ("/admin/agencies/fulton-county-me", [true, true, true, true]),
    ("/admin/agencies/fulton-county-me/edit", [true, false, false, false]),
    ("/admin/agencies/fulton-county-me/disable", [true, false, false, false]),
    ("/admin/agencies/fulton-county-me/enable", [true, false, false, false]),
    ("/admin/agencies/fulton-county-me/delete", [true, false, false, false]),
    ("/admin/agencies/fulton-county-me/members", [true, false, true, false]),
    ("/admin/clients", [true, true,  false, true]),
    ("/admin/clients/new", [true, true, false, false]),
    ("/admin/clients/lims-secret", [true, true, false, true]),
    ("/admin/clients/lims-secret/edit", [true, true, false, false]),
    ("/admin/clients/lims-secret/secret", [true, true, false, false]),
    ("/admin/clients/lims-secret/disable", [true, true, false, false]),
    ("/admin/clients/lims-secret/enable", [true, true, false, false]),
    ("/admin/clients/lims-secret/delete", [true, true, false, false]),
    ("/admin/clients/lims-secret/hand-off", [true, true, false, true]),
    ("/admin/clients/lims-secret/hand-off.txt", [true, true, false, true]),
    ("/admin/ca.pem", [true, true, true, true]),
    ("/admin/confirmed", [true, true, true, true]),
    ("/admin/clients/lims-secret/check", [true, true, false, true]),
    ("/admin/clients/lims-secret/vendor-link", [true, true, false, false]),
    ("/admin/clients/lims-secret/end-vendor-link", [true, true, false, false]),
    ("/admin/resource-servers", [true, true, false, true]),
    ("/admin/resource-servers/new", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga", [true, true, false, true]),
    ("/admin/resource-servers/edrs-ga/edit", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/secret", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/disable", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/enable", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/delete", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/documents", [true, true, false, true]),
    ("/admin/resource-servers/edrs-ga/documents/smart-configuration.json", [true, true, false, true]),
    ("/admin/identity-providers", [true, false, false, true]),
    ("/admin/identity-providers/new", [true, false, false, false]),
    ("/admin/identity-providers/fulton", [true, false, false, true]),
    ("/admin/identity-providers/fulton/edit", [true, false, false, false]),
    ("/admin/identity-providers/fulton/disable", [true, false, false, false]),
    ("/admin/identity-providers/fulton/enable", [true, false, false, false]),
    ("/admin/identity-providers/fulton/delete", [true, false, false, false]),
    ("/admin/identity-providers/fulton/try", [true, false, false, false]),
    ("/admin/identity-providers/fulton/link", [true, false, false, false]),
    ("/admin/identity-providers/fulton/unlink?person=PERSON", [true, false, false, false]),
    ("/admin/policy", [true, true, true, true]),
    ("/admin/keys", [true, false, false, true]),
    ("/admin/keys/new", [true, false, false, false]),
    ("/admin/settings", [true, false, false, true]),
    ("/admin/settings/export", [true, false, false, true]),
    ("/admin/settings/apply", [true, false, false, false]),
    ("/admin/audit", [true, false, false, true]),
    ("/admin/audit/check", [true, false, false, true]),
    ("/admin/audit/export", [true, false, false, true]),
    ("/admin/audit/0/1", [true, false, false, true]),
    ("/admin/users",                  [true,  false, true,  true]),
    ("/admin/users/new",              [true,  false, true,  false]),
    ("/admin/users/import",           [true,  false, true,  false]),
    ("/admin/users/import/template",  [true,  false, true,  false]),
    ("/admin/users/PERSON",           [true,  false, true,  true]),
    ("/admin/users/ADMINISTRATOR",    [true,  false, true,  true]),
    ("/admin/users/PERSON/edit",      [true,  false, true,  false]),
    ("/admin/users/ADMINISTRATOR/edit", [true, false, false, false]),
    ("/admin/users/PERSON/roles",     [true,  false, true,  false]),
    ("/admin/users/ADMINISTRATOR/roles", [true, false, false, false]),
    ("/admin/users/PERSON/invite",    [true,  false, true,  false]),
    ("/admin/users/PERSON/reset-link", [true, false, true,  false]),
    ("/admin/users/PERSON/unlock",    [true,  false, true,  false]),
    ("/admin/users/PERSON/reset-second-factor", [true, false, true, false]),
    ("/admin/users/ADMINISTRATOR/reset-second-factor", [true, false, false, false]),
    ("/admin/users/PERSON/sign-out",  [true,  false, true,  false]),
    ("/admin/users/PERSON/revoke",    [true,  false, true,  false]),
    ("/admin/users/PERSON/disable",   [true,  false, true,  false]),
    ("/admin/users/ADMINISTRATOR/disable", [true, false, false, false]),
    ("/admin/users/PERSON/enable",    [true,  false, true,  false]),
    ("/admin/users/PERSON/delete",    [true,  false, true,  false]),
    ("/admin/sessions/SESSION/end",   [true,  false, true,  false]),
    ("/admin/grants/GRANT/end",       [true,  false, true,  false]),
    ("/admin/api-tokens/TOKEN/revoke", [true, false, false, false]),
    ("/admin/sessions",               [true,  false, true,  true]),
    ("/admin/grants",                 [true,  true,  true,  true]),
    ("/admin/access-review",          [true,  false, true,  true]),
    ("/admin/access-review/export",   [true,  false, true,  true]),
    ("/admin/access-review/sign-off", [true,  false, false, false]),
    ("/admin/api-tokens",     [true, false, false, true]),
    ("/admin/api-tokens/new", [true, false, false, false]),
];

/// Those of an import: they are there only for who has begun it, and `console/import.rs` looks at them.
const ELSEWHERE: [&str; 2] = [
    "/admin/users/import/{import}",
    "/admin/users/import/{import}/links",
];

#[test]
fn the_table_has_every_page_of_the_list() {
    let fits = |page: &str, row: &str| {
        let row = row.split('?').next().unwrap();
        let (page, row): (Vec<&str>, Vec<&str>) = (page.split('/').collect(), row.split('/').collect());
        page.len() == row.len()
            && page
                .iter()
                .zip(&row)
                .all(|(part, filled)| part == filled || (part.starts_with('{') && *filled != "new"))
    };
    for page in pages() {
        let is_there = PAGES.iter().any(|(row, _)| fits(&page.path, row));
        assert!(
            is_there || ELSEWHERE.contains(&page.path.as_str()),
            "no row for {}",
            page.path
        );
    }
}

/// The list of pages as the operator's guide has it.
fn guide() -> String {
    let age = |requires: Requires| match requires.age {
        None => String::new(),
        Some(seconds) => format!(", sign-in of the last {} minutes", seconds / 60),
    };
    let says = |requires: Requires| {
        let right = if requires.right == Right::Change {
            "change"
        } else {
            "look"
        };
        format!("{right}{}", age(requires))
    };
    let row = |page: Page| {
        let post = page
            .post
            .as_ref()
            .map_or_else(String::new, |row| says(row.requires));
        let area = page.get.requires.area.as_str();
        let whose = if page.get.requires.about == mdi_auth::admin::about::About::Person {
            " (or administrators)"
        } else {
            ""
        };
        format!(
            "| `{}` | {area}{whose} | {} | {post} |\n",
            page.path,
            says(page.get.requires)
        )
    };
    let rows: String = pages().into_iter().map(row).collect();
    format!("| page | part | to see it | to send its form |\n|---|---|---|---|\n{rows}")
}

#[test]
fn the_guide_has_every_page_with_what_it_takes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("OPERATING.md");
    let text = std::fs::read_to_string(path).unwrap();
    let wanted = guide();
    assert!(
        text.contains(&wanted),
        "OPERATING.md must have this table:\n{wanted}"
    );
}

on_both! {
    async fn each_page_is_for_those_whose_role_has_the_right(db) {
        let rich = Rich::start_on(db).await;
        let harness = &rich.harness;
        let administrator = id_of(harness, "admin");
        let filled = |path: &str| {
            path.replace("PERSON", &rich.person)
                .replace("ADMINISTRATOR", &administrator)
                .replace("SESSION", &rich.session)
                .replace("GRANT", &rich.grant)
                .replace("TOKEN", &rich.api_token)
        };
        for (place, username) in ["admin", "clients", "users", "auditor"].iter().enumerate() {
            let (mut agent, _) = open(harness, username, "/admin").await;
            for (path, allowed) in PAGES {
                let path = filled(path);
                let page = agent.get(&harness.url(&path)).await;
                let expected = if allowed[place] { 200 } else { 403 };
                assert_eq!((page.at(), page.answer().status), (path.split('?').next().unwrap(), expected), "{username} at {path}");
            }
            // A code works once.
            harness.clock.advance(60);
        }
    }
}

on_both! {
    async fn who_has_no_role_of_the_console_is_refused_and_recorded(db) {
        let harness = Harness::start(db);
        let (_, page) = open(&harness, "jlehz", "/admin/clients").await;
        assert_eq!(page.answer().status, 403);
        assert!(page.answer().text.contains("Your account has no role in it"), "{}", page.answer().text);
        let refused = harness.events("console.refused");
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0]["detail"]["path"], "/admin/clients");
    }
}
