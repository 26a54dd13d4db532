//! The server: the only list of URLs, the headers that every answer carries, TLS, the work that recurs, and the end.

pub mod pages;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::rt::spawn;
use actix_web::{App as HttpApp, HttpRequest, HttpResponse, HttpServer, Route, web};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::app::{App, fingerprints};
use crate::audit::activity;
use crate::audit::event::{Actor, Event, Kind};
use crate::clock::{Clock, SystemClock};
use crate::error::{Broken, PageError};
use crate::oauth::metadata::{self, Documents};
use crate::oauth::{backchannel_logout, introspect, jwks, revoke, token, userinfo};
use crate::registry::{self, Registry};
use crate::store::audit::AuditRow;
use crate::tls::Tls;
use crate::web::connections::{Capacity, Connections};
use crate::web::methods::only;
use crate::web::{assets, browser, refusals};
use crate::{admin, session, store, supervisor};

/// How long a readiness answer is kept: strangers may ask, and each answer costs a write.
const READY_KEPT: Duration = Duration::from_secs(5);
/// How much is written to prove that writing is possible, in secrets of 43 characters: more than any token needs.
const PROOF_SECRETS: usize = 400;
/// How often recurring work is done.
const MAINTENANCE: Duration = Duration::from_secs(10);
/// How far ahead the newest event may lie at the start, in seconds.
const RECORDED_AHEAD_SECONDS: i64 = 60;
/// How many rows a table the sweeper deletes in one write: a few milliseconds.
const SWEEP: i64 = 250;
/// How long address and headers of a request may be together, in bytes: our own cookies and the longest authorization
/// request are half as long.
const LONGEST_HEAD: usize = 32 * 1024;
/// How many handshakes a worker has under way at a time.
const HANDSHAKES: usize = 1024;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long requests that have begun may take after the order to stop, in seconds.
const SHUTDOWN_SECONDS: u64 = 10;
/// How long mail that is queued may take after that.
const LAST_MAIL: Duration = Duration::from_secs(5);

/// Whether the server could do its work lately.
#[derive(Debug, Default)]
struct Readiness(Mutex<Option<Proof>>);

/// Whether the server could do its work, and when.
#[derive(Debug)]
struct Proof {
    at: Instant,
    /// How many writes had failed by then.
    failed_writes: u64,
    outcome: Result<(), String>,
}

impl Proof {
    /// Whether it still counts: it is not old, and nothing has failed since.
    fn counts(&self, app: &App) -> bool {
        self.at.elapsed() < READY_KEPT
            && self.failed_writes == app.store.failed_writes()
            && app.clock.is_steady()
    }
}

/// All URLs.
fn urls(config: &mut web::ServiceConfig) {
    config
        .configure(protocol_urls)
        .configure(pages::urls)
        .configure(admin::api::urls)
        .configure(admin::pages::urls)
        .service(
            only("/healthz", "GET, HEAD")
                .route(web::get().to(healthz))
                .route(web::head().to(healthz)),
        )
        .service(
            only("/readyz", "GET, HEAD")
                .route(web::get().to(readyz))
                .route(web::head().to(readyz)),
        );
    assets::configure(config);
    config.default_service(web::to(not_found));
}

/// What applications and FHIR servers call.
fn protocol_urls(config: &mut web::ServiceConfig) {
    config
        .service(
            only("/.well-known/openid-configuration", "GET, HEAD, OPTIONS")
                .route(web::get().to(metadata::get))
                .route(web::head().to(metadata::get))
                .route(any_origin()),
        )
        .service(
            only("/.well-known/oauth-authorization-server", "GET, HEAD, OPTIONS")
                .route(web::get().to(metadata::get))
                .route(web::head().to(metadata::get))
                .route(any_origin()),
        )
        .service(
            only("/oauth2/jwks", "GET, HEAD, OPTIONS")
                .route(web::get().to(jwks::get))
                .route(web::head().to(jwks::get))
                .route(any_origin()),
        )
        .service(only("/oauth2/token", "POST").route(web::post().to(token::post)))
        .service(only("/oauth2/introspect", "POST").route(web::post().to(introspect::post)))
        .service(only("/oauth2/revoke", "POST").route(web::post().to(revoke::post)))
        .service(
            only("/oauth2/userinfo", "GET, POST")
                .route(web::get().to(userinfo::get))
                .route(web::post().to(userinfo::post)),
        )
        .service(
            only("/fhir/CodeSystem/mdi-role", "GET, HEAD, OPTIONS")
                .route(web::get().to(metadata::role_codes))
                .route(web::head().to(metadata::role_codes))
                .route(any_origin()),
        )
        .service(
            only(
                "/fhir/{resource_server_id}/smart-configuration",
                "GET, HEAD, OPTIONS",
            )
            .route(web::get().to(metadata::smart))
            .route(web::head().to(metadata::smart))
            .route(any_origin()),
        );
}

