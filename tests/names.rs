//! Names that people type and read: no two that look alike, and each reachable however it is typed.

use serde_json::json;

use crate::admin_api::Program;
use crate::console::STAFF;
use crate::harness::agent::Agent;
use crate::harness::{Harness, PASSWORD};
use crate::on_both;

on_both! {
    async fn usernames_are_told_apart_by_what_people_see(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let program = Program::new(&harness, "admin");
        // RFC 8265 §3 and UTS 39 §5.2: what is typed, and what is kept, or said against it.
        let rows = [
            ("root1", Ok("root1")),
            ("ROOT1", Err("it exists already")),
            ("r\u{43e}\u{43e}t1", Err("mixes letters of different alphabets")),
            ("root1\u{200b}", Err("has a character that usernames cannot have")),
            ("root\u{ad}1", Err("has a character that usernames cannot have")),
            ("\u{ff52}\u{ff4f}\u{ff4f}\u{ff54}1", Err("it exists already")),
            ("jos\u{e9}", Ok("jos\u{e9}")),
            ("jose\u{301}", Err("it exists already")),
            ("JOS\u{c9}", Err("it exists already")),
            ("jane doe", Ok("jane doe")),
            ("jane  doe", Err("it exists already")),
            (" jane", Err("without blanks at its ends")),
            ("jane@fulton.example", Ok("jane@fulton.example")),
            ("FULTON\\\\jane", Ok("FULTON\\\\jane")),
            ("\u{418}\u{432}\u{430}\u{43d}", Ok("\u{418}\u{432}\u{430}\u{43d}")),
            ("\u{212a}elvin", Err("has a character that usernames cannot have")),
            ("a\tb", Err("has a character that usernames cannot have")),
        ];
        for (typed, expected) in rows {
            let answer = program.post("/users", &json!({ "username": typed, "name": "Somebody" })).await;
            match expected {
                Ok(kept) => assert_eq!((answer.status, &answer.json["username"]), (201, &json!(kept)), "{typed:?}: {}", answer.text),
                Err(told) => {
                    let text = answer.text.to_lowercase();
                    assert!([409, 422].contains(&answer.status) && text.contains(told), "{typed:?}: {}", answer.text);
                }
            }
        }
        for name in ["Ada\u{202e}nimdA", "Ada\u{200b}Admin", "Ada\u{2028}Admin", "Ada\u{feff}", "Ada\u{3164}", "Ada\u{2800}"] {
            let answer = program.post("/users", &json!({ "username": "readable", "name": name })).await;
            assert!(answer.status == 422 && answer.text.contains("invisible"), "{name:?}: {}", answer.text);
        }
    }
}

on_both! {
    async fn somebody_signs_in_however_the_name_is_composed(db) {
        let harness = Harness::start(db);
        let user = |name: &str| format!("[[user]]\nusername = \"{name}\"\nname = \"Jos\u{e9}\"\npassword = \"{PASSWORD}\"\n");
        harness.apply(&user("jos\u{e9}"));
        for typed in ["jos\u{e9}", "jose\u{301}", "JOS\u{c9}", " Jos\u{e9} ", "\u{ff4a}\u{ff4f}\u{ff53}\u{e9}"] {
            let mut agent = Agent::new(&harness);
            let page = agent.get(&harness.url("/account")).await;
            let page = agent.sign_in(page, typed, PASSWORD).await;
            assert_eq!(page.at(), "/account", "{typed:?}: {page:?}");
        }
    }
}

on_both! {
    /// People who are asked for consent know an application by its name alone.
    async fn no_application_looks_like_another_one(db) {
        let harness = Harness::start(db);
        let program = Program::new(&harness, "clients");
        let body = |id: &str, name: &str| json!({
            "client_id": id, "name": name, "dataflow": "cms-user-to-edrs", "resource_servers": ["edrs-ga"], "redirect_uris": ["https://a.example/cb"],
        });
        for name in ["Fulton County CMS", "fulton county  cms", "Fult\u{43e}n County CMS", "Fulton C\u{3bf}unty CMS", "Fu1ton County CMS", "FULTON COUNTY CMS", "FuIton County CMS", "FULT0N COUNTY CMS", "Fulton  County  CMS", "Fulton County \u{ff23}MS"] {
            let refused = program.post("/clients", &body("other", name)).await;
            assert!(refused.status == 422 && refused.text.contains("looks like the name of the client fulton-cms"), "{name:?}: {}", refused.text);
        }
        assert_eq!(program.post("/clients", &body("other", "Fulton County CMS 2")).await.status, 201);
        // A system has the name, until people sign in for it.
        let system = json!({ "client_id": "system", "name": "Fulton County CMS", "dataflow": "custom", "grants": ["client_credentials"],
            "scopes": ["system/Patient.rs"], "resource_servers": ["edrs-ga"] });
        assert_eq!(program.post("/clients", &system).await.status, 201);
        let people = json!({ "grants": ["client_credentials", "authorization_code"], "redirect_uris": ["https://a.example/cb"] });
        let refused = program.patch("/clients/system", "*", &people).await;
        assert!(refused.status == 422 && refused.text.contains("looks like"), "{}", refused.text);
        assert_eq!(program.delete("/clients/system").await.status, 204);
        let refused = program.patch("/clients/other", "*", &json!({ "name": "Fulton County CMS" })).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        // What has its name already keeps it, and its own old name is no other one's.
        assert_eq!(program.patch("/clients/fulton-cms", "*", &json!({ "confidentiality": "N" })).await.status, 200);
        assert_eq!(program.patch("/clients/fulton-cms", "*", &json!({ "name": "FULTON County CMS" })).await.status, 200);
        let file = "[[client]]\nclient_id = \"a\"\nname = \"Twins\"\ndataflow = \"cms-user-to-edrs\"\nredirect_uris = [\"https://a.example/cb\"]\n";
        let twins = format!("{file}{}", file.replace("\"a\"", "\"b\"").replace("Twins", "Tw\u{456}ns"));
        let registry = harness.registry();
        let told = crate::harness::blocking(move || mdi_auth::registry::apply::apply(&registry, &twins, false)).unwrap_err().to_string();
        assert!(told.contains("looks like the name of the client a"), "{told}");
    }
}
