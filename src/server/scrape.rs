//! The paths that Prometheus scrapes: `/metrics` and `/probe`.

pub mod bodies;
mod gzip;
mod negotiation_cache;

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::Instant;
use tracing::error;
use url::form_urlencoded;

use super::body::Body;
use super::negotiation::Dialect;
use super::reply::{self, PLAIN, answer};
use crate::exposition::Exposition;
use bodies::{Bodies, NoBody};
pub(super) use negotiation_cache::NegotiationCache;

/// All metrics from the cache, if they are current.
pub(super) fn cached_metrics(
    bodies: &Bodies,
    headers: &HeaderMap,
    cache: &NegotiationCache,
    now: Instant,
) -> Option<Response<Body>> {
    let wanted = cache.wanted(headers);
    let Dialect { format, gzip, .. } = wanted.dialect;
    let mut response = Response::new(bodies.cached(format, gzip, now)?);
    *response.headers_mut() = wanted.headers.clone();
    Some(response)
}

/// All metrics.
pub(super) async fn metrics(bodies: &Bodies, headers: &HeaderMap) -> Response<Body> {
    let dialect = Dialect::wanted(headers);
    match bodies.body(dialect.format, dialect.gzip).await {
        Ok(body) => with_headers(body, dialect),
        Err(NoBody::Refused(reached)) => reply::refused(reached),
        Err(NoBody::Failed(error)) => failed(&error),
    }
}

/// The metrics of one account, for Prometheus to have a target for each account.
pub(super) fn probe(exposition: &Exposition, query: &str, dialect: Dialect) -> Response<Bytes> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, target)) = pairs.find(|(name, _)| name == "target") else {
        let text = "Name an account: /probe?target=ACCOUNT. The accounts are at /sd.\n";
        return answer(StatusCode::BAD_REQUEST, PLAIN, text);
    };
    let text = exposition.render_account(dialect.format, &target);
    let body = text.and_then(|text| {
        text.map(|text| bodies::once(text, dialect.gzip))
            .transpose()
    });
    match body {
        Ok(Some(body)) => with_headers(body, dialect),
        Ok(None) => answer(
            StatusCode::BAD_REQUEST,
            PLAIN,
            "This process collects no account with this name. Its accounts are at /sd.\n",
        ),
        Err(error) => failed(&error),
    }
}

/// The answer to a scrape whose metrics cannot be rendered.
fn failed<B: From<Bytes>>(error: &io::Error) -> Response<B> {
    error!(%error, "cannot render the metrics; please report this");
    let text = "The metrics cannot be rendered. The log says why.\n";
    answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
}

/// An answer with the headers of a scrape.
fn with_headers<B>(body: B, dialect: Dialect) -> Response<B> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers(dialect);
    response
}

/// The headers of an answer to a scrape.
fn headers(dialect: Dialect) -> HeaderMap {
    let mut headers = reply::headers(dialect.content_type);
    let vary = HeaderValue::from_static("Accept, Accept-Encoding");
    headers.insert(header::VARY, vary);
    if dialect.gzip {
        let gzip = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, gzip);
    }
    headers
}
