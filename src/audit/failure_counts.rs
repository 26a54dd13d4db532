//! What strangers cause must cost nothing unbounded: the first failure of a minute is recorded by itself, as long as there
//! are few of them; the others are counted in memory, and written every ten minutes as one event for each of the busiest
//! networks. Sign-ins are throttled by the minute, per address; other failures per address and subject, so that one
//! misconfigured system does not shut out its neighbours behind the same address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::{Actor, Event, Kind, Outcome};
use crate::model::network;

/// How many addresses, and how many pairs of address and subject, are told apart within a minute.
const TOLD_APART: usize = 10_000;
/// How many failures may be recorded by themselves, one after the other.
const SINGLY: i64 = 100;
/// After how long one more may be, in seconds.
const ONE_MORE_SECONDS: i64 = 30;
/// How long is counted before it is written, in seconds.
const COUNTED_SECONDS: i64 = 600;
/// How many networks are named when it is.
const NAMED_NETWORKS: usize = 10;
/// How many accounts are named of those that were hit.
const NAMED_ACCOUNTS: usize = 5;

/// Whether a failure is to be recorded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Record it.
    First,
    /// Counted; it will be part of a summary.
    Counted,
}

/// What somebody failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed<'a> {
    /// Signing in to an account, by its id.
    Account(&'a str),
    /// Signing in as somebody whom nobody knows, by whatever tells these apart.
    SignIn(&'a str),
    /// Authenticating as a client or a resource server.
    Client(&'a str),
    /// Anything else that a stranger may try.
    Other(&'a str),
    /// What somebody may not do who has signed in, or a program that has authenticated. There are few of those, and the
    /// first of a minute is recorded whatever strangers do.
    Known(&'a str),
}

impl<'a> Failed<'a> {
    fn subject(self) -> &'a str {
        match self {
            Self::Account(subject)
            | Self::SignIn(subject)
            | Self::Client(subject)
            | Self::Other(subject)
            | Self::Known(subject) => subject,
        }
    }
}

#[derive(Default)]
struct Minute {
    number: i64,
    sign_ins: Counts,
    attempts: Counts,
    refusals: Counts,
    /// Whose failures were seen, and with what subject.
    failed: HashSet<(IpAddr, String)>,
    calls: HashMap<String, u32>,
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

/// What is counted of the failures of one network, or of all that are not named.
#[derive(Debug, Default, Clone)]
struct Tally {
    /// The address that all came from, if it is one.
    address: Option<IpAddr>,
    count: u32,
    sign_ins: u32,
    clients: u32,
    /// How often accounts were hit, by their ids.
    accounts: HashMap<String, u32>,
}

impl Tally {
    fn add(&mut self, address: IpAddr, failed: Failed<'_>, names_accounts: bool) {
        self.address = match (self.count, self.address) {
            (0, _) => Some(address),
            (_, Some(known)) if known == address => Some(known),
            _ => None,
        };
        self.count = self.count.saturating_add(1);
        match failed {
            Failed::Account(_) | Failed::SignIn(_) => self.sign_ins = self.sign_ins.saturating_add(1),
            Failed::Client(_) => self.clients = self.clients.saturating_add(1),
            Failed::Other(_) | Failed::Known(_) => {}
        }
        if let Failed::Account(id) = failed
            && (names_accounts || self.accounts.contains_key(id))
        {
            *self.accounts.entry(id.to_owned()).or_default() += 1;
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.address = None;
        self.count = self.count.saturating_add(other.count);
        self.sign_ins = self.sign_ins.saturating_add(other.sign_ins);
        self.clients = self.clients.saturating_add(other.clients);
        for (id, count) in &other.accounts {
            *self.accounts.entry(id.clone()).or_default() += count;
        }
        self
    }

    /// The event that tells it, as far as there is something to tell.
    fn event(&self, from: String, since: i64, now: i64) -> Option<Event> {
        if self.count == 0 {
            return None;
        }
        let mut hit: Vec<(&String, &u32)> = self.accounts.iter().collect();
        hit.sort_unstable_by(|one, other| (other.1, one.0).cmp(&(one.1, other.0)));
        let most: Vec<&str> = hit
            .iter()
            .take(NAMED_ACCOUNTS)
            .map(|(id, _)| id.as_str())
            .collect();
        let event = Event::new(now * 1000, Kind::FailuresCounted, Actor::Stranger)
            .outcome(Outcome::MinorFailure)
            .from(from)
            .with("count", self.count.to_string())
            .with("sign_ins", self.sign_ins.to_string())
            .with("clients", self.clients.to_string())
            .with("since", since.to_string());
        Some(if most.is_empty() {
            event
        } else {
            event
                .with("accounts", hit.len().to_string())
                .with("most_hit", most.join(" "))
        })
    }
}

/// What is counted until it is written.
#[derive(Default)]
struct Counted {
    /// Since when, in seconds since the epoch; 0: nothing is counted yet.
    since: i64,
    networks: HashMap<IpAddr, Tally>,
    rest: Tally,
    /// How many accounts are named in all of them.
    named: usize,
}

impl Counted {
    fn add(&mut self, address: IpAddr, failed: Failed<'_>, now: i64) {
        if self.since == 0 {
            self.since = now;
        }
        let network = network::of(address);
        let told_apart = self.networks.len() < TOLD_APART || self.networks.contains_key(&network);
        let tally = if told_apart {
            self.networks.entry(network).or_default()
        } else {
            &mut self.rest
        };
        let before = tally.accounts.len();
        let address = network::within(address, network::HOST);
        tally.add(address, failed, self.named < TOLD_APART);
        self.named += tally.accounts.len() - before;
    }

    /// One event for each of the busiest networks, and one for the others.
    fn events(&self, now: i64) -> Vec<Event> {
        let mut networks: Vec<(&IpAddr, &Tally)> = self.networks.iter().collect();
        networks.sort_unstable_by(|one, other| (other.1.count, one.0).cmp(&(one.1.count, other.0)));
        let (named, others) = networks.split_at(networks.len().min(NAMED_NETWORKS));
        let from = |network: &IpAddr, tally: &Tally| {
            tally
                .address
                .map_or_else(|| network::in_words(*network), |address| address.to_string())
        };
        let mut events: Vec<Event> = named
            .iter()
            .filter_map(|(network, tally)| tally.event(from(network, tally), self.since, now))
            .collect();
        let rest = others
            .iter()
            .fold(self.rest.clone(), |rest, (_, tally)| rest.join(tally));
        events.extend(rest.event("other networks".to_owned(), self.since, now));
        events
    }
}

/// How many failures may be recorded by themselves: a bucket that fills again little by little.
#[derive(Default)]
struct Bucket {
    /// When it will be full, in seconds since the epoch.
    full_at: i64,
}

impl Bucket {
    fn take(&mut self, now: i64) -> bool {
        // Also where the clock was ahead and is right again.
        let known = self.full_at.clamp(now, now + SINGLY * ONE_MORE_SECONDS);
        let full_at = known + ONE_MORE_SECONDS;
        let holds = full_at - now <= SINGLY * ONE_MORE_SECONDS;
        if holds {
            self.full_at = full_at;
        }
        holds
    }
}

/// The counts of the current minute, and what is to be written.
#[derive(Default)]
pub struct FailureCounts {
    minute: Mutex<Minute>,
    singly: Mutex<Bucket>,
    counted: Mutex<Counted>,
    /// How many sign-ins of an address are under way.
    under_way: Mutex<HashMap<IpAddr, u32>>,
    /// One of them has come to its end.
    settled: Notify,
}

/// A sign-in of an address that is under way, until this goes.
#[derive(Debug)]
pub struct UnderWay<'a> {
    counts: &'a FailureCounts,
    host: IpAddr,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.counts.under_way);
        if let Some(count) = under_way.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.host);
            }
        }
        drop(under_way);
        self.counts.settled.notify_waiters();
    }
}

