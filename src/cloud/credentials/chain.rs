//! The first source that has credentials, in the order of the vendor's SDKs: the
//! environment, the credentials file, the CVM instance's role, the TKE service
//! account's role.
//!
//! A source is skipped only if it was never given any; each source's own documentation
//! defines that. A source that is present but broken stops the chain with its own error:
//! otherwise the exporter would use the key of another owner without notice. The chain keeps
//! the source that it found.

use std::sync::{Arc, OnceLock};

use futures_util::future::{self, BoxFuture};
use tracing::info;

use super::{Provider, Unavailable};
use crate::cloud::{Credential, Error, Remedy};
use crate::metrics::reason::Reason;

/// Tries one source after the other.
pub(super) struct Chain {
    links: Box<[Arc<dyn Provider>]>,
    found: OnceLock<Arc<dyn Provider>>,
}

impl Chain {
    pub(super) fn new(links: Box<[Arc<dyn Provider>]>) -> Self {
        Self {
            links,
            found: OnceLock::new(),
        }
    }

    async fn find(&self) -> Result<Arc<Credential>, Unavailable> {
        let mut absent = Vec::new();
        for link in &self.links {
            match link.credential().await {
                Ok(credential) => {
                    if self.found.set(Arc::clone(link)).is_ok() {
                        info!(source = link.source(), "credentials found");
                    }
                    return Ok(credential);
                }
                Err(Unavailable::Absent(why)) => {
                    let remedy = why
                        .remedy
                        .as_ref()
                        .map(|remedy| format!("; {}", remedy.english));
                    let remedy = remedy.unwrap_or_default();
                    absent.push(format!("{}: {why}{remedy}", link.source()));
                }
                Err(Unavailable::Broken(why)) => {
                    return Err(Unavailable::Broken(Error {
                        message: format!("{}: {why}", link.source()),
                        ..why
                    }));
                }
            }
        }
        // Whichever sources were tried, a key is missing.
        let why = format!(
            "no source of the default chain has a key ({})",
            absent.join(" | ")
        );
        Err(Unavailable::Absent(
            Error::new(Reason::Credentials, why).with_remedy(Remedy::new(
                "put a key into one of these sources, or write `credentials`",
                "在其中一个来源中放入密钥，或在配置中填写 `credentials`",
            )),
        ))
    }
}

