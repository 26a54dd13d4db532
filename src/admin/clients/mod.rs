//! Clients: listed, registered by their dataflow, changed, handed over to their vendors.

pub mod list;
