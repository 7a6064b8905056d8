//! The last negotiation of a connection: a scraper sends the same headers each time.
//!
//! A scrape from the cache takes 9.5 to 10.8 µs of processor time. Without this module the
//! scrape takes 1.6 to 2.0 µs more, and with 100 accounts the server answers less than 0.9 of
//! the scrapes that bare hyper answers.

use std::cell::{RefCell, RefMut};

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderValue};

use super::headers;
use crate::server::negotiation::Dialect;

/// The longest headers that are kept, in bytes.
const MOST_KEPT: usize = 1024;

/// The last negotiation of a connection.
#[derive(Debug, Default)]
pub(in crate::server) struct NegotiationCache(RefCell<Option<Wanted>>);

/// The result of the negotiation, and the headers that gave this result.
#[derive(Debug)]
pub(super) struct Wanted {
    /// `Accept` and `Accept-Encoding`; `None` for headers that are too long or come twice.
    asked: Option<[Option<Box<[u8]>>; 2]>,
    pub(super) dialect: Dialect,
    /// The headers of the answer.
    pub(super) headers: HeaderMap,
}

impl NegotiationCache {
    /// What a client with these `headers` gets.
    pub(super) fn wanted(&self, headers: &HeaderMap) -> RefMut<'_, Wanted> {
        RefMut::map(self.0.borrow_mut(), |last| {
            let same = last.take().filter(|last| last.is_of(headers));
            last.insert(same.unwrap_or_else(|| Wanted::of(headers)))
        })
    }
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let dialect = Dialect::wanted(headers);
        let asked = lines(headers).filter(|lines| {
            let lengths = lines.iter().flatten().map(|line| line.len());
            lengths.sum::<usize>() <= MOST_KEPT
        });
        Self {
            asked: asked.map(|lines| lines.map(|line| line.map(Box::from))),
            dialect,
            headers: self::headers(dialect),
        }
    }

    fn is_of(&self, headers: &HeaderMap) -> bool {
        let asked = self.asked.as_ref();
        let asked = asked.map(|lines| lines.each_ref().map(|line| line.as_deref()));
        asked.is_some() && asked == lines(headers)
    }
}

/// `Accept` and `Accept-Encoding`, unless one of them has several lines.
fn lines(headers: &HeaderMap) -> Option<[Option<&[u8]>; 2]> {
    let line = |name| {
        let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let first = lines.next();
        lines.next().is_none().then_some(first)
    };
    Some([line(ACCEPT)?, line(ACCEPT_ENCODING)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(http::HeaderName, &str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, line)| (name.clone(), HeaderValue::from_str(line).unwrap()))
            .collect()
    }

    #[test]
    fn what_is_wanted_is_that_of_the_request_whatever_came_before() {
        let long = format!("text/plain;x={}", "x".repeat(MOST_KEPT));
        let openmetrics = "application/openmetrics-text";
        let requests = [
            request(&[]),
            request(&[(ACCEPT, openmetrics)]),
            request(&[(ACCEPT, openmetrics), (ACCEPT_ENCODING, "gzip")]),
            request(&[(ACCEPT, "text/plain"), (ACCEPT, openmetrics)]),
            request(&[(ACCEPT, "text/plain")]),
            request(&[(ACCEPT_ENCODING, "identity"), (ACCEPT_ENCODING, "gzip")]),
            request(&[(ACCEPT_ENCODING, "identity")]),
            request(&[(ACCEPT, &long), (ACCEPT_ENCODING, "gzip")]),
        ];
        for first in &requests {
            for second in &requests {
                let memory = NegotiationCache::default();
                for request in [first, second, second] {
                    let wanted = memory.wanted(request);
                    assert_eq!(wanted.dialect, Dialect::wanted(request), "{request:?}");
                    assert_eq!(wanted.headers, headers(wanted.dialect));
                }
            }
        }
    }

    #[test]
    fn only_what_is_short_and_in_one_line_is_kept() {
        let memory = NegotiationCache::default();
        let is_kept = |request: &HeaderMap| memory.wanted(request).asked.is_some();
        assert!(is_kept(&request(&[])));
        assert!(is_kept(&request(&[(ACCEPT, "text/plain")])));
        let long = "x".repeat(MOST_KEPT);
        assert!(is_kept(&request(&[(ACCEPT, &long)])));
        assert!(!is_kept(&request(&[
            (ACCEPT, &long),
            (ACCEPT_ENCODING, "*")
        ])));
        assert!(!is_kept(&request(&[(ACCEPT, "a/b"), (ACCEPT, "c/d")])));
    }
}
