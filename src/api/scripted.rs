//! A network that plays a script, so that tests of timing can pause the clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use http::{Request, Response};
use prometheus::Registry;
use tokio::time::Instant;

use super::{ApiClient, Target};
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::cloud::http::HttpSend;
use crate::cloud::{Credential, Error};
use crate::config::{Config, Environment};
use crate::credentials::{Provider, Unavailable};
use crate::metrics::ExporterMetrics;

type Script = dyn Fn(&Sent, usize) -> Reply + Send + Sync;
type Reply = BoxFuture<'static, Result<Response<Bytes>, Error>>;

/// Answers each request as its script says, and remembers it.
pub(crate) struct Scripted {
    script: Box<Script>,
    sent: Mutex<Vec<Sent>>,
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) request: Request<Bytes>,
}

impl Sent {
    /// Whether it was signed with the key `secret_id`.
    pub(crate) fn is_from(&self, secret_id: &str) -> bool {
        let authorization = self.request.headers().get("authorization").unwrap();
        let credential = format!("Credential={secret_id}/");
        authorization.to_str().unwrap().contains(&credential)
    }
}

impl Scripted {
    /// Answers at once with what `body` makes of the number of requests before.
    pub(crate) fn new(body: impl Fn(usize) -> String + Send + Sync + 'static) -> Arc<Self> {
        Self::with(move |_, earlier| {
            let response = Response::new(Bytes::from(body(earlier)));
            Box::pin(future::ready(Ok(response)))
        })
    }

    /// Never answers.
    pub(crate) fn hanging() -> Arc<Self> {
        Self::with(|_, _| Box::pin(future::pending()))
    }

    pub(crate) fn with(
        script: impl Fn(&Sent, usize) -> Reply + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            sent: Mutex::default(),
        })
    }

    /// The requests so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

impl HttpSend for Scripted {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        let mut sent = self.sent.lock().unwrap();
        let now = Sent {
            at: Instant::now(),
            request,
        };
        let reply = (self.script)(&now, sent.len());
        sent.push(now);
        reply
    }
}

/// An answer with `fields`, a JSON object.
pub(crate) fn success(fields: &str) -> String {
    format!(r#"{{"Response":{fields}}}"#)
}

/// An answer with the error `code`.
pub(crate) fn failure(code: &str) -> String {
    success(&format!(
        r#"{{"Error":{{"Code":"{code}","Message":"scripted"}},"RequestId":"r"}}"#
    ))
}

/// A client with a timeout of 10 s, for an interval of 16 s, at noon of no particular day.
pub(crate) fn client(
    registry: &Registry,
    http: Arc<Scripted>,
    rate_limit: u32,
    max_in_flight: usize,
) -> ApiClient {
    ApiClient::new(
        http,
        Budgets::new(
            rate_limit.try_into().unwrap(),
            max_in_flight.try_into().unwrap(),
        ),
        clock(),
        Duration::from_secs(10),
        Duration::from_secs(16),
        ExporterMetrics::register(registry).unwrap(),
    )
}

pub(crate) fn clock() -> Clock {
    Clock::new(|| "2024-06-01T00:00:00Z".parse().unwrap())
}

/// The real endpoint, as the owner of `secret_id`.
pub(crate) fn target(secret_id: &str) -> Target {
    let environment = Environment::from_iter([
        ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
        ("TENCENTCLOUD_SECRET_KEY", "unused"),
    ]);
    let config = Config::load(None, &environment).unwrap();
    let key = "scripted-secret".to_owned();
    Target {
        endpoint: config.accounts[0].endpoint.clone(),
        region: None,
        credentials: Arc::new(Fixed(Arc::new(Credential::new(
            secret_id.to_owned(),
            key,
            None,
        )))),
    }
}

struct Fixed(Arc<Credential>);

impl Provider for Fixed {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(future::ready(Ok(Arc::clone(&self.0))))
    }
}
