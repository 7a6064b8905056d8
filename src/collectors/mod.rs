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

/// Collectors have names of their own.
impl PartialEq for dyn Collector {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
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
        if self.rows.is_empty() {
            return None;
        }
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
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Adds one row for each answer, until there are three.
    #[derive(Default)]
    struct Rows(Collected);

    impl Reading for Rows {
        fn read(&mut self, answer: &Fields) -> Next {
            if answer.get("Odd").is_some() {
                return Next::Failed("odd".to_owned());
            }
            self.0.rows.push(Vec::new());
            match self.0.rows.len() {
                3 => Next::Done(std::mem::take(&mut self.0)),
                rows => Next::Ask(rows.to_string().into()),
            }
        }

        fn refused(&mut self, error: &Error) -> Option<Bytes> {
            (error.code.as_deref() == Some("TooMuch")).then(|| Bytes::from_static(b"less"))
        }
    }

    /// A collector whose answers are read so.
    struct Reads(fn() -> Box<dyn Reading>);

    impl Collector for Reads {
        fn name(&self) -> &'static str {
            "reads"
        }
        fn metrics(&self) -> &'static [&'static MetricDef] {
            &[]
        }
        fn defaults(&self) -> Option<CollectorDefaults> {
            None
        }
        fn request(&self) -> Request {
            license_general::LicenseGeneral.request()
        }
        fn reading(&self) -> Box<dyn Reading> {
            self.0()
        }
    }

    fn answer(json: &str) -> Result<ApiAnswer, Error> {
        Ok(ApiAnswer {
            fields: serde_json::from_str(json).unwrap(),
            request_id: Some("r".to_owned()),
        })
    }

    fn refusal(code: &str) -> Result<ApiAnswer, Error> {
        Err(Error {
            code: Some(code.to_owned()),
            ..Error::new(Reason::Request, code)
        })
    }

    /// What comes of these outcomes of requests, and the parameters of the requests.
    async fn collected(
        outcomes: Vec<Result<ApiAnswer, Error>>,
    ) -> (Result<usize, Error>, Vec<Option<Bytes>>) {
        let (mut outcomes, mut asked) = (outcomes.into_iter(), Vec::new());
        let outcome = collect(&Reads(|| Box::new(Rows::default())), |parameters| {
            asked.push(parameters);
            std::future::ready(outcomes.next().unwrap())
        });
        let rows = outcome.await.map(|(collected, _)| {
            assert_eq!(collected.requests as usize, asked.len());
            collected.rows.len()
        });
        (rows, asked)
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_no_more() {
        let outcomes = (0..3).map(|_| answer("{}")).collect();
        let (rows, asked) = collected(outcomes).await;
        assert_eq!(rows, Ok(3));
        assert_eq!(asked, [None, Some("1".into()), Some("2".into())]);
    }

    #[tokio::test]
    async fn a_refusal_that_the_collector_knows_is_asked_otherwise_and_any_other_is_the_end() {
        let outcomes = [refusal("TooMuch"), answer("{}"), answer("{}"), answer("{}")];
        let (rows, asked) = collected(outcomes.into()).await;
        assert_eq!((rows, asked[1].as_deref()), (Ok(3), Some(&b"less"[..])));
        let (rows, asked) = collected(vec![answer("{}"), refusal("Other")]).await;
        assert_eq!(rows.unwrap_err().code.as_deref(), Some("Other"));
        assert_eq!(asked.len(), 2);
    }

    #[tokio::test]
    async fn contradictions_and_lists_without_an_end_are_failures() {
        let (rows, _) = collected(vec![answer("{}"), answer(r#"{"Odd": 1}"#)]).await;
        let error = rows.unwrap_err();
        assert_eq!(
            (error.reason, error.message.as_str()),
            (Reason::Response, "odd")
        );
        assert_eq!(error.request_id.as_deref(), Some("r"));
        let endless = (0..MAX_REQUESTS).map(|_| refusal("TooMuch")).collect();
        let (rows, asked) = collected(endless).await;
        assert_eq!(rows.unwrap_err().reason, Reason::Response);
        assert_eq!(asked.len(), MAX_REQUESTS as usize);
    }

    #[tokio::test]
    async fn drift_is_told_once_for_all_rows_and_bounded() {
        fn odd(_: &Fields) -> Collected {
            let drift = (0..1000).map(|number| Drift {
                field: format!("List[].F{}", number % 500).into(),
                kind: DriftKind::Unknown,
            });
            Collected {
                drift: drift.collect(),
                ..Collected::default()
            }
        }
        let collector = Reads(|| Box::new(odd));
        let outcome = collect(&collector, |_| std::future::ready(answer("{}"))).await;
        let (collected, _) = outcome.unwrap();
        let fields: BTreeSet<_> = collected.drift.iter().map(|drift| &drift.field).collect();
        assert_eq!(
            (collected.drift.len(), fields.len()),
            (MAX_DRIFT, MAX_DRIFT)
        );
    }

    #[tokio::test]
    async fn two_rows_with_one_series_are_a_failure() {
        fn rows(labels: [&'static str; 2]) -> Collected {
            let row = |label: &'static str| {
                let metric = license_general::defs::EDITION;
                vec![Sample::new(metric, [label.into()], 1.0)]
            };
            Collected {
                rows: labels.map(row).into(),
                ..Collected::default()
            }
        }
        let apart = Reads(|| Box::new(|_: &Fields| rows(["a", "b"])));
        let same = Reads(|| Box::new(|_: &Fields| rows(["a", "a"])));
        let ask = |_| std::future::ready(answer("{}"));
        assert!(collect(&apart, ask).await.is_ok());
        let error = collect(&same, ask).await.unwrap_err();
        assert_eq!(error.reason, Reason::Response);
        assert_eq!(
            error.message,
            "two rows of the list have the same labels in tencentcloud_cwp_edition_licenses"
        );
    }

    #[test]
    fn names_and_metrics_are_unique() {
        let mut names = BTreeSet::new();
        for collector in all() {
            assert!(names.insert(collector.name()));
            for metric in collector.metrics() {
                assert!(names.insert(metric.name), "{}", metric.name);
                assert!(metric.name.starts_with("tencentcloud_cwp_"));
                assert_eq!(metric.labels.first(), Some(&"account"));
                assert!(metric.help.ends_with("Polled and cached."));
            }
        }
    }

    #[test]
    fn every_collector_has_a_fixture_folder() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/api");
        for collector in all() {
            let folder = fixtures.join(collector.name());
            assert!(folder.is_dir(), "{} is missing", folder.display());
        }
    }

    #[test]
    fn one_collector_decides_whether_an_account_is_up() {
        let deciding = all().iter().filter(|each| each.defaults().is_none());
        let names: Vec<_> = deciding.map(|each| each.name()).collect();
        assert_eq!(names, ["license_general"]);
    }
}
