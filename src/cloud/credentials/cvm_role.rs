//! The key of the role that is bound to the CVM instance we run on.
//!
//! It is present when the metadata service names a role. If the service cannot be reached,
//! this machine is not an instance.

use std::fmt;
use std::time::Duration;

use ::http::{Method, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::temporary::{Issuer, Keys};
use super::{Context, Unavailable};
use crate::cloud::{Credential, Error, Remedy};
use crate::config::is_role_name;
use crate::metrics::reason::Reason;

/// Where the roles are on the metadata service.
const PATH: &str = "/latest/meta-data/cam/security-credentials/";

/// How long the metadata service may take at the most: it is next door.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer that is looked at, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks the metadata service.
pub(super) struct CvmRole {
    role: Option<String>,
    context: Context,
}

/// The metadata service's answer, but for the key itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetadataStatus {
    code: String,
    expired_time: Option<i64>,
}

impl CvmRole {
    pub(super) fn new(role: Option<String>, context: &Context) -> Self {
        Self {
            role,
            context: context.clone(),
        }
    }

    async fn key(&self) -> Result<Credential, Unavailable> {
        let role = match &self.role {
            Some(role) => role.clone(),
            None => self.bound_role().await?,
        };
        let Some(body) = self.get(&role).await? else {
            return Err(broken(
                Reason::Credentials,
                format!("knows no role `{role}`"),
                Remedy::new(
                    "bind this role to the instance in the CVM console",
                    "在云服务器控制台把这个角色绑定到实例",
                ),
            ));
        };
        let head: MetadataStatus = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if head.code != "Success" {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let known = head.code.len() <= 64 && head.code.chars().all(word);
            let reason = if head.code.starts_with("InternalError") {
                Reason::Server
            } else {
                Reason::Credentials
            };
            let code = if known { &head.code } else { "<not shown>" };
            return Err(broken(
                reason,
                format!("has no key for the role: Code {code}"),
                Remedy::new(
                    "check the role in the CAM console",
                    "在“访问管理”控制台检查该角色",
                ),
            ));
        }
        let keys: Keys = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let expires_at = head.expired_time.ok_or_else(unreadable)?;
        let key = keys.credential(&format!("cvm_role:{role}"), expires_at);
        key.ok_or_else(unreadable)
    }

    /// The name of the role that is bound to the instance.
    async fn bound_role(&self) -> Result<String, Unavailable> {
        let Some(body) = self.get("").await? else {
            let error = Error::new(Reason::Credentials, "no role is bound to this instance");
            return Err(Unavailable::Absent(error.with_remedy(Remedy::new(
                "bind a role to the instance in the CVM console",
                "在云服务器控制台把角色绑定到实例",
            ))));
        };
        let role = std::str::from_utf8(&body)
            .map(str::trim)
            .unwrap_or_default();
        if is_role_name(role) {
            Ok(role.to_owned())
        } else {
            Err(broken(
                Reason::Response,
                "answered with a text that is not a role's name",
                NOT_THE_SERVICE,
            ))
        }
    }

    /// What is at `name` below [`PATH`]; nothing if it says that nothing is there.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Unavailable> {
        let endpoint = &self.context.metadata_endpoint;
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{endpoint}{PATH}{name}"))
            .body(Bytes::new())
            .map_err(|error| broken(Reason::Request, error, NOT_THE_SERVICE))?;
        let timeout = self.context.timeout.min(PATIENCE);
        let sent = tokio::time::timeout(timeout, self.context.http.send(request)).await;
        let sent = sent.unwrap_or_else(|_| {
            let why = format!("no answer within {timeout:?}");
            Err(Error::new(Reason::Timeout, why))
        });
        let response = sent.map_err(|error| {
            let unreached = broken(
                error.reason,
                format!("{endpoint} gives no answer: {error}"),
                Remedy::new(
                    "check that this machine is a CVM instance, and that api.metadata_endpoint can \
                     be reached from it",
                    "确认本机是 CVM 实例，并且能访问 api.metadata_endpoint",
                ),
            );
            match unreached {
                // The first request decides whether the service exists. A later failure is a
                // failure of an existing service.
                Unavailable::Broken(error) if name.is_empty() => Unavailable::Absent(error),
                unreached => unreached,
            }
        })?;
        match response.status() {
            StatusCode::OK if response.body().len() > MAX_ANSWER => Err(unreadable()),
            StatusCode::OK => Ok(Some(response.into_body())),
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                let (reason, remedy) = match status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        (Reason::Permission, FORBIDDEN)
                    }
                    status => match Reason::from_status(status) {
                        reason @ (Reason::Server | Reason::Throttled) => (reason, WAIT),
                        reason => (reason, NOT_THE_SERVICE),
                    },
                };
                let why = format!("answered with HTTP status {status}");
                Err(broken(reason, why, remedy))
            }
        }
    }
}

