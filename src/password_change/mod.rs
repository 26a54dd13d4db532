//! How people come by a new password: by a one-time link, because they forgot the old one, because it has expired, or
//! because they want another one; and how they confirm the address at which a forgotten one is answered.

pub mod address;
pub mod by_link;
pub mod change;
pub mod forgotten;
mod form;
pub mod strength;
