//! Plain types, no I/O: what the product speaks about.

pub mod agency;
pub mod api_token;
pub mod client;
pub mod grant;
pub mod identity_provider;
pub mod kind;
pub mod link;
pub mod logout_notice;
pub mod names;
pub mod network;
pub mod person;
pub mod registered;
pub mod resource_server;
pub mod scope;
pub mod secret;
pub mod security_label;
pub mod session;
pub mod signing;
pub mod token;
pub mod vendor_link;
pub mod words;
