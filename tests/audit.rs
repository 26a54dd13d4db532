//! The check of the record finds what somebody with the database in his hands did to it.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use mdi_auth::audit::event::Kind;
use mdi_auth::audit::verify::{Chain, verify};

use crate::support::installation::Installation;

const EVENTS: i64 = 6;

fn installation() -> Installation {
    let installation = Installation::new();
    for number in 1..EVENTS {
        let event = installation
            .app
            .event(Kind::LoginFailed, mdi_auth::audit::event::Actor::Stranger)
            .with("number", number.to_string());
        installation
            .app
            .store
            .write_blocking(move |tx| {
                tx.audit(event.clone().client("lims"));
                Ok(())
            })
            .unwrap();
    }
    installation
}

fn check(installation: &Installation) -> Chain {
    let mut chains = verify(&installation.app.store).unwrap();
    assert_eq!(chains.len(), 1);
    chains.remove(0)
}

#[test]
fn an_untouched_record_is_sound() {
    let installation = installation();
    let chain = check(&installation);
    assert_eq!((chain.sound, chain.finding), (EVENTS, None));
    assert_eq!(chain.head, installation.record().last().unwrap().leaf);
}

#[test]
fn tampering_is_found_at_the_first_bad_row() {
    let swap = "UPDATE audit_event SET seq = -3 WHERE seq = 3; UPDATE audit_event SET seq = 3 WHERE seq = 4; UPDATE audit_event SET seq = 4 WHERE seq = -3;";
    let rows: [(&str, &str, i64, &str); 10] = [
        (
            "a changed byte",
            "UPDATE audit_event SET body = replace(body, '\"number\":\"2\"', '\"number\":\"9\"') WHERE seq = 3",
            3,
            "hash does not fit",
        ),
        (
            "a changed hash",
            "UPDATE audit_event SET leaf = replace(leaf, substr(leaf, 1, 1), 'x') WHERE seq = 3",
            3,
            "hash does not fit",
        ),
        (
            "a changed column",
            "UPDATE audit_event SET client_id = 'other' WHERE seq = 3",
            3,
            "column client_id",
        ),
        (
            "an emptied column",
            "UPDATE audit_event SET client_id = NULL WHERE seq = 3",
            3,
            "column client_id",
        ),
        (
            "a moved time",
            "UPDATE audit_event SET at_ms = at_ms + 1 WHERE seq = 2",
            2,
            "column at_ms",
        ),
        (
            "a dropped row",
            "DELETE FROM audit_event WHERE seq = 3",
            4,
            "row 3 is missing",
        ),
        ("reordered rows", swap, 3, "does not follow row 2"),
        (
            "a truncated tail",
            "DELETE FROM audit_event WHERE seq > 4",
            5,
            "there are 6 rows",
        ),
        (
            "an added row",
            "INSERT INTO audit_event SELECT chain, 7, at_ms, kind, outcome, client_id, person_id, body, leaf, by_person FROM audit_event WHERE seq = 6",
            7,
            "does not follow row 6",
        ),
        (
            "a changed head",
            "UPDATE audit_chain SET seq = 5",
            6,
            "behind the head",
        ),
    ];
    for (what, sql, seq, problem) in rows {
        let installation = installation();
        let mut conn =
            SqliteConnection::establish(&installation.dir.path().join("mdi-auth.db").to_string_lossy())
                .unwrap();
        conn.batch_execute(sql).unwrap();
        let finding = check(&installation)
            .finding
            .unwrap_or_else(|| panic!("{what} was not found"));
        assert_eq!(finding.seq, seq, "{what}: {finding:?}");
        assert!(finding.problem.contains(problem), "{what}: {finding:?}");
    }
}

/// RFC 8785: what the server writes is what a library that sorts would write, for every character and member.
#[test]
fn events_are_canonical_json() {
    use mdi_auth::audit::chain::canonical;
    use mdi_auth::audit::event::{Actor, Event, Kind, Outcome};
    let strange = "quote \" backslash \\ slash / tab \t newline \n return \r feed \u{c} back \u{8} null \u{0} unit \u{1f} delete \u{7f} é 漢 \u{2028} \u{1f600} <&>";
    let full = Event::new(
        1_795_226_400_123,
        Kind::TokenIssued,
        Actor::Client(strange.to_owned()),
    )
    .outcome(Outcome::SeriousFailure)
    .person(strange)
    .from("::1")
    .purposes(&["HDECD".to_owned(), strange.to_owned()])
    .with("scope", strange)
    .with("alg", "ES256")
    .with("zone", "z");
    let empty = Event::new(-1, Kind::ServerStarted, Actor::Server);
    for event in [full, empty] {
        let bound = event.bind(3, i64::from(u32::MAX), "00ff");
        let ours = canonical(&bound).unwrap();
        let value: serde_json::Value = serde_json::from_str(&ours).unwrap();
        assert_eq!(ours, serde_json_canonicalizer::to_string(&value).unwrap());
    }
}
