//! What stands between a request and the site.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::Body;
use super::guard::{Admission, Guard};
use super::reply::{PLAIN, answer};
use super::scrape::Memory;
use super::site::Site;

/// How long a scrape waits for others to be answered. Prometheus itself gives up after
/// ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets requests through to the site, or refuses them.
#[derive(Debug)]
pub(super) struct Gate {
    site: Arc<Site>,
    scrapes: Option<Semaphore>,
    guard: Option<Guard>,
}

impl Gate {
    /// Of the site, with at most `scrapes` scrapes at a time; 0 is no limit.
    pub(super) fn new(site: Arc<Site>, scrapes: usize) -> Self {
        let scrapes = scrapes.min(Semaphore::MAX_PERMITS);
        Self {
            site,
            scrapes: (scrapes > 0).then(|| Semaphore::new(scrapes)),
            guard: None,
        }
    }

    /// The same behind `guard`.
    pub(super) fn guarded_by(self, guard: Guard) -> Self {
        Self {
            guard: Some(guard),
            ..self
        }
    }

    /// The answer to a request from `peer`.
    pub(super) async fn answer(&self, request: &Parts, peer: IpAddr) -> Response<Body> {
        match &self.guard {
            None => self.site_answer(request).await,
            Some(guard) => match guard.admit(request, peer).await {
                Admission::Granted(pass) => pass.sign(self.site_answer(request).await),
                Admission::Refused(response) => response,
            },
        }
    }

    /// The answer to a request if nothing stands between, and nothing has to be done for
    /// it: mostly that of a scrape.
    pub(super) fn answer_at_hand<T>(
        &self,
        request: &Request<T>,
        memory: &Memory,
        now: Instant,
    ) -> Option<Response<Body>> {
        let scrapes = self.scrapes.as_ref();
        let is_free = scrapes.is_none_or(|scrapes| scrapes.available_permits() > 0);
        let is_open = self.guard.is_none() && is_free;
        is_open.then(|| self.site.answer_at_hand(request, memory, now))?
    }

    async fn site_answer(&self, request: &Parts) -> Response<Body> {
        let _scrape = match &self.scrapes {
            Some(scrapes) if self.site.is_scrape(request.uri.path()) => {
                // Many may wait for one rendering, after which all go on at once.
                match tokio::time::timeout(PATIENCE, scrapes.acquire()).await {
                    Ok(scrape) => scrape.ok(),
                    Err(_) => {
                        let text = "The limit of concurrent scrapes is reached (--web.max-requests). Try again later.\n";
                        return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
                    }
                }
            }
            _ => None,
        };
        self.site.answer(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::HeaderMap;
    use http::header::ACCEPT_ENCODING;
    use jiff::Timestamp;
    use prometheus::Registry;

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Config, Environment, Running};
    use crate::exposition::Exposition;
    use crate::scheduler::Scheduler;
    use crate::server::renderer::{Renderer, WAITING_PAGES, WAITING_PROBES};
    use crate::server::scrape::bodies::Bodies;
    use crate::snapshot::Store;
    use crate::status::Status;

    fn gate(scrapes: usize) -> Gate {
        let store = Arc::new(Store::new(Vec::new(), Duration::from_secs(600)));
        let now = Timestamp::UNIX_EPOCH;
        let clock = Clock::new(move || now);
        let key = [
            ("TENCENTCLOUD_SECRET_ID", "x"),
            ("TENCENTCLOUD_SECRET_KEY", "x"),
        ];
        let config = Config::load(None, &Environment::from(key)).unwrap();
        let running = Arc::new(Running::new(config, now));
        let heart = Scheduler::new(0.0).heart();
        let exposition = Exposition::new(Registry::new(), Arc::clone(&store), clock.clone(), None);
        let site = Site {
            telemetry_path: "/metrics".to_owned(),
            bodies: Bodies::new(exposition),
            pages: Renderer::new(WAITING_PAGES),
            probes: Renderer::new(WAITING_PROBES),
            status: Status::new(Arc::clone(&store), running, heart.clone(), clock, now),
            store,
            heart,
            reload: None,
        };
        Gate::new(Arc::new(site), scrapes)
    }

    async fn status(gate: &Gate, path: &str) -> StatusCode {
        let request = Request::get(path).body(()).unwrap();
        let peer = Ipv4Addr::LOCALHOST.into();
        gate.answer(&request.into_parts().0, peer).await.status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_beyond_the_limit_waits_a_while_and_is_refused_then() {
        let gate = gate(1);
        assert_eq!(status(&gate, "/metrics").await, StatusCode::OK);
        let held = gate.scrapes.as_ref().unwrap().acquire().await.unwrap();
        assert_eq!(status(&gate, "/").await, StatusCode::OK);
        let refused = status(&gate, "/metrics").await;
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        let scrape = status(&gate, "/metrics");
        let (answered, ()) = futures_util::future::join(scrape, async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(held);
        })
        .await;
        assert_eq!(answered, StatusCode::OK);
    }

    /// The headers and the length of what is answered at hand.
    fn at_hand(gate: &Gate, request: http::request::Builder) -> Option<(HeaderMap, u64)> {
        let request = request.body(()).unwrap();
        let response = gate.answer_at_hand(&request, &Memory::default(), Instant::now())?;
        let length = hyper::body::Body::size_hint(response.body()).exact();
        Some((response.headers().clone(), length.unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_is_at_hand_as_long_as_nothing_changes_and_nobody_has_to_wait() {
        let gate = gate(1);
        let scrape = || Request::get("/metrics");
        assert_eq!(at_hand(&gate, scrape()), None, "nothing was rendered yet");
        let request = scrape().body(()).unwrap().into_parts().0;
        let before = gate.answer(&request, Ipv4Addr::LOCALHOST.into()).await;
        let length = hyper::body::Body::size_hint(before.body()).exact().unwrap();
        assert_eq!(
            at_hand(&gate, scrape()),
            Some((before.headers().clone(), length))
        );
        for other in [
            Request::head("/metrics"),
            Request::post("/metrics"),
            Request::get("/metrics/"),
            Request::get("/"),
            scrape().header(ACCEPT_ENCODING, "gzip"),
        ] {
            assert_eq!(at_hand(&gate, other), None);
        }
        let held = gate.scrapes.as_ref().unwrap().acquire().await.unwrap();
        assert_eq!(at_hand(&gate, scrape()), None, "others are before it");
        drop(held);
        assert!(at_hand(&gate, scrape()).is_some());
        gate.site.store.revision().advance();
        assert_eq!(at_hand(&gate, scrape()), None, "a snapshot has changed");
        status(&gate, "/metrics").await;
        assert!(at_hand(&gate, scrape()).is_some());
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(at_hand(&gate, scrape()), None, "the live part is too old");
    }

    #[tokio::test]
    async fn nothing_that_grows_with_the_accounts_is_computed_on_the_thread_that_serves() {
        let gate = gate(40);
        for path in ["/", "/api/v1/status", "/config", "/sd", "/probe?target=a"] {
            let mut answer = Box::pin(status(&gate, path));
            let at_once = futures_util::FutureExt::now_or_never(&mut answer);
            assert_eq!(at_once, None, "{path}");
            let expected = if path.starts_with("/probe") { 400 } else { 200 };
            assert_eq!(answer.await, expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_limit_of_0_is_none() {
        assert!(gate(0).scrapes.is_none());
        assert_eq!(status(&gate(0), "/metrics").await, StatusCode::OK);
    }
}
