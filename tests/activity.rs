//! What is counted of the record: once, whoever counts, and each refusal by a reason of a short list.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use mdi_auth::app::App;
use mdi_auth::audit::activity::{HOUR, Latest};
use mdi_auth::audit::event::{Actor, Event, Kind, Outcome};
use mdi_auth::audit::reason::Reason;
use mdi_auth::store::activity::{Last, since};
use mdi_auth::store::sweep::sweep;
use serde_json::json;
use strum::IntoEnumIterator;

use crate::console::audit::{event, record};
use crate::harness::assertion::{ClientKey, TYPE};
use crate::harness::{BEGIN, CMS, FULTON, Harness, LIMS, blocking, catch_up};
use crate::on_both;

/// The secret of a client that is disabled.
const OFF: &str = "off-client-secret-0123456789-abcdefg";

type Counts = BTreeMap<(i64, String, String), i64>;

async fn counts(app: &Arc<App>) -> Counts {
    let counts = app.store.read(|conn| since(conn, 0)).await.unwrap();
    counts
        .into_iter()
        .map(|count| ((count.hour, count.what, count.reason), count.count))
        .collect()
}

async fn lasts(app: &Arc<App>) -> BTreeMap<String, Last> {
    // Each time by somebody who knows nothing, and by somebody who reads what is new.
    let latest = Arc::clone(&app.latest);
    let (all, new) = app
        .store
        .read(move |conn| Ok((Latest::default().read(conn)?, latest.read(conn)?)))
        .await
        .unwrap();
    assert_eq!(all, new);
    all.iter().map(|(id, last)| (id.clone(), last.clone())).collect()
}

fn sum(counts: &Counts, what: &str, reason: &str) -> i64 {
    let fitting = counts
        .iter()
        .filter(|((_, found, why), _)| found == what && why == reason);
    fitting.map(|(_, count)| count).sum()
}

/// Another process on the same database.
fn beside(harness: &Harness) -> Arc<App> {
    let (config, clock) = (harness.app.config.clone(), Arc::clone(&harness.app.clock));
    blocking(move || App::open(config, clock, false).unwrap())
}

