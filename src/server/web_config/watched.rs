//! The current web configuration. Every request and handshake checks the metadata of the
//! files, and reads a file only when it has changed.
//!
//! Another thread does so, as the disk could hang.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use super::calendar_token::CalendarToken;
use super::{TlsSettings, WebConfig};
use crate::cloud::trust::Trust;
use crate::config::{ConfigError, Environment};
use crate::system::reading;

/// How long a request waits for the files before the last known settings are used.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// The file of `--web.config.file`.
#[derive(Debug)]
pub struct WebConfigFile {
    path: PathBuf,
    /// Held while the files are read.
    refreshing: Arc<Semaphore>,
    /// Whether the refresh takes longer than [`REFRESH_TIMEOUT`]. No request waits for such a
    /// refresh.
    hangs: AtomicBool,
    /// The settings at the start, of which TLS, HTTP/2 and the rate limit stay in use.
    initial: Arc<WebConfig>,
    /// The authorities of clients if the file names none.
    system: Trust,
    state: Mutex<WatchState>,
    calendar_token: Option<WatchedToken>,
}

/// The file of `--web.calendar-token-file`.
#[derive(Debug)]
struct WatchedToken {
    path: PathBuf,
    /// The token of the file with this stamp; none if the file cannot be used.
    state: Mutex<(Stamp, Option<CalendarToken>)>,
}

#[derive(Debug)]
struct WatchState {
    stamp: Stamp,
    settings: Result<Arc<WebConfig>, ConfigError>,
    tls: Option<LoadedTls>,
}

/// The TLS configuration of handshakes.
#[derive(Debug)]
struct LoadedTls {
    /// The stamps of the files that the settings name; nothing once the settings have changed.
    stamps: Option<Vec<Stamp>>,
    identity: Arc<CertifiedKey>,
    config: Result<Arc<ServerConfig>, ConfigError>,
}

/// What changes when a file does: device, inode, size, mtime and ctime; nothing if the file
/// cannot be read.
type Stamp = Option<[i128; 5]>;

fn stamp(path: &Path) -> Stamp {
    let file = reading::at(path, || path.metadata()).ok()?;
    let nanos = |seconds, nanos| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Some([
        file.dev().into(),
        file.ino().into(),
        file.size().into(),
        nanos(file.mtime(), file.mtime_nsec()),
        nanos(file.ctime(), file.ctime_nsec()),
    ])
}

fn stamps(settings: &TlsSettings) -> Vec<Stamp> {
    settings.files().map(stamp).collect()
}

impl WebConfigFile {
    /// Reads the file and the files that it names. If it names no authorities of clients, the
    /// authorities of the system or of the variables in `environment` are trusted.
    ///
    /// # Errors
    ///
    /// Every problem at once, each with its line, its key and a remedy. Of the files that it
    /// names, the first problem.
    pub fn open(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let stamp = stamp(path);
        let initial = Arc::new(WebConfig::read(path)?);
        let system = Trust::system(environment);
        let load = |settings: &TlsSettings| {
            let stamps = Some(stamps(settings));
            let identity = settings.identity()?;
            let config = settings.server_config(Arc::clone(&identity), initial.http2, &system)?;
            Ok(LoadedTls {
                stamps,
                identity,
                config: Ok(Arc::new(config)),
            })
        };
        let tls = initial.tls.as_ref().map(load).transpose()?;
        let state = WatchState {
            stamp,
            settings: Ok(Arc::clone(&initial)),
            tls,
        };
        Ok(Self {
            path: path.to_owned(),
            refreshing: Arc::new(Semaphore::new(1)),
            hangs: AtomicBool::new(false),
            initial,
            system,
            state: Mutex::new(state),
            calendar_token: None,
        })
    }

    /// The same, where the token in `file` opens the calendar without a password.
    ///
    /// # Errors
    ///
    /// When the token cannot be used, or no password is demanded.
    pub fn with_calendar_token(mut self, file: &Path) -> Result<Self, ConfigError> {
        if self.initial.users.is_empty() {
            return Err(ConfigError::whole(
                &self.path,
                "--web.calendar-token-file has no effect: basic_auth_users has no user, so the \
                 calendar needs no password",
                "add a user, or leave the flag out",
            ));
        }
        let state = (stamp(file), Some(CalendarToken::read(file)?));
        self.calendar_token = Some(WatchedToken {
            path: file.to_owned(),
            state: Mutex::new(state),
        });
        Ok(self)
    }

    /// Whether `token` opens the calendar; nothing where no token does.
    pub async fn admits_to_calendar(self: &Arc<Self>, token: &str) -> Option<bool> {
        let watched = self.calendar_token.as_ref()?;
        self.refresh(Self::refresh_token).await;
        let state = watched.state.lock();
        Some(state.1.as_ref().is_some_and(|known| known.is(token)))
    }

