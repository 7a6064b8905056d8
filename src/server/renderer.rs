//! Answers whose cost grows with the number of accounts: the pages and the probes.
//!
//! They are computed one at a time on a thread of their own, so that they never delay a
//! scrape. Equal requests in the queue share one answer. The number of different requests
//! in the queue is bounded, and so are the bytes of answers that clients have not accepted.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tracing::error;

use super::answers::{AnswerLimits, LimitReached};
use super::body::{Body, holding};
use super::reply::{PLAIN, answer, refused};
use super::scrape::bodies::Bodies;
use super::worker;
use crate::system::log_limit::{LogLimit, hidden};

/// The most different pages in the queue.
pub const WAITING_PAGES: usize = 16;

/// The most different probes in the queue: more than the default of `--web.max-requests`.
pub const WAITING_PROBES: usize = 64;

/// Computes answers.
#[derive(Debug)]
pub struct Renderer(Arc<RenderQueue>);

#[derive(Debug)]
struct RenderQueue {
    /// The most different requests in the queue.
    limit: usize,
    /// The requests whose answer is not being computed yet.
    waiting: Mutex<HashMap<String, watch::Sender<Option<Response<Bytes>>>>>,
    /// Held while an answer is computed.
    rendering: Semaphore,
    limits: Arc<AnswerLimits>,
    log_limit: LogLimit,
}

impl Renderer {
    /// A renderer with a queue of up to `limit` different requests, whose answers count for
    /// the same memory limit as `bodies`.
    #[must_use]
    pub fn new(limit: usize, bodies: &Bodies) -> Self {
        Self::within(limit, Arc::clone(bodies.limits()))
    }

    fn within(limit: usize, limits: Arc<AnswerLimits>) -> Self {
        Self(Arc::new(RenderQueue {
            limit,
            waiting: Mutex::default(),
            rendering: Semaphore::new(1),
            limits,
            log_limit: LogLimit::minute(),
        }))
    }

    /// The answer to `request`, which `render` computes unless an equal request waits already.
    pub(super) async fn answer(
        &self,
        request: String,
        render: impl FnOnce() -> Response<Bytes> + Send + 'static,
    ) -> Response<Body> {
        let answer = match self.0.enqueue(request, render) {
            Some(mut result) => {
                let answer = result.wait_for(Option::is_some).await;
                answer.ok().and_then(|answer| answer.clone())
            }
            None => None,
        };
        let answer = answer.unwrap_or_else(|| refused(LimitReached::Pages));
        answer.map(Body::from)
    }
}

