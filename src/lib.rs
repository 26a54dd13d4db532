//! MDI Auth: an OAuth 2 and OpenID Connect authorization server for medicolegal death investigation.

pub mod model;
