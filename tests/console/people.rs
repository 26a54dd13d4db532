//! People in the console: found, added, changed; what is done to them, by whom, and what is refused.

use std::sync::Arc;

use mdi_auth::app::App;

use crate::console::audit::tamper;
use crate::console::providers::PROVIDER;
use crate::console::{STAFF, at_console, open};
use crate::harness::agent::{Agent, Page, attribute, hidden_fields};
use crate::harness::{Db, Harness, PASSWORD, TestClock, blocking};
use crate::on_both;

/// The id of somebody, by username.
pub fn id_of(harness: &Harness, username: &'static str) -> String {
    person(harness, username).unwrap().id
}

pub fn person(harness: &Harness, username: &str) -> Option<mdi_auth::model::person::Person> {
    let (store, username) = (Arc::clone(&harness.app.store), username.to_owned());
    blocking(move || {
        store
            .read_blocking(move |conn| mdi_auth::store::people::find_by_username(conn, &username))
            .unwrap()
    })
}

/// The text between two marks of a page.
pub fn part<'a>(page: &'a Page, from: &str, to: &str) -> &'a str {
    let text = &page.answer().text;
    let start = text.find(from).unwrap_or_else(|| panic!("no {from} in {text}"));
    &text[start..start + text[start..].find(to).unwrap()]
}

/// The names in the list of people, in order.
fn listed(page: &Page) -> Vec<String> {
    let rows = page
        .answer()
        .text
        .split("<th scope=\"row\"><a href=\"/admin/users/usr_")
        .skip(1);
    rows.map(|row| row[row.find("<bdi>").unwrap() + 5..row.find("</bdi>").unwrap()].to_owned())
        .collect()
}

/// The form as it is on the page: text fields, boxes that are ticked and choices that are made.
pub fn form_of(page: &Page) -> Vec<(String, String)> {
    let text = part(page, "<form class=\"narrow\"", "</form>");
    let mut fields = Vec::new();
    for tag in text
        .split("<input")
        .skip(1)
        .map(|rest| &rest[..rest.find('>').unwrap()])
    {
        let kind = attribute(tag, "type").unwrap();
        let ticked = !matches!(kind.as_str(), "checkbox" | "radio")
            || tag.ends_with(" checked")
            || tag.contains(" checked ");
        if ticked {
            fields.push((
                attribute(tag, "name").unwrap(),
                attribute(tag, "value").unwrap_or_default(),
            ));
        }
    }
    for select in text
        .split("<select")
        .skip(1)
        .map(|rest| &rest[..rest.find("</select>").unwrap()])
    {
        let chosen = select
            .split("<option")
            .skip(1)
            .find(|option| option.contains(" selected"));
        fields.push((
            attribute(select, "name").unwrap(),
            attribute(chosen.unwrap(), "value").unwrap(),
        ));
    }
    fields
}