/// The URLs that code of other origins may call, when a client registered the origin (SMART App Launch).
const CROSS_ORIGIN: [&str; 3] = ["/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo"];

/// The preflight of what anybody may read: code of every origin may send the headers that such code sends.
fn any_origin() -> Route {
    web::method(Method::OPTIONS).to(|| async {
        HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "accept, authorization, cache-control, content-type, if-none-match",
            ))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
            .finish()
    })
}

async fn not_found(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let wants_page = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")));
    if wants_page {
        return browser::error_page(&app, &PageError::not_found());
    }
    HttpResponse::NotFound()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "error": "not_found", "error_description": "there is no such URL; /.well-known/openid-configuration lists the endpoints" }))
}

/// The process runs.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "status": "ok" }))
}

/// A real write and a real signature succeed.
async fn readyz(app: web::Data<App>, readiness: web::Data<Readiness>) -> HttpResponse {
    let mut kept = readiness.0.lock().await;
    let outcome = match kept.as_ref().filter(|proof| proof.counts(&app)) {
        Some(proof) => proof.outcome.clone(),
        None => {
            let outcome = prove_ready(&app).await.map_err(|broken| broken.to_string());
            if let Err(cause) = &outcome {
                tracing::error!(%cause, "not ready");
            }
            *kept = Some(Proof {
                at: Instant::now(),
                failed_writes: app.store.failed_writes(),
                outcome: outcome.clone(),
            });
            outcome
        }
    };
    match outcome {
        Ok(()) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "status": "ready" })),
        Err(_) => HttpResponse::ServiceUnavailable()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::RETRY_AFTER, "5"))
            .json(json!({ "status": "not ready" })),
    }
}

/// What a token needs: a row that takes room, a signature by each algorithm, revocations that are read, a time to rely on.
async fn prove_ready(app: &App) -> Result<(), Broken> {
    if !app.clock.is_steady() {
        return Err(Broken::Unavailable("the time is in doubt".to_owned()));
    }
    // Random, so that no database makes it smaller.
    let padding: String = (0..PROOF_SECRETS).map(|_| app.entropy.secret()).collect();
    app.store
        .write(move |tx| store::installation::prove(tx.conn(), &padding))
        .await?;
    for algorithm in app.live.keyring().all_algorithms() {
        app.live
            .keyring()
            .sign(algorithm, "JWT", &json!({ "ready": true }), app.now())
            .map_err(Broken::defect)?;
    }
    app.live.require_fresh()
}

/// The headers of every answer; pages set their own content security policy. `loopback` says that only this machine
/// can reach us.
pub(crate) fn security_headers(loopback: bool) -> DefaultHeaders {
    let headers = DefaultHeaders::new()
        .add((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ))
        .add((
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ));
    // A browser would remember it for every other program on localhost.
    if loopback {
        headers
    } else {
        headers.add((
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        ))
    }
}

/// Plain HTTP comes from a trusted proxy that received it by HTTPS, or it is refused.
async fn https_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let trusted = request.app_data::<web::Data<App>>().is_some_and(|app| {
        let proxies = &app.config.server.trusted_proxies;
        request
            .peer_addr()
            .is_some_and(|peer| proxies.iter().any(|network| network.contains(&peer.ip())))
    });
    let forwarded = request
        .headers()
        .get("X-Forwarded-Proto")
        .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
    if request.app_config().secure() || (trusted && forwarded) {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let refused = HttpResponse::BadRequest().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "error": "invalid_request",
        "error_description": "HTTPS is needed: this listener is for a trusted proxy that sends X-Forwarded-Proto: https",
    }));
    Ok(request.into_response(refused).map_into_right_body())
}

/// A request head that is too long is refused while the rest of it can still be told (RFC 6585 §5), and ends the
/// connection.
async fn head_of_size(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let headers = request.headers().iter();
    let fields: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if fields + request.uri().to_string().len() <= LONGEST_HEAD {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let refused = HttpResponse::RequestHeaderFieldsTooLarge()
        .force_close()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({
            "error": "invalid_request",
            "error_description": format!("the request line and headers may be {LONGEST_HEAD} bytes in total"),
        }));
    Ok(request.into_response(refused).map_into_right_body())
}

