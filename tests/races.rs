//! Many clients at once on one code, one refresh token, one `jti`: the database decides, and nobody sees a 5xx.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::agent::{Agent, cookies, hidden};
use crate::harness::assertion::{ClientKey, TYPE, claims};
use crate::harness::{Answer, CALLBACK, EDRS, FULTON, Harness, PASSWORD};
use crate::on_both;
use crate::person_flow::{authorize_url, code_of, redeem};

const RACERS: usize = 64;

/// Sends the same form from many connections at once.
async fn race(
    harness: &Harness,
    basic: Option<(&'static str, &'static str)>,
    form: Vec<(&'static str, String)>,
) -> Vec<Answer> {
    let start = Arc::new(tokio::sync::Barrier::new(RACERS));
    let (url, form) = (harness.url("/oauth2/token"), Arc::new(form));
    let racers: Vec<_> = (0..RACERS)
        .map(|_| {
            let (http, url, start, form) = (
                crate::harness::client(&harness.ca_file),
                url.clone(),
                Arc::clone(&start),
                Arc::clone(&form),
            );
            tokio::spawn(async move {
                let mut request = http.post(url).form(&*form);
                if let Some((id, secret)) = basic {
                    request = request.basic_auth(id, Some(secret));
                }
                start.wait().await;
                Answer::read(request.send().await.unwrap()).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers
}

fn outcomes(answers: &[Answer]) -> BTreeMap<(u16, String), usize> {
    let mut counted = BTreeMap::new();
    for answer in answers {
        *counted
            .entry((answer.status, answer.error().to_owned()))
            .or_default() += 1;
    }
    counted
}

on_both! {
    async fn one_code_has_one_winner(db) {
        let harness = Harness::start(db);
        let code = code_of(&harness, "jlehz", &[]).await;
        let form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", CALLBACK.to_owned()),
            ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
        ];
        let answers = race(&harness, Some(FULTON), form).await;
        assert_eq!(outcomes(&answers), BTreeMap::from([((200, String::new()), 1), ((400, "invalid_grant".to_owned()), RACERS - 1)]));
        let winner = answers.iter().find(|answer| answer.status == 200).unwrap();
        // The losers replayed the code: what it produced is revoked.
        assert_eq!(harness.introspect(EDRS, winner.str("access_token")).await, json!({ "active": false }));
    }
}

on_both! {
    async fn one_refresh_token_has_one_successor(db) {
        let harness = Harness::start(db);
        let code = code_of(&harness, "jlehz", &[]).await;
        let refresh_token = redeem(&harness, &code).await.str("refresh_token").to_owned();
        let form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh_token)];
        let answers = race(&harness, Some(FULTON), form).await;
        assert_eq!(outcomes(&answers), BTreeMap::from([((200, String::new()), RACERS)]), "within the grace time");
        let successors: BTreeMap<&str, ()> = answers.iter().map(|answer| (answer.str("refresh_token"), ())).collect();
        assert_eq!(successors.len(), 1, "the same successor for all");
        assert_eq!(harness.introspect(EDRS, answers[0].str("access_token")).await["active"], true);
    }
}

on_both! {
    async fn without_grace_the_second_use_ends_the_family(db) {
        let harness = Harness::start_with(db, |config| config.tokens.refresh_grace_seconds = 0);
        let code = code_of(&harness, "jlehz", &[]).await;
        let refresh_token = redeem(&harness, &code).await.str("refresh_token").to_owned();
        let form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh_token)];
        let answers = race(&harness, Some(FULTON), form).await;
        assert_eq!(outcomes(&answers), BTreeMap::from([((200, String::new()), 1), ((400, "invalid_grant".to_owned()), RACERS - 1)]));
        let winner = answers.iter().find(|answer| answer.status == 200).unwrap();
        assert_eq!(harness.introspect(EDRS, winner.str("access_token")).await, json!({ "active": false }));
        let successor = harness.token(Some(FULTON), &[("grant_type", "refresh_token"), ("refresh_token", winner.str("refresh_token"))]).await;
        assert_eq!((successor.status, successor.error()), (400, "invalid_grant"), "the family is dead");
    }
}

on_both! {
    async fn one_jti_is_good_once(db) {
        let harness = Harness::start(db);
        let key = ClientKey::new(Algorithm::ES384, "k1");
        let jwks = json!({ "keys": [key.jwk()] }).to_string();
        harness.apply(&format!(
            "[[client]]\nclient_id = \"lims\"\nname = \"LIMS\"\ndataflow = \"lims-to-cms\"\njwks = '{jwks}'\nresource_servers = [\"cms-fulton\"]\n"
        ));
        let good: Value = claims("lims", &harness.issuer, harness.now());
        let form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", key.sign(&good)),
        ];
        let answers = race(&harness, None, form).await;
        assert_eq!(outcomes(&answers), BTreeMap::from([((200, String::new()), 1), ((401, "invalid_client".to_owned()), RACERS - 1)]));
    }
}

on_both! {
    async fn of_many_codes_at_once_no_more_are_judged_than_may_be_tried(db) {
        let harness = Harness::start(db);
        let mut agent = Agent::new(&harness);
        let login = agent.get(&authorize_url(&harness, &[])).await;
        let page = agent
            .submit(&login, &[("username", "jlehz"), ("password", PASSWORD)])
            .await;
        assert_eq!(page.at(), "/login/second-factor");
        let cookies = cookies(&agent);
        let form = Arc::new(vec![("csrf", hidden(&page, "csrf")), ("pending", hidden(&page, "pending")), ("totp", "000000".to_owned())]);
        let start = Arc::new(tokio::sync::Barrier::new(RACERS));
        let racers: Vec<_> = (0..RACERS)
            .map(|_| {
                let request = crate::harness::client(&harness.ca_file)
                    .post(harness.url("/login/second-factor"))
                    .header("cookie", &cookies);
                let (start, form) = (Arc::clone(&start), Arc::clone(&form));
                tokio::spawn(async move {
                    start.wait().await;
                    request.form(&*form).send().await.unwrap().status()
                })
            })
            .collect();
        for racer in racers {
            assert!(!racer.await.unwrap().is_server_error());
        }
        let failed = harness.events("login.failed");
        let judged = failed.iter().filter(|event| event["detail"]["reason_code"] == "wrong_code").count();
        assert_eq!(judged, harness.app.config.login.totp_attempts as usize, "{failed:#?}");
        assert_eq!(harness.events("login.locked").len(), 1);
    }
}
