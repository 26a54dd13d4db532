//! The store's contract, the same on both databases: what is answered is written, what fails leaves nothing, and the
//! neighbours of a failure are intact.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mdi_auth::audit::event::{Actor, Event, Kind};
use mdi_auth::audit::verify::verify;
use mdi_auth::error::Broken;
use mdi_auth::model::grant::RefreshToken;
use mdi_auth::model::secret::Secret;
use mdi_auth::store::changes::{self, Change, ChangeKind};
use mdi_auth::store::logins::{self, Failures};
use mdi_auth::store::{Store, StoreBroken, Target, Threads, audit, installation, sweep, tokens};

use crate::harness::{BEGIN, Db, Harness, blocking, postgres};
use crate::on_both;
use crate::support::TempDir;

fn event(detail: &str) -> Event {
    Event::new(BEGIN * 1000, Kind::TokenIssued, Actor::Server).with("detail", detail)
}

fn failures(subject: &str, count: i64) -> Failures {
    Failures {
        subject: subject.into(),
        failures: count,
        window_started_at: BEGIN,
        locked_until: 0,
        purge_at: BEGIN + 60,
        ..Failures::default()
    }
}

async fn events(store: &Store) -> usize {
    let counted = store.read(|conn| {
        let mut count = 0;
        for log in audit::logs(conn)? {
            let rows = audit::rows_after(conn, log.id, 0, 100_000)?;
            count += rows
                .iter()
                .filter(|row| row.kind == Kind::TokenIssued.as_str())
                .count();
        }
        Ok(count)
    });
    counted.await.unwrap()
}

on_both! {
    async fn a_failed_job_leaves_nothing_and_its_neighbours_alone(db) {
        let harness = Harness::empty(db, |_| {});
        let store = Arc::clone(&harness.app.store);
        // Many at once, so that on SQLite they share a transaction; every third one fails after it has written.
        let jobs: Vec<_> = (0..60)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let written = store.write(move |tx| {
                        logins::put(tx.conn(), &failures(&format!("s{number}"), number))?;
                        tx.audit(event("kept"));
                        if number % 3 == 0 { Err(StoreBroken::Defect("on purpose".into())) } else { Ok(number) }
                    });
                    (number, written.await)
                })
            })
            .collect();
        for job in jobs {
            let (number, outcome) = job.await.unwrap();
            match outcome {
                Ok(answered) => assert!(answered == number && number % 3 != 0),
                Err(Broken::Defect(_)) => assert_eq!(number % 3, 0),
                Err(other) => panic!("{number}: {other}"),
            }
        }
        for number in 0..60 {
            let found = store.read(move |conn| logins::find(conn, &format!("s{number}"))).await.unwrap();
            assert_eq!(found.is_some(), number % 3 != 0, "{number}");
        }
        assert_eq!(events(&store).await, 40, "an event goes with its job");
        assert!(blocking(move || verify(&harness.app.store, &[])).unwrap().is_sound());
    }
}

on_both! {
    async fn a_panic_is_answered_and_the_others_run_again(db) {
        let harness = Harness::empty(db, |_| {});
        let store = Arc::clone(&harness.app.store);
        let jobs: Vec<_> = (0..20)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let written = store.write(move |tx| {
                        logins::put(tx.conn(), &failures(&format!("p{number}"), number))?;
                        assert!(number != 7, "on purpose");
                        Ok(())
                    });
                    (number, written.await.is_ok())
                })
            })
            .collect();
        for job in jobs {
            let (number, done) = job.await.unwrap();
            assert_eq!(done, number != 7, "{number}");
        }
        let found = store.read(|conn| Ok((logins::find(conn, "p7")?, logins::find(conn, "p8")?))).await.unwrap();
        assert!(found.0.is_none() && found.1.is_some());
    }
}

on_both! {
    async fn a_writer_that_a_panic_has_ended_is_made_anew(db) {
        let dir = TempDir::new();
        let target = match db {
            Db::Sqlite => Target::Sqlite(dir.path().join("test.db")),
            Db::Postgres => Target::Postgres { url: Secret::new(postgres::create_database()), root_certificate: None },
        };
        let threads = Threads { readers: 1, writers: 1 };
        let store = blocking(move || Store::open(target, threads, true)).unwrap();
        store.write(|tx| installation::initialise(tx.conn(), "fingerprint", BEGIN)).await.unwrap();
        // Outside of any job: nothing catches this one.
        let ends = AtomicBool::new(true);
        store.on_change(Arc::new(move |_| {
            assert!(!ends.swap(false, Ordering::SeqCst), "on purpose");
            Ok(())
        }));
        let write = async || {
            let written = store.write(|tx| {
                tx.changed(Change { kind: ChangeKind::Client, subject: "lims".into(), purge_at: BEGIN });
                Ok(())
            });
            written.await
        };
        assert!(matches!(write().await, Err(Broken::Unavailable(_))), "nobody knows whether it was written");
        write().await.unwrap();
    }
}

