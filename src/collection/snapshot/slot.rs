//! The slot of one collector for one account: its state, and the state of its task.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CollectorState, Lines, Revision};
use crate::collectors::{Collector, Sample, Schedule};
use crate::system::clock::TimePoint;

/// Where one collector's state for one account is. A cheap handle.
#[derive(Clone)]
pub struct Slot {
    collector: &'static dyn Collector,
    schedule: Schedule,
    content: Arc<SlotContent>,
}

/// What all handles of a slot share.
struct SlotContent {
    account: String,
    state: ArcSwap<CollectorState>,
    revision: Revision,
    task: Mutex<TaskState>,
}

/// What the task that fills a slot is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TaskState {
    /// There is no task yet.
    #[default]
    Unscheduled,
    /// The task waits for its next collection.
    WaitsUntil(Instant),
    /// The task collects.
    CollectsSince(Instant),
}

impl Slot {
    /// A slot of `account` in which nothing has been collected, of the store with this
    /// `revision`.
    #[must_use]
    pub fn new(
        collector: &'static dyn Collector,
        account: &str,
        schedule: Schedule,
        revision: &Revision,
    ) -> Self {
        let slot = Self {
            collector,
            schedule,
            content: Arc::new(SlotContent {
                account: account.to_owned(),
                state: ArcSwap::default(),
                task: Mutex::default(),
                revision: revision.clone(),
            }),
        };
        slot.store(CollectorState::default());
        slot
    }

    /// The same slot with another `schedule`.
    #[must_use]
    pub fn with_schedule(&self, schedule: Schedule) -> Self {
        Self {
            schedule,
            ..self.clone()
        }
    }

    /// The collector whose state this is.
    #[must_use]
    pub fn collector(&self) -> &'static dyn Collector {
        self.collector
    }

    /// How many requests a day this takes, as far as is known.
    #[must_use]
    pub fn requests_per_day(&self) -> u64 {
        self.schedule.requests_per_day(self.load().requests())
    }

    /// Whether this collector decides whether the account is up.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.collector.defaults().is_none()
    }

    /// When the account is collected, and how long values are shown.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The values of `state`, which was in this slot, to expose at `now`: those of the last
    /// success, unless they are too old.
    #[must_use]
    pub fn samples<'s>(&self, state: &'s CollectorState, now: TimePoint) -> Option<&'s [Sample]> {
        state.samples(now, self.schedule.max_age)
    }

    /// The state as of now.
    #[must_use]
    pub fn load(&self) -> Arc<CollectorState> {
        self.content.state.load_full()
    }

    /// Replaces the state. Only the slot's collection task does this.
    pub fn store(&self, mut state: CollectorState) {
        let before = self.content.state.load();
        state.lines = Lines::new(self.collector, &self.content.account, &state, &before.lines);
        self.content.state.store(Arc::new(state));
        self.content.revision.advance();
    }

    /// What the slot's task is doing.
    #[must_use]
    pub fn task_state(&self) -> TaskState {
        *self.content.task.lock()
    }

    /// Tells what the slot's task is doing from now on.
    pub fn set_task_state(&self, state: TaskState) {
        *self.content.task.lock() = state;
    }
}