    /// The settings at the start. TLS, HTTP/2 and the rate limit stay as they were then.
    #[must_use]
    pub fn initial(&self) -> &WebConfig {
        &self.initial
    }

    /// The current settings, or the last known ones if the disk hangs.
    ///
    /// # Errors
    ///
    /// When the file has become invalid; the problems are in the log.
    pub async fn settings(self: &Arc<Self>) -> Result<Arc<WebConfig>, ConfigError> {
        self.refresh(Self::refresh_settings).await;
        self.state.lock().settings.clone()
    }

    /// The current TLS configuration, or the last known one if the disk hangs.
    ///
    /// # Errors
    ///
    /// When the file has become invalid or has no TLS any more, or the authorities of clients
    /// cannot be read; the problems are in the log. An invalid certificate or key is no
    /// error: the previous one stays in use.
    pub async fn tls(self: &Arc<Self>) -> Result<Arc<ServerConfig>, ConfigError> {
        self.refresh(Self::refresh_tls).await;
        let state = self.state.lock();
        let settings = state.settings.clone()?;
        match (&state.tls, &settings.tls) {
            (Some(tls), Some(_)) => tls.config.clone(),
            _ => Err(ConfigError::whole(
                &self.path,
                "the file no longer names a certificate, but TLS was on at the start",
                "name the certificate again, or restart the exporter to serve plain HTTP",
            )),
        }
    }

    /// Runs `refresh` on a thread of its own, at most one at a time, and waits for its end
    /// for up to [`REFRESH_TIMEOUT`].
    async fn refresh(self: &Arc<Self>, refresh: fn(&Self)) {
        let refreshed = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&self.refreshing).acquire_owned().await;
            let file = Arc::clone(self);
            let refreshed = tokio::task::spawn_blocking(move || {
                refresh(&file);
                file.hangs.store(false, Ordering::Relaxed);
                drop(permit);
            });
            // After a panic the known state stays in use.
            let _ = refreshed.await;
        };
        let timeout = match self.hangs.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => REFRESH_TIMEOUT,
        };
        let refreshed = tokio::time::timeout(timeout, refreshed).await;
        if refreshed.is_err() && !self.hangs.swap(true, Ordering::Relaxed) {
            warn!(
                file = %self.path.display(),
                remedy = "check the disk or mount of this file, and of the files that it names",
                "the web configuration cannot be read in time: the previous settings stay in use"
            );
        }
    }

    /// Reads the file if it has changed, for as long as the disk takes. The state is not locked
    /// meanwhile, as only the one refresh changes it.
    fn refresh_settings(&self) {
        let stamp = stamp(&self.path);
        if self.state.lock().stamp == stamp {
            return;
        }
        let settings = WebConfig::read(&self.path).map(Arc::new);
        match &settings {
            Ok(_) => info!(file = %self.path.display(), "web configuration read again"),
            Err(error) => {
                error!(%error, "the web configuration cannot be used: every request is refused until the file is correct");
            }
        }
        let mut state = self.state.lock();
        state.stamp = stamp;
        state.settings = settings;
        if let Some(tls) = &mut state.tls {
            tls.stamps = None;
        }
    }

    /// Reads the token of the calendar if its file has changed.
    fn refresh_token(&self) {
        let Some(WatchedToken { path, state }) = &self.calendar_token else {
            return;
        };
        let stamp = stamp(path);
        if state.lock().0 == stamp {
            return;
        }
        let token = CalendarToken::read(path);
        match &token {
            Ok(_) => info!(file = %path.display(), "the calendar's token was read again"),
            Err(error) => {
                error!(%error, "the calendar's token cannot be used: the calendar needs a password until the file is correct");
            }
        }
        *state.lock() = (stamp, token.ok());
    }

    /// Reads the settings and the files of TLS that have changed.
    fn refresh_tls(&self) {
        self.refresh_settings();
        let state = self.state.lock();
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
        let config =
            settings.server_config(Arc::clone(&identity), self.initial.http2, &self.system);
        if let Err(error) = &config {
            error!(%error, "TLS cannot be set up: every connection is refused until the settings are correct");
        }
        self.state.lock().tls = Some(LoadedTls {
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
        assert!(!file.initial().http2);
        write("nonsense");
        assert!(file.settings().await.is_err() && file.settings().await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(file.settings().await.is_err());
        write("");
        assert!(file.settings().await.is_ok());
        assert!(file.tls().await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_hangs_leaves_the_previous_settings_in_use_until_it_is_read() {
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
        // Opening the pipe for writing lets the blocked read continue with this text.
        std::fs::write(&path, "http_server_config: {http2: true}").unwrap();
        drop(file.refreshing.acquire().await);
        assert!(file.state.lock().settings.as_ref().unwrap().http2);
        assert!(!file.hangs.load(Ordering::Relaxed));
    }
}
