//! What is asked of the server: one function an operation, each with its own answer checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::assertion::{self, ClientKey};
use crate::browser::{VERIFIER, authorize_path};
use crate::drive::{Load, Measured, Turn, measure};
use crate::http::{Answer, Connection, Peer, basic, get, post};
use crate::process::Running;
use crate::scene::{CALLBACK, SECRET, Scene};

const EDRS_SCOPE: &str = "system/Composition.rs system/Patient.rs";
const CMS_SCOPE: &str = "system/MessageHeader.c system/Bundle.c";
/// How many assertions are signed beforehand; an RSA signature takes over a millisecond.
const ES384_ASSERTIONS: usize = 6_000;
const RS384_ASSERTIONS: usize = 3_000;
/// How many tokens introspection asks about in turn.
const TOKENS: usize = 4_000;

/// The server and how to ask it.
pub struct Bench<'a> {
    pub scene: &'a Scene,
    pub server: &'a Running,
    pub peer: Peer,
    /// Cookies of somebody who has signed in.
    pub cookies: String,
    /// The login form, filled in.
    pub login: Vec<u8>,
    pub seconds: f64,
}

/// A request that is answered 200, and what was answered with it.
fn ok<'a>(connection: &'a mut Connection, request: &[u8]) -> Result<Answer<'a>, String> {
    expect(200, connection, request)
}

pub fn expect<'a>(status: u16, connection: &'a mut Connection, request: &[u8]) -> Result<Answer<'a>, String> {
    match connection.call(request) {
        Ok(answer) if answer.status == status => Ok(answer),
        Ok(answer) => Err(answer.shown()),
        Err(cause) => Err(cause.to_string()),
    }
}

