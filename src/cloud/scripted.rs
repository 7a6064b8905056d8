//! A network that plays a script, so that tests of timing can pause the clock.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use http::{Request, Response};
use tokio::time::Instant;

use super::Error;
use super::http::HttpSend;
use crate::system::clock::Clock;

type Script = dyn Fn(&Sent, usize) -> ScriptedReply + Send + Sync;
type ScriptedReply = BoxFuture<'static, Result<Response<Bytes>, Error>>;

/// Answers each request as the script says, and remembers the request.
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
        script: impl Fn(&Sent, usize) -> ScriptedReply + Send + Sync + 'static,
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

/// Midnight of the first of June 2024, for ever.
pub(crate) fn clock() -> Clock {
    Clock::new(|| "2024-06-01T00:00:00Z".parse().unwrap())
}

/// A wall clock that starts there and moves with tokio's time, paused or not.
pub(crate) fn running_clock() -> Clock {
    let started = Instant::now();
    Clock::new(move || clock().now() + jiff::SignedDuration::try_from(started.elapsed()).unwrap())
}
