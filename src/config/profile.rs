//! Profiles of the sign-in: which defaults the settings of `[login]` have. They are data, `sign_in_profiles.toml`,
//! where each line names the requirement behind it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::sections::{Lockout, LockoutCovers, LoginConfig};

/// The profile when nobody chooses one.
pub(super) const DEFAULT: &str = "nist-63b-4";

const PROFILES: &str = include_str!("sign_in_profiles.toml");

/// The defaults of `[login]` that a profile gives. Each is described at [`LoginConfig`].
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

impl<'de> Deserialize<'de> for Lockout {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Seconds(i64),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Seconds(seconds) => Ok(Self::Seconds(seconds)),
            Either::Word(word) if word == "until_admin" => Ok(Self::UntilAdmin),
            Either::Word(word) => Err(serde::de::Error::custom(format!("lockout_seconds = {word:?}"))),
        }
    }
}

impl LoginConfig {
    /// The settings that are weaker than those of the profile, one line each.
    #[must_use]
    pub fn weaker_than_profile(&self) -> Vec<String> {
        let profile = &self.profile;
        let mut weaker = Vec::new();
        let mut compare = |key: &str, ours: i64, theirs: i64, weak: bool| {
            if weak {
                weaker.push(format!(
                    "{key} = {ours} is weaker than the profile {}, which has {theirs}",
                    self.policy
                ));
            }
        };
        let mut at_least = |key: &str, ours: i64, theirs: i64| compare(key, ours, theirs, ours < theirs);
        at_least(
            "password_length",
            self.password_length.into(),
            profile.password_length.into(),
        );
        at_least(
            "password_length_with_second_factor",
            self.password_length_with_second_factor.into(),
            profile.password_length_with_second_factor.into(),
        );
        at_least(
            "password_history",
            self.password_history.into(),
            profile.password_history.into(),
        );
        at_least(
            "lockout_window_seconds",
            self.lockout_window_seconds,
            profile.lockout_window_seconds,
        );
        let mut at_most = |key: &str, ours: i64, theirs: i64| compare(key, ours, theirs, ours > theirs);
        at_most(
            "lockout_threshold",
            self.lockout_threshold.into(),
            profile.lockout_threshold.into(),
        );
        at_most(
            "failures_in_a_row",
            self.failures_in_a_row.into(),
            profile.failures_in_a_row.into(),
        );
        at_most(
            "session_idle_seconds",
            self.session_idle_seconds,
            profile.session_idle_seconds,
        );
        at_most("session_seconds", self.session_seconds, profile.session_seconds);
        // 0 means never.
        let never_or_later = |ours: i64, theirs: i64| theirs != 0 && (ours == 0 || ours > theirs);
        for (key, ours, theirs) in [
            ("password_days", self.password_days, profile.password_days),
            ("dormant_days", self.dormant_days, profile.dormant_days),
        ] {
            compare(key, ours, theirs, never_or_later(ours, theirs));
        }
        match (self.lockout, profile.lockout) {
            (Lockout::Seconds(ours), Lockout::Seconds(theirs)) => {
                compare("lockout_seconds", ours, theirs, ours < theirs);
            }
            (Lockout::Seconds(ours), Lockout::UntilAdmin) => weaker.push(format!(
                "lockout_seconds = {ours} is weaker than the profile {}, which has \"until_admin\"",
                self.policy
            )),
            (Lockout::UntilAdmin, _) => {}
        }
        if self.lockout_covers < profile.lockout_covers {
            weaker.push(format!(
                "lockout_covers = \"password\" is weaker than the profile {}, which has \"account\"",
                self.policy
            ));
        }
        if self.known_browsers && !profile.known_browsers {
            weaker.push(format!(
                "known_browsers = true is weaker than the profile {}, which has false",
                self.policy
            ));
        }
        weaker
    }
}
