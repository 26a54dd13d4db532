//! Load: so many connections, each with a thread of its own that sends the next request when it has its answer.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::http::{Connection, Peer};
use crate::process::Running;

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub name: &'static str,
    pub connections: usize,
    pub seconds: f64,
    /// Between an answer and the next request.
    pub pause: Duration,
}

impl Load {
    pub fn new(name: &'static str, connections: usize, seconds: f64) -> Self {
        Self {
            name,
            connections,
            seconds,
            pause: Duration::ZERO,
        }
    }
}

/// How one request went: `Ok(false)` when there is nothing left to ask.
pub type Turn = Result<bool, String>;

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Measured {
    pub name: &'static str,
    pub connections: usize,
    /// By the clock, per second; both cores, shared with this program.
    pub rate: f64,
    /// The server's processor time for one request, in microseconds.
    pub cpu_micros: f64,
    pub p50: Duration,
    pub p95: Duration,
    pub p99: Duration,
    pub errors: usize,
    /// What the first error said.
    pub complaint: Option<String>,
}

impl Measured {
    /// What one whole core would do in a second.
    pub fn cap(&self) -> f64 {
        1e6 / self.cpu_micros
    }
}

/// What one connection has to tell.
#[derive(Default)]
struct Told {
    latencies: Vec<Duration>,
    errors: Vec<String>,
}

/// Before the clock starts, each connection shakes hands and asks this often.
const WARM_UP: usize = 5;

/// Drives a load. `begin` makes what a connection keeps from one request to the next.
pub fn measure<S>(
    server: &Running,
    peer: &Peer,
    load: &Load,
    begin: impl Fn(usize) -> S + Sync,
    turn: impl Fn(&mut Connection, &mut S) -> Turn + Sync,
) -> Measured {
    let (warm, go) = (
        Barrier::new(load.connections + 1),
        Barrier::new(load.connections + 1),
    );
    let one = |number: usize| {
        let (mut connection, mut state) = (peer.connect().unwrap(), begin(number));
        let mut told = Told::default();
        for _ in 0..WARM_UP {
            told.errors.extend(turn(&mut connection, &mut state).err());
        }
        warm.wait();
        go.wait();
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < load.seconds {
            let asked = Instant::now();
            match turn(&mut connection, &mut state) {
                Ok(true) => told.latencies.push(asked.elapsed()),
                Ok(false) => break,
                Err(complaint) => {
                    told.errors.push(complaint);
                    // After an error nobody knows where the stream stands.
                    connection = peer.connect().unwrap();
                }
            }
            std::thread::sleep(load.pause);
        }
        told
    };
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..load.connections)
            .map(|number| scope.spawn(move || one(number)))
            .collect();
        warm.wait();
        let cpu = server.cpu_seconds();
        let begun = Instant::now();
        go.wait();
        let told: Vec<Told> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        summed_up(load, told, begun.elapsed(), server.cpu_seconds() - cpu)
    })
}

fn summed_up(load: &Load, told: Vec<Told>, elapsed: Duration, cpu_seconds: f64) -> Measured {
    let complaint = told.iter().flat_map(|told| told.errors.first()).next().cloned();
    let errors = told.iter().map(|told| told.errors.len()).sum();
    let mut latencies: Vec<Duration> = told.into_iter().flat_map(|told| told.latencies).collect();
    latencies.sort_unstable();
    let at = |share: f64| {
        latencies
            .get((latencies.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    let count = latencies.len() as f64;
    Measured {
        name: load.name,
        connections: load.connections,
        rate: count / elapsed.as_secs_f64(),
        cpu_micros: cpu_seconds * 1e6 / count,
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        errors,
        complaint,
    }
}
