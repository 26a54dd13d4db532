//! MDI Auth: an OAuth 2 and OpenID Connect authorization server for medicolegal death investigation.

pub mod app;
pub mod assets;
pub mod audit;
pub mod browser;
pub mod cli;
pub mod clock;
pub mod config;
pub mod directory;
pub mod error;
pub mod jwks_cache;
pub mod keys;
pub mod login;
pub mod master_key;
pub mod model;
pub mod oauth;
pub mod outbound;
pub mod pages;
pub mod peer;
pub mod policy;
pub mod registry;
pub mod secret;
pub mod server;
pub mod store;
pub mod tls;
