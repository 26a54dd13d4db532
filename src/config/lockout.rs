//! What wrong passwords lock, and for how long.

use serde::Deserialize;

/// How long a lock-out lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lockout {
    /// So many seconds.
    Seconds(i64),
    /// Until an administrator unlocks the account.
    #[default]
    UntilAdmin,
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

/// What wrong passwords lock; the later, the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockoutCovers {
    /// The password alone, which is what is guessed (NIST SP 800-63B-4 §3.2.2): passkeys, identity providers and links
    /// that are mailed still let the person in.
    Password,
    /// The account, whatever is shown (CJIS AC-7).
    #[default]
    Account,
}
