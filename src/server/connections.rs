//! The open connections: how many there may be, which one is evicted for a new one, and
//! when a client exceeds a time limit.
//!
//! A new client always gets in. At the limit, the network with the most connections loses
//! the connection that was useless for longest. Clients that ask and read are thereby safe
//! from any number of clients that only hold connections open, and from other networks
//! whatever these do.

mod activity;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};

use super::answers::AnswerLimits;
use super::{HEAD_TIME, IDLE_TIME, SEND_TIME};
pub(super) use activity::ConnectionActivity;

/// The interval between two checks of the time limits.
const SWEEP: Duration = Duration::from_secs(1);

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    limit: u32,
    permits: Arc<Semaphore>,
    /// By number, in the order in which they were opened.
    open: Mutex<BTreeMap<u64, Arc<ConnectionActivity>>>,
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

/// The permit of one open connection, given back on drop.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    id: u64,
    connections: Arc<Connections>,
    pub(super) activity: Arc<ConnectionActivity>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// None open yet, `limit` at the most.
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        let limit = u32::try_from(limit.get()).unwrap_or(u32::MAX);
        Self {
            limit,
            permits: Arc::new(Semaphore::new(limit as usize)),
            open: Mutex::default(),
        }
    }

    /// A permit for a connection from `peer`, for which another connection is evicted at
    /// the limit.
    pub(super) async fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        if self.permits.available_permits() == 0 {
            self.evict(1);
        }
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let activity = Arc::new(ConnectionActivity::new(peer.into()));
        let mut open = self.open.lock();
        let id = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(id, Arc::clone(&activity));
        Some(ConnectionPermit {
            id,
            connections: Arc::clone(self),
            activity,
            _permit: permit,
        })
    }

    /// Evicts a quarter of the connections, as the system has no resources for more.
    pub(super) fn evict_quarter(&self) {
        let count = self.open.lock().len().div_ceil(4);
        self.evict(count);
    }

    /// Evicts the `count` most useless connections.
    fn evict(&self, count: usize) {
        let open = self.open.lock();
        let mut neighbours: HashMap<_, usize> = HashMap::new();
        for activity in open.values() {
            *neighbours.entry(activity.network).or_default() += 1;
        }
        for _ in 0..count {
            let kept = open.values().filter(|each| !each.abort.is_cancelled());
            let least = kept.min_by_key(|each| {
                each.eviction_key(neighbours.get(&each.network).copied().unwrap_or_default())
            });
            match least {
                Some(activity) => activity.abort.cancel(),
                None => break,
            }
        }
    }

    /// Ends the connections of clients that exceed a time limit, for ever.
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
            for activity in self.open.lock().values() {
                if activity.is_overdue(stall) {
                    activity.abort.cancel();
                }
            }
        }
    }

    /// Shuts every connection down gracefully, and returns when all have ended.
    pub(super) async fn drain(&self) {
        for activity in self.open.lock().values() {
            activity.shutdown.cancel();
        }
        // The semaphore is never closed.
        let _ = self.permits.acquire_many(self.limit).await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
    }
}
