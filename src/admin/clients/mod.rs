//! Clients: their fields and words, the hand-off sheet, the connection check, and what a vendor sees.

pub mod check;
pub mod fields;
pub(in crate::admin) mod findings;
pub mod hand_off;
mod samples;
pub mod vendor;
pub mod vendor_link;
mod words;
