//! The only list of URLs.
