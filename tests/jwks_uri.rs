//! Keys that a client publishes at a URL: fetched through the guard, kept for as long as the client allows, fetched
//! again for an unknown `kid` but not at everybody's whim, and never from where the server must not go.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use jsonwebtoken::Algorithm;
use mdi_auth::config::Config;
use mdi_auth::tls::Tls;
use serde_json::{Value, json};

use crate::harness::assertion::{ClientKey, TYPE, claims};
use crate::harness::{Answer, Db, Harness};
use crate::on_both;
use crate::support::TempDir;

/// A laboratory that publishes keys.
pub struct Laboratory {
    pub keys: Arc<Mutex<Value>>,
    fetches: Arc<AtomicUsize>,
    /// How many of the next answers fail.
    failing: Arc<AtomicUsize>,
    pub url: String,
    pub ca: PathBuf,
    handle: actix_web::dev::ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Laboratory {
    pub fn start() -> Self {
        let dir = TempDir::new();
        let tls = Tls::open(
            &Config::default_with(dir.path()).server,
            jiff::Timestamp::now().as_second(),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}/jwks.json",
            listener.local_addr().unwrap().port()
        );
        let (keys, fetches) = (Arc::new(Mutex::new(Value::Null)), Arc::new(AtomicUsize::new(0)));
        let failing = Arc::new(AtomicUsize::new(0));
        let (served, counted, fails, rustls) = (
            Arc::clone(&keys),
            Arc::clone(&fetches),
            Arc::clone(&failing),
            tls.server_config().unwrap(),
        );
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let (served, counted, fails) =
                        (Arc::clone(&served), Arc::clone(&counted), Arc::clone(&fails));
                    App::new().default_service(web::to(move || {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let fewer = |left: usize| left.checked_sub(1);
                        let fails = fails
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                            .is_ok();
                        let body = served.lock().unwrap().to_string();
                        async move {
                            if fails {
                                return HttpResponse::BadGateway().finish();
                            }
                            HttpResponse::Ok()
                                .insert_header(("Cache-Control", "max-age=600"))
                                .body(body)
                        }
                    }))
                });
                let server = server
                    .workers(1)
                    .disable_signals()
                    .listen_rustls_0_23(listener, rustls)
                    .unwrap()
                    .run();
                send.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        Self {
            keys,
            fetches,
            failing,
            url,
            ca: tls.ca_file().unwrap(),
            handle,
            thread: Some(thread),
            _dir: dir,
        }
    }

    pub fn publish(&self, keys: &[&ClientKey]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() });
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn register(harness: &Harness, url: &str) {
    harness.apply(&format!(
        "[[client]]\nclient_id = \"lims\"\nname = \"LIMS\"\ndataflow = \"lims-to-cms\"\njwks_uri = \"{url}\"\nresource_servers = [\"cms-fulton\"]\n"
    ));
}

async fn ask(harness: &Harness, key: &ClientKey) -> Answer {
    let assertion = key.sign(&claims("lims", &harness.issuer, harness.now()));
    harness
        .token(
            None,
            &[
                ("grant_type", "client_credentials"),
                ("client_assertion_type", TYPE),
                ("client_assertion", &assertion),
            ],
        )
        .await
}

on_both! {
    async fn a_client_replaces_its_key(db) {
        replace_a_key(db).await;
    }
}

