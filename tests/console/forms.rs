//! Forms and how old a sign-in may be: it is judged when a form is shown, a form counts for the session and the address
//! that it was shown to, and what was typed is never lost.

use crate::console::{STAFF, at_console, open, send};
use crate::harness::agent::{Agent, Page, hidden_fields};
use crate::harness::{Harness, PASSWORD};
use crate::on_both;

const NEW: &str = "/admin/clients/new?dataflow=lims-to-cms";
const EDIT: &str = "/admin/clients/lims-secret/edit";

fn started(db: crate::harness::Db) -> Harness {
    let harness = Harness::start(db);
    harness.apply(STAFF);
    harness
}

fn name_of(harness: &Harness) -> String {
    harness
        .app
        .live
        .client("lims-secret")
        .unwrap()
        .client
        .name
        .clone()
}

fn csrf_of(page: &Page) -> String {
    let fields = hidden_fields(&page.answer().text);
    fields.into_iter().find(|(name, _)| name == "csrf").unwrap().1
}

on_both! {
    async fn a_form_may_be_filled_in_for_half_an_hour(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "admin").await;
        // Shown after 14 of 15 minutes, sent after 43, with something done in another tab meanwhile.
        harness.clock.advance(14 * 60);
        let form = agent.get(&harness.url(EDIT)).await;
        assert_eq!(form.at(), EDIT);
        harness.clock.advance(15 * 60);
        agent.get(&harness.url("/admin/clients")).await;
        harness.clock.advance(14 * 60);
        let saved = send(&mut agent, &form, EDIT, &[("name", "In time")]).await;
        assert_eq!((saved.at(), name_of(&harness).as_str()), ("/admin/clients/lims-secret", "In time"));
        // It is not shown to somebody who signed in 16 minutes ago.
        let late = agent.get(&harness.url(EDIT)).await;
        assert_eq!(late.at(), "/login");
    }
}

on_both! {
    async fn a_form_that_comes_too_late_is_kept_and_shown_again(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "admin").await;
        let form = agent.get(&harness.url(NEW)).await;
        harness.clock.advance(31 * 60);
        let given = [("name", "Kept <i>name</i>"), ("auth_method", "client_secret_basic"), ("agency", "fulton-county-me")];
        let asked = send(&mut agent, &form, NEW, &given).await;
        let text = &asked.answer().text;
        assert_eq!(asked.answer().status, 403, "{text}");
        assert!(text.contains("Confirm that it is you") && text.contains("Nothing has been saved yet"), "{text}");
        assert!(!text.contains("fulton-county-me"), "what was typed is sealed");
        // Without a new sign-in it is asked again.
        let again = send(&mut agent, &asked, NEW, &[]).await;
        assert!(again.answer().text.contains("You have not signed in again yet"), "{}", again.answer().text);
        // In another tab.
        let tab = agent.get(&harness.url("/admin/confirmed")).await;
        assert_eq!(tab.at(), "/login");
        let tab = agent.sign_in(tab, "admin", PASSWORD).await;
        assert_eq!(tab.at(), "/admin/confirmed");
        let shown = send(&mut agent, &again, NEW, &[]).await;
        let text = &shown.answer().text;
        assert_eq!(shown.answer().status, 200, "{text}");
        assert!(text.contains("value=\"Kept &#60;i&#62;name&#60;/i&#62;\"") && text.contains("value=\"fulton-county-me\""), "{text}");
        assert!(harness.app.live.client("kept-i-name-i").is_none(), "nothing is saved before it was seen again");
        let saved = send(&mut agent, &shown, NEW, &[]).await;
        assert_eq!(saved.at(), "/admin/clients/kept-i-name-i", "{saved:?}");
    }
}

