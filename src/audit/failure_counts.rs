//! What strangers cause must cost nothing unbounded: the first failure of a minute is recorded at once, the others
//! are counted in memory per address and subject, and written as one event when the minute is over. Sign-ins are
//! throttled by the same minute, per address; other failures per address and subject, so that one misconfigured system
//! does not shut out its neighbours behind the same address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::{Actor, Event, Kind, Outcome};
use crate::model::network;

/// How many addresses, and how many pairs of address and subject, are told apart within a minute.
const TOLD_APART: usize = 10_000;
/// Whether a failure is to be recorded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// The first of its kind in this minute: record it.
    First,
    /// Counted; it will be part of a summary.
    Counted,
}

#[derive(Default)]
struct Minute {
    number: i64,
    sign_ins: Counts,
    attempts: Counts,
    failures: HashMap<(IpAddr, String), u32>,
    calls: HashMap<String, u32>,
    others: u32,
}

/// How often addresses did something within a minute, each in the name of a subject.
#[derive(Default)]
struct Counts(HashMap<(IpAddr, String), u32>);

impl Counts {
    /// Where an address is counted with a subject: by itself while there is room.
    fn slot(&self, address: IpAddr, subject: &str) -> (IpAddr, String) {
        let own = (network::within(address, network::HOST), subject.to_owned());
        if self.0.len() < TOLD_APART || self.0.contains_key(&own) {
            return own;
        }
        // With its network, then with ever larger ones: never not at all, and never with everybody.
        let mut room = TOLD_APART;
        let mut last = own;
        for size in network::LARGER {
            room += TOLD_APART;
            // The subject is whatever a stranger says: it tells nobody apart any more.
            last = (network::within(address, size), String::new());
            if self.0.len() < room || self.0.contains_key(&last) {
                break;
            }
        }
        last
    }

    fn get(&self, address: IpAddr, subject: &str) -> u32 {
        self.0.get(&self.slot(address, subject)).copied().unwrap_or(0)
    }

    fn count(&mut self, address: IpAddr, subject: &str) -> &mut u32 {
        let slot = self.slot(address, subject);
        self.0.entry(slot).or_default()
    }
}

/// The counts of the current minute.
#[derive(Default)]
pub struct FailureCounts {
    minute: Mutex<Minute>,
    /// Summaries of minutes that have ended, until somebody writes them.
    ended: Mutex<Vec<Event>>,
}

impl std::fmt::Debug for FailureCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FailureCounts")
    }
}

impl FailureCounts {
    /// The counts of the minute of `now`.
    fn minute(&self, now: i64) -> MutexGuard<'_, Minute> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.div_euclid(60);
        if minute.number != number {
            let over = std::mem::replace(
                &mut *minute,
                Minute {
                    number,
                    ..Minute::default()
                },
            );
            self.ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&mut summarise(&over, now));
        }
        minute
    }

    /// Counts a sign-in that is about to be tried, unless the address has used its minute up. Counted first, so that
    /// many at once are not let through together; [`FailureCounts::release`] gives a success back.
    #[must_use]
    pub fn reserve(&self, address: IpAddr, limit: u32, now: i64) -> bool {
        let mut minute = self.minute(now);
        let count = minute.sign_ins.count(address, "");
        let free = *count < limit;
        *count += u32::from(free);
        free
    }

    /// Gives back what [`FailureCounts::reserve`] counted.
    pub fn release(&self, address: IpAddr, now: i64) {
        let mut minute = self.minute(now);
        let count = minute.sign_ins.count(address, "");
        *count = count.saturating_sub(1);
    }

    /// Counts an attempt of an address in the name of `subject`, whoever or whatever that may be.
    pub fn attempt(&self, address: IpAddr, subject: &str, now: i64) {
        let mut minute = self.minute(now);
        let count = minute.attempts.count(address, subject);
        *count = count.saturating_add(1);
    }

    /// Attempts of an address in the name of `subject` in this minute.
    #[must_use]
    pub fn attempts(&self, address: IpAddr, subject: &str, now: i64) -> u32 {
        self.minute(now).attempts.get(address, subject)
    }

    /// Counts a call of somebody who is known, by an id of ours, and answers how many that makes in this minute.
    #[must_use]
    pub fn call(&self, caller: &str, now: i64) -> u32 {
        let mut minute = self.minute(now);
        let count = minute.calls.entry(caller.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Failures of an address with a subject in this minute.
    #[must_use]
    pub fn failures(&self, address: IpAddr, subject: &str, now: i64) -> u32 {
        self.minute(now)
            .failures
            .get(&(network::within(address, network::HOST), subject.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// Counts a failure.
    #[must_use]
    pub fn note(&self, address: IpAddr, subject: &str, now: i64) -> Noted {
        let mut minute = self.minute(now);
        let pair = (network::within(address, network::HOST), subject.to_owned());
        if minute.failures.len() >= TOLD_APART && !minute.failures.contains_key(&pair) {
            minute.others += 1;
            return Noted::Counted;
        }
        let count = minute.failures.entry(pair).or_default();
        *count += 1;
        if *count == 1 { Noted::First } else { Noted::Counted }
    }

    /// The summaries of minutes that have ended.
    #[must_use]
    pub fn flush(&self, now: i64) -> Vec<Event> {
        drop(self.minute(now));
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The summaries of all that was counted, at the end of the process.
    #[must_use]
    pub fn drain(&self, now: i64) -> Vec<Event> {
        let mut events = self.flush(now);
        events.append(&mut summarise(&std::mem::take(&mut *self.minute(now)), now));
        events
    }
}

fn summarise(minute: &Minute, now: i64) -> Vec<Event> {
    let event = |count: u32| {
        Event::new(now * 1000, Kind::FailuresCounted, Actor::Stranger)
            .outcome(Outcome::MinorFailure)
            .with("count", count.to_string())
            .with("minute", (minute.number * 60).to_string())
    };
    let counted = minute.failures.iter().filter(|(_, count)| **count > 1);
    let mut events: Vec<Event> = counted
        .map(|((address, subject), count)| {
            event(*count)
                .from(address.to_string())
                .with("subject", subject.clone())
        })
        .collect();
    if minute.others > 0 {
        events.push(event(minute.others).with(
            "subject",
            "everything beyond the first 10000 addresses and subjects",
        ));
    }
    events
}
