//! What strangers cause must cost nothing unbounded: the first failure of a minute is recorded at once, the others
//! are counted in memory per address and subject, and written as one event when the minute is over. The same counts
//! throttle an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::event::{Actor, Event, Kind, Outcome};

/// How many (address, subject) pairs are told apart within a minute; the rest share one count.
const PAIRS: usize = 10_000;

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
    addresses: HashMap<IpAddr, u32>,
    pairs: HashMap<(IpAddr, String), u32>,
    others: u32,
}

/// The counts of the current minute.
#[derive(Default)]
pub struct Strangers {
    minute: Mutex<Minute>,
}

impl std::fmt::Debug for Strangers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strangers")
    }
}

/// IPv6 hosts have a /64 to choose from, so the /64 is the address.
fn bucket(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(
            || {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            },
            IpAddr::V4,
        ),
    }
}

impl Strangers {
    /// Failures of an address in this minute.
    #[must_use]
    pub fn failures(&self, address: IpAddr, now: i64) -> u32 {
        let minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number == now.div_euclid(60) {
            minute.addresses.get(&bucket(address)).copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Counts a failure. The second value holds the summaries of a minute that has ended meanwhile.
    #[must_use]
    pub fn note(&self, address: IpAddr, subject: &str, now: i64) -> (Noted, Vec<Event>) {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = roll(&mut minute, now);
        let address = bucket(address);
        if minute.addresses.len() < PAIRS || minute.addresses.contains_key(&address) {
            *minute.addresses.entry(address).or_default() += 1;
        }
        let pair = (address, subject.to_owned());
        if minute.pairs.len() >= PAIRS && !minute.pairs.contains_key(&pair) {
            minute.others += 1;
            return (Noted::Counted, ended);
        }
        let count = minute.pairs.entry(pair).or_default();
        *count += 1;
        (if *count == 1 { Noted::First } else { Noted::Counted }, ended)
    }

    /// The summaries of a minute that has ended, if any.
    #[must_use]
    pub fn flush(&self, now: i64) -> Vec<Event> {
        roll(&mut self.minute.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// The summaries of all that was counted, at the end of the process.
    #[must_use]
    pub fn drain(&self, now: i64) -> Vec<Event> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        summarise(&std::mem::take(&mut *minute), now)
    }
}

fn roll(minute: &mut Minute, now: i64) -> Vec<Event> {
    let number = now.div_euclid(60);
    if minute.number == number {
        return Vec::new();
    }
    let ended = std::mem::replace(minute, Minute { number, ..Minute::default() });
    summarise(&ended, now)
}

fn summarise(minute: &Minute, now: i64) -> Vec<Event> {
    let event = |count: u32| {
        Event::new(now * 1000, Kind::FailuresCounted, Actor::Stranger)
            .outcome(Outcome::MinorFailure)
            .with("count", count.to_string())
            .with("minute", (minute.number * 60).to_string())
    };
    let mut events: Vec<Event> = minute
        .pairs
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|((address, subject), count)| event(*count).from(address.to_string()).with("subject", subject.clone()))
        .collect();
    if minute.others > 0 {
        events.push(event(minute.others).with("subject", "everything beyond the first 10000 addresses and subjects"));
    }
    events
}
