//! What the API sees of the rate budget.

use std::time::Duration;

use cwp_exporter::simulator::Answer;

use crate::harness::{Cloud, Exporter, LICENSES_ALONE, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_never_sees_more_than_the_rate_limit_in_any_second() {
    let cloud =
        Cloud::start("accounts: [{name: shared, secret_id: AKIDshared, secret_key: key}]").await;
    let accounts: String = (0..50)
        .map(|number| {
            format!("  - {{name: a{number}, credentials: {{type: static, secret_id: AKIDshared, secret_key_env: KEY}}}}\n")
        })
        .collect();
    // Failures are sent again, so the budget is always spent to the full.
    let failure = Answer::Error {
        code: "InternalError".to_owned(),
        message: String::new(),
    };
    cloud.handle.play("shared", failure).unwrap();
    let config = format!(
        "{LICENSES_ALONE}poll: {{interval: 3s}}\napi: {{endpoint: '{}', rate_limit: 20}}\naccounts:\n{accounts}",
        cloud.url
    );
    let exporter = Exporter::start(&config, vec![("KEY".to_owned(), "key".to_owned())]).await;
    within("100 requests", cloud.handle.wait_for("shared", 100)).await;

    let received = cloud.handle.received();
    assert!(received.iter().all(|request| request.verdict == "ok"));
    for first in &received {
        let second = received
            .iter()
            .filter(|other| other.at >= first.at)
            .filter(|other| other.at - first.at < Duration::from_secs(1))
            .count();
        assert!(second <= 20, "{second} requests in one second");
    }
    let scrape = exporter.ready().await;
    let budget =
        "cwp_exporter_api_rate_limit_requests_per_second{action=\"DescribeLicenseGeneral\"}";
    assert_eq!(scrape.value(budget), Some(20.0));
    let waited =
        "cwp_exporter_api_rate_limit_wait_seconds_total{action=\"DescribeLicenseGeneral\"}";
    assert!(scrape.value(waited) > Some(1.0));
}
