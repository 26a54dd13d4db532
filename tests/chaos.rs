//! What the machine may do to a server that runs: its clocks jump, its disk is full, its log cannot be written, its
//! database forgets or hangs up. After each nothing that was answered is lost, nothing that was revoked lives, `/readyz`
//! tells the truth, and the server is well again without a restart once the cause is gone.

use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::RunQueryDsl;
use jsonwebtoken::Algorithm;
use mdi_auth::app::App;
use mdi_auth::audit::event::{Actor, Event, Kind};
use mdi_auth::server;
use mdi_auth::store::{Conn, Store, Target, Threads, audit};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::harness::assertion::{ClientKey, claims};
use crate::harness::program::Program;
use crate::harness::{Answer, CMS, Db, Harness, LIMS, PERSONAS, blocking, postgres};
use crate::on_both;
use crate::support::{eventually, eventually_blocking};

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How many ticks must agree before a clock is believed again.
const TICKS: usize = 5;

/// Runs SQL behind the server's back, as somebody else who has the database.
fn behind_its_back(harness: &Harness, statements: &[String]) {
    let (app, statements) = (Arc::clone(&harness.app), statements.to_vec());
    blocking(move || {
        app.store.write_blocking(move |tx| {
            for sql in &statements {
                match tx.conn() {
                    Conn::Sqlite(conn) => diesel::sql_query(sql).execute(conn)?,
                    Conn::Pg(conn) => diesel::sql_query(sql).execute(conn.as_mut())?,
                };
            }
            Ok(())
        })
    })
    .unwrap();
}

async fn access_token(harness: &Harness) -> String {
    let answer = harness.token(Some(LIMS), &GRANT).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.str("access_token").to_owned()
}

async fn revoke(harness: &Harness, token: &str) {
    let answer = harness
        .post("/oauth2/revoke", Some(LIMS), &[("token", token)])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A laboratory that signs its requests, and the way to send one.
async fn sends(harness: &Harness, assertion: &str) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    harness.token(None, &form).await
}

/// Does the server's upkeep `times` times, as the minutes would.
async fn tend(harness: &Harness, times: usize) {
    for _ in 0..times {
        server::tend(&harness.app).await;
    }
}

on_both! {
    async fn a_clock_that_jumps_revives_nothing_and_lengthens_nothing(db) {
        for jump in [26 * 3600, -26 * 3600, 400 * 24 * 3600] {
            let harness = Harness::start_with(db, |config| {
                config.login.dormant_days = 90;
                config.tokens.system_access_seconds = 300;
            });
            let key = ClientKey::new(Algorithm::ES256, "k1");
            harness.apply(&format!(
                "[[client]]\nclient_id = \"signer\"\nname = \"Signer\"\ndataflow = \"lims-to-cms\"\nauth_method = \"private_key_jwt\"\njwks = {:?}\n",
                json!({ "keys": [key.jwk()] }).to_string()
            ));
            let (good, revoked) = (access_token(&harness).await, access_token(&harness).await);
            revoke(&harness, &revoked).await;
            let assertion = key.sign(&claims("signer", &harness.issuer, harness.now()));
            assert_eq!(sends(&harness, &assertion).await.status, 200);
            let before = harness.now();
            harness.clock.jump(jump);
            for _ in 0..2 {
                server::tend(&harness.app).await;
                assert_eq!(harness.get("/readyz").await.status, 503, "{jump}: the time is in doubt");
                assert_eq!(harness.now(), before, "{jump}: time goes on as before");
                // What is issued meanwhile lives no longer and no shorter.
                let meanwhile = harness.token(Some(LIMS), &GRANT).await;
                assert_eq!(meanwhile.json["expires_in"], 300);
                let told = harness.introspect(CMS, meanwhile.str("access_token")).await;
                assert_eq!((&told["active"], &told["exp"]), (&json!(true), &json!(before + 300)), "{jump}");
                assert_eq!(harness.introspect(CMS, &revoked).await["active"], false, "{jump}");
                assert_eq!(harness.introspect(CMS, &good).await["active"], true, "{jump}");
                assert_eq!(sends(&harness, &assertion).await.error(), "invalid_client", "{jump}: used once");
            }
            harness.clock.jump(-jump);
            for _ in 0..TICKS {
                assert_eq!(harness.events("person.changed").iter().filter(|event| event["detail"]["action"] == "disabled_dormant").count(), 0);
                server::tend(&harness.app).await;
            }
            // Once more: putting it right is a jump, too.
            server::tend(&harness.app).await;
            eventually("readiness", async || harness.get("/readyz").await.status, |status| *status == 200).await;
            assert_eq!(harness.introspect(CMS, &revoked).await["active"], false, "{jump}");
            assert_eq!(sends(&harness, &assertion).await.error(), "invalid_client", "{jump}");
            assert_eq!(harness.introspect(CMS, &good).await["active"], true, "{jump}");
        }
    }
}

