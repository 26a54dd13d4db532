//! Mail through a real mail server: TLS, sign-in, what is tried again and what is recorded.

use mdi_auth::config::{Config, MailConfig, MailTls, OutboundConfig};
use mdi_auth::model::secret::Secret;
use mdi_auth::outbound::mail::{Mail, Mailer};
use serde_json::{Value, json};

use crate::admin_api::Program;
use crate::harness::smtp::{MailServer, USER};
use crate::harness::{BEGIN, Db, Harness};
use crate::support::eventually;

const LINK: &str = "https://as.example/new-password/geheim";

fn mail(address: &str) -> Mail {
    Mail {
        person_id: "usr_jane".to_owned(),
        name: "Jane \"Ärztin\" Lehz, MD".to_owned(),
        address: address.to_owned(),
        about: "new password",
        subject: "A new password for you".to_owned(),
        text: format!("Hello Jäne,\n\nopen {LINK}?{}\n", "x".repeat(100)),
    }
}

fn mailer(server: &MailServer, change: impl FnOnce(&mut MailConfig, &mut OutboundConfig)) -> Mailer {
    let mut mail = server.settings();
    let mut outbound = OutboundConfig {
        extra_ca_file: Some(server.ca.clone()),
        ..OutboundConfig::default()
    };
    change(&mut mail, &mut outbound);
    Mailer::new(&mail, &outbound, "as.example").unwrap()
}

/// RFC 3207, RFC 8314 §3.3, RFC 4954
#[tokio::test]
async fn a_message_arrives_over_tls_as_it_was_written() {
    for mode in ["starttls", "tls"] {
        let server = MailServer::start(mode);
        let mailer = mailer(&server, |_, _| ());
        mailer.check().await.unwrap();
        mailer.send(&mail("jane@fulton.example"), BEGIN).await.unwrap();
        let got = server.message(1).await;
        assert_eq!(
            (&got["tls"], &got["user"]),
            (&Value::Bool(true), &Value::from(USER)),
            "{mode}"
        );
        assert_eq!(got["hello"], "as.example");
        assert_eq!(
            (&got["sender"], &got["recipients"][0]),
            (&"no-reply@as.example".into(), &"jane@fulton.example".into())
        );
        assert_eq!(
            got["text"].as_str().unwrap().replace("\r\n", "\n").trim_end(),
            mail("").text.trim_end()
        );
        let headers = &got["headers"];
        assert_eq!(headers["from"], "MDI Auth <no-reply@as.example>");
        assert_eq!(headers["reply-to"], "help@as.example");
        assert!(headers["to"].as_str().unwrap().contains("Ärztin"), "{headers}");
        assert_eq!(headers["subject"], "A new password for you");
        assert_eq!(headers["date"], "Sat, 21 Nov 2026 02:00:00 +0000");
        assert_eq!(headers["auto-submitted"], "auto-generated");
        let id = headers["message-id"].as_str().unwrap();
        assert!(id.starts_with("<mail_") && id.ends_with("@as.example>"), "{id}");
    }
}

/// One row a mistake in the settings: what `check` says of it.
#[tokio::test]
async fn what_is_wrong_with_the_mail_server_is_named() {
    let server = MailServer::start("starttls");
    let rows: [(&str, &dyn Fn(&mut MailConfig, &mut OutboundConfig), &str); 5] = [
        (
            "unknown authority",
            &|_, outbound| outbound.extra_ca_file = None,
            "certificate",
        ),
        (
            "wrong password",
            &|mail, _| mail.credentials.as_mut().unwrap().password = Secret::new("falsch"),
            "535",
        ),
        (
            "TLS where STARTTLS is wanted",
            &|mail, _| mail.tls = MailTls::Tls,
            "",
        ),
        ("nobody there", &|mail, _| mail.port = 1, "refused"),
        (
            "no such host",
            &|mail, _| mail.host = "mail.invalid".to_owned(),
            "",
        ),
    ];
    for (name, change, wanted) in rows {
        let error = mailer(&server, change).check().await.expect_err(name).to_string();
        assert!(
            error.contains(wanted) && !error.contains("falsch"),
            "{name}: {error}"
        );
    }
    // A server that does not offer STARTTLS gets neither password nor mail (RFC 3207 §6).
    let plain = MailServer::start("plain");
    let error = mailer(&plain, |mail, _| mail.tls = MailTls::StartTls)
        .check()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.to_uppercase().contains("STARTTLS"), "{error}");
    let outbound = OutboundConfig {
        extra_ca_file: Some("/nonexistent/ca.pem".into()),
        ..OutboundConfig::default()
    };
    let error = Mailer::new(&server.settings(), &outbound, "as.example")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[outbound] extra_ca_file") && error.contains("/nonexistent/ca.pem"),
        "{error}"
    );
    assert!(server.messages().is_empty());
}

