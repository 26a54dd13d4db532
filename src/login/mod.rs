//! People: how they sign in.

pub mod password;
