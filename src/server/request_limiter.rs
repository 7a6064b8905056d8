//! The limits and the web configuration that a request passes before the router.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use tokio::time::Instant;

use super::auth_layer::AuthLayer;
use super::body::Body;
use super::reply::refused;
use super::router::Router;
use super::scrape::NegotiationCache;

/// Passes requests to the router, or refuses them.
pub(super) struct RequestLimiter {
    pub(super) router: Arc<Router>,
    auth_layer: Option<AuthLayer>,
}

impl RequestLimiter {
    /// Limits the requests to `router`, behind `auth_layer` if there is one.
    pub(super) fn new(router: Arc<Router>, auth_layer: Option<AuthLayer>) -> Self {
        Self { router, auth_layer }
    }

    /// The answer to a request from `peer`.
    pub(super) async fn answer(&self, request: &Parts, peer: IpAddr) -> Response<Body> {
        let Some(auth_layer) = &self.auth_layer else {
            return self.limited_answer(request).await;
        };
        match auth_layer.admit(request, peer).await {
            Ok(settings) => settings.with_headers(self.limited_answer(request).await),
            Err(refusal) => refusal,
        }
    }

    /// The cached body of a scrape, if it is current, no authentication is configured, and
    /// no limit is reached. It is ready at once: on the way of other answers a scrape takes
    /// 0.4 to 1.5 µs more processor time.
    pub(super) fn cached_answer<T>(
        &self,
        request: &Request<T>,
        cache: &NegotiationCache,
        now: Instant,
    ) -> Option<Response<Body>> {
        if self.auth_layer.is_some() {
            return None;
        }
        let response = self.router.cached_answer(request, cache, now)?;
        let permit = self.router.bodies.limits().try_scrape()?;
        Some(response.map(|body| body.holding(permit)))
    }

    async fn limited_answer(&self, request: &Parts) -> Response<Body> {
        if !self.router.is_scrape(request.uri.path()) {
            return self.router.answer(request).await;
        }
        // Many scrapes may wait for one rendering, after which all continue at once.
        match self.router.bodies.limits().scrape().await {
            Ok(permit) => {
                let response = self.router.answer(request).await;
                response.map(|body| body.holding(permit))
            }
            Err(reached) => refused(reached),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::header::ACCEPT_ENCODING;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::server::answers::WAIT_TIME;
    use crate::server::fixture;

    fn request_limiter(scrapes: usize) -> RequestLimiter {
        fixture::request_limiter(0, scrapes)
    }

    async fn status(request_limiter: &RequestLimiter, path: &str) -> StatusCode {
        let request = Request::get(path).body(()).unwrap();
        let peer = Ipv4Addr::LOCALHOST.into();
        request_limiter
            .answer(&request.into_parts().0, peer)
            .await
            .status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_beyond_the_limit_waits_a_while_and_is_refused_then() {
        let request_limiter = request_limiter(1);
        assert_eq!(status(&request_limiter, "/metrics").await, StatusCode::OK);
        let held = request_limiter
            .router
            .bodies
            .limits()
            .scrape()
            .await
            .unwrap();
        assert_eq!(status(&request_limiter, "/").await, StatusCode::OK);
        let refused = status(&request_limiter, "/metrics").await;
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        let scrape = status(&request_limiter, "/metrics");
        let (answered, ()) = futures_util::future::join(scrape, async {
            tokio::time::sleep(WAIT_TIME / 2).await;
            drop(held);
        })
        .await;
        assert_eq!(answered, StatusCode::OK);
    }

    /// The headers and the length of a cached answer.
    fn cached(
        request_limiter: &RequestLimiter,
        request: http::request::Builder,
    ) -> Option<(HeaderMap, u64)> {
        let request = request.body(()).unwrap();
        let response = request_limiter.cached_answer(
            &request,
            &NegotiationCache::default(),
            Instant::now(),
        )?;
        let length = response.body().length().unwrap();
        Some((response.headers().clone(), length))
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_is_answered_from_the_cache_while_nothing_changes_and_no_limit_is_reached() {
        let request_limiter = request_limiter(1);
        let scrape = || Request::get("/metrics");
        assert_eq!(
            cached(&request_limiter, scrape()),
            None,
            "nothing is rendered yet"
        );
        let request = scrape().body(()).unwrap().into_parts().0;
        let before = request_limiter
            .answer(&request, Ipv4Addr::LOCALHOST.into())
            .await;
        let length = before.body().length().unwrap();
        let headers = before.headers().clone();
        assert_eq!(
            cached(&request_limiter, scrape()),
            None,
            "the first answer is not sent yet"
        );
        drop(before);
        assert_eq!(cached(&request_limiter, scrape()), Some((headers, length)));
        for other in [
            Request::head("/metrics"),
            Request::post("/metrics"),
            Request::get("/metrics/"),
            Request::get("/"),
            scrape().header(ACCEPT_ENCODING, "gzip"),
        ] {
            assert_eq!(cached(&request_limiter, other), None);
        }
        let held = request_limiter
            .router
            .bodies
            .limits()
            .scrape()
            .await
            .unwrap();
        assert_eq!(
            cached(&request_limiter, scrape()),
            None,
            "the limit is reached"
        );
        drop(held);
        assert!(cached(&request_limiter, scrape()).is_some());
        request_limiter.router.status.store.revision().advance();
        assert_eq!(
            cached(&request_limiter, scrape()),
            None,
            "a snapshot has changed"
        );
        status(&request_limiter, "/metrics").await;
        assert!(cached(&request_limiter, scrape()).is_some());
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(
            cached(&request_limiter, scrape()),
            None,
            "the live part is too old"
        );
    }

    #[tokio::test]
    async fn a_page_that_takes_long_holds_up_neither_scrapes_nor_probes() {
        let request_limiter = request_limiter(40);
        let (until_dropped, dropped) = mpsc::channel::<()>();
        let page = request_limiter
            .router
            .pages
            .answer("slow".to_owned(), move || {
                let _ = dropped.recv();
                Response::new(Bytes::new())
            });
        let mut page = Box::pin(page);
        assert!((&mut page).now_or_never().is_none());
        // It begins once the test's thread is free.
        tokio::task::yield_now().await;
        for (path, expected) in [("/probe?target=a", 400), ("/metrics", 200)] {
            let answer =
                tokio::time::timeout(Duration::from_secs(10), status(&request_limiter, path));
            assert_eq!(answer.await.unwrap(), expected, "{path}");
        }
        assert!((&mut page).now_or_never().is_none());
        drop(until_dropped);
        assert_eq!(page.await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn nothing_that_grows_with_the_accounts_is_computed_on_the_thread_that_serves() {
        let request_limiter = request_limiter(40);
        for path in [
            "/",
            "/api/v1/status",
            "/config",
            "/sd",
            "/probe?target=a",
            "/calendar.ics?account=a",
        ] {
            let mut answer = Box::pin(status(&request_limiter, path));
            let at_once = (&mut answer).now_or_never();
            assert_eq!(at_once, None, "{path}");
            let expected = if path.ends_with("=a") { 400 } else { 200 };
            assert_eq!(answer.await, expected, "{path}");
        }
    }
}