on_both! {
    async fn a_clock_that_was_set_right_is_believed_after_a_while(db) {
        let harness = Harness::start(db);
        let before = harness.now();
        harness.clock.jump(3600);
        for _ in 0..TICKS {
            server::tend(&harness.app).await;
            assert_eq!(harness.now(), before);
        }
        server::tend(&harness.app).await;
        assert_eq!(harness.now(), before + 3600);
        eventually("readiness", async || harness.get("/readyz").await.status, |status| *status == 200).await;
    }
}

on_both! {
    async fn a_clock_that_the_database_contradicts_is_not_believed(db) {
        let harness = Harness::start(db);
        let before = harness.now();
        harness.clock.database_is_off(0);
        server::tend(&harness.app).await;
        harness.clock.jump(365 * 24 * 3600);
        for _ in 0..3 * TICKS {
            server::tend(&harness.app).await;
            assert_eq!(harness.now(), before, "however long it goes on");
        }
        assert_eq!(harness.get("/readyz").await.status, 503);
        // Put right, it is believed.
        harness.clock.jump(-365 * 24 * 3600);
        tend(&harness, TICKS + 1).await;
        eventually("readiness", async || harness.get("/readyz").await.status, |status| *status == 200).await;
        // And where the clock was wrong from the start and is put right, so is that.
        harness.clock.database_is_off(3600);
        server::tend(&harness.app).await;
        assert_eq!(harness.get("/readyz").await.status, 503);
        harness.clock.jump(3600);
        tend(&harness, TICKS + 1).await;
        assert_eq!(harness.now(), before + 3600);
        eventually("readiness", async || harness.get("/readyz").await.status, |status| *status == 200).await;
    }
}

on_both! {
    async fn by_a_clock_in_doubt_nothing_is_replaced_or_deleted(db) {
        const YEAR: i64 = 365 * 24 * 3600;
        let harness = Harness::start(db);
        access_token(&harness).await;
        // A year later, as this machine has said since it was switched on, and the database does not.
        harness.clock.advance(YEAR);
        harness.clock.database_is_off(-YEAR);
        let replaced = || harness.events("key.changed").len();
        let before = replaced();
        tend(&harness, 2 * TICKS).await;
        assert_eq!(replaced(), before, "the keys are a year old by this clock alone");
        harness.clock.database_is_off(0);
        tend(&harness, TICKS + 1).await;
        assert!(replaced() > before);
    }
}

on_both! {
    async fn a_start_before_the_newest_event_is_doubted(db) {
        let harness = Harness::start(db);
        let app = Arc::clone(&harness.app);
        let later = Event::new((harness.now() + 26 * 3600) * 1000, Kind::Initialised, Actor::Server);
        blocking(move || app.store.write_blocking(move |tx| { tx.audit(later.clone()); Ok(()) })).unwrap();
        server::doubt_at_start(&harness.app).await;
        assert_eq!(harness.get("/readyz").await.status, 503);
        assert_eq!(harness.token(Some(LIMS), &GRANT).await.status, 200, "issuing goes on");
        tend(&harness, TICKS).await;
        eventually("readiness", async || harness.get("/readyz").await.status, |status| *status == 200).await;
    }
}