async fn replace_a_key(db: Db) {
    let laboratory = Laboratory::start();
    let ca = laboratory.ca.clone();
    let harness = Harness::start_with(db, |config| {
        config.outbound.allow_loopback = true;
        config.outbound.extra_ca_file = Some(ca);
    });
    register(&harness, &laboratory.url);
    let (old, new, unknown) = (
        ClientKey::new(Algorithm::ES384, "old"),
        ClientKey::new(Algorithm::RS384, "new"),
        ClientKey::new(Algorithm::ES384, "unknown"),
    );
    laboratory.publish(&[&old]);
    assert_eq!(ask(&harness, &old).await.status, 200);
    assert_eq!(ask(&harness, &old).await.status, 200);
    assert_eq!(laboratory.fetches(), 1, "kept");
    // The client publishes its next key; the server meets a kid that it does not know.
    laboratory.publish(&[&old, &new]);
    harness.clock.advance(31);
    assert_eq!(ask(&harness, &new).await.status, 200);
    assert_eq!(laboratory.fetches(), 2);
    // A kid that nobody publishes does not make the server ask again and again.
    for _ in 0..5 {
        let refused = ask(&harness, &unknown).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
    }
    assert_eq!(laboratory.fetches(), 2, "cooling down");
    assert_eq!(
        ask(&harness, &old).await.status,
        200,
        "known keys serve meanwhile"
    );
    // The client allowed ten minutes.
    laboratory.publish(&[&new]);
    harness.clock.advance(601);
    assert_eq!(ask(&harness, &old).await.status, 401, "withdrawn");
    assert_eq!(ask(&harness, &new).await.status, 200);
    // What comes is no JWKS, or one with a private key: nothing of it is used.
    harness.clock.advance(601);
    let mut private = new.jwk();
    private["d"] = json!("AAAA");
    *laboratory.keys.lock().unwrap() = json!({ "keys": [private] });
    assert_eq!(ask(&harness, &new).await.status, 401);
    // Two keys with one kid: neither can be chosen. A key that is of no use does no harm.
    harness.clock.advance(601);
    let twin = ClientKey::new(Algorithm::RS384, "new");
    *laboratory.keys.lock().unwrap() =
        json!({ "keys": [new.jwk(), twin.jwk(), { "kty": "oct", "k": "AAAA" }] });
    assert_eq!(ask(&harness, &new).await.status, 401);
    harness.clock.advance(601);
    *laboratory.keys.lock().unwrap() = json!({ "keys": [new.jwk(), { "kty": "oct", "k": "AAAA" }] });
    assert_eq!(ask(&harness, &new).await.status, 200);
    // A jku that is the registered URL is accepted (SMART App Launch).
    let header = json!({ "alg": "RS384", "kid": "new", "typ": "JWT", "jku": laboratory.url });
    let assertion = new.sign_with_header(&header, &claims("lims", &harness.issuer, harness.now()));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", &assertion),
    ];
    assert_eq!(harness.token(None, &form).await.status, 200);
}

#[tokio::test]
async fn an_address_that_is_down_for_a_moment_refuses_nobody() {
    let laboratory = Laboratory::start();
    let ca = laboratory.ca.clone();
    let harness = Harness::start_with(Db::Sqlite, |config| {
        config.outbound.allow_loopback = true;
        config.outbound.extra_ca_file = Some(ca);
    });
    register(&harness, &laboratory.url);
    let key = ClientKey::new(Algorithm::ES384, "k1");
    laboratory.publish(&[&key]);
    laboratory.failing.store(1, Ordering::SeqCst);
    assert_eq!(ask(&harness, &key).await.status, 200, "it was asked once more");
    assert_eq!(laboratory.fetches(), 2);
    // Keys end with what their Cache-Control allowed. Nobody knows who the caller is then: that is no wrong key.
    harness.clock.advance(601);
    laboratory.failing.store(2, Ordering::SeqCst);
    let unknown = ask(&harness, &key).await;
    assert_eq!(
        (unknown.status, unknown.error()),
        (503, "temporarily_unavailable")
    );
    assert!(unknown.description().contains("jwks_uri"), "{unknown:?}");
    harness.clock.advance(31);
    assert_eq!(ask(&harness, &key).await.status, 200);
}

#[tokio::test]
async fn the_server_does_not_go_where_it_must_not() {
    let laboratory = Laboratory::start();
    let harness = Harness::start(Db::Sqlite);
    register(&harness, &laboratory.url);
    let key = ClientKey::new(Algorithm::ES384, "k1");
    laboratory.publish(&[&key]);
    let refused = ask(&harness, &key).await;
    assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
    assert!(
        !refused.description().contains("localhost"),
        "a stranger learns nothing of our keys: {refused:?}"
    );
    assert_eq!(laboratory.fetches(), 0, "loopback is not allowed by default");
}
