//! The contract between the scheduler and what it collects.
//!
//! A collector is one API action: it says what to ask first, what an answer means and
//! what to ask next. It does no I/O: signing, budget, retries and timeouts are the API
//! client's, timing is the scheduler's.
//!
//! To add an action: one file beside `license_general.rs`, one line in [`all`],
//! one folder of answers under `tests/fixtures/api/`.

mod field;
pub mod general_stat;
pub mod history_service;
pub mod license_general;
pub mod license_list;
pub mod log_storage_statistic;
mod moment;
mod object;
mod order;
mod pages;
mod sample;
mod schedule;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

pub use object::{Documented, MAX_FIELD_NAME, MAX_UNKNOWN_FIELDS, Object};
pub use sample::{Labels, Sample, repeated};
pub use schedule::Schedule;

use crate::cloud::{ApiAnswer, Error, Fields, Remedy, Request};
use crate::config::CollectorDefaults;
use crate::metrics::MetricDef;
use crate::metrics::reason::Reason;

/// One API action and the metrics that it yields.
pub trait Collector: Send + Sync {
    /// The value of the label `collector`, the key under `collectors` in the
    /// configuration, and the name of its fixture folder.
    fn name(&self) -> &'static str;

    /// Every metric that this collector may yield. Each has the label `account` first.
    fn metrics(&self) -> &'static [&'static MetricDef];

    /// What the configuration may set, and what holds otherwise; `None` for the collector
    /// that is always on, follows `poll` and decides whether an account is up.
    fn defaults(&self) -> Option<CollectorDefaults>;

    /// What to ask first.
    fn request(&self) -> Request;

    /// Reads the answers of one collection.
    fn reading(&self) -> Box<dyn Reading>;
}

/// The table of collectors, which is handed to whatever runs them.
pub type Collectors = &'static [&'static dyn Collector];

/// The collectors of this exporter.
#[must_use]
pub fn all() -> Collectors {
    &[
        &license_general::LicenseGeneral,
        &license_list::LicenseList,
        &general_stat::GeneralStat,
        &history_service::HistoryService,
        &log_storage_statistic::LogStorageStatistic,
    ]
}

/// What the configuration may set of these collectors.
#[must_use]
pub fn defaults(collectors: Collectors) -> Vec<CollectorDefaults> {
    collectors
        .iter()
        .filter_map(|each| each.defaults())
        .collect()
}

/// How to do without this collector, in words.
#[must_use]
pub fn switch_off(collector: &str) -> Remedy {
    let setting = format!("`collectors: {{{collector}: {{enabled: false}}}}`");
    Remedy {
        english: format!("switch the collector off by {setting}").into(),
        chinese: Some(format!("用 {setting} 关闭该采集器").into()),
    }
}

/// The answers of one collection, as they are read.
pub trait Reading: Send {
    /// The first parameters, if they differ from those of the collector's request.
    fn first(&self) -> Option<Bytes> {
        None
    }

    /// Takes in an answer, and says what comes next.
    fn read(&mut self, answer: &Fields) -> Next;

    /// The parameters to ask with instead, where the API refused the last ones with this
    /// error; nothing if the collection fails with it.
    fn refused(&mut self, _: &Error) -> Option<Bytes> {
        None
    }
}

/// A collection that ends with its first answer.
impl<F: FnMut(&Fields) -> Collected + Send> Reading for F {
    fn read(&mut self, answer: &Fields) -> Next {
        Next::Done(self(answer))
    }
}

impl fmt::Debug for dyn Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What comes after an answer.
#[derive(Debug)]
pub enum Next {
    /// A request of the same action with these parameters, a JSON object.
    Ask(Bytes),
    /// Nothing: this is what all answers say.
    Done(Collected),
    /// Nothing: the answers contradict each other, in these words.
    Failed(String),
}

/// What the answers of one collection say.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// The values that do not depend on the number of rows.
    pub samples: Vec<Sample>,
    /// The values of each row of a list, the most important row first.
    pub rows: Vec<Vec<Sample>>,
    /// Where the answers differ from their documentation, at most
    /// [`MAX_UNKNOWN_FIELDS`] unknown fields of each object included; in any order.
    pub drift: Vec<Drift>,
    /// Whether at least one documented field was valid. If not, the answers were not
    /// of the documented shape and the collection has failed.
    pub recognized: bool,
    /// How many requests this took, retries not counted; [`collect`] counts them.
    pub requests: u32,
}

impl Collected {
    /// All samples, with those of the first `max_rows` rows, and how many rows are left out.
    #[must_use]
    pub fn into_samples(self, max_rows: usize) -> (Vec<Sample>, usize) {
        let hidden = self.rows.len().saturating_sub(max_rows);
        let rows = self.rows.into_iter().take(max_rows).flatten();
        (self.samples.into_iter().chain(rows).collect(), hidden)
    }

    /// The metric of which a row has a series that another row or sample has, too. Prometheus
    /// would refuse such a scrape, or keep one of the values by chance.
    fn repeated(&self) -> Option<&'static MetricDef> {
        repeated(self.samples.iter().chain(self.rows.iter().flatten()))
    }
}

/// How many differences of one collection are reported, whatever the number of rows.
const MAX_DRIFT: usize = 100;

/// How many requests one collection may take: more than any list needs, so that an API
/// that always has a further page ends a collection, too.
const MAX_REQUESTS: u32 = 500;

/// Collects once: `ask` sends the first request or, with parameters, a further one.
/// Returns the RequestId of the last answer, too.
///
/// # Errors
///
/// The first failure of `ask`, unless the collector can ask with other parameters.
/// [`Reason::Response`] if answers do not have the documented shape, contradict each other or
/// have no end. Whatever was read before is lost: rows are complete or absent.
pub async fn collect<F: Future<Output = Result<ApiAnswer, Error>>>(
    collector: &dyn Collector,
    mut ask: impl FnMut(Option<Bytes>) -> F,
) -> Result<(Collected, Option<String>), Error> {
    let mut reading = collector.reading();
    let mut parameters = reading.first();
    for requests in 1..=MAX_REQUESTS {
        let answer = match ask(parameters.take()).await {
            Ok(answer) => answer,
            Err(error) => match reading.refused(&error) {
                Some(others) => {
                    parameters = Some(others);
                    continue;
                }
                None => return Err(error),
            },
        };
        match reading.read(&answer.fields) {
            Next::Ask(further) => parameters = Some(further),
            Next::Done(mut collected) => {
                if let Some(metric) = collected.repeated() {
                    let message = format!(
                        "two rows of the list have the same labels in {}",
                        metric.name
                    );
                    let error = Error::new(Reason::Response, message);
                    return Err(error.with_request_id(answer.request_id));
                }
                collected.drift.sort();
                collected.drift.dedup();
                collected.drift.truncate(MAX_DRIFT);
                collected.requests = requests;
                return Ok((collected, answer.request_id));
            }
            Next::Failed(message) => {
                let error = Error::new(Reason::Response, message);
                return Err(error.with_request_id(answer.request_id));
            }
        }
    }
    Err(Error::new(
        Reason::Response,
        format!("the list has no end: {MAX_REQUESTS} requests were not enough"),
    ))
}

/// A difference between an answer and its documentation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Drift {
    /// The API's name of the field, at most [`MAX_FIELD_NAME`] bytes.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub kind: DriftKind,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// Present, but null, of another type or outside the documented range.
    Invalid,
    /// Documented, but absent.
    Missing,
    /// Present, but not documented.
    Unknown,
}

impl DriftKind {
    /// The value of the label `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests;
