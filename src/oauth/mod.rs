//! The protocol, one file an endpoint or grant, by the RFCs' names.

pub mod introspect;
pub mod parameters;
