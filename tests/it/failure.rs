//! When the API fails, in every way it has been seen to.

use std::time::Duration;

use cwp_exporter::simulator::{Answer, documented_example};
use http::StatusCode;
use serde_json::{Map, json};

use crate::harness::{Cloud, Exporter, Program, config_for};

fn api_error(code: &str) -> Answer {
    Answer::Error {
        code: code.to_owned(),
        message: "scripted".to_owned(),
    }
}

fn http_error(status: u16, body: &str, location: Option<&str>) -> Answer {
    Answer::Http {
        status: StatusCode::from_u16(status).unwrap(),
        body: body.to_owned(),
        content_type: Some("text/html".to_owned()),
        location: location.map(str::to_owned),
    }
}

fn fields(value: serde_json::Value) -> Answer {
    match value {
        serde_json::Value::Object(fields) => Answer::Fields(fields),
        _ => Answer::Fields(Map::new()),
    }
}

/// More than two dozen ways to fail, and the reason that each must show.
fn faults() -> Vec<(Answer, &'static str)> {
    let late = Answer::Delayed(Duration::from_secs(20), Box::new(Answer::Ok));
    vec![
        (api_error("InternalError"), "server"),
        (api_error("InternalError.MainDBFail"), "server"),
        (api_error("NobodyHasSeenThis"), "server"),
        (api_error("RequestLimitExceeded"), "throttled"),
        (api_error("AuthFailure.SecretIdNotFound"), "credentials"),
        (api_error("AuthFailure.TokenFailure"), "credentials"),
        (api_error("AuthFailure.SignatureExpire"), "clock"),
        (api_error("AuthFailure.UnauthorizedOperation"), "permission"),
        (api_error("InvalidParameter"), "request"),
        (
            Answer::LegacyError {
                code: 4000,
                message: "scripted".to_owned(),
                code_desc: "InvalidAction".to_owned(),
            },
            "request",
        ),
        (http_error(500, "", None), "server"),
        (http_error(502, "<html>bad gateway</html>", None), "server"),
        (
            http_error(503, r#"{"Response":{"LicenseCnt":1}}"#, None),
            "server",
        ),
        (http_error(429, "slow down", None), "throttled"),
        (http_error(404, "<html>", None), "request"),
        (http_error(302, "", Some("http://127.0.0.1:1/")), "request"),
        (Answer::Hang, "timeout"),
        (late, "timeout"),
        (Answer::Reset, "network"),
        (Answer::Cut(40), "response"),
        (Answer::Cut(0), "response"),
        (Answer::Body(String::new()), "response"),
        (Answer::Body("not json".to_owned()), "response"),
        (Answer::Body("<html>hello</html>".to_owned()), "response"),
        (Answer::Body(r#"{"Response":null}"#.to_owned()), "response"),
        (Answer::Oversized(8 << 20), "response"),
        (Answer::Nested(20_000), "response"),
        (fields(json!({})), "response"),
        (
            fields(json!({"LicenseCnt": "7", "AutoOpenStatus": 1})),
            "response",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_shows_its_reason_keeps_the_last_values_and_is_recovered_from() {
    let faults = faults();
    let count = faults.len() + 1;
    let cloud = Cloud::with_accounts(count).await;
    let (config, variables) = config_for(&cloud, count);
    let config = config.replace("timeout: 500ms, max_age: 2s", "timeout: 3s, max_age: 10m");
    let exporter = Exporter::start(&config, variables).await;
    let before = exporter.ready().await;
    let values = |scrape: &crate::harness::Scrape, account: &str| -> Vec<(String, f64)> {
        let series = scrape.licence_series(account).into_iter();
        series
            .map(|series| (series.to_owned(), scrape.value(series).unwrap()))
            .collect()
    };

    for (number, (answer, _)) in faults.iter().enumerate() {
        let account = format!("a{number}");
        cloud.handle.play(&account, answer.clone()).unwrap();
    }
    for (number, (answer, reason)) in faults.iter().enumerate() {
        let account = format!("a{number}");
        let what = format!("{account} to fail with {reason} after {answer:?}");
        let scrape = exporter
            .until(&what, |scrape| {
                scrape.failure_reason(&account) == Some(*reason)
            })
            .await;
        assert_eq!(scrape.succeeded(&account), Some(false));
        let up = format!("tencentcloud_cwp_up{{account=\"{account}\"}}");
        assert_eq!(scrape.value(&up), Some(0.0));
        assert_eq!(values(&scrape, &account), values(&before, &account));
    }
    let untouched = format!("a{}", count - 1);
    assert_eq!(exporter.scrape().await.succeeded(&untouched), Some(true));

    for number in 0..faults.len() {
        cloud.handle.resume(&format!("a{number}")).unwrap();
    }
    for number in 0..faults.len() {
        let account = format!("a{number}");
        let scrape = exporter
            .until("recovery", |scrape| {
                scrape.succeeded(&account) == Some(true)
            })
            .await;
        assert_eq!(scrape.failure_reason(&account), None);
        assert_eq!(values(&scrape, &account), values(&before, &account));
    }
}

#[tokio::test]
async fn a_compressed_answer_is_understood() {
    let cloud = Cloud::with_accounts(1).await;
    cloud.handle.play("a0", Answer::Gzip).unwrap();
    let exporter = Exporter::of(&cloud, 1).await;
    assert_eq!(exporter.ready().await.licence_series("a0").len(), 25);
}

#[tokio::test]
async fn values_are_withdrawn_after_max_age_and_come_back_with_the_next_success() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 2);
    // Long enough to be looked at between the failure and the withdrawal, on a busy machine too.
    let config = config.replace("max_age: 2s", "max_age: 8s");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    cloud.handle.play("a0", api_error("InternalError")).unwrap();

    exporter
        .until("a0 to fail", |scrape| {
            scrape.succeeded("a0") == Some(false) && scrape.licence_series("a0").len() == 25
        })
        .await;
    let withdrawn = exporter
        .until("the values to be withdrawn", |scrape| {
            scrape.licence_series("a0").is_empty()
        })
        .await;
    let info = format!(
        "tencentcloud_cwp_account_info{{account=\"a0\",endpoint=\"{}\",region=\"\"}}",
        cloud.url
    );
    assert_eq!(withdrawn.value(&info), Some(1.0));
    assert_eq!(
        withdrawn.value("tencentcloud_cwp_up{account=\"a0\"}"),
        Some(0.0)
    );
    let last_success = "cwp_exporter_collector_last_success_timestamp_seconds{account=\"a0\",collector=\"license_general\"}";
    assert!(withdrawn.value(last_success).is_some());
    assert_eq!(withdrawn.licence_series("a1").len(), 25);

    cloud.handle.resume("a0").unwrap();
    exporter
        .until("the values to come back", |scrape| {
            scrape.licence_series("a0").len() == 25
        })
        .await;
}

#[tokio::test]
async fn a_field_that_goes_bad_vanishes_alone_and_is_named_as_drift() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    exporter.ready().await;
    let mut fields = documented_example();
    fields.insert("NearExpiryLicenseCnt".to_owned(), json!(-4));
    fields.remove("UsedLicenseCnt");
    fields.insert("BrandNew".to_owned(), json!(1));
    cloud.handle.play("a0", Answer::Fields(fields)).unwrap();

    let drifted = exporter
        .until("the field to vanish", |scrape| {
            scrape.licence_series("a0").len() == 23
        })
        .await;
    assert_eq!(drifted.succeeded("a0"), Some(true));
    let drift = |field: &str, kind: &str| {
        drifted.value(&format!(
            "cwp_exporter_schema_drift{{account=\"a0\",collector=\"license_general\",field=\"{field}\",kind=\"{kind}\"}}"
        ))
    };
    assert_eq!(drift("NearExpiryLicenseCnt", "invalid"), Some(1.0));
    assert_eq!(drift("UsedLicenseCnt", "missing"), Some(1.0));
    assert_eq!(drift("BrandNew", "unknown"), Some(1.0));
}

#[tokio::test]
async fn a_failure_is_logged_once_with_all_that_helps_and_its_end_too() {
    let cloud = Cloud::with_accounts(1).await;
    cloud
        .handle
        .play("a0", api_error("AuthFailure.SignatureFailure"))
        .unwrap();
    let (config, variables) = config_for(&cloud, 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut program = Program::start(
        &[
            "--config.file",
            file.path().to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect::<Vec<_>>(),
    );
    let failed = program.logged("collection failed").await;
    for part in [
        "level=warn",
        "account=a0",
        "reason=credentials",
        "code=AuthFailure.SignatureFailure",
        "request_id=",
        "remedy=",
    ] {
        assert!(failed.contains(part), "{part} is missing: {failed}");
    }
    cloud.handle.wait_for("a0", 3).await;
    cloud.handle.resume("a0").unwrap();
    let works = program.logged("collection works again").await;
    assert!(works.contains("level=info") && works.contains("account=a0"));
    let warnings = program.log();
    let warnings = warnings.iter().filter(|line| line.contains("level=warn"));
    assert_eq!(warnings.count(), 1);
}
