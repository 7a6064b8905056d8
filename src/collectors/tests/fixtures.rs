//! What each collector makes of the answers in its fixture folder.
//!
//! A case is an answer or a list of the answers of one collection, `NAME.json`, beside what
//! they mean, `NAME.txt`: a line for each sample, those of rows included, and, after the word
//! `drift`, for each difference from the documentation.

use std::path::Path;

use expect_test::expect_file;
use serde_json::Value;

use super::*;

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
            let samples = collected
                .samples
                .iter()
                .chain(collected.rows.iter().flatten());
            for sample in samples {
                assert!(collector.metrics().contains(&sample.metric), "{sample:?}");
            }
            let meaning = lines(collected).join("\n") + "\n";
            expect_file![path.with_extension("txt")].assert_eq(&meaning);
            cases += 1;
        }
    }
    assert!(cases >= 30, "only {cases} cases were found");
}