impl std::fmt::Debug for FailureCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FailureCounts")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FailureCounts {
    /// The counts of the minute of `now`.
    fn minute(&self, now: i64) -> MutexGuard<'_, Minute> {
        let mut minute = lock(&self.minute);
        let number = now.div_euclid(60);
        if minute.number != number {
            *minute = Minute {
                number,
                ..Minute::default()
            };
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

    /// [`FailureCounts::reserve`] for what takes long. Who comes while the minute of the address is used up by sign-ins that
    /// are still under way waits for what becomes of those: an office that comes to work has one address, and nobody of it
    /// has failed yet.
    pub async fn reserve_in_turn(
        &self,
        address: IpAddr,
        limit: u32,
        now: impl Fn() -> i64,
    ) -> Option<UnderWay<'_>> {
        let host = network::within(address, network::HOST);
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // Before it is looked: what settles meanwhile must not be missed.
            settled.as_mut().enable();
            {
                let mut under_way = lock(&self.under_way);
                let running = under_way.get(&host).copied().unwrap_or(0);
                if self.reserve(address, limit, now()) {
                    under_way.insert(host, running + 1);
                    return Some(UnderWay { counts: self, host });
                }
                if running == 0 || self.failures(address, now()).saturating_sub(running) >= limit {
                    return None;
                }
            }
            settled.await;
        }
    }

    /// Sign-ins of an address in this minute that have failed, or are under way.
    fn failures(&self, address: IpAddr, now: i64) -> u32 {
        self.minute(now).sign_ins.get(address, "")
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

    /// Counts an answer that refused a stranger, and answers how many the network has had in this minute.
    #[must_use]
    pub fn refusal(&self, address: IpAddr, now: i64) -> u32 {
        let mut minute = self.minute(now);
        let count = minute.refusals.count(network::of(address), "");
        *count = count.saturating_add(1);
        *count
    }

    /// Counts a call of somebody who is known, by an id of ours, and answers how many that makes in this minute.
    #[must_use]
    pub fn call(&self, caller: &str, now: i64) -> u32 {
        let mut minute = self.minute(now);
        let count = minute.calls.entry(caller.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Counts a failure.
    #[must_use]
    pub fn note(&self, address: IpAddr, failed: Failed<'_>, now: i64) -> Noted {
        let pair = (
            network::within(address, network::HOST),
            failed.subject().to_owned(),
        );
        let is_known = matches!(failed, Failed::Known(_));
        let is_first = {
            let mut minute = self.minute(now);
            let room = minute.failed.len() < TOLD_APART;
            (room || is_known) && minute.failed.insert(pair)
        };
        if is_first && (is_known || lock(&self.singly).take(now)) {
            return Noted::First;
        }
        lock(&self.counted).add(address, failed, now);
        Noted::Counted
    }

    /// Counts a failure that is not recorded by itself.
    pub fn count(&self, address: IpAddr, failed: Failed<'_>, now: i64) {
        lock(&self.counted).add(address, failed, now);
    }

    /// What was counted, once it was counted for long enough.
    #[must_use]
    pub fn flush(&self, now: i64) -> Vec<Event> {
        let mut counted = lock(&self.counted);
        if counted.since == 0 || (0..COUNTED_SECONDS).contains(&(now - counted.since)) {
            return Vec::new();
        }
        std::mem::take(&mut *counted).events(now)
    }

    /// All that was counted, at the end of the process.
    #[must_use]
    pub fn drain(&self, now: i64) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.counted)).events(now)
    }
}
