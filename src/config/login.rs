//! The section `[login]`: passwords, lock-out, sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::lockout::{Lockout, LockoutCovers};
use super::profile::{self, Profile};
use super::reader::Section;

const DAY: i64 = 86_400;

/// `[login]`. Most defaults are those of the profile.
#[derive(Debug, Clone)]
pub struct LoginConfig {
    /// The name of the profile that gives the defaults.
    pub policy: String,
    /// What the profile says.
    pub profile: Profile,
    /// The shortest password that is the only factor, in characters.
    pub password_length: u32,
    /// The shortest password beside a second factor, in characters.
    pub password_length_with_second_factor: u32,
    /// A password must be changed after so many days; 0: never.
    pub password_days: i64,
    /// So many earlier passwords may not be used again.
    pub password_history: u32,
    /// Passwords that are refused beside those that the program knows: one a line.
    pub password_blocklist_file: Option<PathBuf>,
    /// Failures within the window that lock an account.
    pub lockout_threshold: u32,
    /// The window for counting failures, in seconds.
    pub lockout_window_seconds: i64,
    /// How long an account stays locked.
    pub lockout: Lockout,
    /// Failures without a success between, however long ago, that lock an account until an administrator unlocks it.
    pub failures_in_a_row: u32,
    /// What is locked.
    pub lockout_covers: LockoutCovers,
    /// Whether failures of others leave a browser alone that has signed the person in before.
    pub known_browsers: bool,
    /// An account is disabled after so many days without a sign-in; 0: never.
    pub dormant_days: i64,
    /// Attempts at anything throttled by address, failed client authentication included.
    pub address_attempts_per_minute: u32,
    /// Wrong one-time codes before the sign-in starts over.
    pub totp_attempts: u32,
    /// A session ends after this long without use, in seconds.
    pub session_idle_seconds: i64,
    /// A session ends after this long in any case, in seconds.
    pub session_seconds: i64,
    /// How long an invitation holds, in seconds.
    pub invitation_seconds: i64,
    /// How long a link for a new password holds that the person asked for, in seconds.
    pub reset_seconds: i64,
    /// How long a link for a new password holds that an administrator made, in seconds.
    pub administrator_reset_seconds: i64,
    /// Memory of argon2id, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of argon2id.
    pub argon2_iterations: u32,
    /// Lanes of argon2id.
    pub argon2_parallelism: u32,
    /// Threads that hash passwords; none: one less than there are cores, so that one is left for everything else.
    pub hashing_threads: Option<u32>,
}

/// The weakest of the argon2id settings that OWASP's Password Storage Cheat Sheet holds for equal, as memory × passes.
const ARGON2_LEAST_WORK: u64 = 35_840;