/// Lets code of registered origins call the token endpoint and what belongs to it.
async fn cross_origin(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .cloned()
        .filter(|_| CROSS_ORIGIN.contains(&request.path()));
    let allowed = origin.filter(|origin| {
        let app = request.app_data::<web::Data<App>>();
        origin
            .to_str()
            .is_ok_and(|origin| app.is_some_and(|app| app.live.allows_origin(origin)))
    });
    let Some(origin) = allowed else {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    let mut response = if request.method() == Method::OPTIONS {
        let preflight = HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type",
            ))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
            .finish();
        request.into_response(preflight).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Origin"));
    Ok(response)
}

/// A server that listens but does not serve yet, and where it listens.
pub struct Bound {
    server: Server,
    /// The address of the HTTPS listener.
    pub address: SocketAddr,
}

/// Binds the listeners. `signals` says whether SIGTERM and SIGINT end the server.
///
/// # Errors
/// When an address is taken or the settings of TLS are refused.
pub fn bind(app: &Arc<App>, tls: &Tls, signals: bool) -> std::io::Result<Bound> {
    let listener = TcpListener::bind(app.config.server.listen)?;
    bind_to(app, tls, listener, signals)
}

/// [`bind`] with a listener that is open already.
pub fn bind_to(app: &Arc<App>, tls: &Tls, listener: TcpListener, signals: bool) -> std::io::Result<Bound> {
    let address = listener.local_addr()?;
    let data = web::Data::from(Arc::clone(app));
    let documents = web::Data::new(Documents::new(app));
    let readiness = web::Data::new(Readiness::default());
    let imports = web::Data::new(admin::people::import::Imports::default());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let capacity = Capacity::now();
    let connections = Connections::new(capacity.of_one, app.config.server.trusted_proxies.clone());
    let factory = move || {
        HttpApp::new()
            .app_data(data.clone())
            .app_data(documents.clone())
            .app_data(readiness.clone())
            .app_data(imports.clone())
            .wrap(from_fn(cross_origin))
            .wrap(from_fn(https_only))
            .wrap(from_fn(head_of_size))
            .wrap(from_fn(refusals::hold_back))
            .wrap(security_headers(data.config.server.issuer.is_loopback()))
            .configure(urls)
    };
    let mut server = HttpServer::new(factory)
        .workers(workers)
        .max_connections((capacity.all / workers).max(1))
        // Handshakes under way are not counted by their addresses yet: many may be, and none for long.
        .max_connection_rate(HANDSHAKES)
        .tls_handshake_timeout(HANDSHAKE)
        .on_connect(move |stream, data| connections.opened(stream, data))
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(Duration::from_secs(10))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen_rustls_0_23(listener, tls.server_config().map_err(std::io::Error::other)?)?;
    if let Some(proxy) = app.config.server.proxy_listen {
        server = server.bind(proxy)?;
    }
    if !signals {
        server = server.disable_signals();
    }
    Ok(Bound {
        server: server.run(),
        address,
    })
}

impl Bound {
    /// A handle that can stop the server.
    pub fn handle(&self) -> actix_web::dev::ServerHandle {
        self.server.handle()
    }

    /// Serves until the end, with the work that recurs beside it.
    ///
    /// # Errors
    /// What the listeners say.
    pub async fn serve(self, app: Arc<App>, tls: Arc<Tls>) -> std::io::Result<()> {
        doubt_at_start(&app).await;
        record_start(&app).await;
        // Whoever checks a certificate does it by the real time, whatever clock tests have moved.
        let watch = spawn(supervisor::task("tls", move || {
            Arc::clone(&tls).watch(|| SystemClock.now())
        }));
        let tending = Arc::clone(&app);
        let recurring = spawn(supervisor::task("maintenance", move || {
            maintain(Arc::clone(&tending))
        }));
        let counted = Arc::clone(&app);
        let counting = spawn(supervisor::task("activity", move || {
            activity::follow(Arc::clone(&counted.store), Arc::clone(&counted.clock))
        }));
        let sealing = app.sealer.clone();
        let sealed = spawn(supervisor::task("record", move || {
            let sealer = sealing.clone();
            async move { sealer.follow().await }
        }));
        let telling = Arc::clone(&app);
        let notices = spawn(supervisor::task("logout", move || {
            backchannel_logout::deliver(Arc::clone(&telling))
        }));
        let posting = Arc::clone(&app);
        let mail = spawn(supervisor::task("mail", move || {
            let app = Arc::clone(&posting);
            async move {
                if let Some(mailer) = &app.mailer {
                    mailer.run(&app.store, app.clock.as_ref()).await;
                }
            }
        }));
        let ended = self.server.await;
        if let Some(mailer) = &app.mailer {
            mailer.close();
        }
        if tokio::time::timeout(LAST_MAIL, mail).await.is_err() {
            tracing::error!("the server stopped before all mail was sent");
        }
        watch.abort();
        recurring.abort();
        counting.abort();
        sealed.abort();
        notices.abort();
        let mut rest = app.failure_counts.drain(app.now());
        rest.extend(app.introspections.drain(app.clock.now_millis()));
        write_events(&app, rest).await;
        write_events(&app, vec![of_server(&app, Kind::ServerStopped)]).await;
        if let Err(cause) = app.sealer.seal().await {
            tracing::error!(%cause, "what is new in the record could not be signed");
        }
        app.stop();
        ended
    }
}

