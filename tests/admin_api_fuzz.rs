//! The admin API against requests that schemathesis, which others wrote, makes up from its OpenAPI document.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::admin_api::token;
use crate::console::STAFF;
use crate::harness::agent::Agent;
use crate::harness::{Answer, Db, Harness, PASSWORD};
use crate::person_flow::authorize_url;

fn harness_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/harness")
        .join(name)
}

fn schemathesis() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
        let script = harness_file("fuzz-install");
        assert!(
            Command::new(script).arg(&dir).status().unwrap().success(),
            "tests/harness/fuzz-install"
        );
        dir.join("bin/schemathesis")
    })
}

#[tokio::test]
async fn nothing_that_is_made_up_breaks_it_or_gets_an_answer_that_the_document_does_not_tell() {
    let harness = Harness::start_with(Db::Sqlite, |config| {
        // What is made up comes faster than anybody should.
        config.admin_api.requests_per_minute = 1_000_000;
        config.login.address_attempts_per_minute = 1_000_000;
    });
    harness.apply(STAFF);
    // A session and a grant to be ended.
    let mut agent = Agent::new(&harness);
    let page = agent.get(&authorize_url(&harness, &[])).await;
    let page = agent.sign_in(page, "jlehz", PASSWORD).await;
    agent.submit(&page, &[("decision", "approve")]).await;
    let token = token(&harness, "admin");
    let me = harness
        .http
        .get(harness.url("/admin/api/v1/me"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    let me = Answer::read(me).await.json["token"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let output = Command::new(schemathesis())
        .args(["--config-file", harness_file("fuzz.toml").to_str().unwrap()])
        .args(["run", &harness.url("/admin/api/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--tls-verify", harness.ca_file.to_str().unwrap()])
        .args(["--checks", "all"])
        // What the schema allows may still be wrong: a dataflow that does not exist, a key that is none.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        // One worker: parsing in two threads at once fails now and then in Python 3.11.
        .args(["--max-examples", "15", "--seed", "20260101", "--workers", "1"])
        .args([
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "60",
            "--no-color",
        ])
        .env(
            "HYPOTHESIS_STORAGE_DIRECTORY",
            harness.ca_file.parent().unwrap().join("hypothesis"),
        )
        .env("SCHEMATHESIS_HOOKS", harness_file("fuzz_hooks.py"))
        .env("OWN_TOKEN", me)
        .env("NO_PROXY", "*")
        .current_dir(harness.ca_file.parent().unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    // For whoever wants to know what was reached.
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin_api_fuzz.txt"),
        told.as_bytes(),
    )
    .unwrap();
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