impl RenderQueue {
    /// Receives the answer; nothing if the queue is full.
    ///
    /// A request never shares an answer that is being computed already: its answer must show
    /// what happened before the request, such as a reload.
    fn enqueue(
        self: &Arc<Self>,
        request: String,
        render: impl FnOnce() -> Response<Bytes> + Send + 'static,
    ) -> Option<watch::Receiver<Option<Response<Bytes>>>> {
        let mut waiting = self.waiting.lock();
        if let Some(sender) = waiting.get(&request) {
            return Some(sender.subscribe());
        }
        if waiting.len() >= self.limit {
            return None;
        }
        let (sender, result) = watch::channel(None);
        waiting.insert(request.clone(), sender.clone());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let _rendering = shared.rendering.acquire().await;
            shared.waiting.lock().remove(&request);
            // All clients may have left.
            if !sender.is_closed() {
                sender.send_replace(Some(shared.rendered(render).await));
            }
        });
        Some(result)
    }

    async fn rendered(
        &self,
        render: impl FnOnce() -> Response<Bytes> + Send + 'static,
    ) -> Response<Bytes> {
        match worker::compute(render).await {
            Ok(answer) => self.hold(answer),
            Err(error) => {
                if let Some(count) = self.log_limit.admit() {
                    error!(%error, hidden = hidden(count), "cannot compute an answer; please report this");
                }
                let text = "The answer cannot be computed. The log says why.\n";
                answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
        }
    }

    /// `answer`, counted until clients have accepted it; at the limit a refusal, as a waiting
    /// answer would hold its memory.
    fn hold(&self, answer: Response<Bytes>) -> Response<Bytes> {
        match self.limits.try_memory(answer.body().len()) {
            Some(permit) => answer.map(|bytes| holding(bytes, permit)),
            None => refused(LimitReached::Memory),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use futures_util::FutureExt as _;
    use http::header::RETRY_AFTER;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::server::ANSWER_MEMORY;
    use crate::system::logging::fixture::CapturedLog;

    fn of_size(bytes: usize) -> Response<Bytes> {
        Response::new(vec![b'x'; bytes].into())
    }

    fn renderer(limit: usize) -> Renderer {
        Renderer::within(limit, Arc::new(AnswerLimits::new(0)))
    }

    /// A renderer that computes until the sender is dropped.
    fn busy_renderer(limit: usize) -> (Renderer, mpsc::Sender<()>) {
        let renderer = renderer(limit);
        let (until_dropped, dropped) = mpsc::channel::<()>();
        let first = renderer.answer("first".to_owned(), move || {
            let _ = dropped.recv();
            of_size(1)
        });
        assert!(first.now_or_never().is_none());
        (renderer, until_dropped)
    }

    #[tokio::test]
    async fn equal_requests_that_wait_share_an_answer_and_the_next_gets_a_new_one() {
        let (renderer, until_dropped) = busy_renderer(16);
        let rendered = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let rendered = Arc::clone(&rendered);
            renderer.answer("same".to_owned(), move || {
                rendered.fetch_add(1, Ordering::Relaxed);
                of_size(3)
            })
        };
        let all = futures_util::future::join_all((0..32).map(|_| ask()));
        let mut all = Box::pin(all);
        assert!(
            (&mut all).now_or_never().is_none(),
            "nobody is answered yet"
        );
        drop(until_dropped);
        for answer in all.await {
            assert_eq!(answer.status(), StatusCode::OK);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), 3);
        }
        assert_eq!(rendered.load(Ordering::Relaxed), 1);
        assert_eq!(ask().await.status(), StatusCode::OK);
        assert_eq!(rendered.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn beyond_the_limit_of_different_requests_others_are_refused_at_once() {
        let (renderer, until_dropped) = busy_renderer(2);
        // The first begins once the test's thread is free.
        tokio::task::yield_now().await;
        let ask = |name: &str| Box::pin(renderer.answer(name.to_owned(), || of_size(1)));
        let mut waiting = [ask("a"), ask("b")];
        for each in &mut waiting {
            assert!(each.now_or_never().is_none());
        }
        let refused = ask("c").now_or_never().unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "10");
        let text = refused.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            text,
            "Too many pages are requested at the same time. Try again later.\n"
        );
        assert!(
            ask("a").now_or_never().is_none(),
            "an equal one waits already"
        );
        drop(until_dropped);
        for each in waiting {
            assert_eq!(each.await.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn answers_that_no_client_accepts_hold_a_bounded_memory_until_they_are_dropped() {
        let renderer = renderer(16);
        let ask = |name: &str| renderer.answer(name.to_owned(), || of_size(1_000_000));
        let mut held = Vec::new();
        let refused = loop {
            let answer = ask(&held.len().to_string()).await;
            if answer.status() != StatusCode::OK {
                break answer.status();
            }
            held.push(answer);
            assert!(held.len() * 1_000_000 <= ANSWER_MEMORY, "nobody is refused");
        };
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        held.pop();
        assert_eq!(ask("next").await.status(), StatusCode::OK);
    }

    /// The thread that calls, and its niceness.
    fn this_thread() -> (thread::ThreadId, i32) {
        let nice = rustix::process::getpriority_process(None).unwrap();
        (thread::current().id(), nice)
    }

    #[tokio::test]
    async fn answers_are_computed_one_at_a_time_on_another_thread_of_lower_priority() {
        let renderer = renderer(16);
        let (sender, threads) = mpsc::channel();
        let under_way = Arc::new(AtomicUsize::new(0));
        let answers = (0..16).map(|number| {
            let (sender, under_way) = (sender.clone(), Arc::clone(&under_way));
            renderer.answer(number.to_string(), move || {
                let others = under_way.fetch_add(1, Ordering::SeqCst);
                sender.send((this_thread(), others)).unwrap();
                thread::yield_now();
                under_way.fetch_sub(1, Ordering::SeqCst);
                of_size(1)
            })
        });
        futures_util::future::join_all(answers).await;
        let (serving, nice) = this_thread();
        let all: Vec<_> = threads.try_iter().collect();
        assert_eq!(all.len(), 16);
        for ((computing, lower), others) in all {
            assert_ne!(computing, serving);
            assert!(lower > nice || nice == 19, "{lower}, {nice}");
            assert_eq!(others, 0, "another one is under way");
        }
    }

    #[tokio::test]
    async fn nothing_is_computed_for_a_client_that_has_left() {
        let (renderer, until_dropped) = busy_renderer(16);
        tokio::task::yield_now().await;
        let left = renderer.answer("left".to_owned(), || panic!("nobody wants it"));
        assert!(left.now_or_never().is_none());
        drop(until_dropped);
        let last = renderer.answer("last".to_owned(), || of_size(1));
        assert_eq!(last.await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_computation_that_panics_is_answered_and_the_next_goes_on() {
        let renderer = renderer(16);
        let log = CapturedLog::start();
        for _ in 0..3 {
            let failed = renderer.answer("a".to_owned(), || panic!("as a test wants"));
            let failed = failed.await.status();
            assert_eq!(failed, StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        let next = renderer.answer("b".to_owned(), || of_size(1));
        assert_eq!(next.await.status(), StatusCode::OK);
    }
}
