//! Profiles of the sign-in: which defaults the settings of `[login]` have. They are data, `sign_in_profiles.toml`,
//! where each line names the requirement behind it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lockout::{Lockout, LockoutCovers};

/// The profile when nobody chooses one.
pub(super) const DEFAULT: &str = "nist-63b-4";

const PROFILES: &str = include_str!("sign_in_profiles.toml");

/// The defaults of `[login]` that a profile gives. Each is described at [`LoginConfig`](super::LoginConfig).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each has the name and the meaning of the setting in LoginConfig"
)]
pub struct Profile {
    pub password_length: u32,
    pub password_length_with_second_factor: u32,
    pub password_days: i64,
    pub password_history: u32,
    pub lockout_threshold: u32,
    pub lockout_window_seconds: i64,
    #[serde(rename = "lockout_seconds")]
    pub lockout: Lockout,
    pub failures_in_a_row: u32,
    pub lockout_covers: LockoutCovers,
    pub known_browsers: bool,
    pub dormant_days: i64,
    pub session_idle_seconds: i64,
    pub session_seconds: i64,
    pub refresh_family_seconds: i64,
    /// Whether `[server] banner` must be there.
    pub banner_required: bool,
}

/// All profiles by name.
///
/// # Errors
/// When the built-in data cannot be read, which a test rules out.
pub(super) fn profiles() -> Result<BTreeMap<String, Profile>, String> {
    toml::from_str(PROFILES).map_err(|cause| format!("the built-in profiles cannot be read: {cause}"))
}
