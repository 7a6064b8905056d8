//! The configuration that is at work, for those who are asked for it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;
use crate::system::clock::Moment;

/// The configuration at work. A reload replaces it whole.
#[derive(Debug)]
pub struct Running(ArcSwap<Work>);

/// The configuration at a moment, and what came of the last attempt to replace it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The configuration.
    pub config: Arc<Config>,
    /// Since when it is at work.
    pub since: Moment,
    /// When a newer one was refused, and why, if that was the last that was tried.
    pub refused: Option<(Moment, String)>,
}

impl Running {
    /// `config` is at work since `now`.
    #[must_use]
    pub fn new(config: Config, now: Moment) -> Self {
        Self(ArcSwap::from_pointee(Work::new(config, now)))
    }

    /// The configuration as of now.
    #[must_use]
    pub fn load(&self) -> Arc<Work> {
        self.0.load_full()
    }

    /// `config` is at work instead from `now` on.
    pub fn replace(&self, config: Config, now: Moment) {
        self.0.store(Arc::new(Work::new(config, now)));
    }

    /// The one before stays at work, because the new one was refused for this `error`.
    pub fn refuse(&self, error: String, now: Moment) {
        let mut work = Work::clone(&self.load());
        work.refused = Some((now, error));
        self.0.store(Arc::new(work));
    }
}

impl Work {
    fn new(config: Config, now: Moment) -> Self {
        Self {
            config: Arc::new(config),
            since: now,
            refused: None,
        }
    }
}
