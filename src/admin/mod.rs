//! The console: the pages of `admin/`, one for one with the handlers here, and the admin API. Whoever comes is let in by
//! [`visit::enter`], by the one table of `policy::console`; changes go through `registry` alone.

pub mod api;
pub mod api_tokens;
pub mod ask;
pub mod audit;
pub mod changed;
pub mod clients;
pub mod events;
pub mod first;
pub mod form;
pub mod grants;
pub mod home;
pub mod identity_providers;
pub mod jwks_check;
pub mod keys;
pub mod listing;
pub mod once;
pub mod people;
pub mod policy;
pub mod resource_servers;
pub mod review;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod upload;
pub mod visit;