impl LoginConfig {
    pub(super) fn read(section: &mut Section) -> Self {
        let (policy, profile) = read_profile(section);
        let read = Self {
            password_length: section.count("password_length", profile.password_length, 8..=64),
            password_length_with_second_factor: section.count(
                "password_length_with_second_factor",
                profile.password_length_with_second_factor,
                8..=64,
            ),
            password_days: section.integer("password_days", profile.password_days, 0..=3660),
            password_history: section.count("password_history", profile.password_history, 0..=24),
            password_blocklist_file: section.path("password_blocklist_file"),
            lockout_threshold: section.count("lockout_threshold", profile.lockout_threshold, 1..=100),
            lockout_window_seconds: section.integer(
                "lockout_window_seconds",
                profile.lockout_window_seconds,
                1..=DAY,
            ),
            lockout: read_lockout(section, profile.lockout),
            failures_in_a_row: section.count("failures_in_a_row", profile.failures_in_a_row, 1..=100),
            lockout_covers: section
                .parsed("lockout_covers", read_covers)
                .unwrap_or(profile.lockout_covers),
            known_browsers: section.flag("known_browsers", profile.known_browsers),
            dormant_days: section.integer("dormant_days", profile.dormant_days, 0..=3660),
            address_attempts_per_minute: section.count("address_attempts_per_minute", 30, 1..=1_000_000),
            totp_attempts: section.count("totp_attempts", 5, 1..=100),
            session_idle_seconds: section.integer(
                "session_idle_seconds",
                profile.session_idle_seconds,
                1..=DAY,
            ),
            session_seconds: section.integer("session_seconds", profile.session_seconds, 1..=DAY),
            invitation_seconds: section.integer("invitation_seconds", 7 * DAY, 60..=30 * DAY),
            reset_seconds: section.integer("reset_seconds", 1800, 60..=DAY),
            administrator_reset_seconds: section.integer("administrator_reset_seconds", DAY, 60..=7 * DAY),
            argon2_memory_kib: section.count("argon2_memory_kib", 19_456, 7_168..=4_194_304),
            argon2_iterations: section.count("argon2_iterations", 2, 1..=100),
            argon2_parallelism: section.count("argon2_parallelism", 1, 1..=16),
            hashing_threads: Some(section.count("hashing_threads", 0, 0..=1024))
                .filter(|threads| *threads > 0),
            policy,
            profile,
        };
        if read.password_length_with_second_factor > read.password_length {
            section.clash(
                "password_length_with_second_factor",
                read.password_length_with_second_factor.to_string(),
                format!("at most password_length ({})", read.password_length),
            );
        }
        if read.failures_in_a_row < read.lockout_threshold {
            section.clash(
                "failures_in_a_row",
                read.failures_in_a_row.to_string(),
                format!("at least lockout_threshold ({})", read.lockout_threshold),
            );
        }
        if read.session_idle_seconds > read.session_seconds {
            section.clash(
                "session_idle_seconds",
                read.session_idle_seconds.to_string(),
                format!("at most session_seconds ({})", read.session_seconds),
            );
        }
        if u64::from(read.argon2_memory_kib) * u64::from(read.argon2_iterations) < ARGON2_LEAST_WORK {
            section.clash(
                "argon2_iterations",
                format!(
                    "{} with argon2_memory_kib = {}",
                    read.argon2_iterations, read.argon2_memory_kib
                ),
                format!("memory × iterations of at least {ARGON2_LEAST_WORK}"),
            );
        }
        read
    }

    /// The settings that are weaker than those of the profile, one line each.
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

/// The profile that `policy` names; with a mistake, the default one.
fn read_profile(section: &mut Section) -> (String, Profile) {
    let mut profiles = profile::profiles().unwrap_or_else(|cause| {
        section.clash("policy", cause, "a program that was built right");
        BTreeMap::new()
    });
    let known = profiles
        .keys()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(" or ");
    let chosen = section.parsed("policy", |text| match profiles.contains_key(text) {
        true => Ok(text.to_owned()),
        false => Err(known),
    });
    let name = chosen.unwrap_or_else(|| profile::DEFAULT.to_owned());
    let profile = profiles.remove(&name).unwrap_or_default();
    (name, profile)
}

fn read_lockout(section: &mut Section, default: Lockout) -> Lockout {
    let Some(setting) = section.take("lockout_seconds") else {
        return default;
    };
    match (setting.integer(), setting.text()) {
        (Some(seconds), _) if (1..=30 * DAY).contains(&seconds) => Lockout::Seconds(seconds),
        (_, Some("until_admin")) => Lockout::UntilAdmin,
        _ => {
            section.wrong(
                &setting,
                format!("an integer from 1 to {}, or \"until_admin\"", 30 * DAY),
            );
            default
        }
    }
}

fn read_covers(text: &str) -> Result<LockoutCovers, String> {
    match text {
        "password" => Ok(LockoutCovers::Password),
        "account" => Ok(LockoutCovers::Account),
        _ => Err("\"password\" or \"account\"".to_owned()),
    }
}
