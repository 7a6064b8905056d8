//! The file as it is now: looked at for every request and handshake, and read only
//! when it or a file that it names has changed.
//!
//! The thread that serves does not look itself, as the disk could hang.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use super::{TlsSettings, WebConfig};
use crate::cloud::trust::Trust;
use crate::config::{ConfigError, Environment};
use crate::system::reading;

/// How long a request waits for a look at the files, before what they said last is used.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file of `--web.config.file`.
#[derive(Debug)]
pub struct WebConfigFile {
    path: PathBuf,
    /// Held by the one look that is under way.
    turn: Arc<Semaphore>,
    /// Whether that look takes so long that nobody waits for it.
    hangs: AtomicBool,
    /// As it was at the start: these two do not change while clients are connected.
    first: Arc<WebConfig>,
    /// Who vouches for clients where the file names nobody.
    system: Trust,
    state: Mutex<WatchState>,
}

#[derive(Debug)]
struct WatchState {
    stamp: Stamp,
    settings: Result<Arc<WebConfig>, ConfigError>,
    tls: Option<LoadedTls>,
}

/// What handshakes need.
#[derive(Debug)]
struct LoadedTls {
    /// Of the files that the settings name; nothing once the settings have changed.
    stamps: Option<Vec<Stamp>>,
    identity: Arc<CertifiedKey>,
    config: Result<Arc<ServerConfig>, ConfigError>,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<[i128; 5]>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let second = 1_000_000_000;
        let stamp = |metadata: Metadata| {
            [
                i128::from(metadata.dev()),
                i128::from(metadata.ino()),
                i128::from(metadata.size()),
                i128::from(metadata.mtime()) * second + i128::from(metadata.mtime_nsec()),
                i128::from(metadata.ctime()) * second + i128::from(metadata.ctime_nsec()),
            ]
        };
        Self(reading::at(path, || path.metadata()).ok().map(stamp))
    }
}

fn stamps(settings: &TlsSettings) -> Vec<Stamp> {
    settings.files().map(Stamp::of).collect()
}

impl WebConfigFile {
    /// Reads the file and those that it names. Where it names nobody who vouches for
    /// clients, those do whom the system trusts, or the variables of `environment` name.
    ///
    /// # Errors
    ///
    /// Every problem at once, each with its line, its key and a remedy. What is wrong
    /// with the files that it names is told one at a time.
    pub fn open(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let stamp = Stamp::of(path);
        let first = Arc::new(WebConfig::read(path)?);
        let system = Trust::system(environment);
        let tls = match &first.tls {
            None => None,
            Some(settings) => {
                let stamps = Some(stamps(settings));
                let identity = settings.identity()?;
                let config = settings.server_config(Arc::clone(&identity), first.http2, &system)?;
                let config = Ok(Arc::new(config));
                Some(LoadedTls {
                    stamps,
                    identity,
                    config,
                })
            }
        };
        let state = WatchState {
            stamp,
            settings: Ok(Arc::clone(&first)),
            tls,
        };
        Ok(Self {
            path: path.to_owned(),
            turn: Arc::new(Semaphore::new(1)),
            hangs: AtomicBool::new(false),
            first,
            system,
            state: Mutex::new(state),
        })
    }

    /// What it said at the start. Whether TLS and HTTP/2 are spoken and how many
    /// requests are let through is decided by that.
    #[must_use]
    pub fn first(&self) -> &WebConfig {
        &self.first
    }

    /// What it says now, or what it said last if its disk hangs.
    ///
    /// # Errors
    ///
    /// When it cannot be used as it is; the log has said why.
    pub async fn settings(self: &Arc<Self>) -> Result<Arc<WebConfig>, ConfigError> {
        self.look(Self::look_at_settings).await;
        self.state().settings.clone()
    }

    /// How to speak TLS now, or as it was last if the disk with the files hangs.
    ///
    /// # Errors
    ///
    /// When the file cannot be used as it is, has no TLS any more, or the clients'
    /// authorities cannot be read; the log has said why. A certificate or key that
    /// cannot be used is none: the one before is used on.
    pub async fn tls(self: &Arc<Self>) -> Result<Arc<ServerConfig>, ConfigError> {
        self.look(Self::look_at_tls).await;
        let state = self.state();
        let settings = state.settings.clone()?;
        match (&state.tls, &settings.tls) {
            (Some(tls), Some(_)) => tls.config.clone(),
            _ => Err(self.no_tls()),
        }
    }

