//! Reads the configuration again when asked, beside the collections. Who asks while it is
//! being read waits for the next reading, together with all others who do.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cloud::http::{Network, Reconfigured};
use crate::cloud::trust::Trust;
use crate::config::{Config, Source};
use crate::server::router::ReloadRequest;

/// What was asked for, and what is under way.
pub(super) struct Reloads {
    source: Arc<Source>,
    network: Option<Arc<Network>>,
    /// The reading that is under way.
    reading: Option<JoinHandle<Result<Read, String>>>,
    /// Who waits for it.
    waiting: Vec<ReloadRequest>,
    /// Whether somebody has asked since it began, which may be of a newer file.
    asked: bool,
    /// Those of them who wait.
    next: Vec<ReloadRequest>,
}

/// A configuration, and what else was read for it.
pub(super) struct Read {
    pub(super) config: Config,
    /// The network as it wants it, if that is another than the one in use. What is in the
    /// files of certificates counts, also in the system's.
    pub(super) network: Option<Reconfigured>,
}

/// What was read, or why it was not, and who waits for it.
pub(super) type Reading = (Result<Read, String>, Vec<ReloadRequest>);

impl Reloads {
    pub(super) fn new(source: Source, network: Option<Arc<Network>>) -> Self {
        Self {
            source: Arc::new(source),
            network,
            reading: None,
            waiting: Vec::new(),
            asked: false,
            next: Vec::new(),
        }
    }

    /// Asks for a reload. `request` is told what came of it.
    pub(super) fn ask(&mut self, request: Option<ReloadRequest>) {
        self.asked = true;
        self.next.extend(request);
    }

    /// Waits for the end of the next reading. Nothing is lost if this is dropped.
    pub(super) async fn read(&mut self) -> Reading {
        if self.reading.is_none() && self.asked {
            self.asked = false;
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

/// Reads all that a reload needs. Blocks for as long as its files do.
fn read(source: &Source, network: Option<&Network>) -> Result<Read, String> {
    let config = source.load().map_err(|error| error.to_string())?;
    let changed = network.map(|network| {
        let trust = Trust::of(&config, &source.environment);
        network.changed(trust, config.proxies.clone())
    });
    let network = changed.transpose().map_err(|error| error.to_string())?;
    Ok(Read {
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
    async fn who_asks_during_a_reading_joins_the_next_one() {
        let mut reloads = reloads();
        assert!(reloads.read().now_or_never().is_none(), "nobody has asked");
        let request = || oneshot::channel().0;
        reloads.ask(Some(request()));
        assert!(reloads.read().now_or_never().is_none(), "under way");
        for _ in 0..15 {
            reloads.ask(Some(request()));
        }
        // A hangup.
        reloads.ask(None);
        let (read, waiting) = reloads.read().await;
        assert!(read.is_ok());
        assert_eq!(waiting.len(), 1);
        let (read, waiting) = reloads.read().await;
        assert!(read.is_ok());
        assert_eq!(waiting.len(), 15);
        assert!(reloads.read().now_or_never().is_none(), "all were told");
    }
}
