//! The connections that are open: how many there may be, which one makes room for a
//! new one, and when a client has taken too long.
//!
//! A new client always gets in: once the limit is reached, one of the network with the
//! most connections is cut, the one that has been useless for longest. Whoever asks and
//! reads is thereby safe from those who only hold connections open, however many they
//! are, and from those of other networks whatever they do.

mod activity;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};

use super::answers::AnswerLimits;
use super::{HEAD_TIME, IDLE_TIME, SEND_TIME};
pub(super) use activity::ConnectionActivity;

/// How often connections are looked through for clients that have taken too long.
const SWEEP: Duration = Duration::from_secs(1);

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    limit: u32,
    places: Arc<Semaphore>,
    open: Mutex<Open>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Open {
    /// In the order in which they were opened.
    pulses: BTreeMap<u64, Arc<ConnectionActivity>>,
    /// How many connections each network has.
    by_network: HashMap<ClientNetwork, Arc<AtomicUsize>>,
    next: u64,
}

/// Whose connections compete: an IPv4 address, or the first half of an IPv6 address,
/// as one client has all of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientNetwork(u64);

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
        })
    }
}

/// An open connection's place among them; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    id: u64,
    all: Arc<Connections>,
    activity: Arc<ConnectionActivity>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// None open yet, `limit` at the most.
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        let limit = u32::try_from(limit.get()).unwrap_or(u32::MAX);
        Self {
            limit,
            places: Arc::new(Semaphore::new(limit as usize)),
            open: Mutex::default(),
            epoch: Instant::now(),
        }
    }

    /// A place for a connection that has just been accepted from `peer`, for which
    /// another one is cut if need be.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let places = Arc::clone(&self.places);
        let permit = match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.cut_useless(1);
                // The semaphore is never closed.
                places.acquire_owned().await.ok()?
            }
        };
        let (id, activity) = self.open().insert(peer.into(), self.epoch);
        Some(ConnectionPermit {
            id,
            all: Arc::clone(self),
            activity,
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
            let uncut = open.pulses.values().filter(|activity| !activity.is_cut());
            match uncut.min_by_key(|activity| activity.worth()) {
                Some(activity) => activity.cut(),
                None => break,
            }
        }
    }

    /// Cuts the connections of clients that take too long, for ever.
    pub(super) async fn sweep(&self, limits: &AnswerLimits) {
        let mut sweeps = tokio::time::interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut was_late) = (Instant::now(), false);
        loop {
            sweeps.tick().await;
            // Where this thread was busy, clients may have been waiting for it.
            was_late = last.elapsed() > SWEEP * 3 / 2 && !was_late;
            last = Instant::now();
            if was_late {
                continue;
            }
            let stall = limits.stall_time();
            for activity in self.open().pulses.values() {
                if activity.is_overdue(stall) {
                    activity.cut();
                }
            }
        }
    }

    /// Ends each connection once nothing is being answered, and returns when all are gone.
    pub(super) async fn drain(&self) {
        for activity in self.open().pulses.values() {
            activity.finish();
        }
        // The semaphore is never closed.
        let _ = self.places.acquire_many(self.limit).await;
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn insert(&mut self, network: ClientNetwork, epoch: Instant) -> (u64, Arc<ConnectionActivity>) {
        let neighbours = Arc::clone(self.by_network.entry(network).or_default());
        neighbours.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(ConnectionActivity::new(network, neighbours, epoch));
        let id = self.next;
        self.next += 1;
        self.pulses.insert(id, Arc::clone(&activity));
        (id, activity)
    }

    fn remove(&mut self, id: u64) {
        let Some(activity) = self.pulses.remove(&id) else {
            return;
        };
        if activity.neighbours.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.by_network.remove(&activity.network);
        }
    }
}

impl ConnectionPermit {
    pub(super) fn activity(&self) -> &Arc<ConnectionActivity> {
        &self.activity
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.all.open().remove(self.id);
    }
}