on_both! {
    async fn what_is_kept_counts_for_one_person_and_one_address_and_never_holds_a_secret(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "admin").await;
        let provider = "/admin/identity-providers/new";
        let form = agent.get(&harness.url(provider)).await;
        harness.clock.advance(31 * 60);
        let given = [("name", "County"), ("issuer", "https://idp.county.example"), ("client_id", "mdi"), ("secret", "what they gave us 123")];
        let asked = send(&mut agent, &form, provider, &given).await;
        assert!(asked.answer().text.contains("Confirm that it is you"), "{}", asked.answer().text);
        let tab = agent.get(&harness.url("/admin/confirmed")).await;
        agent.sign_in(tab, "admin", PASSWORD).await;
        let kept: Vec<(String, String)> =
            hidden_fields(&asked.answer().text).into_iter().filter(|(name, _)| ["csrf", "kept"].contains(&name.as_str())).collect();
        // Another address takes nothing of it.
        let elsewhere = agent.post(NEW, &[kept.clone(), vec![("dataflow".to_owned(), "lims-to-cms".to_owned())]].concat()).await;
        assert!(!elsewhere.answer().text.contains("idp.county.example"), "{}", elsewhere.answer().text);
        let shown = agent.post(provider, &kept).await;
        let text = &shown.answer().text;
        assert!(text.contains("value=\"https://idp.county.example\"") && !text.contains("what they gave us"), "{text}");
        // Somebody else does not see it.
        harness.apply("[[user]]\nusername = \"other\"\nname = \"Olga Other\"\npassword = \"correct horse battery staple\"\ntotp_secret = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"\nroles = [\"administrator\"]");
        harness.clock.advance(60);
        let (mut other, page) = open(&harness, "other", provider).await;
        let theirs = [kept.iter().filter(|(name, _)| name == "kept").cloned().collect(), vec![("csrf".to_owned(), csrf_of(&page))]].concat();
        let seen = other.post(provider, &theirs).await;
        assert!(!seen.answer().text.contains("idp.county.example"), "{}", seen.answer().text);
    }
}

on_both! {
    async fn a_form_that_was_never_shown_here_is_not_done(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "admin").await;
        let form = agent.get(&harness.url(EDIT)).await;
        let other_page = agent.get(&harness.url("/admin/clients/fulton-cms/edit")).await;
        let plain = csrf_of(&form).split('~').next().unwrap().to_owned();
        let mut second = at_console_later(&harness, "admin").await;
        let other_session = second.get(&harness.url(EDIT)).await;
        let mark = csrf_of(&other_session).split('~').nth(1).unwrap().to_owned();
        // What stands in the field, and what becomes of it.
        let rows = [
            ("the token of the browser alone", plain.clone(), 200),
            ("the form of another page", csrf_of(&other_page), 200),
            ("the mark of another session", format!("{plain}~{mark}"), 200),
            ("a mark of nothing", format!("{plain}~AAAA"), 200),
            ("another browser's form", csrf_of(&other_session), 400),
            ("nothing", String::new(), 400),
        ];
        for (what, csrf, status) in rows {
            let answer = send(&mut agent, &form, EDIT, &[("csrf", &csrf), ("name", "Never shown")]).await;
            assert_eq!(answer.answer().status, status, "{what}: {answer:?}");
            // The sign-in is young: the form is shown again, with what was typed.
            assert_eq!(answer.answer().text.contains("value=\"Never shown\""), status == 200, "{what}");
            assert_ne!(name_of(&harness), "Never shown", "{what}");
        }
        let done = send(&mut agent, &form, EDIT, &[("name", "Shown")]).await;
        assert_eq!((done.at(), name_of(&harness).as_str()), ("/admin/clients/lims-secret", "Shown"), "{done:?}");
    }
}

/// The same in another browser, when codes have changed.
async fn at_console_later<'a>(harness: &'a Harness, username: &str) -> Agent<'a> {
    harness.clock.advance(60);
    at_console(harness, username).await
}

