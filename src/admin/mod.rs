//! The console: the pages of `admin/`, one for one with the handlers here, and the admin API. Whoever comes is let in by
//! [`access::admit`], by the one table of `policy::console`; changes go through `registry` alone.

pub mod access;
pub mod api;
pub mod api_tokens;
pub mod audit;
pub mod clients;
pub mod confirm;
pub mod edit_conflict;
pub mod events;
pub mod first_administrator;
pub mod form;
pub mod grants;
pub mod home;
pub mod identity_providers;
pub mod jwks_check;
pub mod keys;
pub mod lifecycle;
pub mod list_query;
pub mod people;
pub mod policy;
pub mod resource_servers;
pub mod review;
pub mod sessions;
pub mod settings;
pub mod shown_once;
pub mod upload;
