//! The review of access: the list, the file, the sign-off.

use data_encoding::HEXLOWER;

use crate::console::people::{id_of, part, send};
use crate::console::{STAFF, at_console};
use crate::harness::Harness;
use crate::harness::agent::Page;
use crate::on_both;

on_both! {
    async fn the_list_is_downloaded_looked_at_and_signed_off(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply("[[user]]\nusername = \"formula\"\nname = \"=HYPERLINK(1)\"\nroles = [\"registrar\"]\norganization = { name = \"+County, North\" }\n");
        harness.clock.advance(60);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/access-review")).await;
        let text = &page.answer().text;
        for name in ["Jane Lehz, MD", "Cory Clerk", "Ada Administrator", "Audra Auditor"] {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains("Nora Role"), "without a role she is in no review");
        let page = agent.get(&harness.url("/admin/access-review?role=registrar")).await;
        assert!(!page.answer().text.contains("Jane Lehz, MD"));
        // Without a file there is nothing to sign.
        let page = agent.get(&harness.url("/admin/access-review/sign-off")).await;
        assert!(page.answer().text.contains("Download the list first"));
        let page = agent.get(&harness.url("/admin/access-review/export")).await;
        let file = send(&mut agent, &page, &[]).await;
        let csv = &file.answer().text;
        assert_eq!(file.answer().header("content-type"), "text/csv; charset=utf-8");
        assert!(csv.contains("registrar,Registrar of vital records,formula,'=HYPERLINK(1),\"'+County, North\",may sign in,never,2026-11-21T02:00:00Z"), "{csv}");
        assert_eq!(csv.lines().count(), 1 + 7);
        let sha256 = HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, csv.as_bytes()).as_ref());
        let exported = harness.events("exported").pop().unwrap();
        assert_eq!((&exported["detail"]["sha256"], &exported["detail"]["people"]), (&sha256.as_str().into(), &"7".into()));
        let page = agent.get(&harness.url("/admin/access-review/sign-off")).await;
        assert!(page.answer().text.contains(&sha256));
        let page = send(&mut agent, &page, &[("note", "Clerk leaves in May <b>")]).await;
        assert_eq!(page.at(), "/admin/access-review", "{}", page.answer().text);
        assert!(part(&page, "id=\"sign-offs\"", "</table>").contains("Clerk leaves in May &#60;b&#62;"));
        let signed = harness.events("access.reviewed").pop().unwrap();
        assert_eq!(signed["actor"], id_of(&harness, "admin").as_str());
        assert_eq!((&signed["detail"]["sha256"], &signed["detail"]["people"]), (&sha256.as_str().into(), &"7".into()));
    }
}

on_both! {
    async fn nobody_signs_for_what_has_changed_or_is_another_list(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/access-review/export")).await;
        send(&mut agent, &page, &[]).await;
        let page = agent.get(&harness.url("/admin/access-review/sign-off")).await;
        let other = send(&mut agent, &page, &[("export", "0000"), ("note", "kept")]).await;
        assert_eq!(other.answer().status, 422);
        assert!(other.answer().text.contains("his is not the list that you have downloaded last"));
        assert!(other.answer().text.contains(">kept</textarea>"));
        let long = send(&mut agent, &page, &[("note", &"x".repeat(1001))]).await;
        assert_eq!(long.answer().status, 422);
        // A role that was given since then was in no list.
        harness.apply("[[user]]\nusername = \"clerk\"\nroles = [\"data-clerk\", \"registrar\"]\n");
        let late = send(&mut agent, &page, &[]).await;
        assert_eq!(late.answer().status, 422);
        assert!(late.answer().text.contains("oles were given or taken since"));
        assert!(harness.events("access.reviewed").is_empty());
    }
}

on_both! {
    async fn a_role_is_held_since_it_was_given(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.clock.advance(86_400);
        harness.apply("[[user]]\nusername = \"clerk\"\nname = \"Cory Renamed\"\nroles = [\"data-clerk\", \"registrar\"]\n");
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/access-review/export")).await;
        let file = send(&mut agent, &page, &[]).await;
        let csv = &file.answer().text;
        let since = |role: &str| {
            let line = csv.lines().find(|line| line.starts_with(role) && line.contains(",clerk,")).unwrap();
            line.rsplit(',').next().unwrap().to_owned()
        };
        assert_eq!((since("data-clerk").as_str(), since("registrar").as_str()), ("2026-11-21T02:00:00Z", "2026-11-22T02:00:00Z"));
    }
}

on_both! {
    async fn systems_that_reach_far_are_told_until_somebody_signs_for_them(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let told = |page: &Page| page.answer().text.contains("id=\"warning-far-reaching\"");
        assert!(!told(&agent.get(&harness.url("/admin")).await));
        // What the operator decides in a file is told as well.
        harness.apply("[[client]]\nclient_id = \"fulton-cms\"\nname = \"Fulton County CMS\"\nconsent = \"skip\"");
        harness.apply("[[resource_server]]\nid = \"edrs-ga\"\nname = \"Georgia EDRS\"\nintrospect = \"any\"");
        let page = agent.get(&harness.url("/admin")).await;
        let warning = part(&page, "id=\"warning-far-reaching\"", "</ul>");
        assert!(warning.contains("acts for people without asking them") && warning.contains("may read every token"), "{warning}");
        assert!(warning.contains("href=\"/admin/clients/fulton-cms\"") && warning.contains("href=\"/admin/resource-servers/edrs-ga\""), "{warning}");
        let auditor = at_console(&harness, "auditor").await.get(&harness.url("/admin")).await;
        assert!(told(&auditor));
        let manager = at_console(&harness, "clients").await.get(&harness.url("/admin")).await;
        assert!(!told(&manager), "whose affair it is not");
        harness.clock.advance(1);
        let page = agent.get(&harness.url("/admin/access-review/export")).await;
        send(&mut agent, &page, &[]).await;
        let page = agent.get(&harness.url("/admin/access-review/sign-off")).await;
        let listed = part(&page, "id=\"far-reaching\"", "</ul>");
        assert!(listed.contains("href=\"/admin/clients/fulton-cms\"") && listed.contains("Georgia EDRS"), "{listed}");
        // One that was changed since then is in no list.
        harness.apply("[[client]]\nclient_id = \"fulton-cms\"\nname = \"Fulton Renamed\"\nconsent = \"skip\"");
        let late = send(&mut agent, &page, &[]).await;
        assert_eq!(late.answer().status, 422);
        assert!(late.answer().text.contains("was changed since you downloaded the list"), "{}", late.answer().text);
        harness.clock.advance(1);
        let page = agent.get(&harness.url("/admin/access-review/export")).await;
        send(&mut agent, &page, &[]).await;
        harness.clock.advance(1);
        let page = agent.get(&harness.url("/admin/access-review/sign-off")).await;
        assert_eq!(send(&mut agent, &page, &[]).await.at(), "/admin/access-review");
        assert!(!told(&agent.get(&harness.url("/admin")).await));
        let page = agent.get(&harness.url("/admin/access-review")).await;
        assert!(part(&page, "id=\"far-reaching\"", "</table>").contains("Fulton Renamed"), "it stays in the review");
    }
}
