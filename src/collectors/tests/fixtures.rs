//! What each collector makes of the answers in its fixture folder.
//!
//! A case is an answer or a list of the answers of one collection, `NAME.json`, beside what
//! they mean, `NAME.txt`: a line for each sample, those of rows included, and, after the word
//! `drift`, for each difference from the documentation.

use std::path::Path;

use expect_test::expect_file;
use serde_json::Value;

use super::*;
use crate::collectors::license_list::LicenseList;

fn lines(collected: Collected) -> Vec<String> {
    let drift = collected.drift.clone();
    let (samples, hidden) = collected.into_samples(usize::MAX);
    assert_eq!(hidden, 0);
    let samples = samples.iter().map(|sample| {
        let names = sample.metric.labels.iter().skip(1);
        let labels = names.zip(sample.labels.iter());
        let labels: String = labels
            .map(|(name, value)| format!(",{name}={value:?}"))
            .collect();
        let name = sample.metric.name;
        format!("{name}{{account=\"ACCOUNT\"{labels}}} {}", sample.value)
    });
    let drift = drift
        .iter()
        .map(|drift| format!("drift {} {}", drift.field, drift.kind.as_str()));
    let mut lines: Vec<String> = samples.chain(drift).collect();
    lines.sort();
    lines
}

/// The `Response` of an answer, without what belongs to the envelope.
fn answer(mut answer: Value) -> ApiAnswer {
    let response = answer["Response"].as_object_mut().unwrap();
    response.remove("RequestId");
    ApiAnswer {
        fields: serde_json::from_str(&answer["Response"].to_string()).unwrap(),
        request_id: None,
    }
}

/// What these answers, one after the other, say.
async fn collected(collector: &dyn Collector, json: &str) -> Collected {
    let mut answers = match serde_json::from_str(json).unwrap() {
        Value::Array(answers) => answers.into_iter(),
        one => vec![one].into_iter(),
    };
    let outcome = collect(collector, |_| {
        let next = answers.next().expect("one more answer is asked for");
        std::future::ready(Ok(answer(next)))
    });
    let (collected, _) = outcome.await.unwrap();
    assert_eq!(answers.next(), None, "not all answers are asked for");
    collected
}

#[tokio::test]
async fn answers_mean_what_their_fixtures_say() {
    let mut cases = 0;
    for collector in all() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/api")
            .join(collector.name());
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let answers = std::fs::read_to_string(&path).unwrap();
            let collected = collected(*collector, &answers).await;
            assert!(collected.recognized, "{}", path.display());
            let meaning = lines(collected).join(
                "
",
            ) + "
";
            expect_file![path.with_extension("txt")].assert_eq(&meaning);
            cases += 1;
        }
    }
    assert!(cases >= 30, "only {cases} cases were found");
}

/// A page of `license_list` with the orders of these numbers.
fn page(total: Option<u64>, numbers: std::ops::Range<u64>) -> Value {
    let row = |number| serde_json::json!({"ResourceId": format!("cwplic-{number}")});
    let list: Vec<Value> = numbers.map(row).collect();
    match total {
        None => serde_json::json!({"List": list}),
        Some(total) => serde_json::json!({"TotalCount": total, "List": list}),
    }
}

/// Why `license_list` fails with these answers, of which the last may be a refusal with this
/// code.
async fn failure_of_list(answers: Vec<Value>, refusal: Option<&str>) -> Error {
    let mut answers = answers.into_iter();
    let outcome = collect(&LicenseList, |_| {
        let next = answers.next();
        let answer = next.map(|answer| ApiAnswer {
            fields: serde_json::from_str(&answer.to_string()).unwrap(),
            request_id: None,
        });
        std::future::ready(answer.ok_or_else(|| Error {
            code: Some(refusal.expect("no more is asked for").to_owned()),
            ..Error::new(Reason::Request, "refused")
        }))
    });
    outcome.await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_whole_list_of_orders_is_a_failure() {
    let json = |text| serde_json::from_str(text).unwrap();
    for (answers, message) in [
        (
            vec![json(r#"{"TotalCount": 0, "List": "none"}"#)],
            "`List` is no list",
        ),
        (
            vec![json(r#"{"TotalCount": 0, "List": {}}"#)],
            "`List` is no list",
        ),
        (
            vec![
                page(Some(101), 0..100),
                json(r#"{"TotalCount": 101, "List": false}"#),
            ],
            "`List` is no list",
        ),
        (
            vec![json(r#"{"TotalCount": 7}"#)],
            "the API counts rows, but lists none",
        ),
        (
            vec![json(r#"{"List": []}"#)],
            "the answer has neither rows nor their number",
        ),
        (
            vec![page(None, 0..100), page(None, 0..100)],
            "the API gives the same full page for every offset",
        ),
        (
            vec![page(Some(250), 0..100); 4],
            "the pages of the list contradict each other, twice",
        ),
        (
            // The list is gone between two pages, both times.
            vec![[page(Some(101), 0..100), page(Some(0), 0..0)]; 2].concat(),
            "the pages of the list contradict each other, twice",
        ),
    ] {
        let error = failure_of_list(answers, None).await;
        assert_eq!(error.reason, Reason::Response, "{message}");
        assert_eq!(error.message, message);
    }
}

#[test]
fn a_page_size_that_is_refused_is_replaced_once_by_the_documented_one() {
    let refusal = Error {
        code: Some("InvalidParameterValue.Limit".to_owned()),
        ..Error::new(Reason::Request, "refused")
    };
    let page = |numbers| serde_json::from_str(&page(None, numbers).to_string()).unwrap();
    let mut list = LicenseList.reading();
    assert!(
        list.refused(&Error::new(Reason::Request, "other"))
            .is_none()
    );
    let parameters = list.refused(&refusal).unwrap();
    assert_eq!(parameters, r#"{"Limit":10,"Offset":0}"#);
    assert!(list.refused(&refusal).is_none());
    assert!(matches!(list.read(&page(0..10)), Next::Ask(_)));
    let Next::Failed(words) = list.read(&page(0..10)) else {
        panic!("a full page is not the last one");
    };
    assert_eq!(words, "the API gives the same full page for every offset");
}

#[tokio::test]
async fn a_refusal_after_the_first_page_is_not_for_the_page_size() {
    let first = vec![page(Some(101), 0..100)];
    let error = failure_of_list(first, Some("InvalidParameterValue")).await;
    assert_eq!(error.code.as_deref(), Some("InvalidParameterValue"));
}
