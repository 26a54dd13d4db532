//! `cargo bench --bench load`: what the server does with a core, beside what this machine can do at the best.
//!
//! The server runs as a process of its own; its processor time is read before and after each load. README.md tells
//! how to read the tables.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot be made ends the program; its tables go to stdout, its progress to stderr"
)]

#[path = "../tests/harness/assertion.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod assertion;
mod browser;
mod ceilings;
mod console;
mod drive;
mod flood;
mod http;
mod operations;
mod process;
mod report;
mod scene;

use std::path::Path;
use std::time::Duration;

use ceilings::Ceilings;
use drive::Measured;
use operations::Bench;
use scene::Scene;

/// What was asked for on the command line.
struct Options {
    seconds: f64,
    rounds: usize,
    /// Only operations or pages whose name holds this text; then no ceilings either.
    only: Option<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let value = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            Some(
                arguments
                    .get(place + 1)
                    .unwrap_or_else(|| panic!("{name} needs a value"))
                    .clone(),
            )
        };
        let number = |name: &str, default: f64| {
            value(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name} {text}: not a number"))
            })
        };
        Self {
            seconds: number("--seconds", if quick { 1.0 } else { 3.0 }),
            rounds: number("--rounds", if quick { 1.0 } else { 3.0 }).max(1.0) as usize,
            only: value("--only"),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, config_file, port] = arguments.as_slice()
        && mode == ceilings::BARE_SERVER
    {
        return ceilings::serve_bare(Path::new(config_file), port.parse().unwrap());
    }
    if arguments.iter().any(|argument| argument == "--console") {
        return console::run(&Options::read(&arguments));
    }
    if arguments.iter().any(|argument| argument == "--flood") {
        return flood::run(&Options::read(&arguments));
    }
    run(&Options::read(&arguments));
}

fn run(options: &Options) {
    let scene = Scene::set();
    // The first start makes the TLS certificate; the quickest of three others counts.
    drop(scene.serve());
    let start = (0..3).map(|_| scene.serve().1).min().unwrap();
    let (server, _) = scene.serve();
    std::thread::sleep(Duration::from_secs(1));
    let idle = server.resident_mib();
    let peer = scene.peer(scene.port).unwrap();
    let bench = Bench {
        cookies: browser::sign_in(&scene, &peer),
        login: browser::login_form(&scene, &peer, "visitor"),
        scene: &scene,
        server: &server,
        peer,
        seconds: options.seconds,
    };
    let mut best: Vec<Measured> = Vec::new();
    let mut ceilings = Ceilings::default();
    let mut storms = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for measured in one_round(&bench, options) {
            keep_best(&mut best, measured);
        }
        if options.wants(report::STORM) {
            eprintln!("  {}", report::STORM);
            storms.push(bench.storm());
        }
        if options.only.is_none() {
            eprintln!("  ceilings");
            ceilings = ceilings.best(&ceilings::measure_all(&scene, options.seconds));
        }
    }
    if options.only.is_none() {
        report::ceilings(&ceilings);
    }
    report::operations(&best, &ceilings);
    if let Some(storm) = storms
        .iter()
        .min_by_key(|[alone, _, beside, _]| alone.p99 + beside.p99)
    {
        report::storm(storm);
    }
    report::process(start, idle, server.resident_mib());
}

/// Of several rounds the one with the least processor time counts: whatever else runs beside only adds to it. Errors
/// of all rounds count.
fn keep_best(best: &mut Vec<Measured>, measured: Measured) {
    match best.iter_mut().find(|known| known.name == measured.name) {
        None => best.push(measured),
        Some(known) => {
            let errors = known.errors + measured.errors;
            let complaint = known.complaint.take().or_else(|| measured.complaint.clone());
            if measured.cpu_micros < known.cpu_micros {
                *known = measured;
            }
            (known.errors, known.complaint) = (errors, complaint);
        }
    }
}

fn one_round(bench: &Bench<'_>, options: &Options) -> Vec<Measured> {
    use report::{
        CODE_FLOW, DISCOVERY, INTROSPECT_JWT, INTROSPECT_NEW_JWT, INTROSPECT_NEW_OPAQUE, INTROSPECT_OPAQUE,
        JWKS, KEY_ES384, KEY_RS384, LOGIN, REFRESH, SECRET_ES256, SECRET_OPAQUE, SECRET_RS256,
    };
    type Operation<'a> = (&'static str, Box<dyn Fn() -> Vec<Measured> + 'a>);
    let credentials = |name, client| bench.client_credentials(name, client);
    let operations: [Operation<'_>; 12] = [
        (JWKS, Box::new(|| vec![bench.get(JWKS, "/oauth2/jwks")])),
        (
            DISCOVERY,
            Box::new(|| vec![bench.get(DISCOVERY, "/.well-known/openid-configuration")]),
        ),
        (
            SECRET_ES256,
            Box::new(|| vec![credentials(SECRET_ES256, "secret-es256")]),
        ),
        (
            SECRET_RS256,
            Box::new(|| vec![credentials(SECRET_RS256, "secret-rs256")]),
        ),
        (
            SECRET_OPAQUE,
            Box::new(|| vec![credentials(SECRET_OPAQUE, "secret-opaque")]),
        ),
        (
            KEY_ES384,
            Box::new(|| vec![bench.private_key_jwt(KEY_ES384, "key-es384")]),
        ),
        (
            KEY_RS384,
            Box::new(|| vec![bench.private_key_jwt(KEY_RS384, "key-rs384")]),
        ),
        (
            INTROSPECT_JWT,
            Box::new(|| {
                bench
                    .introspection((INTROSPECT_NEW_JWT, INTROSPECT_JWT), "secret-es256", "edrs-es256")
                    .into()
            }),
        ),
        (
            INTROSPECT_OPAQUE,
            Box::new(|| {
                bench
                    .introspection(
                        (INTROSPECT_NEW_OPAQUE, INTROSPECT_OPAQUE),
                        "secret-opaque",
                        "edrs-opaque",
                    )
                    .into()
            }),
        ),
        (CODE_FLOW, Box::new(|| vec![bench.code_flow(CODE_FLOW)])),
        (REFRESH, Box::new(|| vec![bench.refresh(REFRESH)])),
        (LOGIN, Box::new(|| vec![bench.login(LOGIN)])),
    ];
    let wanted = operations.iter().filter(|(name, _)| options.wants(name));
    wanted
        .flat_map(|(name, operation)| {
            eprintln!("  {name}");
            operation()
        })
        .collect()
}
