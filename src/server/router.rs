//! The answer of each path.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::body::Body;
use super::calendar::Calendar;
use super::language::Language;
use super::negotiation::Dialect;
use super::renderer::Renderer;
use super::reply::{JSON, PLAIN, answer};
use super::scrape::NegotiationCache;
use super::scrape::bodies::Bodies;
use super::{calendar, discovery, scrape, status_page};
use crate::server::status::Status;

/// Answers requests from the snapshots and the cached bodies.
pub struct Router {
    /// The path of the metrics, such as `/metrics`.
    pub telemetry_path: String,
    /// The bodies of scrapes.
    pub bodies: Bodies,
    /// Computes the pages.
    pub pages: Renderer,
    /// Computes the answers to probes.
    pub probes: Renderer,
    /// The source of health, readiness, service discovery, the status page and its JSON.
    pub status: Status,
    /// The calendar of deadlines.
    pub calendar: Calendar,
    /// Receives the reload requests of clients, if `--web.enable-lifecycle` allows them.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
}

/// A reload request: the sender of its outcome.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

const RELOAD: &str = "/-/reload";

/// All paths except the path of the metrics.
pub const PATHS: [&str; 9] = [
    "/",
    "/-/healthy",
    "/-/ready",
    RELOAD,
    "/api/v1/status",
    calendar::PATH,
    "/config",
    "/probe",
    "/sd",
];

impl Router {
    /// Whether this path is scraped.
    pub(super) fn is_scrape(&self, path: &str) -> bool {
        path == self.telemetry_path || path == "/probe"
    }

    /// Whether this path reports health or readiness.
    pub(super) fn is_health(path: &str) -> bool {
        matches!(path, "/-/healthy" | "/-/ready")
    }

    /// The cached answer to a request for the metrics, if it is current.
    pub(super) fn cached_answer<T>(
        &self,
        request: &Request<T>,
        cache: &NegotiationCache,
        now: Instant,
    ) -> Option<Response<Body>> {
        let is_scrape =
            request.method() == Method::GET && request.uri().path() == self.telemetry_path;
        is_scrape.then(|| scrape::cached_metrics(&self.bodies, request.headers(), cache, now))?
    }

    /// The answer to a request. Answers whose cost grows with the number of accounts are
    /// computed on another thread.
    pub(super) async fn answer(self: &Arc<Self>, request: &Parts) -> Response<Body> {
        let (method, path) = (&request.method, request.uri.path());
        let query = request.uri.query().unwrap_or_default();
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
            let text = format!("This path takes {allowed} only.\n");
            let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
            if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                refusal.headers_mut().insert(header::ALLOW, allowed);
            }
            return refusal;
        }
        match path {
            "/-/healthy" if self.status.liveness.is_alive() => {
                answer(StatusCode::OK, PLAIN, "Healthy\n")
            }
            "/-/healthy" => unavailable("The scheduler has stopped. Restart the exporter.\n"),
            "/-/ready" if self.status.store.is_ready() => answer(StatusCode::OK, PLAIN, "Ready\n"),
            "/-/ready" => unavailable(
                "The first collection of license_general has not ended yet for every account.\n",
            ),
            RELOAD => self.reload().await,
            path if path == self.telemetry_path => {
                scrape::metrics(&self.bodies, &request.headers).await
            }
            "/probe" => {
                let dialect = Dialect::wanted(&request.headers);
                let request = format!("{dialect:?} {query}");
                let (router, query) = (Arc::clone(self), query.to_owned());
                let probe = move || scrape::probe(router.bodies.exposition(), &query, dialect);
                self.probes.answer(request, probe).await
            }
            calendar::PATH => {
                // Without the token, so that equal feeds are made once.
                let account = calendar::account(query);
                let request = format!("{path} {account:?}");
                let router = Arc::clone(self);
                let feed = move || router.calendar.answer(&router.status, account.as_deref());
                self.pages.answer(request, feed).await
            }
            "/" => {
                let preferred = Language::preferred(&request.headers);
                let (router, query) = (Arc::clone(self), query.to_owned());
                let request = format!("{path}?{query} {preferred:?}");
                let page = move || {
                    status_page::page(&router.status, &query, preferred, &router.telemetry_path)
                };
                self.pages.answer(request, page).await
            }
            _ => {
                let (router, uri) = (Arc::clone(self), request.uri.clone());
                let page = move || router.page(uri.path(), uri.query().unwrap_or_default());
                self.pages.answer(format!("{path}?{query}"), page).await
            }
        }
    }

    /// The answer of a path whose cost grows with the number of accounts.
    fn page(&self, path: &str, query: &str) -> Response<Bytes> {
        match path {
            "/sd" => answer(
                StatusCode::OK,
                JSON,
                discovery::targets(&self.status.store.load()),
            ),
            "/api/v1/status" => status_page::json(&self.status, query),
            _ => status_page::configuration(&self.status),
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
                    format!("Not reloaded: the previous configuration stays in use.\n{error}\n");
                answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
            _ => unavailable("The exporter is stopping.\n"),
        }
    }
}

fn unavailable(text: &'static str) -> Response<Body> {
    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
}
