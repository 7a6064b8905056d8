//! What the answers of all paths have in common.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::STALL_TIME;
use super::answers::LimitReached;

pub(super) const JSON: &str = "application/json";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The answer `body` of the type `content_type`.
pub(super) fn answer<B: From<Bytes>>(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<B> {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    *response.headers_mut() = headers(content_type);
    response
}

/// The answer to a request for which a limit stayed reached. The client may try again after
/// ten seconds: by then the server has dropped the answers that clients do not accept.
pub(super) fn refused<B: From<Bytes>>(reached: LimitReached) -> Response<B> {
    let mut response = answer(
        StatusCode::SERVICE_UNAVAILABLE,
        PLAIN,
        format!("{reached}\n"),
    );
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
