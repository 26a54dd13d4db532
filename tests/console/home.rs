//! The first page of the console: who talks to whom, what to look after, what happened.

use jsonwebtoken::Algorithm;
use mdi_auth::audit::event::{Actor, Event, Kind, Outcome};
use mdi_auth::config::MasterKeySource;

use crate::console::audit::{event, record};
use crate::console::{STAFF, open};
use crate::harness::assertion::ClientKey;
use crate::harness::{CMS, EDRS, FULTON, Harness, LIMS, catch_up};
use crate::on_both;

const MARKUP: &str = "<script>alert('1')</script>";
const DAY: i64 = 86_400;

/// The text of the page, as somebody sees it who signs in now.
async fn home(harness: &Harness, username: &str, path: &str) -> String {
    catch_up(&harness.app).await.unwrap();
    let (_, page) = open(harness, username, path).await;
    // A code works once.
    harness.clock.advance(60);
    assert_eq!((page.at(), page.answer().status), ("/admin", 200), "{page:?}");
    page.answer().text.clone()
}

fn warns(text: &str, of: &str) -> bool {
    text.contains(&format!("id=\"warning-{of}\""))
}

on_both! {
    async fn where_nothing_is_registered_it_says_what_to_do_first(db) {
        let harness = Harness::empty(db, |_| {});
        harness.apply(STAFF);
        let text = home(&harness, "admin", "/admin").await;
        assert!(text.contains("What to do first") && text.contains("href=\"/admin/clients/new\""), "{text}");
        assert!(warns(&text, "no-client") && !text.contains("<svg class=\"picture\""));
        let text = home(&harness, "clients", "/admin").await;
        assert!(text.contains("What to do first") && !text.contains("href=\"/admin/users/new\""), "{text}");
        for username in ["users", "auditor"] {
            let text = home(&harness, username, "/admin").await;
            assert!(!text.contains("What to do first"), "{username}: {text}");
        }
    }
}

on_both! {
    async fn the_picture_tells_who_talks_to_whom_and_how_it_goes(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply(&format!("[[client]]\nclient_id = \"{}\"\nname = \"{MARKUP}\"", FULTON.0));
        let grant = ("grant_type", "client_credentials");
        assert_eq!(harness.token(Some(LIMS), &[grant]).await.status, 200);
        harness.token(Some((FULTON.0, "a wrong secret of thirty-two letters")), &[grant]).await;
        harness.apply("[[resource_server]]\nid = \"edrs-fl\"\nname = \"Florida EDRS\"\naudience = \"https://fl.example/fhir\"\nkind = \"edrs\"\nsecret = \"florida-introspection-secret-01234567\"");
        let text = home(&harness, "clients", "/admin").await;
        assert!(!text.contains(MARKUP) && text.contains("&#60;script&#62;"));
        let (picture, table) = text.split_once("The same as a table").unwrap();
        for part in [
            "<a href=\"/admin/clients/lims-secret\">",
            "<a href=\"/admin/clients/fulton-cms\">",
            "<a href=\"/admin/resource-servers/cms-fulton\">",
            ">Working</text>",
            ">Failing</text>",
            ">No client yet</text>",
            "Laboratory system to case management",
            "href=\"/admin/clients/new?dataflow=edrs-user\"",
        ] {
            assert!(picture.contains(part), "no {part} in {picture}");
        }
        assert!(!picture.contains("dataflow=lims-to-cms"), "what is connected need not be");
        for part in ["<bdi>Georgia EDRS</bdi>", "Wrong or ended secret, <time", "Never", "Florida EDRS"] {
            assert!(table.contains(part), "no {part} in {table}");
        }
        assert!(warns(&text, "failing"));
        // A token later it works again; a client that is disabled is neither.
        harness.clock.advance(60);
        record(&harness, vec![Event::new(harness.now() * 1000, Kind::TokenIssued, Actor::Client(FULTON.0.to_owned()))]);
        harness.disable_client(LIMS.0);
        let text = home(&harness, "clients", "/admin").await;
        assert!(!warns(&text, "failing") && !text.contains(">Failing</text>"), "{text}");
        assert!(text.contains(">Disabled</text>"));
        // And after a week without any it is quiet.
        harness.clock.advance(8 * DAY);
        let text = home(&harness, "auditor", "/admin").await;
        assert!(text.contains(">Quiet</text>") && !text.contains(">Working</text>"), "{text}");
        assert!(!text.contains("/admin/clients/new"), "an auditor changes nothing");
    }
}

