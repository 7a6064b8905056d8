//! The configuration that is at work, for those who are asked for it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;
use crate::system::clock::TimePoint;

/// The configuration at work. A reload replaces it whole.
#[derive(Debug)]
pub struct ActiveConfig(ArcSwap<ConfigVersion>);

/// The configuration at a moment, and what came of the last attempt to replace it.
#[derive(Debug, Clone)]
pub struct ConfigVersion {
    /// The configuration.
    pub config: Arc<Config>,
    /// Since when it is at work.
    pub since: TimePoint,
    /// When a newer one was refused, and why, if that was the last that was tried.
    pub refused: Option<(TimePoint, String)>,
}

impl ActiveConfig {
    /// `config` is at work since `now`.
    #[must_use]
    pub fn new(config: Config, now: TimePoint) -> Self {
        Self(ArcSwap::from_pointee(ConfigVersion::new(config, now)))
    }

    /// The configuration as of now.
    #[must_use]
    pub fn load(&self) -> Arc<ConfigVersion> {
        self.0.load_full()
    }

    /// `config` is at work instead from `now` on.
    pub fn replace(&self, config: Config, now: TimePoint) {
        self.0.store(Arc::new(ConfigVersion::new(config, now)));
    }

    /// The one before stays at work, because the new one was refused for this `error`.
    pub fn refuse(&self, error: String, now: TimePoint) {
        let mut work = ConfigVersion::clone(&self.load());
        work.refused = Some((now, error));
        self.0.store(Arc::new(work));
    }
}

impl ConfigVersion {
    fn new(config: Config, now: TimePoint) -> Self {
        Self {
            config: Arc::new(config),
            since: now,
            refused: None,
        }
    }
}