/// Waits for what became of messages: their events as `(outcome, detail)`, oldest first.
async fn outcomes(harness: &Harness, count: usize) -> Vec<(String, Value)> {
    let look = async || harness.events("mail.sent");
    let sent = eventually("record of all messages", look, |sent| sent.len() == count).await;
    sent.iter()
        .map(|event| {
            (
                event["outcome"].as_str().unwrap().to_owned(),
                event["detail"].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn what_is_posted_is_tried_again_or_given_up_and_recorded() {
    let server = MailServer::start("starttls");
    let harness = Harness::empty(Db::Sqlite, |config: &mut Config| server.configure(config));
    let mailer = harness.app.mailer.as_ref().unwrap();
    for address in [
        "refused@fulton.example",
        "busy@fulton.example",
        "jane@fulton.example",
        "not an address",
    ] {
        mailer.post(mail(address));
    }
    let recorded = outcomes(&harness, 4).await;
    let told: Vec<(&str, &str, &str)> = recorded
        .iter()
        .map(|(outcome, detail)| {
            (
                outcome.as_str(),
                detail["tries"].as_str().unwrap(),
                detail["reason"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    // The others do not wait for the one that is busy.
    assert_eq!(told[0], ("4", "1", "the mail server refused with 550"));
    assert_eq!(told[1], ("0", "1", ""));
    assert!(
        told[2].0 == "4" && told[2].2.starts_with("the address cannot be written to"),
        "{told:?}"
    );
    assert_eq!(told[3], ("0", "2", ""));
    server.message(2).await;
    let everything = format!("{recorded:?}");
    assert!(
        !everything.contains("geheim") && !everything.contains("secret.example"),
        "{everything}"
    );
    assert!(!format!("{:?}", mail("a@b.example")).contains("geheim"));
}

/// Whoever looks after people could take an account over: its owner hears of each step, at the old address too.
#[tokio::test]
async fn what_somebody_else_does_to_an_account_is_told_to_its_owner() {
    let server = MailServer::start("starttls");
    let harness = Harness::start_with(Db::Sqlite, |config: &mut Config| server.configure(config));
    harness.apply(
        "[[user]]\nusername = \"jo\"\nname = \"Jo\"\npassword = \"correct horse battery staple\"\n\
         email = \"old@fulton.example\"\nemail_verified = true",
    );
    let program = Program::new(&harness, "users");
    let found = program.get("/users?username=jo").await;
    let path = format!("/users/{}", found.json["items"][0]["id"].as_str().unwrap());
    // Each act, and whom it is told in which words.
    let rows: [(&str, Value, &[&str], &str); 6] = [
        (
            "",
            json!({ "roles": ["data-clerk"] }),
            &["old@fulton.example"],
            "The roles of your account were changed",
        ),
        (
            "/second-factor/reset",
            json!({}),
            &["old@fulton.example"],
            "The second factors of your account were removed",
        ),
        (
            "/password-link",
            json!({}),
            &["old@fulton.example"],
            "A link was made with which a password",
        ),
        ("/disable", json!({}), &[], ""),
        (
            "/enable",
            json!({}),
            &["old@fulton.example"],
            "Your account was enabled again",
        ),
        (
            "",
            json!({ "email": "new@fulton.example" }),
            &["old@fulton.example", "new@fulton.example"],
            "The e-mail address of your account was changed",
        ),
    ];
    let mut count = 0;
    let rows = rows.into_iter().chain([
        // Nothing more goes to an address that its person has not confirmed.
        ("", json!({ "roles": [] }), &[][..], ""),
        // Whoever takes the mark away with the roles does not silence the notices of both.
        (
            "PROVED",
            json!({ "email_verified": false, "roles": ["data-clerk"] }),
            &["new@fulton.example", "new@fulton.example"][..],
            "of your account w",
        ),
    ]);
    for (what, body, told, words) in rows {
        let proved = what == "PROVED";
        if proved {
            // What the operator says of an address is final.
            harness.apply("[[user]]\nusername = \"jo\"\nname = \"Jo\"\nemail = \"new@fulton.example\"\nemail_verified = true");
        }
        let answer = if what.is_empty() || proved {
            program.patch(&path, "*", &body).await
        } else {
            program.post(&format!("{path}{what}"), &body).await
        };
        assert!(answer.status < 300, "{what}: {}", answer.text);
        count += told.len();
        let look = async || server.messages();
        let all = eventually("all notices", look, |all| all.len() >= count).await;
        assert_eq!(all.len(), count, "{what}: {all:?}");
        let mut reached: Vec<&str> = Vec::new();
        for message in &all[count - told.len()..] {
            reached.push(message["recipients"][0].as_str().unwrap());
            let subject = message["headers"]["subject"].as_str().unwrap();
            assert!(subject.contains(words), "{what}: {subject}");
            assert!(
                !message["text"].as_str().unwrap().contains("https://"),
                "no link to follow"
            );
        }
        reached.sort_unstable();
        let mut wanted = told.to_vec();
        wanted.sort_unstable();
        assert_eq!(reached, wanted, "{what}");
    }
    // A refusal tells nobody, nor does what an operator does.
    let refused = program
        .patch(&path, "*", &json!({ "roles": ["administrator"] }))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    harness.apply("[[user]]\nusername = \"jo\"\nroles = []");
    assert_eq!(server.messages().len(), count);
}

#[tokio::test]
async fn what_is_queued_at_the_end_is_sent_before_it() {
    let server = MailServer::start("tls");
    let harness = Harness::empty(Db::Sqlite, |config: &mut Config| server.configure(config));
    for _ in 0..3 {
        harness
            .app
            .mailer
            .as_ref()
            .unwrap()
            .post(mail("jane@fulton.example"));
    }
    let app = harness.app.clone();
    drop(harness);
    server.message(3).await;
    // Afterwards nothing is taken, and nobody is held up.
    app.mailer.as_ref().unwrap().post(mail("jane@fulton.example"));
}
