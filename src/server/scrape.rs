//! What Prometheus scrapes: `/metrics` and `/probe`.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tracing::error;
use url::form_urlencoded;

use super::reply::{Body, PLAIN, answer};
use crate::exposition::{self, Exposition};

/// All metrics.
pub(super) fn metrics(exposition: &Exposition) -> Response<Body> {
    match exposition.pages() {
        Ok(mut pages) => {
            let first = pages.next().unwrap_or_default();
            let response = answer(StatusCode::OK, exposition::CONTENT_TYPE, first);
            let mut rest = pages.peekable();
            if rest.peek().is_none() {
                return response;
            }
            response.map(|first| in_pieces(first, rest))
        }
        Err(error) => {
            error!(%error, "cannot render the metrics; please report this");
            answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                PLAIN,
                "The metrics cannot be rendered. The log says why.\n",
            )
        }
    }
}

/// The cloud's metrics of one account, for Prometheus to have a target for each.
pub(super) fn probe(exposition: &Exposition, query: &str) -> Response<Body> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, target)) = pairs.find(|(name, _)| name == "target") else {
        let text = "Name an account: /probe?target=ACCOUNT. The accounts are at /sd.\n";
        return answer(StatusCode::BAD_REQUEST, PLAIN, text);
    };
    match exposition.render_account(&target) {
        Some(text) => answer(StatusCode::OK, exposition::CONTENT_TYPE, text),
        None => answer(
            StatusCode::BAD_REQUEST,
            PLAIN,
            "This process collects no account of that name. Its accounts are at /sd.\n",
        ),
    }
}

/// A body of which only the first piece is there; the rest is written as it is sent.
fn in_pieces(first: Body, rest: impl Iterator<Item = String> + Send + 'static) -> Body {
    let rest = rest.map(|text| Ok(Frame::data(Bytes::from(text))));
    let rest = StreamBody::new(stream::iter(rest));
    StreamBody::new(first.into_data_stream().map_ok(Frame::data).chain(rest)).boxed_unsync()
}
