//! People: how they sign in.

pub mod lockout;
pub mod second_factor;
pub mod sign_in;