const NOT_THE_SERVICE: Remedy = Remedy::new(
    "check that api.metadata_endpoint is the metadata service of a CVM instance",
    "确认 api.metadata_endpoint 是 CVM 实例的元数据服务",
);

const FORBIDDEN: Remedy = Remedy::new(
    "allow access to the metadata service in the instance's settings, and check that no proxy is \
     in between",
    "在实例的设置中允许访问元数据服务，并确认中间没有代理",
);

const WAIT: Remedy = Remedy::new(
    "wait: the exporter tries again; if the failure lasts, open a ticket with Tencent Cloud",
    "请等待，exporter 会重试；如果持续失败，请向腾讯云提交工单",
);

/// The failure of a service that is there.
fn broken(reason: Reason, why: impl fmt::Display, remedy: Remedy) -> Unavailable {
    let error = Error::new(reason, format!("the metadata service {why}"));
    Unavailable::Broken(error.with_remedy(remedy))
}

/// The parser's own words could quote the key.
fn unreadable() -> Unavailable {
    broken(
        Reason::Response,
        "answered with an incomplete key",
        NOT_THE_SERVICE,
    )
}

impl Issuer for CvmRole {
    fn issue(&self) -> BoxFuture<'_, Result<Credential, Unavailable>> {
        Box::pin(self.key())
    }

    fn source(&self) -> String {
        match &self.role {
            Some(role) => format!("role `{role}` of the CVM instance"),
            None => "the role of the CVM instance".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future;
    use http::Response;

    use super::super::fixture;
    use super::super::{Provider as _, temporary::Temporary};
    use super::*;
    use crate::cloud::scripted::Scripted;

    const KEY: &str = r#"{"TmpSecretId":"AKIDa","TmpSecretKey":"key-hunter2","Token":"t0ken-hunter2",
        "ExpiredTime":1717207200,"Expiration":"2024-06-01T02:00:00Z","Code":"Success"}"#;

    /// Answers with `list` at the root and with `key` at each role, each a status
    /// and a body.
    fn metadata(list: (u16, &'static str), key: (u16, &'static str)) -> Arc<Scripted> {
        Scripted::with(move |sent, _| {
            let is_root = sent.request.uri().path().ends_with('/');
            let (status, body) = if is_root { list } else { key };
            let response = Response::builder().status(status).body(body.into());
            Box::pin(future::ready(Ok(response.unwrap())))
        })
    }

    async fn key(http: Arc<Scripted>, role: Option<&str>) -> Result<Arc<Credential>, Unavailable> {
        let context = fixture::context(http, []);
        let role = CvmRole::new(role.map(str::to_owned), &context);
        Temporary::new(role, &context).credential().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_role_is_asked_for_and_then_its_key() {
        let http = metadata((200, "CwpExporter\n"), (200, KEY));
        let credential = key(http.clone(), None).await.unwrap();
        assert_eq!(credential.secret_id(), "AKIDa");
        assert_eq!(credential.token(), Some("t0ken-hunter2"));
        assert_eq!(credential.quota_key(), "cvm_role:CwpExporter");
        assert_eq!(credential.expires_at().unwrap().as_second(), 1_717_207_200);
        let sent = http.sent();
        let uris: Vec<String> = sent.iter().map(|s| s.request.uri().to_string()).collect();
        let root = "http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/";
        assert_eq!(uris, [root.to_owned(), format!("{root}CwpExporter")]);
        assert!(sent.iter().all(|sent| sent.request.method() == Method::GET));
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_role_is_asked_for_directly() {
        let http = metadata((500, ""), (200, KEY));
        key(http.clone(), Some("Other")).await.unwrap();
        assert_eq!(http.sent().len(), 1);
        assert!(http.sent()[0].request.uri().path().ends_with("/Other"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_without_a_role_is_absence() {
        let error = key(metadata((404, "<html>"), (200, KEY)), None).await;
        let Err(Unavailable::Absent(why)) = error else {
            panic!("{error:?}");
        };
        assert!(why.message.starts_with("no role is bound"), "{why}");
        let unreachable = Scripted::with(|_, _| {
            let error = Error::new(Reason::Network, "no answer: no such host");
            Box::pin(future::ready(Err(error)))
        });
        for http in [unreachable, Scripted::hanging()] {
            let error = key(http, None).await;
            assert!(matches!(error, Err(Unavailable::Absent(_))), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_is_shown_if_it_looks_like_one() {
        for (code, is_shown) in [
            ("A".repeat(64), true),
            ("A".repeat(65), false),
            ("Not.Found1".to_owned(), true),
            ("no code".to_owned(), false),
        ] {
            let body = format!(r#"{{"Code":"{code}"}}"#);
            let http = Scripted::with(move |_, _| {
                let response = Response::new(body.clone().into());
                Box::pin(future::ready(Ok(response)))
            });
            let error = key(http, Some("Role")).await.unwrap_err().to_string();
            assert_eq!(error.contains(&code), is_shown, "{error}");
            assert_eq!(error.contains("<not shown>"), !is_shown, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_64_kib_is_read_and_a_longer_one_is_not() {
        for (length, is_read) in [(65_536, true), (65_537, false)] {
            let long = KEY.to_owned() + &" ".repeat(length - KEY.len());
            let http = metadata((200, "Role"), (200, long.leak()));
            assert_eq!(key(http, None).await.is_ok(), is_read, "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_name_of_a_role_is_never_asked_for() {
        for answer in ["<html>", "", "a/../b", "two\nroles"] {
            let http = metadata((200, answer), (200, KEY));
            let error = key(http.clone(), None).await.unwrap_err();
            assert_eq!(error.error().reason, Reason::Response, "{answer}");
            assert_eq!(http.sent().len(), 1, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_the_service_has_its_own_reason_and_its_name() {
        let reset = || {
            Scripted::with(|_, _| {
                let error = Error::new(Reason::Network, "no answer: connection reset");
                Box::pin(future::ready(Err(error)))
            })
        };
        let failing = |code| metadata((200, "Role"), (200, code));
        for (http, reason) in [
            (metadata((503, ""), (200, KEY)), Reason::Server),
            (metadata((200, "Role"), (500, "")), Reason::Server),
            (metadata((429, ""), (200, KEY)), Reason::Throttled),
            (metadata((403, ""), (200, KEY)), Reason::Permission),
            (metadata((302, ""), (200, KEY)), Reason::Request),
            (metadata((200, "<html>"), (200, KEY)), Reason::Response),
            (metadata((200, "Role"), (200, "{}")), Reason::Response),
            (metadata((200, "Role"), (404, "")), Reason::Credentials),
            (metadata((404, ""), (200, KEY)), Reason::Credentials),
            (failing(r#"{"Code":"InternalError"}"#), Reason::Server),
            (failing(r#"{"Code":"InternalError.Busy"}"#), Reason::Server),
            (failing(r#"{"Code":"NoSuchRole"}"#), Reason::Credentials),
            (Scripted::hanging(), Reason::Timeout),
            (reset(), Reason::Network),
        ] {
            let error = Error::from(key(http, None).await.unwrap_err());
            assert_eq!(error.reason, reason, "{error}");
            let remedy = error.remedy.as_ref().expect("no remedy of its own");
            assert!(remedy.chinese.is_some(), "{error}");
            let named = error.message.contains("the metadata service");
            assert!(
                named || error.message.starts_with("no role is bound"),
                "{error}"
            );
        }
        // A role by name is there even if nobody answers.
        for (http, reason) in [
            (Scripted::hanging(), Reason::Timeout),
            (reset(), Reason::Network),
        ] {
            let error = key(http, Some("Role")).await.unwrap_err();
            assert!(matches!(&error, Unavailable::Broken(error) if error.reason == reason));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_else_is_broken_and_quotes_nothing() {
        let long: &'static str = "hunter2".repeat(10_000).leak();
        for (list, role) in [
            ((500, "hunter2"), (200, KEY)),
            ((302, "hunter2"), (200, KEY)),
            ((200, "hunter2 ../hunter2"), (200, KEY)),
            ((200, "../../hunter2"), (200, KEY)),
            ((200, ""), (200, KEY)),
            ((200, long), (200, KEY)),
            ((200, "Role"), (404, "hunter2")),
            ((200, "Role"), (200, "hunter2")),
            ((200, "Role"), (200, long)),
            ((200, "Role"), (200, r#"{"Code":"hunter2!"}"#)),
            (
                (200, "Role"),
                (200, r#"{"Code":"Success","TmpSecretKey":"hunter2"}"#),
            ),
            (
                (200, "Role"),
                (
                    200,
                    r#"{"Code":"Success","TmpSecretId":"a","TmpSecretKey":"hunter2","Token":"b"}"#,
                ),
            ),
        ] {
            let error = key(metadata(list, role), None).await.unwrap_err();
            assert!(matches!(&error, Unavailable::Broken(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let failing = metadata((200, "Role"), (200, r#"{"Code":"InternalError"}"#));
        let error = key(failing, None).await.unwrap_err().to_string();
        assert!(error.contains("Code InternalError"), "{error}");
    }
}