on_both! {
    async fn what_happens_at_the_endpoints_is_counted_by_hour_and_client(db) {
        let harness = Harness::start(db);
        let grant = ("grant_type", "client_credentials");
        let answer = harness.token(Some(LIMS), &[grant]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let refused = harness.token(Some(LIMS), &[grant, ("scope", "system/Patient.rs")]).await;
        assert_eq!(refused.error(), "invalid_scope");
        let wrong = harness.token(Some((FULTON.0, "a wrong secret of thirty-two letters")), &[grant]).await;
        assert_eq!(wrong.error(), "invalid_client");
        harness.introspect(CMS, answer.str("access_token")).await;
        record(&harness, harness.app.introspections.drain(harness.now() * 1000));
        catch_up(&harness.app).await.unwrap();
        let counted = counts(&harness.app).await;
        let hour = BEGIN - BEGIN % HOUR;
        for (what, reason) in [
            ("token", ""),
            ("token_refused", "invalid_scope"),
            ("client_failed", "wrong_secret"),
            ("introspection", ""),
        ] {
            assert_eq!(counted.get(&(hour, what.to_owned(), reason.to_owned())), Some(&1), "{what} in {counted:?}");
        }
        let last = lasts(&harness.app).await;
        let lims = &last[LIMS.0];
        assert_eq!((lims.last_token_at, lims.last_failure_at), (Some(BEGIN), Some(BEGIN)));
        assert_eq!(lims.last_failure.as_deref(), Some("invalid_scope"));
        assert_eq!(last[FULTON.0].last_failure.as_deref(), Some("wrong_secret"));
        assert_eq!(last[CMS.0].last_introspection_at, Some(BEGIN));
    }
}

on_both! {
    async fn several_servers_count_each_event_once_and_a_restart_goes_on(db) {
        let harness = Harness::start(db);
        let other = beside(&harness);
        let many = |from: i64| (0..900).map(|number| event(from + number, Kind::TokenIssued, "sys-a")).collect();
        record(&harness, many(0));
        record(&harness, many(10_000));
        // The server follows as well, all the while.
        let (one, two) = tokio::join!(catch_up(&harness.app), catch_up(&other));
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(sum(&counts(&harness.app).await, "token", ""), 1800);
        // Another one, which knows nothing but the database.
        record(&harness, many(20_000));
        let restarted = beside(&harness);
        catch_up(&restarted).await.unwrap();
        assert_eq!(sum(&counts(&harness.app).await, "token", ""), 2700);
        assert_eq!(catch_up(&other).await.unwrap(), 0);
        assert_eq!(lasts(&harness.app).await["sys-a"].last_token_at, Some(BEGIN + 20_899));
        blocking(move || [other, restarted].iter().for_each(|app| app.stop()));
    }
}

on_both! {
    async fn no_wording_changes_what_is_counted(db) {
        let harness = Harness::start(db);
        let mut before = Counts::new();
        for (place, reason) in Reason::iter().enumerate() {
            // Each text is that of another reason, or none that there ever was.
            let other = Reason::iter().nth((place + 7) % Reason::iter().count()).unwrap();
            let login = Event::new(BEGIN * 1000, Kind::LoginFailed, Actor::Stranger);
            let rows = [
                (event(0, Kind::ClientAuthenticationFailed, "sys-a"), "client_failed"),
                (login, "sign_in_failed"),
                (event(0, Kind::TokenRefused, "sys-a").with("error", "invalid_client"), "token_refused"),
            ];
            for (event, what) in rows {
                let texts = [other.in_words(), "wrong or ended secret, used before, locked, code", ""];
                let events = texts.map(|text| event.clone().because(reason, text)).to_vec();
                record(&harness, events);
                catch_up(&harness.app).await.unwrap();
                let now = counts(&harness.app).await;
                let word = reason.counted().as_str();
                assert_eq!(sum(&now, what, word), sum(&before, what, word) + 3, "{what} {reason:?}");
                before = now;
            }
        }
    }
}

on_both! {
    async fn reasons_are_of_a_short_list_whatever_was_sent(db) {
        let harness = Harness::start(db);
        let refused = |error: &str| event(0, Kind::TokenRefused, "sys-a").with("error", error);
        let counted = |sign_ins: &str, clients: &str| {
            Event::new(BEGIN * 1000, Kind::FailuresCounted, Actor::Stranger)
                .outcome(Outcome::MinorFailure)
                .with("count", "99")
                .with("sign_ins", sign_ins)
                .with("clients", clients)
        };
        #[rustfmt::skip]
        let rows: Vec<(Event, &str, &str, i64)> = vec![
            (refused("invalid_grant"), "token_refused", "invalid_grant", 1),
            (refused("wrong_password_of_a_future"), "token_refused", "other", 1),
            (refused("x").with("reason_code", "of a future"), "token_refused", "other", 2),
            (counted("0", "4"), "client_failed", "repeated", 4),
            (counted("7", "2"), "client_failed", "repeated", 6),
            (counted("0", "0"), "sign_in_failed", "repeated", 7),
            (counted("-9", "many"), "sign_in_failed", "repeated", 7),
            (counted("", ""), "client_failed", "repeated", 6),
        ];
        for (event, what, reason, count) in rows {
            let shown = format!("{event:?}");
            record(&harness, vec![event]);
            catch_up(&harness.app).await.unwrap();
            assert_eq!(sum(&counts(&harness.app).await, what, reason), count, "{shown}");
        }
        let known = |why: &str| why.is_empty() || why.parse::<Reason>().is_ok();
        let counted = counts(&harness.app).await;
        assert!(counted.keys().all(|(_, _, why)| known(why)), "{counted:?}");
    }
}

on_both! {
    async fn what_was_refused_at_the_door_says_why(db) {
        // Nobody listens where the client says that its keys are.
        let harness = Harness::start_with(db, |config| config.outbound.allow_loopback = true);
        let key = ClientKey::new(Algorithm::ES256, "k1");
        harness.apply(&format!(
            "[[client]]\nclient_id = \"keyed\"\nname = \"Keyed\"\ndataflow = \"lims-to-cms\"\njwks = {:?}\n\
             [[client]]\nclient_id = \"away\"\nname = \"Away\"\ndataflow = \"lims-to-cms\"\njwks_uri = \"https://127.0.0.1:1/jwks\"\n\
             [[client]]\nclient_id = \"off\"\nname = \"Off\"\ndataflow = \"lims-to-cms\"\nenabled = false\n\
             auth_method = \"client_secret_basic\"\nsecret = {OFF:?}\n\
             [[client]]\nclient_id = \"strict\"\nname = \"Strict\"\ndataflow = \"lims-to-cms\"\nauth_method_strict = true\n\
             auth_method = \"client_secret_basic\"\nsecret = {OFF:?}\n",
            json!({ "keys": [key.jwk()] }).to_string()
        ));
        let grant = ("grant_type", "client_credentials");
        let (other, forged) = (ClientKey::new(Algorithm::ES256, "k2"), ClientKey::new(Algorithm::ES256, "k1"));
        let issuer = harness.issuer.as_str();
        let elsewhere = "https://other.example";
        // Key, client, audience, seconds until it ends, and why it does not count.
        let assertions = [
            (&key, "keyed", elsewhere, 60, "wrong_audience"),
            (&key, "keyed", issuer, -60, "wrong_time"),
            (&other, "keyed", issuer, 60, "unknown_key"),
            (&forged, "keyed", issuer, 60, "bad_assertion"),
            (&key, "away", issuer, 60, "keys_unreachable"),
            (&key, "nobody", issuer, 60, "unknown_client"),
        ];
        // In the body or by Basic, client, secret, and why it does not count.
        let secrets = [
            (false, FULTON.0, "a wrong secret of thirty-two letters", "wrong_secret"),
            (false, "nobody", "a wrong secret of thirty-two letters", "unknown_client"),
            (false, "off", OFF, "disabled"),
            (true, "strict", OFF, "wrong_method"),
        ];
        let mut expected = Vec::new();
        for (in_body, id, secret, reason) in secrets {
            // Of each minute the first failure of a client is recorded with its reason.
            harness.clock.advance(61);
            let sent = [grant, ("client_id", id), ("client_secret", secret)];
            let answer = if in_body {
                harness.token(None, &sent).await
            } else {
                harness.token(Some((id, secret)), &sent[..1]).await
            };
            assert_eq!(answer.error(), "invalid_client", "{reason}: {answer:?}");
            expected.push(reason);
        }
        for (key, client, audience, seconds, reason) in assertions {
            harness.clock.advance(61);
            let claims = json!({
                "iss": client, "sub": client, "aud": audience, "exp": harness.now() + seconds, "jti": reason,
            });
            let assertion = key.sign(&claims);
            let sent = [grant, ("client_assertion_type", TYPE), ("client_assertion", &assertion)];
            let answer = harness.token(None, &sent).await;
            // Where the keys cannot be had, nobody knows whether it is the client.
            let error = match reason {
                "keys_unreachable" => "temporarily_unavailable",
                _ => "invalid_client",
            };
            assert_eq!(answer.error(), error, "{reason}: {answer:?}");
            expected.push(reason);
        }
        let events = harness.events("client_authentication.failed");
        let found: Vec<&str> = events.iter().map(|event| event["detail"]["reason_code"].as_str().unwrap()).collect();
        assert_eq!(found, expected);
    }
}

on_both! {
    async fn half_a_sign_in_is_none_and_old_counts_are_deleted(db) {
        let harness = Harness::start(db);
        let signed_in = |seconds: i64, second: &str| {
            let at = (BEGIN + seconds) * 1000;
            Event::new(at, Kind::LoginSucceeded, Actor::Person("usr_1".to_owned())).with("second_factor", second)
        };
        let day = 86_400;
        record(&harness, vec![signed_in(0, "due"), signed_in(1, "none"), signed_in(-399 * day, ""), signed_in(-401 * day, "")]);
        catch_up(&harness.app).await.unwrap();
        // What is older than counts are kept is not counted at all.
        assert_eq!(sum(&counts(&harness.app).await, "sign_in", ""), 2);
        let now = harness.now() + 2 * day;
        harness.app.store.write(move |tx| sweep(tx.conn(), now, 100)).await.unwrap();
        assert_eq!(sum(&counts(&harness.app).await, "sign_in", ""), 1);
    }
}

on_both! {
    async fn a_client_that_was_deleted_leaves_nothing_to_the_next_of_its_name(db) {
        let harness = Harness::start(db);
        record(&harness, vec![event(0, Kind::TokenIssued, "sys-a"), event(0, Kind::TokenIssued, "sys-b")]);
        catch_up(&harness.app).await.unwrap();
        assert!(lasts(&harness.app).await.contains_key("sys-a"));
        record(&harness, vec![event(1, Kind::ClientChanged, "sys-a").with("action", "deleted")]);
        catch_up(&harness.app).await.unwrap();
        let last = lasts(&harness.app).await;
        assert!(!last.contains_key("sys-a") && last.contains_key("sys-b"));
    }
}

on_both! {
    async fn what_is_later_counts_whatever_the_order(db) {
        let harness = Harness::start(db);
        let refused = |seconds: i64, error: &str| event(seconds, Kind::TokenRefused, "sys-a").with("error", error);
        record(&harness, vec![refused(50, "invalid_scope"), event(60, Kind::TokenIssued, "sys-a")]);
        catch_up(&harness.app).await.unwrap();
        record(&harness, vec![refused(40, "invalid_grant"), event(30, Kind::TokenIssued, "sys-a")]);
        catch_up(&harness.app).await.unwrap();
        let last = lasts(&harness.app).await.remove("sys-a").unwrap();
        assert_eq!((last.last_token_at, last.last_failure_at), (Some(BEGIN + 60), Some(BEGIN + 50)));
        assert_eq!(last.last_failure.as_deref(), Some("invalid_scope"));
    }
}
