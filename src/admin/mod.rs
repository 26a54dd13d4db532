//! The console: the pages of `admin/`, one for one with the handlers here, and the admin API. Whoever comes is let in by
//! [`visit::enter`], by the one table of `policy::console`; changes go through `registry` alone.

pub mod api;
pub mod api_tokens;
pub mod clients;
pub mod first;
pub mod form;
pub mod home;
pub mod listing;
pub mod once;
pub mod visit;
