//! The limits of the answers in progress: the number of scrapes, and their bytes.
//!
//! An answer is in progress until its client has accepted all of it. A request that finds a
//! limit reached waits for up to [`WAIT_TIME`]. Meanwhile clients that accept nothing are
//! disconnected sooner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ANSWER_MEMORY, STALL_TIME, STALL_TIME_WHILE_OTHERS_WAIT};
use crate::system::waiting::WaitingCount;

/// The time limit of a request that waits for a permit. Prometheus gives a scrape up after
/// ten seconds.
pub(super) const WAIT_TIME: Duration = Duration::from_secs(5);

/// The memory of answers, in units of [`UNIT`].
const MEMORY: usize = ANSWER_MEMORY / UNIT;

/// The unit in which memory is counted, in bytes.
const UNIT: usize = 1024;

/// The number of answers that fit at any size: one for each of the four combinations of
/// format and compression, and two older ones.
const ALWAYS: usize = 6;

/// The limits of the answers in progress.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    scrapes: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to one scrape, or to some of the memory of answers.
pub(super) type AnswerPermit = OwnedSemaphorePermit;

/// A limit stayed reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitReached {
    /// There are too many scrapes.
    #[error("The limit of concurrent scrapes is reached (--web.max-requests). Try again later.")]
    Scrapes,
    /// Answers hold too much memory.
    #[error("Answers that other clients have not read yet take too much memory. Try again later.")]
    Memory,
    /// Too many different pages or probes wait to be computed.
    #[error("Too many pages are requested at the same time. Try again later.")]
    Pages,
    /// Too many passwords wait to be checked.
    #[error("Too many passwords are being checked. Try again later.")]
    Passwords,
}

impl AnswerLimits {
    /// At most `scrapes` scrapes at a time; 0 is no limit.
    pub(super) fn new(scrapes: usize) -> Self {
        let scrapes = match scrapes {
            0 => Semaphore::MAX_PERMITS,
            limit => limit.min(Semaphore::MAX_PERMITS),
        };
        Self {
            scrapes: Arc::new(Semaphore::new(scrapes)),
            memory: Arc::new(Semaphore::new(MEMORY)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A permit for a scrape, unless the limit is reached.
    pub(super) fn try_scrape(&self) -> Option<AnswerPermit> {
        Arc::clone(&self.scrapes).try_acquire_owned().ok()
    }

    /// A permit for a scrape, as soon as there is one.
    pub(super) async fn scrape(&self) -> Result<AnswerPermit, LimitReached> {
        match self.try_scrape() {
            Some(permit) => Ok(permit),
            None => self.wait(&self.scrapes, 1, LimitReached::Scrapes).await,
        }
    }

    /// A permit to hold so many bytes, unless the limit is reached.
    pub(super) fn try_memory(&self, bytes: usize) -> Option<AnswerPermit> {
        let memory = Arc::clone(&self.memory);
        memory.try_acquire_many_owned(units(bytes)).ok()
    }

    /// A permit to hold so many bytes, as soon as there is enough memory.
    pub(super) async fn memory(&self, bytes: usize) -> Result<AnswerPermit, LimitReached> {
        match self.try_memory(bytes) {
            Some(permit) => Ok(permit),
            None => {
                let memory = LimitReached::Memory;
                self.wait(&self.memory, units(bytes), memory).await
            }
        }
    }

    /// The bytes that further answers may hold.
    #[cfg(test)]
    pub(super) fn free_memory(&self) -> usize {
        self.memory.available_permits() * UNIT
    }

    /// The time limit within which a client must accept some of an answer at the moment.
    pub(super) fn stall_time(&self) -> Duration {
        match self.waiting.load(Ordering::Relaxed) {
            0 => STALL_TIME,
            _ => STALL_TIME_WHILE_OTHERS_WAIT,
        }
    }

    async fn wait(
        &self,
        limit: &Arc<Semaphore>,
        count: u32,
        reached: LimitReached,
    ) -> Result<AnswerPermit, LimitReached> {
        let _waiting = WaitingCount::new(&self.waiting);
        let permit = Arc::clone(limit).acquire_many_owned(count);
        let permit = tokio::time::timeout(WAIT_TIME, permit).await;
        permit.ok().and_then(Result::ok).ok_or(reached)
    }
}

/// The part of [`MEMORY`] that so many bytes take.
fn units(bytes: usize) -> u32 {
    let units = bytes.div_ceil(UNIT).min(MEMORY / ALWAYS);
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LARGE: usize = 100 * 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn a_waiting_request_shortens_the_stall_time_and_is_refused_in_the_end() {
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
    async fn memory_is_permitted_up_to_the_limit_and_six_answers_fit_at_any_size() {
        let limits = AnswerLimits::new(0);
        let mut held = Vec::new();
        for _ in 0..ALWAYS {
            held.push(limits.memory(LARGE).now_or_never().unwrap().unwrap());
        }
        assert_eq!(
            limits.memory(LARGE).await.unwrap_err(),
            LimitReached::Memory
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

    #[test]
    fn a_limit_of_0_scrapes_is_none() {
        let limits = AnswerLimits::new(0);
        let permits = (0..100_000).map(|_| limits.try_scrape());
        assert!(permits.collect::<Option<Vec<_>>>().is_some());
    }
}
