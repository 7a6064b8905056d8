//! The answers to the requests of one connection, whichever version of HTTP it speaks.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::Either;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::Instant;

use super::body::Body;
use super::connections::ConnectionActivity;
use super::host;
use super::reply::{PLAIN, answer};
use super::request_limiter::RequestLimiter;
use super::scrape::NegotiationCache;

/// Answers the requests of one connection.
pub(super) struct Responder {
    pub(super) request_limiter: Arc<RequestLimiter>,
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) peer: IpAddr,
    pub(super) negotiation_cache: NegotiationCache,
}

impl Responder {
    /// The response to a request, whose body is not read.
    pub(super) fn respond<T>(
        &self,
        request: Request<T>,
    ) -> impl Future<Output = Response<Body>> + Send + use<T> {
        let now = Instant::now();
        self.activity.requested(now);
        if let Err(wrong) = host::check(request.version(), request.headers()) {
            return Either::Left(ready(bad_request(wrong)));
        }
        let limiter = Arc::clone(&self.request_limiter);
        if let Some(response) = limiter.cached_answer(&request, &self.negotiation_cache, now) {
            return Either::Left(ready(response));
        }
        let activity = Arc::clone(&self.activity);
        let (peer, (head, _)) = (self.peer, request.into_parts());
        Either::Right(Box::pin(async move {
            let _answering = activity.answering();
            let response = limiter.answer(&head, peer).await;
            match head.method {
                Method::HEAD => without_body(response),
                _ => response,
            }
        }))
    }
}

/// The response to a request that breaks the rules, after which the connection ends.
fn bad_request(wrong: &'static str) -> Response<Body> {
    let mut refusal = answer(StatusCode::BAD_REQUEST, PLAIN, wrong);
    let close = HeaderValue::from_static("close");
    refusal.headers_mut().insert(header::CONNECTION, close);
    refusal
}

/// The response to HEAD where `response` is the response to GET.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.length() {
        let length = HeaderValue::from(length);
        head.headers.insert(header::CONTENT_LENGTH, length);
    }
    Response::from_parts(head, Body::default())
}
