//! Who may see which page: the one table of rights, at the door.

use crate::console::providers::PROVIDER;
use crate::console::{STAFF, open};
use crate::harness::Harness;
use crate::on_both;

/// A page, and whether administrator, client manager, user manager and auditor may see it.
#[rustfmt::skip]
pub const PAGES: &[(&str, [bool; 4])] = &[
    ("/admin",         [true, true,  true,  true]),
    ("/admin/clients", [true, true,  false, true]),
    ("/admin/clients/new", [true, true, false, false]),
    ("/admin/clients/lims-secret", [true, true, false, true]),
    ("/admin/clients/lims-secret/edit", [true, true, false, false]),
    ("/admin/clients/lims-secret/hand-off", [true, true, false, true]),
    ("/admin/clients/lims-secret/check", [true, true, false, true]),
    ("/admin/clients/lims-secret/vendor-link", [true, true, false, false]),
    ("/admin/clients/lims-secret/end-vendor-link", [true, true, false, false]),
    ("/admin/resource-servers", [true, true, false, true]),
    ("/admin/resource-servers/new", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga", [true, true, false, true]),
    ("/admin/resource-servers/edrs-ga/edit", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/secret", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/disable", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/delete", [true, true, false, false]),
    ("/admin/resource-servers/edrs-ga/documents", [true, true, false, true]),
    ("/admin/resource-servers/edrs-ga/documents/smart-configuration.json", [true, true, false, true]),
    ("/admin/identity-providers", [true, false, false, true]),
    ("/admin/identity-providers/new", [true, false, false, false]),
    ("/admin/identity-providers/fulton", [true, false, false, true]),
    ("/admin/identity-providers/fulton/edit", [true, false, false, false]),
    ("/admin/identity-providers/fulton/disable", [true, false, false, false]),
    ("/admin/identity-providers/fulton/delete", [true, false, false, false]),
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
    ("/admin/sessions",               [true,  false, true,  true]),
    ("/admin/grants",                 [true,  true,  true,  true]),
    ("/admin/access-review",          [true,  false, true,  true]),
    ("/admin/access-review/export",   [true,  false, true,  true]),
    ("/admin/access-review/sign-off", [true,  false, false, false]),
    ("/admin/api-tokens",     [true, false, false, true]),
    ("/admin/api-tokens/new", [true, false, false, false]),
];

on_both! {
    async fn each_page_is_for_those_whose_role_has_the_right(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(PROVIDER);
        for (place, username) in ["admin", "clients", "users", "auditor"].iter().enumerate() {
            let (mut agent, _) = open(&harness, username, "/admin").await;
            for (path, allowed) in PAGES {
                let page = agent.get(&harness.url(path)).await;
                let expected = if allowed[place] { 200 } else { 403 };
                assert_eq!((page.at(), page.answer().status), (*path, expected), "{username} at {path}");
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
