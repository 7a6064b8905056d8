//! The connections that are open: how many there may be, which one makes room for a
//! new one, and when a client has taken too long.
//!
//! A new client always gets in: once the limit is reached, one of the network with the
//! most connections is cut, the one that has been useless for longest. Whoever asks and
//! reads is thereby safe from those who only hold connections open, however many they
//! are, and from those of other networks whatever they do.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{HEAD_TIME, IDLE_TIME, SEND_TIME, STALL_TIME};

/// How often connections are looked through for clients that have taken too long.
const SWEEP: Duration = Duration::from_secs(1);

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    open: Mutex<Open>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Open {
    /// In the order in which they were opened.
    pulses: BTreeMap<u64, Arc<Pulse>>,
    /// How many connections each network has.
    by_network: HashMap<Network, Arc<AtomicUsize>>,
    next: u64,
}

/// Whose connections compete: an IPv4 address, or the first half of an IPv6 address,
/// as one client has all of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u64);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
        })
    }
}

/// What one connection is doing. The times are milliseconds since the server began.
#[derive(Debug)]
pub(super) struct Pulse {
    network: Network,
    /// How many connections its network has, this one included.
    neighbours: Arc<AtomicUsize>,
    epoch: Instant,
    /// When it was opened, last asked something or last took something of an answer.
    useful: AtomicU64,
    /// Since when a handshake or a head is awaited whole; [`NEVER`] if none is.
    head: AtomicU64,
    /// Since when there is something to send that the client does not accept.
    unsent: AtomicU64,
    /// Requests that are being answered.
    asked: AtomicU32,
    cut: CancellationToken,
}

const NEVER: u64 = u64::MAX;

/// An open connection's place among them; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    all: Arc<Connections>,
    pulse: Arc<Pulse>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// None open yet, `limit` at the most.
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit.get().min(Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    /// A place for a connection that has just been accepted from `peer`, for which
    /// another one is cut if need be.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let places = Arc::clone(&self.places);
        let permit = match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.cut_useless(1);
                // The semaphore is never closed.
                places.acquire_owned().await.ok()?
            }
        };
        let (id, pulse) = self.open().insert(peer.into(), self.epoch);
        Some(Place {
            id,
            all: Arc::clone(self),
            pulse,
            _permit: permit,
        })
    }

    /// Cuts a part of the connections, for the system has no resources left for more.
    pub(super) fn cut_some(&self) {
        let count = self.open().pulses.len().div_ceil(4);
        self.cut_useless(count);
    }

    /// Cuts the `count` most useless ones; those that wait for an answer of ours come
    /// last.
    fn cut_useless(&self, count: usize) {
        let open = self.open();
        for _ in 0..count {
            let uncut = open.pulses.values();
            let uncut = uncut.filter(|pulse| !pulse.cut.is_cancelled());
            let useless = uncut.min_by_key(|pulse| {
                let waits = pulse.asked.load(Ordering::Relaxed) > 0;
                let neighbours = pulse.neighbours.load(Ordering::Relaxed);
                (
                    waits,
                    Reverse(neighbours),
                    pulse.useful.load(Ordering::Relaxed),
                )
            });
            match useless {
                Some(pulse) => pulse.cut.cancel(),
                None => break,
            }
        }
    }

    /// Cuts the connections of clients that take too long, for ever.
    pub(super) async fn sweep(&self) {
        let mut sweeps = tokio::time::interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            for pulse in self.open().pulses.values() {
                if pulse.is_overdue() {
                    pulse.cut.cancel();
                }
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn insert(&mut self, network: Network, epoch: Instant) -> (u64, Arc<Pulse>) {
        let neighbours = Arc::clone(self.by_network.entry(network).or_default());
        neighbours.fetch_add(1, Ordering::Relaxed);
        let pulse = Arc::new(Pulse::new(network, neighbours, epoch));
        let id = self.next;
        self.next += 1;
        self.pulses.insert(id, Arc::clone(&pulse));
        (id, pulse)
    }

    fn remove(&mut self, id: u64) {
        let Some(pulse) = self.pulses.remove(&id) else {
            return;
        };
        if pulse.neighbours.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.by_network.remove(&pulse.network);
        }
    }
}

impl Place {
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Returns when the connection is to be cut.
    pub(super) async fn cut(&self) {
        self.pulse.cut.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().remove(self.id);
    }
}

impl Pulse {
    /// A connection that has just been opened.
    fn new(network: Network, neighbours: Arc<AtomicUsize>, epoch: Instant) -> Self {
        let pulse = Self {
            network,
            neighbours,
            epoch,
            useful: AtomicU64::new(0),
            head: AtomicU64::new(0),
            unsent: AtomicU64::new(NEVER),
            asked: AtomicU32::new(0),
            cut: CancellationToken::new(),
        };
        let now = pulse.now();
        pulse.useful.store(now, Ordering::Relaxed);
        pulse.head.store(now, Ordering::Relaxed);
        pulse
    }

    /// The client has sent some bytes, over which no timer begins anew.
    pub(super) fn received(&self) {
        if self.head.load(Ordering::Relaxed) == NEVER && self.asked.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client has sent a whole head. The request is being answered until what this
    /// returns is dropped.
    pub(super) fn request(&self) -> Request<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.head.store(NEVER, Ordering::Relaxed);
        self.useful.store(self.now(), Ordering::Relaxed);
        Request(self)
    }

    /// The client's side has accepted some bytes.
    pub(super) fn sent(&self) {
        self.useful.store(self.now(), Ordering::Relaxed);
    }

    /// The client's side accepts nothing at the moment.
    pub(super) fn blocked(&self) {
        if self.unsent.load(Ordering::Relaxed) == NEVER {
            self.unsent.store(self.now(), Ordering::Relaxed);
        }
    }

    /// All that was to be sent has been accepted.
    pub(super) fn flushed(&self) {
        self.unsent.store(NEVER, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.epoch.elapsed())
    }

    fn is_overdue(&self) -> bool {
        let now = self.now();
        let longer = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != NEVER && now.saturating_sub(since) > millis(limit)
        };
        if self.unsent.load(Ordering::Relaxed) != NEVER {
            return longer(&self.useful, STALL_TIME) || longer(&self.unsent, SEND_TIME);
        }
        longer(&self.head, HEAD_TIME)
            || self.asked.load(Ordering::Relaxed) == 0 && longer(&self.useful, IDLE_TIME)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

/// A request that is being answered.
pub(super) struct Request<'p>(&'p Pulse);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}
