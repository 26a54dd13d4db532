//! People: how they sign in.

pub mod lockout;
pub mod password;
pub mod second_factor;
pub mod session;
pub mod sign_in;
