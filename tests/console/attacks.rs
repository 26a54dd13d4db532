//! What somebody with a part in the administration could try.

use std::sync::Arc;

use mdi_auth::audit::event::Actor;
use mdi_auth::registry::people;
use mdi_auth::registry::{ActingCredential, Refused, Registry};

use crate::console::people::id_of;
use crate::console::{STAFF, at_console, send};
use crate::harness::{Harness, blocking};
use crate::on_both;

/// The registry as an administrator at the console has it, with her newest session.
async fn at_work(harness: &Harness, username: &'static str) -> Registry {
    let id = id_of(harness, username);
    let (asked, of) = (id.clone(), id.clone());
    let read = move |conn: &mut mdi_auth::store::Conn| {
        let person = mdi_auth::store::people::find(conn, &asked)?.unwrap();
        Ok((person, mdi_auth::store::sessions::of_person(conn, &of)?))
    };
    let (person, sessions) = harness.app.store.read(read).await.unwrap();
    let warrant = ActingCredential::Session {
        id: sessions[0].id.clone(),
        person_id: id.clone(),
        generation: person.generation,
    };
    Registry::new(Arc::clone(&harness.app), Actor::Person(id)).bounded(
        mdi_auth::policy::console::Authority::of(&person.settings.roles),
        warrant,
        "127.0.0.1",
    )
}

fn add_somebody(registry: Registry) -> Result<(), Refused> {
    let form = people::PersonForm {
        username: Some("evil".to_owned()),
        name: Some("Evil".to_owned()),
        roles: Some(vec!["administrator".to_owned()]),
        ..people::PersonForm::default()
    };
    blocking(move || {
        registry
            .blocking(move |registry, tx| people::add(registry, tx, &form, None))
            .map(drop)
    })
}

on_both! {
    async fn a_request_that_arrives_after_its_sign_in_has_ended_changes_nothing(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        // Disabled, her role taken, and signed out, while the last bytes of the request were on their way.
        for deed in ["disable", "demote", "sign out"] {
            harness.clock.advance(60);
            let _agent = at_console(&harness, "admin").await;
            let registry = at_work(&harness, "admin").await;
            match deed {
                "disable" => harness.disable_user("admin"),
                "demote" => {
                    let operator = harness.registry();
                    let roles = vec!["auditor".to_owned()];
                    blocking(move || operator.blocking(move |registry, tx| people::set_roles(registry, tx, "admin", &roles)).unwrap());
                }
                _ => {
                    let (app, id) = (Arc::clone(&harness.app), id_of(&harness, "admin"));
                    let write = move |tx: &mut mdi_auth::store::Tx<'_>| mdi_auth::session::end_all(&app, tx, &id, None);
                    harness.app.store.write(write).await.unwrap();
                }
            }
            let refused = add_somebody(registry).unwrap_err();
            assert!(refused.to_string().contains("has ended meanwhile"), "{deed}: {refused}");
            harness.enable_user("admin");
            let operator = harness.registry();
            let roles = vec!["administrator".to_owned()];
            blocking(move || operator.blocking(move |registry, tx| people::set_roles(registry, tx, "admin", &roles)).unwrap());
        }
        harness.clock.advance(60);
        let _agent = at_console(&harness, "admin").await;
        add_somebody(at_work(&harness, "admin").await).expect("as long as it holds");
    }
}

on_both! {
    async fn a_file_leaves_somebody_who_administers(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        harness.apply("[[user]]\nusername = \"second\"\nname = \"Second\"\npassword = \"correct horse battery staple\"\nroles = [\"administrator\"]\n");
        let _agent = at_console(&harness, "admin").await;
        let registry = at_work(&harness, "admin").await;
        let file = "[[user]]\nusername = \"admin\"\nroles = []\n[[user]]\nusername = \"second\"\nenabled = false\n";
        let told = blocking(move || mdi_auth::registry::apply::apply(&registry, file, false)).unwrap_err();
        assert!(told.to_string().contains("would leave nobody who administers this server"), "{told}");
    }
}

on_both! {
    async fn tokens_end_with_the_administration_of_whoever_made_them(db) {
        let harness = Harness::start(db);
        harness.apply(STAFF);
        let mut agent = at_console(&harness, "admin").await;
        let form = agent.get(&harness.url("/admin/api-tokens/new")).await;
        let page = send(&mut agent, &form, "/admin/api-tokens/new", &[("name", "kept"), ("scope", "admin")]).await;
        let token = crate::console::text_of(&page, "once-value");
        let me = |token: String| {
            let request = harness.http.get(harness.url("/admin/api/v1/me")).bearer_auth(token);
            async move { request.send().await.unwrap().status().as_u16() }
        };
        assert_eq!(me(token.clone()).await, 200);
        harness.disable_user("admin");
        assert_eq!(me(token.clone()).await, 401);
        harness.enable_user("admin");
        assert_eq!(me(token).await, 401, "enabling revives nothing");
        assert_eq!(harness.events("api_token.changed").len(), 2);
    }
}
