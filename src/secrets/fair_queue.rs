//! A queue for work that costs, or that takes others' time, fair to those who ask: they take turns, network by network, so
//! that whoever sends most waits longest, and nobody else does.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::network::{self, Size, within};

/// What waits, by the network that asked.
#[derive(Debug)]
struct Lanes<T> {
    waiting: HashMap<IpAddr, VecDeque<T>>,
    /// Whose turn it is: each network with something waiting, once.
    turns: VecDeque<IpAddr>,
    count: usize,
    closed: bool,
}

/// A bounded queue that takes from each network in turn.
#[derive(Debug)]
pub struct FairQueue<T> {
    lanes: Mutex<Lanes<T>>,
    arrived: Condvar,
    capacity: usize,
}

impl<T> FairQueue<T> {
    /// An empty queue with so many places.
    pub fn new(capacity: usize) -> Self {
        Self {
            lanes: Mutex::new(Lanes {
                waiting: HashMap::new(),
                turns: VecDeque::new(),
                count: 0,
                closed: false,
            }),
            arrived: Condvar::new(),
            capacity,
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in line. Answers what finds no place any more: the newest of the network with most waiting, be it
    /// this or another one.
    pub fn put(&self, asking: IpAddr, item: T) -> Option<T> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Some(item);
        }
        let mut displaced = None;
        if lanes.count >= self.capacity {
            // Where all have as much, larger networks are compared: somebody may have any number of small ones.
            let busiest = network::LARGER
                .into_iter()
                .find_map(|size| lanes.busier_than(asking, size));
            match busiest {
                Some(busiest) => displaced = lanes.newest_of(busiest),
                None => return Some(item),
            }
        }
        lanes.push(asking, item);
        drop(lanes);
        self.arrived.notify_one();
        displaced
    }

    /// Waits for whatever is next, for a thread that runs no async tasks. None when the queue is closed.
    pub fn take(&self) -> Option<T> {
        let mut lanes = self.lanes();
        loop {
            if let Some(item) = lanes.next() {
                return Some(item);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.arrived.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whatever is next, if something waits.
    fn try_take(&self) -> Option<T> {
        self.lanes().next()
    }

    /// Takes nothing new, and lets those who wait for work go.
    pub fn close(&self) {
        self.lanes().closed = true;
        self.arrived.notify_all();
    }
}

impl<T> Lanes<T> {
    fn push(&mut self, network: IpAddr, item: T) {
        let lane = self.waiting.entry(network).or_default();
        if lane.is_empty() {
            self.turns.push_back(network);
        }
        lane.push_back(item);
        self.count += 1;
    }

    fn next(&mut self) -> Option<T> {
        let network = self.turns.pop_front()?;
        let lane = self.waiting.get_mut(&network)?;
        let item = lane.pop_front();
        if lane.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        self.count -= usize::from(item.is_some());
        item
    }

    /// The network with most waiting in the larger one with most, when that has more than the one of `asking` would have
    /// with one more: else the two would throw each other out.
    fn busier_than(&self, asking: IpAddr, size: Size) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (lane, waiting) in &self.waiting {
            *counts.entry(within(*lane, size)).or_default() += waiting.len();
        }
        let own = counts.get(&within(asking, size)).copied().unwrap_or(0);
        let (busiest, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let lanes = self
            .waiting
            .iter()
            .filter(|(lane, _)| within(**lane, size) == busiest);
        let lane = lanes.max_by_key(|(_, waiting)| waiting.len())?.0;
        (count > own + 1).then_some(*lane)
    }

    /// Takes the newest of a network.
    fn newest_of(&mut self, network: IpAddr) -> Option<T> {
        let lane = self.waiting.get_mut(&network)?;
        let item = lane.pop_back();
        if lane.is_empty() {
            self.waiting.remove(&network);
            self.turns.retain(|turn| *turn != network);
        }
        self.count -= usize::from(item.is_some());
        item
    }
}

/// Turns for async work of which only so much is done at a time: the rest waits, network by network.
#[derive(Debug)]
pub struct FairTurns {
    free: Mutex<usize>,
    waiting: FairQueue<oneshot::Sender<Turn>>,
}

/// Somebody's turn, until it is dropped: then it is the next one's.
#[derive(Debug)]
pub struct Turn(Arc<FairTurns>);

impl FairTurns {
    /// So many have their turn at a time, and so many may wait.
    pub fn new(at_once: usize, waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::new(at_once),
            waiting: FairQueue::new(waiting),
        })
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a network. None: too many wait, most of them from there.
    pub async fn turn(self: &Arc<Self>, asking: IpAddr) -> Option<Turn> {
        let told = {
            let mut free = self.free();
            if *free > 0 {
                *free -= 1;
                return Some(Turn(Arc::clone(self)));
            }
            let (tell, told) = oneshot::channel();
            // Who is displaced hears of it by the end of the channel.
            drop(self.waiting.put(asking, tell));
            told
        };
        told.await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut free = self.0.free();
        let Some(next) = self.0.waiting.try_take() else {
            *free += 1;
            return;
        };
        drop(free);
        // Who has gone meanwhile drops it at once, and the one behind is told.
        drop(next.send(Self(Arc::clone(&self.0))));
    }
}
