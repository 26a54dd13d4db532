//! The tables: what was measured beside what was meant to be reached.

use std::time::Duration;

use crate::ceilings::Ceilings;
use crate::drive::Measured;

/// What an operation is meant to reach.
enum Goal {
    /// A share of what one core could do at the best.
    Share { wanted: f64, of: f64 },
    /// So many a second, by the clock.
    Rate(f64),
}

fn goal(name: &str, ceilings: &Ceilings) -> Option<Goal> {
    let share = |wanted: f64, of: &[f64]| {
        Some(Goal::Share {
            wanted,
            of: Ceilings::one_after_the_other(of),
        })
    };
    match name {
        JWKS | DISCOVERY => share(0.8, &[ceilings.get]),
        INTROSPECT_JWT | INTROSPECT_OPAQUE => share(0.6, &[ceilings.post]),
        SECRET_ES256 => share(0.6, &[ceilings.es256_sign, ceilings.post]),
        SECRET_RS256 => share(0.85, &[ceilings.rs256_sign, ceilings.post]),
        KEY_ES384 => share(0.75, &[ceilings.es384_verify, ceilings.es256_sign, ceilings.post]),
        KEY_RS384 => share(0.5, &[ceilings.rs384_verify, ceilings.es256_sign, ceilings.post]),
        CODE_FLOW => Some(Goal::Rate(400.0)),
        REFRESH => Some(Goal::Rate(800.0)),
        LOGIN => share(0.9, &[ceilings.argon2id]),
        _ => None,
    }
}

pub const JWKS: &str = "JWKS";
pub const DISCOVERY: &str = "discovery";
pub const SECRET_ES256: &str = "client_credentials, secret → ES256";
pub const SECRET_RS256: &str = "client_credentials, secret → RS256";
pub const SECRET_OPAQUE: &str = "client_credentials, secret → opaque";
pub const KEY_ES384: &str = "private_key_jwt ES384 → ES256";
pub const KEY_RS384: &str = "private_key_jwt RS384 → ES256";
pub const INTROSPECT_JWT: &str = "introspection, JWT";
pub const INTROSPECT_NEW_JWT: &str = "introspection, JWT met for the first time";
pub const INTROSPECT_OPAQUE: &str = "introspection, opaque";
pub const INTROSPECT_NEW_OPAQUE: &str = "introspection, opaque met for the first time";
pub const CODE_FLOW: &str = "code flow with PKCE";
pub const REFRESH: &str = "refresh with rotation";
pub const LOGIN: &str = "password login";
pub const STORM: &str = "login storm";

/// The ceilings.
pub fn ceilings(ceilings: &Ceilings) {
    println!("\n| ceiling, one core | per second |\n|---|---:|");
    for (name, rate) in ceilings.rows() {
        println!("| {name} | {rate:.0} |");
    }
}

/// The operations.
pub fn operations(operations: &[Measured], ceilings: &Ceilings) {
    println!(
        "\n| operation | goal | measured | met | cap | CPU µs | per second | connections | p50 ms | p99 ms | errors |"
    );
    println!("|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for operation in operations {
        let (goal, reached, met) = match goal(operation.name, ceilings) {
            Some(Goal::Share { wanted, of }) => {
                let reached = operation.cap() / of;
                let met = reached >= wanted;
                (
                    format!("≥ {:.0} % of {of:.0}", wanted * 100.0),
                    format!("{:.0} %", reached * 100.0),
                    yes_no(met),
                )
            }
            Some(Goal::Rate(wanted)) => {
                let met = operation.rate >= wanted;
                (
                    format!("≥ {wanted:.0}/s"),
                    format!("{:.0}/s", operation.rate),
                    yes_no(met),
                )
            }
            None => (String::new(), String::new(), ""),
        };
        println!(
            "| {} | {goal} | {reached} | {met} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} |",
            operation.name,
            operation.cap(),
            operation.cpu_micros,
            operation.rate,
            operation.connections,
            millis(operation.p50),
            millis(operation.p99),
            operation.errors
        );
    }
    for operation in operations {
        if let Some(complaint) = &operation.complaint {
            println!("\n{}: {complaint}", operation.name);
        }
    }
}

/// The token endpoint beside a login storm.
pub fn storm([alone, busy, beside, storm]: &[Measured; 4]) {
    println!(
        "\n| {} | per second | p50 ms | p99 ms | errors |\n|---|---:|---:|---:|---:|",
        alone.name
    );
    for (name, measured) in [
        ("alone", alone),
        ("beside busy threads of nobody's", busy),
        ("beside the login storm", beside),
        ("the storm itself", storm),
    ] {
        let (p50, p99) = (millis(measured.p50), millis(measured.p99));
        println!(
            "| {name} | {:.0} | {p50} | {p99} | {} |",
            measured.rate, measured.errors
        );
    }
    let factor = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
    println!(
        "\np99 of the token endpoint in the storm: {factor:.1} times (goal: at most 2): {}",
        yes_no(factor <= 2.0)
    );
    let scheduler = busy.p99.as_secs_f64() / alone.p99.as_secs_f64();
    println!("Busy threads of the idle class that belong to no server: {scheduler:.1} times.");
}

pub const OFFICE_ALONE: &str = "alone";
pub const OFFICE_CLIENTS: &str = "beside invented client ids";
pub const OFFICE_NAMES: &str = "beside invented usernames";
pub const OFFICE_PASSWORDS: &str = "beside passwords to be judged";

/// Sign-ins of one network while another one floods; each round by itself, for what else runs touches a whole round.
pub fn flood(rows: &[(Measured, usize)]) {
    println!(
        "\n| sign-ins of an office, one after the other | per second | p50 ms | p95 ms | p95, times that alone | errors | the flood, requests per second |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let mut alone = Duration::ZERO;
    for (measured, flood) in rows {
        if measured.name == OFFICE_ALONE {
            alone = measured.p95;
        }
        let (p50, p95) = (millis(measured.p50), millis(measured.p95));
        let times = measured.p95.as_secs_f64() / alone.as_secs_f64();
        println!(
            "| {} | {:.0} | {p50} | {p95} | {times:.1} | {} | {flood} |",
            measured.name, measured.rate, measured.errors
        );
    }
    for (measured, _) in rows {
        if let Some(complaint) = &measured.complaint {
            println!("\n{}: {complaint}", measured.name);
        }
    }
}

/// What is left.
pub fn process(start: Duration, idle: f64, loaded: f64) {
    println!("\n| process | goal | measured | met |\n|---|---|---:|---|");
    let start = start.as_secs_f64();
    println!(
        "| start to first answer | ≤ 0.2 s | {start:.2} s | {} |",
        yes_no(start <= 0.2)
    );
    println!(
        "| memory, idle | ≤ 25 MiB | {idle:.0} MiB | {} |",
        yes_no(idle <= 25.0)
    );
    println!("| memory, after all of the above | | {loaded:.0} MiB | |");
}

fn yes_no(met: bool) -> &'static str {
    if met { "yes" } else { "**no**" }
}

fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}
