//! What is answered at which path.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::body::Body;
use super::negotiation::Dialect;
use super::renderer::Renderer;
use super::reply::{JSON, PLAIN, answer, page};
use super::scrape::NegotiationCache;
use super::scrape::bodies::Bodies;
use super::{discovery, scrape, status_page};
use crate::collection::scheduler::Liveness;
use crate::collection::snapshot::Store;
use crate::server::status::Status;

/// What the server answers from.
#[derive(Debug)]
pub struct Router {
    /// Where the metrics are, such as `/metrics`.
    pub telemetry_path: String,
    /// What a scrape gets.
    pub bodies: Bodies,
    /// What computes the pages.
    pub pages: Renderer,
    /// What computes the answers to probes.
    pub probes: Renderer,
    /// What the status page and its JSON are told from.
    pub status: Status,
    /// What readiness and the service discovery are told from.
    pub store: Arc<Store>,
    /// What liveness is told from.
    pub liveness: Liveness,
    /// Where a client's wish for a reload goes, if clients may wish that.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
}

/// A wish for a reload: where to say what came of it.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

const RELOAD: &str = "/-/reload";

/// All paths but that of the metrics.
pub const PATHS: [&str; 8] = [
    "/",
    "/-/healthy",
    "/-/ready",
    RELOAD,
    "/api/v1/status",
    "/config",
    "/probe",
    "/sd",
];

impl Router {
    /// Whether this path is scraped.
    pub(super) fn is_scrape(&self, path: &str) -> bool {
        path == self.telemetry_path || path == "/probe"
    }

    /// Whether this path tells how the process is.
    pub(super) fn is_health(path: &str) -> bool {
        matches!(path, "/-/healthy" | "/-/ready")
    }

    /// The answer to a request for the metrics while nothing has changed since the last.
    pub(super) fn answer_at_hand<T>(
        &self,
        request: &Request<T>,
        memory: &NegotiationCache,
        now: Instant,
    ) -> Option<Response<Body>> {
        let is_scrape =
            request.method() == Method::GET && request.uri().path() == self.telemetry_path;
        is_scrape.then(|| scrape::at_hand(&self.bodies, request.headers(), memory, now))?
    }

    /// The answer to a request. What takes the longer the more accounts there are is
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
            "/-/healthy" if self.liveness.is_alive() => answer(StatusCode::OK, PLAIN, "Healthy\n"),
            "/-/healthy" => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                "The scheduler has stopped. Restart the exporter.\n",
            ),
            "/-/ready" if self.store.is_ready() => answer(StatusCode::OK, PLAIN, "Ready\n"),
            "/-/ready" => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
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
            _ => {
                let (router, uri) = (Arc::clone(self), request.uri.clone());
                let page = move || router.page(uri.path(), uri.query().unwrap_or_default());
                self.pages.answer(format!("{path}?{query}"), page).await
            }
        }
    }

    /// The answer of a path for people, or for programs that know the accounts.
    fn page(&self, path: &str, query: &str) -> Response<Bytes> {
        match path {
            "/sd" => page(StatusCode::OK, JSON, discovery::targets(&self.store.load())),
            "/api/v1/status" => status_page::json(&self.status, query),
            "/config" => status_page::configuration(&self.status),
            _ => status_page::page(&self.status, query, &self.telemetry_path),
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
            _ => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                "The exporter is stopping.\n",
            ),
        }
    }
}
