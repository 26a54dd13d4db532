//! The audit record: what happened (`event`), what of it is hashed (`leaf`), the trees over that (`tree`), what is signed
//! of them (`checkpoint`) and when (`sealing`), what others can check (`proof`), and how all of it is checked (`verify`).

pub mod activity;
pub mod check;
pub mod checkpoint;
pub mod counts;
pub mod event;
pub mod failure_counts;
pub mod leaf;
pub mod proof;
pub mod readers;
pub mod reason;
pub mod sealing;
pub mod tree;
pub mod verify;
