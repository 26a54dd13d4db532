//! The key that wraps keys, and passwords: which are good, and how they are kept.

pub mod fair_queue;
pub mod master_key;
pub mod password;
pub mod password_rules;
