//! The configuration in use.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;
use crate::system::clock::TimePoint;

/// The configuration in use. A reload replaces it as a whole.
#[derive(Debug)]
pub struct ActiveConfig(ArcSwap<ConfigVersion>);

/// One configuration, and the outcome of the last attempt to replace it.
#[derive(Debug, Clone)]
pub struct ConfigVersion {
    /// The configuration.
    pub config: Arc<Config>,
    /// Since when it is in use.
    pub since: TimePoint,
    /// When and why a newer configuration was refused, if the last attempt failed.
    pub refused: Option<(TimePoint, String)>,
}

impl ActiveConfig {
    /// `config` is in use since `now`.
    #[must_use]
    pub fn new(config: Config, now: TimePoint) -> Self {
        Self(ArcSwap::from_pointee(ConfigVersion::new(config, now)))
    }

    /// The configuration that is in use now.
    #[must_use]
    pub fn load(&self) -> Arc<ConfigVersion> {
        self.0.load_full()
    }

    /// Replaces the configuration by `config` from `now` on.
    pub fn replace(&self, config: Config, now: TimePoint) {
        self.0.store(Arc::new(ConfigVersion::new(config, now)));
    }

    /// Notes that a new configuration was refused for this `error`. The previous
    /// configuration stays in use.
    pub fn refuse(&self, error: String, now: TimePoint) {
        let mut version = ConfigVersion::clone(&self.load());
        version.refused = Some((now, error));
        self.0.store(Arc::new(version));
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
