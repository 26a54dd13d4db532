//! Clients: listed, registered by their dataflow, changed, handed over to their vendors.

pub mod check;
pub mod edit;
mod findings;
pub mod hand_off;
pub mod lifecycle;
pub mod list;
mod samples;
pub mod show;
pub mod vendor;
pub mod vendor_link;
mod words;