on_both! {
    async fn who_comes_from_another_site_leaves_nothing_behind(db) {
        let harness = started(db);
        let agent = at_console(&harness, "admin").await;
        let before = harness.events("audit.read").len() + harness.events("exported").len();
        for path in ["/admin/audit", "/admin/audit/export", "/admin/audit/0/1"] {
            let ask = |site: &str| {
                harness
                    .http
                    .get(harness.url(path))
                    .header(reqwest::header::COOKIE, agent.cookie_header())
                    .header("sec-fetch-site", site)
                    .send()
            };
            let answer = ask("cross-site").await.unwrap();
            assert_eq!(answer.status(), 403, "{path}");
            let text = answer.text().await.unwrap();
            assert!(text.contains("Another site led you here") && text.contains(&format!("href=\"{path}\"")), "{text}");
            assert_eq!(ask("same-origin").await.unwrap().status(), 200, "{path}");
            assert_eq!(ask("none").await.unwrap().status(), 200, "{path}");
        }
        let after = harness.events("audit.read").len() + harness.events("exported").len();
        assert!(after > before, "{before} {after}");
    }
}

on_both! {
    /// As much as may be registered can be typed, and is kept as well.
    async fn a_large_form_is_read_and_kept(db) {
        let harness = started(db);
        let mut agent = at_console(&harness, "admin").await;
        let keys: Vec<String> = (0..120).map(|n| format!("{{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"{n}\",\"x\":\"{0}\",\"y\":\"{0}\"}}", "A".repeat(86))).collect();
        let jwks = format!("{{\"keys\":[{}]}}", keys.join(","));
        assert!(jwks.len() > 25_000 && jwks.len() < 32_000, "{}", jwks.len());
        let form = agent.get(&harness.url(EDIT)).await;
        let given = [("auth_method", "private_key_jwt"), ("jwks", jwks.as_str())];
        let saved = send(&mut agent, &form, EDIT, &given).await;
        assert_eq!(saved.at(), "/admin/clients/lims-secret", "{}", saved.answer().text);
        let form = agent.get(&harness.url(EDIT)).await;
        harness.clock.advance(31 * 60);
        let asked = send(&mut agent, &form, EDIT, &given).await;
        assert_eq!(asked.answer().status, 403, "{}", asked.answer().text);
        let tab = agent.get(&harness.url("/admin/confirmed")).await;
        agent.sign_in(tab, "admin", PASSWORD).await;
        let shown = send(&mut agent, &asked, EDIT, &[]).await;
        assert!(shown.answer().status == 200 && crate::harness::agent::unescape(&shown.answer().text).contains(&jwks));
    }
}

on_both! {
    /// Who looked at whom: once a minute for each thing that is looked for, by console, API and command line.
    async fn looking_at_people_is_recorded(db) {
        let harness = started(db);
        let person = crate::console::people::id_of(&harness, "jlehz");
        let mut agent = at_console(&harness, "auditor").await;
        let mut look = async |path: &str| {
            assert_eq!(agent.get(&harness.url(path)).await.answer().status, 200, "{path}");
        };
        for path in ["/admin/users", "/admin/users", "/admin/users?q=jane&sort=newest", "/admin/sessions?person=jlehz", "/admin/grants", "/admin/access-review"] {
            look(path).await;
        }
        look(&format!("/admin/users/{person}")).await;
        look("/admin/resource-servers/edrs-ga/documents").await;
        look("/admin/resource-servers/edrs-ga/documents?client=fulton-cms&username=jlehz").await;
        let program = crate::admin_api::Program::new(&harness, "audit");
        program.get("/users?username=jlehz&limit=1").await;
        let read = harness.events("people.read");
        let told: Vec<&str> = read.iter().map(|event| event["detail"]["path"].as_str().unwrap()).collect();
        let own = format!("/admin/users/{person}");
        assert_eq!(told, [
            "/admin/users", "/admin/users q=jane", "/admin/sessions person=jlehz", "/admin/grants", "/admin/access-review", own.as_str(),
            "/admin/resource-servers/edrs-ga/documents client=fulton-cms username=jlehz", "/admin/api/v1/users username=jlehz",
        ]);
        assert_eq!(read[5]["person_id"], person, "of whom it is, is found by that person");
        harness.clock.advance(60);
        agent.get(&harness.url("/admin/users")).await;
        assert_eq!(harness.events("people.read").len(), read.len() + 1);
    }
}
