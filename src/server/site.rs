//! What is answered at which path.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tracing::error;
use url::form_urlencoded;

use super::landing;
use crate::exposition::{self, Exposition};
use crate::scheduler::Heart;
use crate::snapshot::Store;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server answers from.
#[derive(Debug)]
pub struct Site {
    /// Where the metrics are, such as `/metrics`.
    pub telemetry_path: String,
    /// What a scrape sees.
    pub exposition: Exposition,
    /// What readiness and the landing page are told from.
    pub store: Arc<Store>,
    /// What liveness is told from.
    pub heart: Heart,
    /// Where a client's wish for a reload goes, if clients may wish that.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
}

/// A wish for a reload: where to say what came of it.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

const RELOAD: &str = "/-/reload";

/// All paths but that of the metrics.
pub const PATHS: [&str; 6] = ["/", "/-/healthy", "/-/ready", RELOAD, "/probe", "/sd"];

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Site {
    /// The answer to a request. Only a reload takes time worth mentioning.
    pub async fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        let path = uri.path();
        let known = path == self.telemetry_path || PATHS.contains(&path);
        if !known {
            let text = format!("Not found. The metrics are at {}.\n", self.telemetry_path);
            return answer(StatusCode::NOT_FOUND, PLAIN, text);
        }
        let allowed = match path {
            RELOAD => [Method::POST, Method::PUT],
            _ => [Method::GET, Method::HEAD],
        };
        if !allowed.contains(method) {
            let allowed = allowed.map(|method| method.to_string()).join(", ");
            let text = format!("Only {allowed} are answered here.\n");
            let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
            if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                refusal.headers_mut().insert(header::ALLOW, allowed);
            }
            return refusal;
        }
        match path {
            "/-/healthy" if self.heart.beats() => answer(StatusCode::OK, PLAIN, "Healthy\n"),
            "/-/healthy" => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                "The scheduler has stopped. Restart the exporter.\n",
            ),
            "/-/ready" if self.store.is_ready() => answer(StatusCode::OK, PLAIN, "Ready\n"),
            "/-/ready" => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                "Some account's first collection has not ended yet.\n",
            ),
            RELOAD => self.reload().await,
            "/probe" => self.probe(uri.query().unwrap_or_default()),
            "/sd" => answer(StatusCode::OK, JSON, self.targets()),
            path if path == self.telemetry_path => self.metrics(),
            _ => answer(
                StatusCode::OK,
                HTML,
                landing::page(&self.store.load(), &self.telemetry_path),
            ),
        }
    }

    async fn reload(&self) -> Response<Body> {
        let Some(requests) = &self.reload else {
            let text =
                "Reloading is switched off. Start with --web.enable-lifecycle, or send SIGHUP.\n";
            return answer(StatusCode::FORBIDDEN, PLAIN, text);
        };
        let (request, outcome) = oneshot::channel();
        let sent = requests.send(request).await;
        match (sent, outcome.await) {
            (Ok(()), Ok(Ok(()))) => answer(StatusCode::OK, PLAIN, "Reloaded\n"),
            (Ok(()), Ok(Err(error))) => {
                let text =
                    format!("Not reloaded, the configuration before stays at work.\n{error}\n");
                answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
            _ => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "Stopping\n"),
        }
    }

    /// The cloud's metrics of one account, for Prometheus to have a target for each.
    fn probe(&self, query: &str) -> Response<Body> {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let Some((_, target)) = pairs.find(|(name, _)| name == "target") else {
            let text = "Name an account: /probe?target=ACCOUNT. The accounts are at /sd.\n";
            return answer(StatusCode::BAD_REQUEST, PLAIN, text);
        };
        match self.exposition.render_account(&target) {
            Some(text) => answer(StatusCode::OK, exposition::CONTENT_TYPE, text),
            None => answer(
                StatusCode::BAD_REQUEST,
                PLAIN,
                "This process collects no account of that name. Its accounts are at /sd.\n",
            ),
        }
    }

    /// The accounts as Prometheus' HTTP service discovery wants them.
    fn targets(&self) -> String {
        let accounts = self.store.load();
        let groups = accounts.list().iter().map(|account| {
            let meta = |name: &str| format!("__meta_tencentcloud_cwp_{name}");
            let region = account.region.as_ref();
            let region = region.map(|region| (meta("region"), region.clone()));
            let configured = account.labels.iter();
            let configured =
                configured.map(|(name, value)| (meta(&format!("label_{name}")), value.clone()));
            let labels: Map<String, Value> = [
                (meta("account"), account.name.clone()),
                (meta("endpoint"), account.endpoint.clone()),
            ]
            .into_iter()
            .chain(region)
            .chain(configured)
            .map(|(name, value)| (name, value.into()))
            .collect();
            json!({"targets": [account.name], "labels": labels})
        });
        Value::from_iter(groups).to_string()
    }

    fn metrics(&self) -> Response<Body> {
        match self.exposition.pages() {
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
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A body of which only the first piece is there; the rest is written as it is sent.
fn in_pieces(first: Body, rest: impl Iterator<Item = String> + Send + 'static) -> Body {
    let rest = rest.map(|text| Ok(Frame::data(Bytes::from(text))));
    let rest = StreamBody::new(stream::iter(rest));
    StreamBody::new(first.into_data_stream().map_ok(Frame::data).chain(rest)).boxed_unsync()
}
