//! The connections that are open: how many there may be, which one makes room for a
//! new one, and when a client has taken too long.
//!
//! A new client always gets in: once the limit is reached, one of the network with the
//! most connections is cut, the one that has been useless for longest. Whoever asks and
//! reads is thereby safe from those who only hold connections open, however many they
//! are, and from those of other networks whatever they do.

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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn connections(limit: usize) -> Arc<Connections> {
        Arc::new(Connections::new(NonZeroUsize::new(limit).unwrap()))
    }

    async fn after(time: Duration) {
        tokio::time::advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_one_that_was_useless_for_longest() {
        let all = connections(2);
        let asks = all.admit(HERE).await.unwrap();
        after(Duration::from_millis(5)).await;
        let idle = all.admit(HERE).await.unwrap();
        after(Duration::from_millis(5)).await;
        drop(asks.pulse().request());

        let newcomer = tokio::spawn({
            let all = Arc::clone(&all);
            async move { all.admit(HERE).await.unwrap() }
        });
        idle.cut().await;
        assert!(!asks.pulse.cut.is_cancelled());
        assert!(!newcomer.is_finished(), "the limit holds");
        drop(idle);
        newcomer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_network_with_the_most_connections_makes_room() {
        let all = connections(9);
        let alone = all.admit(HERE).await.unwrap();
        let mut many = Vec::new();
        for host in 1..4_u128 {
            after(Duration::from_millis(5)).await;
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + host);
            many.push(all.admit(address.into()).await.unwrap());
        }
        all.cut_useless(2);
        let cut = |place: &Place| place.pulse.cut.is_cancelled();
        assert!(!cut(&alone), "although it is the oldest");
        assert_eq!(
            many.iter().map(cut).collect::<Vec<_>>(),
            [true, true, false]
        );
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(Network::from(IpAddr::from(mapped)), Network::from(HERE));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_an_answer_is_cut_last() {
        let all = connections(2);
        let waits = all.admit(HERE).await.unwrap();
        let _request = waits.pulse().request();
        after(Duration::from_millis(5)).await;
        let idle = all.admit(HERE).await.unwrap();
        all.cut_useless(1);
        assert!(idle.pulse.cut.is_cancelled());
        assert!(!waits.pulse.cut.is_cancelled());
        all.cut_some();
        assert!(waits.pulse.cut.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_be_whole_in_time_however_steadily_its_bytes_come() {
        let all = connections(9);
        let place = all.admit(HERE).await.unwrap();
        for _ in 0..10 {
            after(HEAD_TIME / 10).await;
            place.pulse().received();
            assert!(!place.pulse().is_overdue());
        }
        after(Duration::from_millis(1)).await;
        assert!(place.pulse().is_overdue());

        // The time of the second begins with its first byte.
        drop(place.pulse().request());
        after(HEAD_TIME * 2).await;
        place.pulse().received();
        assert!(!place.pulse().is_overdue());
        after(HEAD_TIME + Duration::from_millis(1)).await;
        assert!(place.pulse().is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_for_long_but_not_for_ever() {
        let all = connections(9);
        let place = all.admit(HERE).await.unwrap();
        let request = place.pulse().request();
        after(IDLE_TIME * 2).await;
        assert!(!place.pulse().is_overdue(), "we are at work");
        drop(request);
        drop(place.pulse().request());
        after(IDLE_TIME).await;
        assert!(!place.pulse().is_overdue());
        after(Duration::from_millis(1)).await;
        assert!(place.pulse().is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_an_answer_too_slowly_or_not_at_all_is_overdue() {
        let all = connections(9);
        let place = all.admit(HERE).await.unwrap();
        drop(place.pulse().request());
        place.pulse().blocked();
        after(STALL_TIME).await;
        assert!(!place.pulse().is_overdue());
        after(Duration::from_millis(1)).await;
        assert!(place.pulse().is_overdue());

        let place = all.admit(HERE).await.unwrap();
        drop(place.pulse().request());
        place.pulse().blocked();
        for _ in 0..12 {
            assert!(!place.pulse().is_overdue());
            after(SEND_TIME / 12).await;
            place.pulse().sent();
            place.pulse().blocked();
        }
        after(Duration::from_millis(1)).await;
        assert!(place.pulse().is_overdue());
        place.pulse().flushed();
        assert!(!place.pulse().is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn the_sweep_cuts_who_is_overdue_and_gives_the_place_back() {
        let all = connections(1);
        let place = all.admit(HERE).await.unwrap();
        let sweeping = Arc::clone(&all);
        let sweeping = tokio::spawn(async move { sweeping.sweep().await });
        place.cut().await;
        drop(place);
        assert_eq!(all.places.available_permits(), 1);
        let open = all.open();
        assert!(open.pulses.is_empty() && open.by_network.is_empty());
        sweeping.abort();
    }
}
