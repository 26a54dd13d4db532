//! The process is killed at its busiest, and started again: nothing that was answered is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::program::Program;
use crate::harness::{Answer, CMS, LIMS, PERSONAS};
use crate::on_both;
use crate::support::eventually;

on_both! {
    async fn nothing_that_was_answered_is_lost(db) {
        let program = Program::new(db);
        let personas = program.dir.path().join("personas.toml");
        std::fs::write(&personas, PERSONAS).unwrap();
        program.run(&["apply", personas.to_str().unwrap()]);
        let mut server = program.serve();
        let http = program.http().await;
        let (answered, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let (http, url) = (http.clone(), format!("{}/oauth2/token", program.issuer()));
                let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let form = [("grant_type", "client_credentials")];
                        let Ok(answer) = http.post(&url).basic_auth(LIMS.0, Some(LIMS.1)).form(&form).send().await else { continue };
                        let Ok(body) = answer.json::<serde_json::Value>().await else { continue };
                        answered.lock().unwrap().push(body["access_token"].as_str().unwrap().to_owned());
                    }
                })
            })
            .collect();
        eventually("200 answers", async || answered.lock().unwrap().len(), |count| *count >= 200).await;
        server.kill().unwrap();
        server.wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        let mut server = program.serve();
        let http = program.http().await;
        let tokens = std::mem::take(&mut *answered.lock().unwrap());
        assert!(tokens.len() >= 200);
        for token in &tokens {
            let asked = http.post(format!("{}/oauth2/introspect", program.issuer())).basic_auth(CMS.0, Some(CMS.1)).form(&[("token", token)]);
            let told = Answer::read(asked.send().await.unwrap()).await;
            assert_eq!(told.json["active"], true, "{told:?}");
        }
        let verified = program.run(&["audit", "verify"]);
        let issued = tokens.len();
        assert!(count(&verified) >= issued, "{issued} answered, but {verified}");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

/// How many events the record has, as `audit verify` says it.
fn count(text: &str) -> usize {
    let said = text
        .split("the record is sound: ")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"));
    said.split(' ').next().unwrap().parse().unwrap()
}
