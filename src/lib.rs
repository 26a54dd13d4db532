//! MDI Auth: an OAuth 2 and OpenID Connect authorization server for medicolegal death investigation.
//!
//! Rooms lie in floors: a module knows those below it. `ARCHITECTURE.md` has the map, the invariants, and a walkthrough of
//! each flow; `tests/architecture.rs` holds the floors.

pub mod account;
pub mod admin;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod error;
pub mod issuance;
pub mod keys;
pub mod live;
pub mod login;
pub mod model;
pub mod oauth;
pub mod outbound;
pub mod password_change;
pub mod policy;
pub mod provider_sign_in;
pub mod registry;
pub mod secrets;
pub mod server;
pub mod session;
pub mod store;
pub mod supervisor;
pub mod tls;
pub mod web;
pub mod webauthn;
