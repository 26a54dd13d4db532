//! What this machine can do at the best: bare actix-web over the same TLS, bare cryptography, bare commits.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use argon2::{Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use data_encoding::BASE64;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use mdi_auth::config::Config;
use mdi_auth::tls::Tls;
use serde::Serialize;

use crate::drive::{Load, Measured, measure};
use crate::http::{basic, get, post};
use crate::process::{Running, eventually, own_cpu_seconds};
use crate::scene::{SECRET, Scene, free_port};

/// The hidden argument that makes this program the bare server.
pub const BARE_SERVER: &str = "__bare-server";

/// What one core can do in a second.
#[derive(Debug, Clone, Default)]
pub struct Ceilings {
    pub get: f64,
    pub post: f64,
    pub es256_sign: f64,
    pub rs256_sign: f64,
    pub es256_verify: f64,
    pub es384_verify: f64,
    pub rs384_verify: f64,
    pub argon2id: f64,
    /// One after the other, each synced to the disk; by the clock.
    pub commits: f64,
}

impl Ceilings {
    /// The better of two measurements, figure by figure.
    pub fn best(&self, other: &Self) -> Self {
        Self {
            get: self.get.max(other.get),
            post: self.post.max(other.post),
            es256_sign: self.es256_sign.max(other.es256_sign),
            rs256_sign: self.rs256_sign.max(other.rs256_sign),
            es256_verify: self.es256_verify.max(other.es256_verify),
            es384_verify: self.es384_verify.max(other.es384_verify),
            rs384_verify: self.rs384_verify.max(other.rs384_verify),
            argon2id: self.argon2id.max(other.argon2id),
            commits: self.commits.max(other.commits),
        }
    }

    /// What one core could do that has nothing to do but these, one after the other.
    pub fn one_after_the_other(rates: &[f64]) -> f64 {
        1.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>()
    }

    pub fn rows(&self) -> [(&'static str, f64); 9] {
        [
            ("actix-web GET over TLS, ~600 bytes", self.get),
            (
                "actix-web POST over TLS, form and Basic parsed, ~600 bytes of JSON",
                self.post,
            ),
            ("ES256 signature", self.es256_sign),
            ("RS256 signature, 2048 bits", self.rs256_sign),
            ("ES256 verification", self.es256_verify),
            ("ES384 verification", self.es384_verify),
            ("RS384 verification, 2048 bits", self.rs384_verify),
            ("argon2id m=19456 t=2 p=1, all cores busy with it", self.argon2id),
            (
                "SQLite commits of one row (WAL, FULL), by the clock",
                self.commits,
            ),
        ]
    }
}

/// Measures everything, each for some seconds.
pub fn measure_all(scene: &Scene, seconds: f64) -> Ceilings {
    let (get, post) = transport(scene, seconds);
    let (es256_sign, es256_verify) = ecdsa(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &ECDSA_P256_SHA256_FIXED,
        seconds.min(1.0),
    );
    let (_, es384_verify) = ecdsa(
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        &ECDSA_P384_SHA384_FIXED,
        seconds.min(1.0),
    );
    let (rs256_sign, rs384_verify) = rsa(seconds.min(1.0));
    let argon2id = argon2id(seconds);
    let commits = commits(&scene.dir.0.join("commits.db"), seconds);
    Ceilings {
        get: get.cap(),
        post: post.cap(),
        es256_sign,
        rs256_sign,
        es256_verify,
        es384_verify,
        rs384_verify,
        argon2id,
        commits,
    }
}

fn transport(scene: &Scene, seconds: f64) -> (Measured, Measured) {
    let port = free_port();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg(BARE_SERVER)
        .arg(scene.config_file())
        .arg(port.to_string());
    let server = Running::start(&mut command);
    let peer = scene.peer(port).unwrap();
    eventually("the bare server answers", || {
        peer.connect()
            .ok()?
            .call(&get("/", &[]))
            .ok()
            .filter(|answer| answer.status == 200)
            .map(drop)
    });
    let load = Load::new("bare", 16, seconds);
    let always = |request: Vec<u8>| {
        measure(
            &server,
            &peer,
            &load,
            |_| (),
            move |connection, ()| match connection.call(&request) {
                Ok(answer) if answer.status == 200 => Ok(true),
                Ok(answer) => Err(answer.shown()),
                Err(cause) => Err(cause.to_string()),
            },
        )
    };
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "system/Composition.rs system/Patient.rs"),
    ];
    (
        always(get("/", &[])),
        always(post(
            "/",
            &[
                ("Authorization", &basic("secret-es256", SECRET)),
                ("Accept", "application/json"),
            ],
            &form,
        )),
    )
}

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
}