on_both! {
    async fn keys_made_by_a_clock_that_was_ahead_sign_all_the_same(db) {
        let harness = Harness::empty(db, |_| {});
        harness.apply(PERSONAS);
        // As if the first start had been a day from now.
        let app = Arc::clone(&harness.app);
        behind_its_back(&harness, &["UPDATE signing_key SET signs_from = signs_from + 86400".to_owned()]);
        blocking(move || app.store.write_blocking(move |tx| {
            tx.changed(mdi_auth::store::changes::Change {
                kind: mdi_auth::store::changes::ChangeKind::Keys,
                subject: "keys".to_owned(),
                purge_at: i64::MAX,
            });
            Ok(())
        })).unwrap();
        let token = access_token(&harness).await;
        assert_eq!(harness.introspect(CMS, &token).await["active"], true);
        assert_eq!(harness.get("/readyz").await.status, 200);
        let discovery = harness.get("/.well-known/openid-configuration").await;
        assert_eq!(discovery.json["id_token_signing_alg_values_supported"], json!(["RS256"]));
    }
}

/// Another server on the same database, which looks at what was changed when it is told to.
async fn beside(harness: &Harness) -> Arc<App> {
    let (config, clock) = (harness.app.config.clone(), Arc::clone(&harness.app.clock));
    let beside = blocking(move || {
        let beside = App::open(config, clock, false).unwrap();
        beside.stop();
        beside
    });
    eventually(
        "end of following",
        async || beside.live.is_fresh(),
        |fresh| !fresh,
    )
    .await;
    beside
}

/// The server looks at what others have changed, as it does five times a second.
fn follow(app: &Arc<App>) {
    let app = Arc::clone(app);
    blocking(move || {
        let live = Arc::clone(&app.live);
        app.store.read_blocking(move |conn| live.follow(conn)).unwrap();
    });
}

on_both! {
    async fn a_server_that_was_away_learns_all_that_it_missed(db) {
        // Meanwhile what it has not read has expired: all of it, or some in between.
        for all in [true, false] {
            let harness = Harness::start(db);
            let away = beside(&harness).await;
            let app = Arc::clone(&harness.app);
            let seen = blocking(move || app.store.read_blocking(mdi_auth::store::changes::revision)).unwrap().seq;
            let token = access_token(&harness).await;
            harness.disable_client(LIMS.0);
            harness.disable_user("jlehz");
            harness.disable_user("norole");
            let expired = match all {
                true => "seq < (SELECT revision FROM installation)".to_owned(),
                false => format!("seq > {seen} AND subject = '{}'", LIMS.0),
            };
            behind_its_back(&harness, &[format!("DELETE FROM change WHERE {expired}")]);
            let people = harness.events("person.changed");
            let disabled = people.iter().filter(|event| event["detail"]["action"] == "disabled");
            let disabled: Vec<&str> = disabled.map(|event| event["person_id"].as_str().unwrap()).collect();
            let hold = |generation| disabled.iter().filter(|id| away.live.person_holds(id, generation)).count();
            assert!(away.live.client(LIMS.0).unwrap().client.enabled, "it knows nothing yet");
            assert_eq!((disabled.len(), hold(0)), (2, 2), "it knows nothing yet");
            follow(&away);
            assert!(!away.live.client(LIMS.0).unwrap().client.enabled, "{expired}");
            assert!(away.live.is_fresh());
            assert_eq!((hold(0), hold(1)), (0, 0), "{expired}");
            assert_eq!(harness.introspect(CMS, &token).await["active"], false);
        }
    }
}

on_both! {
    async fn a_restored_database_is_read_anew_and_revives_nothing(db) {
        let harness = Harness::start(db);
        let node = beside(&harness).await;
        follow(&node);
        let app = Arc::clone(&harness.app);
        let then = blocking(move || app.store.read_blocking(mdi_auth::store::changes::revision)).unwrap();
        let revoked = access_token(&harness).await;
        revoke(&harness, &revoked).await;
        harness.disable_client("fulton-cms");
        harness.disable_client(LIMS.0);
        follow(&node);
        assert!(!node.live.client(LIMS.0).unwrap().client.enabled);
        // The database goes back to what it was, and another history begins.
        let now = blocking({
            let app = Arc::clone(&harness.app);
            move || app.store.read_blocking(mdi_auth::store::changes::revision)
        }).unwrap();
        behind_its_back(&harness, &[
            format!("UPDATE client SET enabled = true WHERE id IN ('fulton-cms', '{}')", LIMS.0),
            format!("DELETE FROM change WHERE seq > {}", then.seq),
            format!("UPDATE installation SET revision = {}, revision_id = '{}'", then.seq, then.id),
        ]);
        for _ in then.seq..now.seq {
            harness.apply("[[client]]\nclient_id = \"lims-secret\"\nname = \"A\"\ndataflow = \"lims-to-cms\"\n");
            harness.apply("[[client]]\nclient_id = \"lims-secret\"\nname = \"B\"\ndataflow = \"lims-to-cms\"\n");
        }
        follow(&node);
        assert!(node.live.client("fulton-cms").unwrap().client.enabled, "as the database says now");
        assert!(node.live.token_is_revoked(&jti_of(&revoked)), "what was revoked stays so where it was known");
        let readied = async || harness.get("/readyz").await.status;
        eventually("readiness", readied, |status| *status == 200).await;
        assert_eq!(harness.introspect(CMS, &revoked).await["active"], false);
    }
}

