//! A key on this machine, which other programs may replace.
//!
//! The key is read again for each request, so that a rotated key needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::{Context, Provider, Unavailable, credential_of};
use crate::cloud::{Credential, Error, Remedy};
use crate::config::{
    EnvKey, Environment, NoKey, Profile, ReadText, StaticKey, Tccli, TccliKey, is_usual_id,
};
use crate::metrics::reason::Reason;

/// Where a key is.
pub(super) enum KeyLocation {
    /// In files or variables that the configuration names.
    Static(StaticKey),
    /// In the variables that the vendor's tools use.
    Env,
    /// In the credentials file that the vendor's SDKs share. It is present when the file is
    /// named by the configuration or by a variable, or exists at one of the usual places.
    Profile(Profile),
    /// In a file of the vendor's command line. A key behind a login is valid for hours, and only
    /// `tccli` can replace it.
    Tccli(Tccli),
}

impl KeyLocation {
    /// The files to read. Without any, the key cannot change while the process runs.
    fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        match self {
            Self::Static(key) => key.files(),
            Self::Env => Vec::new(),
            Self::Profile(profile) => profile.files(environment),
            Self::Tccli(tccli) => tccli.file(environment).into_iter().collect(),
        }
    }

    /// The key of the `texts` of these files.
    fn read(
        &self,
        environment: &Environment,
        now: Timestamp,
        texts: &ReadText<'_>,
    ) -> Result<Credential, Unavailable> {
        let key = match self {
            Self::Static(key) => key.read(environment, texts).map_err(NoKey::Broken)?,
            Self::Env => EnvKey::read(environment)?,
            Self::Profile(profile) => profile.read(environment, texts)?,
            Self::Tccli(tccli) => {
                let key = tccli.read(environment, texts)?;
                return of_tccli(key, tccli.name(environment), now);
            }
        };
        Ok(credential_of(key))
    }

    /// The location in words.
    fn source(&self, environment: &Environment) -> String {
        match self {
            Self::Static(_) => "the configured key".to_owned(),
            Self::Env => "the environment".to_owned(),
            Self::Profile(profile) => format!("profile `{}` of the credentials file", profile.name),
            Self::Tccli(tccli) => format!("tccli profile `{}`", tccli.name(environment)),
        }
    }
}

/// The credential of a `profile` of the command line, unless it has expired.
fn of_tccli(read: TccliKey, profile: &str, now: Timestamp) -> Result<Credential, Unavailable> {
    let key = credential_of(read.key);
    let Some(expires_at) = read.expires_at else {
        return Ok(key);
    };
    let key = key.temporary(format!("tccli:{profile}"), expires_at);
    if key.has_expired(now) {
        let command = read.login.as_deref().unwrap_or("tccli configure");
        let why = format!("the tccli key has expired at {expires_at}");
        let error = Error::new(Reason::Credentials, why);
        let remedy = Remedy {
            english: format!("run `{command}` as the exporter's user").into(),
            chinese: Some(format!("以运行 exporter 的用户执行 `{command}`").into()),
        };
        return Err(Unavailable::Broken(error.with_remedy(remedy)));
    }
    Ok(key)
}

/// Reads a key from its location.
pub(super) struct LocalKey {
    location: KeyLocation,
    context: Context,
    last: Mutex<LastRead>,
}

/// The last reading.
#[derive(Default)]
struct LastRead {
    /// The key of the last reading that gave one.
    credential: Option<Arc<Credential>>,
    is_failing: bool,
    /// Why the key could not be read again, until the error is taken to be logged.
    notice: Option<Error>,
}

impl LocalKey {
    pub(super) fn new(location: KeyLocation, context: &Context) -> Self {
        Self {
            location,
            context: context.clone(),
            last: Mutex::default(),
        }
    }

    async fn read_anew(&self, files: Vec<PathBuf>) -> Result<Arc<Credential>, Unavailable> {
        let files = self.context.files.read(files).await;
        let now = self.context.clock.now();
        let texts = |path: &Path| files.text(path);
        self.note(
            self.location.read(&self.context.environment, now, &texts),
            now,
        )
    }

    /// Notes the outcome of a reading, and returns the credential to use.
    fn note(
        &self,
        read: Result<Credential, Unavailable>,
        now: Timestamp,
    ) -> Result<Arc<Credential>, Unavailable> {
        let mut last = self.last.lock();
        match (read, &last.credential) {
            (Ok(read), Some(current)) if read == **current => {
                let current = Arc::clone(current);
                last.is_failing = false;
                Ok(current)
            }
            (Ok(read), current) => {
                if current.is_some() {
                    self.context.metrics.count_credential_refresh(true);
                    info!(secret_id = read.shown_id(), "credential has changed");
                }
                if !is_usual_id(read.secret_id()) {
                    warn!(
                        source = self.location.source(&self.context.environment),
                        "the secret id does not begin with AKID or IKID; if the API refuses the \
                         secret id, check it"
                    );
                }
                let read = Arc::new(read);
                last.credential = Some(Arc::clone(&read));
                last.is_failing = false;
                Ok(read)
            }
            // A key file that is being replaced must not cost a collection.
            (Err(error), Some(current)) if !current.has_expired(now) => {
                self.context.metrics.count_credential_refresh(false);
                let current = Arc::clone(current);
                if !last.is_failing {
                    last.notice = Some(error.into());
                }
                last.is_failing = true;
                Ok(current)
            }
            (Err(error), _) => {
                if matches!(error, Unavailable::Broken(_)) {
                    self.context.metrics.count_credential_refresh(false);
                }
                Err(error)
            }
        }
    }
}

impl Provider for LocalKey {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(async {
            let files = self.location.files(&self.context.environment);
            match self.current() {
                Some(credential) if files.is_empty() => Ok(credential),
                _ => self.read_anew(files).await,
            }
        })
    }

    fn current(&self) -> Option<Arc<Credential>> {
        self.last.lock().credential.clone()
    }

    /// Reads the files once more: they may have been replaced one after the other, and the
    /// refused key may have consisted of the halves of two keys.
    fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
        Box::pin(async {
            // The next request for a credential returns the error.
            let files = self.location.files(&self.context.environment);
            let _ = self.read_anew(files).await;
        })
    }

    fn take_notice(&self) -> Option<Error> {
        self.last.lock().notice.take()
    }

    fn source(&self) -> String {
        self.location.source(&self.context.environment)
    }
}

#[cfg(test)]
mod tests;