impl Provider for Chain {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        match self.found.get() {
            Some(found) => found.credential(),
            None => Box::pin(self.find()),
        }
    }

    fn current(&self) -> Option<Arc<Credential>> {
        self.found.get()?.current()
    }

    fn renew<'a>(&'a self, rejected: &'a Credential) -> BoxFuture<'a, ()> {
        match self.found.get() {
            Some(found) => found.renew(rejected),
            None => Box::pin(future::ready(())),
        }
    }

    fn take_notice(&self) -> Option<Error> {
        self.found.get()?.take_notice()
    }

    fn source(&self) -> String {
        match self.found.get() {
            Some(found) => format!("{}, found by the default chain", found.source()),
            None => "the default chain".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::super::Providers;
    use super::super::fixture::{self, issued};
    use super::*;
    use crate::cloud::scripted::Scripted;
    use crate::config::Credentials;
    use crate::system::logging::fixture::CapturedLog;

    const METADATA_KEY: &str = r#"{"TmpSecretId":"AKIDcvm","TmpSecretKey":"hunter2","Token":"t",
        "ExpiredTime":1717207200,"Code":"Success"}"#;

    /// A network with a token service, and a metadata service that knows a role if
    /// `on_cvm`.
    fn network(on_cvm: bool) -> Arc<Scripted> {
        Scripted::with(move |sent, _| {
            let (status, body) = match sent.request.uri().path() {
                "/" => (200, issued("AKIDtke", 7200)),
                _ if !on_cvm => (404, String::new()),
                path if path.ends_with('/') => (200, "Role".to_owned()),
                _ => (200, METADATA_KEY.to_owned()),
            };
            let response = Response::builder().status(status).body(body.into());
            Box::pin(future::ready(Ok(response.unwrap())))
        })
    }

    fn chain<const N: usize>(on_cvm: bool, variables: [(&str, &str); N]) -> Arc<dyn Provider> {
        let context = fixture::context(network(on_cvm), variables);
        Providers::new(context).provider(&Credentials::Default)
    }

    async fn first<const N: usize>(on_cvm: bool, variables: [(&str, &str); N]) -> String {
        let chain = chain(on_cvm, variables);
        match chain.credential().await {
            Ok(credential) => {
                assert_eq!(chain.current(), Some(Arc::clone(&credential)));
                credential.secret_id().to_owned()
            }
            Err(Unavailable::Absent(error)) => format!("absent: {error}"),
            Err(Unavailable::Broken(error)) => format!("broken: {error}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_asked_in_the_order_of_the_sdks() {
        let profile = tempfile::NamedTempFile::new().unwrap();
        let text = "[default]\nsecret_id=AKIDprofile\nsecret_key=hunter2";
        std::fs::write(profile.path(), text).unwrap();
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "jwt").unwrap();
        let all = [
            ("TENCENTCLOUD_SECRET_ID", "AKIDenv"),
            ("TENCENTCLOUD_SECRET_KEY", "hunter2"),
            (
                "TENCENTCLOUD_CREDENTIALS_FILE",
                profile.path().to_str().unwrap(),
            ),
            ("TKE_REGION", "ap-beijing"),
            ("TKE_PROVIDER_ID", "cls-1"),
            (
                "TKE_WEB_IDENTITY_TOKEN_FILE",
                token.path().to_str().unwrap(),
            ),
            ("TKE_ROLE_ARN", "qcs::cam::uin/1:role/1"),
        ];
        assert_eq!(first(true, all).await, "AKIDenv");
        let [_, _, without_env @ ..] = all;
        assert_eq!(first(true, without_env).await, "AKIDprofile");
        let [_, without_profile @ ..] = without_env;
        assert_eq!(first(true, without_profile).await, "AKIDcvm");
        assert_eq!(first(false, without_profile).await, "AKIDtke");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_there_but_broken_stops_the_chain() {
        let half = [("TENCENTCLOUD_SECRET_KEY", "hunter2")];
        let shown = first(true, half).await;
        assert!(
            shown.starts_with("broken: the environment: TENCENTCLOUD_SECRET_KEY is set, but"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"));
        let name = "TENCENTCLOUD_CREDENTIALS_FILE";
        let shown = first(true, [(name, "/nowhere")]).await;
        assert!(shown.starts_with("broken: profile `default`"), "{shown}");
        assert!(shown.contains(name), "{shown}");
        let empty = ["TENCENTCLOUD_SECRET_KEY", name, "TKE_REGION"].map(|name| (name, " "));
        assert_eq!(first(true, empty).await, "AKIDcvm", "empty is not set");
        let shown = first(false, [("TKE_REGION", "ap-beijing")]).await;
        assert!(shown.starts_with("broken: the role of the TKE"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_credentials_anywhere_every_place_is_listed() {
        let chain = chain(false, [("HOME", "/nowhere")]);
        let error = chain.credential().await.unwrap_err();
        assert!(matches!(error, Unavailable::Absent(_)));
        assert_eq!(
            error.to_string(),
            "no source of the default chain has a key (the environment: TENCENTCLOUD_SECRET_ID and \
             TENCENTCLOUD_SECRET_KEY are not set; set both | profile `default` of the credentials \
             file: there is no /nowhere/.tencentcloud/credentials and no \
             /etc/tencentcloud/credentials; create one of these files, or name a file | the role \
             of the CVM instance: no role is bound to this instance; bind a role to the instance \
             in the CVM console | the role of the TKE service account: TKE_REGION, \
             TKE_PROVIDER_ID, TKE_WEB_IDENTITY_TOKEN_FILE, TKE_ROLE_ARN are not set; let the pod \
             run as a service account that is bound to a CAM role)"
        );
        assert_eq!(chain.current(), None);
        assert_eq!(chain.source(), "the default chain");
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_that_was_found_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let log = CapturedLog::start();
        let chain = chain(true, [("HOME", home.path().to_str().unwrap())]);
        let key = chain.credential().await.unwrap();
        assert_eq!(key.secret_id(), "AKIDcvm");
        assert_eq!(
            chain.source(),
            "the role of the CVM instance, found by the default chain"
        );
        // A file that appears later does not change the identity.
        std::fs::create_dir(home.path().join(".tencentcloud")).unwrap();
        let text = "[default]\nsecret_id=AKIDprofile\nsecret_key=hunter2";
        std::fs::write(home.path().join(".tencentcloud/credentials"), text).unwrap();
        assert_eq!(chain.credential().await.unwrap().secret_id(), "AKIDcvm");
        chain.renew(&key).await;
        assert_eq!(chain.current(), Some(key));
        let log = log.lines();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].contains("credentials found"), "{log:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_of_the_place_that_was_found_is_told_of_the_chain() {
        let profile = tempfile::NamedTempFile::new().unwrap();
        let text = "[default]\nsecret_id=AKIDprofile\nsecret_key=hunter2";
        std::fs::write(profile.path(), text).unwrap();
        let path = profile.path().to_str().unwrap();
        let chain = chain(true, [("TENCENTCLOUD_CREDENTIALS_FILE", path)]);
        assert_eq!(chain.take_notice(), None);
        let key = chain.credential().await.unwrap();
        std::fs::write(profile.path(), "").unwrap();
        assert_eq!(chain.credential().await, Ok(key));
        assert!(chain.take_notice().is_some());
    }
}
