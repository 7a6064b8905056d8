//! The role's key against a token service that plays a script.

use std::time::Duration;

use futures_util::future;
use http::Response;
use prometheus::Registry;
use serde_json::Value;

use super::super::fixture::{self, answer, issued, variables};
use super::super::{Providers, Unavailable};
use super::*;
use crate::cloud::Error;
use crate::cloud::scripted::{Scripted, failure};
use crate::cloud::tc3::{CanonicalRequest, CredentialScope, authorization, signing_key};
use crate::config::{Credentials, SecretSource};
use crate::metrics::reason::Reason;

const ARN: &str = "qcs::cam::uin/100000000001:roleName/CwpExporter";

/// The provider of the role whose key the environment's key asks for.
fn provider(http: &Arc<Scripted>, source: Credentials) -> Arc<dyn Provider> {
    let context = fixture::context(Arc::clone(http), variables());
    Providers::new(context).provider(&fixture::role("CwpExporter", source))
}

#[tokio::test(start_paused = true)]
async fn the_request_is_the_one_that_the_vendors_sdk_would_sign() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../../../tests/fixtures/tc3/vectors.json")).unwrap();
    let mut vectors = vectors.into_iter();
    let vector = vectors.find(|v| v["name"] == "sts-assume-role").unwrap();
    let input = |name: &str| vector["input"][name].as_str().unwrap().to_owned();

    let http = Scripted::new(|_| issued("AKIDtemporary", 7200));
    let environment = [
        ("TENCENTCLOUD_SECRET_ID", input("secret_id")),
        ("TENCENTCLOUD_SECRET_KEY", input("secret_key")),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let context = fixture::context(http.clone(), environment);
    let role = fixture::role("CwpExporter", Credentials::Env);
    let provider = Providers::new(context).provider(&role);
    let key = provider.credential().await.unwrap();
    assert_eq!(key.secret_id(), "AKIDtemporary");
    assert_eq!(key.token(), Some("t0ken-hunter2"));
    assert_eq!(key.quota_key(), ARN);
    assert_eq!(key.expires_at().unwrap().as_second(), 1_717_207_200);
    assert_eq!(
        provider.source(),
        format!("role {ARN} assumed by the environment")
    );

    let sent = &http.sent()[0].request;
    assert_eq!(sent.uri(), "https://sts.tencentcloudapi.com/");
    let header = |name: &str| sent.headers().get(name).unwrap().to_str().unwrap();
    for (name, field) in [
        ("host", "host"),
        ("x-tc-action", "action"),
        ("x-tc-version", "version"),
        ("x-tc-region", "region"),
    ] {
        assert_eq!(header(name), input(field));
    }
    let body: Value = serde_json::from_slice(sent.body()).unwrap();
    let payload: Value = serde_json::from_str(&input("payload")).unwrap();
    assert_eq!(body, payload);
    // The vector's blanks are Python's, so the signature is that of our own bytes.
    let scope = CredentialScope::new("sts", "2024-06-01T00:00:00Z".parse().unwrap());
    let expected = authorization(
        &input("secret_id"),
        &signing_key(&input("secret_key"), &scope),
        &scope,
        &CanonicalRequest {
            method: "POST",
            query: "",
            headers: &[
                ("content-type", "application/json"),
                ("host", "sts.tencentcloudapi.com"),
            ],
            payload: sent.body(),
        },
    );
    assert_eq!(header("authorization"), expected);
}

