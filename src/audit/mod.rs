//! The audit record: what happened (`event`), how each row commits to the one before (`chain`), and how that is checked (`verify`).

pub mod activity;
pub mod chain;
pub mod check;
pub mod counts;
pub mod event;
pub mod failure_counts;
pub mod readers;
pub mod reason;
pub mod verify;
