//! The audit record: what happened (`event`), how each row commits to the one before (`chain`), and how that is checked (`verify`).

pub mod chain;
pub mod counts;
pub mod event;
pub mod strangers;
pub mod verify;