on_both! {
    async fn many_clients_are_one_box_a_dataflow(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let many: String = (0..20)
            .map(|number| {
                format!(
                    "[[client]]\nclient_id = \"lab-{number}\"\nname = \"Lab {number}\"\ndataflow = \"lims-to-cms\"\nauth_method = \"client_secret_basic\"\nresource_servers = [\"cms-fulton\"]\nsecret = \"a-secret-of-more-than-thirty-two-{number}\"\n"
                )
            })
            .collect();
        harness.apply(&many);
        record(&harness, (0..3).map(|number| event(0, Kind::TokenIssued, &format!("lab-{number}"))).collect());
        record(&harness, vec![event(1, Kind::TokenRefused, "lab-2").with("error", "invalid_scope")]);
        let text = home(&harness, "admin", "/admin").await;
        assert!(text.contains(">21 clients</text>") && text.contains("href=\"/admin/clients?dataflow=lims-to-cms\""), "{text}");
        assert!(text.contains("1 failing, 2 working, 18 quiet"), "{text}");
        assert!(!text.contains("/admin/clients/lab-1\""));
    }
}

on_both! {
    async fn each_role_sees_its_part(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.clock.advance(40 * DAY);
        // Role; picture, tokens, sign-ins; and warnings of clients, of the record, of administrators, of the machine.
        for (username, sees) in [
            ("admin", [true, true, true, true, true, true, true]),
            ("clients", [true, true, false, true, false, false, false]),
            ("users", [false, false, true, false, false, true, false]),
            ("auditor", [true, true, true, true, true, true, true]),
        ] {
            let text = home(&harness, username, "/admin").await;
            let found = [
                text.contains("<svg class=\"picture\""),
                text.contains("id=\"tokens-title\""),
                text.contains("id=\"sign-ins-title\""),
                warns(&text, "never"),
                warns(&text, "record-unchecked"),
                warns(&text, "one-administrator"),
                warns(&text, "no-mail"),
            ];
            assert_eq!(found, sees, "{username}: {text}");
        }
    }
}

