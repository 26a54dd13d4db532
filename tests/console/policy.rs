//! The policy in words.

use crate::console::{STAFF, at_console};
use crate::harness::Harness;
use crate::on_both;

on_both! {
    async fn roles_dataflows_scopes_and_rights_are_told_in_words(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "users").await;
        let page = agent.get(&harness.url("/admin/policy")).await;
        let told = &page.answer().text;
        for role in harness.app.policy.roles() {
            assert!(told.contains(&format!("id=\"role-{}\"", role.code)), "{}", role.code);
        }
        for flow in harness.app.policy.dataflows() {
            assert!(told.contains(&format!("id=\"dataflow-{}\"", flow.id)), "{}", flow.id);
            for sentence in harness.app.policy.sentences(&flow.scopes) {
                assert!(told.contains(&sentence.scope), "{}", sentence.scope);
            }
        }
        for scope in harness.app.policy.named_scopes() {
            assert!(told.contains(&scope.name), "{}", scope.name);
        }
        // The row of the keys: administrator, client manager, user manager, auditor.
        let row = told.split("<th scope=\"row\">Keys</th>").nth(1).unwrap().split("</tr>").next().unwrap();
        let cells: Vec<&str> = row.split("<td").skip(1).map(|cell| cell.split('>').nth(1).unwrap().split('<').next().unwrap()).collect();
        assert_eq!(cells, ["Looks and changes", "Nothing", "Nothing", "Looks"]);
        assert!(told.contains("the policy that comes with the product"));
    }
}

on_both! {
    async fn codes_are_found_by_code_and_by_words(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "auditor").await;
        for (query, text) in [
            ("hdecd", "HDECD"),
            ("decedent", "HDECD"),
            ("nothing+of+the+sort", "No code fits"),
            ("%3Cscript%3E", "value=\"&#60;script&#62;\""),
            ("e", "These are the first 100"),
        ] {
            let page = agent.get(&harness.url(&format!("/admin/policy?q={query}"))).await;
            let told = &page.answer().text;
            assert!(told.contains(text), "{query}: {told}");
            assert!(told.matches("data-label=\"Code system\"").count() <= 100);
        }
    }
}
