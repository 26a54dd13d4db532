//! MDI Auth: an OAuth 2 and OpenID Connect authorization server for medicolegal death investigation.

pub mod audit;
pub mod clock;
pub mod config;
pub mod error;
pub mod keys;
pub mod master_key;
pub mod model;
pub mod outbound;
pub mod secret;
pub mod store;
pub mod tls;
