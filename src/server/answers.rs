//! What the answers under way may hold: how many scrapes there are, and how many bytes.
//!
//! An answer is under way until its client has accepted all of it. Whoever finds a limit
//! reached waits for a while. Meanwhile clients that accept nothing are given up sooner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::{ANSWER_MEMORY, STALL_TIME, STALL_TIME_WHILE_OTHERS_WAIT};

/// How long a request waits for others to be answered. Prometheus itself gives up after
/// ten seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How much memory answers may hold, in units of [`UNIT`].
const MEMORY: usize = ANSWER_MEMORY / UNIT;

/// In what memory is counted, in bytes.
const UNIT: usize = 1024;

/// How many answers always find memory, however large they are: one for each of the four
/// kinds of scrapes, and some that are older.
const ALWAYS: usize = 6;

/// The limits of the answers under way.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    scrapes: Option<Arc<Semaphore>>,
    memory: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A scrape that is under way, if they are limited.
pub(super) type ScrapePermit = Option<OwnedSemaphorePermit>;

/// Some of the memory that answers may hold.
pub(super) type MemoryPermit = OwnedSemaphorePermit;

/// A limit stayed reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitReached {
    /// There are too many scrapes.
    #[error("The limit of concurrent scrapes is reached (--web.max-requests). Try again later.")]
    Scrapes,
    /// Too much memory is held.
    #[error("Answers that other clients have not read yet hold too much memory. Try again later.")]
    NegotiationCache,
    /// Too many different pages or probes wait to be computed.
    #[error("Too many pages are asked for at a time. Try again later.")]
    Pages,
    /// Too many passwords wait to be checked.
    #[error("Too many passwords are being checked. Try again later.")]
    Passwords,
}

impl AnswerLimits {
    /// At most `scrapes` scrapes at a time; 0 is no limit.
    pub(super) fn new(scrapes: usize) -> Self {
        let scrapes = scrapes.min(Semaphore::MAX_PERMITS);
        Self {
            scrapes: (scrapes > 0).then(|| Arc::new(Semaphore::new(scrapes))),
            memory: Arc::new(Semaphore::new(MEMORY)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A permit for a scrape, if nobody has to be waited for.
    pub(super) fn try_scrape(&self) -> Option<ScrapePermit> {
        match &self.scrapes {
            Some(scrapes) => Arc::clone(scrapes).try_acquire_owned().ok().map(Some),
            None => Some(None),
        }
    }

    /// A permit for a scrape, once there is one.
    pub(super) async fn scrape(&self) -> Result<ScrapePermit, LimitReached> {
        if let Some(permit) = self.try_scrape() {
            return Ok(permit);
        }
        let Some(scrapes) = &self.scrapes else {
            return Ok(None);
        };
        let permit = self.wait(Arc::clone(scrapes).acquire_owned()).await;
        permit.map(Some).ok_or(LimitReached::Scrapes)
    }

    /// A permit to hold so many bytes, if nobody has to be waited for.
    pub(super) fn try_memory(&self, bytes: usize) -> Option<MemoryPermit> {
        let memory = Arc::clone(&self.memory);
        memory.try_acquire_many_owned(counted(bytes)).ok()
    }

    /// A permit to hold so many bytes, once others hold few enough.
    pub(super) async fn memory(&self, bytes: usize) -> Result<MemoryPermit, LimitReached> {
        if let Some(permit) = self.try_memory(bytes) {
            return Ok(permit);
        }
        let memory = Arc::clone(&self.memory);
        let permit = self.wait(memory.acquire_many_owned(counted(bytes)));
        permit.await.ok_or(LimitReached::NegotiationCache)
    }

    /// How many bytes may be held beside those that are.
    #[cfg(test)]
    pub(super) fn free_memory(&self) -> usize {
        self.memory.available_permits() * UNIT
    }

    /// How long a client may accept nothing of an answer at the moment.
    pub(super) fn stall_time(&self) -> Duration {
        match self.waiting.load(Ordering::Relaxed) {
            0 => STALL_TIME,
            _ => STALL_TIME_WHILE_OTHERS_WAIT,
        }
    }

    async fn wait(
        &self,
        permit: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
    ) -> Option<OwnedSemaphorePermit> {
        let _waiting = WaitingRequest::new(&self.waiting);
        tokio::time::timeout(PATIENCE, permit).await.ok()?.ok()
    }
}

/// How much of [`MEMORY`] so many bytes take.
fn counted(bytes: usize) -> u32 {
    let units = bytes.div_ceil(UNIT).min(MEMORY / ALWAYS);
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// A request that waits, until it is dropped.
struct WaitingRequest<'w>(&'w AtomicUsize);

impl<'w> WaitingRequest<'w> {
    fn new(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LARGE: usize = 100 * 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_permit_makes_others_give_up_sooner_and_is_refused_in_the_end() {
        let limits = AnswerLimits::new(1);
        let held = limits.scrape().await.unwrap();
        assert_eq!(limits.stall_time(), STALL_TIME);
        let mut waiting = Box::pin(limits.scrape());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(limits.stall_time(), STALL_TIME_WHILE_OTHERS_WAIT);
        assert_eq!(waiting.await.unwrap_err(), LimitReached::Scrapes);
        assert_eq!(limits.stall_time(), STALL_TIME);
        drop(held);
        assert!(limits.try_scrape().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_up_to_the_limit_and_some_answers_fit_whatever_their_size() {
        let limits = AnswerLimits::new(0);
        let mut held = Vec::new();
        for _ in 0..ALWAYS {
            held.push(limits.memory(LARGE).now_or_never().unwrap().unwrap());
        }
        assert_eq!(
            limits.memory(LARGE).await.unwrap_err(),
            LimitReached::NegotiationCache
        );
        held.pop();
        assert!(limits.memory(LARGE).await.is_ok());

        let limits = AnswerLimits::new(0);
        let (mut held, each) = (Vec::new(), 64 * 1024);
        while let Some(permit) = limits.memory(each).now_or_never() {
            held.push(permit.unwrap());
        }
        assert_eq!(held.len() * each, ANSWER_MEMORY);
    }

    #[tokio::test]
    async fn a_limit_of_0_scrapes_is_none() {
        let limits = AnswerLimits::new(0);
        for _ in 0..1000 {
            assert!(limits.scrape().await.unwrap().is_none());
        }
    }
}
