//! `/`, `/api/v1/status` and `/config`: the state of the exporter and its accounts, for
//! people and for programs.

mod account;
mod orders;
mod page;
mod timeline;
mod words;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::reply;
use super::reply::{HTML, JSON, PLAIN};
use crate::server::language::Language;
use crate::server::status::{Query, Status, StatusReport};

/// A browser may apply the one style sheet of the page, show its icon, and submit its form.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(page::STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The envelope of the answers of Prometheus' HTTP API.
#[derive(Serialize)]
struct Envelope<'a> {
    status: &'static str,
    data: &'a StatusReport,
}

/// The page that `query` asks for, with the metrics at `telemetry_path`, in the `preferred`
/// language unless the query chooses one.
pub(super) fn page(
    status: &Status,
    query: &str,
    preferred: Language,
    telemetry_path: &str,
) -> Response<Bytes> {
    let query = Query::parse(query);
    let language = query.language.unwrap_or(preferred);
    let report = status.report_in_brief(&query);
    let page = page::render(&report, &query, language, telemetry_path);
    let mut response = uncached(HTML, page.into_string());
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY.as_str(),
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::VARY, "Accept-Language"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The same as JSON.
pub(super) fn json(status: &Status, query: &str) -> Response<Bytes> {
    let report = status.report(&Query::parse(query));
    let envelope = Envelope {
        status: "success",
        data: &report,
    };
    match serde_json::to_vec(&envelope) {
        Ok(json) => uncached(JSON, json),
        Err(error) => failed("status", &error),
    }
}

/// The active configuration.
pub(super) fn configuration(status: &Status) -> Response<Bytes> {
    match status.configuration() {
        Ok(yaml) => uncached(PLAIN, yaml),
        Err(error) => failed("configuration", &error),
    }
}

/// An answer that nobody may cache, as each request gets a new report.
fn uncached(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = reply::answer(StatusCode::OK, content_type, body);
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Response<Bytes> {
    tracing::error!(%error, "cannot write the {what}; please report this");
    let text = format!("The {what} cannot be written. The log says why.\n");
    reply::answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
}
