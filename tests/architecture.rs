//! The house: who may know whom. Each row is a promise of ARCHITECTURE.md.

use std::path::{Path, PathBuf};

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    fn walk(path: &Path, found: &mut Vec<(PathBuf, String)>) {
        if path.is_file() {
            found.push((path.to_owned(), std::fs::read_to_string(path).unwrap()));
            return;
        }
        for entry in std::fs::read_dir(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(under),
        &mut found,
    );
    assert!(!found.is_empty(), "{under}");
    found
}

/// The lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// Whether a line of code names a crate or module as a path.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
            && after.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn rooms_know_only_those_below_them() {
    // Room, and what it must not name.
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        ("model",       &["actix_web", "diesel", "tokio", "reqwest", "crate::clock", "crate::store", "crate::app", "crate::policy", "crate::oauth", "crate::login"]),
        ("policy",      &["actix_web", "diesel", "tokio", "reqwest", "crate::clock", "crate::store", "crate::app", "crate::oauth", "crate::login", "crate::registry"]),
        ("store",       &["actix_web", "crate::app", "crate::policy", "crate::oauth", "crate::login", "crate::registry", "crate::keys", "crate::config"]),
        ("audit",       &["actix_web", "diesel", "crate::app", "crate::oauth", "crate::login", "crate::registry", "crate::admin", "crate::server", "crate::cli"]),
        ("keys",        &["actix_web", "diesel", "crate::app", "crate::store", "crate::oauth", "crate::login", "crate::registry"]),
        ("config",      &["actix_web", "diesel", "crate::app", "crate::store", "crate::oauth", "crate::login", "crate::registry"]),
        ("registry",    &["actix_web", "diesel", "crate::oauth", "crate::server", "crate::cli", "crate::web::browser", "crate::web::pages"]),
        ("oauth",       &["diesel", "crate::login", "crate::server", "crate::cli", "crate::registry", "crate::config"]),
        ("secrets/password_rules", &["actix_web", "diesel", "tokio", "crate::app", "crate::store", "crate::registry", "crate::login"]),
        ("issuance/mod.rs", &["actix_web", "diesel", "crate::oauth", "crate::login", "crate::registry", "crate::admin", "crate::server", "crate::cli"]),
        ("issuance",    &["actix_web", "diesel", "crate::oauth", "crate::login", "crate::registry", "crate::admin", "crate::server", "crate::cli"]),
        ("issuance/smart_configuration.rs",&["actix_web", "diesel", "crate::oauth", "crate::login", "crate::registry", "crate::admin", "crate::server", "crate::cli"]),
        ("admin",       &["diesel", "crate::server", "crate::cli", "crate::password_change", "crate::provider_sign_in"]),
        ("login",       &["diesel", "crate::oauth", "crate::server", "crate::cli", "crate::registry", "crate::account"]),
        ("account",     &["diesel", "crate::oauth", "crate::server", "crate::cli", "crate::registry", "crate::admin", "crate::password_change"]),
        ("provider_sign_in.rs", &["diesel", "crate::server", "crate::cli"]),
        ("outbound/identity_provider/mod.rs", &["actix_web", "diesel", "reqwest", "crate::app", "crate::web::browser", "crate::store", "crate::oauth", "crate::login", "crate::registry"]),
        ("outbound/identity_provider",    &["actix_web", "diesel", "reqwest", "crate::app", "crate::web::browser", "crate::store", "crate::oauth", "crate::login", "crate::registry"]),
        ("password_change",&["diesel", "crate::oauth", "crate::server", "crate::cli"]),
        ("outbound/mail.rs",     &["actix_web", "diesel", "crate::app", "crate::oauth", "crate::login", "crate::registry", "crate::server", "crate::cli"]),
        ("session/notices.rs",  &["actix_web", "diesel", "crate::oauth", "crate::login", "crate::password_change", "crate::registry", "crate::server", "crate::cli"]),
        ("registry/link_mails.rs", &["actix_web", "diesel", "crate::oauth", "crate::login", "crate::password_change", "crate::admin", "crate::server", "crate::cli"]),
        ("registry/spreadsheet.rs", &["actix_web", "diesel", "crate::app", "crate::store", "crate::registry", "crate::admin", "crate::server", "crate::cli"]),
        ("app",         &["actix_web", "diesel", "crate::oauth", "crate::login", "crate::registry", "crate::web", "crate::server", "crate::cli"]),
        ("live",&["actix_web", "diesel", "crate::app", "crate::oauth", "crate::login", "crate::registry"]),
        ("web/browser.rs",  &["diesel", "crate::oauth", "crate::login", "crate::registry", "crate::server"]),
        ("webauthn.rs", &["actix_web", "diesel", "crate::app", "crate::oauth", "crate::login", "crate::registry", "crate::web"]),
        ("server.rs",   &["diesel", "crate::cli"]),
    ];
    for (room, forbidden) in rows {
        for (path, text) in sources(room) {
            for line in code(&text) {
                for name in *forbidden {
                    assert!(
                        !names(line, name),
                        "{} must not know {name}: {line}",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn some_crates_have_one_room() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        ("diesel",          &["store/"]),
        ("diesel_async",    &["store/"]),
        ("jsonwebtoken",    &["keys/"]),
        ("openidconnect",   &["outbound/identity_provider"]),
        ("rsa",             &["keys/"]),
        ("argon2",          &["secrets/password.rs"]),
        ("webauthn_rs",     &["webauthn.rs"]),
        ("totp_rs",         &["login/totp.rs", "registry/people.rs", "demo", "cli/"]),
        ("reqwest",         &["outbound"]),
        ("rcgen",           &["tls"]),
        ("lettre",          &["outbound/mail.rs", "config/mail.rs"]),
        ("clap",            &["cli/"]),
        ("zxcvbn",          &["secrets/password_rules"]),
        ("toml",            &["config", "policy/", "registry/apply.rs", "registry/export.rs", "demo/"]),
        ("csv",             &["registry/spreadsheet.rs", "admin/audit"]),
        ("actix_multipart", &["admin/upload.rs"]),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, text) in sources("") {
        let place = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        for line in code(&text) {
            for (name, rooms) in rows {
                let uses = names(line, name) && line.contains(&format!("{name}::"));
                assert!(
                    !uses || rooms.iter().any(|room| place.starts_with(room)),
                    "{place} must not use {name}: {line}"
                );
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (path, text) in sources("") {
        assert!(
            text.starts_with("//!"),
            "{} has no module documentation",
            path.display()
        );
    }
}
