//! Time and randomness: the only `now` and the only source of random bytes, so that tests can move the one and nothing forgets the other.

pub mod local_time;

use std::fmt::Debug;
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

mod steady;

pub use steady::{Source, SteadyClock};

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch, UTC.
    fn now_millis(&self) -> i64;

    /// Looks whether the time goes on as it should. Called every few seconds, with the time of another machine if there is
    /// one, in milliseconds since the epoch. Answers whether it can be relied on: until then nothing is deleted, disabled
    /// or replaced.
    fn tick(&self, theirs: Option<i64>) -> bool {
        let _ = theirs;
        self.is_steady()
    }

    /// Somebody has a reason not to believe it.
    fn doubt(&self, why: &str) {
        let _ = why;
    }

    /// Whether the time can be relied on.
    fn is_steady(&self) -> bool {
        true
    }

    /// Seconds since the Unix epoch, UTC: the `NumericDate` of RFC 7519 §2.
    fn now(&self) -> i64 {
        self.now_millis().div_euclid(1000)
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now_millis(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}

/// Gives random bytes and the texts made of them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Entropy;

impl Entropy {
    /// Fills an array with random bytes of the cryptographic generator.
    ///
    /// The generator fails only where the operating system has no entropy source at all; then nothing here may
    /// go on, so the process ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that draws random bytes"
    )]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0u8; N];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            std::process::abort();
        }
        bytes
    }

    /// A 256-bit secret as base64url (43 characters).
    pub fn secret(&self) -> String {
        BASE64URL_NOPAD.encode(&self.bytes::<32>())
    }

    /// A 128-bit identifier in lower-case base32 behind its prefix: `usr_…`, `grt_…`.
    pub fn id(&self, prefix: &str) -> String {
        format!(
            "{prefix}_{}",
            BASE32_NOPAD.encode(&self.bytes::<16>()).to_lowercase()
        )
    }
}

/// A clock that is shared between threads.
pub type SharedClock = Arc<dyn Clock>;