    /// Lets a thread of its own `look`, which keeps what it sees, and waits for it for a
    /// moment. There is never more than one such thread.
    async fn look(self: &Arc<Self>, look: fn(&Self)) {
        let looking = async {
            // It is never closed.
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let file = Arc::clone(self);
            let looking = tokio::task::spawn_blocking(move || {
                look(&file);
                file.hangs.store(false, Ordering::Relaxed);
                drop(turn);
            });
            // A panic leaves what was known.
            let _ = looking.await;
        };
        let patience = match self.hangs.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        let looked = tokio::time::timeout(patience, looking).await;
        if looked.is_err() && !self.hangs.swap(true, Ordering::Relaxed) {
            warn!(
                file = %self.path.display(),
                remedy = "check the disks and mounts that it and the files it names are on",
                "looking at the web configuration does not end: what it said last stays in use"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_tls(&self) -> ConfigError {
        ConfigError::whole(
            &self.path,
            "the file names no certificate any more, but TLS was on at the start",
            "name the certificate again, or restart the exporter to serve plain HTTP",
        )
    }

    /// Blocks for as long as the file's disk does. Only the look whose turn it is changes
    /// the state, which is not locked meanwhile.
    fn look_at_settings(&self) {
        let stamp = Stamp::of(&self.path);
        if self.state().stamp == stamp {
            return;
        }
        let settings = WebConfig::read(&self.path).map(Arc::new);
        match &settings {
            Ok(_) => info!(file = %self.path.display(), "web configuration read again"),
            Err(error) => {
                error!(%error, "the web configuration cannot be used: every request is refused until the file is correct");
            }
        }
        let mut state = self.state();
        state.stamp = stamp;
        state.settings = settings;
        if let Some(tls) = &mut state.tls {
            tls.stamps = None;
        }
    }

    /// The same for the files of TLS.
    fn look_at_tls(&self) {
        self.look_at_settings();
        let state = self.state();
        let (Ok(settings), Some(tls)) = (state.settings.clone(), &state.tls) else {
            return;
        };
        let (before, identity) = (tls.stamps.clone(), Arc::clone(&tls.identity));
        drop(state);
        let Some(settings) = &settings.tls else {
            return;
        };
        let stamps = Some(stamps(settings));
        if before == stamps {
            return;
        }
        let identity = match settings.identity() {
            Ok(new) => {
                if new.cert != identity.cert {
                    info!("the server's certificate has been replaced");
                }
                new
            }
            Err(error) => {
                warn!(%error, "the new certificate cannot be used: the previous certificate stays in use");
                identity
            }
        };
        let config = settings.server_config(Arc::clone(&identity), self.first.http2, &self.system);
        if let Err(error) = &config {
            error!(%error, "TLS cannot be set up: every connection is refused until the settings are correct");
        }
        self.state().tls = Some(LoadedTls {
            stamps,
            identity,
            config: config.map(Arc::new),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::logging::fixture::CapturedLog;

    #[tokio::test]
    async fn a_file_is_read_again_when_it_has_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let write = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, &path).unwrap();
        };
        write("http_server_config: {http2: false}");
        let file = Arc::new(WebConfigFile::open(&path, &Environment::default()).unwrap());
        let before = file.settings().await.unwrap();
        assert!(Arc::ptr_eq(&before, &file.settings().await.unwrap()));

        write("http_server_config: {http2: true}");
        assert!(file.settings().await.unwrap().http2);
        assert!(!file.first().http2);
        write("nonsense");
        assert!(file.settings().await.is_err() && file.settings().await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(file.settings().await.is_err());
        write("");
        assert!(file.settings().await.is_ok());
        assert!(file.tls().await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_hangs_leaves_what_it_said_in_use_until_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        std::fs::write(&path, "http_server_config: {http2: false}").unwrap();
        let file = Arc::new(WebConfigFile::open(&path, &Environment::default()).unwrap());
        let before = file.settings().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let log = CapturedLog::start();
        for _ in 0..50 {
            let settings = file.settings().await.unwrap();
            assert!(Arc::ptr_eq(&before, &settings));
        }
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        // Whoever opens it to write lets the look go on, which reads this.
        std::fs::write(&path, "http_server_config: {http2: true}").unwrap();
        drop(file.turn.acquire().await);
        assert!(file.state().settings.as_ref().unwrap().http2);
        assert!(!file.hangs.load(Ordering::Relaxed));
    }
}