/// Sends the form with some fields put in place of those it has.
pub async fn send(agent: &mut Agent<'_>, page: &Page, changes: &[(&str, &str)]) -> Page {
    let action = attribute(part(page, "<form class=\"narrow\"", ">"), "action").unwrap();
    let mut fields = form_of(page);
    fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    fields.extend(
        changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    agent.post(&action, &fields).await
}

on_both! {
    async fn a_person_is_added_invited_and_given_a_role(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/users/new")).await;
        assert!(!page.answer().text.contains("value=\"administrator\""), "a user manager gives no role of the console");
        let page = send(&mut agent, &page, &[
            ("name", "Carla Certifier"), ("username", "carla"), ("email", "carla@fulton.example"),
            ("agency", "fulton-county-me"), ("roles", "medical-examiner"), ("npi", "1234567893"),
            ("license_expires", "2027-12-31"), ("claims", "America/New_York"), ("confidentiality", "R"),
        ]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let carla = person(&harness, "carla").unwrap();
        assert_eq!(page.at(), format!("/admin/users/{}", carla.id));
        let text = &page.answer().text;
        assert!(text.contains("Medical examiner"), "{text}");
        assert!(text.contains("Good through December 31, 2027"));
        assert!(text.contains("Sign a death certificate") || text.contains("ertif"), "{text}");
        assert_eq!(carla.settings.claims["zoneinfo"], "America/New_York");
        // The link is shown once, and works.
        let link = part(&page, "id=\"once-value\">", "</p>").split('>').nth(1).unwrap().to_owned();
        assert!(link.starts_with(&harness.url("/invitation/")), "{link}");
        let again = agent.get(&harness.url(page.at())).await;
        assert!(!again.answer().text.contains("once-value"));
        let mut herself = Agent::new(&harness);
        let page = herself.get(&link).await;
        let page = herself.submit(&page, &[("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!(page.at(), "/login/set-up", "the role needs a second factor");
        let added = harness.events("person.changed");
        let added = added.iter().find(|event| event["person_id"] == carla.id.as_str()).unwrap();
        assert_eq!(added["actor"], id_of(&harness, "users").as_str());
        assert!(!added.to_string().contains("invitation/"), "no link in the record");
        assert_eq!(harness.events("link.issued").last().unwrap()["person_id"], carla.id.as_str());
    }
}

on_both! {
    async fn mistakes_are_told_field_by_field_and_what_was_typed_stays(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/users/new")).await;
        // Field, what is typed, a part of what is said.
        let rows: &[(&str, &str, &str)] = &[
            ("name", "", "Enter the full name"),
            ("username", "", "Enter a username"),
            ("username", "JLEHZ", "exists already"),
            ("email", "nowhere", "must be an e-mail address"),
            ("npi", "1234567890", "check digit"),
            ("fhir_user", "Organization/1", "must end in Practitioner"),
            ("license_expires", "31.12.2027", "must be a day as YYYY-MM-DD"),
            ("claims", "Mars/Olympus", "must be a time zone"),
            ("agency", "nothing", "no agency has the id"),
            ("roles", "emperor", "the policy has no role emperor"),
            ("purposes", "NONSENSE", "is not a PurposeOfUse code"),
            ("confidentiality", "X", "is not one of"),
        ];
        for (field, typed, said) in rows {
            let mut fields = vec![("name", "Nina New"), ("username", "nina"), ("agency", "")];
            fields.retain(|(name, _)| name != field);
            fields.push((field, typed));
            let refused = send(&mut agent, &page, &fields).await;
            let text = &refused.answer().text;
            assert_eq!(refused.answer().status, 422, "{field} {typed}");
            assert!(text.to_lowercase().contains(&said.to_lowercase()), "{field}: {said} in {text}");
            assert!(text.contains("error-summary"), "{field}");
            assert!(*field == "name" || text.contains("value=\"Nina New\""), "{field}: what was typed stays");
            assert!(person(&harness, "nina").is_none());
        }
    }
}

on_both! {
    async fn html_and_script_stay_text(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let evil = "\"><script>alert(1)</script><b>";
        let page = agent.get(&harness.url("/admin/users/new")).await;
        let page = send(&mut agent, &page, &[
            ("name", evil), ("username", evil), ("roles", "data-clerk"),
        ]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let id = person(&harness, evil).unwrap().id;
        let paths = ["", "/edit", "/disable", "/delete", "/invite"].map(|part| format!("/admin/users/{id}{part}"));
        let lists = ["/admin/users?q=script&sort=newest", "/admin/access-review?role=data-clerk"].map(str::to_owned);
        for path in paths.iter().chain(&lists) {
            let page = agent.get(&harness.url(path)).await;
            assert_eq!(page.answer().status, 200, "{path}");
            assert!(!page.answer().text.contains("<script>alert"), "{path}");
            assert!(page.answer().text.contains("&#60;script&#62;alert(1)"), "{path}");
        }
        // In every field of the form, refused or not, and in every filter.
        let page = agent.get(&harness.url("/admin/users/new")).await;
        for field in ["name", "username", "email", "agency", "npi", "fhir_user",
                      "license_expires", "claims", "role_search", "roles", "purposes", "confidentiality", "integrity"] {
            let refused = send(&mut agent, &page, &[("name", ""), (field, evil)]).await;
            assert_eq!(refused.answer().status, 422, "{field}");
            assert!(!refused.answer().text.contains("<script>alert"), "{field}");
        }
        for query in ["/admin/users?q=", "/admin/sessions?person=", "/admin/grants?person=", "/admin/grants?client=",
                      "/admin/access-review?role="] {
            let query = format!("{query}%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
            let page = agent.get(&harness.url(&query)).await;
            assert_eq!(page.answer().status, 200, "{query}");
            assert!(!page.answer().text.contains("<script>alert"), "{query}");
        }
    }
}

/// Many people with made-up names: `Person 000`, ….
fn crowd(harness: &Harness, count: usize) {
    let one = |place: usize| {
        let role = if place.is_multiple_of(10) {
            "registrar"
        } else {
            "data-clerk"
        };
        let agency = if place.is_multiple_of(2) {
            "Even County"
        } else {
            "Odd County"
        };
        format!(
            "[[user]]\nusername = \"u{place:03}\"\nname = \"Person {place:03}\"\nroles = [\"{role}\"]\nenabled = {}\norganization = {{ name = \"{agency}\" }}\n",
            !place.is_multiple_of(7)
        )
    };
    harness.apply(&(0..count).map(one).collect::<String>());
}

/// All names of a list, page by page.
async fn walk(agent: &mut Agent<'_>, harness: &Harness, path: &str) -> Vec<String> {
    let (mut all, mut path) = (Vec::new(), path.to_owned());
    for _ in 0..30 {
        let page = agent.get(&harness.url(&path)).await;
        all.extend(listed(&page));
        let Some(next) = page
            .answer()
            .text
            .split("<a ")
            .find(|link| link.contains("id=\"next-page\""))
        else {
            return all;
        };
        path = attribute(&format!(" {next}"), "href").unwrap();
    }
    panic!("the list does not end: {path}");
}

on_both! {
    async fn the_list_is_searched_filtered_and_ordered_page_by_page(db) {
        let harness = Harness::empty(db, |_| {});
        harness.apply(STAFF);
        crowd(&harness, 130);
        harness.clock.advance(60);
        let mut agent = at_console(&harness, "admin").await;
        let mut everybody = walk(&mut agent, &harness, "/admin/users").await;
        assert_eq!(everybody.len(), 134);
        assert!(everybody.is_sorted_by_key(|name| name.to_lowercase()), "{everybody:?}");
        for sort in ["newest", "last-sign-in"] {
            let mut all = walk(&mut agent, &harness, &format!("/admin/users?sort={sort}")).await;
            if sort == "last-sign-in" {
                assert_eq!(all[0], "Ada Administrator");
            }
            all.sort();
            everybody.sort();
            assert_eq!(all, everybody, "{sort}: each once");
        }
        // Query, how many.
        let rows: &[(&str, usize)] = &[
            ("q=person", 130),
            ("q=PERS+00", 10),
            ("q=person+odd", 65),
            ("q=odd+even", 0),
            ("q=u017", 1),
            // The eight longest words count: not the `z`, but the `zzz`.
            ("q=person+perso+pers+even+eve+per+pe+ev+z", 65),
            ("q=person+perso+pers+even+eve+per+pe+ev+zzz", 0),
            ("q=%25", 134),
            ("role=registrar", 13),
            ("role=registrar&q=even", 13),
            ("role=registrar&q=odd", 0),
            ("role=emperor", 0),
            ("state=disabled", 19),
            ("state=enabled", 115),
            ("state=awaited", 130),
            ("state=disabled&role=registrar&sort=newest", 2),
            ("q=person&sort=last-sign-in", 130),
            ("after=nonsense", 134),
        ];
        for (query, count) in rows {
            let found = walk(&mut agent, &harness, &format!("/admin/users?{query}")).await;
            assert_eq!(found.len(), *count, "{query}: {found:?}");
        }
        let nothing = agent.get(&harness.url("/admin/users?q=nobody")).await;
        assert!(nothing.answer().text.contains("id=\"nothing\""));
    }
}

on_both! {
    async fn a_word_that_more_than_a_thousand_have_leads_to_them_in_the_order_of_their_names(db) {
        let harness = Harness::empty(db, |_| {});
        harness.apply(STAFF);
        crowd(&harness, 1050);
        let mut agent = at_console(&harness, "admin").await;
        let rows: &[(&str, usize)] = &[
            ("q=person", 1050),
            ("q=person+even", 525),
            ("q=person&role=registrar", 105),
            ("q=person&role=data-clerk&state=disabled", 135),
            ("q=person&state=enabled", 900),
            ("q=person&state=awaited", 1050),
            ("q=person&sort=newest", 1050),
        ];
        for (query, count) in rows {
            let found = walk(&mut agent, &harness, &format!("/admin/users?{query}")).await;
            assert_eq!(found.len(), *count, "{query}");
            assert!(query.contains("sort") || found.is_sorted(), "{query}: {found:?}");
        }
    }
}

on_both! {
    async fn people_of_an_older_schema_are_found_in_the_order_of_their_names(db) {
        let harness = Harness::empty(db, |_| {});
        harness.apply(STAFF);
        crowd(&harness, 1050);
        harness.apply("[[user]]\nusername = \"eric\"\nname = \"Éric Person\"\nroles = [\"registrar\"]\n");
        let (config, clock) = (harness.app.config.clone(), Arc::clone(&harness.app.clock));
        // As the database itself put names into small letters.
        tamper(&harness.app, "DELETE FROM person_term");
        tamper(&harness.app, "UPDATE person SET name_key = 'Éric person' WHERE username = 'eric'");
        blocking(move || App::open(config, clock, false).unwrap());
        let mut agent = at_console(&harness, "admin").await;
        for (query, count) in [("q=person", 1051), ("q=person&role=registrar", 106), ("q=%C3%A9ric", 1)] {
            let found = walk(&mut agent, &harness, &format!("/admin/users?{query}")).await;
            assert_eq!(found.len(), count, "{query}");
            assert!(found.iter().any(|name| name == "Éric Person"), "{query}: {found:?}");
        }
    }
}

on_both! {
    async fn a_change_keeps_what_the_form_does_not_show(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let id = id_of(&harness, "jlehz");
        let mut agent = at_console(&harness, "users").await;
        let before = person(&harness, "jlehz").unwrap();
        let path = harness.url(&format!("/admin/users/{id}/edit"));
        let page = agent.get(&path).await;
        let same = send(&mut agent, &page, &[]).await;
        assert!(same.answer().text.contains("Nothing was different"), "{}", same.answer().text);
        assert_eq!(person(&harness, "jlehz").unwrap(), before);
        let page = send(&mut agent, &page, &[("name", "Jane Lehz-Roe, MD"), ("claims", "America/Chicago")]).await;
        assert!(page.answer().text.contains("Your changes are saved"), "{}", page.answer().text);
        let after = person(&harness, "jlehz").unwrap();
        assert_eq!(after.name, "Jane Lehz-Roe, MD");
        assert_eq!(after.settings.claims["phone_number"], "+1-404-555-0100");
        assert_eq!(after.settings.claims["zoneinfo"], "America/Chicago");
        assert_eq!((after.generation, &after.password), (before.generation, &before.password));
        assert_eq!(after.settings.npi, before.settings.npi);
        // Taking everything away takes it away.
        let page = agent.get(&path).await;
        let gone = [("npi", ""), ("agency", ""), ("claims", "")];
        let page = send(&mut agent, &page, &gone).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/roles"))).await;
        let page = send(&mut agent, &page, &[("roles", "")]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let after = person(&harness, "jlehz").unwrap();
        assert_eq!((after.settings.npi, after.settings.roles, after.settings.agency), (None, Vec::new(), None));
        assert!(!after.settings.claims.contains_key("zoneinfo"));
    }
}

on_both! {
    async fn whoever_saves_too_late_is_told_what_changed(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let id = id_of(&harness, "clerk");
        let path = harness.url(&format!("/admin/users/{id}/edit"));
        let mut one = at_console(&harness, "admin").await;
        let mut other = at_console(&harness, "users").await;
        harness.clock.advance(10);
        let (seen_by_one, seen_by_other) = (one.get(&path).await, other.get(&path).await);
        harness.clock.advance(10);
        let page = send(&mut one, &seen_by_one, &[("name", "Cory Changed <b>")]).await;
        assert_eq!(page.answer().status, 200);
        let page = send(&mut other, &seen_by_other, &[("email", "cory@fulton.example")]).await;
        let text = &page.answer().text;
        assert_eq!(page.answer().status, 422);
        assert!(text.contains("Ada Administrator"), "who: {text}");
        assert!(text.contains("<bdi>Cory Clerk</bdi> → <bdi>Cory Changed &#60;b&#62;</bdi>"), "what: {text}");
        assert!(text.contains("value=\"cory@fulton.example\""), "what was typed stays");
        assert_eq!(person(&harness, "clerk").unwrap().settings.email, None);
        // Now she has seen it.
        let page = send(&mut other, &page, &[]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let clerk = person(&harness, "clerk").unwrap();
        assert_eq!((clerk.name.as_str(), clerk.settings.email.as_deref()), ("Cory Clerk", Some("cory@fulton.example")));
    }
}

on_both! {
    async fn roles_are_found_by_standard_codes_without_saving(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let page = agent.get(&harness.url("/admin/users/new")).await;
        // Text, a role that carries the code.
        for (text, role) in [("CST", "Registrar of vital records"), ("custodian", "Registrar of vital records"),
                             ("176P00000X", "Funeral director")] {
            let found = send(&mut agent, &page, &[("name", "Nina New"), ("role_search", text), ("find", "roles")]).await;
            assert_eq!(found.answer().status, 200);
            assert!(part(&found, "id=\"found-roles\"", "</section>").contains(role), "{text}: {}", found.answer().text);
            assert!(found.answer().text.contains("value=\"Nina New\""));
        }
        let none = send(&mut agent, &page, &[("role_search", "no such code"), ("find", "roles")]).await;
        assert!(none.answer().text.contains("No code of the standard vocabularies"));
    }
}

/// What a page of an action answers to somebody who sends its form, seen or not.
async fn act(agent: &mut Agent<'_>, harness: &Harness, id: &str, action: &str) -> Page {
    let page = agent.get(&harness.url("/admin/users")).await;
    let csrf = hidden_fields(&page.answer().text)
        .into_iter()
        .find(|(name, _)| name == "csrf");
    let csrf = csrf.unwrap_or_else(|| {
        let button = part(&page, "id=\"sign-out\"", ">");
        ("csrf".to_owned(), attribute(button, "value").unwrap())
    });
    agent.post(&format!("/admin/users/{id}/{action}"), &[csrf]).await
}

const ACTIONS: [&str; 8] = [
    "invite",
    "reset-link",
    "unlock",
    "reset-second-factor",
    "revoke",
    "disable",
    "enable",
    "delete",
];

on_both! {
    async fn a_user_manager_stays_away_from_those_who_administer(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        for username in ["admin", "clients", "auditor", "users"] {
            let id = id_of(&harness, username);
            let before = person(&harness, username).unwrap();
            let page = agent.get(&harness.url(&format!("/admin/users/{id}"))).await;
            assert_eq!(page.answer().status, 200);
            assert!(page.answer().text.contains("Only an administrator may change"), "{username}");
            assert!(!page.answer().text.contains("id=\"actions\""), "{username}");
            for action in ACTIONS.iter().chain(&["edit", "roles"]) {
                let asked = agent.get(&harness.url(&format!("/admin/users/{id}/{action}"))).await;
                assert_eq!(asked.answer().status, 403, "GET {action} of {username}");
                let page = act(&mut agent, &harness, &id, action).await;
                assert_eq!(page.answer().status, 403, "POST {action} of {username}");
                assert!(page.answer().text.contains("Ask an administrator"), "{action}");
            }
            assert_eq!(person(&harness, username).unwrap(), before, "{username}");
        }
        assert!(!harness.events("console.refused").is_empty());
        // A role of the console is not given either, though the form never offered it.
        let id = id_of(&harness, "clerk");
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/roles"))).await;
        let page = send(&mut agent, &page, &[("roles", "administrator")]).await;
        assert_eq!(page.answer().status, 422);
        assert!(page.answer().text.contains("nly an administrator may change people who have a role of the console"));
        assert_eq!(person(&harness, "clerk").unwrap().settings.roles, ["data-clerk"]);
    }
}

on_both! {
    async fn others_look_or_not_and_change_nothing(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let id = id_of(&harness, "clerk");
        let before = person(&harness, "clerk").unwrap();
        // Username, whether she sees people.
        for (username, sees) in [("auditor", 200), ("clients", 403)] {
            let mut agent = at_console(&harness, username).await;
            for path in ["/admin/users".to_owned(), format!("/admin/users/{id}")] {
                assert_eq!(agent.get(&harness.url(&path)).await.answer().status, sees, "{username} at {path}");
            }
            for action in ACTIONS {
                let page = agent.get(&harness.url(&format!("/admin/users/{id}/{action}"))).await;
                assert_eq!(page.answer().status, 403, "{username} {action}");
            }
            for path in ["/admin/users/new", "/admin/users/import", "/admin/users/import/template"] {
                assert_eq!(agent.get(&harness.url(path)).await.answer().status, 403, "{username} at {path}");
            }
            assert_eq!(person(&harness, "clerk").unwrap(), before);
        }
    }
}

on_both! {
    async fn each_action_does_what_it_says(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut clerk = Agent::new(&harness);
        let page = clerk.get(&harness.url("/account")).await;
        assert_eq!(clerk.sign_in(page, "clerk", PASSWORD).await.at(), "/account");
        let id = id_of(&harness, "clerk");
        let mut agent = at_console(&harness, "users").await;
        let act = async |agent: &mut Agent<'_>, action: &str| {
            let page = agent.get(&harness.url(&format!("/admin/users/{id}/{action}"))).await;
            assert_eq!(page.answer().status, 200, "{action}");
            send(agent, &page, &[]).await
        };
        let page = agent.get(&harness.url(&format!("/admin/users/{id}"))).await;
        assert!(page.answer().text.contains("id=\"sessions\""), "{}", page.answer().text);
        assert!(page.answer().text.contains("Authenticator app"));
        let page = act(&mut agent, "revoke").await;
        assert!(page.answer().text.contains("Signed out everywhere"), "{}", page.answer().text);
        assert!(!page.answer().text.contains("id=\"sessions\"") && page.answer().text.contains("Nowhere."));
        assert_eq!(clerk.get(&harness.url("/account")).await.at(), "/login");
        let page = act(&mut agent, "reset-link").await;
        assert!(page.answer().text.contains("/new-password/"), "{}", page.answer().text);
        let page = act(&mut agent, "reset-second-factor").await;
        assert!(page.answer().text.contains("The second factors are gone"));
        assert_eq!(person(&harness, "clerk").unwrap().totp_secret, None);
        let page = act(&mut agent, "disable").await;
        assert!(page.answer().text.contains(">Disabled<"));
        assert!(!person(&harness, "clerk").unwrap().enabled);
        let page = act(&mut agent, "enable").await;
        assert!(page.answer().text.contains("Enabled."));
        assert!(person(&harness, "clerk").unwrap().enabled);
        let page = act(&mut agent, "delete").await;
        assert_eq!(page.answer().status, 422);
        assert!(page.answer().text.contains("has signed in before"), "{}", page.answer().text);
        let actions: Vec<String> = harness.events("person.changed").iter()
            .filter(|event| event["person_id"] == id.as_str())
            .map(|event| event["detail"]["action"].as_str().unwrap().to_owned()).collect();
        assert_eq!(actions, ["added", "everything_revoked", "second_factor_reset", "disabled", "enabled"]);
    }
}

on_both! {
    async fn an_account_is_unlocked(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut stranger = Agent::new(&harness);
        for _ in 0..20 {
            let page = stranger.get(&harness.url("/account")).await;
            stranger.submit(&page, &[("username", "clerk"), ("password", "wrong wrong wrong wrong")]).await;
            harness.clock.advance(1);
        }
        let id = id_of(&harness, "clerk");
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url(&format!("/admin/users/{id}"))).await;
        assert!(page.answer().text.contains(">Locked<"), "{}", page.answer().text);
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/unlock"))).await;
        let page = send(&mut agent, &page, &[]).await;
        assert!(page.answer().text.contains("Unlocked."));
        assert!(!page.answer().text.contains(">Locked<"));
    }
}

on_both! {
    async fn a_mistaken_entry_is_deleted_and_its_link_is_dead(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/users/new")).await;
        let page = send(&mut agent, &page, &[("name", "Mia Mistake"), ("username", "mia"), ("roles", "registrar")]).await;
        let link = part(&page, "id=\"once-value\">", "</p>").split('>').nth(1).unwrap().to_owned();
        let id = id_of(&harness, "mia");
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/delete"))).await;
        let page = send(&mut agent, &page, &[]).await;
        assert_eq!((page.at(), page.answer().status), ("/admin/users", 200));
        assert!(page.answer().text.contains("Deleted."));
        assert!(person(&harness, "mia").is_none());
        assert_eq!(agent.get(&harness.url(&format!("/admin/users/{id}"))).await.answer().status, 404);
        assert_eq!(Agent::new(&harness).get(&link).await.answer().status, 400);
        let deleted = harness.events("person.changed").pop().unwrap();
        assert_eq!(deleted["detail"]["action"], "deleted");
        assert!(deleted["detail"]["before"].as_str().unwrap().contains("Mia Mistake"));
    }
}

on_both! {
    async fn the_last_administrator_stays(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let id = id_of(&harness, "admin");
        let mut agent = at_console(&harness, "admin").await;
        let before = person(&harness, "admin").unwrap();
        for action in ["disable", "delete"] {
            let page = agent.get(&harness.url(&format!("/admin/users/{id}/{action}"))).await;
            assert!(page.answer().text.contains("This is your own account"));
            let page = send(&mut agent, &page, &[]).await;
            assert_eq!(page.answer().status, 422, "{action}");
            assert!(page.answer().text.contains("this is the last administrator"), "{action}: {}", page.answer().text);
        }
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/roles"))).await;
        let page = send(&mut agent, &page, &[("roles", "auditor"), ("role_search", "typed")]).await;
        assert_eq!(page.answer().status, 422);
        assert!(page.answer().text.contains("his is the last administrator"));
        assert!(page.answer().text.contains("value=\"typed\""), "what was typed stays");
        assert_eq!(person(&harness, "admin").unwrap(), before);
        // With a second one he may go.
        let other = id_of(&harness, "auditor");
        let page = agent.get(&harness.url(&format!("/admin/users/{other}/roles"))).await;
        let page = send(&mut agent, &page, &[("roles", "administrator")]).await;
        assert_eq!(page.answer().status, 200, "{}", page.answer().text);
        let page = agent.get(&harness.url(&format!("/admin/users/{id}/disable"))).await;
        send(&mut agent, &page, &[]).await;
        assert!(!person(&harness, "admin").unwrap().enabled);
    }
}

/// A clock moved so that a sign-in is too old for what lets somebody into an account.
fn grow_old(clock: &TestClock) {
    clock.advance(301);
}

#[tokio::test]
async fn what_opens_something_wants_a_fresh_sign_in() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(STAFF);
    harness.apply(PROVIDER);
    let (clerk, auditor) = (id_of(&harness, "clerk"), id_of(&harness, "auditor"));
    let mut agent = at_console(&harness, "admin").await;
    grow_old(&harness.clock);
    // Page, where it leads.
    let rows = [
        ("/admin/users/new".to_owned(), "/login"),
        ("/admin/users/import".to_owned(), "/login"),
        ("/admin/access-review/export".to_owned(), "/login"),
        (format!("/admin/users/{clerk}/reset-link"), "/login"),
        (format!("/admin/users/{clerk}/reset-second-factor"), "/login"),
        (format!("/admin/users/{auditor}/edit"), "/login"),
        (format!("/admin/users/{clerk}/roles"), "/login"),
        (format!("/admin/users/{auditor}/disable"), "/login"),
        (format!("/admin/users/{clerk}/enable"), "/login"),
    ];
    for (path, leads) in &rows {
        assert_eq!(agent.get(&harness.url(path)).await.at(), *leads, "{path}");
    }
    // What is registered wants a sign-in of the last 15 minutes; what ends something is not held up.
    let registered = [
        "/admin/clients/lims-secret/enable",
        "/admin/clients/lims-secret/edit",
        "/admin/resource-servers/cms-fulton/enable",
        "/admin/identity-providers/fulton/enable",
    ]
    .map(str::to_owned);
    let registered = [&registered[..], &[format!("/admin/users/{clerk}/edit")]].concat();
    for path in &registered {
        assert_eq!(agent.get(&harness.url(path)).await.at(), path);
    }
    harness.clock.advance(10 * 60);
    for path in &registered {
        assert_eq!(agent.get(&harness.url(path)).await.at(), "/login", "{path}");
        let path = path.replace("enable", "disable").replace("edit", "disable");
        assert_eq!(agent.get(&harness.url(&path)).await.at(), path);
    }
}

#[tokio::test]
async fn forms_from_elsewhere_change_nothing() {
    let harness = Harness::start(Db::Sqlite);
    harness.apply(STAFF);
    let id = id_of(&harness, "clerk");
    let (mut agent, _) = open(&harness, "admin", "/admin").await;
    for path in [
        format!("/admin/users/{id}/disable"),
        format!("/admin/users/{id}/edit"),
        format!("/admin/users/{id}/roles"),
        "/admin/users/new".to_owned(),
    ] {
        let page = agent
            .post(&path, &[("csrf".to_owned(), "forged".to_owned())])
            .await;
        assert_eq!(page.answer().status, 400, "{path}");
    }
    assert!(person(&harness, "clerk").unwrap().enabled);
}
