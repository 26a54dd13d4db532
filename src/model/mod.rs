//! Plain types, no I/O: what the product speaks about.