/// That the server has started, with what, and what of that is not as it was the time before.
async fn record_start(app: &App) {
    let now = fingerprints::of(&app.config);
    let last = app
        .store
        .read(|conn| store::audit::newest_of(conn, Kind::ServerStarted));
    let before = last.await.ok().flatten().map(|row| Recorded::of(&row).detail);
    let mut started = of_server(app, Kind::ServerStarted);
    let mut changed = of_server(app, Kind::ConfigurationChanged);
    let mut names = Vec::new();
    for (name, value) in &now {
        started = started.with(name, value);
        // Versions that did not record them say nothing about them.
        if let Some(old) = before.as_ref().and_then(|before| before.get(*name))
            && old != value
        {
            names.push(*name);
            changed = changed.with(name, format!("{old} -> {value}"));
        }
    }
    let mut events = vec![started];
    if !names.is_empty() {
        events.push(changed.with("changed", names.join(" ")));
    }
    write_events(app, events).await;
}

/// What is read of an event.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Recorded {
    detail: BTreeMap<String, String>,
}

impl Recorded {
    fn of(row: &AuditRow) -> Self {
        serde_json::from_str(&row.body).unwrap_or_default()
    }
}

fn of_server(app: &App, kind: Kind) -> Event {
    app.event(kind, Actor::Server)
        .with("version", env!("CARGO_PKG_VERSION"))
}

async fn write_events(app: &App, events: Vec<Event>) {
    if events.is_empty() {
        return;
    }
    let written = app.store.write(move |tx| {
        events.iter().for_each(|event| tx.audit(event.clone()));
        Ok(())
    });
    if let Err(cause) = written.await {
        tracing::error!(%cause, "events could not be recorded");
    }
}

/// What recurs: counts are written, and what grows old is looked after.
async fn maintain(app: Arc<App>) {
    let mut counted_minute = app.now().div_euclid(60);
    loop {
        tokio::time::sleep(MAINTENANCE).await;
        let now = app.now();
        let mut events = app.failure_counts.flush(now);
        if now.div_euclid(60) != counted_minute {
            counted_minute = now.div_euclid(60);
            events.extend(app.introspections.drain(app.clock.now_millis()));
        }
        write_events(&app, events).await;
        tend(&app).await;
    }
}

/// Looks after what grows old, unless the time is in doubt.
pub async fn tend(app: &Arc<App>) {
    if !is_time_steady(app).await {
        return;
    }
    let registry = Registry::new(Arc::clone(app), Actor::Server);
    app.live.purge();
    if let Err(cause) = session::end_expired(app).await {
        tracing::warn!(%cause, "sessions that have reached their limit could not be ended");
    }
    if let Err(cause) = sweep(app).await {
        tracing::warn!(%cause, "what has expired could not be deleted");
    }
    match registry::people::disable_dormant(&registry).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "people who were not here for too long were disabled"),
        Err(cause) => tracing::error!(%cause, "dormant people could not be disabled"),
    }
    if let Err(cause) = registry::keys::keep_up(&registry).await {
        tracing::error!(%cause, "signing keys could not be looked after");
    }
}

/// Whether the time can be relied on: it has not jumped, and a database on another machine says the same.
async fn is_time_steady(app: &App) -> bool {
    // What cannot be asked says nothing; the log has it elsewhere.
    let theirs = app.store.read(store::installation::clock_millis).await;
    app.clock.tick(theirs.ok().flatten())
}

/// The wall clock at the start is believed unless the record knows a later time.
pub async fn doubt_at_start(app: &App) {
    let newest = app.store.read(store::audit::newest_millis).await.ok().flatten();
    let ahead = newest.map_or(0, |newest| (newest - app.clock.now_millis()) / 1000);
    if ahead > RECORDED_AHEAD_SECONDS {
        app.clock
            .doubt(&format!("the newest event was recorded {ahead} s from now"));
    }
}

/// Deletes what has expired, in small batches, so that the writer is never held up.
async fn sweep(app: &App) -> Result<(), Broken> {
    loop {
        let now = app.now();
        let gone = app
            .store
            .write(move |tx| store::sweep::sweep(tx.conn(), now, SWEEP))
            .await?;
        if gone == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
