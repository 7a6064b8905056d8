//! The step that gets the key.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::report::{Check, CheckResult};
use crate::cloud::Credential;
use crate::cloud::credentials::Provider;
use crate::cloud::deadline;
use crate::config::is_usual_id;
use crate::system::words::span;

/// How many characters of a secret id are shown.
const SHOWN: usize = 8;

/// The outcome of the step.
pub(super) struct KeyCheck {
    pub(super) step: CheckResult,
    /// The key, if it can be used.
    pub(super) credential: Option<Arc<Credential>>,
    /// The key's source and the beginning of its id.
    pub(super) summary: String,
}

/// Gets the key of `provider` and checks that it is valid at the time `now`.
pub(super) async fn check(
    provider: &dyn Provider,
    now: impl Fn() -> Timestamp,
    allowed: Duration,
) -> KeyCheck {
    let answer = async { Ok(provider.credential().await?) };
    let answer = deadline::within(allowed, answer).await;
    // The chain knows its source only after it has found a key.
    let source = provider.source();
    let credential = match answer {
        Ok(credential) => credential,
        Err(error) => {
            let detail = format!("cannot get a key from {source}: {error}");
            let step = CheckResult::failed(Check::Credentials, detail, error.remedy());
            return KeyCheck {
                step: CheckResult {
                    code: error.code,
                    request_id: error.request_id,
                    ..step
                },
                credential: None,
                summary: source,
            };
        }
    };
    let summary = match public_part(&credential) {
        Some(id) => format!("{source} {id}"),
        None => source,
    };
    let left = credential.expires_at().map(|at| at.duration_since(now()));
    let detail = match left {
        Some(left) if !left.is_positive() => {
            format!("{summary}, expired {} ago", span(left.abs().as_secs_f64()))
        }
        Some(left) => format!("{summary}, valid for {}", span(left.as_secs_f64())),
        None if credential.token().is_some() => {
            format!("{summary}, temporary, without a known end")
        }
        None => summary.clone(),
    };
    let step = match left {
        Some(left) if !left.is_positive() => {
            let remedy = "renew the temporary key where it comes from";
            CheckResult::failed(Check::Credentials, detail, remedy)
        }
        _ => CheckResult::ok(Check::Credentials, detail),
    };
    let credential = (!step.has_failed()).then_some(credential);
    KeyCheck {
        step,
        credential,
        summary,
    }
}

/// The beginning of a secret id; none of an unusual id, which may be a key in the wrong place.
fn public_part(credential: &Credential) -> Option<String> {
    let id = credential.secret_id();
    is_usual_id(id).then(|| id.chars().take(SHOWN).collect::<String>() + "…")
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::cloud::credentials::Unavailable;
    use crate::cloud::{Error, Remedy};
    use crate::commands::doctor::report::CheckStatus;
    use crate::metrics::reason::Reason;

    const ALLOWED: Duration = Duration::from_secs(60);

    /// A source with a temporary key, or with none.
    struct TemporarySource(Result<Arc<Credential>, Unavailable>);

    impl Provider for TemporarySource {
        fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
            Box::pin(async { self.0.clone() })
        }

        fn current(&self) -> Option<Arc<Credential>> {
            None
        }

        fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
            Box::pin(async {})
        }

        fn source(&self) -> String {
            "a role".to_owned()
        }
    }

    async fn ask_for_key_until(second: i64) -> KeyCheck {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = Credential::new("AKIDtemporary".to_owned(), "s3cr3t".to_owned(), None);
        let key = key.temporary("role".to_owned(), at(second));
        check(&TemporarySource(Ok(Arc::new(key))), || at(10_000), ALLOWED).await
    }

    #[tokio::test]
    async fn a_temporary_key_says_how_long_it_is_valid() {
        let key = ask_for_key_until(10_000 + 5_520).await;
        assert_eq!(key.step.detail, "a role AKIDtemp…, valid for 1 h 32 min");
        assert!(key.credential.is_some());
    }

    #[tokio::test]
    async fn an_expired_key_is_a_failure_and_not_used() {
        let key = ask_for_key_until(10_000 - 61).await;
        assert_eq!(key.step.status, CheckStatus::Failed);
        assert_eq!(key.step.detail, "a role AKIDtemp…, expired 1 min 1 s ago");
        assert!(key.credential.is_none());
    }

    #[tokio::test]
    async fn a_source_without_a_key_says_why() {
        let error = Error::new(Reason::Timeout, "the metadata service is silent");
        let error = Unavailable::Broken(error.with_remedy(Remedy::new("wake it", "唤醒它")));
        let key = check(
            &TemporarySource(Err(error)),
            || Timestamp::UNIX_EPOCH,
            ALLOWED,
        )
        .await;
        assert_eq!(key.step.remedy.as_deref(), Some("wake it"));
        assert_eq!(key.step.status, CheckStatus::Failed);
        let expected = "cannot get a key from a role: the metadata service is silent";
        assert_eq!(key.step.detail, expected);
    }

    #[test]
    fn only_what_looks_like_a_secret_id_is_shown_and_only_its_beginning() {
        let shown = |id: &str| {
            let key = Credential::new(id.to_owned(), "s3cr3t".to_owned(), None);
            public_part(&key)
        };
        assert_eq!(shown("AKIDabcdefghijkl").as_deref(), Some("AKIDabcd…"));
        assert_eq!(shown("IKIDabcdefghijkl").as_deref(), Some("IKIDabcd…"));
        assert_eq!(shown("Gu5t9xGARNpq86cd98joQYCN3Cozk1qA"), None);
    }
}