#[tokio::test(start_paused = true)]
async fn the_key_is_replaced_ahead_of_its_expiry() {
    let http = Scripted::new(|earlier| match earlier {
        0 => issued("AKID0", 7200),
        _ => issued("AKID1", 14_400),
    });
    let context = fixture::context(http.clone(), variables());
    let clock = context.clock.clone();
    let role = fixture::role("CwpExporter", Credentials::Env);
    let provider = Providers::new(context).provider(&role);
    for _ in 0..180 {
        let key = provider.credential().await.unwrap();
        assert!(!key.has_expired(clock.now()));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(http.sent().len(), 2);
    assert_eq!(provider.current().unwrap().secret_id(), "AKID1");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_code_message_and_request_id_and_blots_out_the_external_id() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "external-hunter2\n").unwrap();
    let http = Scripted::with(|sent, _| {
        let body = std::str::from_utf8(sent.request.body()).unwrap();
        assert!(body.contains(r#""ExternalId":"external-hunter2""#));
        answer(
            r#"{"Response":{"Error":{"Code":"UnauthorizedOperation","Message":"no external-hunter2 key-hunter2"},"RequestId":"r-1"}}"#,
        )
    });
    let Credentials::AssumeRole(mut role) = fixture::role("CwpExporter", Credentials::Env) else {
        panic!("a role");
    };
    role.external_id = Some(SecretSource::File(file.path().to_owned()));
    let context = fixture::context(http.clone(), variables());
    let provider = Providers::new(context).provider(&Credentials::AssumeRole(role));
    let error = provider.credential().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "STS AssumeRole: UnauthorizedOperation: no <secret> <secret>"
    );
    let told = error.error();
    assert_eq!(told.reason, Reason::Permission);
    assert_eq!(told.request_id.as_deref(), Some("r-1"));
    assert!(told.remedy().contains("sts:AssumeRole"), "{told:?}");
    assert!(!format!("{error:?} {:?}", http.sent()[0].request.headers()).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_asked_once_more_and_then_the_service_is_left_alone() {
    let http = Scripted::new(|_| failure("InternalError"));
    let provider = provider(&http, Credentials::Env);
    for _ in 0..100 {
        assert!(provider.credential().await.is_err());
    }
    assert_eq!(http.sent().len(), 2);
    let pause = http.sent()[1].at - http.sent()[0].at;
    let usual = Duration::from_millis(500)..=Duration::from_secs(1);
    assert!(usual.contains(&pause), "{pause:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    provider.credential().await.unwrap_err();
    assert_eq!(http.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_the_service_is_counted() {
    let registry = Registry::new();
    let http = Scripted::new(|earlier| match earlier {
        0 => failure("InternalError"),
        _ => issued("AKIDtemporary", 7200),
    });
    let context = fixture::context_of(&registry, http, variables());
    let role = fixture::role("CwpExporter", Credentials::Env);
    let provider = Providers::new(context).provider(&role);
    provider.credential().await.unwrap();
    for (name, expected) in [
        ("requests_total", 2.0),
        ("request_failures_total", 1.0),
        ("request_duration_seconds", 2.0),
        ("rate_limit_wait_seconds_total", 0.0),
    ] {
        let name = format!("cwp_exporter_api_{name}");
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let counts = family.unwrap().get_metric().iter().map(|metric| {
            metric.get_counter().get_value() + metric.get_histogram().get_sample_count() as f64
        });
        assert!(counts.sum::<f64>().eq(&expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_without_another_key_is_not_asked_for_once_more() {
    let http = Scripted::new(|_| failure("AuthFailure.SecretIdNotFound"));
    let provider = provider(&http, Credentials::Env);
    let error = provider.credential().await.unwrap_err();
    assert_eq!(error.error().reason, Reason::Credentials);
    assert_eq!(http.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_given_up_after_the_timeout() {
    let http = Scripted::hanging();
    let provider = provider(&http, Credentials::Env);
    let error = provider.credential().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "STS AssumeRole: no whole answer from sts.tencentcloudapi.com within 10s"
    );
    assert_eq!(http.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_whole_key_is_an_error_that_quotes_nothing() {
    for fields in [
        "{}",
        r#"{"Credentials":"hunter2","ExpiredTime":1717207200}"#,
        r#"{"Credentials":{"TmpSecretId":"hunter2","TmpSecretKey":"hunter2","Token":"hunter2"}}"#,
        r#"{"Credentials":{"TmpSecretId":"hunter2","TmpSecretKey":"hunter2"},"ExpiredTime":1717207200}"#,
        r#"{"Credentials":{"TmpSecretId":"hunter2","TmpSecretKey":"hunter2","Token":""},"ExpiredTime":1717207200}"#,
        r#"{"Credentials":{"TmpSecretId":"hunter2","TmpSecretKey":"hunter2","Token":"hunter2"},"ExpiredTime":"hunter2"}"#,
        r#"{"Credentials":{"TmpSecretId":"hunter2","TmpSecretKey":"hunter2","Token":"hunter2"},"ExpiredTime":1}"#,
    ] {
        let fields = fields.to_owned();
        let http = Scripted::new(move |_| format!(r#"{{"Response":{fields}}}"#));
        let provider = provider(&http, Credentials::Env);
        let error = provider.credential().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert_eq!(provider.current(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_source_is_renewed_and_the_question_asked_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let write = |id: &str| {
        let text = format!("[default]\nsecret_id={id}\nsecret_key=hunter2\n");
        std::fs::write(&path, text).unwrap();
    };
    let source = Credentials::Profile(crate::config::Profile {
        file: Some(path.clone()),
        ..Default::default()
    });
    for is_good in [true, false] {
        write("AKIDold");
        let rotated = path.clone();
        let http = Scripted::with(move |_, earlier| {
            if is_good && earlier == 1 {
                return answer(&issued("AKIDtemporary", 7200));
            }
            // The key is rotated while the question is on its way.
            let text = format!("[default]\nsecret_id=AKIDnew{earlier}\nsecret_key=hunter2\n");
            std::fs::write(&rotated, text).unwrap();
            answer(&failure("AuthFailure.SecretIdNotFound"))
        });
        let provider = provider(&http, source.clone());
        assert_eq!(provider.credential().await.is_ok(), is_good);
        assert_eq!(http.sent().len(), 2);
        assert!(http.sent()[1].is_from("AKIDnew0"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_may_assume_a_role_and_its_token_is_sent() {
    let http = Scripted::new(|earlier| issued(&format!("AKID{earlier}"), 7200));
    let hub = fixture::role("Hub", Credentials::Env);
    let provider = provider(&http, hub);
    assert_eq!(provider.credential().await.unwrap().secret_id(), "AKID1");
    let sent = http.sent();
    assert!(sent[0].is_from("AKIDenv") && sent[1].is_from("AKID0"));
    let token = sent[1].request.headers().get("x-tc-token").unwrap();
    assert_eq!(token, "t0ken-hunter2");
    assert!(!format!("{:?}", sent[1].request.headers()).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_key_is_the_roles_error() {
    let context = fixture::context(Scripted::hanging(), []);
    let role = fixture::role("CwpExporter", Credentials::Env);
    let provider = Providers::new(context).provider(&role);
    let error = provider.credential().await.unwrap_err();
    assert!(matches!(error, Unavailable::Absent(_)));
    assert!(error.to_string().contains("TENCENTCLOUD_SECRET_ID"));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let http = Scripted::with(|_, _| {
        let response = Response::builder()
            .status(302)
            .header("location", "https://elsewhere.example/")
            .body(bytes::Bytes::new());
        Box::pin(future::ready(Ok(response.unwrap())))
    });
    let provider = provider(&http, Credentials::Env);
    let error = provider.credential().await.unwrap_err().to_string();
    assert!(error.contains("302"), "{error}");
    assert_eq!(http.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_service_has_its_own_reason_its_name_and_a_remedy_that_fits() {
    let coded = |code: &'static str| -> Arc<Scripted> { Scripted::new(move |_| failure(code)) };
    let status = |status: u16| -> Arc<Scripted> {
        Scripted::with(move |_, _| {
            let response = Response::builder().status(status).body(bytes::Bytes::new());
            Box::pin(future::ready(Ok(response.unwrap())))
        })
    };
    let reset = Scripted::with(|_, _| {
        let error = Error::new(Reason::Network, "no answer: connection reset");
        Box::pin(future::ready(Err(error)))
    });
    for (http, reason, remedy) in [
        (status(503), Reason::Server, "wait"),
        (status(429), Reason::Throttled, "`duration`"),
        (status(302), Reason::Request, "api.sts_endpoint"),
        (Scripted::hanging(), Reason::Timeout, "api.sts_endpoint"),
        (reset, Reason::Network, "api.sts_endpoint"),
        (
            Scripted::new(|_| "<html>".to_owned()),
            Reason::Response,
            "api.sts_endpoint",
        ),
        (
            coded("RequestLimitExceeded"),
            Reason::Throttled,
            "`duration`",
        ),
        (
            coded("UnauthorizedOperation"),
            Reason::Permission,
            "sts:AssumeRole",
        ),
        (coded("AuthFailure.SignatureExpire"), Reason::Clock, "NTP"),
        (
            coded("AuthFailure.SecretIdNotFound"),
            Reason::Credentials,
            "CAM console",
        ),
        (
            coded("ResourceNotFound.RoleNotFound"),
            Reason::Credentials,
            "the role exists",
        ),
        (
            Scripted::new(|_| issued("AKIDlate", -1)),
            Reason::Clock,
            "NTP",
        ),
    ] {
        let provider = provider(&http, Credentials::Env);
        let error = Error::from(provider.credential().await.unwrap_err());
        assert_eq!(error.reason, reason, "{error}");
        assert!(
            error.remedy().contains(remedy),
            "{error}: {}",
            error.remedy()
        );
        assert!(error.remedy_in_chinese().is_some(), "{error}");
        let named = error.message.starts_with("STS AssumeRole: ");
        assert!(named || reason == Reason::Clock, "{error}");
    }
}
