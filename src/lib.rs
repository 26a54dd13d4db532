//! MDI Auth: an OAuth 2 and OpenID Connect authorization server for medicolegal death investigation.
//!
//! `main → cli → server → { oauth, login, admin } → registry → { app, directory, keys, policy, audit, store } → model`: a
//! module knows those to its right. `ARCHITECTURE.md` has the map, the invariants, and a walkthrough of each flow;
//! `tests/architecture.rs` holds the directions.

pub mod activity;
pub mod admin;
pub mod app;
pub mod assets;
pub mod audit;
pub mod browser;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod directory;
pub mod documents;
pub mod error;
pub mod federation;
pub mod granting;
pub mod guard;
pub mod jwks_cache;
pub mod keys;
pub mod link_mails;
pub mod local_time;
pub mod login;
pub mod mail;
pub mod master_key;
pub mod model;
pub mod new_password;
pub mod notices;
pub mod oauth;
pub mod outbound;
pub mod pages;
pub mod parameters;
pub mod password;
pub mod password_rules;
pub mod peer;
pub mod policy;
pub mod registry;
pub mod return_to;
pub mod revocation;
pub mod secret;
pub mod server;
pub mod session;
pub mod spreadsheet;
pub mod store;
pub mod tls;
pub mod upstream;
pub mod verified;
pub mod webauthn;
