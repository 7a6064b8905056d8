//! Reads the configuration again on request, beside the collections. All requests that come
//! during a reading wait for the next reading together.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cloud::http::{Network, Reconfigured};
use crate::cloud::trust::Trust;
use crate::config::{Config, Source};
use crate::server::router::ReloadRequest;

/// Requested readings, and the reading under way.
pub(super) struct Reloads {
    source: Arc<Source>,
    network: Option<Arc<Network>>,
    /// The reading that is under way.
    reading: Option<JoinHandle<Result<LoadedConfig, String>>>,
    /// The requests that wait for the reading under way.
    waiting: Vec<ReloadRequest>,
    /// Whether a reading was requested since then; the file may have changed.
    is_requested: bool,
    /// The requests that wait for the next reading.
    next: Vec<ReloadRequest>,
}

/// A configuration, and the network that it needs.
pub(super) struct LoadedConfig {
    pub(super) config: Config,
    /// The changed network, if it differs from the network in use. The contents of certificate
    /// files count, also of the system's.
    pub(super) network: Option<Reconfigured>,
}

/// The outcome of a reading, and the requests that wait for it.
pub(super) type ReadOutcome = (Result<LoadedConfig, String>, Vec<ReloadRequest>);

impl Reloads {
    pub(super) fn new(source: Source, network: Option<Arc<Network>>) -> Self {
        Self {
            source: Arc::new(source),
            network,
            reading: None,
            waiting: Vec::new(),
            is_requested: false,
            next: Vec::new(),
        }
    }

    /// Requests a reload. `request` gets the outcome.
    pub(super) fn request(&mut self, request: Option<ReloadRequest>) {
        self.is_requested = true;
        self.next.extend(request);
    }

    /// Waits for the end of the next reading. Dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> ReadOutcome {
        if self.reading.is_none() && self.is_requested {
            self.is_requested = false;
            self.waiting = std::mem::take(&mut self.next);
            let (source, network) = (Arc::clone(&self.source), self.network.clone());
            let read = move || read(&source, network.as_deref());
            self.reading = Some(tokio::task::spawn_blocking(read));
        }
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let read = reading.await;
        self.reading = None;
        let read = read.unwrap_or_else(|_| {
            Err("reading the configuration has panicked; please report this".to_owned())
        });
        (read, std::mem::take(&mut self.waiting))
    }
}

/// Reads the files of a reload. Blocks for as long as they do.
fn read(source: &Source, network: Option<&Network>) -> Result<LoadedConfig, String> {
    let config = source.load().map_err(|error| error.to_string())?;
    let changed = network.map(|network| {
        let trust = Trust::of(&config, &source.environment);
        network.changed(trust, config.proxies.clone())
    });
    let network = changed.transpose().map_err(|error| error.to_string())?;
    Ok(LoadedConfig {
        config,
        network: network.flatten(),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::Environment;

    /// Reloads of an account that the environment alone configures.
    fn reloads() -> Reloads {
        let environment = Environment::from([
            ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
            ("TENCENTCLOUD_SECRET_KEY", "unused"),
        ]);
        let source = Source {
            environment,
            ..Source::default()
        };
        Reloads::new(source, None)
    }

    #[tokio::test]
    async fn requests_during_a_reading_join_the_next_reading() {
        let mut reloads = reloads();
        assert!(
            reloads.read().now_or_never().is_none(),
            "nothing was requested"
        );
        let request = || oneshot::channel().0;
        reloads.request(Some(request()));
        assert!(reloads.read().now_or_never().is_none(), "under way");
        for _ in 0..15 {
            reloads.request(Some(request()));
        }
        // A hangup.
        reloads.request(None);
        let (read, waiting) = reloads.read().await;
        assert!(read.is_ok());
        assert_eq!(waiting.len(), 1);
        let (read, waiting) = reloads.read().await;
        assert!(read.is_ok());
        assert_eq!(waiting.len(), 15);
        assert!(
            reloads.read().now_or_never().is_none(),
            "all have the outcome"
        );
    }
}
