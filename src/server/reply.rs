//! Answers, as every path gives them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::STALL_TIME;
use super::answers::LimitReached;
use super::body::Body;

pub(super) const JSON: &str = "application/json";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The answer `body` of the type `content_type`.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    page(status, content_type, body).map(Body::from)
}

/// The same, still to be given to several clients.
pub(super) fn page(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers(content_type);
    response
}

/// The answer where a limit stayed reached, whichever it is. It is worth another try after
/// ten seconds: until then those who accept nothing are given up.
pub(super) fn refused(reached: LimitReached) -> Response<Bytes> {
    let text = format!("{reached}\n");
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
    let seconds = HeaderValue::from(STALL_TIME.as_secs());
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// The headers of every answer of the type `content_type`.
pub(super) fn headers(content_type: &'static str) -> HeaderMap {
    let nosniff = HeaderValue::from_static("nosniff");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::X_CONTENT_TYPE_OPTIONS, nosniff),
    ])
}