fn jti_of(token: &str) -> String {
    crate::person_flow::claims_of(token)["jti"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn connections_that_die_one_by_one_are_nobodys_affair() {
    let harness = Harness::start(Db::Postgres);
    let url = harness.database_url();
    for round in 0..12 {
        let token = access_token(&harness).await;
        postgres::end_one_connection(&url);
        // Every read is answered, and so is every write.
        let page = harness.get("/oauth2/userinfo").await;
        assert_eq!(page.status, 401, "{round}: {page:?}");
        let mut agent = crate::harness::agent::Agent::new(&harness);
        let login = agent.get(&crate::person_flow::authorize_url(&harness, &[])).await;
        assert_eq!(login.at(), "/login", "{round}");
        let consent = agent.sign_in(login, "jlehz", crate::harness::PASSWORD).await;
        assert_eq!(consent.at(), "/consent", "{round}: {consent:?}");
        assert_eq!(harness.introspect(CMS, &token).await["active"], true, "{round}");
        assert_eq!(harness.token(Some(LIMS), &GRANT).await.status, 200, "{round}");
        harness.clock.advance(30);
    }
}

/// What a program that was started may write to a file, in bytes; none: as much as it likes.
fn limit_files(child: &std::process::Child, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

async fn token_of(program: &Program, http: &reqwest::Client) -> Answer {
    let request = http.post(program.url("/oauth2/token"));
    let answer = request.basic_auth(LIMS.0, Some(LIMS.1)).form(&GRANT).send().await;
    Answer::read(answer.expect("an answer, whatever it is")).await
}

/// Database and log on one disk that is full: a request is refused, and answered; nothing ends; with room again all is well.
#[tokio::test]
async fn a_full_disk_is_told_and_forgotten() {
    let program = Program::new(Db::Sqlite);
    let personas = program.dir.path().join("personas.toml");
    std::fs::write(&personas, PERSONAS).unwrap();
    program.run(&["apply", personas.to_str().unwrap()]);
    let log = File::create(program.dir.path().join("log")).unwrap();
    // Ignored across exec: else the process is killed where others are told that there is no room.
    let mut command = program.command(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command
        .arg("serve")
        .stderr(Stdio::from(log))
        .env("MDI_AUTH_LOG", "debug");
    let mut server = program.start(command);
    let http = program.http().await;
    let before = token_of(&program, &http).await;
    assert_eq!(before.status, 200, "{before:?}");
    for round in 0..2 {
        limit_files(&server, Some(1));
        for _ in 0..5 {
            let refused = token_of(&program, &http).await;
            assert_eq!(
                (refused.status, refused.error()),
                (503, "temporarily_unavailable"),
                "{round}: {refused:?}"
            );
            for (path, status) in [
                ("/oauth2/jwks", 200),
                ("/healthz", 200),
                ("/readyz", 503),
                ("/nothing", 404),
            ] {
                let answer = http.get(program.url(path)).send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), status, "{round}: {path}");
            }
        }
        limit_files(&server, None);
        let again = async || token_of(&program, &http).await;
        let after = eventually("token", again, |answer| answer.status == 200).await;
        let ready = async || {
            http.get(program.url("/readyz"))
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        eventually("readiness", ready, |status| *status == 200).await;
        for token in [&before, &after] {
            let request = http.post(program.url("/oauth2/introspect"));
            let request = request
                .basic_auth(CMS.0, Some(CMS.1))
                .form(&[("token", token.str("access_token"))]);
            let told = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(told.json["active"], true, "{round}: {told:?}");
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(program.run(&["audit", "verify"]).contains("the record is sound"));
}

/// A log that nobody can write to is no reason not to answer.
#[tokio::test]
async fn without_its_log_the_server_works() {
    let program = Program::new(Db::Sqlite);
    let personas = program.dir.path().join("personas.toml");
    std::fs::write(&personas, PERSONAS).unwrap();
    program.run(&["apply", personas.to_str().unwrap()]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = program.command(&[]);
    command
        .arg("serve")
        .stderr(Stdio::from(full))
        .env("MDI_AUTH_LOG", "trace");
    let mut server = program.start(command);
    let http = program.http().await;
    for _ in 0..20 {
        assert_eq!(token_of(&program, &http).await.status, 200);
        let request = http
            .post(program.url("/oauth2/token"))
            .basic_auth("nobody", Some("nothing"));
        assert_eq!(request.form(&GRANT).send().await.unwrap().status(), 401);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A task of ours that panics is made anew, as threads are.
#[tokio::test]
async fn a_task_that_a_panic_has_ended_is_made_anew() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let work = move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move { assert!(number > 0, "the first time it panics") }
    };
    mdi_auth::supervisor::task("of this test", work).await;
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

/// What strangers write passes for no other field of the line.
#[tokio::test]
async fn a_value_in_the_log_imitates_no_field() {
    let program = Program::new(Db::Sqlite);
    program.run(&["key", "list"]);
    let file = program.dir.path().join("log");
    let mut command = program.command(&[]);
    command
        .arg("serve")
        .env("MDI_AUTH_LOG", "info")
        .stderr(Stdio::from(File::create(&file).unwrap()));
    let mut server = program.start(command);
    let http = program.http().await;
    let said = "x cause=forged reference=AAAAAAAA \" y=\"";
    let request = http
        .post(program.url("/oauth2/token"))
        .form(&[("grant_type", said)]);
    assert_eq!(request.send().await.unwrap().status(), 400);
    let log = eventually(
        "a line about it",
        async || std::fs::read_to_string(&file).unwrap(),
        |log| log.contains("forged"),
    )
    .await;
    let line = log.lines().find(|line| line.contains("forged")).unwrap();
    // Outside of quotes there is nothing of it.
    let mut outside = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if !quoted => outside.push(c),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    assert!(!outside.contains("forged") && !outside.contains("AAAA"), "{line}");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A second server on one SQLite file is mostly a mistake.
#[tokio::test]
async fn a_second_server_on_one_file_is_refused_unless_it_is_meant() {
    let program = Program::new(Db::Sqlite);
    let mut server = program.serve();
    program.http().await;
    let refused = || {
        let mut second = program.command(&[]);
        second.arg("serve").env("MDI_AUTH_SERVER__LISTEN", "127.0.0.1:0");
        let mut second = second
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = eventually_blocking(
            "end of the second server",
            || second.try_wait().unwrap(),
            Option::is_some,
        );
        assert!(!status.unwrap().success());
        std::io::read_to_string(second.stderr.take().unwrap()).unwrap()
    };
    let text = refused();
    assert!(
        text.contains("another server serves from") && text.contains("--share-database"),
        "{text}"
    );
    server.kill().unwrap();
    server.wait().unwrap();
    let start = || {
        let mut meant = program.command(&[]);
        meant
            .args(["serve", "--share-database"])
            .env("MDI_AUTH_SERVER__LISTEN", "127.0.0.1:0");
        program.start(meant)
    };
    let (mut server, mut second) = (start(), start());
    assert!(
        refused().contains("another server serves from"),
        "it does not say that it is meant"
    );
    for child in [&mut server, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // The one that was killed left nothing behind that keeps the next from starting.
    let mut again = program.serve();
    program.http().await;
    again.kill().unwrap();
    again.wait().unwrap();
}

/// The record shows with what the server ran, and what of it was changed between two starts.
#[tokio::test]
async fn what_it_runs_with_is_recorded() {
    let program = Program::new(Db::Sqlite);
    for name in ["One", "One", "Two"] {
        let mut command = program.command(&[]);
        command.arg("serve").env("MDI_AUTH_SERVER__NAME", name);
        let mut server = program.start(command);
        program.http().await;
        server.kill().unwrap();
        server.wait().unwrap();
    }
    let database = program.dir.path().join("data/mdi-auth.db");
    let rows = blocking(move || {
        let threads = Threads {
            readers: 1,
            writers: 1,
        };
        let store = Store::open(Target::Sqlite(database), threads, false).unwrap();
        store
            .read_blocking(|conn| audit::rows_after(conn, 0, 0, 1000))
            .unwrap()
    });
    let of = |kind: Kind| -> Vec<Value> {
        let rows = rows.iter().filter(|row| row.kind == kind.as_str());
        rows.map(|row| serde_json::from_str(&row.body).unwrap()).collect()
    };
    let started = of(Kind::ServerStarted);
    assert_eq!(started.len(), 3);
    for name in ["certificate", "policy", "profile", "settings"] {
        assert!(
            started.iter().all(|event| event["detail"][name].is_string()),
            "{name}: {started:?}"
        );
    }
    let changed = of(Kind::ConfigurationChanged);
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["detail"]["changed"], "settings");
    let (old, new) = (
        &started[1]["detail"]["settings"],
        &started[2]["detail"]["settings"],
    );
    let told = format!("{} -> {}", old.as_str().unwrap(), new.as_str().unwrap());
    assert_eq!(changed[0]["detail"]["settings"], told);
}

/// What others may write to, or read of what is secret, is refused with the step that helps; a group that the process has
/// beside its own is no other, for container platforms give volumes to one.
#[cfg(unix)]
#[test]
fn files_that_are_open_to_others_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::new(Db::Sqlite);
    program.run(&["key", "list"]);
    let data = program.dir.path().join("data");
    let set = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let told = || {
        let output = program
            .command(&[])
            .arg("serve")
            .env("MDI_AUTH_SERVER__LISTEN", "192.0.2.1:1")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // It gets as far as its address, which this machine does not have.
    assert!(told().contains("cannot listen on"), "{}", told());
    for (path, good, bad, words) in [
        (
            data.clone(),
            0o700,
            0o777,
            "others may write to the data directory",
        ),
        (
            data.join("master.key"),
            0o600,
            0o604,
            "others may read the master key",
        ),
        (
            data.join("server-key.pem"),
            0o600,
            0o644,
            "others may read the key of the TLS certificate",
        ),
        (
            data.join("ca-key.pem"),
            0o600,
            0o644,
            "others may read the key of the certificate authority",
        ),
        (
            data.join("mdi-auth.db"),
            0o600,
            0o644,
            "others may read the database",
        ),
    ] {
        set(&path, bad);
        let refused = told();
        assert!(
            refused.contains(words) && refused.contains("chmod"),
            "{path:?}: {refused}"
        );
        set(&path, if path == data { 0o770 } else { 0o660 });
        assert!(
            told().contains(words),
            "{path:?}, its own group, which may be everybody's"
        );
        // A group that the process has beside its own, as volumes of container platforms do. Only root can give it one.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, None, Some(4242)).unwrap();
            let with_group = program
                .command(&["setpriv", "--groups", "4242"])
                .arg("serve")
                .env("MDI_AUTH_SERVER__LISTEN", "192.0.2.1:1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&with_group.stderr).into_owned();
            assert!(text.contains("cannot listen on"), "{path:?}: {text}");
            std::os::unix::fs::chown(&path, None, Some(rustix::process::getegid().as_raw())).unwrap();
        }
        set(&path, good);
    }
    let file = program.dir.path().join("mdi-auth.toml");
    std::fs::write(&file, "").unwrap();
    for (mode, words) in [
        (0o644, "cannot listen on"),
        (0o666, "others may write to the configuration"),
    ] {
        set(&file, mode);
        let output = program
            .command(&[])
            .arg("--config")
            .arg(&file)
            .arg("serve")
            .env("MDI_AUTH_SERVER__LISTEN", "192.0.2.1:1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(words), "{mode:o}: {told}");
    }
}