on_both! {
    async fn one_of_many_wins(db) {
        let harness = Harness::empty(db, |_| {});
        let store = Arc::clone(&harness.app.store);
        let wins = Arc::new(AtomicUsize::new(0));
        let racers: Vec<_> = (0..64)
            .map(|_| {
                let (store, wins) = (Arc::clone(&store), Arc::clone(&wins));
                tokio::spawn(async move {
                    if store.write(|tx| tokens::burn_jti(tx.conn(), "one jti", BEGIN + 300)).await.unwrap() {
                        wins.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.await.unwrap();
        }
        assert_eq!(wins.load(Ordering::SeqCst), 1);
    }
}

on_both! {
    async fn changes_come_in_the_order_of_their_commits(db) {
        let harness = Harness::empty(db, |_| {});
        let store = Arc::clone(&harness.app.store);
        let before = store.read(changes::revision).await.unwrap().seq;
        let writers: Vec<_> = (0..50)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store
                        .write(move |tx| {
                            for part in ["a", "b"] {
                                let subject = format!("{number}{part}");
                                tx.changed(Change { kind: ChangeKind::GrantRevoked, subject, purge_at: BEGIN + 60 });
                            }
                            Ok(())
                        })
                        .await
                        .unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let (revision, log) = store.read(move |conn| Ok((changes::revision(conn)?, changes::after(conn, before)?))).await.unwrap();
        assert_eq!(revision.seq - before, 100);
        assert_eq!(log.iter().map(|(at, _)| at.seq).collect::<Vec<_>>(), (before + 1..=revision.seq).collect::<Vec<_>>(), "no gap");
        for pair in log.chunks(2) {
            assert_eq!(pair[0].1.subject.trim_end_matches('a'), pair[1].1.subject.trim_end_matches('b'), "a transaction's stand together");
        }
        assert!(harness.app.live.grant_is_revoked("49b"), "known before the answer");
    }
}

on_both! {
    async fn what_has_expired_goes_in_small_batches_and_the_rest_stays(db) {
        let harness = Harness::start(db);
        let store = Arc::clone(&harness.app.store);
        let written = store.write(|tx| {
            for number in 0..30 {
                tokens::burn_jti(tx.conn(), &format!("old {number}"), BEGIN - 1)?;
            }
            tokens::burn_jti(tx.conn(), "young", BEGIN + 300)?;
            tokens::add_opaque(tx.conn(), "old", "{}", BEGIN - 1)?;
            tokens::add_opaque(tx.conn(), "young", "{}", BEGIN + 300)
        });
        written.await.unwrap();
        let first = store.write(|tx| sweep::sweep(tx.conn(), BEGIN, 20)).await.unwrap();
        assert_eq!(first, 21, "at most 20 of a table");
        let second = store.write(|tx| sweep::sweep(tx.conn(), BEGIN, 20)).await.unwrap();
        assert_eq!(second, 10);
        assert_eq!(store.write(|tx| sweep::sweep(tx.conn(), BEGIN, 20)).await.unwrap(), 0);
        let (old, young) = store.read(|conn| Ok((tokens::find_opaque(conn, "old")?, tokens::find_opaque(conn, "young")?))).await.unwrap();
        assert!(old.is_none() && young.is_some());
        assert!(!store.write(|tx| tokens::burn_jti(tx.conn(), "young", BEGIN + 300)).await.unwrap(), "still burned");
    }
}

on_both! {
    async fn rows_that_belong_to_nobody_are_refused(db) {
        let harness = Harness::empty(db, |_| {});
        let orphan = RefreshToken {
            hash: "h".into(), grant_id: "no such grant".into(), generation: 0, nonce: "n".into(), answered_scope: String::new(),
            expires_at: BEGIN, used_at: None,
        };
        let outcome = harness.app.store.write(move |tx| tokens::add_refresh(tx.conn(), &orphan, BEGIN)).await;
        assert!(matches!(outcome, Err(Broken::Defect(_))), "foreign keys hold: {outcome:?}");
    }
}

on_both! {
    async fn another_master_key_is_refused(db) {
        let harness = Harness::empty(db, |_| {});
        let mut config = harness.app.config.clone();
        let other = TempDir::new();
        let key = other.path().join("other.key");
        config.keys.master_key = mdi_auth::config::MasterKeySource::File(key);
        let clock = Arc::clone(&harness.app.clock);
        let refused = blocking(move || mdi_auth::app::App::open(config, clock, true).map(|_| ())).unwrap_err();
        assert!(refused.to_string().contains("master key") && !refused.to_string().contains("defect"), "{refused}");
    }
}
