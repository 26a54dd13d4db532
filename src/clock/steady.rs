//! A clock that does not jump. The machine's wall clock is compared with the one that counts since it was switched on,
//! which nobody sets: where they come apart, time goes on as it did, so that a jump lengthens no token and ends none.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

use super::{Clock, SystemClock};

/// How far the clocks may come apart, in milliseconds: NTP corrects less than that little by little.
const APART: i64 = 60_000;
/// How many ticks must agree before a clock that has jumped is believed.
const AGREEING: u8 = 5;

/// Two clocks of one machine.
pub trait Source: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch, as the machine believes.
    fn wall_millis(&self) -> i64;

    /// Milliseconds since the machine was switched on, those included in which it slept.
    fn boot_millis(&self) -> i64;
}

/// The machine's own clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct Machine;

impl Source for Machine {
    fn wall_millis(&self) -> i64 {
        SystemClock.now_millis()
    }

    fn boot_millis(&self) -> i64 {
        #[cfg(target_os = "linux")]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = rustix::time::ClockId::Monotonic;
        let at = rustix::time::clock_gettime(id);
        at.tv_sec
            .saturating_mul(1000)
            .saturating_add(at.tv_nsec / 1_000_000)
    }
}

fn is_far(millis: i64) -> bool {
    millis.unsigned_abs() > APART.unsigned_abs()
}

/// A wall clock that is believed as long as it goes on as the other one does.
#[derive(Debug)]
pub struct SteadyClock<S = Machine> {
    source: S,
    /// How far the wall clock is before the other one, as it was when they last agreed.
    agreed: AtomicI64,
    /// The same at the last tick.
    ticked: AtomicI64,
    doubtful: AtomicBool,
    /// How many ticks have agreed since the last doubt.
    agreeing: AtomicU8,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new(Machine)
    }
}

impl<S: Source> SteadyClock<S> {
    /// Believes the wall clock as it is now.
    pub fn new(source: S) -> Self {
        let apart = source.wall_millis() - source.boot_millis();
        Self {
            source,
            agreed: AtomicI64::new(apart),
            ticked: AtomicI64::new(apart),
            doubtful: AtomicBool::new(false),
            agreeing: AtomicU8::new(0),
        }
    }

    fn apart(&self) -> i64 {
        self.source.wall_millis() - self.source.boot_millis()
    }

    fn has_jumped(&self, apart: i64) -> bool {
        is_far(apart.saturating_sub(self.agreed.load(Ordering::Relaxed)))
    }
}

impl<S: Source> Clock for SteadyClock<S> {
    fn now_millis(&self) -> i64 {
        let (wall, boot) = (self.source.wall_millis(), self.source.boot_millis());
        if self.has_jumped(wall - boot) {
            boot + self.agreed.load(Ordering::Relaxed)
        } else {
            wall
        }
    }

    fn tick(&self, theirs: Option<i64>) -> bool {
        let wall = self.source.wall_millis();
        let apart = self.apart();
        let last = self.ticked.swap(apart, Ordering::Relaxed);
        // The wall clock itself is asked about: while it is in doubt, the time that goes on as before says nothing of it.
        let off = theirs.map_or(0, |theirs| wall - theirs);
        if is_far(off) {
            self.doubt(&format!("the database's clock is {} s off", -off / 1000));
        } else if is_far(apart - last) {
            self.doubt(&format!("the wall clock jumped by {} s", (apart - last) / 1000));
        } else if self.doubtful.load(Ordering::Relaxed) {
            let agreeing = self.agreeing.fetch_add(1, Ordering::Relaxed) + 1;
            if agreeing >= AGREEING {
                self.agreed.store(apart, Ordering::Relaxed);
                self.doubtful.store(false, Ordering::Relaxed);
                tracing::warn!(now = self.now(), "the clock is steady again, and is believed");
            }
        } else {
            // What NTP corrects little by little.
            self.agreed.store(apart, Ordering::Relaxed);
        }
        self.is_steady()
    }

    fn doubt(&self, why: &str) {
        tracing::error!(
            %why,
            "the time is in doubt: it goes on as before, and nothing is deleted, disabled or replaced until the clock has been steady for {AGREEING} ticks"
        );
        self.agreeing.store(0, Ordering::Relaxed);
        self.doubtful.store(true, Ordering::Relaxed);
    }

    fn is_steady(&self) -> bool {
        !self.doubtful.load(Ordering::Relaxed) && !self.has_jumped(self.apart())
    }
}
