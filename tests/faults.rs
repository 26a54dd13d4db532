//! What breaks below is told above in a few words: no SQL, no path, no table, no cause, and never a lost record.

use std::time::Duration;

use diesel::RunQueryDsl;
use mdi_auth::live;
use mdi_auth::store::Conn;
use serde_json::json;

use crate::harness::agent::Agent;
use crate::harness::{Answer, CMS, Db, Harness, LIMS, blocking, postgres};
use crate::on_both;
use crate::person_flow::authorize_url;
use crate::support::eventually;

/// Runs SQL behind the server's back.
fn sabotage(harness: &Harness, sql: &str) {
    let (app, sql) = (std::sync::Arc::clone(&harness.app), sql.to_owned());
    blocking(move || {
        app.store.write_blocking(move |tx| {
            match tx.conn() {
                Conn::Sqlite(conn) => diesel::sql_query(&sql).execute(conn)?,
                Conn::Pg(conn) => diesel::sql_query(&sql).execute(conn.as_mut())?,
            };
            Ok(())
        })
    })
    .unwrap();
}

fn tells_nothing(answer: &Answer) {
    for word in [
        "audit_event",
        "table",
        "relation",
        "SQL",
        "sqlite",
        "postgres",
        "/tmp",
        "panicked",
        ".rs",
        "diesel",
    ] {
        assert!(
            !answer.text.to_lowercase().contains(&word.to_lowercase()),
            "{word} in {answer:?}"
        );
    }
    assert!(answer.text.contains("reference"), "{answer:?}");
}

on_both! {
    async fn a_damaged_database_is_told_in_few_words(db) {
        let harness = Harness::start(db);
        sabotage(&harness, "ALTER TABLE audit_event RENAME TO somewhere_else");
        let token = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await;
        assert_eq!((token.status, token.error()), (500, "server_error"), "without its event nothing is issued: {token:?}");
        tells_nothing(&token);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let page = agent.submit(&login, &[("username", "jlehz"), ("password", "wrong")]).await;
        assert_eq!(page.answer().status, 500);
        tells_nothing(page.answer());
        sabotage(&harness, "ALTER TABLE somewhere_else RENAME TO audit_event");
        assert_eq!(harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.status, 200);
    }
}

#[tokio::test]
async fn without_its_database_the_server_answers_503_and_recovers() {
    let harness = Harness::start(Db::Postgres);
    let token = harness
        .token(Some(LIMS), &[("grant_type", "client_credentials")])
        .await
        .str("access_token")
        .to_owned();
    let url = harness.database_url();
    postgres::forbid_connections(&url);
    // Revocations cannot be read any more: after a while nobody may come in, and nothing is said about tokens.
    let ask = async || Agent::new(&harness).get(&authorize_url(&harness, &[])).await;
    let page = eventually("refusal", ask, |page| page.answer().status != 200).await;
    assert_eq!(
        (page.answer().status, page.answer().header("retry-after")),
        (503, "2")
    );
    let asked = harness
        .post("/oauth2/introspect", Some(CMS), &[("token", &token)])
        .await;
    assert_eq!((asked.status, asked.error()), (503, "temporarily_unavailable"));
    assert_eq!(asked.header("retry-after"), "2");
    let refused = harness
        .token(Some(LIMS), &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(
        (refused.status, refused.error()),
        (503, "temporarily_unavailable")
    );
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(harness.get("/readyz").await.status, 503);
    assert_eq!(harness.get("/healthz").await.status, 200);
    assert_eq!(
        harness.get("/oauth2/jwks").await.status,
        200,
        "keys are in memory"
    );
    postgres::allow_connections(&url);
    let ask = async || {
        harness
            .token(Some(LIMS), &[("grant_type", "client_credentials")])
            .await
    };
    eventually("token", ask, |token| token.status == 200).await;
    assert_eq!(harness.introspect(CMS, &token).await["active"], true);
}

on_both! {
    async fn another_process_is_heard_within_a_second(db) {
        let harness = Harness::start(db);
        let token = harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.str("access_token").to_owned();
        assert_eq!(harness.introspect(CMS, &token).await["active"], true);
        let config = harness.app.config.clone();
        let clock = std::sync::Arc::clone(&harness.app.clock);
        blocking(move || {
            use mdi_auth::{app::App, audit::event::Actor, model::client::ClientSettings, registry::{Registry, noun}};
            let beside = App::open(config, clock, false).unwrap();
            let registry = Registry::new(std::sync::Arc::clone(&beside), Actor::Operator("beside".into()));
            registry.blocking(|registry, tx| noun::set_enabled::<ClientSettings>(registry, tx, LIMS.0, false)).unwrap();
            beside.stop();
        });
        // That is how often it looks. How soon it then gets to run is the machine's.
        assert!(live::POLL * 2 < Duration::from_secs(1));
        let told = eventually("news", async || harness.introspect(CMS, &token).await, |told| told["active"] != true).await;
        assert_eq!(told, json!({ "active": false }));
        assert_eq!(harness.token(Some(LIMS), &[("grant_type", "client_credentials")]).await.status, 401);
    }
}

on_both! {
    async fn what_is_changed_in_the_record_is_found(db) {
        let harness = Harness::start(db);
        let grant = [("grant_type", "client_credentials")];
        for _ in 0..3 {
            assert_eq!(harness.token(Some(LIMS), &grant).await.status, 200);
        }
        assert_eq!(harness.token(Some(LIMS), &[grant[0], ("scope", "system/Patient.rs")]).await.status, 400);
        let check = || {
            let app = std::sync::Arc::clone(&harness.app);
            blocking(move || mdi_auth::audit::verify::verify(&app.store, &[])).unwrap().found
        };
        assert_eq!(check(), 0, "the flow left a sound record");
        let one = "kind = 'token.refused'";
        // A column, a byte of the body, and the tail: each is found, and putting it back mends it.
        sabotage(&harness, &format!("UPDATE audit_event SET outcome = '0' WHERE {one}"));
        assert_eq!(check(), 1);
        sabotage(&harness, &format!("UPDATE audit_event SET outcome = '4' WHERE {one}"));
        assert_eq!(check(), 0);
        sabotage(&harness, &format!("UPDATE audit_event SET body = replace(body, 'invalid_scope', 'invalid_scopf') WHERE {one}"));
        assert_eq!(check(), 1);
        sabotage(&harness, &format!("UPDATE audit_event SET body = replace(body, 'invalid_scopf', 'invalid_scope') WHERE {one}"));
        assert_eq!(check(), 0);
        sabotage(&harness, &format!("DELETE FROM audit_event WHERE {one}"));
        assert_eq!(check(), 1, "a row is missing");
    }
}
