use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{self, BoxFuture};
use http::Response;
use prometheus::Registry;

use super::*;
use crate::cloud::credentials::Unavailable;
use crate::cloud::scripted::{Scripted, failure, success};
use crate::collectors::Collector as _;
use crate::collectors::license_general::LicenseGeneral;

/// A client in front of `http`, with its registry, on paused time.
async fn call(http: Arc<Scripted>) -> (Result<ApiAnswer, Error>, Registry) {
    let registry = Registry::new();
    let client = fixture::client(&registry, Arc::clone(&http), 20, 64);
    let instruments = client.instruments(LicenseGeneral.request().action);
    let target = fixture::target("AKIDtest");
    let answer = client
        .call(&target, &instruments, Lane::Prompt, Duration::from_secs(16))
        .await;
    (answer, registry)
}

fn counted(registry: &Registry, name: &str, reason: Option<&str>) -> f64 {
    registry
        .gather()
        .iter()
        .filter(|family| family.name() == name)
        .flat_map(|family| family.get_metric())
        .filter(|metric| {
            let mut labels = metric.get_label().iter();
            reason.is_none_or(|reason| labels.any(|label| label.value() == reason))
        })
        .map(|metric| metric.get_counter().get_value())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn the_request_is_the_one_that_the_vendors_sdk_would_sign() {
    let http = Scripted::new(|_| success("{}"));
    let (answer, _) = call(Arc::clone(&http)).await;
    answer.unwrap();
    let sent = http.sent();
    let headers = sent[0].request.headers();
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(text("content-type"), "application/json");
    assert_eq!(text("host"), "cwp.tencentcloudapi.com");
    assert_eq!(text("x-tc-action"), "DescribeLicenseGeneral");
    assert_eq!(text("x-tc-version"), "2018-02-28");
    assert_eq!(text("x-tc-timestamp"), "1717200000");
    assert!(headers.get("x-tc-region").is_none());
    assert!(headers.get("x-tc-token").is_none());
    assert!(text("authorization").starts_with(
        "TC3-HMAC-SHA256 Credential=AKIDtest/2024-06-01/cwp/tc3_request, SignedHeaders=content-type;host, Signature="
    ));
    let shown = format!("{:?}", sent[0].request);
    assert!(!shown.contains("Signature"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_sent_again_and_each_request_is_counted() {
    let http = Scripted::new(|earlier| match earlier {
        0 => failure("InternalError"),
        1 => failure("RequestLimitExceeded"),
        _ => success("{}"),
    });
    let (answer, registry) = call(Arc::clone(&http)).await;
    answer.unwrap();
    let sent = http.sent();
    assert_eq!(sent.len(), 3);
    let pause = sent[2].at - sent[1].at;
    assert!(pause >= THROTTLED_BACKOFF, "{pause:?} after throttling");
    let failures = "cwp_exporter_api_request_failures_total";
    assert!(counted(&registry, "cwp_exporter_api_requests_total", None).eq(&3.0));
    assert!(counted(&registry, failures, Some("server")).eq(&1.0));
    assert!(counted(&registry, failures, Some("throttled")).eq(&1.0));
    assert!(counted(&registry, failures, None).eq(&2.0));
    let families = registry.gather();
    let duration = "cwp_exporter_api_request_duration_seconds";
    let durations = families.iter().find(|family| family.name() == duration);
    let durations = durations.unwrap().get_metric()[0].get_histogram();
    assert_eq!(durations.get_sample_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_request_waits_for_its_turn_is_counted() {
    let registry = Registry::new();
    let client = fixture::client(&registry, Scripted::new(|_| success("{}")), 1, 64);
    let instruments = client.instruments(LicenseGeneral.request().action);
    let target = fixture::target("AKIDtest");
    let patience = Duration::from_secs(60);
    for (least, most) in [(0.0, 0.0), (1.0, 1.2), (2.0, 2.4)] {
        let answer = client.call(&target, &instruments, Lane::Prompt, patience);
        answer.await.unwrap();
        let name = "cwp_exporter_api_rate_limit_wait_seconds_total";
        let waited = counted(&registry, name, None);
        assert!((least..=most).contains(&waited), "{waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_compared_with_that_of_each_answer_that_tells_the_time() {
    let registry = Registry::new();
    let http = Scripted::with(|_, _| {
        let date = "Fri, 31 May 2024 23:59:50 GMT";
        let response = Response::builder().header("date", date);
        let body = Bytes::from(success("{}"));
        Box::pin(future::ready(Ok(response.body(body).unwrap())))
    });
    let client = fixture::client(&registry, http, 20, 64);
    let instruments = client.instruments(LicenseGeneral.request().action);
    let target = fixture::target("AKIDtest");
    let patience = Duration::from_secs(60);
    let answer = client.call(&target, &instruments, Lane::Prompt, patience);
    answer.await.unwrap();
    let families = registry.gather();
    let skew = "cwp_exporter_clock_skew_seconds";
    let skew = families.iter().find(|family| family.name() == skew);
    let skew = skew.unwrap().get_metric()[0].get_gauge().get_value();
    assert!((skew - 9.5).abs() < 1e-9, "{skew}");
}

#[test]
fn a_target_with_other_parameters_is_otherwise_the_same() {
    let target = fixture::target("AKIDtest");
    let other = target.with_parameters(Bytes::from_static(b"{\"Limit\":1}"));
    let (request, before) = (other.request.request(), target.request.request());
    assert_eq!(request.body, r#"{"Limit":1}"#);
    assert_eq!(request.action, before.action);
    assert!(Arc::ptr_eq(&other.credentials, &target.credentials));
}

#[tokio::test(start_paused = true)]
async fn what_a_key_has_spent_in_the_last_minute_is_known() {
    let http = Scripted::new(|_| failure("InternalError"));
    let client = fixture::client(&Registry::new(), http, 20, 64);
    let action = LicenseGeneral.request().action;
    let (target, other) = (fixture::target("AKIDtest"), fixture::target("AKIDother"));
    let instruments = client.instruments(action);
    let patience = Duration::from_secs(60);
    let answer = client.call(&target, &instruments, Lane::Prompt, patience);
    answer.await.unwrap_err();
    assert_eq!(client.spent(&*target.credentials, action), 3);
    assert_eq!(client.spent(&*target.credentials, "Other"), 0);
    assert_eq!(client.spent(&*other.credentials, action), 0);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_that_stays_is_given_up_after_three_requests() {
    let http = Scripted::new(|_| failure("InternalError"));
    let (answer, _) = call(Arc::clone(&http)).await;
    assert_eq!(answer.unwrap_err().reason, Reason::Server);
    assert_eq!(http.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_will_not_pass_is_not_sent_again() {
    for code in [
        "AuthFailure.SignatureFailure",
        "AuthFailure.SignatureExpire",
        "UnauthorizedOperation",
        "InvalidAction",
    ] {
        let http = Scripted::new(move |_| failure(code));
        let (answer, _) = call(Arc::clone(&http)).await;
        assert_eq!(answer.unwrap_err().code.as_deref(), Some(code));
        assert_eq!(http.sent().len(), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_retry_starts_once_the_next_collection_is_due() {
    let http = Scripted::hanging();
    let started = Instant::now();
    let (answer, _) = call(Arc::clone(&http)).await;
    assert_eq!(answer.unwrap_err().reason, Reason::Timeout);
    // Ten seconds each of an interval of sixteen.
    assert_eq!(http.sent().len(), 2);
    assert!(started.elapsed() < Duration::from_secs(21));
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_the_retry_takes_no_place_of_the_accounts_that_answer() {
    let http = Scripted::hanging();
    let client = fixture::client(&Registry::new(), Arc::clone(&http), 20, 4);
    let action = LicenseGeneral.request().action;
    let instruments = client.instruments(action);
    // The only place of the slow lane.
    let slow = client.budgets.permit("AKIDslow", action, Lane::Slow).await;
    let target = fixture::target("AKIDtest");
    let hour = Duration::from_secs(3600);
    let mut call = Box::pin(client.call(&target, &instruments, Lane::Prompt, hour));
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, &mut call).await.is_err());
    assert_eq!(http.sent().len(), 1);
    drop(slow);
    assert!(tokio::time::timeout(minute, call).await.is_ok());
    assert_eq!(http.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_retry_starts_whose_pause_ends_after_the_next_collection_or_the_deadline() {
    let second = Duration::from_secs(1);
    for (patience, allowed, requests) in [(1, 60, 1), (60, 1, 1), (60, 60, 3)] {
        // Its pauses take a second at least.
        let http = Scripted::new(|_| failure("RequestLimitExceeded"));
        let client = fixture::client(&Registry::new(), Arc::clone(&http), 20, 64);
        let instruments = client.instruments(LicenseGeneral.request().action);
        let target = fixture::target("AKIDtest");
        let answer = client.call(&target, &instruments, Lane::Prompt, second * patience);
        let answer = deadline::within(second * allowed, answer).await;
        assert_eq!(answer.unwrap_err().reason, Reason::Throttled);
        assert_eq!(http.sent().len(), requests, "{patience} {allowed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_ends_while_it_waits_for_the_budget_is_told_what_to_raise() {
    let client = fixture::client(&Registry::new(), Scripted::hanging(), 20, 1);
    let action = LicenseGeneral.request().action;
    let instruments = client.instruments(action);
    let target = fixture::target("AKIDtest");
    let _only = client.budgets.permit("AKIDother", action, Lane::Slow).await;
    let second = Duration::from_secs(1);
    let answer = client.call(&target, &instruments, Lane::Prompt, second);
    let error = deadline::within(second, answer).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("given up after 1s of waiting for {BUDGET}")
    );
    assert!(
        error.remedy().contains("api.rate_limit"),
        "{}",
        error.remedy()
    );
}

/// A source that has another key after each refusal.
#[derive(Default)]
struct Rotating(AtomicUsize);

impl Provider for Rotating {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        let key = self.current().expect("there is always a key");
        Box::pin(future::ready(Ok(key)))
    }

    fn current(&self) -> Option<Arc<Credential>> {
        let id = format!("AKID{}", self.0.load(Ordering::Relaxed));
        let key = Credential::new(id, "scripted-secret".to_owned(), None);
        Some(Arc::new(key))
    }

    fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(future::ready(()))
    }

    fn source(&self) -> String {
        "a test".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_replaced_twice_if_its_source_has_another() {
    let http = Scripted::new(|_| failure("AuthFailure.TokenFailure"));
    let (answer, _) = call(Arc::clone(&http)).await;
    assert_eq!(answer.unwrap_err().reason, Reason::Credentials);
    assert_eq!(http.sent().len(), 1, "there is no other key");

    let http = Scripted::new(|_| failure("AuthFailure.TokenFailure"));
    let client = fixture::client(&Registry::new(), Arc::clone(&http), 20, 64);
    let instruments = client.instruments(LicenseGeneral.request().action);
    let target = Target {
        credentials: Arc::<Rotating>::default(),
        ..fixture::target("AKIDtest")
    };
    let hour = Duration::from_secs(3600);
    let answer = client.call(&target, &instruments, Lane::Prompt, hour).await;
    assert_eq!(answer.unwrap_err().reason, Reason::Credentials);
    let sent = http.sent();
    assert_eq!(sent.len(), 3);
    for (number, sent) in sent.iter().enumerate() {
        assert!(sent.is_from(&format!("AKID{number}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_an_endpoint_echoes_is_blotted_out() {
    let http = Scripted::new(|_| failure("UnauthorizedOperation.scripted-secret"));
    let (answer, _) = call(http).await;
    let error = answer.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("scripted-secret"), "{shown}");
}

#[test]
fn pauses_are_drawn_from_a_span_that_doubles() {
    let pause = |reason, attempt, jitter| backoff(reason, attempt, jitter).as_secs_f64();
    assert!(pause(Reason::Server, 1, 0.0).eq(&0.0));
    assert!(pause(Reason::Server, 1, 1.0).eq(&0.5));
    assert!(pause(Reason::Server, 2, 1.0).eq(&1.0));
    assert!(pause(Reason::Throttled, 1, 0.0).eq(&1.0));
    assert!(pause(Reason::Throttled, 2, 1.0).eq(&3.0));
}
