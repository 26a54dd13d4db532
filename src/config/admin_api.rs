//! `[admin_api]`: the limits of the admin API.

use super::reader::Section;

/// `[admin_api]`.
#[derive(Debug, Clone)]
pub struct AdminApiConfig {
    /// How many requests one token may make within a minute, at one server.
    pub requests_per_minute: u32,
}

impl AdminApiConfig {
    pub(super) fn read(section: &mut Section) -> Self {
        Self {
            requests_per_minute: section.count("requests_per_minute", 600, 1..=1_000_000),
        }
    }
}
