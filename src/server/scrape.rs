//! What Prometheus scrapes: `/metrics` and `/probe`.

pub mod bodies;
mod buffer_pool;
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
use super::reply::{self, PLAIN, page};
use crate::exposition::Exposition;
use bodies::{Bodies, NoBody};
pub(super) use negotiation_cache::NegotiationCache;

/// All metrics, if nothing has to be rendered for them.
pub(super) fn at_hand(
    bodies: &Bodies,
    headers: &HeaderMap,
    memory: &NegotiationCache,
    now: Instant,
) -> Option<Response<Body>> {
    let wanted = memory.wanted(headers);
    let Dialect { format, gzip, .. } = wanted.dialect;
    let mut response = Response::new(bodies.at_hand(format, gzip, now)?);
    *response.headers_mut() = wanted.headers.clone();
    Some(response)
}

/// All metrics.
pub(super) async fn metrics(bodies: &Bodies, headers: &HeaderMap) -> Response<Body> {
    let dialect = Dialect::wanted(headers);
    scrape(bodies.body(dialect.format, dialect.gzip).await, dialect)
}

/// What is known of one account, for Prometheus to have a target for each.
pub(super) fn probe(exposition: &Exposition, query: &str, dialect: Dialect) -> Response<Bytes> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, target)) = pairs.find(|(name, _)| name == "target") else {
        let text = "Name an account: /probe?target=ACCOUNT. The accounts are at /sd.\n";
        return page(StatusCode::BAD_REQUEST, PLAIN, text);
    };
    match exposition.render_account(dialect.format, &target) {
        Ok(Some(text)) => match bodies::once(text, dialect.gzip) {
            Ok(body) => with_headers(body, dialect),
            Err(error) => failed(&error),
        },
        Ok(None) => page(
            StatusCode::BAD_REQUEST,
            PLAIN,
            "This process collects no account of that name. Its accounts are at /sd.\n",
        ),
        Err(error) => failed(&error),
    }
}

/// The answer to a scrape, which depends on what the client accepts.
fn scrape(body: Result<Body, NoBody>, dialect: Dialect) -> Response<Body> {
    match body {
        Ok(body) => with_headers(body, dialect),
        Err(NoBody::Refused(reached)) => reply::refused(reached).map(Body::from),
        Err(NoBody::Failed(error)) => failed(&error).map(Body::from),
    }
}

/// The answer to a scrape whose metrics cannot be rendered.
fn failed(error: &io::Error) -> Response<Bytes> {
    error!(%error, "cannot render the metrics; please report this");
    let text = "The metrics cannot be rendered. The log says why.\n";
    page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
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
