//! Strangers: people of an office sign in one after the other, alone and while another network floods the server.
//!
//! The server has a core of its own, and this program the other: who floods does not use the server's machine.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Options;
use crate::browser;
use crate::drive::{Load, Measured, Turn, measure};
use crate::http::{Connection, Peer, basic, post};
use crate::operations::expect;
use crate::report;
use crate::scene::Scene;

/// Connections of the network that floods.
const CONNECTIONS: usize = 32;
/// The office, which is another network than the one of 127.0.0.1.
const OFFICE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// What a stranger sends.
#[derive(Clone, Copy)]
enum Kind {
    /// Client ids that nobody has.
    Clients,
    /// Right forms with usernames that nobody has.
    Names,
    /// Passwords to be judged, without the state of a page.
    Passwords,
}

/// Measures sign-ins alone and beside each flood.
pub fn run(options: &Options) {
    let scene = Scene::set();
    // The first start makes the TLS certificate.
    drop(scene.serve());
    on_core(0);
    let (server, _) = scene.serve();
    on_core(1);
    let stranger = scene.peer(scene.port).unwrap();
    let office = stranger.from(OFFICE);
    let sign_in = browser::login_form(&scene, &office, "visitor");
    let signing_in = |name| {
        let turn = |connection: &mut Connection, (): &mut ()| -> Turn {
            let answer = expect(303, connection, &sign_in)?;
            // A wrong password is a redirect too.
            let is_in = answer.header("set-cookie").is_some();
            is_in
                .then_some(true)
                .ok_or_else(|| "the password was refused".to_owned())
        };
        measure(
            &server,
            &office,
            &Load::new(name, 1, options.seconds),
            |_| (),
            turn,
        )
    };
    let mut rows: Vec<(Measured, usize)> = Vec::new();
    for _ in 0..options.rounds {
        rows.push((signing_in(report::OFFICE_ALONE), 0));
        for (name, kind) in [
            (report::OFFICE_CLIENTS, Kind::Clients),
            (report::OFFICE_NAMES, Kind::Names),
            (report::OFFICE_PASSWORDS, Kind::Passwords),
        ] {
            eprintln!("  {name}");
            rows.push(beside(&scene, &stranger, kind, options.seconds, || {
                signing_in(name)
            }));
        }
    }
    report::flood(&rows);
}

/// Runs `work` while a network floods; answers also how many requests of the flood were answered in a second.
fn beside(
    scene: &Scene,
    stranger: &Peer,
    kind: Kind,
    seconds: f64,
    work: impl FnOnce() -> Measured,
) -> (Measured, usize) {
    let (ended, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let form = browser::login_form(scene, stranger, "nobody-XXXXXXXX");
    let form = String::from_utf8(form).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = stranger.connect();
                while !ended.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let request = request(kind, number, &form);
                    let answered = connection
                        .as_mut()
                        .is_ok_and(|known| known.call(&request).is_ok());
                    if !answered {
                        connection = stranger.connect();
                    }
                }
            });
        }
        // Until what counts strangers one by one is full.
        std::thread::sleep(Duration::from_secs(2));
        let before = sent.load(Ordering::Relaxed);
        let measured = work();
        let while_measured = sent.load(Ordering::Relaxed) - before;
        ended.store(true, Ordering::Relaxed);
        (measured, (while_measured as f64 / seconds) as usize)
    })
}

fn request(kind: Kind, number: usize, form: &str) -> Vec<u8> {
    let name = format!("nobody-{number:08}");
    match kind {
        Kind::Clients => post(
            "/oauth2/token",
            &[(
                "Authorization",
                &basic(&name, "not-a-secret-of-anybody-0123456789"),
            )],
            &[("grant_type", "client_credentials")],
        ),
        Kind::Names => form.replace("nobody-XXXXXXXX", &name).into_bytes(),
        Kind::Passwords => post(
            "/password-strength",
            &[],
            &[("csrf", &name), ("state", &name), ("password", &name)],
        ),
    }
}

/// Where this thread, and what it starts from now on, runs.
fn on_core(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}
