//! Connections: how many there may be, how many of them one address may hold, and how long a peer may leave what we
//! write unread.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use ipnet::IpNet;

use crate::model::network;

/// How long a peer may take nothing of what we write, in milliseconds (`TCP_USER_TIMEOUT`, RFC 5482): then the connection
/// ends.
const UNREAD_MILLIS: u32 = 30_000;
/// Descriptors that are not for connections: database, log, files, what we fetch ourselves.
const RESERVED: u64 = 128;
/// More connections than this are not held, however many descriptors there are: each takes memory.
const MOST: u64 = 16_384;
/// How many one address may hold at least, where so many are possible: an office is one address.
const LEAST_FOR_ONE: u64 = 256;

/// How many connections this process may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many descriptors the process may have; none: the system does not say, or does not limit them.
    pub descriptors: Option<u64>,
    /// How many connections in all.
    pub all: usize,
    /// How many of them from one address.
    pub of_one: usize,
}

impl Capacity {
    /// What so many descriptors allow.
    fn of(descriptors: Option<u64>) -> Self {
        let all = descriptors.map_or(MOST, |limit| limit.saturating_sub(RESERVED).clamp(16, MOST));
        let of_one = (all / 2).max(LEAST_FOR_ONE.min(all * 3 / 4));
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            descriptors,
            all: count(all),
            of_one: count(of_one),
        }
    }

    /// What the process could have: the system's limit that it may raise itself to.
    pub fn possible() -> Self {
        Self::of(limits().1)
    }

    /// What the process has.
    pub fn now() -> Self {
        Self::of(limits().0)
    }
}

/// The soft and the hard limit of descriptors.
#[cfg(unix)]
fn limits() -> (Option<u64>, Option<u64>) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current, limit.maximum)
}

#[cfg(not(unix))]
fn limits() -> (Option<u64>, Option<u64>) {
    (None, None)
}

/// Takes as many descriptors as the system lets this process have.
pub fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if limit.current != limit.maximum
            && let Err(cause) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%cause, "the limit of open files could not be raised");
        }
    }
}

/// The connections that are open, by the address at their other end.
#[derive(Debug)]
pub struct Connections {
    of_one: usize,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them; dropped with it.
struct Open {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

impl Connections {
    /// None yet. Proxies that are trusted may hold any number: they bring everybody's.
    pub fn new(of_one: usize, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            of_one,
            exempt,
            open: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many an address holds.
    pub fn held_by(&self, address: IpAddr) -> usize {
        let address = network::within(address, network::HOST);
        self.lock().get(&address).copied().unwrap_or(0)
    }

    /// Called for each connection that was made: counts it, or ends it if its address holds too many.
    pub fn opened(self: &Arc<Self>, stream: &dyn Any, data: &mut Extensions) {
        let tls = stream.downcast_ref::<TlsStream<TcpStream>>();
        let Some(stream) = tls
            .map(|tls| tls.get_ref().0)
            .or_else(|| stream.downcast_ref::<TcpStream>())
        else {
            return;
        };
        limit_unread(stream);
        let Ok(peer) = stream.peer_addr() else { return };
        let peer = peer.ip().to_canonical();
        if self.exempt.iter().any(|network| network.contains(&peer)) {
            return;
        }
        let address = network::within(peer, network::HOST);
        {
            let mut open = self.lock();
            let count = open.entry(address).or_default();
            if *count >= self.of_one {
                drop(open);
                tracing::debug!(%peer, "an address holds too many connections");
                return end(stream);
            }
            *count += 1;
        }
        data.insert(Open {
            connections: Arc::clone(self),
            address,
        });
    }
}

/// Ends a connection that only its reference is known of: whoever reads or writes on it learns so.
fn end(stream: &TcpStream) {
    #[cfg(unix)]
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Both);
    #[cfg(not(unix))]
    let _ = stream;
}

/// A peer that reads nothing is given up.
fn limit_unread(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(cause) = rustix::net::sockopt::set_tcp_user_timeout(stream, UNREAD_MILLIS) {
        tracing::debug!(%cause, "TCP_USER_TIMEOUT could not be set");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, UNREAD_MILLIS);
}
