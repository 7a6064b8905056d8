//! What stands between a request and the site.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use tokio::sync::Semaphore;

use super::reply::{Body, PLAIN, answer};
use super::site::Site;

/// Lets requests through to the site, or refuses them.
#[derive(Debug)]
pub(super) struct Gate {
    site: Arc<Site>,
    scrapes: Option<Semaphore>,
}

impl Gate {
    /// Of the site, with at most `scrapes` scrapes at a time; 0 is no limit.
    pub(super) fn new(site: Arc<Site>, scrapes: usize) -> Self {
        let scrapes = scrapes.min(Semaphore::MAX_PERMITS);
        Self {
            site,
            scrapes: (scrapes > 0).then(|| Semaphore::new(scrapes)),
        }
    }

    /// The answer to a request.
    pub(super) async fn answer(&self, request: &Parts) -> Response<Body> {
        let _scrape = match &self.scrapes {
            Some(scrapes) if self.site.is_scrape(request.uri.path()) => {
                match scrapes.try_acquire() {
                    Ok(scrape) => Some(scrape),
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
