//! What the tests of providers share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use http::Response;
use prometheus::Registry;

use super::{Context, Files, Provider, Providers};
use crate::cloud::Error;
use crate::cloud::budget::Budgets;
use crate::cloud::scripted::{self, Scripted};
use crate::config::RateLimit;
use crate::config::{Api, AssumeRole, Credentials, Environment};
use crate::metrics::ExporterMetrics;

/// A context in front of `http` whose wall clock follows tokio's.
pub(super) fn context<const N: usize>(
    http: Arc<Scripted>,
    variables: [(&str, &str); N],
) -> Context {
    context_of(&Registry::new(), http, variables)
}

/// The same, counting into `registry`.
pub(super) fn context_of<const N: usize>(
    registry: &Registry,
    http: Arc<Scripted>,
    variables: [(&str, &str); N],
) -> Context {
    let api = Api::default();
    let rate_limit = RateLimit {
        requests: api.rate_limit,
        replicas: NonZeroU32::MIN,
    };
    Context {
        environment: Environment::from(variables),
        files: Arc::default(),
        http,
        clock: scripted::running_clock(),
        metrics: ExporterMetrics::register(registry).unwrap(),
        sts_endpoint: api.sts_endpoint,
        metadata_endpoint: api.metadata_endpoint,
        timeout: Duration::from_secs(10),
        sts_budgets: Arc::new(Budgets::new(rate_limit, api.max_in_flight)),
    }
}

/// The provider of `credentials` that reads `files`.
pub(crate) fn reading(files: Files, credentials: &Credentials) -> Arc<dyn Provider> {
    let context = Context {
        files: Arc::new(files),
        ..context(Scripted::hanging(), [])
    };
    Providers::new(context).provider(credentials)
}

/// Credentials of the role `name`.
pub(super) fn role(name: &str, source: Credentials) -> Credentials {
    Credentials::AssumeRole(Box::new(AssumeRole {
        role_arn: format!("qcs::cam::uin/100000000001:roleName/{name}"),
        session_name: "cwp-exporter".to_owned(),
        duration: Duration::from_secs(7200),
        external_id: None,
        source,
    }))
}

/// Refreshes counted so far: failures, successes.
pub(super) fn refreshes(registry: &Registry) -> Vec<f64> {
    registry
        .gather()
        .iter()
        .filter(|family| family.name() == "cwp_exporter_credential_refreshes_total")
        .flat_map(|family| family.get_metric())
        .map(|metric| metric.get_counter().get_value())
        .collect()
}

/// A key in the environment.
pub(super) fn variables() -> [(&'static str, &'static str); 2] {
    [
        ("TENCENTCLOUD_SECRET_ID", "AKIDenv"),
        ("TENCENTCLOUD_SECRET_KEY", "key-hunter2"),
    ]
}

/// The token service's answer: a key that expires `life` seconds after the clock's
/// start.
pub(super) fn issued(secret_id: &str, life: i64) -> String {
    let expires_at = scripted::clock().now().as_second() + life;
    scripted::success(&format!(
        r#"{{"Credentials":{{"TmpSecretId":"{secret_id}","TmpSecretKey":"tmp-hunter2","Token":"t0ken-hunter2"}},"ExpiredTime":{expires_at},"Expiration":"","RequestId":"r"}}"#
    ))
}

/// A network's reply with `body`.
pub(super) fn answer(body: &str) -> BoxFuture<'static, Result<Response<Bytes>, Error>> {
    let response = Response::new(Bytes::from(body.to_owned()));
    Box::pin(future::ready(Ok(response)))
}