impl Bench<'_> {
    fn load(&self, name: &'static str, connections: usize) -> Load {
        Load::new(name, connections, self.seconds)
    }

    /// Sends one and the same request again and again.
    fn same(&self, load: &Load, request: &[u8]) -> Measured {
        measure(
            self.server,
            &self.peer,
            load,
            |_| (),
            |connection, ()| ok(connection, request).map(|_| true),
        )
    }

    pub fn get(&self, name: &'static str, path: &str) -> Measured {
        self.same(&self.load(name, 16), &get(path, &[]))
    }

    /// A token request with a secret.
    pub fn credentials(client: &str) -> Vec<u8> {
        let scope = if client == "secret-rs256" {
            CMS_SCOPE
        } else {
            EDRS_SCOPE
        };
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        post(
            "/oauth2/token",
            &[("Authorization", &basic(client, SECRET))],
            &form,
        )
    }

    pub fn client_credentials(&self, name: &'static str, client: &str) -> Measured {
        self.same(&self.load(name, 16), &Self::credentials(client))
    }

    /// Sends each prepared request once.
    fn each_once(&self, name: &'static str, requests: Vec<Vec<u8>>) -> Measured {
        let requests = Mutex::new(requests);
        let turn = |connection: &mut Connection, (): &mut ()| -> Turn {
            let next = requests.lock().unwrap().pop();
            next.map_or(Ok(false), |request| ok(connection, &request).map(|_| true))
        };
        measure(self.server, &self.peer, &self.load(name, 16), |_| (), turn)
    }

    /// A token request with an assertion; each has its own `jti`, all are signed beforehand.
    pub fn private_key_jwt(&self, name: &'static str, client: &str) -> Measured {
        let (key, count) = match client {
            "key-es384" => (&self.scene.es384, ES384_ASSERTIONS),
            _ => (&self.scene.rs384, RS384_ASSERTIONS),
        };
        let requests = std::thread::scope(|scope| {
            let signers: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| signed_requests(key, client, &self.scene.issuer, count / 2)))
                .collect();
            signers
                .into_iter()
                .flat_map(|signer| signer.join().unwrap())
                .collect()
        });
        self.each_once(name, requests)
    }

    /// Questions about tokens that were just issued.
    fn questions(&self, client: &str, resource_server: &str) -> Vec<Vec<u8>> {
        let (request, peer) = (Self::credentials(client), &self.peer);
        let ask = || {
            let mut connection = peer.connect().unwrap();
            let authorization = basic(resource_server, SECRET);
            (0..TOKENS / 8)
                .map(|_| {
                    let answer = ok(&mut connection, &request).unwrap();
                    let form = [("token", answer.json_text("access_token").unwrap())];
                    post("/oauth2/introspect", &[("Authorization", &authorization)], &form)
                })
                .collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let askers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            askers
                .into_iter()
                .flat_map(|asker| asker.join().unwrap())
                .collect()
        })
    }

    /// Introspection of tokens that the server has not met yet, and of the same ones once it has.
    pub fn introspection(
        &self,
        names: (&'static str, &'static str),
        client: &str,
        resource_server: &str,
    ) -> [Measured; 2] {
        let questions = self.questions(client, resource_server);
        let first = self.each_once(names.0, questions.clone());
        let turn = |connection: &mut Connection, place: &mut usize| -> Turn {
            *place = (*place + 1) % questions.len();
            let answer = ok(connection, &questions[*place])?;
            if answer.body.starts_with("{\"active\":true") {
                Ok(true)
            } else {
                Err(answer.shown())
            }
        };
        let again = measure(
            self.server,
            &self.peer,
            &self.load(names.1, 16),
            |number| number * 97,
            turn,
        );
        [first, again]
    }

    /// Authorization request, code, tokens: one flow.
    pub fn code_flow(&self, name: &'static str) -> Measured {
        let authorize = get(&authorize_path(), &[("Cookie", &self.cookies)]);
        let turn = |connection: &mut Connection, (): &mut ()| flow(connection, &authorize).map(|_| true);
        measure(self.server, &self.peer, &self.load(name, 8), |_| (), turn)
    }

    /// Each connection refreshes its own family, over and over.
    pub fn refresh(&self, name: &'static str) -> Measured {
        let authorize = get(&authorize_path(), &[("Cookie", &self.cookies)]);
        let begin = |_| flow(&mut self.peer.connect().unwrap(), &authorize).unwrap();
        let turn = |connection: &mut Connection, token: &mut String| -> Turn {
            let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
            let request = post(
                "/oauth2/token",
                &[("Authorization", &basic("people", SECRET))],
                &form,
            );
            let answer = ok(connection, &request)?;
            let next = answer
                .json_text("refresh_token")
                .ok_or_else(|| answer.shown())?
                .to_owned();
            *token = next;
            Ok(true)
        };
        measure(self.server, &self.peer, &self.load(name, 8), begin, turn)
    }

    fn password_logins(&self, name: &'static str, connections: usize, seconds: f64) -> Measured {
        let turn = |connection: &mut Connection, (): &mut ()| -> Turn {
            let answer = expect(303, connection, &self.login)?;
            // A wrong password is a redirect too.
            if answer.header("set-cookie").is_some() {
                Ok(true)
            } else {
                Err("the password was refused".to_owned())
            }
        };
        measure(
            self.server,
            &self.peer,
            &Load::new(name, connections, seconds),
            |_| (),
            turn,
        )
    }

    pub fn login(&self, name: &'static str) -> Measured {
        self.password_logins(name, 4, self.seconds)
    }

    /// The token endpoint at a moderate pace (four connections that pause between requests): alone, beside threads that
    /// only keep busy the cores that hash in a storm and belong to no server, and beside as many sign-ins as the server
    /// takes. The second tells what the system's scheduler costs, whatever the server does.
    pub fn storm(&self) -> [Measured; 4] {
        let request = Self::credentials("secret-es256");
        let paced = |name| {
            let turn =
                |connection: &mut Connection, (): &mut ()| -> Turn { ok(connection, &request).map(|_| true) };
            let load = Load {
                pause: Duration::from_millis(5),
                ..self.load(name, 4)
            };
            measure(self.server, &self.peer, &load, |_| (), turn)
        };
        let alone = paced("token endpoint, 4 connections with pauses");
        let busy = beside_idle_class_threads(|| paced("the same beside busy threads of the idle class"));
        std::thread::scope(|scope| {
            let storm = scope.spawn(|| self.password_logins("the login storm", 16, self.seconds + 0.5));
            std::thread::sleep(Duration::from_millis(300));
            let beside = paced("the same during the storm");
            [alone, busy, beside, storm.join().unwrap()]
        })
    }
}

/// Runs `work` beside threads of the idle class that compute in registers alone: as many as hash by default.
fn beside_idle_class_threads<T>(work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.saturating_sub(1).max(1) {
            scope.spawn(|| {
                let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let value = work();
        ended.store(true, Ordering::Relaxed);
        value
    })
}

fn signed_requests(key: &ClientKey, client: &str, issuer: &str, count: usize) -> Vec<Vec<u8>> {
    let now = mdi_auth::clock::Clock::now(&mdi_auth::clock::SystemClock);
    (0..count)
        .map(|_| {
            let signed = key.sign(&assertion::claims(client, issuer, now));
            let form = [
                ("grant_type", "client_credentials"),
                ("scope", EDRS_SCOPE),
                ("client_assertion_type", assertion::TYPE),
                ("client_assertion", &signed),
            ];
            post("/oauth2/token", &[], &form)
        })
        .collect()
}

/// One code flow; answers the refresh token.
fn flow(connection: &mut Connection, authorize: &[u8]) -> Result<String, String> {
    let answer = expect(303, connection, authorize)?;
    let location = answer.header("location").unwrap_or_default();
    let code = location
        .split(['?', '&'])
        .find_map(|pair| pair.strip_prefix("code="));
    let code = code.ok_or_else(|| format!("no code in {location}"))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let redeem = post(
        "/oauth2/token",
        &[("Authorization", &basic("people", SECRET))],
        &form,
    );
    let answer = ok(connection, &redeem)?;
    answer
        .json_text("refresh_token")
        .map(str::to_owned)
        .ok_or_else(|| answer.shown())
}
