//! People: how they sign in.

pub mod banner;
pub mod device;
pub mod freshness;
pub mod passkey;
pub mod proof;
pub mod recovery;
pub mod recovery_codes;
pub mod second_factor;
pub mod set_up;
pub mod set_up_passkey;
pub mod sign_in;
pub mod totp;
