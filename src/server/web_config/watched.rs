//! The file as it is now: looked at for every request and handshake, and read only
//! when it or a file that it names has changed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use super::{TlsSettings, WebConfig};
use crate::cloud::trust::Trust;
use crate::config::{ConfigError, Environment};
use crate::system::reading;

/// The file of `--web.config.file`.
#[derive(Debug)]
pub struct WebConfigFile {
    path: PathBuf,
    /// As it was at the start: these two do not change while clients are connected.
    first: Arc<WebConfig>,
    /// Who vouches for clients where the file names nobody.
    system: Trust,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stamp: Stamp,
    settings: Result<Arc<WebConfig>, ConfigError>,
    tls: Option<Tls>,
}

/// What handshakes need.
#[derive(Debug)]
struct Tls {
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
                Some(Tls {
                    stamps,
                    identity,
                    config,
                })
            }
        };
        let state = State {
            stamp,
            settings: Ok(Arc::clone(&first)),
            tls,
        };
        Ok(Self {
            path: path.to_owned(),
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

    /// What it says now.
    ///
    /// # Errors
    ///
    /// When it cannot be used as it is; the log has said why.
    pub fn settings(&self) -> Result<Arc<WebConfig>, ConfigError> {
        self.look().settings.clone()
    }

    /// How to speak TLS now.
    ///
    /// # Errors
    ///
    /// When the file cannot be used as it is, has no TLS any more, or the clients'
    /// authorities cannot be read; the log has said why. A certificate or key that
    /// cannot be used is none: the one before is used on.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, ConfigError> {
        let mut state = self.look();
        let settings = state.settings.clone()?;
        let (Some(tls), Some(settings)) = (&mut state.tls, &settings.tls) else {
            return Err(self.no_tls());
        };
        let stamps = Some(stamps(settings));
        if tls.stamps != stamps {
            tls.stamps = stamps;
            self.reload(settings, tls);
        }
        tls.config.clone()
    }

    fn no_tls(&self) -> ConfigError {
        ConfigError::whole(
            &self.path,
            "the file names no certificate any more, but TLS was on at the start",
            "name the certificate again, or restart the exporter to serve plain HTTP",
        )
    }

    /// The state, with the settings as they are now.
    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.path);
        if state.stamp != stamp {
            state.stamp = stamp;
            state.settings = WebConfig::read(&self.path).map(Arc::new);
            match &state.settings {
                Ok(_) => info!(file = %self.path.display(), "web configuration read again"),
                Err(error) => {
                    error!(%error, "the web configuration cannot be used: every request is refused until the file is correct");
                }
            }
            if let Some(tls) = &mut state.tls {
                tls.stamps = None;
            }
        }
        state
    }

    fn reload(&self, settings: &TlsSettings, tls: &mut Tls) {
        match settings.identity() {
            Ok(identity) => {
                if identity.cert != tls.identity.cert {
                    info!("the server's certificate has been replaced");
                }
                tls.identity = identity;
            }
            Err(error) => {
                warn!(%error, "the new certificate cannot be used: the previous certificate stays in use");
            }
        }
        let identity = Arc::clone(&tls.identity);
        tls.config = settings
            .server_config(identity, self.first.http2, &self.system)
            .map(Arc::new);
        if let Err(error) = &tls.config {
            error!(%error, "TLS cannot be set up: every connection is refused until the settings are correct");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let write = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, &path).unwrap();
        };
        write("http_server_config: {http2: false}");
        let file = WebConfigFile::open(&path, &Environment::default()).unwrap();
        let before = file.settings().unwrap();
        assert!(Arc::ptr_eq(&before, &file.settings().unwrap()));

        write("http_server_config: {http2: true}");
        assert!(file.settings().unwrap().http2);
        assert!(!file.first().http2);
        write("nonsense");
        assert!(file.settings().is_err() && file.settings().is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(file.settings().is_err());
        write("");
        assert!(file.settings().is_ok());
        assert!(file.tls().is_err());
    }
}