async fn bare_get() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body("x".repeat(600))
}

async fn bare_post(request: HttpRequest, form: web::Form<Vec<(String, String)>>) -> HttpResponse {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let decoded = header.and_then(|text| BASE64.decode(text.split_once(' ')?.1.as_bytes()).ok());
    let known = decoded.is_some_and(|decoded| decoded.contains(&b':'));
    let scope = form
        .iter()
        .find(|(name, _)| name == "scope")
        .map(|(_, value)| value.clone());
    match scope.filter(|_| known) {
        Some(scope) => HttpResponse::Ok().json(Answer {
            access_token: black_box(&"x".repeat(500)),
            token_type: "Bearer",
            expires_in: 300,
            scope,
        }),
        None => HttpResponse::BadRequest().finish(),
    }
}

/// The bare server: runs until it is killed. Workers, keep-alive and TLS are those of the real one.
pub fn serve_bare(config_file: &Path, port: u16) {
    let config = Config::load(Some(config_file), []).unwrap();
    let now = mdi_auth::clock::Clock::now(&mdi_auth::clock::SystemClock);
    let tls = Tls::open(&config.server, now).unwrap();
    actix_web::rt::System::new().block_on(async {
        HttpServer::new(|| {
            App::new().service(
                web::resource("/")
                    .route(web::get().to(bare_get))
                    .route(web::post().to(bare_post)),
            )
        })
        .workers(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .keep_alive(Duration::from_secs(75))
        .bind_rustls_0_23(("127.0.0.1", port), tls.server_config().unwrap())
        .unwrap()
        .run()
        .await
        .unwrap();
    });
}

/// How often one core does something in a second, by its own processor time.
fn per_second(seconds: f64, mut work: impl FnMut()) -> f64 {
    let (begun, cpu) = (Instant::now(), own_cpu_seconds());
    let mut count = 0.0;
    while begun.elapsed().as_secs_f64() < seconds {
        work();
        count += 1.0;
    }
    count / (own_cpu_seconds() - cpu)
}

/// About as long as what is signed for an access token.
const MESSAGE: [u8; 700] = [b'x'; 700];

fn ecdsa(
    signing: &'static EcdsaSigningAlgorithm,
    verifying: &'static dyn VerificationAlgorithm,
    seconds: f64,
) -> (f64, f64) {
    let (pair, random) = (EcdsaKeyPair::generate(signing).unwrap(), SystemRandom::new());
    let signed = per_second(seconds, || {
        black_box(pair.sign(&random, &MESSAGE).unwrap());
    });
    let signature = pair.sign(&random, &MESSAGE).unwrap();
    let public = UnparsedPublicKey::new(verifying, pair.public_key().as_ref());
    (
        signed,
        per_second(seconds, || public.verify(&MESSAGE, signature.as_ref()).unwrap()),
    )
}

fn rsa(seconds: f64) -> (f64, f64) {
    let (pair, random) = (
        RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        SystemRandom::new(),
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    let signed = per_second(seconds, || {
        pair.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, black_box(&mut signature))
            .unwrap()
    });
    pair.sign(&RSA_PKCS1_SHA384, &random, &MESSAGE, &mut signature)
        .unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, pair.public_key().as_ref());
    (
        signed,
        per_second(seconds, || public.verify(&MESSAGE, &signature).unwrap()),
    )
}

/// On all cores at once, as the server does it: they share the way to the memory, which is what argon2id is about.
fn argon2id(seconds: f64) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| argon2id_on_one(seconds)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    rates.iter().sum::<f64>() / cores as f64
}

fn argon2id_on_one(seconds: f64) -> f64 {
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let mut memory = vec![argon2::Block::default(); params.block_count()];
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    per_second(seconds, || {
        argon2
            .hash_password_into_with_memory(b"correct horse", b"0123456789abcdef", &mut output, &mut memory)
            .unwrap();
    })
}

fn commits(file: &Path, seconds: f64) -> f64 {
    let mut database = SqliteConnection::establish(&file.to_string_lossy()).unwrap();
    let run = |database: &mut SqliteConnection, sql: &str| database.batch_execute(sql).unwrap();
    run(
        &mut database,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT);",
    );
    let insert = format!("INSERT INTO row (body) VALUES ('{}')", "x".repeat(600));
    let (begun, mut count) = (Instant::now(), 0.0);
    while begun.elapsed().as_secs_f64() < seconds {
        run(&mut database, &insert);
        count += 1.0;
    }
    let rate = count / begun.elapsed().as_secs_f64();
    drop(database);
    std::fs::remove_file(file).unwrap();
    rate
}
