//! The key that the vendor's command line keeps for a profile.
//!
//! A key behind a login lives for hours and only `tccli` can replace it: once it
//! has expired it is refused here, with the command that does.

use std::path::PathBuf;

use jiff::Timestamp;

use super::local::KeyLocation;
use super::{Unavailable, credential_of};
use crate::cloud::{Credential, Error};
use crate::config::{Environment, ReadText, Tccli};
use crate::metrics::reason::Reason;

impl KeyLocation for Tccli {
    fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        self.file(environment).into_iter().collect()
    }

    fn read(
        &self,
        environment: &Environment,
        now: Timestamp,
        texts: &ReadText<'_>,
    ) -> Result<Credential, Unavailable> {
        let read = Self::read(self, environment, texts)?;
        let key = credential_of(read.key);
        let Some(expires_at) = read.expires_at else {
            return Ok(key);
        };
        let key = key.temporary(format!("tccli:{}", self.name(environment)), expires_at);
        if key.has_expired(now) {
            let command = read.login.as_deref().unwrap_or("tccli configure");
            let why = format!("the tccli key has expired at {expires_at}");
            let error = Error::new(Reason::Credentials, why);
            return Err(Unavailable::Broken(
                error.with_remedy(format!("run `{command}` as the exporter's user")),
            ));
        }
        Ok(key)
    }

    fn source(&self, environment: &Environment) -> String {
        format!("tccli profile `{}`", self.name(environment))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture;
    use super::super::{Provider as _, local::Local};
    use super::*;
    use crate::cloud::scripted::Scripted;

    #[tokio::test(start_paused = true)]
    async fn an_expired_login_is_refused_with_the_command_that_renews_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".tccli")).unwrap();
        let write = |expires_at: i64| {
            let text = format!(
                r#"{{"type":"sso","secretId":"AKIDa","secretKey":"hunter2","token":"t0ken","expiresAt":{expires_at}}}"#
            );
            std::fs::write(home.path().join(".tccli/ops.credential"), text).unwrap();
        };
        let environment = [("HOME", home.path().to_str().unwrap())];
        let context = fixture::context(Scripted::hanging(), environment);
        let start = context.clock.now().as_second();
        let tccli = Tccli {
            profile: Some("ops".to_owned()),
        };
        let provider = Local::new(tccli, &context);
        write(start + 60);
        let key = provider.credential().await.unwrap();
        assert_eq!(key.token(), Some("t0ken"));
        assert_eq!(key.expires_at().unwrap().as_second(), start + 60);
        assert_eq!(key.quota_key(), "tccli:ops");

        tokio::time::advance(Duration::from_secs(60)).await;
        let error = provider.credential().await.unwrap_err();
        let error = format!("{error}; {}", error.error().remedy());
        assert!(error.contains("`tccli sso login --profile ops`"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("t0ken"));

        write(start + 3600);
        assert!(provider.credential().await.is_ok());
    }
}
