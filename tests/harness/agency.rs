//! An agency with an identity provider that says whatever a test wants, true or not.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jsonwebtoken::Algorithm;
use mdi_auth::config::Config;
use mdi_auth::tls::Tls;
use serde_json::{Value, json};

use super::assertion::ClientKey;
use crate::support::TempDir;

/// How an endpoint answers.
#[derive(Debug, Clone)]
pub enum Script {
    Json(Value),
    Status(u16),
    Redirect(String),
    /// No answer at all.
    Hanging,
    /// Larger than anybody reads.
    Huge,
    /// Not JSON.
    Text(String),
}

/// What the provider says, and what it was asked.
#[derive(Debug)]
pub struct Says {
    pub discovery: Script,
    pub jwks: Script,
    pub token: Script,
    pub userinfo: Script,
    pub authorize: Script,
    /// Path, body, `Authorization`.
    pub asked: Vec<(String, String, String)>,
}

pub struct Agency {
    pub issuer: String,
    pub ca: PathBuf,
    /// What signs its ID tokens.
    pub key: ClientKey,
    says: Arc<Mutex<Says>>,
    handle: actix_web::dev::ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

async fn answer(says: web::Data<Mutex<Says>>, request: HttpRequest, body: String) -> HttpResponse {
    let authorization = request
        .headers()
        .get("authorization")
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let script = {
        let mut says = says.lock().unwrap();
        says.asked.push((request.path().to_owned(), body, authorization));
        match request.path() {
            "/.well-known/openid-configuration" => says.discovery.clone(),
            "/jwks" => says.jwks.clone(),
            "/token" => says.token.clone(),
            "/userinfo" => says.userinfo.clone(),
            "/authorize" => says.authorize.clone(),
            _ => Script::Status(404),
        }
    };
    match script {
        Script::Json(value) => HttpResponse::Ok().json(value),
        Script::Status(status) => {
            HttpResponse::build(status.try_into().unwrap()).json(json!({ "error": "broken" }))
        }
        Script::Redirect(to) => HttpResponse::Found().insert_header(("Location", to)).finish(),
        Script::Hanging => std::future::pending().await,
        Script::Huge => HttpResponse::Ok().json(json!({ "issuer": "x".repeat(600_000) })),
        Script::Text(text) => HttpResponse::Ok().content_type("application/json").body(text),
    }
}

impl Agency {
    pub fn start() -> Self {
        let dir = TempDir::new();
        let tls = Tls::open(
            &Config::default_with(dir.path()).server,
            jiff::Timestamp::now().as_second(),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let key = ClientKey::new(Algorithm::ES256, "agency-1");
        let says = web::Data::new(Mutex::new(Says {
            discovery: Script::Json(discovery(&issuer)),
            jwks: Script::Json(json!({ "keys": [key.jwk()] })),
            token: Script::Status(400),
            userinfo: Script::Status(404),
            authorize: Script::Text("a page".to_owned()),
            asked: Vec::new(),
        }));
        let (served, rustls) = (says.clone(), tls.server_config().unwrap());
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(served.clone())
                        .default_service(web::to(answer))
                });
                let server = server.workers(1).shutdown_timeout(0).disable_signals();
                let server = server.listen_rustls_0_23(listener, rustls).unwrap().run();
                send.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        let says = says.into_inner();
        Self {
            issuer,
            ca: tls.ca_file().unwrap(),
            key,
            says,
            handle,
            thread: Some(thread),
            _dir: dir,
        }
    }

    pub fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    /// Says something else in discovery.
    pub fn discover(&self, changes: Value) {
        let mut document = discovery(&self.issuer);
        merge(&mut document, changes);
        self.says().discovery = Script::Json(document);
    }

    /// What the token endpoint will answer.
    pub fn hand_out(&self, id_token: &str) {
        self.says().token = Script::Json(json!({
            "access_token": "agency-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        }));
    }

    /// How often a path was asked for.
    pub fn times_asked(&self, path: &str) -> usize {
        self.says()
            .asked
            .iter()
            .filter(|(asked, ..)| asked == path)
            .count()
    }
}

impl Drop for Agency {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Members of `changes` in place of those of `document`; null takes one out.
pub fn merge(document: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else {
        panic!("{changes}")
    };
    let document = document.as_object_mut().unwrap();
    for (name, value) in changes {
        if value.is_null() {
            document.remove(&name);
        } else {
            document.insert(name, value);
        }
    }
}

fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}
