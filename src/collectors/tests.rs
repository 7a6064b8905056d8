//! How the answers of a collection are asked for and joined.

mod fixtures;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::CollectorSettings;

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
fn the_first_rows_are_shown_and_the_others_counted() {
    let sample = |value| Sample::new(license_general::defs::LICENSES, [], value);
    let collected = Collected {
        samples: vec![sample(0.0)],
        rows: vec![vec![sample(1.0), sample(2.0)], vec![sample(3.0)], vec![]],
        ..Collected::default()
    };
    for (most, shown, hidden) in [(0, 1, 3), (1, 3, 2), (2, 4, 1), (3, 4, 0), (9, 4, 0)] {
        let (samples, left_out) = collected.clone().into_samples(most);
        let values = samples.iter().map(|sample| sample.value);
        assert!(values.eq((0..shown).map(f64::from)), "{most}");
        assert_eq!(left_out, hidden, "{most}");
    }
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
fn how_to_switch_a_collector_off_is_told_in_both_languages() {
    let remedy = switch_off("general_stat");
    let setting = "`collectors: {general_stat: {enabled: false}}`";
    assert!(remedy.english.contains(setting));
    assert!(remedy.chinese.is_some_and(|text| text.contains(setting)));
}

#[test]
fn the_collectors_run_as_often_as_is_documented_unless_configured() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let found = defaults(all()).into_iter().map(|each| {
        let CollectorSettings {
            enabled,
            interval,
            max_age,
            max_rows,
        } = each.settings;
        (each.name, enabled, interval, max_age, max_rows)
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            ("license_list", true, minutes(5), minutes(30), Some(500)),
            ("general_stat", false, minutes(5), minutes(30), None),
            ("history_service", false, minutes(60), minutes(360), None),
            (
                "log_storage_statistic",
                false,
                minutes(60),
                minutes(360),
                None
            ),
        ]
    );
}

#[test]
fn one_collector_decides_whether_an_account_is_up() {
    let deciding = all().iter().filter(|each| each.defaults().is_none());
    let names: Vec<_> = deciding.map(|each| each.name()).collect();
    assert_eq!(names, ["license_general"]);
}
