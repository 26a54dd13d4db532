//! How people come by a new password: by a one-time link, because they forgot the old one, because it has expired, or
//! because they want another one.

pub mod by_link;
pub mod change;
pub mod forgotten;
mod form;
pub mod strength;