on_both! {
    async fn warnings_come_and_go(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let text = home(&harness, "admin", "/admin").await;
        for calm in ["never", "never-asked", "record-unchecked", "record-findings", "unreviewed", "old-secret", "open-key", "demo", "ending", "no-secret", "failing", "certificate"] {
            assert!(!warns(&text, calm), "{calm} in {text}");
        }
        assert!(warns(&text, "one-administrator"));
        harness.apply("[[user]]\nusername = \"second\"\nname = \"Sec Ond\"\npassword = \"correct horse battery staple\"\nroles = [\"administrator\"]");
        assert!(!warns(&home(&harness, "admin", "/admin").await, "one-administrator"));
        harness.disable_user("second");
        assert!(warns(&home(&harness, "admin", "/admin").await, "one-administrator"), "who is disabled does not count");

        let MasterKeySource::File(key) = &harness.app.config.keys.master_key else { panic!("a file") };
        let mode = |mode| std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        let open = home(&harness, "admin", "/admin").await;
        mode(0o600);
        assert!(warns(&open, "open-key"));

        harness.clock.advance(8 * DAY);
        let text = home(&harness, "admin", "/admin").await;
        assert!(warns(&text, "never") && warns(&text, "never-asked"), "{text}");
        let now = harness.now() * 1000;
        let seen = |kind, id: &str| Event::new(now, kind, Actor::Client(id.to_owned()));
        record(&harness, vec![seen(Kind::TokenIssued, LIMS.0), seen(Kind::TokenIssued, FULTON.0)]);
        let counted = |id| seen(Kind::IntrospectionsCounted, id).with("count", "3");
        record(&harness, vec![counted(CMS.0), counted(EDRS.0)]);
        let text = home(&harness, "admin", "/admin").await;
        assert!(!warns(&text, "never") && !warns(&text, "never-asked"), "{text}");

        harness.clock.advance(23 * DAY);
        assert!(warns(&home(&harness, "admin", "/admin").await, "record-unchecked"));
        let checked = |outcome| Event::new(harness.now() * 1000, Kind::AuditChecked, Actor::Server).outcome(outcome);
        record(&harness, vec![checked(Outcome::Success)]);
        assert!(!warns(&home(&harness, "admin", "/admin").await, "record-unchecked"));
        record(&harness, vec![Event { at_ms: harness.now() * 1000 + 1, ..checked(Outcome::SeriousFailure) }]);
        assert!(warns(&home(&harness, "admin", "/admin").await, "record-findings"));

        harness.clock.advance(340 * DAY);
        let text = home(&harness, "auditor", "/admin").await;
        assert!(warns(&text, "old-secret") && warns(&text, "unreviewed"), "{text}");
        harness.rotate_secret(LIMS.0, 0);
        record(&harness, vec![Event::new(harness.now() * 1000, Kind::AccessReviewed, Actor::Server)]);
        let text = home(&harness, "auditor", "/admin").await;
        assert!(!warns(&text, "unreviewed"));
        let old = text.split("id=\"warning-old-secret\"").nth(1).unwrap().split("</ul>").next().unwrap();
        assert!(old.contains("Fulton County CMS") && !old.contains("UF Forensic"), "{old}");
    }
}

on_both! {
    async fn a_key_that_ends_is_told_in_time(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut key = ClientKey::new(Algorithm::ES256, "k1").jwk();
        key["exp"] = serde_json::json!(harness.now() + 20 * DAY);
        let keys = serde_json::json!({ "keys": [key] });
        harness.apply(&format!("[[client]]\nclient_id = \"lab\"\nname = \"Lab\"\ndataflow = \"lims-to-cms\"\nauth_method = \"private_key_jwt\"\nresource_servers = [\"cms-fulton\"]\njwks = '{keys}'"));
        assert!(!warns(&home(&harness, "clients", "/admin").await, "ending"));
        harness.clock.advance(7 * DAY);
        let text = home(&harness, "clients", "/admin").await;
        assert!(warns(&text, "ending") && text.contains("href=\"/admin/clients/lab\""), "{text}");
    }
}

on_both! {
    async fn bars_show_what_was_counted_and_why_it_was_refused(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut events: Vec<Event> = (0..7).map(|_| event(0, Kind::TokenIssued, "sys-a")).collect();
        events.extend((0..2).map(|_| event(-3600, Kind::TokenRefused, "sys-a").with("error", "invalid_scope")));
        events.extend((0..11).map(|_| event(-10 * DAY, Kind::TokenIssued, "sys-a")));
        record(&harness, events);
        let text = home(&harness, "clients", "/admin").await;
        assert!(text.contains("Tokens given: 7. Refused: 2. The highest bar stands for 7."), "{text}");
        assert!(text.contains("Asked for more than it may</th><td class=\"number\">2</td>"), "{text}");
        assert_eq!(text.matches("<rect class=\"bad\"").count(), 1);
        let text = home(&harness, "clients", "/admin?span=30d").await;
        assert!(text.contains("Tokens given: 18. Refused: 2. The highest bar stands for 11."), "{text}");
        // The numbers of all parts of the time stand in the table.
        assert_eq!(text.split("id=\"charts\"").nth(1).unwrap().matches("<th scope=\"row\">").count(), 30 + 1);
    }
}
