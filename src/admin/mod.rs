//! The console: the pages of `admin/`, and the admin API. [`pages`] lists the pages, and who may see each; changes go
//! only through `registry`.

pub mod about;
pub mod access;
pub mod agencies;
pub mod api;
mod api_tokens;
pub mod audit;
pub mod card;
pub mod clients;
pub mod confirm;
pub mod detail;
pub mod edit_conflict;
pub mod events;
pub mod first_administrator;
pub mod form;
pub mod grants;
pub mod home;
pub mod identity_providers;
pub mod jwks_check;
pub mod kept;
pub mod keys;
pub mod lifecycle;
pub mod list;
pub mod list_query;
pub mod noun;
pub mod page;
pub mod pages;
pub mod people;
pub mod policy;
pub mod resource_servers;
pub mod review;
pub mod sessions;
pub mod settings;
pub mod shown_once;
pub mod table;
pub mod upload;
